package list

import (
	"fmt"
	"strconv"
	"strings"

	"charm.land/lipgloss/v2"

	"bottle-tui/bottles"
	"bottle-tui/themes"
	"bottle-tui/ui/ago"
	"bottle-tui/ui/frame"
)

// Spinner is what turns while something is being done.
var Spinner = []string{"◐", "◓", "◑", "◒"}

// Sign is a bottle's status in one cell; without colour the signs still differ.
func Sign(s *themes.Styles, b *bottles.Bottle, spin int) string {
	switch {
	case busy(b):
		return s.Busy.Render(Spinner[spin%len(Spinner)])
	case b.Waiting() > 0 && b.Status == bottles.Live:
		return s.Waiting.Render("●")
	}
	switch b.Status {
	case bottles.Live:
		return s.Good.Render("●")
	case bottles.Down:
		return s.Muted.Render("○")
	case bottles.Failed:
		return s.Bad.Render("✗")
	case bottles.Orphan:
		return s.Danger.Render("✗")
	}
	return s.Busy.Render("◐")
}

// word is what is said beside the name of a bottle that does not simply run.
func word(s *themes.Styles, b *bottles.Bottle) (string, lipgloss.Style) {
	detail := frame.Line(b.Detail)
	if busy(b) {
		if detail == "" || detail == frame.Line(b.Operation.Step) {
			detail = Progress(b.Operation) // the step has a place of its own
		}
		return detail, s.Busy
	}
	switch b.Status {
	case bottles.Live:
		if detail != "" {
			return "▲", s.Danger // the second line, or the middle, says it
		}
		return "", s.Muted
	case bottles.Failed:
		return "failed", s.Bad
	case bottles.Orphan:
		return "orphan", s.Danger
	case bottles.Down:
		return "down", s.Muted
	}
	if detail == "" {
		detail = string(b.Status)
	}
	return detail, s.Busy
}

// Progress is an operation in a few words: "rebuild 3/7".
func Progress(op *bottles.Operation) string {
	if op.Total > 0 {
		return fmt.Sprintf("%s %d/%d", frame.Line(op.Kind), op.N, op.Total)
	}
	return frame.Line(op.Kind)
}

// Bar is an operation's progress as w cells, "" when it is not known.
func Bar(s *themes.Styles, op *bottles.Operation, w int) string {
	if op.Total <= 0 || w < 3 {
		return ""
	}
	done := max(min(w*op.N/op.Total, w), 0)
	return s.Busy.Render(strings.Repeat("━", done)) + s.Faint.Render(strings.Repeat("─", w-done))
}

const tail = 6 // of an identity: the dash and what is random, which tell two launches apart

// bottle draws one bottle: one line, or two.
func (p *Pane) bottle(v View, b *bottles.Bottle, selected bool, w int) []string {
	s := p.Styles
	cursor := " "
	name := s.Text
	if selected {
		cursor, name = s.Cursor.Render("▌"), s.Selected
	}
	if b.Status == bottles.Down && !selected {
		name = s.Muted
	}
	age := ""
	since := b.StartedAt
	if b.Status != bottles.Live && !b.EndedAt.IsZero() {
		since = b.EndedAt
	}
	if !since.IsZero() {
		age = ago.Short(v.Now.Sub(since))
	}
	mark := ""
	if n := b.Waiting(); n > 0 {
		mark = "⚑" + strconv.Itoa(n)
	}
	text, style := word(s, b)
	two := p.height(b, selected, w) == 2
	left := countdown(b, v.Now)
	doing, doingStyle := Doing(s, b, p.activity[b.Identity])
	// What stands at the right: word, mark, age. The word gives way to the name.
	right, rightW := s.Muted.Render(frame.FitLeft(age, 4)), 4
	if mark != "" || w >= wide {
		right, rightW = s.Waiting.Render(frame.FitLeft(mark, 3))+" "+right, 8
	}
	identity := frame.Line(b.Identity)
	room := w - 3 - 1 - rightW - 1 // cursor, sign and a blank; a blank before the right; one at the end
	nameW, middle := room, ""
	if w >= wide {
		const wordW, leftW = 12, 6
		nameW = max(room/3, 18)
		if text == "" {
			text, style = doing, doingStyle
		}
		end := " " + style.Render(frame.FitLeft(text, wordW))
		if len(p.ends) > 0 {
			end = " " + s.Accent.Render(frame.FitLeft(left, leftW)) + end
		}
		placeW := room - nameW - frame.Width(end) - 1
		middle = " " + s.Muted.Render(frame.Fit(frame.Middle(p.place(b), placeW, 20), placeW)) + end
	} else if text == "" && !two {
		// Beside the name stands what there is room for; what the mark says already is left out.
		if mark != "" {
			doing = ""
		}
		for _, part := range []struct {
			text  string
			style lipgloss.Style
		}{{doing, doingStyle}, {left, s.Accent}} {
			if part.text != "" && frame.Width(identity)+frame.Width(middle)+frame.Width(part.text)+1 <= room {
				middle = " " + part.style.Render(part.text) + middle
			}
		}
		nameW = room - frame.Width(middle)
	} else if text != "" {
		textW := min(frame.Width(text), max(room-frame.Width(identity)-1, room/3))
		nameW = room - textW - 1
		middle = " " + style.Render(frame.Fit(text, textW))
	}
	line := cursor + Sign(s, b, v.Spin) + " " + styled(name, frame.Middle(identity, nameW, tail), nameW) + middle + " " + right + " "
	if !two {
		return []string{line}
	}
	end := ""
	if left != "" {
		end = " " + s.Accent.Render(left)
	}
	if doing != "" && text == "" {
		end += " " + doingStyle.Render(doing)
	}
	return []string{line, cursor + "  " + p.second(b, w-4, end) + " "}
}

// styled paints the text alone, not the blanks behind it.
func styled(st lipgloss.Style, text string, w int) string {
	return st.Render(text) + frame.Blank(w-frame.Width(text))
}

// second is a bottle's second line: what is being done, or why it ended, or where it works, and end, which
// it makes room for.
func (p *Pane) second(b *bottles.Bottle, w int, end string) string {
	s := p.Styles
	switch {
	case busy(b) && b.Operation.Step != "":
		// The words matter more than the bar: "copy 1,200 of 5,000 files".
		step := frame.Line(b.Operation.Step)
		bar := Bar(s, b.Operation, min(10, w/3, w-frame.Width(step)-1))
		if bar != "" {
			bar = " " + bar
		}
		return frame.Ends(s.Busy.Render(step), bar, w)
	case b.Operation != nil && b.Operation.Err != "":
		return s.Bad.Render(frame.Fit(firstLine(b.Operation.Err), w-frame.Width(end))) + end
	}
	full := w
	w -= frame.Width(end)
	detail := frame.Line(b.Detail)
	switch {
	case detail != "" && b.Status == bottles.Failed:
		return s.Bad.Render(frame.Fit(detail, full))
	case detail != "" && b.Status == bottles.Live:
		return s.Danger.Render(frame.Fit(detail, w)) + end
	}
	if b.Status == bottles.Down && detail == "" {
		detail = frame.Line(b.EndReason)
	}
	if b.Status == bottles.Orphan {
		return s.Muted.Render(frame.Fit(plural(len(b.Objects), "object")+" of no bottle", full))
	}
	detail = frame.Middle(detail, w/2, 0)
	room := w - frame.Width(detail) - 1
	if detail == "" {
		room = w
	}
	return frame.Ends(s.Muted.Render(frame.Middle(p.place(b), room, room*2/3)), s.Muted.Render(detail)+end, full)
}

// place is where a bottle works, or what it is at when it is at something.
func (p *Pane) place(b *bottles.Bottle) string {
	switch {
	case busy(b) && b.Operation.Step != "":
		return frame.Line(b.Operation.Step)
	case b.Operation != nil && b.Operation.Err != "":
		return firstLine(b.Operation.Err)
	case b.Status == bottles.Orphan:
		return plural(len(b.Objects), "object") + " of no bottle"
	case b.Detail != "" && (b.Status == bottles.Failed || b.Status == bottles.Live):
		return frame.Line(b.Detail)
	case b.CWD == "":
		return "no host directory"
	}
	return frame.Line(Tilde(b.CWD, p.Home))
}

// Tilde writes a path under home with ~.
func Tilde(path, home string) string {
	if home != "" && home != "/" {
		if path == home {
			return "~"
		}
		if rest, ok := strings.CutPrefix(path, home+"/"); ok {
			return "~/" + rest
		}
	}
	return path
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return frame.Line(line)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return itoa(n) + " " + what + "s"
}

func itoa(n int) string { return strconv.Itoa(n) }

func span(first, last, of int) string { return fmt.Sprintf("%d–%d of %d", first, last, of) }
