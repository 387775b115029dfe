package dialog

import (
	"fmt"
	"slices"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/themes"
	"bottle-tui/ui/ago"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
)

// Open asks whether a host that egress refused shall be opened, and for how long. What it asks about is the rule
// that it was made with, whatever the agent reaches for meanwhile.
type Open struct {
	still
	Guard
	Styles   *themes.Styles
	Identity string
	Rule     string          // in egress's notation
	Passage  bottles.Passage // why it is asked
	AnyPort  bool            // what keeps the allowlist knows no ports
	// Gone says, of a new snapshot, why there is nothing left to ask; "" while there is.
	Gone func(s *bottles.Snapshot) string

	scope        int    // index in opens
	asks         bool   // the agent asks for a way out itself
	ended        bool   // the end was drawn
	note         string // why the last key did nothing
	refused      string // why the last answer was not taken
	offset, most int
}

// opens are the scopes to choose from. The profile is not one: a host that nobody asked for goes into a manifest by
// hand.
var opens = slices.DeleteFunc(slices.Clone(bottles.Scopes), func(s bottles.Scope) bool { return s.Profile })

// rearm begins anew: what is read now is something else than before.
func (d *Open) rearm() {
	d.Reset()
	d.ended, d.note = false, ""
}

// blocked says why it can't be opened yet; "" when it can.
func (d *Open) blocked() string {
	switch {
	case !d.ended:
		return "read to the end first"
	case !d.Armed():
		return Waiting
	}
	return ""
}

// Key takes a key press.
func (d *Open) Key(k tea.KeyPressMsg) Result {
	why := d.blocked()
	d.Press()
	d.note = ""
	b := keys.Find(keys.Opening, k.String())
	if b == nil {
		return Result{}
	}
	switch b.Action {
	case keys.Back:
		return Result{Close: true}
	case keys.Up:
		d.Wheel(-1)
	case keys.Down:
		d.Wheel(1)
	case keys.Scope:
		d.scope = (d.scope + 1) % len(opens)
		d.refused = ""
		d.rearm()
	case keys.Approve:
		if why != "" {
			d.note = "not opened: " + why
			return Result{}
		}
		return Result{Close: true, Doing: "opening " + d.Rule,
			Act: bottles.Allow{Identity: d.Identity, Rules: []string{d.Rule}, Scope: opens[d.scope]}}
	}
	return Result{}
}

// Wheel scrolls n lines down.
func (d *Open) Wheel(n int) { d.offset = max(min(d.offset+n, d.most), 0) }

// Refresh closes it when there is nothing left to ask, and looks whether the agent asks for a way out itself.
func (d *Open) Refresh(s *bottles.Snapshot) Result {
	if why := d.Gone(s); why != "" {
		return Result{Close: true, Note: why}
	}
	asks := slices.ContainsFunc(s.Bottles, func(b bottles.Bottle) bool {
		return b.Identity == d.Identity && slices.ContainsFunc(b.Requests, func(r bottles.Request) bool {
			return r.Tool == queue.ToolEgress && r.State != bottles.Applying
		})
	})
	if asks != d.asks {
		d.asks = asks
		d.rearm()
	}
	return Result{}
}

// Refused takes the dialog up again after the Supervisor did not take its answer.
func (d *Open) Refused(err error) {
	d.rearm()
	d.offset, d.refused = 0, frame.Text(err.Error())
}

// body is what is to be read, w cells wide.
func (d *Open) body(w int) []string {
	s := d.Styles
	var out []string
	para := func(sign string, first, text string) {
		for i, line := range frame.Wrap(first+text, w-2) {
			if i > 0 {
				out = append(out, "  "+s.Text.Render(line))
				continue
			}
			n := min(len(first), len(line))
			out = append(out, sign+s.Strong.Render(line[:n])+s.Text.Render(line[n:]))
		}
	}
	if d.refused != "" {
		para(s.Bad.Render("✗ "), "It was not opened: ", d.refused)
		out = append(out, "")
	}
	sign := s.AddedSign.Render("+") + " "
	for _, part := range frame.Chop(frame.Line(d.Rule), w-2) {
		out = append(out, sign+s.Added.Render(part))
		sign = "  "
	}
	scope := opens[d.scope]
	name, means := "For "+scope.String(), ", until "+d.Now().Add(scope.For).Local().Format("15:04")+"; then it is closed again by itself."
	if scope.For == 0 {
		name, means = "For this bottle", ", also after a resume, until the bottle is deleted."
	}
	para(s.Accent.Render("⏱ "), name, means)
	out = append(out, "")
	where := "on ports 443, for TLS alone, and 80"
	switch port := portOf(d.Rule); {
	case d.AnyPort:
		where = "on every port, whatever is spoken there"
	case port == "443":
		where = "on port 443, for TLS alone"
	case port == "80":
		where = "on port 80, for HTTP and TLS"
	case port != "":
		where = "on port " + port + ", whatever is spoken there"
	}
	para("  ", "", "The agent reaches this host "+where+", and can send there whatever it has read. Nothing else is opened.")
	if d.asks {
		out = append(out, "")
		para(s.Waiting.Render("! "), "It asks for a way out itself", ": a reviews that. Once this is open, that request is out of date and can only be denied.")
	}
	when := ago.Long(d.Now().Sub(d.Passage.Last))
	if d.Passage.Count > 1 {
		when = fmt.Sprintf("%d times, the last time %s", d.Passage.Count, when)
	}
	told := "The agent gave no reason, and is not told: its next try is let through."
	if d.asks {
		told = "The agent is not told of this: its next try is let through."
	}
	out = append(out, "")
	for _, line := range frame.Wrap("Egress refused it "+when+". "+told, w-2) {
		out = append(out, "  "+s.Muted.Render(line))
	}
	return out
}

// portOf is the port that a rule names; "" when it names none.
func portOf(rule string) string {
	for i := len(rule) - 1; i >= 0; i-- {
		switch c := rule[i]; {
		case c == ':':
			return rule[i+1:]
		case c < '0' || c > '9':
			return ""
		}
	}
	return ""
}

// Draw draws it.
func (d *Open) Draw(w, h int) Drawing {
	s := d.Styles
	w = center(w, 76)
	lines := d.body(w - 6)
	page := max(min(len(lines), h-6), 1)
	d.most = len(lines) - page
	d.offset = max(min(d.offset, d.most), 0)
	d.Drawn()
	d.ended = d.ended || d.offset == d.most
	box := frame.Box{Title: s.Strong.Render("Open " + frame.Middle(frame.Line(d.Rule), max(w/2, 8), max(w/3, 6)) + "?"),
		Right: s.Muted.Render(frame.Middle(frame.Line(d.Identity), max(w/3, 8), 6)), Border: s.BorderDialog, Heavy: !s.Colour}
	if d.most > 0 {
		box.FootR = s.Muted.Render(fmt.Sprintf("%d–%d of %d", d.offset+1, d.offset+page, len(lines)))
	}
	body := []string{""}
	for _, line := range lines[d.offset : d.offset+page] {
		body = append(body, "  "+line)
	}
	why := d.blocked()
	note := ""
	switch {
	case d.note != "":
		note = s.Waiting.Render(d.note)
	case why != "":
		note = s.Muted.Render("y is off: " + why)
	}
	body = append(body, "", "  "+note) // the line is there with or without a note, so that nothing moves
	scope := *keys.Get(keys.Opening, keys.Scope)
	if scope.Hint = "for " + opens[d.scope].String(); opens[d.scope].For == 0 {
		scope.Hint = "this bottle"
	}
	box.Foot = Hint(s, keys.Get(keys.Opening, keys.Approve), why != "") + "  " + Hint(s, &scope, false) + "  " + Hint(s, keys.Get(keys.Opening, keys.Back), false)
	return Drawing{Lines: box.Draw(body, w, len(body)+2, true)}
}
