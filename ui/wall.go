package ui

import (
	"github.com/charmbracelet/x/ansi"

	"bottle-tui/bottles"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
	"bottle-tui/ui/list"
)

// wall is the view of all live terminals side by side. Each shows the part of its screen around its
// last rows; their sizes stay what they are.
type wall struct {
	cells map[string]*frame.Cache[cellKey]
	key   wallKey
	all   []string
	shown []string // identities, in order
	cols  int
	area  rect
}

type cellKey struct {
	version  uint64
	w, h     int
	selected bool
	waiting  int
	activity list.Activity
}

type wallKey struct {
	version  uint64
	area     rect
	n        int
	selected string
}

func (m *model) otherWall() *wall {
	if m.wall != nil {
		return nil
	}
	return &wall{cells: map[string]*frame.Cache[cellKey]{}}
}

// live are the bottles on the wall.
func (m *model) live() []*bottles.Bottle {
	var out []*bottles.Bottle
	for i := range m.snap.Bottles {
		if b := &m.snap.Bottles[i]; b.Status == bottles.Live {
			out = append(out, b)
		}
	}
	return out
}

// lines draws the wall.
func (w *wall) lines(m *model, area rect) []string {
	live := m.live()
	w.area = area
	w.shown = w.shown[:0]
	for _, b := range live {
		w.shown = append(w.shown, b.Identity)
	}
	if len(live) == 0 {
		return frame.Block([]string{"", "  " + m.styles.Muted.Render("No bottle is live."), "", "  " + m.styles.Key.Render("g") + m.styles.Muted.Render(" goes back")}, area.w, area.h)
	}
	w.cols = columns(len(live), area)
	rows := (len(live) + w.cols - 1) / w.cols
	visible := max(min(rows, area.h/6), 1)
	selected := ""
	at := 0
	if b := m.list.Selected(); b != nil {
		selected = b.Identity
		for i := range live {
			if live[i].Identity == selected {
				at = i / w.cols
			}
		}
	}
	from := max(min(at-visible/2, rows-visible), 0)
	changed := w.key != wallKey{m.snap.Version, area, len(live), selected}
	w.key = wallKey{m.snap.Version, area, len(live), selected}
	var out []string
	for r := range visible {
		h := area.h / visible
		if r == visible-1 {
			h = area.h - h*(visible-1)
		}
		var row [][]string
		n := w.inRow(from+r, len(live)) // the last row's cells share its whole width
		for c := range n {
			cw := area.w / n
			if c == n-1 {
				cw = area.w - cw*(n-1)
			}
			b := live[(from+r)*w.cols+c]
			lines, drawn := w.cell(m, b, cw, h, b.Identity == selected)
			changed = changed || drawn
			row = append(row, lines)
		}
		for i := range h {
			line := ""
			for _, cell := range row {
				line += cell[i]
			}
			out = append(out, line)
		}
	}
	if changed || len(w.all) != len(out) {
		w.all = out
	}
	return w.all
}

// inRow is how many of n cells stand in a row.
func (w *wall) inRow(row, n int) int { return min(w.cols, n-row*w.cols) }

// columns is how many cells stand side by side: as many as keep a cell readable and the grid even.
func columns(n int, area rect) int {
	c := 1
	for c < n && c*c*3 < n*max(area.w/40, 1) && area.w/(c+1) >= 40 {
		c++
	}
	return c
}

func (w *wall) cell(m *model, b *bottles.Bottle, cw, h int, selected bool) (lines []string, drawn bool) {
	s := m.styles
	screen := m.screen(b.Identity)
	cache := w.cells[b.Identity]
	if cache == nil {
		cache = &frame.Cache[cellKey]{}
		w.cells[b.Identity] = cache
	}
	lines = cache.Lines(cellKey{screen.Version(), cw, h, selected, b.Waiting(), m.list.Activity(b.Identity)}, func() []string {
		drawn = true
		box := frame.Box{Title: list.Sign(s, b, 0) + " " + s.Text.Render(frame.Middle(frame.Line(b.Identity), cw-12, 6)), Border: s.Border}
		if selected {
			box.Border, box.Heavy = s.BorderFocus, !s.Colour
		}
		doing, style := list.Doing(s, b, m.list.Activity(b.Identity))
		if b.Waiting() > 0 {
			doing = "⚑ " + doing
		}
		if doing != "" {
			box.Right = style.Render(doing)
		}
		rows := screen.Rows(0)
		plain := screen.Plain()
		end := len(rows)
		for end > h-2 && end-1 < len(plain) && plain[end-1] == "" {
			end-- // what is empty at the foot need not be shown
		}
		rows = rows[max(end-(h-2), 0):max(end, min(h-2, len(rows)))]
		out := make([]string, len(rows))
		for i, row := range rows {
			out[i] = row
			if frame.Width(row) > cw-2 {
				out[i] = ansi.Truncate(row, cw-2, "") + "\x1b[m"
			}
		}
		return box.Draw(out, cw, h, true)
	})
	return lines, drawn
}

// step is how far in the list a move on the wall goes.
func (w *wall) step(a keys.Action, m *model) int {
	b := m.list.Selected()
	if b == nil || len(w.shown) == 0 {
		return 0
	}
	at := -1
	for i, id := range w.shown {
		if id == b.Identity {
			at = i
		}
	}
	to := at
	switch a {
	case keys.Left:
		to--
	case keys.Right:
		to++
	case keys.Up:
		to -= w.cols
	case keys.Down:
		to += w.cols
	case keys.Top, keys.PageUp:
		to = 0
	case keys.End, keys.PageDown:
		to = len(w.shown) - 1
	}
	if at < 0 {
		to = 0
	}
	if to >= 0 && to < len(w.shown) {
		m.list.Select(w.shown[to])
	}
	return 0
}

// at selects the cell under the mouse.
func (w *wall) at(x, y int, m *model) {
	if w.cols == 0 || len(w.shown) == 0 {
		return
	}
	rows := (len(w.shown) + w.cols - 1) / w.cols
	visible := max(min(rows, w.area.h/6), 1)
	row := min((y-w.area.y)*visible/max(w.area.h, 1), visible-1)
	n := w.inRow(row, len(w.shown))
	i := row*w.cols + min(x*n/max(w.area.w, 1), n-1)
	if rows == visible && i >= 0 && i < len(w.shown) {
		m.list.Select(w.shown[i])
	}
}
