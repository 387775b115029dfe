package terminal

import (
	"io"
	"slices"
	"strconv"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/vt"
)

// grid is the emulator with what it does wrong or slowly done here: scrolling, erasing, resizing. It gets
// only text without controls and whole sequences that it is known to handle; they are gathered in out and
// handed over by flush. Nothing here is locked.
type grid struct {
	emu     *vt.Emulator
	in      innards
	out     []byte
	room    int // cells that can be printed before the last line of the region is full; 0: not known
	history history
	draw    painter
	changed bool // something may look different since this was last set to false
	scratch []uv.Line
}

func newGrid(cols, rows, scrollback int) *grid {
	g := &grid{emu: vt.NewEmulator(cols, rows), history: history{max: scrollback}}
	g.in = reach(g.emu)
	for _, s := range g.in.screens {
		s.SetScrollback(nil) // all that scrolls is scrolled here
	}
	// The filter answers every query itself. Should the emulator ever answer one too, it must not
	// wait for a reader.
	if c, ok := g.emu.InputPipe().(io.Closer); ok {
		_ = c.Close()
	}
	return g
}

func (g *grid) size() (cols, rows int) { return g.emu.Width(), g.emu.Height() }

// active is 1 while the alternate screen is on, else 0.
func (g *grid) active() int {
	if g.emu.IsAltScreen() {
		return 1
	}
	return 0
}

func (g *grid) screen() *vt.Screen       { return g.in.screens[g.active()] }
func (g *grid) buffer() *uv.RenderBuffer { return g.in.buffers[g.active()] }

// put gathers bytes for the emulator.
func (g *grid) put(s string) {
	g.room = 0
	g.out = append(g.out, s...)
	if len(g.out) >= maxText {
		g.flush()
	}
}

// flush hands over what was gathered.
func (g *grid) flush() {
	if len(g.out) == 0 {
		return
	}
	_, _ = g.emu.Write(g.out) // fails only once it is closed, which it never is
	g.out = g.out[:0]
	g.changed = true
}

// print gathers text of one cell for each byte. The emulator never gets to scroll: it would copy every cell.
func (g *grid) print(p []byte, wraps bool) {
	for len(p) > 0 {
		if g.room == 0 {
			g.measure(wraps)
		}
		n := min(len(p), g.room)
		g.out = append(g.out, p[:n]...)
		g.room -= n
		p = p[n:]
		if len(g.out) >= maxText {
			g.flush()
		}
	}
}

// measure finds out how much can be printed, after the wrap that may be pending in the last line.
func (g *grid) measure(wraps bool) {
	x, y := g.cursor()
	cols, _ := g.size()
	if !wraps {
		g.room = cols
		return
	}
	bottom := g.screen().ScrollRegion().Max.Y
	if *g.in.phantom {
		if y == bottom-1 {
			g.wrap()
			x = 0
		} else {
			x = cols
		}
	}
	g.room = cols - x
	if y < bottom-1 {
		g.room += (bottom - 1 - y) * cols
	}
	g.room = max(g.room, 1)
}

// wrap goes to the start of the next line.
func (g *grid) wrap() {
	g.lineDown()
	g.put("\r")
	g.flush()
}

func (g *grid) remember(l uv.Line) {
	if g.history.max > 0 {
		g.history.push(g.draw.line(l, len(l), false))
	}
}

// cursor is the cursor's cell.
func (g *grid) cursor() (x, y int) {
	g.flush()
	return g.screen().CursorPosition()
}

// moveTo sets the cursor; the scroll region is the whole screen when it is called.
func (g *grid) moveTo(x, y int) {
	g.put("\x1b[" + strconv.Itoa(y+1) + ";" + strconv.Itoa(x+1) + "H")
	g.flush()
}

// restored is called after the cursor came back from where it was saved: no wrap is pending there, and
// a resize may have left no cell there.
func (g *grid) restored() {
	x, y := g.cursor()
	*g.in.phantom, g.room = false, 0
	if cols, rows := g.size(); x >= cols || y >= rows {
		g.moveTo(min(x, cols-1), min(y, rows-1))
	}
}

// lineDown is IND: one line down, scrolling at the bottom of the region.
func (g *grid) lineDown() {
	_, y := g.cursor()
	if r := g.screen().ScrollRegion(); y == r.Max.Y-1 {
		g.scrollUp(r.Min.Y, r.Max.Y, 1)
	} else {
		g.put("\x1bD")
		g.flush()
	}
	*g.in.phantom, g.room = false, 0
}

// lineUp is RI.
func (g *grid) lineUp() {
	_, y := g.cursor()
	if r := g.screen().ScrollRegion(); y == r.Min.Y {
		g.scrollDown(r.Min.Y, r.Max.Y, 1)
	} else {
		g.put("\x1bM")
		g.flush()
	}
}

// scrollUp moves the lines [top, bottom) up by n; the upper ones go to the history if they were the
// main screen's first.
func (g *grid) scrollUp(top, bottom, n int) {
	g.flush()
	n = min(n, bottom-top)
	lines := g.buffer().Lines[top:bottom]
	if top == 0 && g.active() == 0 {
		for _, l := range lines[:n] {
			g.remember(l)
		}
	}
	g.rotate(lines, n)
	g.blank(lines[len(lines)-n:])
}

// scrollDown moves the lines [top, bottom) down by n.
func (g *grid) scrollDown(top, bottom, n int) {
	g.flush()
	n = min(n, bottom-top)
	lines := g.buffer().Lines[top:bottom]
	g.rotate(lines, len(lines)-n)
	g.blank(lines[:n])
}

// rotate moves the first n lines behind the others.
func (g *grid) rotate(lines []uv.Line, n int) {
	g.scratch = append(g.scratch[:0], lines[:n]...)
	copy(lines, lines[n:])
	copy(lines[len(lines)-n:], g.scratch)
	clear(g.scratch)
}

// blankCell is an empty cell with the pen's background, as every erasing sequence leaves it.
func (g *grid) blankCell() uv.Cell {
	cell := uv.EmptyCell
	cell.Style.Bg = g.screen().Cursor().Pen.Bg
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

// region gives the scroll region from the cursor's line on; ok is false when the cursor is outside.
func (g *grid) region() (top, bottom int, ok bool) {
	_, y := g.cursor()
	r := g.screen().ScrollRegion()
	return y, r.Max.Y, y >= r.Min.Y && y < r.Max.Y
}

func (g *grid) insertLines(n int) {
	if top, bottom, ok := g.region(); ok {
		g.scrollDown(top, bottom, n)
		g.put("\r")
	}
}

// deleteLines is not a scroll: what it takes away was deleted and does not go to the history.
func (g *grid) deleteLines(n int) {
	if top, bottom, ok := g.region(); ok {
		n = min(n, bottom-top)
		lines := g.buffer().Lines[top:bottom]
		g.rotate(lines, n)
		g.blank(lines[len(lines)-n:])
		g.put("\r")
	}
}

// insertCells is ICH. The emulator would do nothing outside the scroll region.
func (g *grid) insertCells(n int) {
	x, y := g.cursor()
	cell := g.blankCell()
	g.buffer().InsertCellArea(x, y, n, &cell, g.buffer().Bounds())
	g.edited()
}

// deleteCells is DCH, likewise.
func (g *grid) deleteCells(n int) {
	x, y := g.cursor()
	cell := g.blankCell()
	g.buffer().DeleteCellArea(x, y, n, &cell, g.buffer().Bounds())
	g.edited()
}

func (g *grid) edited() {
	*g.in.phantom, g.room = false, 0
	g.changed = true
}

// eraseAbove is ED 1: all above the cursor, and its line up to and with the cursor.
func (g *grid) eraseAbove() {
	_, y := g.cursor()
	g.blank(g.buffer().Lines[:y])
	g.put("\x1b[1K")
}

// eraseAll is ED 2. What the main screen showed goes to the history, so that a program that clears
// to draw anew loses nothing.
func (g *grid) eraseAll() {
	g.flush()
	lines := g.buffer().Lines
	if g.active() == 0 {
		last := len(lines) - 1
		for last >= 0 && bare(lines[last]) {
			last--
		}
		for _, l := range lines[:last+1] {
			g.remember(l)
		}
	}
	g.blank(lines)
}

func bare(l uv.Line) bool {
	return !slices.ContainsFunc(l, func(c uv.Cell) bool { return c.Content != "" && c.Content != " " })
}

// resize keeps the cursor's line: when rows go, the upper ones scroll off.
func (g *grid) resize(cols, rows int) {
	g.flush()
	for i, s := range g.in.screens {
		_, y := s.CursorPosition()
		over := min(y, len(g.in.buffers[i].Lines)-1) - rows + 1
		if over <= 0 {
			continue
		}
		lines := g.in.buffers[i].Lines
		if i == 0 {
			for _, l := range lines[:over] {
				g.remember(l)
			}
		}
		g.rotate(lines, over)
	}
	g.emu.Resize(cols, rows)
	for _, b := range g.in.buffers {
		b.Lines = clipped(b.Lines)
	}
	g.restored() // and no room is known
	g.changed = true
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

// reset forgets everything but the size.
func (g *grid) reset() {
	g.put("\x1bc")
	g.flush()
	g.changed = true
}
