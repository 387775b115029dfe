// Package statusbar is the line above the panes, which counts, and the one below them, which says
// what just happened, what waits, and which keys there are.
package statusbar

import (
	"fmt"
	"strings"

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

// Header is the line above the panes, w cells wide.
func Header(s *themes.Styles, c Counts, engine string, w int) string {
	left := " " + s.Brand.Render("bottle-tui") + "   "
	var parts []string
	add := func(n int, one, many string, style func(...string) string) {
		if n == 1 {
			parts = append(parts, style("1 "+one))
		} else if n > 1 {
			parts = append(parts, style(fmt.Sprintf("%d %s", n, many)))
		}
	}
	add(c.Live, "live", "live", s.Good.Render)
	add(c.Moving, "on its way", "on their way", s.Busy.Render)
	add(c.Waiting, "waits for you", "wait for you", s.Waiting.Render)
	add(c.Failed, "failed", "failed", s.Bad.Render)
	add(c.Down, "down", "down", s.Muted.Render)
	add(c.Orphans, "orphan", "orphans", s.Danger.Render)
	if len(parts) == 0 {
		parts = append(parts, s.Muted.Render("no bottles"))
	}
	left += strings.Join(parts, s.Faint.Render(" · "))
	right := ""
	if engine != "" {
		right += s.Bad.Render(engine) + "   "
	}
	if c.Waiting > 0 {
		right += s.Alert.Render(fmt.Sprintf("⚑ %d", c.Waiting)) + "   "
	}
	right += s.Key.Render("?") + s.KeyHelp.Render(" help") + " "
	return frame.Ends(left, right, w)
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

// Footer is the message and the hints, Height(w) lines of w cells. Of the hints, the first ones are
// kept when there is no room for all.
func Footer(s *themes.Styles, message string, hints []*keys.Binding, w int) []string {
	if w < Split {
		return []string{frame.Fit(" "+message, w), frame.Fit(" "+fitHints(s, hints, w-2), w)}
	}
	room := w - frame.Width(message) - 5
	return []string{frame.Ends(" "+message, "  "+fitHints(s, hints, max(room, w/3))+" ", w)}
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
