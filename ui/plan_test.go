package ui

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/ui/list"
)

// longPlan is a plan that does not fit.
func longPlan(_ context.Context, a bottles.Action) (*bottles.Preflight, error) {
	p := aPlan()
	if l, ok := a.(bottles.Launch); ok && l.SkipIgnored != nil {
		p.Copy.SkipIgnored = *l.SkipIgnored
	}
	for i := range 60 {
		p.Egress.Allow = append(p.Egress.Allow, fmt.Sprintf("host-%02d.example.com", i))
	}
	return p, nil
}

func aPlan() *bottles.Preflight {
	return &bottles.Preflight{
		Identity: "implementer-7w2ce", Agent: "implementer", Profile: "dev", Manifest: "/home/ada/claude-bottle.json", Home: "/home/ada/claude-bottle.json",
		Command: []string{"claude"}, Claude: true, Prompt: "Work in small steps.", Skills: []string{"review"}, Task: "fix the tests",
		Image: bottles.PlannedImage{Reference: "claude-bottle-agent:5f2d0c9a81be", Build: true},
		CWD:   "/home/ada/src/api", Copy: &bottles.PlannedCopy{Files: 5012, Bytes: 41 << 20, Ignored: 3},
		EnvNames: []string{"ANTHROPIC_BASE_URL", "TZ"},
		Egress:   bottles.PlannedEgress{Engine: "builtin", Allow: []string{"docs.example.com", "*.cdn.example.com"}},
		Routes: []bottles.PlannedRoute{
			{Path: "/anthropic/", Upstream: "https://api.anthropic.example.com", AuthScheme: "anthropic-oauth", TokenRef: "cmd:9f86d081884c", Roles: []string{"anthropic-base-url"}},
			{Path: "/gitea/", Upstream: "https://gitea.example.com", AuthScheme: "bearer", TokenRef: "GITEA_TOKEN", Slot: 1, Roles: []string{"git-insteadof", "tea-login"}},
		},
		Supervise: true,
	}
}

var conflicts = []bottles.Conflict{
	{What: "the container name claude-bottle-implementer-7w2ce is in use by a stranger", Fix: "docker rm -f claude-bottle-implementer-7w2ce"},
	{What: "the token GITEA_TOKEN can't be had: the environment variable is not set", Fix: "export GITEA_TOKEN=… before you start bottle-tui, or change token_ref"},
}

func TestActivityComesFromTheTitle(t *testing.T) {
	for title, want := range map[string]list.Activity{"✳ Fix the test": list.Idle, "◐ Fix the test": list.Busy, "◑ x": list.Busy, "⠐ x": list.Busy, "zsh": list.Unknown, "": list.Unknown, "⠀": list.Unknown} {
		if got := list.ActivityOf(title); got != want {
			t.Errorf("%q: %v, want %v", title, got, want)
		}
	}
	s := newStage(t, 120, 36)
	first := live("a-11111", 0)
	s.show(first, live("b-22222", 0))
	s.print("b-22222", "\x1b]0;◐ Working\a")
	row := func(want string) {
		t.Helper()
		for _, line := range s.grid() {
			if strings.Contains(line, "● b-22222") {
				if got := strings.Join(strings.Fields(strings.Split(line, "│")[1]), " "); got != want {
					t.Errorf("its row says %q, want %q", got, want)
				}
				return
			}
		}
		t.Errorf("it has no row:\n%s", s.text())
	}
	row("● b-22222 busy now")
	s.print("b-22222", "\x1b]0;✳ Done\a")
	row("● b-22222 idle now")
	s.press("g")
	s.sees("idle")
	s.print("b-22222", "\x1b]0;◑ Again\a")
	s.sees("busy")
	// A request wins, also while the title still turns.
	asks := live("b-22222", 0)
	asks.Requests = askingEgress().Requests
	s.show(first, asks)
	s.sees("⚑ waits")
	s.press("g", "j")
	s.sees("waits")
	s.lacks("busy")
	s.show(first)
	if got := s.m.list.Active(); len(got) != 0 {
		t.Errorf("the activity of %v is kept", got)
	}
}

func TestAPlanThatTakesLongIsStopped(t *testing.T) {
	s := newStage(t, 120, 36)
	s.m.cwd = ""
	s.show()
	ended := make(chan struct{})
	s.sup.plan = func(ctx context.Context, _ bottles.Action) (*bottles.Preflight, error) {
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	}
	s.press("n", "enter")
	s.lacks("looking at")
	s.clock.add(600 * time.Millisecond)
	s.send(armMsg{})
	s.sees("looking at the directory")
	s.typeText("zz") // goes nowhere
	s.press("esc")
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it still goes on")
	}
	s.sees("New bottle", "show the plan")
	s.lacks("looking at", "zz")
}

// One key on the plan leaves out what git ignores, and takes it in again; what was shown is what is launched.
func TestThePlanLeavesOutWhatGitIgnores(t *testing.T) {
	s := newStage(t, 120, 36)
	s.m.cwd = ""
	s.show()
	s.sup.plan = longPlan
	s.press("n", "enter")
	s.lacks("without what git ignores")
	s.press("i")
	s.sees("without what git ignores", "New bottle: the plan")
	s.press("i")
	s.lacks("without what git ignores")
	s.press("i")
	s.quiet()
	s.press("y")
	got := s.sup.asked()
	if len(got) != 1 {
		t.Fatalf("asked for %v", got)
	}
	if l, ok := got[0].(bottles.Launch); !ok || l.SkipIgnored == nil || !*l.SkipIgnored {
		t.Errorf("asked for %+v", got[0])
	}
}

func TestConflictsForbidALaunch(t *testing.T) {
	s := newStage(t, 120, 36)
	s.m.cwd = ""
	s.show()
	s.sup.plan = func(context.Context, bottles.Action) (*bottles.Preflight, error) {
		p := aPlan()
		p.Conflicts = conflicts
		return p, nil
	}
	s.press("n", "enter")
	s.sees("there are 2 conflicts", "in use by a stranger", "docker rm -f claude-bottle-implementer-7w2ce", "y is off")
	s.press("y")
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("asked for %v", got)
	}
	s.press("esc")
	s.sees("Directory") // the form, as it was
}

func TestResumeShowsWhatIsInTheWay(t *testing.T) {
	s := newStage(t, 120, 36)
	b := live("a-11111", 0)
	b.Status = bottles.Down
	s.show(b)
	s.sup.plan = func(context.Context, bottles.Action) (*bottles.Preflight, error) {
		return &bottles.Preflight{Identity: b.Identity, Resume: true, Conflicts: conflicts[:1]}, nil
	}
	s.press("r")
	s.sees("Resume a-11111", "in use by a stranger", "y is off")
	s.press("y", "esc")
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("asked for %v", got)
	}
	s.sup.plan = nil
	s.quiet()
	s.press("r")
	if got := s.last(); got != (bottles.Resume{Identity: "a-11111"}) {
		t.Errorf("asked for %#v", got)
	}
}

// The first snapshot is of the disk alone. What is asked for then is not refused for an engine that was not heard yet.
func TestResumeBeforeTheEngineWasHeard(t *testing.T) {
	s := newStage(t, 120, 36)
	b := live("a-11111", 0)
	b.Status = bottles.Down
	snap := s.snapshot(b)
	snap.Engine = bottles.EngineView{}
	s.send(updateMsg{Snapshot: snap})
	s.press("r")
	if got := s.last(); got != (bottles.Resume{Identity: "a-11111"}) {
		t.Errorf("asked for %#v", got)
	}
}

// A notice that needs a yes is shown with the plan, and goes back with the yes.
func TestResumeWithANoticeAsks(t *testing.T) {
	s := newStage(t, 120, 36)
	b := live("a-11111", 0)
	b.Status = bottles.Down
	s.show(b)
	s.sup.plan = func(context.Context, bottles.Action) (*bottles.Preflight, error) {
		return &bottles.Preflight{Identity: b.Identity, Resume: true, Profile: "dev", Notices: []bottles.Notice{
			{ID: "workspace-missing", What: "the workspace is gone", Fix: "copy it again", Ask: true}, {ID: "other", What: "something else"},
		}}, nil
	}
	s.press("r")
	s.sees("Resume a-11111", "the workspace is gone", "→ copy it again", "something else")
	if screen := s.text(); strings.Index(screen, "the workspace is gone") > strings.Index(screen, "profile") {
		t.Errorf("the notices are not on top:\n%s", screen)
	}
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("asked for %v", got)
	}
	s.quiet()
	s.press("y")
	if got := s.last(); got != (bottles.Resume{Identity: "a-11111", Agreed: "workspace-missing"}) {
		t.Errorf("asked for %#v", got)
	}
}

// A bottle whose agent was put into another profile is not resumed before that was shown and agreed to.
func TestResumeInAnotherProfileAsks(t *testing.T) {
	s := newStage(t, 120, 36)
	b := live("a-11111", 0)
	b.Status = bottles.Down
	s.show(b)
	s.sup.plan = func(context.Context, bottles.Action) (*bottles.Preflight, error) {
		return &bottles.Preflight{Identity: b.Identity, Resume: true, Profile: "prod", Was: "safe"}, nil
	}
	s.press("r")
	s.sees("Resume a-11111", "prod", "until now the bottle was in the profile safe")
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("asked for %v", got)
	}
	s.quiet()
	s.press("y")
	if got := s.last(); got != (bottles.Resume{Identity: "a-11111", Profile: "prod"}) {
		t.Errorf("asked for %#v", got)
	}
}
