// Package list is the pane that shows all bottles at a glance: what runs, what waits, what is down.
package list

import (
	"slices"
	"strings"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/themes"
	"bottle-tui/ui/frame"
)

// Pane is the list. The zero value with Styles set shows nothing.
type Pane struct {
	Styles *themes.Styles
	Home   string // the operator's home directory, shown as ~

	all, shown []bottles.Bottle
	problems   int
	version    uint64
	filter     string
	selected   string // identity
	index      int    // of it in shown
	offset     int    // first line drawn
	filled     bool   // a snapshot has arrived
	activity   map[string]Activity
	ends       []time.Time // of each bottle with a grant that ends, the first end
	cache      frame.Cache[key]
	rows       []int // for each inner row drawn: the index of its bottle, or -1
}

// View is what the drawing depends on besides the bottles.
type View struct {
	W, H      int
	Focus     bool
	Filtering bool // the filter is being typed
	Spin      int  // frame of the spinner
	Now       time.Time
}

type key struct {
	view             View
	version          uint64
	filter, selected string
	offset           int
	left             time.Duration // minutes of all countdowns
}

// Set takes in a snapshot. The selection stays on its bottle; where that is gone, on its neighbour.
func (p *Pane) Set(s *bottles.Snapshot) {
	p.all, p.problems, p.filled = s.Bottles, len(s.Problems), true
	p.ends = nil
	for i := range p.all {
		if at, ok := Ends(&p.all[i]); ok {
			p.ends = append(p.ends, at)
		}
	}
	p.version++
	p.apply()
}

func (p *Pane) apply() {
	p.shown = p.all
	if p.filter != "" {
		want := strings.ToLower(p.filter)
		p.shown = nil
		for _, b := range p.all {
			if strings.Contains(strings.ToLower(b.Identity+"\x00"+b.CWD+"\x00"+string(b.Status)+"\x00"+b.Detail), want) {
				p.shown = append(p.shown, b)
			}
		}
	}
	if i := p.find(p.selected); i >= 0 {
		p.index = i
		return
	}
	p.index = max(min(p.index, len(p.shown)-1), 0)
	p.selected = ""
	if len(p.shown) > 0 {
		p.selected = p.shown[p.index].Identity
	}
}

func (p *Pane) find(identity string) int {
	return slices.IndexFunc(p.shown, func(b bottles.Bottle) bool { return b.Identity == identity })
}

// Filter shows only the bottles that hold text.
func (p *Pane) Filter(text string) {
	p.filter = text
	p.apply()
}

// Filtered is the filter in force.
func (p *Pane) Filtered() string { return p.filter }

// Selected is the selected bottle; nil when there is none.
func (p *Pane) Selected() *bottles.Bottle {
	if p.index < len(p.shown) {
		return &p.shown[p.index]
	}
	return nil
}

// Here says whether there is a bottle of that identity, shown or not.
func (p *Pane) Here(identity string) bool {
	return slices.ContainsFunc(p.all, func(b bottles.Bottle) bool { return b.Identity == identity })
}

// Select moves to a bottle; a filter that hides it is dropped.
func (p *Pane) Select(identity string) bool {
	if p.find(identity) < 0 && p.filter != "" {
		p.filter = ""
		p.apply()
	}
	i := p.find(identity)
	if i < 0 {
		return false
	}
	p.index, p.selected = i, identity
	return true
}

// Move selects the bottle n places further.
func (p *Pane) Move(n int) {
	if len(p.shown) == 0 {
		return
	}
	p.index = max(min(p.index+n, len(p.shown)-1), 0)
	p.selected = p.shown[p.index].Identity
}

// Len is how many bottles are shown.
func (p *Pane) Len() int { return len(p.shown) }

// At selects the bottle that was drawn on row y of the pane, if one was.
func (p *Pane) At(y int) bool {
	if y < 1 || y > len(p.rows) || p.rows[y-1] < 0 || p.rows[y-1] >= len(p.shown) {
		return false
	}
	p.index = p.rows[y-1]
	p.selected = p.shown[p.index].Identity
	return true
}

// Lines draws the pane: v.H lines of v.W cells.
func (p *Pane) Lines(v View) []string {
	k := key{v, p.version, p.filter, p.selected, p.offset, 0}
	k.view.Now = v.Now.Truncate(10 * time.Second)
	for _, at := range p.ends { // a countdown changes at any moment
		k.left += (at.Sub(v.Now) + time.Minute - 1) / time.Minute
	}
	return p.cache.Lines(k, func() []string { return p.draw(v) })
}

// wide is the width from which a bottle takes one line with its directory or step in the middle.
const wide = 64

func (p *Pane) draw(v View) []string {
	s := p.Styles
	w, h := v.W-2, v.H-2
	box := frame.Box{Title: s.Muted.Render("Bottles"), Border: s.Border}
	if v.Focus {
		box.Title, box.Border, box.Heavy = s.Accent.Bold(true).Render("Bottles"), s.BorderFocus, !s.Colour
	}
	if p.filter != "" || v.Filtering {
		box.Title += s.Muted.Render(" /") + s.Text.Render(frame.Line(p.filter))
		if v.Filtering {
			box.Title += s.Accent.Render("▏")
		}
	}
	if w < 8 || h < 1 {
		return box.Draw(nil, v.W, v.H, true)
	}
	if p.problems > 0 && h > 2 {
		h-- // the last row tells of them
	}
	lines, first, last := p.window(v, w, h)
	if len(p.shown) == 0 {
		lines = p.nothing(w)
	} else if first > 0 || last < len(p.shown)-1 {
		box.FootR = s.Muted.Render(span(first+1, last+1, len(p.shown)))
	}
	if p.problems > 0 && v.H-2 > 2 {
		lines = append(frame.Block(lines, w, h), p.problemLine(w))
	}
	return box.Draw(lines, v.W, v.H, true)
}

func (p *Pane) nothing(w int) []string {
	s := p.Styles
	switch {
	case !p.filled:
		return []string{"", s.Muted.Render("  reading the bottles …")}
	case p.filter != "":
		return append([]string{""}, indent(frame.Wrap("Nothing matches. esc shows all.", w-4), s)...)
	}
	return append([]string{""}, indent(frame.Wrap("No bottles yet.", w-4), s)...)
}

func indent(lines []string, s *themes.Styles) []string {
	for i := range lines {
		lines[i] = "  " + s.Muted.Render(lines[i])
	}
	return lines
}

func (p *Pane) problemLine(w int) string {
	s := p.Styles
	text := "1 file can't be read"
	if p.problems > 1 {
		text = itoa(p.problems) + " files can't be read"
	}
	return frame.Ends(" "+s.Danger.Render("▲ "+text), s.Key.Render("!")+" ", w)
}

// window draws the bottles that fit in h rows, the selected one among them, and says which they are.
func (p *Pane) window(v View, w, h int) (lines []string, first, last int) {
	heights := 0
	start := make([]int, len(p.shown)+1)
	for i := range p.shown {
		start[i] = heights
		heights += p.height(&p.shown[i], i == p.index, w)
	}
	start[len(p.shown)] = heights
	if len(p.shown) == 0 {
		p.rows = nil
		return nil, 0, 0
	}
	if start[p.index+1]-p.offset > h {
		p.offset = start[p.index+1] - h
	}
	p.offset = max(min(p.offset, start[p.index], heights-h), 0)
	p.rows = p.rows[:0]
	first, last = -1, 0
	for i := range p.shown {
		if start[i+1] <= p.offset || start[i] >= p.offset+h {
			continue
		}
		if first < 0 {
			first = i
		}
		last = i
		for j, line := range p.bottle(v, &p.shown[i], i == p.index, w) {
			if row := start[i] + j - p.offset; row >= 0 && row < h {
				lines = append(lines, line)
				p.rows = append(p.rows, i)
			}
		}
	}
	return lines, first, last
}

// height is how many rows a bottle takes.
func (p *Pane) height(b *bottles.Bottle, selected bool, w int) int {
	if w < wide && (selected || busy(b)) {
		return 2
	}
	return 1
}

func busy(b *bottles.Bottle) bool { return b.Operation != nil && b.Operation.Err == "" }
