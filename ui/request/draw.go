package request

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/ui/ago"
	"bottle-tui/ui/change"
	"bottle-tui/ui/dialog"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
)

// Draw draws the dialog: as high as what is to be read needs, and at most h lines.
func (d *Dialog) Draw(w, h int) dialog.Drawing {
	s := d.o.Styles
	w = max(min(w, 116), 20)
	if w > 100 {
		w -= 4
	}
	iw := w - 4 // the border, and a blank at each side
	box := frame.Box{Title: s.Waiting.Render("⚑ ") + s.Strong.Render(frame.Middle(frame.Line(d.identity), max(iw/2, 10), 6)) +
		s.Muted.Render(" asks for ") + s.Strong.Render(change.Subject(d.req.Tool)),
		Right: s.Muted.Render(ago.Long(d.o.Now().Sub(d.req.ArrivedAt))), Border: s.BorderDialog, Heavy: !s.Colour}
	if d.req.State == bottles.Unapplied {
		box.Title = s.Bad.Render("✗ ") + box.Title
	}
	foot := d.foot(iw)
	room := max(h-2-len(foot), 1)
	var lines []string
	var cursor *tea.Cursor
	switch d.mode {
	case editing:
		lines, cursor = d.drawEditor(iw, room)
	case waiting:
		lines = []string{"", s.Muted.Render("checking …"), ""}
	default:
		lines = d.drawBody(&box, iw, room)
		switch d.mode {
		case denying:
			foot, cursor = d.drawReason(iw, room, &lines)
		case sourcing:
			foot, cursor = d.drawSource(iw, h-2, &lines)
		}
	}
	var out []string
	for _, line := range append(lines, foot...) {
		if line == frame.Divider {
			out = append(out, line)
			continue
		}
		out = append(out, " "+frame.Fit(line, iw)+" ")
	}
	return dialog.Drawing{Lines: box.Draw(out, w, len(out)+2, true), Cursor: cursor}
}

// drawBody draws the part of the body that is scrolled to, and notes what was seen.
func (d *Dialog) drawBody(box *frame.Box, w, room int) []string {
	s := d.o.Styles
	body := d.body(w)
	page := min(len(body), room)
	d.total, d.page, d.most = len(body), max(page-1, 1), max(len(body)-page, 0)
	d.offset = max(min(d.offset, d.most), 0)
	if d.mode == reading || d.mode == preview {
		d.guard.Drawn()
		if d.offset >= d.most && !d.manifest.pending() {
			d.ended = true
		}
	}
	if d.most > 0 {
		more := s.Muted
		arrow := "  "
		if d.offset < d.most {
			arrow, more = " ▼", s.Waiting
		}
		box.FootR = more.Render(fmt.Sprintf("%d–%d of %d%s", d.offset+1, d.offset+page, len(body), arrow))
	}
	return append([]string(nil), body[d.offset:d.offset+page]...)
}

// foot is the rule and the line of keys, and why approving is not possible.
func (d *Dialog) foot(w int) []string {
	s := d.o.Styles
	hint := func(p keys.Place, a keys.Action, off bool) string { return dialog.Hint(s, keys.Get(p, a), off) }
	if d.mode == editing {
		foot := []string{frame.Divider}
		if d.replaced {
			foot = append(foot, s.Danger.Render("▲ ")+s.Text.Render("characters that don't print were replaced by their names"))
		}
		if d.note != "" {
			foot = append(foot, s.Bad.Render(d.note))
		}
		return append(foot, hint(keys.Editing, keys.Check, false)+"  "+hint(keys.Editing, keys.Swap, false)+"  "+hint(keys.Editing, keys.Back, false))
	}
	if d.mode == waiting {
		return []string{frame.Divider, hint(keys.Editing, keys.Back, false)}
	}
	why := d.Blocked()
	wait := !d.guard.Armed()
	approve, later := *keys.Get(keys.Request, keys.Approve), *keys.Get(keys.Request, keys.Later)
	editor, whole := hint(keys.Request, keys.Editor, wait), hint(keys.Request, keys.Whole, false)
	if d.mode == preview {
		approve.Hint, later.Hint, editor = "approve your version", "edit on", ""
	}
	line := ""
	for _, drop := range []string{"", whole, editor} { // what there is no room for, the least first
		parts := append([]string{dialog.Hint(s, &approve, why != "")}, d.scopeHint()...)
		if !d.push() {
			parts = append(parts, hint(keys.Request, keys.Edit, wait), editor)
		}
		parts = append(parts, hint(keys.Request, keys.Deny, wait))
		if !d.push() {
			parts = append(parts, whole)
		}
		parts = append(parts, dialog.Hint(s, &later, false))
		parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" || part == drop || drop == editor && part == whole })
		if line = strings.Join(parts, "  "); frame.Width(line) <= w {
			break
		}
	}
	foot := []string{frame.Divider}
	note := ""
	switch {
	case d.note != "":
		note = s.Waiting.Render(d.note)
	case why != "":
		note = s.Muted.Render("y is off: " + why)
	}
	if note != "" && frame.Width(line)+frame.Width(note)+3 <= w {
		return append(foot, frame.Ends(line, note, w))
	}
	// The line is there with or without a note, so that nothing moves when it goes.
	if frame.Width(line)+40 > w {
		foot = append(foot, note)
	} else if note != "" {
		foot = append(foot, note)
	}
	return append(foot, line)
}

// drawReason puts the field for the reason below the body.
func (d *Dialog) drawReason(w, room int, body *[]string) (foot []string, cursor *tea.Cursor) {
	s := d.o.Styles
	area := d.reasonArea()
	high := max(min(strings.Count(area.Value(), "\n")+1, 6), 3)
	area.SetWidth(w - 2)
	area.SetHeight(high)
	foot = []string{frame.Divider, s.Strong.Render("Why not?") + s.Muted.Render("  the agent is told these words")}
	if d.note != "" {
		foot[1] = s.Bad.Render(d.note)
	}
	keep := max(room-high-1, 0)
	*body = (*body)[:min(len(*body), keep)]
	at := len(*body) + len(foot)
	prompt := s.Accent.Render("❯ ")
	for line := range strings.SplitSeq(area.View(), "\n") {
		foot = append(foot, prompt+line)
		prompt = "  "
	}
	if cursor = area.Cursor(); cursor != nil {
		cursor.X += 4
		cursor.Y += at + 1
	}
	return append(foot, dialog.Hint(s, keys.Get(keys.Reason, keys.Send), trim(area.Value()) == "")+"  "+
		dialog.Hint(s, keys.Get(keys.Reason, keys.NewLine), false)+"  "+dialog.Hint(s, keys.Get(keys.Reason, keys.Back), false)), cursor
}

func (d *Dialog) drawEditor(w, room int) ([]string, *tea.Cursor) {
	d.editor.SetWidth(w)
	d.editor.SetHeight(room)
	cursor := d.editor.Cursor()
	if cursor != nil {
		cursor.X += 2
		cursor.Y++
	}
	return strings.Split(d.editor.View(), "\n"), cursor
}
