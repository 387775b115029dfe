package ui

import (
	"fmt"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
)

func crowd(n int) []bottles.Bottle {
	all := make([]bottles.Bottle, n)
	for i := range all {
		all[i] = live(fmt.Sprintf("implementer-%05d", i), time.Duration(i)*time.Minute)
		if i >= 5 {
			all[i].Status = bottles.Down
		}
	}
	return all
}

// What it costs when something arrives that changes nothing on the screen.
func BenchmarkIdleView(b *testing.B) {
	for _, n := range []int{5, 200} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newStage(b, 120, 36)
			s.m.Update(updateMsg{Snapshot: s.snapshot(crowd(n)...)})
			b.ReportAllocs()
			for b.Loop() {
				s.m.Update(terminalsMsg{})
				s.m.View()
			}
		})
	}
}

// What a new snapshot costs.
func BenchmarkSnapshot(b *testing.B) {
	for _, n := range []int{5, 200} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newStage(b, 120, 36)
			all := crowd(n)
			b.ReportAllocs()
			for b.Loop() {
				s.m.Update(updateMsg{Snapshot: s.snapshot(all...)})
				s.m.View()
			}
		})
	}
}

// What a frame of the selected terminal costs.
func BenchmarkTerminalFrame(b *testing.B) {
	for _, n := range []int{5, 200} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newStage(b, 200, 50)
			s.m.Update(updateMsg{Snapshot: s.snapshot(crowd(n)...)})
			screen := s.screens.For("implementer-00000")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := screen.Write([]byte(agentOutput)); err != nil {
					b.Fatal(err)
				}
				s.m.Update(terminalsMsg{})
				s.m.View()
			}
		})
	}
}

// How long until the first frame with 200 bottles stands.
func BenchmarkFirstFrame(b *testing.B) {
	all := crowd(200)
	for b.Loop() {
		s := newStage(b, 120, 36)
		s.m.Update(tea.WindowSizeMsg{Width: 120, Height: 36})
		s.m.Update(updateMsg{Snapshot: s.snapshot(all...)})
		s.m.View()
	}
}

// What a new snapshot costs while the gates refuse as much as is remembered, and nothing of it could be opened.
func BenchmarkRefusals(b *testing.B) {
	s := newStage(b, 120, 36)
	bottle := flooded(200)
	for i := range bottle.Feed {
		bottle.Feed[i].What = fmt.Sprintf("10.0.0.%d:443", i)
	}
	s.m.Update(updateMsg{Snapshot: s.snapshot(bottle)})
	s.m.Update(press("3"))
	b.ReportAllocs()
	for b.Loop() {
		s.m.Update(updateMsg{Snapshot: s.snapshot(bottle)})
		s.m.View()
	}
}
