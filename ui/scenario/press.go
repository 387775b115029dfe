package scenario

import (
	"strings"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
)

// names are the keys that have no character.
var names = map[string]rune{
	"enter": tea.KeyEnter, "esc": tea.KeyEscape, "tab": tea.KeyTab, "space": tea.KeySpace, "backspace": tea.KeyBackspace,
	"up": tea.KeyUp, "down": tea.KeyDown, "left": tea.KeyLeft, "right": tea.KeyRight, "home": tea.KeyHome, "end": tea.KeyEnd,
	"pgup": tea.KeyPgUp, "pgdn": tea.KeyPgDown, "pgdown": tea.KeyPgDown, "insert": tea.KeyInsert, "delete": tea.KeyDelete,
	"f1": tea.KeyF1, "f2": tea.KeyF2, "f3": tea.KeyF3, "f4": tea.KeyF4, "f5": tea.KeyF5, "f6": tea.KeyF6,
	"f7": tea.KeyF7, "f8": tea.KeyF8, "f9": tea.KeyF9, "f10": tea.KeyF10, "f11": tea.KeyF11, "f12": tea.KeyF12,
}

var modifiers = map[string]tea.KeyMod{"ctrl": tea.ModCtrl, "alt": tea.ModAlt, "shift": tea.ModShift}

// Press presses keys one after another, encoded as the program has asked for it: a character is itself; others have
// names (enter, esc, tab, space, backspace, up, down, left, right, home, end, pgup, pgdn, insert, delete, f1 to
// f12); ctrl+, alt+ and shift+ may stand before either, as in ctrl+\ or shift+tab.
func (m *Term) Press(keys ...string) {
	m.t.Helper()
	for _, key := range keys {
		k, ok := parseKey(key)
		if !ok {
			m.t.Fatalf("press %q: there is no such key", key)
		}
		m.send(m.screen.Encode(k), "press "+key)
	}
}

func parseKey(key string) (tea.KeyPressMsg, bool) {
	var k tea.KeyPressMsg
	rest := key
	for {
		mod, after, found := strings.Cut(rest, "+")
		if !found || modifiers[mod] == 0 || after == "" {
			break
		}
		k.Mod |= modifiers[mod]
		rest = after
	}
	if code, ok := names[rest]; ok {
		k.Code = code
		if code == tea.KeySpace && k.Mod == 0 {
			k.Text = " "
		}
		return k, true
	}
	r, n := utf8.DecodeRuneInString(rest)
	if n == 0 || n != len(rest) {
		return k, false
	}
	k.Code = r
	if k.Mod == 0 {
		k.Text = rest
	}
	return k, true
}

// Type types text, a key for each character; a line feed is enter.
func (m *Term) Type(text string) {
	m.t.Helper()
	for _, r := range text {
		switch r {
		case '\n':
			m.Press("enter")
		case '\t':
			m.Press("tab")
		default:
			m.Press(string(r))
		}
	}
}

// Paste pastes text, as a terminal does.
func (m *Term) Paste(text string) {
	m.t.Helper()
	m.send(m.screen.EncodePaste(text), "paste")
}

// Click presses and lets go the left button on a cell, if the program asked for the mouse.
func (m *Term) Click(x, y int) {
	m.t.Helper()
	b := m.screen.EncodeMouse(tea.MouseClickMsg{X: x, Y: y, Button: tea.MouseLeft})
	m.send(append(b, m.screen.EncodeMouse(tea.MouseReleaseMsg{X: x, Y: y, Button: tea.MouseLeft})...), "click")
}

// send fails the test when the program has ended.
func (m *Term) send(p []byte, what string) {
	m.t.Helper()
	if len(p) == 0 {
		return
	}
	if m.over() {
		m.fail("%s: %s: the program has ended: %v", m.name, what, m.cmd.ProcessState)
	}
	if _, err := m.pty.Write(p); err != nil {
		m.fail("%s: %s: write to its terminal: %v", m.name, what, err)
	}
}
