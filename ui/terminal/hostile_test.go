package terminal_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"bottle-tui/ui/terminal"
)

// slack is how much longer than usual a test may take on a machine with much to do, under -race.
const slack = 20

func TestHostileStream(t *testing.T) {
	rep := strings.Repeat
	for _, c := range []struct{ name, in string }{
		{"a character repeated for ever", "x" + rep("\x1b[999999999b", 5000)},
		{"tabs for ever", rep("\x1b[999999999I\x1b[999999999Z", 20000)},
		{"huge numbers", rep("\x1b[99999999999999999999A\x1b[99999999999999999999B\x1b[99999999999999999999@\x1b[99999999999999999999P\x1b[99999999999999999999X", 5000)},
		{"huge scrolls", rep("\x1b[99999S\x1b[99999T\x1b[99999L\x1b[99999M", 500)},
		{"a huge region", "\x1b[1;99999r" + rep("\n", 1000) + "\x1b[99999;99999r\x1b[0;0r" + rep("\x1bM", 1000)},
		{"a huge title", "\x1b]0;" + rep("x", 4<<20) + "\x07"},
		{"a title without end", "\x1b]0;" + rep("x", 4<<20)},
		{"a DCS without end", "\x1bPq" + rep("x\r\n", 1<<20)},
		{"strings in strings", rep("\x1b]0;\x1bP\x1b_\x1b^\x1bX", 100000)},
		{"escape after escape", rep("\x1b", 1<<20) + rep("\x1b[", 1<<19) + rep("\x1b[?", 1<<18)},
		{"parameters without end", "\x1b[" + rep("38;5;1:", 1<<18) + "m"},
		{"all colours", rep("\x1b[38;2;1;2;3;48;5;1;58:2::1:2:3;4:3mx", 20000)},
		{"broken colours", rep("\x1b[38m\x1b[38;2m\x1b[38;2;1m\x1b[38:2m\x1b[48:5m\x1b[58;9;9;9m\x1b[4:9mx", 20000)},
		{"one long line", rep("x", 1<<20)},
		{"one long line of wide characters", rep("漢", 1<<18)},
		{"lines", rep("x\n", 1<<16)},
		{"a pile of accents", "e" + rep("\u0301", 1<<19)},
		{"piles of accents", rep("e"+rep("\u0301", 200), 1<<11)},
		{"joiners", "👩" + rep("\u200d👩", 1<<16)},
		{"flags", rep("🇩", 1<<17)},
		{"conjoining", rep("\u1100", 1<<17)},
		{"invalid UTF-8", rep("\xff\xfe\xc3\xe2\x82\xf0\x9f\x98", 1<<16)},
		{"halves of characters", rep("\xf0\x9f\x98", 1<<18)},
		{"screens", rep("\x1b[?1049hx\n\x1b[2J\x1b[?1049lx\n\x1b[2J", 500)},
		{"resets", rep("x\x1bc\x1b[!p", 500)},
		{"saved cursors", rep("\x1b7\x1b8\x1b[s\x1b[u\x1b[?1048h\x1b[?1048l", 20000)},
		{"keyboards", rep("\x1b[>1u", 1<<17) + rep("\x1b[>4;2m\x1b[=1;2u", 1<<16) + "\x1b[<999999999u"},
		{"questions", rep("\x1b[c\x1b[6n\x1b[?1$p\x1b]11;?\x07", 1<<15)},
		{"holds", rep("\x1b[?2026hx\x1b[?2026l", 20000) + "\x1b[?2026h" + rep("y", 1<<20)},
		{"bells and titles", rep("\x07\x1b]0;\u202e\x07", 1<<15)},
		{"modes", "\x1b[?" + rep("1;6;7;25;47;1000;1047;1048;1049;", 1) + "9999h" + rep("\x1b[?6h\x1b[?6l\x1b[?7l\x1b[?7h", 20000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			sizes := [][2]int{{1, 1}, {80, 24}, {2, 200}, {500, 200}}
			if racing {
				sizes = sizes[1:2]
			}
			for _, size := range sizes {
				s := terminal.New(size[0], size[1], 1000, func([]byte) {})
				done := make(chan struct{})
				hangs := time.After(slack * 9 * time.Second)
				go func() {
					defer close(done)
					for p := []byte(c.in); len(p) > 0; {
						n, _ := s.Write(p[:min(32<<10, len(p))])
						p = p[n:]
					}
				}()
				// The operator looks meanwhile, and is not kept waiting.
				longest := time.Duration(0)
				for busy := true; busy; {
					select {
					case <-done:
						busy = false
					case <-time.After(20 * time.Millisecond):
						looked := time.Now()
						s.Plain()
						longest = max(longest, time.Since(looked))
					case <-hangs:
						buf := make([]byte, 1<<16)
						t.Fatalf("at %v it hangs:\n%s", size, buf[:runtime.Stack(buf, true)])
					}
				}
				if longest > slack*50*time.Millisecond {
					t.Errorf("at %v the operator waited %v for the screen", size, longest)
				}
				check(t, s)
				s.Resize(500, 200)
				check(t, s)
				s.Resize(1, 1)
				check(t, s)
				s.Resize(80, 24)
				write(t, s, "\x1b\\\x18\x1bc\x1b[?2026lalive")
				check(t, s)
				if got := s.Plain()[0]; got != "alive" {
					t.Errorf("at %v it shows %q afterwards", size, got)
				}
				s.Close()
			}
		})
	}
}

// A terminal grows with its cells and with what it may remember, not with what it was sent.
func TestHostileMemory(t *testing.T) {
	rep := strings.Repeat
	for _, c := range []struct {
		name string
		step string
	}{
		{"titles", "\x1b]0;" + rep("x", 60<<10)},
		{"screens of accents", rep("e"+rep("\u0301", 31), 80*24) + "\r\n"},
		{"erased alternate screens", "\x1b[?1049h" + rep("x", 80*24) + "\x1b[2J"},
		{"scrolled alternate screens", "\x1b[?1049h" + rep(rep("x", 80)+"\r\n", 200)},
		{"wrapped alternate screens", "\x1b[?1049h" + rep("x", 80*200)},
		{"styled lines", rep("\x1b[38;2;1;2;3;48;2;4;5;6;4:3;58;2;7;8;9mx\x1b[m", 80*24)},
		{"links", rep("\x1b]8;;http://"+rep("a", 1000)+"\x07x", 100)},
		{"holds", "\x1b[?2026h" + rep("x\x18", 50<<10)},
		{"kinds of clusters", kinds()},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := terminal.New(80, 24, 1000, nil)
			defer s.Close()
			before := heap()
			times := 60
			if racing {
				times = 5
			}
			for range times {
				write(t, s, c.step)
				s.Rows(0)
			}
			if grown := heap() - before; grown > 12<<20 {
				t.Errorf("it grew by %d KiB", grown>>10)
			}
			runtime.KeepAlive(s)
		})
	}
}

func kinds() string {
	var b strings.Builder
	for r := rune(0x300); r < 0x370; r++ {
		for base := 'a'; base <= 'z'; base++ {
			b.WriteRune(base)
			b.WriteRune(r)
		}
	}
	return b.String()
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
