package request

import (
	"fmt"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/aymanbagabas/go-udiff"

	"bottle-tui/bottles/dockerfile"
	"bottle-tui/ui/frame"
)

// bodyCache keeps the lines for a width.
type bodyCache struct {
	w     int
	lines []string
}

func (c *bodyCache) forget() { c.lines = nil }

// body is all there is to read, set for w cells.
func (d *Dialog) body(w int) []string {
	if d.lines.lines == nil || d.lines.w != w {
		d.lines = bodyCache{w, d.compose(w)}
	}
	return d.lines.lines
}

func (d *Dialog) compose(w int) []string {
	s := d.o.Styles
	var out []string
	say := func(st lipgloss.Style, text string) {
		for _, line := range frame.Wrap(text, w) {
			out = append(out, st.Render(line))
		}
	}
	if d.mode == preview {
		say(s.Strong, "Your version, as it would be put in force:")
	} else {
		out = append(out, s.Strong.Render("Why")+s.Muted.Render("  in the agent's words"))
		words := frame.Text(strings.TrimSpace(d.req.Justification))
		if words == "" {
			words = "(it gave no reason)"
		}
		for _, line := range frame.Wrap(words, w-2) {
			out = append(out, s.Waiting.Render("▎")+" "+s.Text.Render(line))
		}
	}
	if d.req.Err != "" {
		out = append(out, "", s.Bad.Render("✗ It was approved and could not be applied"))
		for _, line := range frame.Wrap(frame.Text(d.req.Err), w-2) {
			out = append(out, "  "+s.Text.Render(line))
		}
	}
	if d.req.Stale {
		out = append(out, "")
		say(s.Danger, "▲ Out of date: what is in force is not what the agent saw when it asked.")
	}
	if found := d.found(); len(found) > 0 {
		out = append(out, "", s.Strong.Render("Look at"))
		out = append(out, d.findingLines(found, w)...)
	}
	out = append(append(out, ""), d.diff(w)...)
	if d.req.Effect != "" {
		out = append(out, "", s.Strong.Render("Approving"))
		say(s.Text, frame.Text(d.req.Effect))
	}
	return out
}

func (d *Dialog) findingLines(found []dockerfile.Finding, w int) []string {
	s := d.o.Styles
	var out []string
	for _, f := range found {
		sign, style := "·", s.Muted
		switch f.Severity {
		case dockerfile.Error:
			sign, style = "✗", s.Bad
		case dockerfile.Danger:
			sign, style = "▲", s.Danger
		case dockerfile.Warning:
			sign, style = "!", s.Waiting
		}
		where := "file"
		if f.Line > 0 {
			where = fmt.Sprintf("line %d", f.Line)
		}
		head := style.Render(sign+" "+frame.Fit(frame.Line(string(f.Severity)), 8)) + s.Muted.Render(frame.Fit(where, 9))
		for _, line := range frame.Wrap(frame.Line(f.Text), max(w-19, 8)) {
			out = append(out, head+s.Text.Render(line))
			head = frame.Blank(19)
		}
	}
	return out
}

// diff is the change as a unified diff with line numbers. Long lines go on in the next row.
func (d *Dialog) diff(w int) []string {
	s := d.o.Styles
	before, after := string(d.req.Current), string(d.proposed())
	name := "Dockerfile"
	context := 3
	if d.whole {
		context = 1 << 20
	}
	head := s.Strong.Render(name)
	if before == after {
		return []string{head + s.Muted.Render("  is the same as the one in force")}
	}
	u, err := udiff.ToUnifiedDiff(name, name, before, udiff.Lines(before, after), context)
	if err != nil { // it can't be: the edits are udiff's own
		return append([]string{head + s.Bad.Render("  no difference could be made; this is the whole file")},
			frame.Chop(frame.Text(after), w)...)
	}
	added, removed := 0, 0
	for _, h := range u.Hunks {
		for _, line := range h.Lines {
			switch line.Kind {
			case udiff.Insert:
				added++
			case udiff.Delete:
				removed++
			}
		}
	}
	head += s.Muted.Render("  against the one in force  ") + s.Good.Render(fmt.Sprintf("+%d", added)) + " " + s.Bad.Render(fmt.Sprintf("−%d", removed))
	if before == "" {
		head = s.Strong.Render(name) + s.Muted.Render("  all of it is new  ") + s.Good.Render(fmt.Sprintf("+%d", added))
	}
	out := []string{head}
	digits := max(len(fmt.Sprint(strings.Count(before, "\n")+1)), len(fmt.Sprint(strings.Count(after, "\n")+1)), 2)
	next := 1 // line of before that was not passed yet
	for _, h := range u.Hunks {
		from, to := h.FromLine, h.ToLine
		if from > next {
			out = append(out, s.Faint.Render(frame.Fit(fmt.Sprintf("%s ⋯ %s", frame.Blank(2*digits), lines(from-next)), w)))
		}
		for _, line := range h.Lines {
			out = append(out, d.diffLine(line, &from, &to, digits, w)...)
		}
		next = from
	}
	if rest := count(before) - next + 1; rest > 0 {
		out = append(out, s.Faint.Render(frame.Fit(fmt.Sprintf("%s ⋯ %s", frame.Blank(2*digits), lines(rest)), w)))
	}
	return append(out, s.Faint.Render("── end of the change"))
}

func lines(n int) string {
	if n == 1 {
		return "1 line as it is"
	}
	return fmt.Sprintf("%d lines as they are", n)
}

// count is the number of lines of a text.
func count(text string) int {
	n := strings.Count(text, "\n")
	if text != "" && !strings.HasSuffix(text, "\n") {
		n++
	}
	return n
}

func (d *Dialog) diffLine(line udiff.Line, from, to *int, digits, w int) []string {
	s := d.o.Styles
	old, now, sign := "", "", " "
	body, mark := s.Context, s.Context
	switch line.Kind {
	case udiff.Delete:
		old, sign, body, mark = fmt.Sprint(*from), "−", s.Removed, s.RemovedSign
		*from++
	case udiff.Insert:
		now, sign, body, mark = fmt.Sprint(*to), "+", s.Added, s.AddedSign
		*to++
	default:
		old, now = fmt.Sprint(*from), fmt.Sprint(*to)
		*from++
		*to++
	}
	text, ended := strings.CutSuffix(line.Content, "\n")
	gutter := s.Faint.Render(frame.FitLeft(old, digits) + " " + frame.FitLeft(now, digits) + " ")
	room := max(w-2*digits-4, 4)
	var out []string
	for i, part := range frame.Chop(frame.Text(text), room) {
		if i > 0 {
			gutter, sign = s.Faint.Render(frame.FitLeft("↪", 2*digits+1)+" "), " "
		}
		out = append(out, gutter+mark.Render(sign)+body.Render(" "+frame.Fit(part, room)))
	}
	if !ended {
		out = append(out, s.Faint.Render(frame.Fit(frame.Blank(2*digits+4)+"(no line end at the end of the file)", w)))
	}
	return out
}
