package credproxy

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"bottle-tui/sidecars"
)

// maxForm is the length in bytes from which a form of a credential is not looked for: the body's last bytes are held
// back for as many, and copyBuffer must hold more.
const maxForm = 64 << 10

// redaction finds one credential in what an upstream sends, in every form in which a server that repeats its request
// may write it, and masks it. It is never changed, and used by many requests at once.
//
// It is a search for a set of texts with a table of skips (Wu and Manber, 1994) over three bytes: a stream in which
// no form occurs costs one look for about each length of the shortest form.
type redaction struct {
	forms   []string // the longest first, each of shortSecret bytes or more
	whole   []string // shorter ones, which only count where they stand alone
	names   []string // in lower case, as they may stand in a header's name
	width   int      // of the shortest form
	longest int
	skip    [1 << 15]uint8 // by the hash of three bytes
}

// newRedaction is the redaction of a route's credential.
func newRedaction(scheme, token string) *redaction {
	r := &redaction{}
	add := func(form string) {
		switch {
		case len(form) < shortSecret:
			if form != "" {
				r.whole = append(r.whole, form)
			}
		case len(form) < maxForm:
			r.forms = append(r.forms, form)
		}
	}
	for _, s := range secrets(scheme, token) {
		if len(s) < shortSecret {
			add(s)
			continue
		}
		r.names = append(r.names, strings.ToLower(s))
		for _, form := range writtenAs(s) {
			add(form)
		}
		for _, form := range base64Of(s) {
			add(form)
			add(strings.ReplaceAll(form, "/", `\/`))
		}
	}
	slices.SortFunc(r.forms, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	r.forms = slices.Compact(r.forms)
	if len(r.forms) == 0 {
		return r
	}
	r.longest = len(r.forms[0])
	r.width = min(255, len(r.forms[len(r.forms)-1]))
	for i := range r.skip {
		r.skip[i] = uint8(r.width - 2)
	}
	for _, form := range r.forms {
		for i := 2; i < r.width; i++ {
			h := triple(form[i-2], form[i-1], form[i])
			r.skip[h] = min(r.skip[h], uint8(r.width-1-i))
		}
	}
	return r
}

func triple(a, b, c byte) uint { return (uint(a)<<10 ^ uint(b)<<5 ^ uint(c)) & (1<<15 - 1) }

// writtenAs is a text as URLs, JSON and HTML have it.
func writtenAs(s string) []string {
	forms := []string{s}
	for _, form := range []string{url.QueryEscape(s), url.PathEscape(s)} {
		forms = append(forms, form, lowerEscapes(form))
	}
	var upper, lower strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&upper, "%%%02X", s[i])
		fmt.Fprintf(&lower, "%%%02x", s[i])
	}
	forms = append(forms, upper.String(), lower.String())
	if b, err := json.Marshal(s); err == nil {
		quoted := string(b[1 : len(b)-1])
		forms = append(forms, quoted, strings.ReplaceAll(quoted, "/", `\/`))
	}
	escaped := html.EscapeString(s)
	return append(forms, strings.ReplaceAll(s, "/", `\/`), escaped, strings.ReplaceAll(escaped, "+", "&#43;"))
}

// lowerEscapes is a percent-encoded text with its hexadecimal digits in lower case.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:], strings.ToLower(s[i+1:i+3]))
			i += 2
		}
	}
	return string(b)
}

// base64Of is what stands in the base64 of any text with s in it, whatever comes before and after: s begins at one of
// three places within a group, and of the first and the last group only whole characters of its own count.
func base64Of(s string) []string {
	var forms []string
	for before := range 3 {
		padded := append(make([]byte, before), s...)
		first, last := (before*8+5)/6, len(padded)*8/6
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			forms = append(forms, e.EncodeToString(padded)[first:last])
		}
	}
	return forms
}

// find is where the first form begins in b at or after from, and its length; -1: there is none.
func find[T string | []byte](r *redaction, b T, from int) (at, length int) {
	if r.width == 0 {
		return -1, 0
	}
	skip := &r.skip
	for last := from + r.width - 1; last < len(b); {
		if n := skip[triple(b[last-2], b[last-1], b[last])]; n > 0 {
			last += int(n)
			continue
		}
		rest := b[last-r.width+1:]
		for _, form := range r.forms {
			if len(rest) >= len(form) && string(rest[:len(form)]) == form {
				return last - r.width + 1, len(form)
			}
		}
		last++
	}
	return -1, 0
}

// mask replaces each form in b by asterisks, byte for byte, and reports whether there was one.
func (r *redaction) mask(b []byte) bool {
	at, length := find(r, b, 0)
	found := at >= 0
	for at >= 0 {
		for i := range length {
			b[at+i] = '*'
		}
		at, length = find(r, b, at+length)
	}
	return found
}

// holds reports whether the credential is in text, percent-encoded over itself or not.
func (r *redaction) holds(text string) bool {
	for range maxLayers {
		if at, _ := find(r, text, 0); at >= 0 || slices.Contains(r.whole, text) {
			return true
		}
		decoded := decode(text)
		if decoded == text {
			break
		}
		text = decoded
	}
	return false
}

// text is s without the credential.
func (r *redaction) text(s string) string {
	if at, _ := find(r, s, 0); at < 0 {
		return s
	}
	b := []byte(s)
	r.mask(b)
	return string(b)
}

// header takes the credential out of a header or trailer, and reports whether it was there: it is masked where it
// stands as it is, and a value is removed that holds it percent-encoded in a way of its own, or whose name holds it.
func (r *redaction) header(h http.Header) bool {
	found := false
	for name, values := range h {
		if r.inName(name) {
			delete(h, name)
			found = true
			continue
		}
		changed := false
		for i, value := range values {
			masked := r.text(value)
			if r.holds(masked) || r.alone(masked) {
				masked = ""
			}
			if masked != value {
				values[i], changed = masked, true
			}
		}
		if !changed {
			continue
		}
		found = true
		if values = slices.DeleteFunc(values, func(v string) bool { return v == "" }); len(values) == 0 {
			delete(h, name)
		} else {
			h[name] = values
		}
	}
	return found
}

// alone reports whether a credential that is too short to be looked for is the last word of a header's value, as behind
// the name of its scheme.
func (r *redaction) alone(value string) bool {
	return slices.ContainsFunc(r.whole, func(short string) bool {
		before, ok := strings.CutSuffix(value, short)
		return ok && (before == "" || strings.HasSuffix(before, " "))
	})
}

func (r *redaction) inName(name string) bool {
	return slices.ContainsFunc(r.names, func(s string) bool {
		return len(name) >= len(s) && strings.Contains(strings.ToLower(name), s)
	})
}

// uncoded reports whether an answer's body is looked through: one whose length the upstream gave, and that is not
// compressed. Others pass as they come: to find a form across two pieces of a stream, the first would have to wait for
// the second.
func uncoded(r *http.Response) bool {
	coding := strings.Join(r.Header.Values("Content-Encoding"), ",")
	return r.ContentLength > 0 && (coding == "" || strings.EqualFold(coding, "identity"))
}

// redactedBody masks a credential in a body. It holds back as many of the last bytes as a form is long, whatever they
// are: were it only those that begin one, an agent that sends its guesses through an upstream could tell by the delay
// how far a guess is right.
type redactedBody struct {
	io.ReadCloser
	r     *redaction
	tail  []byte // held back, already masked
	err   error  // the end of the body, after which tail was given
	found func() // called for each piece with the credential in it
}

// Read needs room for more than the bytes that it holds back.
func (b *redactedBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	held := b.r.longest - 1
	if len(p) <= held {
		return 0, io.ErrShortBuffer
	}
	for {
		have := copy(p, b.tail)
		n, err := b.ReadCloser.Read(p[have:])
		have += n
		if b.r.mask(p[:have]) {
			b.found()
		}
		if err != nil {
			b.tail, b.err = nil, err
			return have, err
		}
		give := max(0, have-held)
		b.tail = append(b.tail[:0], p[give:have]...)
		if give > 0 {
			return give, nil
		}
	}
}

// redact takes the credential out of an upstream's answer and says so.
func (s *server) redact(r *http.Response, f *flight) {
	if f.hidden.header(r.Header) {
		s.sayRedacted(f, "a header")
	}
	f.hidden.header(r.Trailer) // names; values come at its end
	if r.StatusCode != http.StatusSwitchingProtocols && uncoded(r) && f.hidden.width > 0 {
		r.Body = &redactedBody{ReadCloser: r.Body, r: f.hidden, found: func() { s.sayRedacted(f, "the body") }}
	}
}

func (s *server) sayRedacted(f *flight, where string) {
	l := f.line(sidecars.EventError)
	l.Reason = "the upstream's answer held this route's credential in " + where + "; it was taken out"
	s.voice.say(l)
}
