package credproxy

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// What is wrong with a request's path. RFC 3986 (3.3, 6.2.2) says what a path may hold; the rest are the ways in
// which two readers understand one differently.
var (
	errForm    = errors.New("its target is not a path, as in GET /path HTTP/1.1")
	errChar    = errors.New("its path holds a character that must be percent-encoded")
	errEscape  = errors.New("its path holds a % without two hexadecimal digits")
	errBack    = errors.New(`its path holds a backslash or a control character`)
	errText    = errors.New("its path is not UTF-8")
	errEmpty   = errors.New(`its path holds an empty segment ("//")`)
	errDots    = errors.New(`its path holds a "." or ".." segment`)
	errLayered = errors.New("its path is percent-encoded too many times over")
)

// maxLayers is how often a path may be encoded over itself: a name with a % in it is twice.
const maxLayers = 4

// readPath brings a request's path into the one form in which it is matched and sent: characters that need no
// encoding are decoded, those that do are encoded, and whatever could lead a reader elsewhere is an error. An
// encoded slash stays as it is; many services take one inside a name.
func readPath(raw string) (string, error) {
	if raw == "" || raw[0] != '/' {
		return "", errForm
	}
	var b strings.Builder
	b.Grow(len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '%':
			v, ok := hexByte(raw[i+1:])
			if !ok {
				return "", errEscape
			}
			if unreserved(v) {
				b.WriteByte(v)
			} else {
				writeEncoded(&b, v)
			}
			i += 2
		case c == '\\' || c < ' ' || c == 0x7f:
			return "", errBack
		case c == ' ' || c == '#' || c == '?' || c > '~':
			return "", errChar
		case strings.IndexByte("\"<>^`{|}", c) >= 0:
			writeEncoded(&b, c)
		default:
			b.WriteByte(c)
		}
	}
	path := b.String()
	if strings.Contains(path, "//") {
		return "", errEmpty
	}
	return path, checkLayers(path)
}

// checkLayers looks at a path as a reader sees it that decodes it once, twice, and so on.
func checkLayers(path string) error {
	for layer := 0; ; layer++ {
		for segment := range strings.SplitSeq(path, "/") {
			name, _, _ := strings.Cut(segment, ";") // some servers drop what follows
			if name = strings.TrimSpace(name); name == "." || name == ".." {
				return errDots
			}
		}
		if layer > 0 {
			for i := range len(path) {
				if path[i] == '\\' || path[i] < ' ' || path[i] == 0x7f {
					return errBack
				}
			}
		}
		if !utf8.ValidString(path) {
			return errText
		}
		decoded := decode(path)
		if decoded == path {
			return nil
		}
		if layer == maxLayers {
			return errLayered
		}
		path = decoded
	}
}

// decode takes one layer of percent-encoding away, and leaves what is none.
func decode(path string) string {
	if strings.IndexByte(path, '%') < 0 {
		return path
	}
	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] == '%' {
			if v, ok := hexByte(path[i+1:]); ok {
				out = append(out, v)
				i += 2
				continue
			}
		}
		out = append(out, path[i])
	}
	return string(out)
}

func hexByte(s string) (byte, bool) {
	if len(s) < 2 {
		return 0, false
	}
	hi, ok1 := hexDigit(s[0])
	lo, ok2 := hexDigit(s[1])
	return hi<<4 | lo, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func writeEncoded(b *strings.Builder, c byte) {
	const digits = "0123456789ABCDEF"
	b.WriteByte('%')
	b.WriteByte(digits[c>>4])
	b.WriteByte(digits[c&15])
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// find is the route with the longest path that path, which comes from readPath, is at or below; and where on
// the upstream it leads. nil: there is none.
func (t *table) find(path string) (*route, string) {
	for _, r := range t.routes {
		if rest, ok := strings.CutPrefix(path, r.Path); ok {
			return r, r.to.base + "/" + rest
		}
		if len(path) == len(r.Path)-1 && strings.HasPrefix(r.Path, path) { // its last slash left out
			if r.to.base == "" {
				return r, "/"
			}
			return r, r.to.base
		}
	}
	return nil, ""
}

// back is find's other direction: where below r a path of the upstream is found. ok is false outside the base.
func (r *route) back(path string) (string, bool) {
	if rest, ok := strings.CutPrefix(path, r.to.base+"/"); ok {
		return r.Path + rest, true
	}
	if path == r.to.base {
		return strings.TrimSuffix(r.Path, "/"), true
	}
	return "", false
}

// setPath puts a path that comes from readPath into u, so that exactly it is sent.
func setPath(u *url.URL, path string) error {
	plain, err := url.PathUnescape(path)
	if err != nil {
		return errEscape
	}
	u.Path, u.RawPath, u.Opaque = plain, path, ""
	if u.EscapedPath() != path {
		return errChar
	}
	return nil
}

// paths are the paths of all routes, for a message; the first max of them.
func (t *table) paths(max int) []string {
	var all []string
	for _, r := range t.routes {
		all = append(all, r.Path)
	}
	slices.Sort(all)
	if len(all) > max {
		all = append(all[:max], "…")
	}
	return all
}
