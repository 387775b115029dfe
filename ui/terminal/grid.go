package terminal

import uv "github.com/charmbracelet/ultraviolet"

// grid is the cells of a terminal and what the sequences do to them, as in xterm. Coordinates count from
// 0. Nothing here is locked.
type grid struct {
	cols, rows int
	pages      [2]page // the main screen, the alternate one; the latter has no lines before it is used
	on         int     // the page that is seen
	stops      []bool  // the columns with a tab stop
	sets       [4]byte // the character sets G0 to G3 by their final bytes: 'A', 'B', '0'
	shift      int     // which of them is in use
	origin     bool    // rows count from the top of the scroll region
	wraps      bool    // a character after the last column goes to the next line
	pending    bool    // the last column was printed: the next character wraps first

	history history
	draw    painter
	changed bool // something may look different since this was last set to false
	scratch []line
}

// page is one of the two screens.
type page struct {
	lines       []line
	cursor      cursor
	saved       cursor
	top, bottom int // the scroll region [top, bottom)
}

// cursor is where the next character goes, and how it looks.
type cursor struct {
	x, y int
	pen  uv.Style
}

func newGrid(cols, rows, scrollback int) *grid {
	g := &grid{cols: cols, rows: rows, history: history{max: scrollback}}
	g.reset()
	g.changed = false // there is nothing to see yet
	return g
}

// reset forgets everything but the size and the history.
func (g *grid) reset() {
	g.pages = [2]page{{lines: newLines(g.cols, g.rows), bottom: g.rows}, {}}
	g.on, g.shift = 0, 0
	g.sets = [4]byte{'B', 'B', 'B', 'B'}
	g.origin, g.wraps, g.pending = false, true, false
	g.resetStops()
	g.changed = true
}

func (g *grid) page() *page { return &g.pages[g.on] }

// here is the line of the cursor and its column. Whoever asks changes something there.
func (g *grid) here() (l line, x int) {
	p := g.page()
	g.changed = true
	return p.lines[p.cursor.y], p.cursor.x
}

// blank is an empty cell with the pen's background, as every erasing sequence leaves it.
func (g *grid) blank() cell {
	c := empty
	c.style.Bg = g.page().cursor.pen.Bg
	return c
}

// print prints ASCII characters, none of them a control.
func (g *grid) print(p []byte) {
	for len(p) > 0 {
		g.wrap()
		l, x := g.here()
		n := min(len(p), g.cols-x)
		l.part(x)
		l.part(x + n)
		pen := &g.page().cursor.pen
		set := g.sets[g.shift]
		for i, c := range p[:n] {
			l[x+i] = cell{text: glyph(set, c), style: *pen, width: 1}
		}
		g.advance(n)
		p = p[n:]
		if !g.wraps && len(p) > 1 {
			p = p[len(p)-1:] // the last column shows the last one
		}
	}
}

// put prints one cluster that takes width cells, 1 or 2.
func (g *grid) put(cluster string, width int) {
	if width > g.cols {
		cluster, width = "\ufffd", 1
	}
	g.wrap()
	l, x := g.here()
	c := cell{text: cluster, style: g.page().cursor.pen, width: width}
	if len(cluster) == 1 {
		c.text = glyph(g.sets[g.shift], cluster[0])
	}
	if x+width > g.cols { // it is not cut in half
		l.fill(x, g.cols, cell{text: " ", style: c.style, width: 1})
		if !g.wraps {
			return
		}
		g.pending = true
		g.wrap()
		l, x = g.here()
	}
	l.set(x, c)
	g.advance(width)
}

// wrap goes to the next line if the last character filled this one.
func (g *grid) wrap() {
	if g.pending && g.wraps {
		g.lineDown()
		g.page().cursor.x = 0
	}
	g.pending = false
}

// advance goes n cells to the right, at most over the last one.
func (g *grid) advance(n int) {
	c := &g.page().cursor
	if c.x += n; c.x >= g.cols {
		c.x, g.pending = g.cols-1, g.wraps
	}
}

// moveTo sets the cursor, at most to the edge of the screen.
func (g *grid) moveTo(x, y int) {
	c := &g.page().cursor
	c.x, c.y = min(max(x, 0), g.cols-1), min(max(y, 0), g.rows-1)
	g.pending, g.changed = false, true
}

// position sets the cursor as an absolute position does: in origin mode within the scroll region.
func (g *grid) position(x, y int) {
	if p := g.page(); g.origin {
		y = min(p.top+y, p.bottom-1)
	}
	g.moveTo(x, y)
}

// move moves the cursor. It does not leave the scroll region upwards or downwards.
func (g *grid) move(dx, dy int) {
	p := g.page()
	x, y := p.cursor.x+dx, p.cursor.y+dy
	if p.cursor.y >= p.top {
		y = max(y, p.top)
	}
	if p.cursor.y < p.bottom {
		y = min(y, p.bottom-1)
	}
	g.moveTo(x, y)
}

// carriageReturn goes to the start of the line.
func (g *grid) carriageReturn() { g.moveTo(0, g.page().cursor.y) }

func (g *grid) save() { p := g.page(); p.saved = p.cursor }

// restore goes back to the cursor that was saved; a resize may have left no cell there.
func (g *grid) restore() {
	p := g.page()
	p.cursor = p.saved
	g.moveTo(p.cursor.x, p.cursor.y)
}

// lineDown is IND: one line down, scrolling at the bottom of the region.
func (g *grid) lineDown() {
	if p := g.page(); p.cursor.y == p.bottom-1 {
		g.scrollUp(1)
		g.pending = false
	} else {
		g.move(0, 1)
	}
}

// lineUp is RI. A pending wrap stays.
func (g *grid) lineUp() {
	pending := g.pending
	if p := g.page(); p.cursor.y == p.top {
		g.scrollDown(1)
	} else {
		g.move(0, -1)
	}
	g.pending = pending
}

// setRegion sets the scroll region to the lines [top, bottom).
func (g *grid) setRegion(top, bottom int) {
	p := g.page()
	p.top, p.bottom = top, bottom
	g.position(0, 0)
}

// scrollUp moves the lines of the region up by n; the upper ones go to the history if they were the
// main screen's first.
func (g *grid) scrollUp(n int) {
	p := g.page()
	lines := p.lines[p.top:p.bottom]
	n = min(n, len(lines))
	if p.top == 0 && g.on == 0 {
		g.remember(lines[:n])
	}
	g.shiftUp(lines, n)
}

func (g *grid) scrollDown(n int) {
	p := g.page()
	g.shiftDown(p.lines[p.top:p.bottom], n)
}

// region is the lines of the scroll region from the cursor's on; nil when the cursor is outside.
func (g *grid) region() []line {
	p := g.page()
	if y := p.cursor.y; y >= p.top && y < p.bottom {
		return p.lines[y:p.bottom]
	}
	return nil
}

func (g *grid) insertLines(n int) {
	if lines := g.region(); lines != nil {
		g.shiftDown(lines, n)
		g.carriageReturn()
	}
}

// deleteLines is not a scroll: what it takes away was deleted and does not go to the history.
func (g *grid) deleteLines(n int) {
	if lines := g.region(); lines != nil {
		g.shiftUp(lines, n)
		g.carriageReturn()
	}
}

// shiftUp moves lines up by n; new ones come at their end.
func (g *grid) shiftUp(lines []line, n int) {
	n = min(n, len(lines))
	g.rotate(lines, n)
	g.erase(lines[len(lines)-n:])
}

// shiftDown moves lines down by n; new ones come at their start.
func (g *grid) shiftDown(lines []line, n int) {
	n = min(n, len(lines))
	g.rotate(lines, len(lines)-n)
	g.erase(lines[:n])
}

// rotate moves the first n lines behind the others.
func (g *grid) rotate(lines []line, n int) {
	g.scratch = append(g.scratch[:0], lines[:n]...)
	copy(lines, lines[n:])
	copy(lines[len(lines)-n:], g.scratch)
	clear(g.scratch)
}

// erase blanks whole lines.
func (g *grid) erase(lines []line) {
	c := g.blank()
	for _, l := range lines {
		l.fill(0, len(l), c)
	}
	g.changed = true
}

func (g *grid) remember(lines []line) {
	if g.history.max > 0 {
		for _, l := range lines {
			g.history.push(g.draw.line(l, len(l), false))
		}
	}
}

func (g *grid) insertCells(n int) {
	l, x := g.here()
	l.insert(x, n, g.blank())
	g.pending = false
}

func (g *grid) deleteCells(n int) {
	l, x := g.here()
	l.remove(x, n, g.blank())
	g.pending = false
}

// eraseCells is ECH.
func (g *grid) eraseCells(n int) {
	l, x := g.here()
	l.fill(x, min(x+n, g.cols), g.blank())
	g.pending = false
}

// eraseInLine is EL: what is right of the cursor, left of it, or all; the first two with its cell.
func (g *grid) eraseInLine(how int) {
	l, x := g.here()
	switch how {
	case 0:
		g.eraseCells(g.cols)
	case 1:
		l.fill(0, x+1, g.blank())
	case 2:
		l.fill(0, g.cols, g.blank())
	}
}

// eraseInScreen is ED 0, 1 and 2: what is below the cursor, above it, or all. What the main screen showed
// when all of it is erased goes to the history, so that a program that clears to draw anew loses nothing.
func (g *grid) eraseInScreen(how int) {
	p := g.page()
	l, x := g.here()
	y := p.cursor.y
	switch how {
	case 0:
		l.fill(x, g.cols, g.blank())
		g.erase(p.lines[y+1:])
	case 1:
		l.fill(0, x+1, g.blank())
		g.erase(p.lines[:y])
	case 2:
		if g.on == 0 {
			n := g.rows
			for n > 0 && p.lines[n-1].bare() {
				n--
			}
			g.remember(p.lines[:n])
		}
		g.erase(p.lines)
	}
}

// alternate goes to the alternate screen, which is empty then, or back to the main one.
func (g *grid) alternate(on bool) {
	if on == (g.on == 1) {
		return
	}
	if on {
		p := &g.pages[1]
		if p.lines == nil {
			p.lines = newLines(g.cols, g.rows)
		}
		for _, l := range p.lines {
			l.fill(0, len(l), empty)
		}
		p.cursor, p.top, p.bottom = cursor{pen: g.page().cursor.pen}, 0, g.rows
		g.on = 1
	} else {
		g.on = 0
	}
	g.pending, g.changed = false, true
}

// softReset is DECSTR: margins, pen and what decides where characters go as at the start; what is on the
// screen stays, and the cursor.
func (g *grid) softReset() {
	p := g.page()
	p.top, p.bottom, p.cursor.pen, p.saved = 0, g.rows, uv.Style{}, cursor{}
	g.sets[0], g.shift = 'B', 0
	g.origin, g.wraps, g.pending = false, true, false
}

// resize keeps the cursor's line: when rows go, the upper ones scroll off.
func (g *grid) resize(cols, rows int) {
	if c := &g.page().cursor; g.pending && c.x < cols-1 {
		c.x++
	}
	for i := range g.pages {
		p := &g.pages[i]
		p.top, p.bottom = 0, rows
		over := max(p.cursor.y-rows+1, 0)
		p.cursor.x, p.cursor.y = min(p.cursor.x, cols-1), p.cursor.y-over
		if p.lines == nil {
			continue
		}
		if i == 0 {
			g.remember(p.lines[:over])
		}
		p.lines = resized(p.lines[over:], cols, rows)
	}
	g.cols, g.rows, g.pending, g.changed = cols, rows, false, true
	g.resetStops()
}

// resetStops sets a tab stop every eight columns.
func (g *grid) resetStops() {
	g.stops = make([]bool, g.cols)
	for x := 0; x < g.cols; x += 8 {
		g.stops[x] = true
	}
}

// tab goes to the next tab stop n times, at most to the last column. A pending wrap stays.
func (g *grid) tab(n int) {
	c := &g.page().cursor
	for ; n > 0 && c.x < g.cols-1; n-- {
		for c.x++; c.x < g.cols-1 && !g.stops[c.x]; {
			c.x++
		}
	}
	g.changed = true
}

// tabBack goes to the tab stop before n times.
func (g *grid) tabBack(n int) {
	x, y := g.page().cursor.x, g.page().cursor.y
	for ; n > 0 && x > 0; n-- {
		for x--; x > 0 && !g.stops[x]; {
			x--
		}
	}
	g.moveTo(x, y)
}

// drawing is the line drawing set from ` to ~.
var drawing = [...]string{
	"◆", "▒", "␉", "␌", "␍", "␊", "°", "±", "␤", "␋", "┘", "┐", "┌", "└", "┼", "⎺",
	"⎻", "─", "⎼", "⎽", "├", "┤", "┴", "┬", "│", "≤", "≥", "π", "≠", "£", "·",
}

// glyph is the character c of a character set.
func glyph(set, c byte) string {
	switch {
	case set == '0' && c >= '`' && int(c-'`') < len(drawing):
		return drawing[c-'`']
	case set == 'A' && c == '#':
		return "£"
	}
	return ascii[c : c+1]
}
