package terminal

import (
	"strconv"
)

// csiSeq is CSI with one parameter.
func csiSeq(n int, final byte) string {
	return "\x1b[" + strconv.Itoa(n) + string(rune(final))
}

func (f *filter) csi(q *sequence) {
	f.prose.end()
	switch {
	case q.prefix == 0 && q.intermediate == 0:
		f.plain(q)
	case q.prefix == '?' && q.intermediate == 0:
		f.private(q)
	case q.intermediate == '!' && q.final == 'p' && q.prefix == 0:
		f.softReset()
	case q.intermediate == '$' && q.final == 'p' && q.prefix == '?':
		f.answer("\x1b[?%d;%d$y", q.param(0, 0), f.modes.report(q.param(0, 0)))
	case q.intermediate == '$' && q.final == 'p' && q.prefix == 0:
		f.answer("\x1b[%d;0$y", q.param(0, 0))
	case q.intermediate == 0:
		f.keyboard(q)
	}
}

// plain is the sequences without a mark of their own.
func (f *filter) plain(q *sequence) {
	cols, rows := f.size()
	n := min(q.param(0, 1), max(cols, rows)) // more does nothing more, and takes longer
	switch q.final {
	case 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'X', 'd':
		f.put(csiSeq(n, q.final))
	case '@':
		f.insertCells(n)
	case 'P':
		f.deleteCells(n)
	case 'I', 'Z':
		f.put(csiSeq(min(n, cols), q.final))
	case 'a', 'e', '`': // as C, B and G, which x/vt does right
		f.put(csiSeq(n, map[byte]byte{'a': 'C', 'e': 'B', '`': 'G'}[q.final]))
	case 'H', 'f':
		f.put("\x1b[" + strconv.Itoa(n) + ";" + strconv.Itoa(q.param(1, 1)) + "H")
	case 'J':
		f.erase(q.param(0, 0))
	case 'K':
		if k := q.param(0, 0); k <= 2 {
			f.put(csiSeq(k, 'K'))
		}
	case 'L':
		f.insertLines(n)
	case 'M':
		f.deleteLines(n)
	case 'S':
		f.flush()
		r := f.screen().ScrollRegion()
		f.scrollUp(r.Min.Y, r.Max.Y, n)
	case 'T':
		if q.n <= 1 { // with more it is about the mouse
			f.flush()
			r := f.screen().ScrollRegion()
			f.scrollDown(r.Min.Y, r.Max.Y, n)
		}
	case 'b':
		f.again(min(n, cols))
	case 'c':
		if q.param(0, 0) == 0 {
			f.answer("\x1b[?62;22c") // a VT220 with colours
		}
	case 'g':
		if k := q.param(0, 0); k == 0 || k == 3 {
			f.put(csiSeq(k, 'g'))
		}
	case 'h', 'l':
		if q.param(0, 0) == 20 {
			f.modes.newline = q.final == 'h'
		}
	case 'm':
		f.style(q)
	case 'n':
		switch q.param(0, 0) {
		case 5:
			f.answer("\x1b[0n")
		case 6:
			x, y := f.cursor()
			f.answer("\x1b[%d;%dR", y+1, x+1)
		}
	case 'r':
		if bottom := min(q.param(1, rows), rows); n < bottom {
			f.put("\x1b[" + strconv.Itoa(n) + ";" + strconv.Itoa(bottom) + "r")
			f.flush()
		}
	case 's':
		f.put("\x1b7")
	case 'u':
		f.put("\x1b8")
		f.restored()
	case 't':
		if q.param(0, 0) == 18 {
			f.answer("\x1b[8;%d;%dt", rows, cols)
		}
	}
}

// style writes an SGR again, from its parameters.
func (f *filter) style(q *sequence) {
	b := append(f.out, "\x1b["...)
	for i := range q.n {
		if i > 0 {
			if q.sub[i] {
				b = append(b, ':')
			} else {
				b = append(b, ';')
			}
		}
		if q.params[i] >= 0 {
			b = strconv.AppendInt(b, int64(q.params[i]), 10)
		}
	}
	f.out = append(b, 'm')
}

func (f *filter) erase(how int) {
	switch how {
	case 0:
		f.put("\x1b[J")
	case 1:
		f.eraseAbove()
	case 2:
		f.eraseAll()
	case 3:
		f.history.clear()
		f.changed = true
	}
}

// private is the sequences with a question mark.
func (f *filter) private(q *sequence) {
	switch q.final {
	case 'h', 'l':
		for i := range q.n {
			f.setMode(q.params[i], q.final == 'h')
		}
	case 'J':
		f.erase(q.param(0, 0))
	case 'K':
		if k := q.param(0, 0); k <= 2 {
			f.put(csiSeq(k, 'K'))
		}
	case 'n':
		if q.param(0, 0) == 6 {
			x, y := f.cursor()
			f.answer("\x1b[?%d;%dR", y+1, x+1)
		}
	case 'u':
		f.answer("\x1b[?%du", f.modes.kittyFlags(f.active()))
	case 'W':
		if q.param(0, 0) == 5 {
			f.put("\x1b[?5W")
		}
	}
}

// keyboard is the sequences with <, = or >: nearly all are about the keyboard.
func (f *filter) keyboard(q *sequence) {
	f.flush()
	switch string([]byte{q.prefix, q.final}) {
	case ">u":
		f.modes.kittyPush(f.active(), q.param(0, 0))
	case "<u":
		f.modes.kittyPop(f.active(), q.param(0, 1))
	case "=u":
		f.modes.kittySet(f.active(), q.param(0, 0), q.param(1, 1))
	case ">m":
		if k := q.param(0, 0); k == 4 || k == 0 {
			f.modes.other = min(q.param(1, 0), 2)
		}
	case ">c":
		if q.param(0, 0) == 0 {
			f.answer("\x1b[>1;10;0c")
		}
	case ">q":
		if q.param(0, 0) == 0 {
			f.answer("\x1bP>|%s\x1b\\", name)
		}
	}
}

func (f *filter) setMode(mode int, on bool) {
	was, known := f.modes.on[mode]
	if !known || mode == modeClusters {
		return
	}
	f.modes.on[mode] = on
	final := byte('l')
	if on {
		final = 'h'
	}
	switch mode {
	case modeOrigin, modeWrap:
		f.put("\x1b[?" + strconv.Itoa(mode) + string(rune(final)))
		if mode == modeOrigin {
			f.put("\x1b[H")
		}
	case modeCursor:
		f.changed = f.changed || was != on
	case modeAlt, modeAlt47:
		f.alternate("\x1b[?1047", final)
	case modeAltSave:
		f.alternate("\x1b[?1049", final)
	case modeSaveCursor:
		if on {
			f.put("\x1b7")
		} else {
			f.put("\x1b8")
			f.restored()
		}
	}
}

// alternate goes to the alternate screen or leaves it. The emulator's alternate screen still has the scroll
// region of the last visit.
func (f *filter) alternate(mode string, final byte) {
	f.flush()
	was := f.active()
	f.put(mode + string(rune(final)))
	f.flush()
	if was != f.active() {
		if final == 'h' {
			f.put("\x1b[r")
		}
		f.restored()
	}
}

// softReset is DECSTR: modes, margins and pen as at the start; what is on the screen stays.
func (f *filter) softReset() {
	x, y := f.cursor()
	f.put("\x1b[?6l\x1b[r\x1b[0m\x1b(B\x0f\x1b[H\x1b7\x1b[?7h")
	f.moveTo(x, y)
	for mode, on := range map[int]bool{modeCursorKeys: false, modeKeypad: false, modeOrigin: false, modeWrap: true, modeCursor: true} {
		f.modes.on[mode] = on
	}
	f.changed = true
}
