package request

import (
	"fmt"

	"bottle-tui/bottles/dockerfile"
	"bottle-tui/queue"
	"bottle-tui/sidecars/egress"
	"bottle-tui/ui/change"
	"bottle-tui/ui/frame"
)

// summary says in words what would be opened and closed.
func (d *Dialog) summary(w int) []string {
	s := d.o.Styles
	out := []string{s.Strong.Render("What changes")}
	var lines []change.Line
	switch d.req.Tool {
	case queue.ToolEgress:
		lines = change.Hosts(change.Rules(d.req.Current), change.Rules(d.proposed()))
	case queue.ToolCredProxy:
		before, err := change.Routes(d.req.Current)
		after, bad := change.Routes(d.proposed())
		if err == nil {
			err = bad
		}
		if err != nil {
			for i, line := range frame.Wrap("This can't be read as routes: "+frame.Line(err.Error()), w-2) {
				sign := s.Bad.Render("✗ ")
				if i > 0 {
					sign = "  "
				}
				out = append(out, sign+s.Text.Render(line))
			}
			return out
		}
		lines = change.Ways(before, after)
	}
	if len(lines) == 0 {
		return append(out, s.Muted.Render("nothing but the way it is written"))
	}
	for _, l := range lines {
		sign, style := s.AddedSign.Render(l.Sign()), s.Added
		if !l.Added {
			sign, style = s.RemovedSign.Render(l.Sign()), s.Removed
		}
		for _, line := range frame.Wrap(l.Text, w-2) {
			out = append(out, sign+" "+style.Render(line))
			sign = " "
		}
	}
	return out
}

// checkContent looks at the operator's version of a file: what is to be known of it, and why it can't be
// approved, "" when it can. The Supervisor has the last word.
func checkContent(tool string, current, content []byte) (found []dockerfile.Finding, broken string) {
	switch tool {
	case queue.ToolCapability:
		return dockerfile.Check(current, content), ""
	case queue.ToolEgress:
		for i, line := range linesOf(content) {
			if line == "" {
				continue
			}
			if _, err := egress.ParseRule(line); err != nil {
				found = append(found, dockerfile.Finding{Line: i + 1, Severity: dockerfile.Error, Text: err.Error()})
			}
		}
		if len(found) > 0 {
			broken = fmt.Sprintf("line %d is no rule of an allowlist", found[0].Line)
		}
	case queue.ToolCredProxy:
		if _, err := change.Routes(content); err != nil {
			broken = "this can't be read as routes: " + frame.Line(err.Error())
		}
	}
	return found, broken
}
