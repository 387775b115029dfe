package ui

import (
	tea "charm.land/bubbletea/v2"

	"bottle-tui/ui/dialog"
	"bottle-tui/ui/keys"
)

// guard is the guard of a dialog's keys.
func (m *model) guard() dialog.Guard { return dialog.Guard{Now: m.o.now} }

// stray ends the typing to an agent that went away under the operator's hands. The rest of the sentence goes nowhere.
func (m *model) stray(why string) {
	m.typing = false
	g := m.guard()
	g.Drawn()
	m.strayed = &g
	m.notes.info(m.o.now(), why+"; the keyboard is yours once it was quiet for a moment")
}

// goesNowhere says that a key is the rest of what was typed to an agent that went away.
func (m *model) goesNowhere() bool {
	if m.strayed == nil || m.strayed.Press() {
		m.strayed = nil
		return false
	}
	return true
}

// inARow says that a key that acts at once came with others, as in a word that was meant for something else: then it is
// not taken. Keys that only move are no others.
func (m *model) inARow(a keys.Action, k tea.KeyPressMsg) bool {
	last := m.pressed
	switch a {
	case keys.Up, keys.Down, keys.PageUp, keys.PageDown, keys.Top, keys.End, keys.Left, keys.Right, keys.NextPane, keys.Tab:
		return false
	}
	m.pressed = m.o.now()
	switch a {
	case keys.Resume, keys.TearDown, keys.Cancel:
		return m.pressed.Sub(last) < dialog.Quiet
	case keys.Quit: // closing a dialog and leaving is no word; and no word has a control key in it
		return k.Text != "" && m.pressed.Sub(m.unknown) < dialog.Quiet
	}
	return false
}
