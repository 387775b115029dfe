package queue

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	tabStop  = 8
	maxMarks = 4 // combining marks that one character may carry
)

// Visible makes any string one line that shows everything in it and does nothing to a terminal:
//
//   - control characters of ASCII become their pictures: ␛ ␀ ␊ ␍ ␉ ␡;
//   - other control and format characters (bidirectional, zero-width, tags, soft hyphen), blanks that are
//     not the plain one, private, unassigned and invisible code points become ⟨U+202E⟩;
//   - bytes that are not UTF-8 become ⟨0xNN⟩;
//   - a combining mark with nothing before it to stand on, or one too many on the same character, becomes
//     ⟨U+0301⟩.
func Visible(s string) string {
	if plain(s) {
		return s
	}
	var out strings.Builder
	v := shower{out: &out}
	v.line(s)
	return out.String()
}

// VisibleText is Visible for several lines: line ends stay, and tabs become blanks up to the next column
// that is a multiple of eight. With maxBytes > 0 no more than that of s is shown, and a last line says
// how much is missing.
func VisibleText(s string, maxBytes int) string {
	missing := 0
	if maxBytes > 0 && len(s) > maxBytes {
		cut := maxBytes
		for back := 0; back < utf8.UTFMax && cut > 0 && !utf8.RuneStart(s[cut]); back++ {
			cut--
		}
		missing = len(s) - cut
		s = s[:cut]
	}
	var out strings.Builder
	v := shower{out: &out}
	for i, line := range strings.Split(s, "\n") {
		if i > 0 {
			out.WriteByte('\n')
		}
		v.marks, v.column = maxMarks, 0
		for j, part := range strings.Split(line, "\t") {
			if j > 0 {
				blanks := tabStop - v.column%tabStop
				out.WriteString("        "[:blanks])
				v.marks, v.column = maxMarks, v.column+blanks
			}
			v.line(part)
		}
	}
	if missing > 0 {
		if s != "" && !strings.HasSuffix(s, "\n") {
			out.WriteByte('\n')
		}
		fmt.Fprintf(&out, "… %d bytes more", missing)
	}
	return out.String()
}

// plain says whether s is printable ASCII alone.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// shower writes visible text and keeps count of where it is.
type shower struct {
	out    *strings.Builder
	column int // characters since the last line end
	marks  int // combining marks on the last character
}

func (v *shower) line(s string) {
	if v.column == 0 {
		v.marks = maxMarks // nothing to stand on
	}
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			v.escape("⟨0x%02X⟩", rune(s[i]))
		case r < ' ':
			v.put('\u2400' + r)
		case r == 0x7F:
			v.put('␡')
		case !shown(r):
			v.escape("⟨U+%04X⟩", r)
		case unicode.Is(unicode.M, r):
			if v.marks++; v.marks > maxMarks {
				v.escape("⟨U+%04X⟩", r)
			} else {
				v.out.WriteRune(r)
			}
		default:
			v.put(r)
		}
		i += size
	}
}

func (v *shower) put(r rune) {
	v.out.WriteRune(r)
	v.column++
	v.marks = 0
}

func (v *shower) escape(form string, r rune) {
	n, _ := fmt.Fprintf(v.out, form, r)
	v.column += n - 4 // the two brackets have three bytes each
	v.marks = maxMarks
}

// shown says whether a terminal draws r, and draws it as itself.
func shown(r rune) bool {
	return unicode.IsPrint(r) && r != '\u2800' && // the empty braille pattern
		!unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
