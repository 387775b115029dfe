package plain

import (
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	long := strings.Repeat("a", 511)
	for _, c := range []struct{ in, bounded, printable string }{
		{"", "", ""},
		{`dial tcp 10.0.0.1:1->[::1]:2: "x" <y>; 5 % / z`, `dial tcp 10.0.0.1:1->[::1]:2: "x" <y>; 5 % / z`, `dial tcp 10.0.0.1:1->[::1]:2: "x" <y>; 5 % / z`},
		{"é\x1b[2J\x7f\n\x00\xff", "é\x1b[2J\x7f\n\x00\xff", "%C3%A9%1B[2J%7F%0A%00%FF"},
		{long + "b", long + "b", long + "b"},
		{long + "bc", long + "b…", long + "b…"},
		{long + "é", long + "…", long + "%C3…"}, // never half a character
	} {
		if got := Bounded(c.in); got != c.bounded {
			t.Errorf("Bounded(%q) = %q, want %q", c.in, got, c.bounded)
		}
		if got := Printable(c.in); got != c.printable {
			t.Errorf("Printable(%q) = %q, want %q", c.in, got, c.printable)
		}
	}
}
