package terminal

import (
	"strconv"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// EncodeMouse is a mouse event as the program expects it; its cell is relative to the screen's first. It is nil
// when the program did not ask for such events, or the cell is outside.
func (s *Screen) EncodeMouse(m tea.MouseMsg) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.look()
	mouse := m.Mouse()
	cols, rows := f.cols, f.rows
	if mouse.X < 0 || mouse.Y < 0 || mouse.X >= cols || mouse.Y >= rows {
		return nil
	}
	_, release := m.(tea.MouseReleaseMsg)
	_, motion := m.(tea.MouseMotionMsg)
	if !f.modes.wantsMouse(release, motion, mouse.Button) {
		return nil
	}
	shift, alt, ctrl := mouse.Mod.Contains(tea.ModShift), mouse.Mod.Contains(tea.ModAlt), mouse.Mod.Contains(tea.ModCtrl)
	button := mouse.Button
	sgr := f.modes.on[modeMouseSGR]
	if release && !sgr {
		button = tea.MouseNone // the old encoding does not say which
	}
	code := ansi.EncodeMouseButton(button, motion, shift, alt, ctrl)
	if !sgr {
		const last = 0xff - 0x21
		if mouse.X > last || mouse.Y > last {
			return nil
		}
		return []byte{esc, '[', 'M', code + 0x20, byte(mouse.X) + 0x21, byte(mouse.Y) + 0x21}
	}
	b := append([]byte("\x1b[<"), strconv.Itoa(int(code))...)
	b = append(b, ";"+strconv.Itoa(mouse.X+1)+";"+strconv.Itoa(mouse.Y+1)...)
	if release {
		return append(b, 'm')
	}
	return append(b, 'M')
}

// wantsMouse tells whether the program asked for such an event.
func (m *modes) wantsMouse(release, motion bool, button tea.MouseButton) bool {
	switch {
	case motion && button == tea.MouseNone:
		return m.on[modeMouseMove]
	case motion:
		return m.on[modeMouseMove] || m.on[modeMouseDrag]
	case m.on[modeMouse] || m.on[modeMouseDrag] || m.on[modeMouseMove]:
		return true
	}
	return m.on[modeMouseX10] && !release
}

// WantsMouse tells whether the program asked for the mouse, so that a wheel is its own and does not
// scroll back.
func (s *Screen) WantsMouse() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.look().modes.wantsMouse(false, false, tea.MouseLeft)
}
