package terminal

import (
	"fmt"
	"strings"
	"testing"
)

// heard writes down what a parser finds.
type heard struct{ b strings.Builder }

func (h *heard) text(p []byte)  { fmt.Fprintf(&h.b, "%s", p) }
func (h *heard) control(c byte) { fmt.Fprintf(&h.b, "<%02x>", c) }
func (h *heard) escape(i, f byte) {
	fmt.Fprintf(&h.b, "<esc %s>", strings.Trim(string([]byte{i, f}), "\x00"))
}
func (h *heard) osc(data []byte) { fmt.Fprintf(&h.b, "<osc %s>", data) }
func (h *heard) dcs(data []byte) { fmt.Fprintf(&h.b, "<dcs %s>", data) }
func (h *heard) csi(q *sequence) {
	h.b.WriteString("<csi ")
	if q.prefix != 0 {
		h.b.WriteByte(q.prefix)
	}
	for i := range q.n {
		if i > 0 {
			h.b.WriteString(map[bool]string{false: ";", true: ":"}[q.sub[i]])
		}
		if q.params[i] >= 0 {
			fmt.Fprint(&h.b, q.params[i])
		}
	}
	if q.intermediate != 0 {
		h.b.WriteByte(q.intermediate)
	}
	h.b.WriteByte(q.final)
	h.b.WriteByte('>')
}

func TestParser(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"text", "hello", "hello"},
		{"controls", "a\r\n\tb\x7f\x00", "a<0d><0a><09>b<00>"},
		{"csi", "\x1b[1;2Hx", "<csi 1;2H>x"},
		{"left out parameters", "\x1b[;5H\x1b[H\x1b[1;m", "<csi ;5H><csi H><csi 1;m>"},
		{"sub-parameters", "\x1b[4:3;38:2::1:2:3m", "<csi 4:3;38:2::1:2:3m>"},
		{"marks", "\x1b[?25l\x1b[>4;2m\x1b[=1u\x1b[!p\x1b[?1$p", "<csi ?25l><csi >4;2m><csi =1u><csi !p><csi ?1$p>"},
		{"numbers are clamped", "\x1b[999999999999999999999999b", "<csi 9999b>"},
		{"control within csi", "\x1b[1\n0A", "<0a><csi 10A>"},
		{"cancelled", "\x1b[1\x18A\x1b]0;x\x1aB", "AB"},
		{"escape restarts", "\x1b[1\x1b[2A\x1b\x1b[3B", "<csi 2A><csi 3B>"},
		{"late mark is no sequence", "\x1b[1?2Ax", "x"},
		{"two intermediates are none", "\x1b[ !px\x1b (Ax", "xx"},
		{"parameter after intermediate is none", "\x1b[ 1px", "x"},
		{"high byte within csi is none", "\x1b[1\xe2mx", "x"},
		{"escapes", "\x1b7\x1b8\x1b(0\x1b#8", "<esc 7><esc 8><esc (0><esc #8>"},
		{"osc by bel", "\x1b]0;title\x07x", "<osc 0;title>x"},
		{"osc by st", "\x1b]0;title\x1b\\x", "<osc 0;title>x"},
		{"osc with the byte that ends it elsewhere", "\x1b]0;✳ claude\x07x", "<osc 0;✳ claude>x"},
		{"osc that ends in another sequence", "\x1b]0;a\x1b[1Ax", "<csi 1A>x"},
		{"dcs", "\x1bP+q544e\x1b\\x", "<dcs +q544e>x"},
		{"bel does not end a dcs", "\x1bPa\x07b\x1b\\", "<dcs a\x07b>"},
		{"other strings are swallowed", "\x1b_apc\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\x", "x"},
		{"eight-bit controls are text in UTF-8", "\x9b1mx", "\x9b1mx"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{len(c.in), 1, 2, 3} {
				var a parser
				var h heard
				for in := []byte(c.in); len(in) > 0; {
					n := min(size, len(in))
					for p := in[:n]; len(p) > 0; {
						p = p[a.next(p, &h):]
					}
					in = in[n:]
				}
				if got := h.b.String(); got != c.want {
					t.Errorf("in pieces of %d: got %q, want %q", size, got, c.want)
				}
			}
		})
	}
}

func TestParserKeepsLittle(t *testing.T) {
	for _, c := range []struct{ name, in string }{
		{"parameters", "\x1b[" + strings.Repeat("1;", 1<<20)},
		{"digits", "\x1b[" + strings.Repeat("1", 1<<20)},
		{"osc", "\x1b]0;" + strings.Repeat("x", 1<<20)},
		{"dcs", "\x1bP" + strings.Repeat("x", 1<<20)},
		{"apc", "\x1b_" + strings.Repeat("x", 1<<20)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var a parser
			var h heard
			for p := []byte(c.in); len(p) > 0; {
				p = p[a.next(p, &h):]
			}
			if cap(a.str) > 2*maxString {
				t.Errorf("it keeps %d bytes", cap(a.str))
			}
			for p := []byte("\x1b\\m\x07after"); len(p) > 0; {
				p = p[a.next(p, &h):]
			}
			if got := h.b.String(); !strings.HasSuffix(got, "after") || strings.Contains(got, "xxx") {
				t.Errorf("afterwards it heard %.60q", got)
			}
		})
	}
}
