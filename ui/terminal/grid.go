package terminal

import (
	"slices"
	"strings"

	uv "github.com/charmbracelet/ultraviolet"
)

// grid is the cells of a terminal, its main and its alternate screen, with the cursor and what decides where the next
// character goes. Each method is what one sequence does, as in xterm. Coordinates count from 0. Nothing here is locked.
type grid struct {
	cols, rows int
	screens    [2]page // the main one, the alternate one
	alternate  bool    // the alternate one is shown
	pending    bool    // the last column was printed: the next character wraps first
	wraps      bool    // automatic wrap (DECAWM)
	origin     bool    // lines are counted from the top of the scroll region (DECOM)
	tabs       *uv.TabStops
	sets       [4]*charset // G0 to G3; nil: ASCII
	set        int         // the one in use
	history    history
	draw       painter
	changed    bool // something may look different since this was last set to false
	scratch    []uv.Line
}

// page is one screen. The alternate one has no lines before its first use.
type page struct {
	uv.Buffer
	cursor, saved cursor
	top, bottom   int // the scroll region: lines top to bottom-1
}

// cursor is where the next character goes, and how it looks.
type cursor struct {
	x, y int
	pen  uv.Style
}

// charset is a character set that is not ASCII: what stands for the bytes from first on.
type charset struct {
	first byte
	chars []string
}

var (
	british = charset{'#', []string{"£"}}
	drawing = charset{'`', strings.Fields("◆ ▒ ␉ ␌ ␍ ␊ ° ± ␤ ␋ ┘ ┐ ┌ └ ┼ ⎺ ⎻ ─ ⎼ ⎽ ├ ┤ ┴ ┬ │ ≤ ≥ π ≠ £ ·")}
)

// charsetOf is the character set of a final byte: UK, line drawing, and ASCII for all others.
func charsetOf(final byte) *charset {
	switch final {
	case 'A':
		return &british
	case '0':
		return &drawing
	}
	return nil
}

// char is what c looks like.
func (s *charset) char(c byte) string {
	if s != nil && c >= s.first && int(c-s.first) < len(s.chars) {
		return s.chars[c-s.first]
	}
	return ascii[c : c+1]
}

func newGrid(cols, rows, scrollback int) *grid {
	g := &grid{cols: cols, rows: rows, history: history{max: scrollback}}
	g.screens[0].Resize(cols, rows)
	g.reset()
	g.changed = false
	return g
}

// reset forgets everything but the size and the history.
func (g *grid) reset() {
	g.alternate, g.pending, g.wraps, g.origin = false, false, true, false
	g.tabs = uv.DefaultTabStops(g.cols)
	g.sets, g.set = [4]*charset{}, 0
	for i := range g.screens {
		p := &g.screens[i]
		p.cursor, p.saved, p.top, p.bottom = cursor{}, cursor{}, 0, g.rows
	}
	g.blank(g.screens[0].Lines)
}

func (g *grid) size() (cols, rows int) { return g.cols, g.rows }

// active is 1 while the alternate screen is on, else 0.
func (g *grid) active() int {
	if g.alternate {
		return 1
	}
	return 0
}

func (g *grid) page() *page { return &g.screens[g.active()] }

// print prints text of one cell for each byte.
func (g *grid) print(text []byte) {
	set := g.sets[g.set]
	for len(text) > 0 {
		g.wrap()
		p := g.page()
		line := p.Lines[p.cursor.y]
		cell := uv.Cell{Width: 1, Style: p.cursor.pen}
		n := min(len(text), g.cols-p.cursor.x)
		for i, c := range text[:n] {
			cell.Content = set.char(c)
			if x := p.cursor.x + i; line[x].Width == 1 {
				line[x] = cell
			} else {
				line.Set(x, &cell) // it takes the other half of a wide character away, too
			}
		}
		g.advance(n)
		text = text[n:]
	}
}

// cluster prints a character of width cells that is not ASCII. One that does not fit into the rest of the line goes to
// the next one.
func (g *grid) cluster(content string, width int) {
	if width > g.cols {
		content, width = "\ufffd", 1
	}
	if p := g.page(); g.wraps && p.cursor.x+width > g.cols {
		if !g.pending { // else the last cell would show what was there before
			g.print([]byte{' '})
		}
		g.pending = true
	}
	g.wrap()
	p := g.page()
	p.Lines[p.cursor.y].Set(p.cursor.x, &uv.Cell{Content: content, Width: width, Style: p.cursor.pen})
	g.advance(width)
}

// wrap goes to the start of the next line if a wrap is pending.
func (g *grid) wrap() {
	if g.pending && g.wraps {
		g.lineDown()
		g.page().cursor.x = 0
	}
}

// advance moves the cursor over what was printed. In a full line it stays on the last column.
func (g *grid) advance(n int) {
	c := &g.page().cursor
	c.x += n
	g.pending = false
	if c.x >= g.cols {
		c.x, g.pending = g.cols-1, g.wraps
	}
	g.changed = true
}

// cursor is the cursor's cell.
func (g *grid) cursor() (x, y int) {
	c := g.page().cursor
	return c.x, c.y
}

// moveTo sets the cursor to a cell of the screen, or the one that is nearest.
func (g *grid) moveTo(x, y int) {
	c := &g.page().cursor
	c.x, c.y = min(max(x, 0), g.cols-1), min(max(y, 0), g.rows-1)
	g.pending, g.changed = false, true
}

// moveToLine is CUP and VPA: in origin mode y counts from the top of the scroll region and does not leave it.
func (g *grid) moveToLine(x, y int) {
	if p := g.page(); g.origin {
		y = min(p.top+y, p.bottom-1)
	}
	g.moveTo(x, y)
}

// moveBy moves the cursor. One that is in the scroll region does not leave it.
func (g *grid) moveBy(dx, dy int) {
	p := g.page()
	x, y := p.cursor.x+dx, p.cursor.y+dy
	if g.inRegion() {
		y = min(max(y, p.top), p.bottom-1)
	}
	g.moveTo(x, y)
}

func (g *grid) carriageReturn() { g.moveTo(0, g.page().cursor.y) }

// tab goes over n tab stops, backwards if n is negative. A pending wrap stays.
func (g *grid) tab(n int) {
	c := &g.page().cursor
	c.x = g.tabs.Find(c.x, n)
	g.changed = true
}

func (g *grid) save() {
	p := g.page()
	p.saved = p.cursor
}

// restore brings the saved cursor back: no wrap is pending there, and a resize may have left no cell there.
func (g *grid) restore() {
	p := g.page()
	p.cursor = p.saved
	g.moveTo(p.cursor.x, p.cursor.y)
}

// setRegion sets the scroll region to the lines top to bottom-1.
func (g *grid) setRegion(top, bottom int) {
	p := g.page()
	p.top, p.bottom = top, bottom
	g.moveToLine(0, 0)
}

// inRegion tells whether the cursor is in the scroll region.
func (g *grid) inRegion() bool {
	p := g.page()
	return p.cursor.y >= p.top && p.cursor.y < p.bottom
}

// show goes to the alternate screen, which is empty then, or to the main one.
func (g *grid) show(alternate bool) {
	if alternate == g.alternate {
		return
	}
	g.alternate = alternate
	p := g.page()
	if alternate {
		p.Resize(g.cols, g.rows)
		p.top, p.bottom = 0, g.rows
		p.cursor = cursor{}
		g.blank(p.Lines)
		p.cursor.pen = g.screens[0].cursor.pen
	}
	g.moveTo(p.cursor.x, p.cursor.y)
}

// lineDown is IND: one line down, scrolling at the bottom of the region.
func (g *grid) lineDown() {
	if p := g.page(); p.cursor.y == p.bottom-1 {
		g.scrollUp(p.top, p.bottom, 1)
		g.pending = false
	} else {
		g.moveBy(0, 1)
	}
}

// lineUp is RI. A pending wrap stays.
func (g *grid) lineUp() {
	pending := g.pending
	if p := g.page(); p.cursor.y == p.top {
		g.scrollDown(p.top, p.bottom, 1)
	} else {
		g.moveBy(0, -1)
	}
	g.pending = pending
}

// remember keeps the lines that leave the main screen at its top.
func (g *grid) remember(lines []uv.Line) {
	if g.history.max == 0 {
		return
	}
	for _, l := range lines {
		g.history.push(g.draw.line(l, len(l), false))
	}
}

// scrollUp moves the lines [top, bottom) up by n; the upper ones go to the history if they were the
// main screen's first.
func (g *grid) scrollUp(top, bottom, n int) {
	n = min(n, bottom-top)
	if top == 0 && !g.alternate {
		g.remember(g.page().Lines[:n])
	}
	g.removeLines(top, bottom, n)
}

// removeLines moves the lines [top, bottom) up by n. What it takes away does not go to the history.
func (g *grid) removeLines(top, bottom, n int) {
	n = min(n, bottom-top)
	lines := g.page().Lines[top:bottom]
	g.rotate(lines, n)
	g.blank(lines[len(lines)-n:])
}

// scrollDown moves the lines [top, bottom) down by n.
func (g *grid) scrollDown(top, bottom, n int) {
	n = min(n, bottom-top)
	lines := g.page().Lines[top:bottom]
	g.rotate(lines, len(lines)-n)
	g.blank(lines[:n])
}

// rotate moves the first n lines behind the others. No cell is copied.
func (g *grid) rotate(lines []uv.Line, n int) {
	g.scratch = append(g.scratch[:0], lines[:n]...)
	copy(lines, lines[n:])
	copy(lines[len(lines)-n:], g.scratch)
	clear(g.scratch)
}

// blankCell is an empty cell with the pen's background, as every erasing sequence leaves it.
func (g *grid) blankCell() uv.Cell {
	cell := uv.EmptyCell
	cell.Style.Bg = g.page().cursor.pen.Bg
	return cell
}

// blank erases whole lines.
func (g *grid) blank(lines []uv.Line) {
	cell := g.blankCell()
	for _, l := range lines {
		for x := range l {
			l[x] = cell
		}
	}
	g.changed = true
}

// eraseCells erases the cells [from, to) of the cursor's line; there is at least one.
func (g *grid) eraseCells(from, to int) {
	p, cell := g.page(), g.blankCell()
	line, to := p.Lines[p.cursor.y], min(to, g.cols)
	line.Set(from, &cell) // the other halves of wide characters at both ends go, too
	line.Set(to-1, &cell)
	for x := from + 1; x < to-1; x++ {
		line[x] = cell
	}
	g.changed = true
}

// eraseLine is EL.
func (g *grid) eraseLine(how int) {
	x, _ := g.cursor()
	switch how {
	case 0:
		g.eraseChars(g.cols)
	case 1:
		g.eraseCells(0, x+1)
	case 2:
		g.eraseCells(0, g.cols)
	}
}

// eraseChars is ECH.
func (g *grid) eraseChars(n int) {
	x, _ := g.cursor()
	g.eraseCells(x, x+n)
	g.pending = false
}

// eraseBelow is ED 0: the cursor's line from the cursor on, and all below it.
func (g *grid) eraseBelow() {
	x, y := g.cursor()
	g.eraseCells(x, g.cols)
	g.blank(g.page().Lines[y+1:])
}

// eraseAbove is ED 1: all above the cursor, and its line up to and with the cursor.
func (g *grid) eraseAbove() {
	x, y := g.cursor()
	g.blank(g.page().Lines[:y])
	g.eraseCells(0, x+1)
}

// eraseAll is ED 2. What the main screen showed goes to the history, so that a program that clears
// to draw anew loses nothing.
func (g *grid) eraseAll() {
	lines := g.page().Lines
	if !g.alternate {
		used := len(lines)
		for used > 0 && bare(lines[used-1]) {
			used--
		}
		g.remember(lines[:used])
	}
	g.blank(lines)
}

func bare(l uv.Line) bool {
	return !slices.ContainsFunc(l, func(c uv.Cell) bool { return c.Content != "" && c.Content != " " })
}

// insertLines is IL, for a cursor in the scroll region.
func (g *grid) insertLines(n int) {
	if p := g.page(); g.inRegion() {
		g.scrollDown(p.cursor.y, p.bottom, n)
		g.carriageReturn()
	}
}

// deleteLines is DL, likewise. It is not a scroll: what it takes away was deleted.
func (g *grid) deleteLines(n int) {
	if p := g.page(); g.inRegion() {
		g.removeLines(p.cursor.y, p.bottom, n)
		g.carriageReturn()
	}
}

// insertCells is ICH, in the scroll region or not.
func (g *grid) insertCells(n int) {
	p, cell := g.page(), g.blankCell()
	p.InsertCell(p.cursor.x, p.cursor.y, n, &cell)
	g.pending, g.changed = false, true
}

// deleteCells is DCH, likewise.
func (g *grid) deleteCells(n int) {
	p, cell := g.page(), g.blankCell()
	p.DeleteCell(p.cursor.x, p.cursor.y, n, &cell)
	g.pending, g.changed = false, true
}

// resize keeps the cursor's line: when rows go, the upper ones scroll off. A pending wrap becomes a step to the right
// where there is room now.
func (g *grid) resize(cols, rows int) {
	if g.pending {
		g.page().cursor.x++
	}
	for i := range g.screens {
		p := &g.screens[i]
		p.top, p.bottom = 0, rows
		if p.Lines == nil {
			continue
		}
		if over := p.cursor.y - rows + 1; over > 0 {
			if i == 0 {
				g.remember(p.Lines[:over])
			}
			g.rotate(p.Lines, over)
		}
		p.Resize(cols, rows)
		p.Lines = clipped(p.Lines)
		p.cursor.x, p.cursor.y = min(p.cursor.x, cols-1), min(p.cursor.y, rows-1)
	}
	g.cols, g.rows = cols, rows
	g.tabs = uv.DefaultTabStops(cols)
	g.pending, g.changed = false, true
}

// clipped gives back the room of lines and cells that a larger window had: a buffer that shrinks keeps all of it. Up to
// twice what is in use stays, so that a window that is dragged does not copy its cells at each step.
func clipped(lines []uv.Line) []uv.Line {
	for i, l := range lines {
		if cap(l) > 2*len(l) {
			lines[i] = append(make(uv.Line, 0, len(l)), l...)
		}
	}
	if cap(lines) > 2*len(lines) {
		lines = append(make([]uv.Line, 0, len(lines)), lines...)
	}
	return lines
}
