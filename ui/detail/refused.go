package detail

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/ui/ago"
	"bottle-tui/ui/change"
	"bottle-tui/ui/dialog"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
)

// maxRefused bounds how many of what the gates held back are shown.
const maxRefused = 8

// refusals is what the gates of the bottle held back.
type refusals struct {
	all   []*bottles.Passage // the latest first
	shown []*bottles.Passage // those that the tab shows
	first *bottles.Passage   // the latest that a rule would let through; nil: none
	allow []string           // what rules was read from
	rules change.Rulebook

	inward change.Inward
}

// hold takes in what the gates held back; was is what was marked.
func (p *Pane) hold(was *bottles.Passage) {
	r := &p.held
	r.all, r.shown, r.first = nil, nil, nil
	if p.bottle == nil {
		return
	}
	if !slices.Equal(r.allow, p.bottle.Allow) {
		r.allow, r.rules = p.bottle.Allow, change.Read(p.bottle.Allow)
	}
	feed := p.bottle.Feed
	r.inward = change.Inwards(feed)
	for i := len(feed) - 1; i >= 0; i-- {
		if change.Held(&feed[i]) {
			r.all = append(r.all, &feed[i])
		}
	}
	r.shown = r.all[:min(len(r.all), maxRefused)]
	for _, x := range r.all {
		if _, why := p.rule(x); why == "" {
			r.first = x
			break
		}
	}
	if was == nil || p.Tab != EgressTab {
		p.item = min(p.item, len(p.bottle.Grants)) // nobody looks: the mark is on the latest when the tab is shown
		return
	}
	p.markRefused(was)
}

// markRefused puts the mark on one that was held back; one that others have pushed out stays in sight as the last.
func (p *Pane) markRefused(x *bottles.Passage) {
	same := func(o *bottles.Passage) bool {
		return o.Gate == x.Gate && o.Verdict == x.Verdict && o.What == x.What && o.Via == x.Via && o.Why == x.Why
	}
	r := &p.held
	i := slices.IndexFunc(r.all, same)
	if i >= maxRefused {
		r.shown = append(slices.Clone(r.all[:maxRefused]), r.all[i])
		i = maxRefused
	}
	p.item = len(p.bottle.Grants) + max(i, 0)
}

// Refused is what is marked of what the gates held back; nil when a grant is, or nothing.
func (p *Pane) Refused() *bottles.Passage {
	if p.bottle == nil {
		return nil
	}
	if i := p.item - len(p.bottle.Grants); i >= 0 && i < len(p.held.shown) {
		return p.held.shown[i]
	}
	return nil
}

// Rule is the rule that would let through what is marked, or why there is none.
func (p *Pane) Rule() (rule, why string) {
	x := p.Refused()
	if x == nil {
		return "", "nothing is marked that was refused"
	}
	return p.rule(x)
}

func (p *Pane) rule(x *bottles.Passage) (rule, why string) {
	if change.Unlisted(x) && p.held.rules.Has(x) {
		return "", "it is open by now"
	}
	return change.Rule(x, p.held.inward)
}

// Openable says whether there is anything that egress refused and a rule would let through.
func (p *Pane) Openable() bool { return p.held.first != nil }

// MarkOpenable puts the mark on the latest of these.
func (p *Pane) MarkOpenable() {
	if p.held.first != nil {
		p.markRefused(p.held.first)
		p.version++
		p.show = true
	}
}

// Shown are the times that the Egress tab tells the age of.
func (p *Pane) Shown() []time.Time {
	var out []time.Time
	for _, x := range p.held.shown {
		out = append(out, x.Last)
	}
	return out
}

// look notes that what the gates held back so far was looked at.
func (p *Pane) look() {
	if p.bottle == nil || len(p.held.all) == 0 {
		return
	}
	if p.seen == nil {
		p.seen = map[string]time.Time{}
	}
	for _, x := range p.held.all {
		if x.Last.After(p.seen[p.identity]) {
			p.seen[p.identity] = x.Last
		}
	}
}

// unseen counts the kinds of what was held back that nobody has looked at.
func (p *Pane) unseen() (n int) {
	seen := p.seen[p.identity]
	for _, x := range p.held.all {
		if x.First.After(seen) {
			n++
		}
	}
	return n
}

// Keep drops what is remembered of bottles that are gone.
func (p *Pane) Keep(here map[string]bool) {
	for identity := range p.seen {
		if !here[identity] {
			delete(p.seen, identity)
		}
	}
}

// refused adds what was held back to lines.
func (p *Pane) refused(lines []string, v View, w int) []string {
	s, r := p.Styles, &p.held
	if len(r.all) == 0 {
		return lines
	}
	head := "  " + s.Strong.Render("Refused lately") + s.Muted.Render(fmt.Sprintf("  %d", len(r.all)))
	remark := ""
	if x := p.Refused(); x != nil && p.bottle.Status == bottles.Live {
		open := *keys.Get(keys.Screen, keys.Open)
		_, why := p.rule(x)
		open.Hint = "opens what is marked"
		if why != "" {
			open.Hint = "can't open this"
		}
		remark = dialog.Hint(s, &open, why != "") + " "
	}
	lines = append(lines, "", frame.Ends(head, remark, w))

	whatW, timesW, agoW := 0, 0, 0
	for _, x := range r.shown {
		gate, what := change.Passed(x)
		if gate != "" {
			what = gate + " " + what
		}
		whatW = max(whatW, frame.Width(what))
		timesW = max(timesW, frame.Width(times(x)))
		agoW = max(agoW, frame.Width(ago.Long(v.Now.Sub(x.Last))))
	}
	whatW = min(whatW, max(w*2/5, 12))
	room := w - 4 - whatW - 2 - timesW - 2 - agoW - 3 - 1
	for i, x := range r.shown {
		from := len(lines)
		lines = append(lines, p.refusal(v, w, x, i+len(p.bottle.Grants) == p.item, [4]int{whatW, timesW, agoW, room})...)
		p.spans = append(p.spans, span{from, len(lines)})
	}
	if more := len(r.all) - len(r.shown); more > 0 {
		lines = append(lines, "    "+s.Muted.Render(frame.Middle(fmt.Sprintf("… %d more; %s lists all", more, frame.Line(p.Command("log "+p.identity))), w-5, 0)))
	}
	return lines
}

func times(x *bottles.Passage) string {
	switch {
	case x.Count < 2:
		return ""
	case x.Count > 99_999:
		return "×99999+"
	}
	return fmt.Sprintf("×%d", x.Count)
}

// refusal is one that was held back: what, how often, when, and why; widths are those of the columns. Where there
// is no room for the reason beside the rest, it stands below.
func (p *Pane) refusal(v View, w int, x *bottles.Passage, marked bool, widths [4]int) []string {
	s := p.Styles
	cursor, name := "  ", s.Text
	if marked {
		cursor, name = s.Cursor.Render("▌")+" ", s.Selected
	}
	gate, what := change.Passed(x)
	whatW, room := widths[0], widths[3]
	label := ""
	if gate != "" {
		label = s.Muted.Render(frame.Fit(gate, min(frame.Width(gate), whatW))) + " "
		whatW = max(whatW-frame.Width(gate)-1, 0)
	}
	label += name.Render(frame.Middle(what, whatW, whatW*2/3)) // the end of a name says whose it is
	why, reason := change.Why(x, p.bottle.Routes), s.Muted
	switch {
	case change.Unlisted(x) && p.held.rules.Has(x):
		why, reason = "open by now", s.Accent
	case x.Verdict != bottles.Refused:
		reason = s.Bad
	}
	row := "  " + cursor + frame.Fit(label, widths[0]) + "  " + s.Text.Render(frame.Fit(times(x), widths[1])) + "  " +
		s.Muted.Render(frame.Fit(ago.Long(v.Now.Sub(x.Last)), widths[2]))
	if room < 20 {
		lines := []string{row}
		for _, part := range reasons(why, max(w-8, 8)) {
			lines = append(lines, "  "+cursor+"  "+reason.Render(part))
		}
		return lines
	}
	var lines []string
	for i, part := range reasons(why, room) {
		if i > 0 {
			row = "  " + cursor + frame.Blank(w-4-room-4)
		}
		lines = append(lines, row+"   "+reason.Render(part))
	}
	return lines
}

// reasons sets a reason in at most three lines.
func reasons(why string, w int) []string {
	const most = 3
	lines := frame.Wrap(why, w)
	if len(lines) > most {
		lines = lines[:most]
		lines[most-1] = strings.TrimRight(frame.Fit(lines[most-1], w-1), " ") + "…"
	}
	return lines
}
