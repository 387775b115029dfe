package terminal_test

import (
	"testing"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/ui/terminal"
)

func press(code rune, mod tea.KeyMod) tea.KeyPressMsg { return tea.KeyPressMsg{Code: code, Mod: mod} }

func text(s string) tea.KeyPressMsg { return tea.KeyPressMsg{Code: []rune(s)[0], Text: s} }

func TestEncode(t *testing.T) {
	const (
		shift, alt, ctrl = tea.ModShift, tea.ModAlt, tea.ModCtrl
		application      = "\x1b[?1h"
		appKeypad        = "\x1b="
		kitty            = "\x1b[>1u"
		modifyOther      = "\x1b[>4;2m"
	)
	for _, c := range []struct {
		name, modes string
		key         tea.KeyPressMsg
		want        string
	}{
		{"letter", "", text("a"), "a"},
		{"shift and letter", "", tea.KeyPressMsg{Code: 'a', ShiftedCode: 'A', Text: "A", Mod: shift}, "A"},
		{"shift and letter without its text", "", press('a', shift), "A"},
		{"shift and digit", "", tea.KeyPressMsg{Code: '1', ShiftedCode: '!', Text: "!", Mod: shift}, "!"},
		{"caps lock", "", tea.KeyPressMsg{Code: 'a', Text: "A", Mod: tea.ModCapsLock}, "A"},
		{"beyond ASCII", "", text("é"), "é"},
		{"composed", "", tea.KeyPressMsg{Code: tea.KeyExtended, Text: "漢字"}, "漢字"},
		{"space", "", tea.KeyPressMsg{Code: tea.KeySpace, Text: " "}, " "},
		{"enter", "", press(tea.KeyEnter, 0), "\r"},
		{"shift+enter", "", press(tea.KeyEnter, shift), "\x1b\r"},
		{"alt+enter", "", press(tea.KeyEnter, alt), "\x1b\r"},
		{"tab", "", press(tea.KeyTab, 0), "\t"},
		{"shift+tab", "", press(tea.KeyTab, shift), "\x1b[Z"},
		{"backspace", "", press(tea.KeyBackspace, 0), "\x7f"},
		{"alt+backspace", "", press(tea.KeyBackspace, alt), "\x1b\x7f"},
		{"ctrl+backspace", "", press(tea.KeyBackspace, ctrl), "\b"},
		{"escape", "", press(tea.KeyEscape, 0), "\x1b"},
		{"alt+escape", "", press(tea.KeyEscape, alt), "\x1b\x1b"},
		{"ctrl+a", "", press('a', ctrl), "\x01"},
		{"ctrl+z", "", press('z', ctrl), "\x1a"},
		{"ctrl+space", "", press(' ', ctrl), "\x00"},
		{"ctrl+@", "", press('@', ctrl), "\x00"},
		{"ctrl+[", "", press('[', ctrl), "\x1b"},
		{"ctrl+\\", "", press('\\', ctrl), "\x1c"},
		{"ctrl+]", "", press(']', ctrl), "\x1d"},
		{"ctrl+^", "", press('^', ctrl), "\x1e"},
		{"ctrl+_", "", press('_', ctrl), "\x1f"},
		{"ctrl+/", "", press('/', ctrl), "\x1f"},
		{"ctrl+shift+a", "", press('a', ctrl|shift), "\x01"},
		{"ctrl+alt+a", "", press('a', ctrl|alt), "\x1b\x01"},
		{"ctrl and a key without control character", "", press('é', ctrl), "é"},
		{"alt+a", "", press('a', alt), "\x1ba"},
		{"alt+shift+a", "", press('a', alt|shift), "\x1bA"},
		{"alt+é", "", press('é', alt), "\x1bé"},
		{"up", "", press(tea.KeyUp, 0), "\x1b[A"},
		{"up in application mode", application, press(tea.KeyUp, 0), "\x1bOA"},
		{"ctrl+up in application mode", application, press(tea.KeyUp, ctrl), "\x1b[1;5A"},
		{"ctrl+up", "", press(tea.KeyUp, ctrl), "\x1b[1;5A"},
		{"shift+alt+left", "", press(tea.KeyLeft, shift|alt), "\x1b[1;4D"},
		{"home", "", press(tea.KeyHome, 0), "\x1b[H"},
		{"home in application mode", application, press(tea.KeyHome, 0), "\x1bOH"},
		{"end", "", press(tea.KeyEnd, 0), "\x1b[F"},
		{"page down", "", press(tea.KeyPgDown, 0), "\x1b[6~"},
		{"ctrl+delete", "", press(tea.KeyDelete, ctrl), "\x1b[3;5~"},
		{"F1", "", press(tea.KeyF1, 0), "\x1bOP"},
		{"shift+F1", "", press(tea.KeyF1, shift), "\x1b[1;2P"},
		{"F5", "", press(tea.KeyF5, 0), "\x1b[15~"},
		{"F12", "", press(tea.KeyF12, 0), "\x1b[24~"},
		{"F20", "", press(tea.KeyF20, 0), "\x1b[34~"},
		{"keypad", "", tea.KeyPressMsg{Code: tea.KeyKp5}, "5"},
		{"keypad in application mode", appKeypad, tea.KeyPressMsg{Code: tea.KeyKp5, Text: "5"}, "\x1bOu"},
		{"keypad enter", "", press(tea.KeyKpEnter, 0), "\r"},
		{"keypad enter in application mode", appKeypad, press(tea.KeyKpEnter, 0), "\x1bOM"},
		{"keypad arrow", appKeypad, press(tea.KeyKpUp, 0), "\x1b[A"},
		{"a lock", "", press(tea.KeyCapsLock, 0), ""},
		{"a modifier alone", "", press(tea.KeyLeftShift, shift), ""},
		{"kitty: letter", kitty, text("a"), "a"},
		{"kitty: shift and letter", kitty, tea.KeyPressMsg{Code: 'a', ShiftedCode: 'A', Text: "A", Mod: shift}, "A"},
		{"kitty: enter", kitty, press(tea.KeyEnter, 0), "\r"},
		{"kitty: shift+enter", kitty, press(tea.KeyEnter, shift), "\x1b[13;2u"},
		{"kitty: escape", kitty, press(tea.KeyEscape, 0), "\x1b[27u"},
		{"kitty: ctrl+c", kitty, press('c', ctrl), "\x1b[99;5u"},
		{"kitty: ctrl+shift+c", kitty, press('c', ctrl|shift), "\x1b[99;6u"},
		{"kitty: alt+a", kitty, press('a', alt), "\x1b[97;3u"},
		{"kitty: super+a", kitty, press('a', tea.ModSuper), "\x1b[97;9u"},
		{"kitty: tab", kitty, press(tea.KeyTab, 0), "\t"},
		{"kitty: shift+tab", kitty, press(tea.KeyTab, shift), "\x1b[9;2u"},
		{"kitty: up", kitty, press(tea.KeyUp, ctrl), "\x1b[1;5A"},
		{"kitty: taken back", kitty + "\x1b[<u", press(tea.KeyEnter, shift), "\x1b\r"},
		{"modifyOtherKeys: shift+enter", modifyOther, press(tea.KeyEnter, shift), "\x1b[27;2;13~"},
		{"modifyOtherKeys: taken back", modifyOther + "\x1b[>4m", press(tea.KeyEnter, shift), "\x1b\r"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := screen(t, 10, 2)
			write(t, s, c.modes)
			if got := string(s.Encode(c.key)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestEncodePaste(t *testing.T) {
	for _, c := range []struct{ name, modes, in, want string }{
		{"plain", "", "a\nb\r\nc\td", "a\rb\rc\td"},
		{"bracketed", "\x1b[?2004h", "a\nb", "\x1b[200~a\rb\x1b[201~"},
		{"that ends itself", "\x1b[?2004h", "a\x1b[201~rm -rf\n", "\x1b[200~arm -rf\r\x1b[201~"},
		{"that ends itself when its end is cut out", "\x1b[?2004h", "a\x1b[20\x1b[201~1~b", "\x1b[200~a[201~b\x1b[201~"},
		{"with controls", "", "a\x03\x1b[A\u009b201~b\x7f", "a[A201~b"},
		{"beyond ASCII", "", "漢é", "漢é"},
	} {
		s := screen(t, 10, 2)
		write(t, s, c.modes)
		if got := string(s.EncodePaste(c.in)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestEncodeMouse(t *testing.T) {
	const x10, click, drag, move, sgr = "\x1b[?9h", "\x1b[?1000h", "\x1b[?1002h", "\x1b[?1003h", "\x1b[?1006h"
	at := func(b tea.MouseButton, x, y int) tea.Mouse { return tea.Mouse{X: x, Y: y, Button: b} }
	down := tea.MouseClickMsg(at(tea.MouseLeft, 2, 3))
	up := tea.MouseReleaseMsg(at(tea.MouseLeft, 2, 3))
	wheel := tea.MouseWheelMsg(at(tea.MouseWheelDown, 2, 3))
	dragged := tea.MouseMotionMsg(at(tea.MouseLeft, 2, 3))
	moved := tea.MouseMotionMsg(at(tea.MouseNone, 2, 3))
	for _, c := range []struct {
		name, modes string
		msg         tea.MouseMsg
		want        string
	}{
		{"not asked for", sgr, down, ""},
		{"press", click + sgr, down, "\x1b[<0;3;4M"},
		{"release", click + sgr, up, "\x1b[<0;3;4m"},
		{"wheel", click + sgr, wheel, "\x1b[<65;3;4M"},
		{"ctrl", click + sgr, tea.MouseClickMsg{X: 2, Y: 3, Button: tea.MouseLeft, Mod: tea.ModCtrl}, "\x1b[<16;3;4M"},
		{"drag not asked for", click + sgr, dragged, ""},
		{"drag", drag + sgr, dragged, "\x1b[<32;3;4M"},
		{"move not asked for", drag + sgr, moved, ""},
		{"move", move + sgr, moved, "\x1b[<35;3;4M"},
		{"drag with all", move + sgr, dragged, "\x1b[<32;3;4M"},
		{"old encoding", click, down, "\x1b[M #$"},
		{"old encoding of a release", click, up, "\x1b[M##$"},
		{"X10 press", x10, down, "\x1b[M #$"},
		{"X10 release", x10, up, ""},
		{"asked for no more", click + sgr + "\x1b[?1000l", down, ""},
		{"outside", click + sgr, tea.MouseClickMsg(at(tea.MouseLeft, 300, 1)), ""},
		{"before", click + sgr, tea.MouseClickMsg(at(tea.MouseLeft, -1, 1)), ""},
		{"far for the old encoding", click, tea.MouseClickMsg(at(tea.MouseLeft, 250, 1)), ""},
		{"far", click + sgr, tea.MouseClickMsg(at(tea.MouseLeft, 250, 1)), "\x1b[<0;251;2M"},
	} {
		s := terminal.New(300, 10, 0, nil)
		write(t, s, c.modes)
		if got := string(s.EncodeMouse(c.msg)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		s.Close()
	}
}

func TestEncodeFocus(t *testing.T) {
	s := screen(t, 10, 2)
	if got := s.EncodeFocus(true); got != nil {
		t.Errorf("got %q, nobody asked", got)
	}
	write(t, s, "\x1b[?1004h")
	if got := string(s.EncodeFocus(true)) + string(s.EncodeFocus(false)); got != "\x1b[I\x1b[O" {
		t.Errorf("got %q", got)
	}
}
