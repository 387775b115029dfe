package terminal

import uv "github.com/charmbracelet/ultraviolet"

// cell is one cell of a screen. A character of two cells is in the first of them, with width 2; the second
// one has width 0 and no text. The functions below never leave one half without the other.
type cell struct {
	text  string
	style uv.Style
	width int
}

// empty is a cell in which nothing was printed.
var empty = cell{text: " ", width: 1}

type line []cell

// newLines makes empty lines. They share one allocation, which the lines of a page keep together.
func newLines(cols, rows int) []line {
	all := make(line, cols*rows)
	all.fill(0, len(all), empty)
	lines := make([]line, rows)
	for y := range lines {
		lines[y] = all[y*cols : (y+1)*cols : (y+1)*cols]
	}
	return lines
}

// part blanks both halves of the character of two cells whose second half is at x: one of them is about to
// change.
func (l line) part(x int) {
	if x <= 0 || x >= len(l) || l[x].width != 0 {
		return
	}
	l[x-1].text, l[x-1].width = " ", 1
	l[x] = l[x-1]
}

// fill sets the cells [from, to).
func (l line) fill(from, to int, c cell) {
	l.part(from)
	l.part(to)
	for x := from; x < to; x++ {
		l[x] = c
	}
}

// set prints c at x, where there is room for it.
func (l line) set(x int, c cell) {
	l.part(x)
	l.part(x + c.width)
	l[x] = c
	if c.width == 2 {
		l[x+1] = cell{}
	}
}

// insert moves the cells from x on to the right by n; c fills the room.
func (l line) insert(x, n int, c cell) {
	n = min(n, len(l)-x)
	l.part(x)
	l.part(len(l) - n)
	copy(l[x+n:], l[x:])
	for i := x; i < x+n; i++ {
		l[i] = c
	}
}

// remove takes n cells out at x; c fills the end of the line.
func (l line) remove(x, n int, c cell) {
	n = min(n, len(l)-x)
	l.part(x)
	l.part(x + n)
	copy(l[x:], l[x+n:])
	for i := len(l) - n; i < len(l); i++ {
		l[i] = c
	}
}

// bare tells whether the line has no text, whatever its colours are.
func (l line) bare() bool {
	for i := range l {
		if l[i].text != "" && l[i].text != " " {
			return false
		}
	}
	return true
}

// trimmed is how many cells there are before the trailing blanks.
func (l line) trimmed() int {
	n := len(l)
	for n > 0 {
		c := &l[n-1]
		if c.width != 1 || c.text != " " || c.style != (uv.Style{}) {
			break
		}
		n--
	}
	return n
}

// resized is lines of another size with the same text, as far as there is room for it.
func resized(lines []line, cols, rows int) []line {
	out := newLines(cols, rows)
	for y := range min(rows, len(lines)) {
		if n := copy(out[y], lines[y]); n == cols {
			// A character that would reach over the edge.
			if c := &out[y][n-1]; c.width == 2 {
				c.text, c.width = " ", 1
			}
		}
	}
	return out
}
