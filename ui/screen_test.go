package ui

import (
	"strings"
	"testing"
	"time"
	"unicode"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
)

// assertHarmless holds that nothing an agent wrote reaches the terminal as more than cells: of escape
// sequences only our own colours, no control, bidirectional, zero-width or unassigned character.
func assertHarmless(t *testing.T, s *stage) {
	t.Helper()
	content := s.view().Content
	for i, line := range strings.Split(content, "\n") {
		for j := 0; j < len(line); {
			if line[j] != 0x1b {
				j++
				continue
			}
			end := strings.IndexFunc(line[j+1:], func(r rune) bool { return r != '[' && r != ';' && r != ':' && (r < '0' || r > '9') })
			if end < 0 || line[j+1] != '[' || line[j+1+end] != 'm' {
				t.Fatalf("row %d has a sequence that is no colour: %q", i, line[j:min(j+20, len(line))])
			}
			j += end + 2
		}
		for _, r := range line {
			if r != 0x1b && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs)) {
				t.Fatalf("row %d has %U: %q", i, r, line)
			}
		}
	}
	for _, r := range s.view().WindowTitle {
		if unicode.IsControl(r) {
			t.Errorf("the window's title has %U", r)
		}
	}
}

func TestHostileTextIsDrawnAsCellsEverywhere(t *testing.T) {
	for _, size := range sizes {
		for _, environ := range [][]string{nil, {"NO_COLOR=1"}} {
			s := newStage(t, size[0], size[1], environ...)
			hostile(s)
			assertHarmless(t, s)
			s.press("n")
			s.send(tea.PasteMsg{Content: "\x1b[2J\u202eevil\u200b"})
			assertHarmless(t, s)
			s.press("esc", "e", "esc", "esc", "esc")
			for _, tab := range []string{"1", "2", "3", "4", "5"} {
				s.press(tab)
				assertHarmless(t, s)
				s.press("z")
				assertHarmless(t, s)
				s.press("z")
			}
			s.press("g")
			assertHarmless(t, s)
			s.press("g", "/")
			s.send(tea.PasteMsg{Content: "\u202e\x1b]52;c;x\a"})
			assertHarmless(t, s)
			s.press("esc")
			snap := s.snapshot()
			bad := "\x1b[2J\u202e\u200b\x07\x9b31m"
			for _, status := range []bottles.Status{bottles.Down, bottles.Failed, bottles.Orphan, bottles.Starting} {
				snap.Bottles = append(snap.Bottles, bottles.Bottle{Identity: "x-" + string(status), Status: status, Agent: bad, CWD: bad, Detail: bad, EndReason: bad, Objects: []string{bad},
					EndedAt: start, Operation: &bottles.Operation{Kind: bad, Step: bad, Err: bad, Log: []string{bad}}})
			}
			snap.Problems = []bottles.Problem{{Path: bad, Err: bad}}
			snap.Agents = []string{bad}
			s.send(updateMsg{Snapshot: snap, Alerts: []bottles.Alert{{Kind: bottles.AlertFailed, Identity: bad, Text: bad}, {Kind: bottles.AlertDone, Text: bad}}})
			for range snap.Bottles {
				for _, tab := range []string{"1", "2", "3", "4", "5"} {
					s.press(tab)
					assertHarmless(t, s)
				}
				s.press("down")
			}
			for _, key := range []string{"!", "?", "n", "c"} {
				s.press(key)
				assertHarmless(t, s)
				s.press("esc")
			}
			snap = s.snapshot()
			snap.Engine = bottles.EngineView{Err: bad}
			s.send(updateMsg{Snapshot: snap})
			assertHarmless(t, s)
		}
	}
}

// A request rings and waits in the footer; it opens nothing, and takes no key from what is typed.
func TestARequestNeverOpensByItself(t *testing.T) {
	s := newStage(t, 120, 36)
	b := live("implementer-k3x9q", time.Hour)
	s.show(b)
	s.press("enter")
	s.typeText("hello y")
	b.Requests = []bottles.Request{capability(b.Identity, "r1", "ripgrep, please", after, start)}
	s.send(updateMsg{Snapshot: s.snapshot(b), Alerts: []bottles.Alert{{Kind: bottles.AlertRequest, Identity: b.Identity, Request: "r1", Text: "asks"}}})
	s.typeText("ay")
	if s.m.dialog != nil {
		t.Fatal("a dialog opened by itself")
	}
	if got := s.sup.got(b.Identity); got != "hello yay" {
		t.Errorf("the agent got %q", got)
	}
	if s.raw != "\a" {
		t.Errorf("written raw: %q, want a bell alone", s.raw)
	}
	if title := s.view().WindowTitle; title != "⚑ 1 bottle-tui" {
		t.Errorf("the window's title is %q", title)
	}
	s.sees("implementer-k3x9q asks for a capability", "ripgrep, please", "⚑ 1")
}

func TestDesktopNotesByOption(t *testing.T) {
	s := newStage(t, 120, 36)
	s.m.o.Notify = true
	s.send(updateMsg{Snapshot: s.snapshot(), Alerts: []bottles.Alert{{Kind: bottles.AlertRequest, Text: "a; b\x1b\\\x07c"}}})
	want := "\a\x1b]9;a, b␛\\␇c\x1b\\\x1b]777;notify;bottle-tui;a, b␛\\␇c\x1b\\"
	if s.raw != want {
		t.Errorf("written raw: %q, want %q", s.raw, want)
	}
}

func TestTypingAndLeaving(t *testing.T) {
	s := newStage(t, 120, 36)
	s.show(live("a-11111", 0), live("b-22222", 0))
	s.press("enter")
	s.print("a-11111", "abc")
	s.typeText("q?jn")
	s.press("ctrl+c", "esc", "tab")
	s.send(tea.PasteMsg{Content: "x\ny"})
	if got := s.sup.got("a-11111"); !strings.HasPrefix(got, "q?jn\x03\x1b\t") || !strings.Contains(got, "x") {
		t.Errorf("the agent got %q", got)
	}
	if c := s.view().Cursor; c == nil || c.X != s.m.layout().detail.x+1+3 || c.Y != 2 {
		t.Errorf("the cursor is at %+v", c)
	}
	s.press("ctrl+\\", "j")
	if b := s.m.list.Selected(); b.Identity != "b-22222" {
		t.Errorf("selected is %s: the keyboard was not given back", b.Identity)
	}
	if s.view().Cursor != nil {
		t.Error("a cursor is shown while nothing is typed")
	}
	if s.quit {
		t.Error("quit")
	}
}

// When the agent that is typed to ends or goes away, what is typed goes to nobody else.
func TestTypingStopsWithTheAgent(t *testing.T) {
	for name, next := range map[string][]bottles.Bottle{
		"gone": {live("b-22222", 0)},
		"down": {func() bottles.Bottle { b := live("a-11111", 0); b.Status = bottles.Down; return b }(), live("b-22222", 0)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, 120, 36)
			s.show(live("a-11111", 0), live("b-22222", 0))
			s.press("enter")
			s.show(next...)
			s.typeText("z")
			if a, b := s.sup.got("a-11111"), s.sup.got("b-22222"); a+b != "" {
				t.Errorf("typed to %q and %q", a, b)
			}
			if s.m.typing {
				t.Error("still typing")
			}
		})
	}
}

// The selection stays on its bottle while the list changes around it.
func TestSelectionStaysOnItsBottle(t *testing.T) {
	s := newStage(t, 120, 36)
	a, b, c := live("a-11111", 0), live("b-22222", 0), live("c-33333", 0)
	s.show(a, b, c)
	s.press("j")
	s.show(c, a, b)
	if got := s.m.list.Selected().Identity; got != "b-22222" {
		t.Errorf("selected is %s", got)
	}
	s.show(c, a)
	if got := s.m.list.Selected().Identity; got != "a-11111" {
		t.Errorf("after it went, selected is %s", got)
	}
}

// Every key of the table does something, or says why it does not.
func TestEveryKeyOfTheTable(t *testing.T) {
	for _, b := range keys.Table {
		for _, key := range b.Keys {
			t.Run(string(b.Place)+" "+key, func(t *testing.T) {
				s := newStage(t, 120, 36)
				if b.Place == keys.Screen {
					second := live("n-00001", 0)
					if b.Action == keys.Revoke {
						second.Grants = []bottles.Grant{{ID: "g1", Change: bottles.Change{Allow: []string{"api.example.com"}}}}
					}
					s.show(live("m-00000", 0), second)
					s.press("j")
					for i := range 60 {
						s.print("n-00001", strings.Repeat("x\r\n", i%3+1))
					}
					if b.Action == keys.Down || b.Action == keys.End || b.Action == keys.PageDown {
						s.press("k")
					}
					if key == "1" {
						s.press("2")
					}
				} else {
					s.show(world()...)
					s.press("a")
					s.quiet()
				}
				switch b.Place {
				case keys.Terminal:
					s.press("esc", "enter")
					for range 90 {
						s.print("implementer-k3x9q", "y\r\n")
					}
					if b.Action == keys.PageDown {
						s.press("shift+pgup")
					}
				case keys.Reason:
					s.press("n")
					s.typeText("no")
				case keys.Editing:
					s.press("e")
				case keys.Dialog:
					s.press("esc", "n")
					if b.Action == keys.PageDown {
						s.press("esc", "?")
					}
				case keys.Plan:
					s.press("esc", "n")
					s.sup.plan = longPlan
					s.press("tab", "ctrl+u", "enter")
					if b.Action == keys.Up || b.Action == keys.PageUp || b.Action == keys.Top {
						s.press("G")
					}
				case keys.Opening:
					s.press("esc")
					s.w, s.h = 60, 12
					s.send(tea.WindowSizeMsg{Width: s.w, Height: s.h})
					s.show(turnedAway())
					s.press("A", "A")
					if b.Action == keys.Approve || b.Action == keys.Up {
						s.press("j", "j", "j", "j", "j", "j")
					}
					s.quiet()
				case keys.Source:
					s.press("esc")
					s.show(askingRoutes())
					s.press("a")
					s.quiet()
					s.press("G", "y")
				case keys.Request:
					var long strings.Builder
					for range 200 {
						long.WriteString("RUN true # more\n")
					}
					r := world()[0]
					if b.Action != keys.Approve {
						r.Requests = []bottles.Request{capability(r.Identity, "long", "why", before+long.String(), start)}
					}
					s.press("esc")
					s.show(r)
					s.press("a")
					s.quiet()
					if b.Action == keys.Up || b.Action == keys.PageUp || b.Action == keys.Top {
						s.press("G")
					}
				}
				was, typed, actions := s.view(), s.sup.got("implementer-k3x9q"), len(s.sup.asked())
				s.press(key)
				now := s.view()
				if was.Content == now.Content && !s.quit && actions == len(s.sup.asked()) && typed == s.sup.got("implementer-k3x9q") && b.Label != "enter" {
					t.Errorf("%q (%s) did nothing and said nothing", key, b.Action)
				}
				s.text()
			})
		}
	}
}

func TestBeforeTheWindowsSizeIsKnown(t *testing.T) {
	s := newStage(t, 80, 24)
	s.m.w, s.m.h = 0, 0
	for _, msg := range []tea.Msg{updateMsg{Snapshot: s.snapshot(world()...)}, terminalsMsg{}, press("a"), press("enter"), tea.PasteMsg{Content: "x"},
		tea.MouseClickMsg{X: 3, Y: 3, Button: tea.MouseLeft}, spinMsg{}, ageMsg{}, armMsg{}, doneMsg{}, startedMsg{}} {
		s.m.Update(msg)
		if v := s.m.View(); v.Content != "" || !v.AltScreen {
			t.Fatalf("%T: drew %q", msg, v.Content)
		}
	}
}

func TestEveryWindowSizeIsFilledExactly(t *testing.T) {
	s := newStage(t, 1, 1)
	s.show(world()...)
	filled := func(what string) {
		lines := strings.Split(s.view().Content, "\n")
		if len(lines) != s.h {
			t.Fatalf("%d×%d %s: %d lines", s.w, s.h, what, len(lines))
		}
		for i, line := range lines {
			if got := frame.Width(line); got != s.w {
				t.Fatalf("%d×%d %s: row %d has %d cells: %q", s.w, s.h, what, i, got, line)
			}
		}
	}
	for w := 1; w <= 130; w += 9 {
		for h := 1; h <= 40; h += 5 {
			s.w, s.h = w, h
			s.m.Update(tea.WindowSizeMsg{Width: w, Height: h})
			filled("at first")
			for _, key := range []string{"?", "a", "n", "c", "g", "z", "2", "3", "4", "5", "1"} {
				s.m.Update(press(key))
				filled(key)
				s.m.Update(press("esc"))
			}
		}
	}
}

func TestMouse(t *testing.T) {
	s := newStage(t, 120, 36)
	s.show(live("a-11111", 0), live("b-22222", 0), live("c-33333", 0))
	s.send(tea.MouseClickMsg{X: 5, Y: 4, Button: tea.MouseLeft})
	if got := s.m.list.Selected().Identity; got != "b-22222" {
		t.Errorf("a click selected %s:\n%s", got, s.text())
	}
	for range 90 {
		s.print("b-22222", "line\r\n")
	}
	s.send(tea.MouseWheelMsg{X: 60, Y: 10, Button: tea.MouseWheelUp})
	s.sees("3 lines back")
	s.press("enter")
	s.print("b-22222", "\x1b[?1000h\x1b[?1006h")
	s.send(tea.MouseWheelMsg{X: 60, Y: 10, Button: tea.MouseWheelUp})
	if got := s.sup.got("b-22222"); !strings.Contains(got, "\x1b[<64;") {
		t.Errorf("a program that asked for the mouse got %q", got)
	}
	s.lacks("lines back")
}

// The agents' terminals have the size that they are drawn in, and are told once.
func TestTerminalsAreToldTheirSize(t *testing.T) {
	s := newStage(t, 120, 36)
	s.show(live("a-11111", 0))
	if got := s.sup.resized["a-11111"]; got != "80x32" {
		t.Errorf("told %q", got)
	}
	if c, r := s.screens.For("a-11111").Size(); c != 80 || r != 32 {
		t.Errorf("its screen has %d×%d", c, r)
	}
	delete(s.sup.resized, "a-11111")
	s.show(live("a-11111", 0))
	if got, ok := s.sup.resized["a-11111"]; ok {
		t.Errorf("told again: %s", got)
	}
	s.press("z")
	if got := s.sup.resized["a-11111"]; got != "118x32" {
		t.Errorf("zoomed: told %q", got)
	}
}

func TestAgesChangeWithTime(t *testing.T) {
	s := newStage(t, 120, 36)
	s.show(live("a-11111", 50*time.Second))
	s.sees("50s")
	if wait := s.m.nextAge(); wait != 10*time.Second {
		t.Errorf("the next label changes in %v", wait)
	}
	s.clock.add(10 * time.Second)
	s.send(ageMsg{s.m.ages})
	s.sees("1m")
}

// Ticks are few: none for an empty world or an agent's output, one at a time for labels and spinner.
func TestNothingTicksWhenNothingMoves(t *testing.T) {
	s := newStage(t, 120, 36)
	s.show()
	for range 50 {
		s.send(terminalsMsg{})
	}
	if len(s.ticks) != 0 {
		t.Errorf("ticks in an empty world: %v", s.ticks)
	}
	s.show(live("a-11111", 90*time.Minute))
	for range 50 {
		s.show(live("a-11111", 90*time.Minute))
		s.print("a-11111", "x")
		s.press("j")
	}
	if len(s.ticks) != 1 || s.ticks[0].after != 30*time.Minute {
		t.Errorf("ticks for one label: %v", s.ticks)
	}
	s.ticks = nil
	for range 50 {
		s.show(world()...)
	}
	spins := 0
	for _, tick := range s.ticks {
		if _, ok := tick.msg.(spinMsg); ok {
			spins++
		}
	}
	if spins != 1 {
		t.Errorf("%d ticks of the spinner are on their way", spins)
	}
	before := s.text()
	s.send(spinMsg{})
	if s.text() == before {
		t.Error("the spinner does not turn")
	}
}
