// Package frame is what panes and dialogs draw with: lines of an exact width in cells, boxes around
// them, and text that an agent wrote made safe to draw. It knows nothing of bottles.
package frame

import (
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// Width is the number of cells that a line takes, its styles not counted.
func Width(s string) int { return ansi.StringWidth(s) }

// Fit makes a line exactly w cells wide: cut with an ellipsis, or padded.
func Fit(s string, w int) string {
	if w <= 0 {
		return ""
	}
	have := Width(s)
	if have > w {
		s = ansi.Truncate(s, w, "…")
		have = Width(s)
	}
	return s + blanks(w-have)
}

// FitLeft is Fit with the text at the right end.
func FitLeft(s string, w int) string {
	have := Width(s)
	if have >= w {
		return Fit(s, w)
	}
	return blanks(w-have) + s
}

// Middle cuts a plain text to at most w cells in its middle, so that both ends stay readable: the
// last tail cells are kept.
func Middle(s string, w, tail int) string {
	have := Width(s)
	if have <= w {
		return s
	}
	if w <= tail+2 {
		return ansi.Truncate(s, w, "…")
	}
	return ansi.Truncate(s, w-tail-1, "") + "…" + from(s, have-tail, have)
}

// from is a line of have cells from cell n on; the half of a wide cell that is cut becomes a blank.
func from(s string, n, have int) string {
	if n >= have {
		return ""
	}
	rest := ansi.TruncateLeft(s, n, "")
	if Width(rest) > have-n {
		rest = " " + ansi.TruncateLeft(s, n+1, "")
	}
	return rest
}

// Ends puts left and right at the two ends of a line of w cells; what is too much is cut from left.
func Ends(left, right string, w int) string {
	r := Width(right)
	if r >= w {
		return Fit(right, w)
	}
	return Fit(left, w-r) + right
}

const spaces = "                                                                                "

func blanks(n int) string {
	switch {
	case n <= 0:
		return ""
	case n <= len(spaces):
		return spaces[:n]
	}
	return strings.Repeat(" ", n)
}

// Blank is an empty line of w cells.
func Blank(w int) string { return blanks(w) }

// Wrap breaks a plain text at its line ends and, where a line is longer than w cells, between words,
// or within a word that is longer than a line.
func Wrap(s string, w int) []string {
	if w <= 0 {
		return nil
	}
	var lines []string
	for line := range strings.SplitSeq(s, "\n") {
		if Width(line) <= w {
			lines = append(lines, line)
			continue
		}
		lines = append(lines, strings.Split(ansi.Wrap(line, w, ""), "\n")...)
	}
	return lines
}

// Chop breaks a plain line after every w cells: nothing is dropped, and columns stay columns.
func Chop(s string, w int) []string {
	if w <= 0 {
		return nil
	}
	if Width(s) <= w {
		return []string{s}
	}
	return strings.Split(ansi.Hardwrap(s, w, true), "\n")
}

// Block cuts or pads lines to exactly h lines of w cells.
func Block(lines []string, w, h int) []string {
	out := make([]string, max(h, 0))
	for i := range out {
		if i < len(lines) {
			out[i] = Fit(lines[i], w)
		} else {
			out[i] = blanks(w)
		}
	}
	return out
}

// Splice lays over onto base with its upper left corner at (x, y). Only the covered rows change, in
// a copy; base may be shared.
func Splice(base, over []string, x, y int) []string {
	out := append([]string(nil), base...)
	for i, line := range over {
		row := y + i
		if row < 0 || row >= len(out) {
			continue
		}
		out[row] = Fit(ansi.Truncate(out[row], x, ""), x) + "\x1b[m" + line + "\x1b[m" + from(out[row], x+Width(line), Width(out[row]))
	}
	return out
}

// Box is a border with words in it.
type Box struct {
	Title  string // styled; upper left
	Right  string // styled; upper right, dropped when there is no room
	Foot   string // styled; lower left
	FootR  string // styled; lower right
	Border lipgloss.Style
	Heavy  bool // thick lines, for a focus that no colour shows
}

type edges struct{ tl, tr, bl, br, h, v, ml, mr string }

var (
	light = edges{"╭", "╮", "╰", "╯", "─", "│", "├", "┤"}
	heavy = edges{"┏", "┓", "┗", "┛", "━", "┃", "┠", "┨"}
)

func (b Box) edges() edges {
	if b.Heavy {
		return heavy
	}
	return light
}

// Divider, as a line of a box's content, is a rule from border to border.
const Divider = "\x00divider"

// Draw puts the box around lines; the result is h lines of w cells. With fit the lines are cut and
// padded, without it they must be w-2 cells wide and are taken as they are.
func (b Box) Draw(lines []string, w, h int, fit bool) []string {
	if w < 4 || h < 2 {
		return Block(nil, w, h)
	}
	e := b.edges()
	out := make([]string, 0, h)
	out = append(out, b.edge(e.tl, e.tr, b.Title, b.Right, w))
	v := b.Border.Render(e.v)
	for i := range h - 2 {
		var line string
		switch {
		case i >= len(lines):
			line = blanks(w - 2)
		case lines[i] == Divider:
			out = append(out, b.Border.Render(e.ml+strings.Repeat("─", w-2)+e.mr))
			continue
		case fit:
			line = Fit(lines[i], w-2)
		default:
			line = lines[i]
		}
		out = append(out, v+line+v)
	}
	return append(out, b.edge(e.bl, e.br, b.Foot, b.FootR, w))
}

func (b Box) edge(left, right, title, note string, w int) string {
	e := b.edges()
	room := w - 4 // corners, and one stroke beside each
	if note != "" && Width(note)+2 > room-min(Width(title)+2, max(room/2, 3)) {
		note = ""
	}
	if note != "" {
		note = " " + note + " "
		room -= Width(note)
	}
	if title != "" && room >= 3 {
		if Width(title) > room-2 {
			title = ansi.Truncate(title, max(room-2, 1), "…")
		}
		title = " " + title + " "
		room -= Width(title)
	} else {
		title = ""
	}
	// The title sits right behind the corner's stroke.
	return b.Border.Render(left+e.h) + title + b.Border.Render(strings.Repeat(e.h, max(room, 0))) + note + b.Border.Render(e.h+right)
}

// Cache keeps the lines of a pane until its key is another one.
type Cache[K comparable] struct {
	key   K
	lines []string
}

// Lines returns what draw gave for this key.
func (c *Cache[K]) Lines(key K, draw func() []string) []string {
	if c.lines == nil || c.key != key {
		c.key, c.lines = key, draw()
	}
	return c.lines
}

// Forget has the next Lines draw again.
func (c *Cache[K]) Forget() { c.lines = nil }
