package terminal_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"go.uber.org/goleak"

	"bottle-tui/bottles"
	"bottle-tui/ui/terminal"
)

var _ bottles.Screen = (*terminal.Screen)(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func screen(t testing.TB, cols, rows int) *terminal.Screen {
	t.Helper()
	s := terminal.New(cols, rows, 100, nil)
	t.Cleanup(s.Close)
	return s
}

func write(t testing.TB, s *terminal.Screen, p string) {
	t.Helper()
	if n, err := s.Write([]byte(p)); n != len(p) || err != nil {
		t.Fatalf("Write took %d of %d bytes: %v", n, len(p), err)
	}
}

// check holds what is true of every screen.
func check(t testing.TB, s *terminal.Screen) {
	t.Helper()
	cols, rows := s.Size()
	for _, scroll := range []int{0, 1, s.ScrollbackLen(), 1 << 30} {
		got := s.Rows(scroll)
		if len(got) != rows {
			t.Fatalf("scrolled by %d: %d rows, want %d", scroll, len(got), rows)
		}
		for y, r := range got {
			if w := ansi.StringWidth(r); w != cols {
				t.Fatalf("scrolled by %d: row %d is %d cells wide, want %d: %q", scroll, y, w, cols, r)
			}
			if w := ansi.StringWidthWc(r); w != cols {
				t.Fatalf("scrolled by %d: row %d is %d code points wide, want %d: %q", scroll, y, w, cols, r)
			}
			if err := onlySGR(r); err != nil {
				t.Fatalf("scrolled by %d: row %d: %v: %q", scroll, y, err, r)
			}
		}
	}
	if x, y, _ := s.Cursor(); x < 0 || y < 0 || x >= cols || y >= rows {
		t.Fatalf("the cursor is at %d,%d of %d×%d", x, y, cols, rows)
	}
}

// onlySGR tells whether a row has a control other than SGR sequences, or leaves styles on.
func onlySGR(row string) error {
	styled := false
	for i := 0; i < len(row); i++ {
		if row[i] >= 0x20 && row[i] != 0x7f {
			continue
		}
		end := strings.IndexByte(row[i:], 'm')
		if end < 0 || !strings.HasPrefix(row[i:], "\x1b[") || strings.Trim(row[i+2:i+end], "0123456789;:") != "" {
			return fmt.Errorf("a control at byte %d", i)
		}
		body := row[i+2 : i+end]
		styled = body != "" && body != "0"
		i += end
	}
	if styled {
		return fmt.Errorf("styles stay on")
	}
	if strings.ContainsFunc(row, func(r rune) bool { return r >= 0x80 && r < 0xa0 || r == 0x202e || r == 0xfeff }) {
		return fmt.Errorf("an invisible character")
	}
	return nil
}

func TestScreen(t *testing.T) {
	const esc = "\x1b"
	for _, c := range []struct {
		name, in string
		want     string // of 10×4 cells, trailing blank rows left out
		x, y     int    // the cursor; -1: not looked at
	}{
		{"text", "hello\r\nworld", "hello\nworld", 5, 1},
		{"wrap", "0123456789ab", "0123456789\nab", 2, 1},
		{"pending wrap then return", "0123456789\r\nab", "0123456789\nab", 2, 1},
		{"no wrap", esc + "[?7l0123456789ab", "012345678b", 9, 0},
		{"scroll", "1\r\n2\r\n3\r\n4\r\n5", "2\n3\n4\n5", 1, 3},
		{"line feed keeps the column", "ab\ncd", "ab\n  cd", 4, 1},
		{"new line mode", esc + "[20hab\ncd" + esc + "[20l", "ab\ncd", 2, 1},
		{"NEL", "ab" + esc + "Ecd", "ab\ncd", 2, 1},
		{"IND and RI", "ab" + esc + "Dcd" + esc + "M" + esc + "Mef", "    ef\nab\n  cd", 6, 0},
		{"RI at the top scrolls down", "ab" + esc + "Mcd", "  cd\nab", 4, 0},
		{"scroll region", "1\r\n2\r\n3\r\n4" + esc + "[2;3r" + esc + "[3H\nx", "1\n3\nx\n4", 1, 2},
		{"a region's bottom is clamped", "1\r\n2\r\n3\r\n4" + esc + "[2;999r" + esc + "[4H\nx", "1\n3\n4\nx", 1, 3},
		{"an upside down region is ignored", esc + "[3;2r" + esc + "[4Hx\r\ny", "\n\nx\ny", 1, 3},
		{"a region stops the cursor that comes from outside", esc + "[2;3r" + esc + "[4H" + esc + "[9Ax" + esc + "[H" + esc + "[9By", "\nx\ny", 1, 2},
		{"SU and SD", "1\r\n2\r\n3" + esc + "[2S" + esc + "[1T", "\n3", 1, 2},
		{"insert and delete lines", "1\r\n2\r\n3\r\n4" + esc + "[2H" + esc + "[L" + esc + "[4H" + esc + "[M", "1\n\n2", 0, 3},
		{"insert lines outside the region", "1\r\n2" + esc + "[1;2r" + esc + "[4H" + esc + "[3L", "1\n2", 0, 3},
		{"insert, delete, erase characters", "abcdef" + esc + "[1;2H" + esc + "[2@" + esc + "[1;6H" + esc + "[P" + esc + "[X", "a  bc f", 5, 0},
		{"insert and delete characters outside the region", "abcd" + esc + "[2;3r" + esc + "[H" + esc + "[P" + esc + "[2@", "  bcd", 0, 0},
		{"delete before wide characters", "a漢字b" + esc + "[G" + esc + "[P", "漢字b", 0, 0},
		{"delete half of a wide character", "a漢字b" + esc + "[2G" + esc + "[P", "a 字b", 1, 0},
		{"insert before wide characters", "a漢字b" + esc + "[G" + esc + "[6@", "      a漢", 0, 0},
		{"insert within wide characters", "漢字" + esc + "[2G" + esc + "[@x", " x 字", 2, 0},
		{"ED 0", "11\r\n22\r\n33" + esc + "[2;2H" + esc + "[J", "11\n2", 1, 1},
		{"ED 1 keeps what is right of the cursor", "11\r\n222\r\n33" + esc + "[2;2H" + esc + "[1J", "\n  2\n33", 1, 1},
		{"ED 1 keeps the saved cursor", "abc" + esc + "7" + esc + "[3;3H" + esc + "[1J" + esc + "8d", "   d", 4, 0},
		{"ED 2 keeps the cursor", "11\r\n22" + esc + "[2Jx", "\n  x", 3, 1},
		{"ED 3 keeps the screen", "11\r\n22" + esc + "[3J", "11\n22", 2, 1},
		{"EL", "abcdef" + esc + "[4G" + esc + "[1K" + esc + "[5G" + esc + "[K", "", 4, 0},
		{"position", esc + "[2;3Hx" + esc + "[3;1fy" + esc + "[4dz", "\n  x\ny\n z", 2, 3},
		{"position beyond the edge", esc + "[99;99Hx", "\n\n\n         x", -1, -1},
		{"relative positions", "a" + esc + "[2ab" + esc + "[ec" + esc + "[9`d", "a  b\n    c   d", 9, 1},
		{"tabs", "\tx" + esc + "[Zy", "        y", 9, 0},
		{"tab stops", esc + "[3g" + esc + "[4G" + esc + "H\r\tx", "   x", 4, 0},
		{"REP", "a" + esc + "[3b", "aaaa", 4, 0},
		{"REP of a wide character", "漢" + esc + "[2b", "漢漢漢", 6, 0},
		{"REP is at most a line", "a" + esc + "[999999999b", "aaaaaaaaaa\na", 1, 1},
		{"save and restore", "ab" + esc + "7" + esc + "[4;4H" + esc + "8c", "abc", 3, 0},
		{"SCO save and restore", "ab" + esc + "[s" + esc + "[4;4H" + esc + "[uc", "abc", 3, 0},
		{"?1048 save and restore", "ab" + esc + "[?1048h" + esc + "[4;4H" + esc + "[?1048lc", "abc", 3, 0},
		{"restore ends a pending wrap", esc + "7" + "0123456789" + esc + "8x", "x123456789", 1, 0},
		{"DECSTR", esc + "[2;3r" + esc + "[?6h" + esc + "[?7l" + esc + "[4;1Habc" + esc + "[!p" + esc + "[1;9Hxyz", "        xy\nz\nabc", 1, 1},
		{"line drawing", esc + "(0lqk" + esc + "(Blqk", "┌─┐lqk", 6, 0},
		{"line drawing shifted in", esc + ")0x\x0ex\x0fx", "x│x", 3, 0},
		{"pounds", esc + "(A#$" + esc + "(B#", "£$#", 3, 0},
		{"a carriage return in origin mode", esc + "[?6h" + esc + "[2;4r" + esc + "[2Hab\rc", "\n\ncb", 1, 2},
		{"a reset on the alternate screen", "a" + esc + "[?1049hb" + esc + "cc" + esc + "[?1049l", "c", 1, 0},
		{"back tab ends a pending wrap", "0123456789" + esc + "[Zx", "01234567x9", 9, 0},
		{"alternate screen", "main" + esc + "[?1049halt" + esc + "[?1049l!", "main!", 5, 0},
		{"alternate screen on", "main" + esc + "[?1049h" + esc + "[2;2Halt", "\n alt", 4, 1},
		{"alternate screen of old", "main" + esc + "[?47h" + esc + "[Halt" + esc + "[?47l", "main", 4, 0},
		{"a region does not stay with the alternate screen", esc + "[?1049h" + esc + "[1;2r" + esc + "[?1049l" + esc + "[?1049h1\r\n2\r\n3", "1\n2\n3", 1, 2},
		{"RIS", "ab" + esc + "[2;3r" + esc + "c" + "x", "x", 1, 0},
		{"title with the byte 0x9C", esc + "]0;✳ Claude\x07x", "x", 1, 0},
		{"clipboard, links, notes, colours", esc + "]52;c;aGk=\x07" + esc + "]8;;http://x\x07x" + esc + "]8;;\x07" + esc + "]9;note\x07" + esc + "]4;1;rgb:f/f/f\x07", "x", 1, 0},
		{"endless DCS, then text after a sequence", esc + "Pq" + strings.Repeat("#", 9999) + esc + "[2Cx", "  x", 3, 0},
		{"combining", "e\u0301x", "e\u0301x", 2, 0},
		{"emoji of several", "👩‍👩‍👧x", "👩x", -1, -1},
		{"wide at the edge wraps", "012345678漢x", "012345678\n漢x", 3, 1},
		{"wide fills the edge", "01234567漢x", "01234567漢\nx", 1, 1},
		{"half of a wide character is blank", "漢字" + esc + "[2Gx", " x字", 2, 0},
		{"invalid UTF-8", "a\xff\xc3(\xe2\x82x", "a\ufffd\ufffd(\ufffdx", 6, 0},
		{"eight-bit controls", "a\x9b31mb\x9c", "a\ufffd31mb\ufffd", 7, 0},
		{"controls in UTF-8, bidi and zero width", "a\u009bb\u202ec\u200bd\ufeff", "abcd", 4, 0},
		{"delete and others are nothing", "a\x7f\x00\x01\x05b", "ab", 2, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{len(c.in), 1, 3} {
				s := screen(t, 10, 4)
				for in := c.in; in != ""; {
					n := min(size, len(in))
					write(t, s, in[:n])
					in = in[n:]
				}
				check(t, s)
				if got := strings.TrimRight(strings.Join(s.Plain(), "\n"), "\n"); got != c.want {
					t.Errorf("in pieces of %d: got\n%s\nwant\n%s", size, got, c.want)
				}
				if x, y, _ := s.Cursor(); c.x >= 0 && (x != c.x || y != c.y) {
					t.Errorf("in pieces of %d: the cursor is at %d,%d, want %d,%d", size, x, y, c.x, c.y)
				}
			}
		})
	}
}

func TestStyles(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"\x1b[1;31mab\x1b[mc", "\x1b[0;1;31mab\x1b[0mc"},
		{"\x1b[94;107mab", "\x1b[0;94;107mab\x1b[m"},
		{"\x1b[38;5;200;48;2;1;2;3mab", "\x1b[0;38;5;200;48;2;1;2;3mab\x1b[m"},
		{"\x1b[38:2::1:2:3mab", "\x1b[0;38;2;1;2;3mab\x1b[m"},
		{"\x1b[4:3;58;5;1mab", "\x1b[0;4:3;58;5;1mab\x1b[m"},
		{"\x1b[2;3;4;5;7;8;9mab", "\x1b[0;2;3;5;7;8;9;4mab\x1b[m"},
		{"\x1b[1mab\x1b]8;;http://evil\x07cd\x1b[m", "\x1b[0;1mabcd\x1b[m"},
	} {
		s := screen(t, 6, 1)
		write(t, s, c.in)
		check(t, s)
		got := strings.TrimRight(s.Rows(0)[0], " ")
		got, want := strings.TrimSuffix(got, "\x1b[0m"), strings.TrimSuffix(c.want, "\x1b[m")
		if got != want {
			t.Errorf("%q: got %q, want %q", c.in, got, want)
		}
	}
}

// Text that takes more columns by one way of counting than by the other would move the frame to its right.
func TestBothWaysOfCounting(t *testing.T) {
	for _, in := range []string{"⚠️x", "👩‍👩‍👧x", "👍🏿x", "🇩🇪x", "1️⃣x", "❤️x", "✳ x", "⏺x", "नमस्तेx", "กำx", "한x", "한글x", "ﷺx", "☺︎x"} {
		s := screen(t, 12, 2)
		write(t, s, in)
		check(t, s)
		if got := s.Plain()[0]; !strings.HasSuffix(got, "x") {
			t.Errorf("%q became %q", in, got)
		}
	}
}

func TestSplitClusterIsJoined(t *testing.T) {
	s := screen(t, 10, 2)
	for _, b := range []byte("e\u0301👍🏿x") {
		write(t, s, string([]byte{b}))
	}
	if x, _, _ := s.Cursor(); x != 4 {
		t.Errorf("the cursor is in column %d, want 4: %q", x, s.Plain())
	}
}

func TestHeldBackTextIsSeen(t *testing.T) {
	s := screen(t, 10, 2)
	for _, in := range []string{"a", "é", "漢", "👍"} {
		before := s.Version()
		write(t, s, in)
		if s.Version() == before {
			t.Errorf("%q did not change the version", in)
		}
		if got := s.Plain()[0]; !strings.HasSuffix(got, in) {
			t.Errorf("%q is not to be seen: %q", in, got)
		}
	}
	write(t, s, "\xe6\xbc") // the first bytes of a character wait for the rest
	before := s.Plain()[0]
	write(t, s, "\xa2")
	if got := s.Plain()[0]; got != before+"漢" {
		t.Errorf("got %q after %q", got, before)
	}
}

func TestScrollback(t *testing.T) {
	s := screen(t, 10, 3)
	for i := range 250 {
		write(t, s, fmt.Sprintf("\x1b[3%dmline %d\x1b[m\r\n", i%8, i))
	}
	if n := s.ScrollbackLen(); n != 100 {
		t.Fatalf("it keeps %d lines, want 100", n)
	}
	for _, c := range []struct {
		scroll int
		want   string
	}{{0, "line 248|line 249|"}, {1, "line 247|line 248|line 249"}, {4, "line 244|line 245|line 246"}, {100, "line 148|line 149|line 150"}, {9999, "line 148|line 149|line 150"}} {
		var got []string
		for _, r := range s.Rows(c.scroll) {
			got = append(got, strings.TrimRight(ansi.Strip(r), " "))
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("scrolled by %d: got %q, want %q", c.scroll, got, c.want)
		}
	}
	check(t, s)
	for _, cols := range []int{4, 30} { // lines keep the width that they were drawn for
		s.Resize(cols, 3)
		check(t, s)
	}
	write(t, s, "\x1b[?1049hx\r\ny\r\nz\r\nw")
	if n := s.ScrollbackLen(); n != 0 {
		t.Errorf("the alternate screen scrolls back %d lines", n)
	}
	write(t, s, "\x1b[?1049l\x1b[3J")
	if n := s.ScrollbackLen(); n != 0 {
		t.Errorf("%d lines after ED 3", n)
	}
}

func TestWhatGoesToTheScrollback(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     int
	}{
		{"lines that wrap", strings.Repeat("x", 35), 1},
		{"scroll up", "a\r\nb\x1b[2S", 2},
		{"erased screen", "a\r\nb\x1b[2J", 2},
		{"deleted lines", "a\r\nb\x1b[H\x1b[2M", 0},
		{"a region's lines", "a\x1b[2;3r\x1b[3H\n\n\n", 0},
		{"lines of a region at the top", "a\x1b[1;2r\x1b[2H\n\n", 2},
		{"alternate screen", "\x1b[?1049ha\r\nb\r\nc\r\nd\r\n\x1b[2J", 0},
	} {
		s := screen(t, 10, 3)
		write(t, s, c.in)
		if s.ScrollbackLen() == 0 {
			write(t, s, "\x1b[?1049l")
		}
		if got := s.ScrollbackLen(); got != c.want {
			t.Errorf("%s: %d lines, want %d", c.name, got, c.want)
		}
	}
}

// What a window took while it was large is given back.
func TestAWindowThatWasLargeLeavesNothing(t *testing.T) {
	s := screen(t, 80, 24)
	before := heap()
	s.Resize(500, 200)
	large := heap()
	s.Resize(80, 24)
	if after := heap(); after-before > (large-before)/5 {
		t.Errorf("%d KiB at first, %d with the large window, %d afterwards", before>>10, large>>10, after>>10)
	}
	check(t, s)
}

func TestResizeKeepsTheCursorsLine(t *testing.T) {
	s := screen(t, 10, 4)
	write(t, s, "1\r\n2\r\n3\r\n4>")
	s.Resize(10, 2)
	check(t, s)
	if got := strings.Join(s.Plain(), "|"); got != "3|4>" || s.ScrollbackLen() != 2 {
		t.Errorf("got %q and %d lines of scrollback", got, s.ScrollbackLen())
	}
	if x, y, _ := s.Cursor(); x != 2 || y != 1 {
		t.Errorf("the cursor is at %d,%d", x, y)
	}
	s.Resize(10, 4)
	write(t, s, "!")
	if got := strings.Join(s.Plain(), "|"); got != "3|4>!||" {
		t.Errorf("got %q", got)
	}
	// A cursor that was saved where there is no cell any more.
	write(t, s, "\x1b[4;10H\x1b7\x1b[?1049h")
	s.Resize(3, 2)
	for _, in := range []string{"\x1b[?1049l", "\x1b8", "x\r\ny\x1b[L\x1b[P\x1b[@\x1b[1J"} {
		write(t, s, in)
		check(t, s)
	}
}

func TestVersionAndDirty(t *testing.T) {
	s := screen(t, 10, 2)
	dirty := 0
	s.SetDirty(func() { s.Rows(0); dirty++ })
	for _, c := range []struct {
		in      string
		changes bool
	}{
		{"a", true}, {"\x1b[c", false}, {"\x1b]52;c;?\x07", false}, {"\x1b]0;t\x07", true}, {"\x1b]0;t\x07", false},
		{"\x1b[?25l", true}, {"\x1b[?25l", false}, {"\x1b[2J", true}, {"\x1b[?2004h", false}, {"\x07", false}, {"\x1bPq", false},
	} {
		s.Rows(0)
		before, was := s.Version(), dirty
		write(t, s, c.in)
		if (s.Version() != before) != c.changes || (dirty != was) != c.changes {
			t.Errorf("%q: version %d → %d, told %d times; want a change: %v", c.in, before, s.Version(), dirty-was, c.changes)
		}
	}
	a := s.Rows(0)
	if b := s.Rows(0); &a[0] != &b[0] {
		t.Error("the rows were drawn again without a change")
	}
	if testing.AllocsPerRun(100, func() { s.Rows(0) }) > 0 {
		t.Error("rows that did not change cost memory")
	}
}

func TestTitle(t *testing.T) {
	s := screen(t, 10, 2)
	write(t, s, "\x1b]2;✳ busy\x1b\\")
	if got := s.Title(); got != "✳ busy" {
		t.Errorf("got %q", got)
	}
	write(t, s, "\x1b]0;"+strings.Repeat("漢", 1000)+"\x07")
	if n := len(s.Title()); n > 256 || n < 250 {
		t.Errorf("it is %d bytes long", n)
	}
	write(t, s, "\x1b]0;"+strings.Repeat("x", 1<<20)+"\x07") // too long to be one
	if got := s.Title(); !strings.HasPrefix(got, "漢") {
		t.Errorf("got %.20q", got)
	}
	write(t, s, "\x1b]0;a\u202e\u009bb\xff\x07")
	if got := s.Title(); strings.ContainsAny(got, "\u202e\u009b") || strings.Contains(got, "\xff") {
		t.Errorf("got %q", got)
	}
}

func TestCursorVisibility(t *testing.T) {
	s := screen(t, 10, 2)
	visible := func() bool { _, _, v := s.Cursor(); return v }
	for _, c := range []struct {
		in   string
		want bool
	}{{"", true}, {"\x1b7\x1b[?25l", false}, {"\x1b8", false}, {"\x1b[?1049h", false}, {"\x1b[?25h", true}, {"\x1b[?25l\x1b[!p", true}, {"\x1b[?25l\x1bc", true}} {
		write(t, s, c.in)
		if visible() != c.want {
			t.Errorf("after %q: visible is %v", c.in, !c.want)
		}
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"\x1b[c", "\x1b[?62;22c"}, {"\x1b[0c", "\x1b[?62;22c"}, {"\x1b[>c", "\x1b[>1;10;0c"},
		{"\x1b[>q", "\x1bP>|bottle-tui\x1b\\"}, {"\x1b[5n", "\x1b[0n"}, {"\x1b[2;3H\x1b[6n", "\x1b[2;3R"}, {"ab\x1b[?6n", "\x1b[?1;3R"},
		{"\x1b[?2026$p", "\x1b[?2026;2$y"}, {"\x1b[?7$p", "\x1b[?7;1$y"}, {"\x1b[?2027$p", "\x1b[?2027;3$y"}, {"\x1b[?4242$p", "\x1b[?4242;0$y"}, {"\x1b[4$p", "\x1b[4;0$y"},
		{"\x1b[?u", "\x1b[?0u"}, {"\x1b[>1u\x1b[?u", "\x1b[?1u"}, {"\x1b[>31u\x1b[<u\x1b[?u", "\x1b[?0u"}, {"\x1b[=1u\x1b[?u", "\x1b[?1u"}, {"\x1b[=1u\x1b[=1;3u\x1b[?u", "\x1b[?0u"},
		{"\x1b[>1u\x1b[?1049h\x1b[?u", "\x1b[?0u"},
		{"\x1b]11;?\x07", "\x1b]11;rgb:0000/0000/0000\x1b\\"}, {"\x1b]10;?\x1b\\", "\x1b]10;rgb:d4d4/d4d4/d4d4\x1b\\"},
		{"\x1b[18t", "\x1b[8;4;20t"}, {"\x1b[21t\x1b[t", ""}, {"\x1bP$qm\x1b\\", "\x1bP0$r\x1b\\"}, {"\x1bP+q544e\x1b\\", "\x1bP0+r\x1b\\"},
		{"\x1b]52;c;?\x07\x1b]4;1;?\x07\x05", ""},
	} {
		var got strings.Builder
		var s *terminal.Screen
		s = terminal.New(20, 4, 0, func(p []byte) {
			s.Rows(0) // an answer is given under no lock
			got.Write(p)
		})
		write(t, s, c.in)
		if got.String() != c.want {
			t.Errorf("%q was answered %q, want %q", c.in, got.String(), c.want)
		}
		if c.want != "" && strings.TrimSpace(strings.Join(s.Plain(), "")) != strings.TrimLeft(c.in[:strings.IndexByte(c.in, 0x1b)], " ") {
			t.Errorf("%q left %q on the screen", c.in, s.Plain())
		}
		s.Close()
	}
}

func TestAnswersAreBounded(t *testing.T) {
	n := 0
	s := terminal.New(20, 4, 0, func(p []byte) { n += len(p) })
	defer s.Close()
	write(t, s, strings.Repeat("\x1b[c", 100000))
	if n == 0 || n > 4<<10 {
		t.Errorf("%d bytes of answers", n)
	}
}

func TestBell(t *testing.T) {
	s := screen(t, 10, 2)
	rings := 0
	s.Bell(func() { s.Rows(0); rings++ })
	write(t, s, "a\x07\x07b")
	write(t, s, "\x1b]0;t\x07")
	if rings != 1 {
		t.Errorf("it rang %d times, want once", rings)
	}
}

func TestRestarted(t *testing.T) {
	s := screen(t, 10, 2)
	write(t, s, "a\r\nb\r\nc\x1b]0;t\x07\x1b[?1049h\x1b[?1h\x1b[>1u\x1b[?25l\x1b[?2026hheld\x1b]0;half")
	s.Restarted()
	check(t, s)
	_, _, visible := s.Cursor()
	if got := strings.Join(s.Plain(), ""); got != "" || s.Title() != "" || s.ScrollbackLen() != 0 || !visible {
		t.Errorf("it still has %q, title %q, %d lines, visible cursor %v", got, s.Title(), s.ScrollbackLen(), visible)
	}
	write(t, s, "new")
	if got := s.Plain()[0]; got != "new" {
		t.Errorf("got %q", got)
	}
}

func TestClosed(t *testing.T) {
	s := terminal.New(10, 2, 10, nil)
	write(t, s, "\x1b[?2026hx")
	s.Close()
	s.Close()
	write(t, s, "abc")
	s.Resize(5, 5)
	s.Restarted()
	check(t, s)
}

func TestManyGoroutines(t *testing.T) {
	s := terminal.New(40, 10, 50, func([]byte) {})
	s.SetDirty(func() {})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.Close()
	wg.Go(func() {
		for i := range 500 {
			_, _ = s.Write([]byte(fmt.Sprintf("\x1b[?2026h\x1b[3%dmline %d é漢\x1b[6n\x1b]0;t%d\x07\r\n\x1b[?2026l", i%8, i, i)))
		}
	})
	for range 2 {
		wg.Go(func() {
			for i := range 200 {
				s.Rows(i % 20)
				s.Plain()
				s.Cursor()
				s.Title()
				s.Version()
			}
		})
	}
	wg.Go(func() {
		for i := range 100 {
			s.Resize(20+i%30, 5+i%10)
			if i%20 == 0 {
				s.Restarted()
			}
		}
	})
}
