// Package plain makes text of strangers fit for a log, an answer and a screen.
package plain

import (
	"fmt"
	"strings"
)

// most is how many bytes of a stranger's text are kept.
const most = 512

// Bounded is s as far as a log needs it: whole to 512 bytes, else cut there and ended with "…".
func Bounded(s string) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Printable is s, bounded, with every byte that is not of printable ASCII written as "%" and two hexadecimal digits.
func Printable(s string) string {
	end := ""
	if len(s) > most {
		s, end = s[:most], "…"
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String() + end
}
