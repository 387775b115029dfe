package terminal_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bottle-tui/ui/terminal"
)

// Mode 2026: what a program prints between its marks is drawn in one piece, or after a while.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := terminal.New(20, 2, 10, nil)
		defer s.Close()
		var told atomic.Int64
		s.SetDirty(func() { told.Add(1) })
		want := func(text string) {
			t.Helper()
			if got := strings.TrimRight(strings.Join(s.Plain(), "|"), "|"); got != text {
				t.Errorf("got %q, want %q", got, text)
			}
		}
		write(t, s, "old\x1b[?2026h\x1b[2J\x1b[Hne")
		before, was := s.Version(), told.Load()
		want("old")
		write(t, s, "w\x1b[?20")
		want("old")
		if s.Version() != before || told.Load() != was {
			t.Error("the version grew within the hold")
		}
		write(t, s, "26l\x1b[?2026h more")
		want("new")
		if s.Version() == before || told.Load() == was {
			t.Error("the version did not grow at its end")
		}
		write(t, s, "\x1b[?2026l!")
		want("new more!")

		// A program that forgets to end it, or died within it.
		write(t, s, "\r\n\x1b[?2026hlate")
		want("new more!")
		was = told.Load()
		time.Sleep(time.Second)
		synctest.Wait()
		want("new more!|late")
		if told.Load() == was {
			t.Error("nobody was told of what came late")
		}
		write(t, s, "r\x1b[?2026h later")
		want("new more!|later")
		write(t, s, "\x1b[?2026l")
		want("new more!|later later")

		// One that holds too much.
		write(t, s, "\x1b[2J\x1b[H\x1b[?2026h"+strings.Repeat("\x1b[m", 100<<10)+"big")
		want("big")

		// Other spellings of the mark count as late only.
		write(t, s, "\x1b[?2026l\x1b[2J\x1b[H\x1b[?25;2026hx\x1b[?25;2026ly")
		time.Sleep(time.Second)
		synctest.Wait()
		want("xy")
	})
}

func TestHoldEndsWithTheScreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := terminal.New(10, 2, 10, nil)
		write(t, s, "\x1b[?2026hx")
		s.Close()
		time.Sleep(time.Second)
		synctest.Wait()
		if got := s.Plain()[0]; got != "" {
			t.Errorf("got %q after Close", got)
		}
	})
}
