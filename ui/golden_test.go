package ui

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/exp/golden"

	"bottle-tui/bottles"
)

// scenes are the screens that are held as they look. Read the files below testdata when one changes.
var scenes = map[string]func(s *stage){
	"empty":   func(s *stage) { s.show() },
	"world":   func(s *stage) { s.show(world()...); s.print("implementer-k3x9q", agentOutput) },
	"typing":  func(s *stage) { s.show(world()...); s.print("implementer-k3x9q", agentOutput); s.press("enter") },
	"request": func(s *stage) { s.show(world()...); s.print("implementer-k3x9q", agentOutput); s.press("a"); s.quiet() },
	"request-new": func(s *stage) {
		s.show(world()...)
		s.press("a")
	},
	"deny": func(s *stage) {
		s.show(world()...)
		s.press("a")
		s.quiet()
		s.press("n")
		s.typeText("ask for ripgrep alone, from apt")
	},
	"edit": func(s *stage) { s.show(world()...); s.press("a"); s.quiet(); s.press("e") },
	"preview": func(s *stage) {
		s.show(world()...)
		s.press("a")
		s.quiet()
		s.press("e", "down", "down")
		for range len("RUN curl -fsSL https://example.org/install.sh | sh") {
			s.press("ctrl+d")
		}
		s.press("backspace", "ctrl+s")
		s.quiet()
	},
	"requests-tab": func(s *stage) { s.show(world()...); s.press("tab", "2") },
	"log":          func(s *stage) { s.show(world()...); s.press("j", "j", "4") },
	"building":     func(s *stage) { s.show(world()...); s.press("j", "j") },
	"failed":       func(s *stage) { s.show(world()...); s.press("j", "j", "j") },
	"down":         func(s *stage) { s.show(world()...); s.press("j", "j", "j", "j") },
	"orphan":       func(s *stage) { s.show(world()...); s.press("end") },
	"info": func(s *stage) {
		all := world()
		all[0].Usage = bottles.Usage{Image: 38 << 20, Volumes: 3 << 30, State: 5 << 20, At: all[0].StartedAt.Add(time.Minute)}
		s.show(all...)
		s.press("5")
	},
	"help":     func(s *stage) { s.show(world()...); s.press("?") },
	"new":      func(s *stage) { s.show(world()...); s.press("n") },
	"delete":   func(s *stage) { s.show(world()...); s.press("j", "j", "j", "j", "D"); s.typeText("implementer-7") },
	"cleanup":  func(s *stage) { s.show(world()...); s.press("c") },
	"teardown": func(s *stage) { s.show(world()...); s.press("x") },
	"filter":   func(s *stage) { s.show(world()...); s.press("/"); s.typeText("impl") },
	"wall": func(s *stage) {
		s.show(append(world(), live("writer-aaaaa", 0), live("tester-bbbbb", 0))...)
		for _, id := range []string{"implementer-k3x9q", "researcher-0p2aa", "writer-aaaaa", "tester-bbbbb"} {
			s.print(id, agentOutput)
		}
		s.press("g")
	},
	"no-engine": func(s *stage) {
		snap := s.snapshot(world()[4])
		snap.Engine = bottles.EngineView{Err: "No engine answers at unix:///var/run/docker.sock: dial unix /var/run/docker.sock: connect: no such file or directory.\nStart it (systemctl start docker), or set DOCKER_HOST to where it listens."}
		s.send(updateMsg{Snapshot: snap})
	},
	"no-engine-empty": func(s *stage) {
		snap := s.snapshot()
		snap.Engine = bottles.EngineView{Err: "No engine answers at unix:///var/run/docker.sock: permission denied.\nAdd yourself to the docker group, or run as root."}
		s.send(updateMsg{Snapshot: snap})
	},
	"problems": func(s *stage) {
		snap := s.snapshot(world()...)
		snap.Problems = []bottles.Problem{{Path: "/home/ada/.claude-bottle/state/x-11111/metadata.json", Err: "not JSON: unexpected end at byte 0; the file is left alone; restore it or delete the directory"},
			{Path: "/home/ada/.claude-bottle/queue/implementer-k3x9q/a\x1b[2J.request.json", Err: "it is a link, and links are not followed"}}
		s.send(updateMsg{Snapshot: snap})
	},
	"failure": func(s *stage) { s.sup.refuse = errNope; s.show(world()...); s.press("j", "j", "j", "j", "r") },
	"many": func(s *stage) {
		var all []bottles.Bottle
		for i := range 200 {
			b := live(fmt.Sprintf("implementer-for-a-project-with-a-very-long-name-%05d", i), 0)
			b.Status = bottles.Down
			b.EndedAt = b.StartedAt
			all = append(all, b)
		}
		s.show(all...)
		s.press("pgdown", "pgdown", "j")
	},
	"hostile": hostile,
}

func init() { scenes["messages"] = messagesScene }

func messagesScene(s *stage) {
	scenes["problems"](s)
	s.sup.refuse = errNope
	s.press("j", "j", "j", "j", "r", "!")
}

func hostile(s *stage) {
	bad := "\x1b[2J\x1b]0;owned\a\u202eevil\u202c zero\u200bwidth \xff\xfe \u0085 a\u0301\u0301\u0301\u0301\u0301\u0301 日本語 👩‍👩‍👧 👍🏽 ❤️\tx\r\nnext \u2066line"
	b := live("implementer-k3x9q", 0)
	b.Agent, b.CWD, b.Detail, b.EndReason, b.Image, b.SessionID = bad, bad, bad, bad, bad, bad
	r := capability(b.Identity, "r1", bad, "FROM x\n"+bad+"\nRUN "+strings.Repeat("w日", 120)+"\n", start)
	r.Effect, r.Err = bad, bad
	r.Findings[0].Text = bad
	b.Requests = []bottles.Request{r}
	b.Operation = &bottles.Operation{Kind: bad, Step: bad, N: 1, Total: 2, Log: []string{bad, bad}}
	s.show(b)
	s.print(b.Identity, bad)
	s.press("a")
	s.quiet()
	s.press("G")
}

var sizes = [][2]int{{80, 24}, {120, 36}, {200, 50}}

func TestGolden(t *testing.T) {
	for name, scene := range scenes {
		for _, size := range sizes {
			t.Run(filepath.Join(name, fmt.Sprintf("%dx%d", size[0], size[1])), func(t *testing.T) {
				s := newStage(t, size[0], size[1])
				scene(s)
				golden.RequireEqual(t, s.text()+"\n")
			})
		}
	}
}

// Without colour the same words stand in the same cells, except borders, and no cell has a colour.
func TestGoldenWithoutColour(t *testing.T) {
	for name, scene := range scenes {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, 120, 36, "NO_COLOR=1")
			scene(s)
			golden.RequireEqual(t, s.text()+"\n")
			for _, sequence := range []string{"[38;", ";38;", "[48;", ";48;"} {
				for i, line := range strings.Split(s.view().Content, "\n") {
					if strings.Contains(line, sequence) && !strings.Contains(line, "passed") {
						t.Errorf("row %d has a colour: %q", i, line)
						break
					}
				}
			}
		})
	}
}
