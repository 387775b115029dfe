package gitignore

import "strings"

// token is a part of a pattern. A text is compared with all of them at once, so that the time is bounded by the
// product of the lengths, whatever the pattern.
type token struct {
	kind tokenKind
	c    byte
	set  *[256]bool
}

type tokenKind int

const (
	literal tokenKind = iota
	class             // one byte of a set, never a slash
	star              // any bytes but slashes
	stars             // any bytes
	dirs              // nothing, or any bytes and a slash
)

// compile makes tokens of a pattern. paths says that it is for paths, in which "**" between slashes has a meaning of its
// own. It reports whether the pattern is well-formed; one that is not matches nothing.
func compile(p string, paths bool) ([]token, bool) {
	var out []token
	for i := 0; i < len(p); i++ {
		switch c := p[i]; c {
		case '\\':
			if i++; i == len(p) {
				return nil, false
			}
			out = append(out, token{kind: literal, c: p[i]})
		case '?':
			out = append(out, token{kind: class, set: everything})
		case '[':
			set, n := bracket(p[i:])
			if n == 0 {
				return nil, false
			}
			out = append(out, token{kind: class, set: set})
			i += n - 1
		case '*':
			from := i
			for i+1 < len(p) && p[i+1] == '*' {
				i++
			}
			rest := p[i+1:]
			switch {
			case !paths || i == from, from > 0 && p[from-1] != '/':
				out = append(out, token{kind: star})
			case strings.HasPrefix(rest, "/"):
				out = append(out, token{kind: dirs})
				i++
			case rest == "" || strings.HasPrefix(rest, `\/`):
				out = append(out, token{kind: stars})
			default:
				out = append(out, token{kind: star})
			}
		default:
			out = append(out, token{kind: literal, c: c})
		}
	}
	return out, true
}

var everything = func() *[256]bool {
	var set [256]bool
	for i := range set {
		set[i] = i != '/'
	}
	return &set
}()

// bracket reads a bracket expression at the beginning of p. It gives the set and how long the expression is; 0: it is
// malformed.
func bracket(p string) (*[256]bool, int) {
	i, negated := 1, false
	if i < len(p) && (p[i] == '!' || p[i] == '^') {
		i, negated = i+1, true
	}
	var set [256]bool
	prev := -1 // the byte that a range would begin with
	for first := true; ; first = false {
		if i >= len(p) {
			return nil, 0
		}
		switch c := p[i]; {
		case c == ']' && !first:
			for b := range set {
				set[b] = set[b] != negated && b != '/'
			}
			return &set, i + 1
		case c == '\\':
			if i++; i == len(p) {
				return nil, 0
			}
			set[p[i]], prev = true, int(p[i])
		case c == '-' && prev > 0 && i+1 < len(p) && p[i+1] != ']':
			i++
			if p[i] == '\\' {
				if i++; i == len(p) {
					return nil, 0
				}
			}
			for b := prev; b <= int(p[i]); b++ {
				set[b] = true
			}
			prev = -1
		case c == '[' && strings.HasPrefix(p[i+1:], ":"):
			end := strings.IndexByte(p[i+2:], ']')
			if end < 0 {
				return nil, 0
			}
			name, ok := strings.CutSuffix(p[i+2:i+2+end], ":")
			if !ok {
				set['['], prev = true, '['
				break
			}
			in := named[name]
			if in == nil {
				return nil, 0
			}
			for b := range set {
				set[b] = set[b] || in(byte(b))
			}
			i, prev = i+2+end, -1
		default:
			set[c], prev = true, int(c)
		}
		i++
	}
}

// named are the classes of POSIX, of ASCII alone.
var named = map[string]func(byte) bool{
	"alnum":  func(c byte) bool { return letter(c) || digit(c) },
	"alpha":  letter,
	"blank":  func(c byte) bool { return c == ' ' || c == '\t' },
	"cntrl":  func(c byte) bool { return c < ' ' || c == 0x7f },
	"digit":  digit,
	"graph":  func(c byte) bool { return c > ' ' && c < 0x7f },
	"lower":  func(c byte) bool { return c >= 'a' && c <= 'z' },
	"print":  func(c byte) bool { return c >= ' ' && c < 0x7f },
	"punct":  func(c byte) bool { return c > ' ' && c < 0x7f && !letter(c) && !digit(c) },
	"space":  func(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' },
	"upper":  func(c byte) bool { return c >= 'A' && c <= 'Z' },
	"xdigit": func(c byte) bool { return digit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' },
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }

// match says whether tokens match all of a text. A state 2i is "before token i"; 2i+1 is "within token i", which only
// tokens that take many bytes have.
func match(tokens []token, text string) bool {
	now, next := make([]bool, 2*len(tokens)+2), make([]bool, 2*len(tokens)+2)
	// enter marks "before token i", and what of the next can be there without a byte.
	enter := func(states []bool, i int) {
		for ; !states[2*i]; i++ {
			states[2*i] = true
			if i == len(tokens) {
				return
			}
			switch tokens[i].kind {
			case star, stars, dirs:
				states[2*i+1] = true
			default:
				return
			}
		}
	}
	enter(now, 0)
	for b := 0; b < len(text); b++ {
		c := text[b]
		clear(next)
		alive := false
		for i, t := range tokens {
			switch t.kind {
			case literal:
				if now[2*i] && t.c == c {
					enter(next, i+1)
					alive = true
				}
			case class:
				if now[2*i] && t.set[c] {
					enter(next, i+1)
					alive = true
				}
			case star, stars:
				if now[2*i+1] && (t.kind == stars || c != '/') {
					next[2*i+1] = true
					enter(next, i+1)
					alive = true
				}
			case dirs:
				if now[2*i+1] {
					next[2*i+1] = true
					alive = true
					if c == '/' {
						enter(next, i+1)
					}
				}
			}
		}
		if !alive {
			return false
		}
		now, next = next, now
	}
	return now[2*len(tokens)]
}
