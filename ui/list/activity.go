package list

import (
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"charm.land/lipgloss/v2"

	"bottle-tui/bottles"
	"bottle-tui/themes"
	"bottle-tui/ui/ago"
)

// Activity is what an agent does, as far as its terminal's title tells.
type Activity int

// The activities.
const (
	Unknown Activity = iota
	Idle
	Busy
)

// ActivityOf reads a terminal's title. Claude Code begins it with ✳ while it waits for its user, and with a
// turning sign while it works; braille dots are what other programs turn.
func ActivityOf(title string) Activity {
	switch r, _ := utf8.DecodeRuneInString(title); {
	case r == '✳':
		return Idle
	case r >= '◐' && r <= '◓', r >= '\u2801' && r <= '\u28ff':
		return Busy
	}
	return Unknown
}

// Doing is a live bottle's activity in a word. A request that waits wins: whatever the title says, the agent
// gets no further without the operator.
func Doing(s *themes.Styles, b *bottles.Bottle, a Activity) (string, lipgloss.Style) {
	switch {
	case b.Status != bottles.Live:
	case b.Waiting() > 0:
		return "waits", s.Waiting
	case a == Busy:
		return "busy", s.Text
	case a == Idle:
		return "idle", s.Muted
	}
	return "", s.Muted
}

// SetActivity takes in what a bottle's agent does.
func (p *Pane) SetActivity(identity string, a Activity) {
	if p.activity[identity] == a {
		return
	}
	if p.activity == nil {
		p.activity = map[string]Activity{}
	}
	if p.activity[identity] = a; a == Unknown {
		delete(p.activity, identity)
	}
	p.version++
}

// Active are the bottles whose activity is known.
func (p *Pane) Active() []string { return slices.Collect(maps.Keys(p.activity)) }

// Activity is what was taken in last.
func (p *Pane) Activity(identity string) Activity { return p.activity[identity] }

// Ends is when the first grant of a bottle ends, if one has an end.
func Ends(b *bottles.Bottle) (at time.Time, ok bool) {
	for _, g := range b.Grants {
		if !g.Until.IsZero() && (!ok || g.Until.Before(at)) {
			at, ok = g.Until, true
		}
	}
	return at, ok
}

// countdown is the time that the first grant has left: "⏱ 12m"; "" when none ends.
func countdown(b *bottles.Bottle, now time.Time) string {
	at, ok := Ends(b)
	if !ok || b.Status == bottles.Orphan {
		return ""
	}
	return "⏱ " + ago.LeftShort(at.Sub(now))
}
