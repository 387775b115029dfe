package ui

import (
	"strings"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/ui/detail"
	"bottle-tui/ui/dialog"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
	"bottle-tui/ui/list"
	"bottle-tui/ui/request"
)

// state is what decides which keys can be used.
func (m *model) state() keys.State {
	s := keys.State{Bottle: m.list.Selected(), Messages: len(m.notes.failures())}
	if m.snap == nil {
		return s
	}
	s.Bottles, s.Agents, s.Reachable = len(m.snap.Bottles), len(m.snap.Agents), !m.unreachable()
	s.Messages += len(m.snap.Problems)
	for i := range m.snap.Bottles {
		s.Waiting += m.snap.Bottles[i].Waiting()
		if m.snap.Bottles[i].Status == bottles.Orphan {
			s.Orphans++
		}
	}
	if s.Bottle != nil {
		s.Busy = m.busy(s.Bottle.Identity)
		s.Openable = m.detail.Openable()
		if m.showsEgress() && m.detail.Refused() != nil {
			_, s.Closed = m.detail.Rule()
		}
	}
	return s
}

// key routes a key press to what has the keyboard.
func (m *model) key(k tea.KeyPressMsg) tea.Cmd {
	m.wanted = "" // the operator went on
	switch {
	case m.w == 0:
		if k.String() == "ctrl+c" || k.String() == "q" {
			return m.quit()
		}
		return nil
	case m.goesNowhere():
		return nil
	case m.dialog != nil:
		m.pressed = m.o.now()
		return m.act(m.dialog.Key(k))
	case m.typing:
		m.pressed = m.o.now()
		return m.typeKey(k)
	case m.filter:
		m.pressed = m.o.now()
		m.filterKey(k)
		return nil
	}
	b := keys.Find(keys.Screen, k.String())
	if b == nil {
		m.pressed = m.o.now()
		if k.Text != "" {
			m.unknown = m.pressed
		}
		if k.String() == "esc" {
			m.escape()
		}
		return nil
	}
	s := m.state()
	if b.Action == keys.Type && m.wall == nil && m.detail.Tab == detail.RequestsTab && m.detail.Request() != "" {
		return m.review(s.Bottle, m.detail.Request())
	}
	inARow := m.inARow(b.Action, k)
	if why := b.Why(s); why != "" {
		m.notes.info(m.o.now(), why)
		return nil
	}
	if inARow {
		m.notes.info(m.o.now(), "not taken: "+b.Shown()+" acts at once, and works once the keyboard was quiet for a moment")
		return nil
	}
	return m.do(b.Action, k.String(), s)
}

// escape leaves what was opened last and is no dialog.
func (m *model) escape() {
	switch {
	case m.wall != nil:
		m.wall = nil
	case m.list.Filtered() != "":
		m.list.Filter("")
	case m.zoomed:
		m.zoomed = false
		m.fitTerminals()
	default:
		m.focus = onList
	}
}

// do does what a key on the screen asks for; the table has allowed it.
func (m *model) do(a keys.Action, key string, s keys.State) tea.Cmd {
	if m.move(a, key) {
		return nil
	}
	switch a {
	case keys.Type:
		m.wall = nil
		m.detail.SetTab(detail.TerminalTab)
		m.detail.End()
		m.focus, m.typing = onDetail, true
		m.fitTerminals()
	case keys.Review:
		b, r := m.oldest()
		m.list.Select(b.Identity)
		return m.review(b, r.ID)
	case keys.New:
		m.dialog = dialog.NewLaunch(dialog.LaunchOptions{Styles: m.styles, Agents: m.snap.Agents, CWD: m.cwd, Home: m.home, Now: m.o.now, Preflight: m.preflight})
	case keys.Resume:
		return m.resume(s.Bottle.Identity)
	case keys.TearDown:
		return m.tearDown(s.Bottle)
	case keys.Delete:
		m.askDelete(s.Bottle)
	case keys.Cleanup:
		m.askCleanup()
	case keys.Cancel:
		return m.start(bottles.Cancel{Identity: s.Bottle.Identity}, "stopping what is done to "+s.Bottle.Identity)
	case keys.Revoke:
		m.askRevoke(s.Bottle)
	case keys.Open:
		m.askOpen(s.Bottle)
	case keys.Wall:
		if m.wall = m.otherWall(); m.wall != nil {
			m.zoomed = false
			m.fitTerminals()
		}
	case keys.Zoom:
		m.zoomed, m.wall = !m.zoomed, nil
		if m.zoomed {
			m.focus = onDetail
		} else {
			m.focus = onList
		}
		m.fitTerminals()
	case keys.Filter:
		m.filter, m.focus, m.zoomed, m.wall = true, onList, false, nil
	case keys.Messages:
		m.dialog = m.messages()
		m.notes.markSeen()
	case keys.Help:
		m.dialog = m.help()
	case keys.Suspend:
		return m.suspend()
	case keys.Quit:
		return m.quit()
	}
	return nil
}

// move does the keys that only move; it says whether this was one.
func (m *model) move(a keys.Action, key string) bool {
	page := max(m.layout().detail.h-3, 1)
	steps := map[keys.Action]int{keys.Up: -1, keys.Down: 1, keys.PageUp: -page, keys.PageDown: page, keys.Top: -1 << 20, keys.End: 1 << 20}
	n, moves := steps[a]
	switch {
	case moves && m.wall != nil:
		m.list.Move(m.wall.step(a, m))
	case moves && m.focus == onList && !m.zoomed:
		m.list.Move(n)
	case moves:
		m.detail.Scroll(-n)
	case a == keys.NextPane:
		m.focus = onList + onDetail - m.focus
	case a == keys.Left && m.wall != nil:
		m.list.Move(m.wall.step(a, m))
	case a == keys.Right && m.wall != nil:
		m.list.Move(m.wall.step(a, m))
	case a == keys.Left:
		m.detail.SetTab(m.detail.Tab - 1)
	case a == keys.Right:
		m.detail.SetTab(m.detail.Tab + 1)
	case a == keys.Tab:
		m.wall = nil
		m.detail.SetTab(detail.Tab(key[0] - '1'))
	default:
		return false
	}
	return true
}

// typeKey sends a key to the agent, but for the few that are the operator's own.
func (m *model) typeKey(k tea.KeyPressMsg) tea.Cmd {
	b := m.list.Selected()
	if own := keys.Find(keys.Terminal, k.String()); own != nil {
		page := max(m.layout().detail.h-3, 1)
		switch own.Action {
		case keys.Leave:
			m.typing = false
			m.focus = onList
			if m.zoomed {
				m.focus = onDetail
			}
		case keys.PageUp:
			m.detail.Scroll(page)
		case keys.PageDown:
			m.detail.Scroll(-page)
		}
		return nil
	}
	if p := m.screen(b.Identity).Encode(k); len(p) > 0 {
		m.detail.End()
		m.o.Supervisor.Type(b.Identity, p)
	}
	return nil
}

func (m *model) filterKey(k tea.KeyPressMsg) {
	text := m.list.Filtered()
	switch key := k.String(); {
	case key == "enter" || key == "tab":
		m.filter = false
	case key == "esc" || key == "ctrl+c":
		m.filter = false
		m.list.Filter("")
	case key == "up":
		m.list.Move(-1)
	case key == "down":
		m.list.Move(1)
	case key == "backspace":
		if r := []rune(text); len(r) > 0 {
			m.list.Filter(string(r[:len(r)-1]))
		}
	case key == "ctrl+u":
		m.list.Filter("")
	case k.Text != "" && len(text) < 64:
		m.list.Filter(text + k.Text)
	}
}

// paste routes pasted text.
func (m *model) paste(text string) tea.Cmd {
	switch {
	case m.w == 0:
	case m.dialog != nil:
		return m.act(m.dialog.Paste(text))
	case m.typing:
		b := m.list.Selected()
		m.detail.End()
		m.o.Supervisor.Type(b.Identity, m.screen(b.Identity).EncodePaste(text))
	case m.filter:
		m.list.Filter(m.list.Filtered() + strings.Join(strings.Fields(frame.Line(text)), " "))
	}
	return nil
}

// review opens a request.
func (m *model) review(b *bottles.Bottle, id string) tea.Cmd {
	for _, r := range b.Requests {
		if r.ID != id {
			continue
		}
		if r.State == bottles.Applying {
			m.notes.info(m.o.now(), "this request was approved and is being applied")
			return nil
		}
		editor := env(m.o.Environ, "VISUAL")
		if editor == "" {
			editor = env(m.o.Environ, "EDITOR")
		}
		m.dialog = request.New(request.Options{Styles: m.styles, Now: m.o.now, Editor: editor, Home: m.home, Profile: m.profileEdit, Draft: m.draft(b.Identity, r.Tool)}, b, r)
	}
	return nil
}

// tearDown asks first when something would be cut short.
func (m *model) tearDown(b *bottles.Bottle) tea.Cmd {
	a, doing := bottles.TearDown{Identity: b.Identity}, "tearing down "+b.Identity
	why := ""
	if n := b.Waiting(); n > 0 {
		why = "A request of it waits for your answer; it will be withdrawn."
	} else if m.list.Activity(b.Identity) == list.Busy {
		why = "Its agent is at work right now."
	}
	if why == "" || b.Status != bottles.Live {
		return m.start(a, doing)
	}
	identity := b.Identity
	m.dialog = &dialog.Confirm{Guard: m.guard(), Styles: m.styles, Title: "Tear down " + frame.Line(identity) + "?",
		Text: why + "\n\nThe conversation and the workspace are kept, and r resumes it.", Verb: "tear down", Act: a, Doing: doing,
		Gone: func(s *bottles.Snapshot) string { return notNow(s, identity, bottles.Live) }}
	return nil
}

// notNow says why a dialog about a bottle has nothing left to ask; "" while it has.
func notNow(s *bottles.Snapshot, identity string, statuses ...bottles.Status) string {
	for i := range s.Bottles {
		if b := &s.Bottles[i]; b.Identity == identity {
			for _, status := range statuses {
				if b.Status == status {
					return ""
				}
			}
			return frame.Line(identity) + " is " + string(b.Status) + " now"
		}
	}
	return frame.Line(identity) + " is gone"
}

func (m *model) askDelete(b *bottles.Bottle) {
	identity := b.Identity
	what := []string{"its conversation (transcript and session)", "its workspace, with whatever was not pushed or copied out",
		"its Dockerfile with its history", "its image, and its containers, networks and volumes on the engine"}
	m.dialog = &dialog.Confirm{Guard: m.guard(), Styles: m.styles, Title: "Delete " + frame.Line(identity), Danger: true, Word: identity,
		Text: "Nothing brings it back. The audit log is kept, and so is what the engine caches of its builds. This is removed:", List: what, Verb: "delete for good",
		Act: bottles.Delete{Identity: identity}, Doing: "deleting " + identity,
		Gone: func(s *bottles.Snapshot) string { return notNow(s, identity, bottles.Down, bottles.Failed) }}
}

func (m *model) askCleanup() {
	var identities, objects []string
	for i := range m.snap.Bottles {
		if b := &m.snap.Bottles[i]; b.Status == bottles.Orphan {
			identities = append(identities, b.Identity)
			objects = append(objects, b.Objects...)
		}
	}
	m.dialog = &dialog.Confirm{Guard: m.guard(), Styles: m.styles, Title: "Clean up orphans?", Danger: true,
		Text: "These belong to no bottle in " + orHere(m.o.Home) + ". Exactly this is removed:", List: objects, Verb: "remove them",
		Act: bottles.Cleanup{Identities: identities, Objects: objects}, Doing: "removing the orphans",
		Gone: func(s *bottles.Snapshot) string {
			for _, identity := range identities {
				if notNow(s, identity, bottles.Orphan) != "" {
					return "the orphans have changed: c lists them anew"
				}
			}
			return ""
		}}
}

func orHere(dir string) string {
	if dir == "" {
		return "the state directory"
	}
	return dir
}

// quit leaves at once; the bottles go on.
func (m *model) quit() tea.Cmd { return tea.Quit }
