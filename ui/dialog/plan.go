package dialog

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/themes"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
	"bottle-tui/ui/preflight"
)

// Plan shows what a launch or a resume would do, and asks for a yes; while there is a conflict it can only be
// read.
type Plan struct {
	still
	Guard
	Styles *themes.Styles
	Plan   *bottles.Preflight
	Act    bottles.Action // what y asks for
	Doing  string
	// Gone says, of a new snapshot, why there is nothing left to ask; "" while there is.
	Gone func(s *bottles.Snapshot) string

	note               string
	offset, most, page int
}

// Key takes a key press.
func (d *Plan) Key(k tea.KeyPressMsg) Result {
	why := d.why()
	d.Press()
	d.note = ""
	b := keys.Find(keys.Plan, k.String())
	if b == nil {
		if k.String() == "enter" {
			d.note = "y says go; enter may be a key too many"
		}
		return Result{}
	}
	switch b.Action {
	case keys.Back:
		return Result{Close: true}
	case keys.Go:
		if why != "" {
			d.note = "not taken: " + why
			return Result{}
		}
		return Result{Close: true, Act: d.Act, Doing: d.Doing}
	case keys.SkipIgnored: // the form makes another plan where there is one
		d.note = "a directory is copied into a new bottle only; nothing is copied here"
	case keys.Up:
		d.Wheel(-1)
	case keys.Down:
		d.Wheel(1)
	case keys.PageUp:
		d.Wheel(-d.page)
	case keys.PageDown:
		d.Wheel(d.page)
	case keys.Top:
		d.offset = 0
	case keys.End:
		d.offset = d.most
	}
	return Result{}
}

// why says why going on is not possible; "" when it is.
func (d *Plan) why() string {
	why := keys.Get(keys.Plan, keys.Go).Why(keys.State{Conflicts: len(d.Plan.Conflicts)})
	if why == "" && !d.Armed() {
		why = Waiting
	}
	return why
}

// Wheel scrolls n lines down.
func (d *Plan) Wheel(n int) { d.offset = max(min(d.offset+n, d.most), 0) }

// Refresh closes it when there is nothing left to ask.
func (d *Plan) Refresh(s *bottles.Snapshot) Result {
	if d.Gone != nil {
		if why := d.Gone(s); why != "" {
			return Result{Close: true, Note: why}
		}
	}
	return Result{}
}

// labelWidth is the width of the labels of a plan.
const labelWidth = 12

// lines are the plan's rows set for w cells, its conflicts first, which are what there is to be done about, and then its
// notices, which are what a yes should know.
func (d *Plan) lines(w int) []string {
	s := d.Styles
	rows := preflight.Rows(d.Plan)
	at := len(rows)
	for at > 0 && rows[at-1].Style == preflight.Conflict {
		at--
	}
	var out []string
	if n := len(d.Plan.Conflicts); n > 0 {
		text := "Nothing is created: "
		if d.Plan.Resume {
			text = "It is not resumed: "
		}
		if n == 1 {
			text += "there is a conflict."
		} else {
			text += fmt.Sprintf("there are %d conflicts.", n)
		}
		out = append(out, s.Bad.Render(text), "")
		for _, row := range rows[at:] {
			out = append(out, d.conflict(row, w)...)
		}
		out = append(out, "")
	}
	rows = rows[:at]
	if i := slices.IndexFunc(rows, func(r preflight.Row) bool { return r.Label == preflight.LabelNotice }); i >= 0 {
		for _, row := range rows[i:] {
			out = append(out, d.row(row, w)...)
		}
		rows, out = rows[:i], append(out, "")
	}
	for _, row := range rows {
		out = append(out, d.row(row, w)...)
	}
	return out
}

// conflict is a conflict, or the way out of the one before.
func (d *Plan) conflict(row preflight.Row, w int) []string {
	s := d.Styles
	mark, style := s.Bad.Render("✗ "), s.Bad
	if row.Label == "" {
		mark, style = "  ", s.Text
	}
	var out []string
	for _, line := range frame.Wrap(row.Value, w-2) {
		out = append(out, mark+style.Render(line))
		mark = "  "
	}
	return out
}

func (d *Plan) row(row preflight.Row, w int) []string {
	s := d.Styles
	mark, style := "  ", s.Text
	if row.Style == preflight.Warn {
		mark, style = s.Waiting.Render("! "), s.Waiting
	}
	value := strings.TrimLeft(row.Value, " ")
	indent := frame.Blank(len(row.Value) - len(value))
	if row.Label == "" && indent != "" && row.Style == preflight.OK {
		style = s.Muted // it says more of the row before
	}
	label := frame.Fit(row.Label, labelWidth)
	var out []string
	for _, line := range frame.Wrap(value, max(w-2-labelWidth-len(indent), 8)) {
		out = append(out, mark+s.Muted.Render(label)+indent+style.Render(line))
		mark, label = "  ", frame.Blank(labelWidth)
	}
	return out
}

// Draw draws it.
func (d *Plan) Draw(w, h int) Drawing {
	s := d.Styles
	d.Drawn()
	w = center(w, 96)
	goOn := *keys.Get(keys.Plan, keys.Go)
	goOn.Hint = "start it"
	if d.Plan.Resume {
		goOn.Hint = "resume it"
	}
	why := d.why()
	hints := Hint(s, &goOn, why != "") + "  " + Hint(s, keys.Get(keys.Plan, keys.Back), false)
	note := ""
	switch {
	case d.note != "":
		note = s.Waiting.Render(d.note)
	case why != "":
		note = s.Muted.Render("y is off: " + why)
	}
	foot := []string{"", frame.Divider, "  " + frame.Ends(hints, note, w-6)}
	if frame.Width(hints)+frame.Width(note)+2 > w-6 {
		foot = []string{"", frame.Divider, "  " + note, "  " + hints}
	}
	lines := d.lines(w - 6)
	page := max(min(len(lines), h-3-len(foot)), 1)
	d.page, d.most = max(page-1, 1), max(len(lines)-page, 0)
	d.offset = min(d.offset, d.most)
	body := []string{""}
	for _, line := range sane(lines[d.offset:], page) {
		body = append(body, "  "+line)
	}
	title := "New bottle: the plan"
	if d.Plan.Resume {
		title = "Resume " + frame.Line(d.Plan.Identity)
	}
	box := frame.Box{Title: s.Strong.Render(title), Border: s.BorderDialog, Heavy: !s.Colour}
	if len(d.Plan.Conflicts) > 0 {
		box.Border = s.BorderAlert
	}
	if d.most > 0 {
		arrow, more := "  ", s.Muted
		if d.offset < d.most {
			arrow, more = " ▼", s.Waiting
		}
		box.FootR = more.Render(fmt.Sprintf("%d–%d of %d%s", d.offset+1, d.offset+page, len(lines), arrow))
	}
	body = append(body, foot...)
	return Drawing{Lines: box.Draw(body, w, len(body)+2, true)}
}
