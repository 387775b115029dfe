package terminal

import (
	"strconv"
	"strings"
	"unicode"

	tea "charm.land/bubbletea/v2"
)

// keyForm is how a key without a character is encoded.
type keyForm struct {
	number int  // CSI number ~, or
	letter byte // CSI letter
	ss3    bool // SS3 letter, as long as no modifier is held
}

// keyForms are xterm's, for a PC keyboard:
// https://invisible-island.net/xterm/ctlseqs/ctlseqs.html#h2-PC-Style-Function-Keys
var keyForms = map[rune]keyForm{
	tea.KeyUp: {letter: 'A'}, tea.KeyDown: {letter: 'B'}, tea.KeyRight: {letter: 'C'}, tea.KeyLeft: {letter: 'D'},
	tea.KeyBegin: {letter: 'E'}, tea.KeyEnd: {letter: 'F'}, tea.KeyHome: {letter: 'H'},
	tea.KeyFind: {number: 1}, tea.KeyInsert: {number: 2}, tea.KeyDelete: {number: 3}, tea.KeySelect: {number: 4},
	tea.KeyPgUp: {number: 5}, tea.KeyPgDown: {number: 6},
	tea.KeyF1: {letter: 'P', ss3: true}, tea.KeyF2: {letter: 'Q', ss3: true},
	tea.KeyF3: {letter: 'R', ss3: true}, tea.KeyF4: {letter: 'S', ss3: true},
	tea.KeyF5: {number: 15}, tea.KeyF6: {number: 17}, tea.KeyF7: {number: 18}, tea.KeyF8: {number: 19},
	tea.KeyF9: {number: 20}, tea.KeyF10: {number: 21}, tea.KeyF11: {number: 23}, tea.KeyF12: {number: 24},
	tea.KeyF13: {number: 25}, tea.KeyF14: {number: 26}, tea.KeyF15: {number: 28}, tea.KeyF16: {number: 29},
	tea.KeyF17: {number: 31}, tea.KeyF18: {number: 32}, tea.KeyF19: {number: 33}, tea.KeyF20: {number: 34},
}

// keypad is what each key of the keypad means without application mode, and SS3's letter with it.
var keypad = map[rune]struct {
	plain  rune
	letter byte
}{
	tea.KeyKp0: {'0', 'p'}, tea.KeyKp1: {'1', 'q'}, tea.KeyKp2: {'2', 'r'}, tea.KeyKp3: {'3', 's'}, tea.KeyKp4: {'4', 't'},
	tea.KeyKp5: {'5', 'u'}, tea.KeyKp6: {'6', 'v'}, tea.KeyKp7: {'7', 'w'}, tea.KeyKp8: {'8', 'x'}, tea.KeyKp9: {'9', 'y'},
	tea.KeyKpMultiply: {'*', 'j'}, tea.KeyKpPlus: {'+', 'k'}, tea.KeyKpComma: {',', 'l'}, tea.KeyKpSep: {',', 'l'},
	tea.KeyKpMinus: {'-', 'm'}, tea.KeyKpDecimal: {'.', 'n'}, tea.KeyKpDivide: {'/', 'o'}, tea.KeyKpEqual: {'=', 'X'},
	tea.KeyKpEnter: {tea.KeyEnter, 'M'},
	tea.KeyKpUp:    {plain: tea.KeyUp}, tea.KeyKpDown: {plain: tea.KeyDown}, tea.KeyKpLeft: {plain: tea.KeyLeft},
	tea.KeyKpRight: {plain: tea.KeyRight}, tea.KeyKpPgUp: {plain: tea.KeyPgUp}, tea.KeyKpPgDown: {plain: tea.KeyPgDown},
	tea.KeyKpHome: {plain: tea.KeyHome}, tea.KeyKpEnd: {plain: tea.KeyEnd}, tea.KeyKpInsert: {plain: tea.KeyInsert},
	tea.KeyKpDelete: {plain: tea.KeyDelete}, tea.KeyKpBegin: {plain: tea.KeyBegin},
}

// keyMods are the modifiers that reach a program; locks do not.
const keyMods = tea.ModShift | tea.ModAlt | tea.ModCtrl | tea.ModMeta | tea.ModSuper | tea.ModHyper

// Encode is what the agent's program expects for a key, in the modes that it asked for; nil for a key that
// means nothing to a program (a lock, a modifier alone).
func (s *Screen) Encode(k tea.KeyPressMsg) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.look()
	e := keyEncoder{
		cursorKeys: f.modes.on[modeCursorKeys],
		keypad:     f.modes.on[modeKeypad],
		other:      f.modes.other,
		kitty:      f.modes.kittyFlags(f.on)&kittyDisambiguate != 0,
	}
	return []byte(e.encode(tea.Key(k)))
}

// keyEncoder is the modes of a program that concern keys.
type keyEncoder struct {
	cursorKeys, keypad, kitty bool
	other                     int // modifyOtherKeys
}

func (e keyEncoder) encode(k tea.Key) string {
	mod := k.Mod & keyMods
	if p, ok := keypad[k.Code]; ok {
		if e.keypad && mod == 0 && p.letter != 0 {
			return "\x1bO" + string(rune(p.letter))
		}
		k.Code = p.plain
		if k.Text == "" && unicode.IsPrint(p.plain) {
			k.Text = string(p.plain)
		}
	}
	if form, ok := keyForms[k.Code]; ok {
		return e.function(form, mod)
	}
	switch k.Code {
	case tea.KeyEnter, tea.KeyTab, tea.KeyBackspace, tea.KeyEscape:
		return e.named(k.Code, mod)
	}
	if k.Text != "" && mod&^tea.ModShift == 0 {
		return k.Text
	}
	if k.Code <= 0 || k.Code > unicode.MaxRune {
		return k.Text
	}
	return e.character(k, mod)
}

// modNumber is xterm's and kitty's number for modifiers: 1 and a bit for each.
func modNumber(mod tea.KeyMod) int {
	n := 1
	for i, m := range []tea.KeyMod{tea.ModShift, tea.ModAlt, tea.ModCtrl, tea.ModSuper, tea.ModHyper, tea.ModMeta} {
		if mod&m != 0 {
			n += 1 << i
		}
	}
	return n
}

func (e keyEncoder) function(form keyForm, mod tea.KeyMod) string {
	m := strconv.Itoa(modNumber(mod))
	switch {
	case form.letter == 0 && mod == 0:
		return "\x1b[" + strconv.Itoa(form.number) + "~"
	case form.letter == 0:
		return "\x1b[" + strconv.Itoa(form.number) + ";" + m + "~"
	case mod != 0:
		return "\x1b[1;" + m + string(rune(form.letter))
	case form.ss3 || e.cursorKeys:
		return "\x1bO" + string(rune(form.letter))
	}
	return "\x1b[" + string(rune(form.letter))
}

// named is the four keys that are control characters themselves.
func (e keyEncoder) named(code rune, mod tea.KeyMod) string {
	if e.kitty && (mod != 0 || code == tea.KeyEscape) {
		return kittyKey(code, mod)
	}
	if e.other == 2 && mod != 0 && code != tea.KeyEscape {
		return "\x1b[27;" + strconv.Itoa(modNumber(mod)) + ";" + strconv.Itoa(int(code)) + "~"
	}
	s := string(code)
	switch {
	case code == tea.KeyEnter && mod&tea.ModShift != 0:
		return "\x1b\r" // what programs take for a new line that does not send
	case code == tea.KeyTab && mod&tea.ModShift != 0:
		s = "\x1b[Z"
	case code == tea.KeyBackspace && mod&tea.ModCtrl != 0:
		s = "\b"
	}
	if mod&tea.ModAlt != 0 {
		s = "\x1b" + s
	}
	return s
}

// character is a key with a character, held with more than shift.
func (e keyEncoder) character(k tea.Key, mod tea.KeyMod) string {
	if e.kitty && mod&^tea.ModShift != 0 {
		return kittyKey(unicode.ToLower(k.Code), mod)
	}
	c := k.Code
	if mod&tea.ModShift != 0 {
		if c = unicode.ToUpper(k.Code); k.ShiftedCode != 0 {
			c = k.ShiftedCode
		}
	}
	s := string(c)
	if mod&tea.ModCtrl != 0 {
		if b, ok := control(k.Code); ok {
			s = string(rune(b))
		}
	}
	if mod&tea.ModAlt != 0 {
		s = "\x1b" + s
	}
	return s
}

// control is the control character that a terminal sends for a key with ctrl.
func control(c rune) (byte, bool) {
	switch {
	case c >= 'a' && c <= 'z':
		return byte(c) & 0x1f, true
	case c >= '@' && c <= '_':
		return byte(c) & 0x1f, true
	case c >= '2' && c <= '8':
		return "\x00\x1b\x1c\x1d\x1e\x1f\x7f"[c-'2'], true
	}
	switch c {
	case ' ', '`':
		return 0, true
	case '/', '-':
		return 0x1f, true
	case '~':
		return 0x1e, true
	case '?':
		return del, true
	}
	return 0, false
}

// kittyKey is CSI u: https://sw.kovidgoyal.net/kitty/keyboard-protocol/
func kittyKey(code rune, mod tea.KeyMod) string {
	s := "\x1b[" + strconv.Itoa(int(code))
	if mod != 0 {
		s += ";" + strconv.Itoa(modNumber(mod))
	}
	return s + "u"
}

// EncodePaste is pasted text as the program expects it: between marks when it asked for them, lines ended by
// carriage returns, without control characters other than tabs, so that no paste can end itself and type on.
func (s *Screen) EncodePaste(text string) []byte {
	s.mu.Lock()
	bracketed := s.look().modes.on[modePaste]
	s.mu.Unlock()
	for _, mark := range []string{"\x1b[201~", "\x1b[200~"} {
		text = strings.ReplaceAll(text, mark, "")
	}
	text = strings.NewReplacer("\r\n", "\r", "\n", "\r").Replace(text)
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' && r != '\r' {
			return -1
		}
		return r
	}, text)
	if bracketed {
		text = "\x1b[200~" + text + "\x1b[201~"
	}
	return []byte(text)
}

// EncodeFocus tells the program that its terminal got or lost the keyboard; nil when it did not ask.
func (s *Screen) EncodeFocus(focused bool) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.look().modes.on[modeFocus]:
		return nil
	case focused:
		return []byte("\x1b[I")
	}
	return []byte("\x1b[O")
}
