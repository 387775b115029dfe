package request

import (
	"fmt"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"bottle-tui/bottles/dockerfile"
	"bottle-tui/ui/change"
	"bottle-tui/ui/frame"
)

// bodyCache keeps the lines for a width.
type bodyCache struct {
	w     int
	at    time.Time // the minute that it was set in: a scope's end is told by the clock
	lines []string
}

func (c *bodyCache) forget() { c.lines = nil }

// body is all there is to read, set for w cells.
func (d *Dialog) body(w int) []string {
	at := time.Time{}
	if change.Scoped(d.req.Tool) {
		at = d.o.Now().Truncate(time.Minute)
	}
	if d.lines.lines == nil || d.lines.w != w || !d.lines.at.Equal(at) || d.manifest.pending() {
		d.lines = bodyCache{w, at, d.compose(w)}
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
	switch {
	case d.push():
		out = append(out, d.pushHead(w)...)
	case d.mode == preview:
		say(s.Strong, "Your version, as it would be put in force:")
	default:
		out = append(out, s.Strong.Render("Why")+s.Muted.Render("  in the agent's words"))
		words := frame.Text(strings.TrimSpace(d.req.Justification))
		if words == "" {
			words = "(it gave no reason)"
		}
		for _, line := range frame.Wrap(words, w-2) {
			out = append(out, s.Waiting.Render("▎")+" "+s.Text.Render(line))
		}
	}
	if words := d.draftWords(); words != "" && d.mode != preview {
		out = append(out, "", s.Waiting.Render("✎ ")+s.Text.Render(words))
	}
	if d.refused != "" {
		out = append(out, "", s.Bad.Render("✗ Your answer was not taken"))
		for _, line := range frame.Wrap(d.refused, w-2) {
			out = append(out, "  "+s.Text.Render(line))
		}
	}
	if d.req.Err != "" {
		what := "✗ It was approved and could not be applied"
		if d.push() {
			what = "✗ Your last answer may not have got to git-gate"
		}
		out = append(out, "", s.Bad.Render(what))
		for _, line := range frame.Wrap(frame.Text(d.req.Err), w-2) {
			out = append(out, "  "+s.Text.Render(line))
		}
	}
	if d.req.Stale {
		out = append(out, "")
		say(s.Danger, "▲ Out of date: what is in force is not what the agent saw when it asked.")
	}
	if change.Scoped(d.req.Tool) {
		out = append(append(out, ""), d.summary(w)...)
	}
	if found := d.found(); len(found) > 0 {
		out = append(out, "", s.Strong.Render("Look at"))
		out = append(out, d.findingLines(found, w)...)
	}
	if d.push() {
		out = append(append(out, ""), d.pushed(w)...)
	} else {
		out = append(append(out, ""), d.diff(document{fileName(d.req.Tool), "the one in force", d.req.Current, d.proposed()}, w)...)
	}
	if d.req.Effect != "" || change.Scoped(d.req.Tool) {
		out = append(out, "", s.Strong.Render("Approving"))
		if d.req.Effect != "" {
			say(s.Text, frame.Text(d.req.Effect))
		}
	}
	if change.Scoped(d.req.Tool) {
		out = append(out, d.scopeLines(w)...)
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
