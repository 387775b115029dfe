package ui

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/ui/frame"
)

const evil = "\x1b[2J\x1b]0;owned\a\u202eevil\u202c\u200b\xff\u0085 👩‍👩‍👧\tx"

// evilGate is a bottle that an agent, a manifest and a state from elsewhere filled with what does not print.
func evilGate(tool string) bottles.Bottle {
	route := bottles.Route{Path: evil, Upstream: evil, AuthScheme: evil, TokenRef: evil, Roles: []string{evil}}
	b := asking(tool, evil, evil+"\n", evil+"\nx\n", evil)
	if tool == queue.ToolCredProxy {
		b.Requests[0].Proposed = `[{"path":"\u001b[2J\u202e","upstream":"\u0007","token_ref":"\u009b31m","role":["\u200b"]}]`
		b.Requests[0].Tokens = []string{"\u009b31m"}
		b.Requests[0].Current = nil
	}
	b.Allow, b.Routes = []string{evil}, []bottles.Route{route}
	b.Grants = []bottles.Grant{{ID: "g1", Tool: evil, Scope: bottles.Scope{For: time.Hour}, At: start, Until: start.Add(time.Hour),
		Change: bottles.Change{Allow: []string{evil}, Disallow: []string{evil}, Routes: []bottles.Route{route}, Unroute: []string{evil}}}}
	return b
}

func evilPlan(context.Context, bottles.Action) (*bottles.Preflight, error) {
	p := aPlan()
	p.Agent, p.Profile, p.Manifest, p.CWD, p.Image.Reference = evil, evil, evil, evil, evil
	p.EnvNames, p.Egress.Allow = []string{evil}, []string{evil}
	p.Routes[0].Path, p.Routes[0].Upstream, p.Routes[0].TokenRef = evil, evil, evil
	p.Conflicts = []bottles.Conflict{{What: evil, Fix: evil}}
	return p, nil
}

// stroll visits what there is of grants, requests and plans, and checks each screen.
func stroll(s *stage, check func(what string)) {
	for _, tool := range []string{queue.ToolEgress, queue.ToolCredProxy} {
		s.show(evilGate(tool))
		check(tool)
		s.press("3", "tab", "j")
		check(tool + " tab")
		s.press("R")
		check(tool + " revoke")
		s.press("esc", "a")
		s.quiet()
		check(tool + " request")
		s.press("s", "s", "s", "G")
		s.quiet()
		check(tool + " profile")
		if tool == queue.ToolCredProxy {
			s.press("y")
			check(tool + " source")
			s.send(tea.PasteMsg{Content: evil})
			check(tool + " source, pasted")
			s.press("enter", "esc")
			s.quiet()
		}
		s.press("e")
		check(tool + " editing")
		s.press("ctrl+s", "G")
		check(tool + " preview")
		if s.m.dialog == nil {
			s.t.Errorf("the request of %s is not open any more", tool)
		}
		s.press("esc", "esc", "esc")
	}
	s.show()
	s.press("n", "enter")
	check("plan")
	s.press("G")
	check("plan, its end")
	s.press("esc", "esc")
}

func TestHostileGatesAreDrawnAsCells(t *testing.T) {
	for _, size := range sizes {
		for _, refused := range []bool{false, true} {
			s := newStage(t, size[0], size[1])
			s.m.cwd = ""
			s.sup.plan = evilPlan
			s.sup.edit = func(context.Context, string, string, []byte, map[string]string) (*bottles.Edit, error) {
				if refused {
					return nil, errors.New(evil)
				}
				return &bottles.Edit{Path: evil, Before: []byte(evil), After: []byte(evil + "\n" + evil)}, nil
			}
			stroll(s, func(string) { assertHarmless(t, s); s.text() })
		}
	}
}

func TestGatesFillEveryWindowSize(t *testing.T) {
	for w := 40; w <= 130; w += 30 {
		for h := 10; h <= 40; h += 10 {
			s := newStage(t, w, h)
			s.m.cwd = ""
			s.sup.plan = longPlan
			s.sup.edit = func(context.Context, string, string, []byte, map[string]string) (*bottles.Edit, error) {
				return &bottles.Edit{Path: "/home/ada/claude-bottle.json", Before: []byte(manifestBefore), After: []byte(manifestAfter)}, nil
			}
			stroll(s, func(what string) {
				lines := strings.Split(s.view().Content, "\n")
				if len(lines) != h {
					t.Fatalf("%d×%d %s: %d lines", w, h, what, len(lines))
				}
				for i, line := range lines {
					if got := frame.Width(line); got != w {
						t.Fatalf("%d×%d %s: row %d has %d cells: %q", w, h, what, i, got, line)
					}
				}
				if d := s.m.dialog; d != nil {
					if drawn := d.Draw(w, s.m.layout().body.h).Lines; len(drawn) > max(s.m.layout().body.h, 12) {
						t.Errorf("%d×%d %s: the dialog has %d lines in %d", w, h, what, len(drawn), s.m.layout().body.h)
					}
				}
			})
		}
	}
}
