package ui

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
)

func TestDeleteNeedsTheIdentityTyped(t *testing.T) {
	s := newStage(t, 120, 36)
	b := live("gone-12345", 0)
	b.Status = bottles.Down
	s.show(b)
	s.press("D", "enter")
	s.typeText("gone-1234")
	s.press("enter")
	s.sees("that is not gone-12345")
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("asked for %v", got)
	}
	s.typeText("5")
	s.press("enter")
	if got := s.last(); got != (bottles.Delete{Identity: "gone-12345"}) {
		t.Errorf("asked for %#v", got)
	}
}

func TestDeleteClosesWhenTheBottleComesBack(t *testing.T) {
	s := newStage(t, 120, 36)
	b := live("gone-12345", 0)
	b.Status = bottles.Down
	s.show(b)
	s.press("D")
	s.show(live("gone-12345", 0))
	if s.m.dialog != nil {
		t.Error("still asks")
	}
	s.sees("gone-12345 is live now")
}

func TestCleanupRemovesExactlyWhatWasListed(t *testing.T) {
	s := newStage(t, 120, 36)
	one := bottles.Bottle{Identity: "ghost-11111", Status: bottles.Orphan, Objects: []string{"container c1", "network n1"}}
	two := bottles.Bottle{Identity: "ghost-22222", Status: bottles.Orphan, Objects: []string{"volume v2"}}
	s.show(one, two)
	s.press("c")
	s.sees("container c1", "network n1", "volume v2", "waiting for a quiet keyboard")
	s.press("enter")
	s.sees("not taken")
	s.quiet()
	s.press("enter")
	got, ok := s.last().(bottles.Cleanup)
	if !ok || strings.Join(got.Identities, " ") != "ghost-11111 ghost-22222" {
		t.Errorf("asked for %#v", s.last())
	}
}

func TestTearDownAsksOnlyWhenSomethingIsCutShort(t *testing.T) {
	s := newStage(t, 120, 36)
	s.show(live("a-11111", 0))
	s.press("x")
	if got := s.last(); got != (bottles.TearDown{Identity: "a-11111"}) {
		t.Fatalf("asked for %#v", got)
	}
	s.press("x")
	s.sees("still under way")
	if n := len(s.sup.asked()); n != 1 {
		t.Errorf("%d actions were asked for", n)
	}
	s.send(doneMsg{identity: "a-11111", action: bottles.TearDown{Identity: "a-11111"}})
	s.sees("r resumes it")

	s = newStage(t, 120, 36)
	s.show(live("a-11111", 0))
	s.print("a-11111", "\x1b]0;◐ at work\a")
	s.press("x")
	s.sees("at work right now")
	s.press("esc")
	if got := s.sup.asked(); len(got) != 0 {
		t.Errorf("asked for %v", got)
	}
}

func TestLaunch(t *testing.T) {
	s := newStage(t, 120, 36)
	s.m.cwd = t.TempDir()
	s.show()
	s.press("n", "right", "tab", "tab")
	s.typeText("fix the tests")
	s.press("enter")
	s.sees("the plan", "new-00000")
	s.press("enter") // a key too many does not start it
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("asked for %v before the plan was agreed to", got)
	}
	s.press("y")
	s.sees("not taken: waiting for a quiet keyboard")
	s.quiet()
	s.press("y")
	want := bottles.Launch{Agent: "researcher", CWD: s.m.cwd, CopyCWD: true, Task: "fix the tests", Identity: "new-00000", Shown: "of-the-plan"}
	if got := s.last(); !reflect.DeepEqual(got, want) {
		t.Errorf("asked for %#v, want %#v", got, want)
	}
	s.show(live("a-11111", 0), live("new-00000", 0))
	if got := s.m.list.Selected().Identity; got != "new-00000" {
		t.Errorf("selected is %s, not what was asked for", got)
	}
}

func TestLaunchSaysWhatIsWrongWithTheDirectory(t *testing.T) {
	s := newStage(t, 120, 36)
	s.m.cwd = "/no/such/directory"
	s.show()
	s.press("n", "enter")
	s.sees("the directory can't be used", "/no/such/directory")
	if got := s.sup.asked(); len(got) != 0 {
		t.Errorf("asked for %v", got)
	}
}

// A failure stays in the footer until it was read in full; other notes go by themselves.
func TestFailuresStayUntilSeen(t *testing.T) {
	s := newStage(t, 120, 36)
	s.show(live("a-11111", 0))
	s.send(doneMsg{identity: "a-11111", doing: "rebuilding a-11111", action: bottles.Resume{}, kind: "resume", err: errors.New("build failed at step 3\nand this is the whole of it")})
	s.send(updateMsg{Alerts: []bottles.Alert{{Kind: bottles.AlertFailed, Identity: "a-11111", Operation: "resume", Text: "build failed at step 3"}}})
	s.clock.add(time.Hour)
	s.send(ageMsg{s.m.ages})
	s.sees("build failed at step 3")
	s.press("!")
	s.sees("and this is the whole of it")
	if n := strings.Count(s.text(), "build failed"); n != 1 {
		t.Errorf("the failure is told %d times:\n%s", n, s.text())
	}
	s.press("esc")
	s.lacks("build failed")
	s.press("!")
	s.sees("and this is the whole of it")
}

func TestNotesGoByThemselves(t *testing.T) {
	s := newStage(t, 120, 36)
	s.show()
	s.press("a")
	s.sees("no request waits for you")
	s.clock.add(noteTime)
	s.send(ageMsg{s.m.ages})
	s.lacks("no request waits")
}

// The alert and the outcome of an action, in either order, are one note; those of the next one are another.
func TestAMatterIsToldOnce(t *testing.T) {
	now := time.Now()
	for _, alertFirst := range []bool{true, false} {
		var n notes
		tell := func(kind string) {
			if alertFirst {
				n.alert(now, "a-11111", kind, "alert of "+kind, false)
			}
			n.outcome(now, "a-11111", kind, "outcome of "+kind, false)
			if !alertFirst {
				n.alert(now, "a-11111", kind, "alert of "+kind, false)
			}
		}
		for i, kind := range []string{"teardown", "resume", "teardown"} {
			tell(kind)
			if len(n.all) != i+1 || n.current().text != "outcome of "+kind {
				t.Errorf("alert first %v, after %s: %+v", alertFirst, kind, n.all)
			}
		}
	}
}
