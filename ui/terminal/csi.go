package terminal

import (
	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
	params "github.com/charmbracelet/x/ansi/parser"
)

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
	case 'A':
		f.moveBy(0, -n)
	case 'B', 'e':
		f.moveBy(0, n)
	case 'C', 'a':
		f.moveBy(n, 0)
	case 'D':
		f.moveBy(-n, 0)
	case 'E':
		f.moveBy(-cols, n)
	case 'F':
		f.moveBy(-cols, -n)
	case 'G', '`':
		_, y := f.cursor()
		f.moveTo(n-1, y)
	case 'd':
		x, _ := f.cursor()
		f.moveToLine(x, n-1)
	case 'X':
		f.eraseChars(n)
	case '@':
		f.insertCells(n)
	case 'P':
		f.deleteCells(n)
	case 'I':
		f.tab(min(n, cols))
	case 'Z':
		f.tab(-min(n, cols))
	case 'H', 'f':
		f.moveToLine(q.param(1, 1)-1, n-1)
	case 'J':
		f.erase(q.param(0, 0))
	case 'K':
		f.eraseLine(q.param(0, 0))
	case 'L':
		f.insertLines(n)
	case 'M':
		f.deleteLines(n)
	case 'S':
		f.scrollUp(f.page().top, f.page().bottom, n)
	case 'T':
		if q.n <= 1 { // with more it is about the mouse
			f.scrollDown(f.page().top, f.page().bottom, n)
		}
	case 'b':
		f.again(min(n, cols))
	case 'c':
		if q.param(0, 0) == 0 {
			f.answer("\x1b[?62;22c") // a VT220 with colours
		}
	case 'g':
		switch q.param(0, 0) {
		case 0:
			x, _ := f.cursor()
			f.tabs.Reset(x)
		case 3:
			f.tabs.Clear()
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
			f.setRegion(n-1, bottom)
		}
	case 's':
		f.save()
	case 'u':
		f.restore()
	case 't':
		if q.param(0, 0) == 18 {
			f.answer("\x1b[8;%d;%dt", rows, cols)
		}
	}
}

// style is SGR.
func (f *filter) style(q *sequence) {
	var list [maxParams]ansi.Param
	for i := range q.n {
		v := q.params[i]
		if v < 0 {
			v = params.MissingParam
		}
		if i+1 < q.n && q.sub[i+1] {
			v |= params.HasMoreFlag
		}
		list[i] = ansi.Param(v)
	}
	uv.ReadStyle(list[:q.n], &f.page().cursor.pen)
}

func (f *filter) erase(how int) {
	switch how {
	case 0:
		f.eraseBelow()
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
		f.eraseLine(q.param(0, 0))
	case 'n':
		if q.param(0, 0) == 6 {
			x, y := f.cursor()
			f.answer("\x1b[?%d;%dR", y+1, x+1)
		}
	case 'u':
		f.answer("\x1b[?%du", f.modes.kittyFlags(f.active()))
	case 'W':
		if q.param(0, 0) == 5 {
			f.tabs = uv.DefaultTabStops(f.cols)
		}
	}
}

// keyboard is the sequences with <, = or >: nearly all are about the keyboard.
func (f *filter) keyboard(q *sequence) {
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
	switch mode {
	case modeOrigin:
		f.origin = on
		f.moveToLine(0, 0)
	case modeWrap:
		f.wraps = on
	case modeCursor:
		f.changed = f.changed || was != on
	case modeAlt, modeAlt47:
		f.show(on)
	case modeAltSave:
		if on {
			f.save()
		}
		f.show(on)
	case modeSaveCursor:
		if on {
			f.save()
		} else {
			f.restore()
		}
	}
}

// softReset is DECSTR: modes, margins and pen as at the start; what is on the screen stays.
func (f *filter) softReset() {
	x, y := f.cursor()
	f.origin, f.wraps = false, true
	f.sets[0], f.set = nil, 0
	p := f.page()
	p.cursor = cursor{}
	f.save()
	f.setRegion(0, f.rows)
	f.moveTo(x, y)
	for mode, on := range map[int]bool{modeCursorKeys: false, modeKeypad: false, modeOrigin: false, modeWrap: true, modeCursor: true} {
		f.modes.on[mode] = on
	}
	f.changed = true
}
