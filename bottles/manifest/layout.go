package manifest

import (
	"bytes"
	"slices"

	"github.com/tailscale/hujson"
)

// editor puts members and elements into a tree, and takes them out, in the manner of the text around them. What
// stands between two values, blanks and comments, belongs to the first up to the end of its line, and then to
// the second.
type editor struct {
	newline string // "\n", or "\r\n"
	indent  string // one step of indentation
}

func newEditor(text []byte) *editor {
	e := &editor{newline: "\n", indent: "  "}
	if bytes.Contains(text, []byte("\r\n")) {
		e.newline = "\r\n"
	}
	if bytes.Contains(text, []byte("\n\t")) {
		e.indent = "\t"
	}
	return e
}

// sequence is the elements of a list, or the members of an object.
type sequence interface {
	len() int
	before(i int) *hujson.Extra // what stands before the one at i
	after(i int) *hujson.Extra  // between it and its comma; not nil behind the last: it has a comma
	end() *hujson.Extra         // what stands before the closing bracket
	cut(i int)
	put(name string, v hujson.ValueTrimmed)
}

type elements struct{ *hujson.Array }

func (s elements) len() int                   { return len(s.Elements) }
func (s elements) before(i int) *hujson.Extra { return &s.Elements[i].BeforeExtra }
func (s elements) after(i int) *hujson.Extra  { return &s.Elements[i].AfterExtra }
func (s elements) end() *hujson.Extra         { return &s.AfterExtra }
func (s elements) cut(i int)                  { s.Elements = slices.Delete(s.Elements, i, i+1) }
func (s elements) put(_ string, v hujson.ValueTrimmed) {
	s.Elements = append(s.Elements, hujson.Value{Value: v})
}

type members struct{ *hujson.Object }

func (s members) len() int                   { return len(s.Members) }
func (s members) before(i int) *hujson.Extra { return &s.Members[i].Name.BeforeExtra }
func (s members) after(i int) *hujson.Extra  { return &s.Members[i].Value.AfterExtra }
func (s members) end() *hujson.Extra         { return &s.AfterExtra }
func (s members) cut(i int)                  { s.Members = slices.Delete(s.Members, i, i+1) }
func (s members) put(name string, v hujson.ValueTrimmed) {
	s.Members = append(s.Members, hujson.ObjectMember{
		Name:  hujson.Value{Value: hujson.String(name)},
		Value: hujson.Value{BeforeExtra: hujson.Extra(" "), Value: v},
	})
}

// append adds a value at the end: on a line of its own where the others are, else behind the last.
func (e *editor) append(s sequence, name string, v hujson.ValueTrimmed) {
	last := s.len() - 1
	tail := *s.end()
	lines := bytes.Contains(tail, []byte("\n"))
	margin := ""
	for i := range s.len() {
		if b := *s.before(i); bytes.Contains(b, []byte("\n")) {
			lines, margin = true, string(b[bytes.LastIndexByte(b, '\n')+1:])
		}
	}
	s.put(name, v)
	if last >= 0 && *s.after(last) != nil { // the comma behind the last stays one behind the last
		if len(*s.after(last)) == 0 {
			*s.after(last) = nil
		}
		*s.after(last + 1) = hujson.Extra{}
	}
	if !lines {
		switch {
		case last >= 0:
			*s.before(last + 1) = hujson.Extra(" ")
		case len(tail) > 0 && !bytes.HasSuffix(bytes.TrimSpace(tail), []byte("*/")):
			*s.end() = nil // an empty list, with a blank in it
		}
		return
	}
	line := lineEnd(tail)
	rest, closing := tail[line:], ""
	if i := bytes.LastIndexByte(rest, '\n'); i >= 0 && len(bytes.Trim(rest[i:], " \t\r\n")) == 0 {
		rest, closing = rest[:i], e.newline+string(rest[i+1:])
	}
	if margin == "" {
		margin = e.indent
		if i := bytes.LastIndexByte([]byte(closing), '\n'); i >= 0 {
			margin = closing[i+1:] + e.indent
		}
	}
	kept := append(bytes.TrimRight(tail[:line], " \t\r"), bytes.TrimRight(rest, " \t\r\n")...)
	*s.before(last + 1) = append(kept, e.newline+margin...)
	*s.end() = hujson.Extra(closing)
}

// remove takes the value at i out, with the comment behind it and those right above it.
func (e *editor) remove(s sequence, i int) {
	last := i == s.len()-1
	next := s.end()
	if !last {
		next = s.before(i + 1)
	}
	before, after := *s.before(i), *next
	line := lineEnd(before)
	// A comment with an empty line below it is about more than this value.
	above := before[line:]
	keep := 0
	for _, gap := range []string{"\n\n", "\n\r\n"} {
		if j := bytes.LastIndex(above, []byte(gap)); j >= 0 {
			keep = max(keep, j)
		}
	}
	if len(bytes.TrimSpace(above[:keep])) == 0 {
		keep = 0
	}
	kept := slices.Concat(before[:line], above[:keep])
	rest := after[lineEnd(after):]
	comma := last && *s.after(i) != nil
	switch {
	case len(bytes.TrimSpace(kept)) > 0 || !last:
		if len(rest) > 0 {
			kept = bytes.TrimRight(kept, " \t\r")
		}
		if len(rest) == 0 && bytes.Contains(kept[min(len(kept), max(0, bytes.LastIndexByte(kept, '\n'))):], []byte("//")) {
			rest = hujson.Extra(e.newline)
		}
		*next = slices.Concat(kept, rest)
	case len(bytes.TrimSpace(after[:lineEnd(after)])) > 0:
		*next = slices.Clone(rest)
	}
	s.cut(i)
	if comma && s.len() > 0 && *s.after(s.len() - 1) == nil {
		*s.after(s.len() - 1) = hujson.Extra{}
	}
	if s.len() == 0 && len(bytes.TrimSpace(*s.end())) == 0 {
		*s.end() = nil
	}
}

// lineEnd is how much of what stands behind a value is on its line.
func lineEnd(b hujson.Extra) int {
	for i := 0; i < len(b); {
		switch {
		case b[i] == '\n', bytes.HasPrefix(b[i:], []byte("\r\n")):
			return i
		case bytes.HasPrefix(b[i:], []byte("//")):
			n := bytes.IndexByte(b[i:], '\n')
			if n < 0 {
				return len(b)
			}
			if b[i+n-1] == '\r' {
				n--
			}
			return i + n
		case bytes.HasPrefix(b[i:], []byte("/*")):
			n := bytes.Index(b[i+2:], []byte("*/"))
			if n < 0 {
				return len(b)
			}
			i += n + 4
		default:
			i++
		}
	}
	return len(b)
}
