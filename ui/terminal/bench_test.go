package terminal_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"bottle-tui/ui/terminal"
)

// frames is output as a full-screen program makes it: a spinner, a few lines of boxes and colours, drawn at places.
func frames() []byte {
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, "\x1b[?2026h\x1b[?25l\x1b]0;%s working\x07", []string{"◐", "◑"}[i%2])
		for y := range 6 {
			fmt.Fprintf(&b, "\x1b[%d;1H\x1b[38;2;215;119;87m│\x1b[39m \x1b[1mstep %d\x1b[22m of the work that goes on \x1b[38;5;246m(%d tokens)\x1b[39m\x1b[K", 20+y, i+y, i*37)
		}
		fmt.Fprintf(&b, "\x1b[32;1H\x1b[2m╭%s╮\x1b[22m\x1b[33;3H> \x1b[7m \x1b[27m\x1b[?25h\x1b[?2026l", strings.Repeat("─", 110))
	}
	return []byte(b.String())
}

// log is output that scrolls: lines of about 80 bytes.
func log() []byte {
	var b strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&b, "\x1b[90m12:34:56.789\x1b[m \x1b[32mINFO\x1b[m request %d was served in %d ms from cache\r\n", i, i%97)
	}
	return []byte(b.String())
}

func BenchmarkWrite(b *testing.B) {
	for _, c := range []struct {
		name string
		data []byte
	}{{"frames", frames()}, {"log", log()}, {"wrapped", []byte(strings.Repeat("x", 1<<16))}, {"wide", []byte(strings.Repeat("漢字", 1<<14))}} {
		b.Run(c.name, func(b *testing.B) {
			s := terminal.New(120, 40, 1000, nil)
			defer s.Close()
			b.SetBytes(int64(len(c.data)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = s.Write(c.data)
			}
		})
	}
}

func BenchmarkRows(b *testing.B) {
	for _, c := range []struct {
		name   string
		scroll int
	}{{"changed", 0}, {"scrolled back", 30}} {
		b.Run(c.name, func(b *testing.B) {
			s := terminal.New(120, 40, 1000, nil)
			defer s.Close()
			_, _ = s.Write(log())
			b.ReportAllocs()
			for b.Loop() {
				_, _ = s.Write([]byte("x"))
				s.Rows(c.scroll)
			}
		})
	}
}

// BenchmarkHeap says what a screen of 120×40 cells holds: new, and with 1,000 lines of scrollback.
func BenchmarkHeap(b *testing.B) {
	for _, c := range []struct {
		name string
		data []byte
	}{{"new", nil}, {"1000 lines", log()}} {
		b.Run(c.name, func(b *testing.B) {
			var kept []*terminal.Screen
			before := heap()
			for b.Loop() {
				s := terminal.New(120, 40, 1000, nil)
				_, _ = s.Write(c.data)
				s.Rows(0)
				kept = append(kept, s)
			}
			b.ReportMetric(float64(heap()-before)/float64(len(kept))/(1<<10), "KiB/screen")
			runtime.KeepAlive(kept)
		})
	}
}

// Five terminals full of output are a small part of the program's 60 MiB.
func TestHeapOfFive(t *testing.T) {
	before := heap()
	var all []*terminal.Screen
	for range 5 {
		s := screen120(t)
		write(t, s, string(log()))
		write(t, s, string(frames()))
		s.Rows(0)
		all = append(all, s)
	}
	if grown := heap() - before; grown > 10<<20 {
		t.Errorf("they hold %d KiB", grown>>10)
	}
	runtime.KeepAlive(all)
}

func screen120(t *testing.T) *terminal.Screen {
	s := terminal.New(120, 40, 1000, nil)
	t.Cleanup(s.Close)
	return s
}
