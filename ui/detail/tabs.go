package detail

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"bottle-tui/bottles"
	"bottle-tui/bottles/dockerfile"
	"bottle-tui/ui/ago"
	"bottle-tui/ui/change"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/list"
)

// instead is what stands where the terminal would be.
func (p *Pane) instead(v View, w int) []string {
	b := p.bottle
	if v.Notice != "" {
		return p.words("! The engine does not answer.\n\n"+v.Notice, w)
	}
	var text string
	since := ""
	if !b.EndedAt.IsZero() {
		since = " " + ago.Long(v.Now.Sub(b.EndedAt))
	}
	switch b.Status {
	case bottles.Down:
		text = "This bottle went down" + since + "."
		if b.EndReason != "" {
			text += "\nIt ended: " + inert(b.EndReason)
		}
		text += "\n\nIts conversation, its workspace and its image are kept.\n`r` resumes it where it was, `D` deletes it for good."
	case bottles.Orphan:
		text = "These belong to no bottle that is known here:\n"
		for _, o := range b.Objects {
			text += "\n  " + inert(o)
		}
		text += "\n\n`c` shows what would be removed, and removes it."
	case bottles.Failed:
		text = "! This bottle failed" + since + "."
		if b.Detail != "" {
			text += "\n" + inert(b.Detail)
		}
		if op := p.last; op != nil && op.Err != "" {
			text += "\n\n" + inert(op.Err)
		}
		text += "\n\n`r` tries again, `x` tears down what is left of it, `D` deletes it. Its state is kept until then."
	default:
		lines := p.words(string(b.Status)+" …", w)
		if p.last != nil {
			lines = append([]string{""}, indent(p.head(p.last, w-4))...)
			lines = append(lines, "")
			lines = append(lines, indent(p.tailOf(p.last.Log, w-4, 8, 0))...)
		}
		return lines
	}
	return p.words(text, w)
}

func indent(lines []string) []string {
	for i := range lines {
		lines[i] = "  " + lines[i]
	}
	return lines
}

// inert makes a text of unknown origin safe within words: no control characters, no keys.
func inert(s string) string { return strings.ReplaceAll(frame.Text(s), "`", "'") }

// head says what an operation is and how far.
func (p *Pane) head(op *bottles.Operation, w int) []string {
	s := p.Styles
	if op.Err != "" {
		lines := []string{s.Bad.Render("✗ " + frame.Line(op.Kind) + " failed")}
		for _, line := range frame.Wrap(frame.Text(op.Err), w-2) {
			lines = append(lines, "  "+s.Text.Render(line))
		}
		return lines
	}
	left := s.Busy.Render(list.Progress(op)) + "  " + s.Text.Render(frame.Line(op.Step))
	if bar := list.Bar(s, op, min(20, w/4)); bar != "" && p.bottle.Operation != nil {
		return []string{frame.Ends(left, "  "+bar, w)}
	}
	if p.bottle.Operation == nil {
		return []string{s.Good.Render("✓ ") + s.Muted.Render(frame.Line(op.Kind)+" is done")}
	}
	return []string{left}
}

func (p *Pane) requests(v View, w, h int) []string {
	s := p.Styles
	if len(p.bottle.Requests) == 0 {
		return p.words("No request is open.\n\nWhen the agent asks for something, the bell rings, the list shows ⚑ and `a` opens it.", w)
	}
	var lines []string
	markEnd := 0
	for i := range p.bottle.Requests {
		r := &p.bottle.Requests[i]
		cursor := " "
		name := s.Text
		if i == p.mark {
			cursor = s.Cursor.Render("▌")
			name = s.Selected
		}
		sign, state, done := s.Waiting.Render("⚑"), s.Waiting.Render("waits for you"), "applied"
		if r.Tool == bottles.ToolPush {
			done = "answered"
		}
		switch r.State {
		case bottles.Applying:
			sign, state = s.Busy.Render("◐"), s.Busy.Render("is being "+done)
		case bottles.Unapplied:
			sign, state = s.Bad.Render("✗"), s.Bad.Render("could not be "+done)
		}
		lines = append(lines, "", frame.Ends(cursor+sign+" "+name.Render(change.Subject(r.Tool))+s.Muted.Render("  "+ago.Long(v.Now.Sub(r.ArrivedAt))+"  ")+state,
			Tally(s.Bad, s.Danger, s.Muted, r.Findings)+" ", w))
		words := frame.Wrap(frame.Text(r.Justification), max(w-6, 8))
		if len(words) > 3 && i != p.mark {
			words = append(words[:2:2], "…")
		}
		for _, line := range words {
			lines = append(lines, cursor+"  "+s.Muted.Render("▏ "+line))
		}
		if r.Err != "" {
			for _, line := range frame.Wrap(frame.Text(r.Err), max(w-4, 8)) {
				lines = append(lines, cursor+"  "+s.Bad.Render(line))
			}
		}
		if i == p.mark {
			lines = append(lines, cursor+"  "+s.Key.Render("enter")+s.Muted.Render(" reviews it"))
			markEnd = len(lines)
		}
	}
	if markEnd > h {
		lines = lines[markEnd-h:]
	}
	return lines
}

// Tally counts findings by their severity.
func Tally(bad, danger, other lipgloss.Style, found []dockerfile.Finding) string {
	var parts []string
	for _, c := range []struct {
		severity dockerfile.Severity
		one      string
		style    lipgloss.Style
	}{
		{dockerfile.Error, "error", bad}, {dockerfile.Danger, "danger", danger},
		{dockerfile.Warning, "warning", other}, {dockerfile.Note, "note", other},
	} {
		n := 0
		for _, f := range found {
			if f.Severity == c.severity {
				n++
			}
		}
		if n == 0 {
			continue
		}
		word := c.one
		if n > 1 {
			word += "s"
		}
		parts = append(parts, c.style.Render(fmt.Sprintf("%d %s", n, word)))
	}
	return strings.Join(parts, other.Render(", "))
}

// log is the log of the last operation, following its end.
func (p *Pane) log(w, h int) (lines []string, foot string) {
	s := p.Styles
	if p.last == nil {
		return p.words("Nothing has been done to this bottle since bottle-tui started.\n\nThe log of a build shows here, while it runs and after.", w), ""
	}
	lines = append([]string{""}, p.head(p.last, w-4)...)
	if limit := h * 2 / 3; len(lines) > limit && limit > 0 {
		lines = append(lines[:limit-1], s.Key.Render("!")+s.Muted.Render(" shows the rest"))
	}
	lines = append(indent(lines), "")
	room := h - len(lines)
	p.most = max(len(p.last.Log)-1, 0)
	if len(p.last.Log) == 0 {
		return append(lines, s.Muted.Render("  no build log")), ""
	}
	if p.scroll > 0 {
		foot = s.Waiting.Render(fmt.Sprintf("%d lines back", p.scroll)) + s.Muted.Render(" · ") + s.Key.Render("end") + s.Muted.Render(" follows")
	}
	return append(lines, indent(p.tailOf(p.last.Log, w-4, room, p.scroll))...), foot
}

var sgr = regexp.MustCompile(`\x1b\[[0-9;:]*m`)

// tailOf draws the h rows of a log that end back lines before its end. Only what is shown is touched.
func (p *Pane) tailOf(log []string, w, h, back int) []string {
	if w < 4 || h < 1 {
		return nil
	}
	var blocks [][]string
	rows := 0
	for i := len(log) - 1 - back; i >= 0 && rows < h; i-- {
		block := frame.Chop(logLine(log[i]), w)
		blocks = append(blocks, block)
		rows += len(block)
	}
	var lines []string
	for i := len(blocks) - 1; i >= 0; i-- {
		for _, line := range blocks[i] {
			lines = append(lines, p.Styles.Muted.Render(line))
		}
	}
	return lines[max(len(lines)-h, 0):]
}

// logLine is a build's line as a terminal would leave it: colours dropped, and of what was written
// over and over only the last.
func logLine(s string) string {
	s = sgr.ReplaceAllString(strings.TrimRight(s, "\r\n"), "")
	if i := strings.LastIndexByte(s, '\r'); i >= 0 {
		s = s[i+1:]
	}
	if len(s) > 4096 {
		s = s[:4096] + " …"
	}
	return frame.Line(s)
}

func (p *Pane) info(v View, w int) []string {
	s, b := p.Styles, p.bottle
	lines := []string{""}
	add := func(name, value string) {
		if value == "" {
			return
		}
		for i, line := range frame.Chop(frame.Line(value), max(w-18, 8)) {
			if i > 0 {
				name = ""
			}
			lines = append(lines, "  "+s.Muted.Render(frame.Fit(name, 14))+s.Text.Render(line))
		}
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Local().Format("2006-01-02 15:04:05") + "  (" + ago.Long(v.Now.Sub(t)) + ")"
	}
	add("identity", b.Identity)
	add("agent", b.Agent)
	add("status", strings.TrimSpace(string(b.Status)+"  "+b.Detail))
	add("directory", list.Tilde(b.CWD, p.Home))
	add("started", at(b.StartedAt))
	add("ended", at(b.EndedAt))
	add("why", b.EndReason)
	lines = append(lines, "")
	add("image", b.Image)
	add("digest", b.ImageDigest)
	if b.Rebuilt {
		add("Dockerfile", "its own, from a request that was approved")
	}
	add("session", b.SessionID)
	if u := b.Usage; !u.At.IsZero() {
		add("disk", u.String()+"  ("+ago.Long(v.Now.Sub(u.At))+")")
	}
	if len(b.Objects) > 0 {
		lines = append(lines, "")
		for _, o := range b.Objects {
			add("object", o)
		}
	}
	return lines
}
