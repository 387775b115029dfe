package request

import (
	"fmt"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"bottle-tui/queue"
	"bottle-tui/ui/frame"
)

// document is a file as it is and as it would be.
type document struct {
	name    string
	against string // what it is compared with, in words
	before  []byte
	after   []byte
}

// fileName is what a tool's proposals are called.
func fileName(tool string) string {
	switch tool {
	case queue.ToolEgress:
		return "allowlist"
	case queue.ToolCredProxy:
		return "routes.json"
	}
	return "Dockerfile"
}

// diff is a change as a unified diff with line numbers. Long lines go on in the next row.
func (d *Dialog) diff(doc document, w int) []string {
	s := d.o.Styles
	name, before, after := doc.name, string(doc.before), string(doc.after)
	context := 3
	if d.whole {
		context = 1 << 20
	}
	head := s.Strong.Render(name)
	if before == after {
		return []string{head + s.Muted.Render("  is the same as "+doc.against)}
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
	head += s.Muted.Render("  against "+doc.against+"  ") + s.Good.Render(fmt.Sprintf("+%d", added)) + " " + s.Bad.Render(fmt.Sprintf("−%d", removed))
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
