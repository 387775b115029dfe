package ui

import (
	"context"
	"errors"
	"time"

	"bottle-tui/bottles"
)

func init() {
	for name, scene := range gateScenes {
		scenes[name] = scene
	}
}

// gateScenes are the screens of grants, plans and activity.
var gateScenes = map[string]func(s *stage){
	"egress-request": func(s *stage) { opened(s, askingEgress()) },
	"routes-request": func(s *stage) { opened(s, askingRoutes()) },
	"routes-end":     func(s *stage) { opened(s, askingRoutes(), "G") },
	"routes-source":  func(s *stage) { opened(s, askingRoutes(), "G", "y"); s.typeText("file:~/.gitea") },
	"routes-secret": func(s *stage) {
		opened(s, askingRoutes(), "G", "y")
		s.typeText("ghp_16C7e42F292c6912E7710c838347Ae178B4a")
		s.press("enter")
	},
	"profile-scope":   func(s *stage) { profileScope(s); s.quiet(); s.press("G") },
	"profile-slow":    profileSlow,
	"profile-refused": profileRefused,
	"egress-edit":     func(s *stage) { opened(s, askingEgress(), "e") },
	"egress-preview": func(s *stage) {
		opened(s, askingEgress(), "e")
		s.typeText("https://x/")
		s.press("ctrl+s")
		s.quiet()
	},
	"egress-tab":      func(s *stage) { s.show(granted(), busyOne(s)); s.press("3", "tab", "j") },
	"egress-tab-none": func(s *stage) { s.show(live("a-11111", time.Hour)); s.press("3") },
	"revoke":          func(s *stage) { s.show(granted()); s.press("3", "j", "tab", "j", "R") },
	"activity":        activityScene,
	"wall-activity":   func(s *stage) { activityScene(s); s.press("g") },
	"copying": func(s *stage) {
		b := live("implementer-k3x9q", 10*time.Second)
		b.Status, b.CWD = bottles.Preparing, "/home/ada/src/api"
		b.Operation = &bottles.Operation{Kind: "launch", Step: "copy 1,200 of 5,000 files", N: 3, Total: 6}
		s.show(b, live("researcher-0p2aa", time.Hour))
	},
	"manifest-problem": manifestProblem,
	"manifest-message": func(s *stage) { manifestProblem(s); s.press("!") },
	"plan":             func(s *stage) { plan(s); s.press("n", "enter") },
	"plan-conflict":    func(s *stage) { plan(s, conflicts...); s.press("n", "enter") },
	"plan-long":        func(s *stage) { plan(s); s.sup.plan = longPlan; s.press("n", "enter", "pgdown") },
	"plan-slow": func(s *stage) {
		plan(s)
		s.sup.plan = func(ctx context.Context, _ bottles.Action) (*bottles.Preflight, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		s.press("n", "enter")
		s.clock.add(700 * time.Millisecond)
		s.send(armMsg{})
	},
	"plan-error": func(s *stage) {
		plan(s)
		s.sup.plan = func(context.Context, bottles.Action) (*bottles.Preflight, error) {
			return nil, errors.New("refused: the manifest /home/ada/claude-bottle.json can't be read:\nline 4, column 7: unknown key \"egres\"; did you mean \"egress\"?")
		}
		s.press("n", "enter")
	},
	"resume-conflict": func(s *stage) {
		s.show(world()...)
		s.sup.plan = func(context.Context, bottles.Action) (*bottles.Preflight, error) {
			p := aPlan()
			p.Identity, p.Resume, p.Copy, p.Task, p.Grants, p.Conflicts = "implementer-7hq2m", true, nil, "", granted().Grants, conflicts[:1]
			return p, nil
		}
		s.press("j", "j", "j", "j", "r")
	},
}

// manifestProblem is what a newcomer sees whose manifest can't be read.
func manifestProblem(s *stage) {
	snap := s.snapshot()
	snap.Agents = nil
	snap.Problems = []bottles.Problem{{Path: "/home/ada/claude-bottle.json", Err: "/home/ada/claude-bottle.json:4:7: unknown key \"egres\"; did you mean \"egress\"?\n/home/ada/claude-bottle.json:9:12: the profile \"dve\" is not declared; did you mean \"dev\"?"}}
	s.send(updateMsg{Snapshot: snap})
}

// opened opens the request of a bottle, with a quiet keyboard, and presses keys.
func opened(s *stage, b bottles.Bottle, keys ...string) {
	s.show(b)
	s.press("a")
	s.quiet()
	s.press(keys...)
}

func profileScope(s *stage) {
	s.sup.edit = func(context.Context, string, string, []byte, map[string]string) (*bottles.Edit, error) {
		return &bottles.Edit{Path: "/home/ada/claude-bottle.json", Before: []byte(manifestBefore), After: []byte(manifestAfter)}, nil
	}
	opened(s, askingEgress(), "s", "s", "s")
}

func profileSlow(s *stage) {
	s.sup.edit = func(ctx context.Context, _, _ string, _ []byte, _ map[string]string) (*bottles.Edit, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	opened(s, askingEgress(), "s", "s", "s")
	s.clock.add(700 * time.Millisecond)
	s.send(armMsg{})
	s.press("G")
}

func profileRefused(s *stage) {
	s.sup.edit = func(context.Context, string, string, []byte, map[string]string) (*bottles.Edit, error) {
		return nil, errors.New("refused: /home/ada/claude-bottle.json can't be read any more: line 12, column 3: a comma is missing")
	}
	opened(s, askingEgress(), "s", "s", "s", "G")
}

// busyOne is a bottle whose agent works, with a grant that is about to end.
func busyOne(s *stage) bottles.Bottle {
	b := live("researcher-0p2aa", 5*time.Minute)
	b.CWD = "/home/ada/notes"
	b.Grants = []bottles.Grant{{ID: "g9", Scope: bottles.Scope{For: 15 * time.Minute}, At: start.Add(-3 * time.Minute), Until: start.Add(12 * time.Minute), Change: bottles.Change{Allow: []string{"x.example.com"}}}}
	return b
}

func activityScene(s *stage) {
	asks := askingEgress()
	idle := live("tester-bbbbb", 3*time.Hour)
	s.show(busyOne(s), asks, idle, granted2(), world()[4])
	s.print("implementer-k3x9q", "\x1b]0;◐ Fix the flaky test\a")
	s.print("researcher-0p2aa", "\x1b]0;◑ Reading\a")
	s.print("tester-bbbbb", "\x1b]0;✳ Done\a")
}

// granted2 is granted under another name.
func granted2() bottles.Bottle {
	b := granted()
	b.Identity = "implementer-for-everything-zz81c"
	return b
}

func plan(s *stage, c ...bottles.Conflict) {
	s.show()
	s.m.cwd = ""
	s.sup.plan = func(context.Context, bottles.Action) (*bottles.Preflight, error) {
		p := aPlan()
		p.Conflicts = c
		return p, nil
	}
}
