// Package statusbar is the line above the panes, which counts, and the one below them, which says
// what just happened, what waits, and which keys there are.
package statusbar

import (
	"fmt"
	"strings"

	"charm.land/lipgloss/v2"

	"bottle-tui/bottles"
	"bottle-tui/themes"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
)

// Counts is what the header counts.
type Counts struct {
	Live, Moving, Down, Failed, Orphans int
	Waiting                             int // requests
}

// Count counts the bottles of a snapshot.
func Count(s *bottles.Snapshot) Counts {
	var c Counts
	if s == nil {
		return c
	}
	for i := range s.Bottles {
		b := &s.Bottles[i]
		c.Waiting += b.Waiting()
		switch b.Status {
		case bottles.Live:
			c.Live++
		case bottles.Down:
			c.Down++
		case bottles.Failed:
			c.Failed++
		case bottles.Orphan:
			c.Orphans++
		default:
			c.Moving++
		}
	}
	return c
}

// Header is the line above the panes, w cells wide. Where it is narrow the words get shorter, and then
// fewer.
func Header(s *themes.Styles, c Counts, engine string, w int) string {
	left := " " + s.Brand.Render("bottle-tui") + "   "
	right := ""
	if engine != "" {
		right += s.Bad.Render(engine) + "   "
	}
	if c.Waiting > 0 {
		right += s.Alert.Render(fmt.Sprintf("⚑ %d", c.Waiting)) + "   "
	}
	right += s.Key.Render("?") + s.KeyHelp.Render(" help") + " "
	room := w - frame.Width(left) - frame.Width(right) - 2
	sep := s.Faint.Render(" · ")
	parts := c.words(s, false)
	if frame.Width(strings.Join(parts, sep)) > room {
		parts = c.words(s, true)
	}
	for len(parts) > 1 && frame.Width(strings.Join(parts, sep)) > room {
		parts = parts[:len(parts)-1]
	}
	return frame.Ends(left+strings.Join(parts, sep), right, w)
}

// words are the counts, the most important first.
func (c Counts) words(s *themes.Styles, short bool) []string {
	var parts []string
	add := func(n int, one, many, brief string, style lipgloss.Style) {
		word := many
		if n == 1 {
			word = one
		}
		if short {
			word = brief
		}
		if n > 0 {
			parts = append(parts, style.Render(fmt.Sprintf("%d %s", n, word)))
		}
	}
	add(c.Live, "live", "live", "live", s.Good)
	add(c.Waiting, "waits for you", "wait for you", "waiting", s.Waiting)
	add(c.Moving, "on its way", "on their way", "coming", s.Busy)
	add(c.Failed, "failed", "failed", "failed", s.Bad)
	add(c.Down, "down", "down", "down", s.Muted)
	add(c.Orphans, "orphan", "orphans", "orphan", s.Danger)
	if len(parts) == 0 {
		parts = append(parts, s.Muted.Render("no bottles"))
	}
	return parts
}

// Split is the width below which the footer takes two lines.
const Split = 110

// Height is how many lines the footer takes at a width.
func Height(w int) int {
	if w < Split {
		return 2
	}
	return 1
}

// Footer is a message, which is told its room in cells, and the hints, Height(w) lines of w cells. Of
// the hints, the first ones are kept when there is no room for all.
func Footer(s *themes.Styles, message func(room int) string, hints []*keys.Binding, w int) []string {
	if w < Split {
		return []string{frame.Fit(" "+message(w-2), w), frame.Fit(" "+fitHints(s, hints, w-2), w)}
	}
	room := w * 9 / 20
	if message(w) != "" {
		room = w * 3 / 8
	}
	right := fitHints(s, hints, room)
	return []string{frame.Ends(" "+message(w-frame.Width(right)-5), "  "+right+" ", w)}
}

func fitHints(s *themes.Styles, hints []*keys.Binding, w int) string {
	var parts []string
	used := 0
	for _, b := range hints {
		need := frame.Width(b.Shown()) + 1 + frame.Width(b.Hint)
		if len(parts) > 0 {
			need += 2
		}
		if used+need > w {
			break
		}
		used += need
		parts = append(parts, s.Key.Render(b.Shown())+" "+s.KeyHelp.Render(b.Hint))
	}
	return strings.Join(parts, "  ")
}
