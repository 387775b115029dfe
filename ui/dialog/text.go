package dialog

import (
	"fmt"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/themes"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
)

// Text is a long text to read.
type Text struct {
	still
	Styles *themes.Styles
	Title  string
	// Lines sets the text for a width.
	Lines func(w int) []string
	// Wide is the most cells it takes; 0: 84.
	Wide int

	offset, most, page int
}

// Key scrolls; everything that is not scrolling closes.
func (d *Text) Key(k tea.KeyPressMsg) Result {
	switch key := k.String(); key {
	case "up", "k":
		d.Wheel(-1)
	case "down", "j":
		d.Wheel(1)
	case "pgup", "ctrl+b":
		d.Wheel(-d.page)
	case "pgdown", "space", "ctrl+f":
		d.Wheel(d.page)
	case "home", "g":
		d.offset = 0
	case "end", "G":
		d.offset = d.most
	case "esc", "q", "ctrl+c", "enter", "?", "!":
		return Result{Close: true}
	}
	return Result{}
}

// Wheel scrolls n lines down.
func (d *Text) Wheel(n int) { d.offset = max(min(d.offset+n, d.most), 0) }

// Draw draws it.
func (d *Text) Draw(w, h int) Drawing {
	s := d.Styles
	wide := d.Wide
	if wide == 0 {
		wide = 84
	}
	w = center(w, wide)
	lines := d.Lines(w - 6)
	page := min(len(lines), h-4)
	d.page, d.most = max(page-1, 1), max(len(lines)-page, 0)
	d.offset = min(d.offset, d.most)
	body := []string{""}
	for _, line := range sane(lines[d.offset:], page) {
		body = append(body, "  "+line)
	}
	box := frame.Box{Title: s.Strong.Render(d.Title), Border: s.BorderDialog, Heavy: !s.Colour,
		Foot: Hint(s, keys.Get(keys.Dialog, keys.Back), false)}
	if d.most > 0 {
		box.FootR = s.Muted.Render(fmt.Sprintf("%d–%d of %d", d.offset+1, d.offset+page, len(lines)))
	}
	return Drawing{Lines: box.Draw(append(body, ""), w, page+4, true)}
}
