package agent

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLine bounds the typed line, in runes, and maxTyped the lines that are remembered.
const (
	maxLine  = 4096
	maxTyped = 100
)

// line is the line editor: it is fed what the keyboard sends and gives whole lines.
type line struct {
	runes   []rune
	pos     int
	pending []byte // an escape sequence or a rune that is not complete yet
	pasting bool
	lines   []string // entered before
	back    int      // how far back in them
	ctrlC   bool     // the last key was ctrl-c
}

type lineEvent struct {
	kind lineKind
	text string
}

type lineKind int

const (
	lineEntered lineKind = iota
	lineEnd              // ctrl-d on an empty line, or ctrl-c twice
	lineHint             // something to tell
)

func (l *line) text() string { return string(l.runes) }

// feed takes what was read. Sequences may be split between calls.
func (l *line) feed(p []byte) (events []lineEvent) {
	l.pending = append(l.pending, p...)
	for len(l.pending) > 0 {
		n, key, r := next(l.pending)
		if n == 0 {
			if len(l.pending) > 64 { // no key is that long
				l.pending = nil
			}
			return events
		}
		l.pending = l.pending[n:]
		wasCtrlC := l.ctrlC
		l.ctrlC = false
		switch {
		case key == "[200~":
			l.pasting = true
		case key == "[201~":
			l.pasting = false
		case key != "":
			l.move(key)
		case l.pasting && (r == '\r' || r == '\n'):
			l.insert(' ')
		case r == '\r' || r == '\n':
			if e, ok := l.enter(); ok {
				events = append(events, e)
			}
		case r == 3:
			if wasCtrlC {
				return append(events, lineEvent{lineEnd, ""})
			}
			l.set("")
			l.ctrlC = true
			events = append(events, lineEvent{lineHint, "ctrl-c again ends the agent"})
		case r == 4:
			if len(l.runes) == 0 {
				return append(events, lineEvent{lineEnd, ""})
			}
			l.delete(l.pos, l.pos+1)
		default:
			l.edit(r)
		}
	}
	l.pending = nil
	return events
}

// next takes one key off p: the rest of an escape sequence, or a rune. n is 0 when p is not complete.
func next(p []byte) (n int, key string, r rune) {
	if p[0] != 0x1b {
		if !utf8.FullRune(p) {
			return 0, "", 0
		}
		r, n = utf8.DecodeRune(p)
		return n, "", r
	}
	if len(p) == 1 {
		return 0, "", 0
	}
	if p[1] != '[' && p[1] != 'O' {
		return 1, "esc", 0
	}
	for i := 2; i < len(p); i++ {
		if p[i] >= 0x40 && p[i] <= 0x7e {
			return i + 1, string(p[1 : i+1]), 0
		}
	}
	return 0, "", 0
}

func (l *line) enter() (lineEvent, bool) {
	text := strings.TrimSpace(l.text())
	l.set("")
	l.back = 0
	if text == "" {
		return lineEvent{}, false
	}
	if l.lines = append(l.lines, text); len(l.lines) > maxTyped {
		l.lines = l.lines[1:]
	}
	return lineEvent{lineEntered, text}, true
}

func (l *line) edit(r rune) {
	switch r {
	case 0x7f, 0x08: // backspace
		l.delete(l.pos-1, l.pos)
	case 0x15: // ctrl-u
		l.delete(0, l.pos)
	case 0x0b: // ctrl-k
		l.delete(l.pos, len(l.runes))
	case 0x17: // ctrl-w
		from := l.pos
		for from > 0 && l.runes[from-1] == ' ' {
			from--
		}
		for from > 0 && l.runes[from-1] != ' ' {
			from--
		}
		l.delete(from, l.pos)
	case 0x01: // ctrl-a
		l.pos = 0
	case 0x05: // ctrl-e
		l.pos = len(l.runes)
	case '\t':
		l.insert(' ')
	default:
		if r != utf8.RuneError && !unicode.IsControl(r) {
			l.insert(r)
		}
	}
}

func (l *line) move(key string) {
	switch key {
	case "[D", "OD":
		l.pos = max(0, l.pos-1)
	case "[C", "OC":
		l.pos = min(len(l.runes), l.pos+1)
	case "[H", "OH", "[1~":
		l.pos = 0
	case "[F", "OF", "[4~":
		l.pos = len(l.runes)
	case "[3~":
		l.delete(l.pos, l.pos+1)
	case "[A", "OA":
		if l.back < len(l.lines) {
			l.back++
			l.set(l.lines[len(l.lines)-l.back])
		}
	case "[B", "OB":
		if l.back > 1 {
			l.back--
			l.set(l.lines[len(l.lines)-l.back])
		} else {
			l.back = 0
			l.set("")
		}
	}
}

func (l *line) set(text string) {
	l.runes = []rune(text)
	l.pos = len(l.runes)
}

func (l *line) insert(r rune) {
	if len(l.runes) < maxLine {
		l.runes = slices.Insert(l.runes, l.pos, r)
		l.pos++
	}
}

func (l *line) delete(from, to int) {
	from, to = max(0, from), min(to, len(l.runes))
	if from < to {
		l.runes = slices.Delete(l.runes, from, to)
		l.pos = from
	}
}
