package ui

import (
	"slices"
	"testing"

	tea "charm.land/bubbletea/v2"
)

// Before the program stops, the agents' terminals are let go of; when it goes on they are taken again.
func TestSuspend(t *testing.T) {
	s := newStage(t, 120, 36)
	s.show(live("a-11111", 0))
	s.press("ctrl+z")
	s.sees("it can't be suspended: no shell would go on with it")
	if len(s.sup.terminals) > 0 {
		t.Fatalf("asked for %q", s.sup.terminals)
	}
	s.shell = true
	for _, msg := range []tea.Msg{tea.KeyPressMsg{Code: 'z', Mod: tea.ModCtrl}, suspendMsg{}} {
		s.sup.terminals = nil
		s.m.pause = func() { s.sup.told("pause") }
		s.send(msg)
		if !slices.Equal(s.sup.terminals, []string{"release", "pause", "retake"}) {
			t.Errorf("%T: asked for %q", msg, s.sup.terminals)
		}
	}
}
