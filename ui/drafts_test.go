package ui

import (
	"errors"
	"testing"

	"bottle-tui/bottles"
)

// editsAndApproves edits the open request, adding a first line, and approves that.
func editsAndApproves(s *stage, line string) {
	s.quiet()
	s.press("e")
	s.typeText(line)
	s.press("enter", "ctrl+s")
	s.quiet()
	s.press("G", "y")
}

// ends gives the outcome of what was last asked for.
func (s *stage) ends(err error) {
	s.t.Helper()
	a := s.last()
	s.send(doneMsg{identity: concerns(a), action: a, kind: "rebuild", err: err})
}

// What the operator wrote is offered again after its build failed, and until it is in force.
func TestAnEditSurvivesTheFailureOfItsBuild(t *testing.T) {
	s := newStage(t, 120, 36)
	b := asks(s, after)
	editsAndApproves(s, "# mine")
	if _, ok := s.last().(bottles.ApproveEdited); !ok {
		t.Fatalf("asked for %#v", s.last())
	}
	s.ends(errors.New("the build failed"))
	b.Requests[0].State, b.Requests[0].Err = bottles.Unapplied, "the build failed"
	s.show(b)
	s.press("a")
	s.sees("Your version of this is kept: e goes on with it")
	s.quiet()
	s.press("e")
	s.sees("# mine")
	s.press("ctrl+r")
	s.lacks("# mine")
	s.press("ctrl+r")
	s.sees("# mine")
	s.press("ctrl+s")
	s.quiet()
	s.press("G", "y")
	if got, ok := s.last().(bottles.ApproveEdited); !ok || len(s.sup.asked()) != 2 || string(got.Content) != "# mine\n"+after {
		t.Fatalf("asked for %#v", s.sup.asked())
	}
	s.ends(nil)
	s.show(b)
	s.press("a")
	s.sees("in the agent's words")
	s.lacks("is kept")
}

// Somebody else settled the request while it was edited: what was written is offered with the next one of its kind.
func TestAnEditSurvivesItsRequest(t *testing.T) {
	s := newStage(t, 120, 36)
	b := asks(s, after)
	s.quiet()
	s.press("e")
	s.typeText("# mine")
	s.press("enter")
	b.Requests = nil
	s.show(b)
	s.lacks("# mine")
	b.Requests = []bottles.Request{capability(b.Identity, "r2", "it needs another tool", after+"RUN true\n", start)}
	s.show(b)
	s.press("a")
	s.sees("Your version of an earlier request is kept: e, then ctrl+r takes it")
	s.quiet()
	s.press("e")
	s.lacks("# mine")
	s.press("ctrl+r")
	s.sees("# mine")
	s.show() // the bottle is gone, and all of it
	s.show(b)
	s.press("esc", "a")
	if len(s.m.drafts) > 1 {
		t.Errorf("kept: %v", s.m.drafts)
	}
}

// A Dockerfile that can't be built can't be approved, neither the agent's nor the operator's.
func TestWhatCanNotBeBuiltIsNotApproved(t *testing.T) {
	s := newStage(t, 120, 36)
	asks(s, after)
	s.quiet()
	s.press("e")
	s.typeText("FRUM nothing")
	s.press("enter", "ctrl+s")
	s.quiet()
	s.sees("y is off: it can't be built, line 1: edit it (e), or deny it (n)")
	s.press("G", "y")
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("asked for %v", got)
	}
}
