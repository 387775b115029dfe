package terminal_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"bottle-tui/ui/terminal"
)

// FuzzScreen: no stream makes a screen panic, hang, or give rows that are not what rows must be; and it does
// not matter in what pieces a stream comes.
func FuzzScreen(f *testing.F) {
	for _, s := range []string{
		"hello\r\nworld", "\x1b[2;3r\x1b[3H\n\x1bM\x1b[L\x1b[M\x1b[2S\x1b[2T", "\x1b[?1049hx\x1b[2J\x1b[?1049l", "\x1b7\x1b[4;9H漢字\x1b8\x1b[@\x1b[P",
		"e\u0301👩‍👩‍👧🇩🇪한글\xff\xf0\x9f", "\x1b[38;2;1;2;3;4:3m\x1b[48:5:1mx\x1b[m\x1b[5b", "\x1b[?6h\x1b[2;3r\x1b[!p\x1bc\x1b[1J\x1b[3J", "\x1b[?2026hx\x1b[?2026ly",
		"\x1b]0;t\x07\x1bP+q\x1b\\\x1b_x\x1b\\\x1b[c\x1b[6n", "\x1b(0lqk\x0e\x0f\x1b)0\x1bn", "\t\x1bH\x1b[3g\x1b[9I\x1b[Z", "\x1b[20h\n\v\f\b\x1bE\x1bD",
	} {
		f.Add([]byte(s), uint8(10), uint8(4), uint8(3), uint8(2))
	}
	f.Fuzz(func(t *testing.T, p []byte, cols, rows, cols2, rows2 uint8) {
		if len(p) > 1<<14 {
			return
		}
		limit := time.AfterFunc(30*time.Second, func() { panic("it hangs") })
		defer limit.Stop()
		a := terminal.New(int(cols), int(rows), 20, func([]byte) {})
		defer a.Close()
		write(t, a, string(p))
		if !bytes.Contains(p, []byte("2026")) { // else time matters
			b := terminal.New(int(cols), int(rows), 20, func([]byte) {})
			defer b.Close()
			for i := range p {
				write(t, b, string(p[i:i+1]))
			}
			if !slices.Equal(a.Rows(0), b.Rows(0)) || a.ScrollbackLen() != b.ScrollbackLen() {
				t.Fatalf("in one piece\n%q\nbyte by byte\n%q", a.Rows(0), b.Rows(0))
			}
		}
		check(t, a)
		a.Resize(int(cols2), int(rows2))
		check(t, a)
		write(t, a, string(p))
		check(t, a)
		a.Resize(int(cols), int(rows))
		check(t, a)
	})
}
