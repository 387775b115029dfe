package terminal

import (
	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
	flags "github.com/charmbracelet/x/ansi/parser"
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
	n := min(q.param(0, 1), max(f.cols, f.rows)) // more does nothing more, and takes longer
	p := f.page()
	switch q.final {
	case 'A':
		f.move(0, -n)
	case 'B', 'e':
		f.move(0, n)
	case 'C', 'a':
		f.move(n, 0)
	case 'D':
		f.move(-n, 0)
	case 'E':
		f.move(-f.cols, n)
	case 'F':
		f.move(-f.cols, -n)
	case 'G', '`':
		f.moveTo(n-1, p.cursor.y)
	case 'H', 'f':
		f.position(q.param(1, 1)-1, n-1)
	case 'd':
		f.position(p.cursor.x, n-1)
	case 'I':
		f.tab(n)
	case 'Z':
		f.tabBack(n)
	case '@':
		f.insertCells(n)
	case 'P':
		f.deleteCells(n)
	case 'X':
		f.eraseCells(n)
	case 'J':
		f.display(q.param(0, 0))
	case 'K':
		f.eraseInLine(q.param(0, 0))
	case 'L':
		f.insertLines(n)
	case 'M':
		f.deleteLines(n)
	case 'S':
		f.scrollUp(n)
	case 'T':
		if q.n <= 1 { // with more it is about the mouse
			f.scrollDown(n)
		}
	case 'b':
		f.again(min(n, f.cols))
	case 'c':
		if q.param(0, 0) == 0 {
			f.answer("\x1b[?62;22c") // a VT220 with colours
		}
	case 'g':
		switch q.param(0, 0) {
		case 0:
			f.stops[p.cursor.x] = false
		case 3:
			clear(f.stops)
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
			f.answer("\x1b[%d;%dR", p.cursor.y+1, p.cursor.x+1)
		}
	case 'r':
		if bottom := min(q.param(1, f.rows), f.rows); n < bottom {
			f.setRegion(n-1, bottom)
		}
	case 's':
		f.save()
	case 'u':
		f.restore()
	case 't':
		if q.param(0, 0) == 18 {
			f.answer("\x1b[8;%d;%dt", f.rows, f.cols)
		}
	}
}

// style sets the pen.
func (f *filter) style(q *sequence) {
	var params [maxParams]ansi.Param
	for i := range q.n {
		params[i] = flags.MissingParam
		if q.params[i] >= 0 {
			params[i] = ansi.Param(q.params[i])
		}
		if i+1 < q.n && q.sub[i+1] {
			params[i] |= flags.HasMoreFlag
		}
	}
	uv.ReadStyle(params[:q.n], &f.page().cursor.pen)
}

// display is ED.
func (f *filter) display(how int) {
	if how == 3 {
		f.history.clear()
		f.changed = true
		return
	}
	f.eraseInScreen(how)
}

// private is the sequences with a question mark.
func (f *filter) private(q *sequence) {
	switch q.final {
	case 'h', 'l':
		for i := range q.n {
			f.setMode(q.params[i], q.final == 'h')
		}
	case 'J':
		f.display(q.param(0, 0))
	case 'K':
		f.eraseInLine(q.param(0, 0))
	case 'n':
		if c := f.page().cursor; q.param(0, 0) == 6 {
			f.answer("\x1b[?%d;%dR", c.y+1, c.x+1)
		}
	case 'u':
		f.answer("\x1b[?%du", f.modes.kittyFlags(f.on))
	case 'W':
		if q.param(0, 0) == 5 {
			f.resetStops()
		}
	}
}

// keyboard is the sequences with <, = or >: nearly all are about the keyboard.
func (f *filter) keyboard(q *sequence) {
	switch string([]byte{q.prefix, q.final}) {
	case ">u":
		f.modes.kittyPush(f.on, q.param(0, 0))
	case "<u":
		f.modes.kittyPop(f.on, q.param(0, 1))
	case "=u":
		f.modes.kittySet(f.on, q.param(0, 0), q.param(1, 1))
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
		f.position(0, 0)
	case modeWrap:
		f.wraps = on
	case modeCursor:
		f.changed = f.changed || was != on
	case modeAlt, modeAlt47:
		f.alternate(on)
	case modeAltSave:
		if on {
			f.save()
		}
		f.alternate(on)
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
	f.grid.softReset()
	for mode, on := range map[int]bool{modeCursorKeys: false, modeKeypad: false, modeOrigin: false, modeWrap: true, modeCursor: true} {
		f.modes.on[mode] = on
	}
	f.changed = true
}
