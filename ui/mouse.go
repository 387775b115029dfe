package ui

import (
	tea "charm.land/bubbletea/v2"

	"bottle-tui/ui/detail"
)

const wheelLines = 3

// mouse routes the mouse: the wheel scrolls what is under it, a click selects. In an agent's terminal
// that is typed into, both go to the agent's program if that asked for the mouse.
func (m *model) mouse(msg tea.MouseMsg) tea.Cmd {
	if m.w == 0 {
		return nil
	}
	e := msg.Mouse()
	wheel := 0
	if _, ok := msg.(tea.MouseWheelMsg); ok {
		switch e.Button {
		case tea.MouseWheelUp:
			wheel = -wheelLines
		case tea.MouseWheelDown:
			wheel = wheelLines
		}
	}
	_, click := msg.(tea.MouseClickMsg)
	click = click && e.Button == tea.MouseLeft
	l := m.layout()
	switch {
	case m.dialog != nil:
		m.dialog.Wheel(wheel)
	case m.wall != nil:
		if click {
			m.wall.at(e.X, e.Y, m)
		}
	case m.typing && l.detail.inside(e.X, e.Y):
		if m.toAgent(msg, l.detail) {
			return nil
		}
		m.detail.Scroll(-wheel)
	case l.list.inside(e.X, e.Y):
		if wheel != 0 {
			m.list.Move(wheel / wheelLines)
		} else if click && !m.typing {
			m.focus = onList
			m.list.At(e.Y - l.list.y)
		}
	case l.detail.inside(e.X, e.Y):
		m.detail.Scroll(-wheel)
		if click {
			m.focus = onDetail
		}
	}
	return nil
}

// toAgent hands a mouse event to the agent's program; false when that did not ask for it.
func (m *model) toAgent(msg tea.MouseMsg, r rect) bool {
	b := m.list.Selected()
	if b == nil || m.detail.Tab != detail.TerminalTab {
		return false
	}
	s := m.screen(b.Identity)
	if !s.WantsMouse() || m.detail.Scrolled() > 0 {
		return false
	}
	e := msg.Mouse()
	e.X -= r.x + 1
	e.Y -= r.y + 1
	if cols, rows := s.Size(); e.X < 0 || e.Y < 0 || e.X >= cols || e.Y >= rows {
		return true
	}
	var moved tea.MouseMsg
	switch msg.(type) {
	case tea.MouseClickMsg:
		moved = tea.MouseClickMsg(e)
	case tea.MouseReleaseMsg:
		moved = tea.MouseReleaseMsg(e)
	case tea.MouseWheelMsg:
		moved = tea.MouseWheelMsg(e)
	case tea.MouseMotionMsg:
		moved = tea.MouseMotionMsg(e)
	default:
		return false
	}
	if p := s.EncodeMouse(moved); len(p) > 0 {
		m.o.Supervisor.Type(b.Identity, p)
	}
	return true
}
