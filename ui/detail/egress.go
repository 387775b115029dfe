package detail

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"bottle-tui/bottles"
	"bottle-tui/ui/ago"
	"bottle-tui/ui/change"
	"bottle-tui/ui/frame"
)

// Grant is the marked grant; nil when there is none, or something else is marked.
func (p *Pane) Grant() *bottles.Grant {
	if p.bottle == nil || p.item >= len(p.bottle.Grants) {
		return nil
	}
	return &p.bottle.Grants[p.item]
}

// keepMark leaves the mark on what it was on, or on its neighbour.
func (p *Pane) keepMark(grant *bottles.Grant, refused *bottles.Passage) {
	p.hold(refused)
	if grant != nil {
		if i := slices.IndexFunc(p.bottle.Grants, func(g bottles.Grant) bool { return g.ID == grant.ID }); i >= 0 {
			p.item = i
		}
	}
	p.item = max(min(p.item, p.items()-1), 0)
}

// items is how many lines of the Egress tab can be marked.
func (p *Pane) items() int {
	if p.bottle == nil {
		return 0
	}
	return len(p.bottle.Grants) + len(p.held.shown)
}

// labels changes whenever a countdown or an age on the Egress tab does.
func (p *Pane) labels(now time.Time) (sum time.Duration) {
	if p.bottle == nil {
		return 0
	}
	for _, g := range p.bottle.Grants {
		if left := g.Until.Sub(now); !g.Until.IsZero() && left > 0 {
			sum += left - ago.NextLeft(left, true) // the same until the label changes
		}
	}
	for _, x := range p.held.shown {
		age := now.Sub(x.Last)
		sum += age + ago.Next(age)
	}
	return sum
}

// walk moves the mark among the grants and what was refused, which stand at the top, and then the lines; a page
// moves the lines alone.
func (p *Pane) walk(n int) {
	switch {
	case n == 1 && p.item < p.items()-1:
		p.item++
		p.show = true
	case n == -1 && p.item > 0 && p.item < len(p.spans) && p.spans[p.item].from >= p.scroll:
		p.item--
		p.show = true
	default:
		p.scroll = max(min(p.scroll+n, p.most), 0)
	}
}

// span is the lines from from to before to.
type span struct{ from, to int }

// reveal scrolls as little as it takes to show what is marked in h lines, with the heading above it.
func (p *Pane) reveal(h int) {
	if p.item >= len(p.spans) {
		return
	}
	at := p.spans[p.item]
	if p.item == 0 || p.item == len(p.bottle.Grants) {
		at.from -= 2
	}
	p.scroll = max(min(max(p.scroll, at.to-h), at.from), 0)
}

// egress is the bottle's ways out: what was granted at run time first, since it goes again, then what was
// refused lately, the allowlist and the routes in force.
func (p *Pane) egress(v View, w int) []string {
	s, b := p.Styles, p.bottle
	p.spans = p.spans[:0]
	if len(b.Grants)+len(b.Allow)+len(b.Routes)+len(p.held.all) == 0 {
		return p.words("Nothing is open: this bottle reaches no host, and has no route with a credential.\n\n"+
			"When the agent needs one it asks; `a` opens what it asks for.", w)
	}
	var lines []string
	head := func(text string, n int) {
		lines = append(lines, "", "  "+s.Strong.Render(text)+s.Muted.Render(fmt.Sprintf("  %d", n)))
	}
	if len(b.Grants) > 0 {
		head("Granted beyond the profile", len(b.Grants))
		for i := range b.Grants {
			from := len(lines)
			lines = append(lines, p.grantLines(v, w, &b.Grants[i], i == p.item)...)
			p.spans = append(p.spans, span{from, len(lines)})
		}
	}
	lines = p.refused(lines, v, w)
	head("Hosts in force", len(b.Allow))
	if b.Sent+b.Received > 0 && b.Status == bottles.Live {
		last := &lines[len(lines)-1]
		*last = frame.Ends(*last, s.Muted.Render(Bytes(b.Sent)+" out · "+Bytes(b.Received)+" in ")+" ", w)
	}
	if len(b.Allow) == 0 {
		lines = append(lines, "    "+s.Muted.Render("none: every host is refused"))
	}
	for _, rule := range b.Allow {
		why := ""
		if g := grantOf(b, func(c bottles.Change) bool { return slices.Contains(c.Allow, rule) }); g != nil {
			why = s.Accent.Render(lasts(g, v.Now))
		}
		lines = append(lines, p.row(rule, s.Text, why, w)...)
	}
	head("Routes in force", len(b.Routes))
	if len(b.Routes) == 0 {
		lines = append(lines, "    "+s.Muted.Render("none"))
	}
	pathW := 0
	for _, r := range b.Routes {
		pathW = max(pathW, min(frame.Width(frame.Line(r.Path)), w/3))
	}
	for _, r := range b.Routes {
		lines = append(lines, p.route(v, w, pathW, r)...)
	}
	return lines
}

// row is a line with a remark at its right end; what is too long for one line goes on below.
func (p *Pane) row(text string, style lipgloss.Style, remark string, w int) []string {
	room := max(w-6-frame.Width(remark), 8)
	var lines []string
	for i, part := range frame.Chop(frame.Line(text), room) {
		if i > 0 {
			remark = ""
		}
		lines = append(lines, frame.Ends("    "+style.Render(part), remark+" ", w))
	}
	return lines
}

// route is one route: where it leads, and below it with whose credential, and who is told of it.
func (p *Pane) route(v View, w, pathW int, r bottles.Route) []string {
	s := p.Styles
	why := ""
	if g := grantOf(p.bottle, func(c bottles.Change) bool {
		return slices.ContainsFunc(c.Routes, func(o bottles.Route) bool { return o.Path == r.Path })
	}); g != nil {
		why = s.Accent.Render(lasts(g, v.Now))
	}
	room := max(w-4-pathW-3-frame.Width(why)-2, 8)
	lines := []string{frame.Ends("    "+s.Text.Render(frame.Fit(frame.Line(r.Path), pathW))+s.Muted.Render(" → ")+
		s.Text.Render(frame.Middle(frame.Line(r.Upstream), room, room/3)), why+" ", w)}
	with := frame.Line(r.TokenRef)
	if r.AuthScheme != "" {
		with += " as " + frame.Line(r.AuthScheme)
	}
	if len(r.Roles) > 0 {
		with += " · for " + frame.Line(strings.Join(r.Roles, ", "))
	}
	for _, part := range frame.Wrap(with, max(w-pathW-8, 8)) {
		lines = append(lines, frame.Blank(4+pathW+3)+s.Muted.Render(part))
	}
	return lines
}

// grantLines are a grant's two lines or more: what it opened and how long for, and since when.
func (p *Pane) grantLines(v View, w int, g *bottles.Grant, marked bool) []string {
	s := p.Styles
	cursor, name := "  ", s.Text
	if marked {
		cursor, name = s.Cursor.Render("▌")+" ", s.Selected
	}
	right := s.Accent.Render(lasts(g, v.Now))
	room := max(w-9-frame.Width(right), 8)
	var lines []string
	for _, l := range change.Granted(g.Change) {
		sign := s.AddedSign
		if !l.Added {
			sign = s.RemovedSign
		}
		mark := sign.Render(l.Sign())
		for _, part := range frame.Wrap(l.Text, room) {
			lines = append(lines, frame.Ends("  "+cursor+mark+" "+name.Render(part), right+" ", w))
			mark, right = " ", ""
		}
	}
	if len(lines) == 0 {
		lines = append(lines, frame.Ends("  "+cursor+s.Muted.Render("nothing was changed by it"), right+" ", w))
	}
	since := "granted " + ago.Long(v.Now.Sub(g.At))
	end := ""
	if marked {
		end = "  " + s.Key.Render("R") + s.Muted.Render(" takes it back")
	}
	return append(lines, "  "+cursor+"  "+s.Muted.Render(since)+end)
}

// grantOf is the last grant whose change answers to has.
func grantOf(b *bottles.Bottle, has func(c bottles.Change) bool) *bottles.Grant {
	for i := len(b.Grants) - 1; i >= 0; i-- {
		if has(b.Grants[i].Change) {
			return &b.Grants[i]
		}
	}
	return nil
}

// lasts is a grant's scope, with what is left of it: "1 h · 42 min left".
func lasts(g *bottles.Grant, now time.Time) string {
	if g.Until.IsZero() {
		return g.Scope.String()
	}
	return g.Scope.String() + " · " + ago.Left(g.Until.Sub(now))
}

// Bytes is a size in the largest unit of which there is at least one: "412 B", "3.4 MiB".
func Bytes(n int64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n)/(1<<10), 0
	for ; size >= 1023.95 && unit < len(units)-1; unit++ {
		size /= 1 << 10
	}
	return fmt.Sprintf("%.1f %ciB", size, units[unit])
}
