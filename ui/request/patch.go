package request

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"bottle-tui/ui/frame"
)

// patch is what a unified diff says of one file.
type patch struct {
	from, to string // as the diff names them: "a/PATH" and "b/PATH", or /dev/null
	hunks    []*hunk
	odd      []string // lines behind its head that can't be read as part of a diff
}

// hunk is a run of lines of a patch.
type hunk struct {
	from, to      int // numbers of its first line, before and after
	before, after int // lines that are still to come of each
	lines         []udiff.Line
	odd           []string // lines behind it that can't be read as part of a diff
}

var hunkHead = regexp.MustCompile(`^@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@`)

// patches reads the unified diffs of several files, one behind the other. The lines of a hunk are taken by their
// number, and a diff may be cut off anywhere between two lines: within a hunk only the three lines that begin a
// file's diff end it early, the third of which no line of a file can look like. So nothing that is in a file passes
// for another file's head. What can't be read as a diff is kept as it is.
func patches(text string) []*patch {
	if text == "" {
		return nil
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	var all []*patch
	var h *hunk
	begins := func(i int) bool {
		if i+1 >= len(lines) || !names(lines[i], "--- ") || !names(lines[i+1], "+++ ") {
			return false
		}
		return i+2 < len(lines) && hunkHead.MatchString(lines[i+2]) || i+2 == len(lines) && (h == nil || h.before+h.after == 0)
	}
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if begins(i) {
			all, h = append(all, &patch{from: line[4:], to: lines[i+1][4:]}), nil
			i++
			continue
		}
		if len(all) == 0 {
			all = append(all, &patch{})
		}
		p := all[len(all)-1]
		if m := hunkHead.FindStringSubmatch(line); m != nil && p.to != "" {
			h = &hunk{from: number(m[1], 0), before: number(m[2], 1), to: number(m[3], 0), after: number(m[4], 1)}
			p.hunks = append(p.hunks, h)
			continue
		}
		switch {
		case h == nil:
			p.odd = append(p.odd, line)
		case !h.take(line):
			h.odd = append(h.odd, line)
		}
	}
	return all
}

// names says that a line names a file, behind the sign of its side.
func names(line, sign string) bool { return len(line) > len(sign) && strings.HasPrefix(line, sign) }

// number reads the digits that a pattern found; without any it is missing.
func number(digits string, missing int) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return missing
	}
	return n
}

// take adds a line of a diff to the hunk that it belongs to; false when it can't belong to it.
func (h *hunk) take(line string) bool {
	sign, rest := "", ""
	if line != "" {
		sign, rest = line[:1], line[1:]+"\n"
	}
	switch {
	case sign == " " && h.before > 0 && h.after > 0:
		h.before--
		h.after--
		h.lines = append(h.lines, udiff.Line{Kind: udiff.Equal, Content: rest})
	case sign == "-" && h.before > 0:
		h.before--
		h.lines = append(h.lines, udiff.Line{Kind: udiff.Delete, Content: rest})
	case sign == "+" && h.after > 0:
		h.after--
		h.lines = append(h.lines, udiff.Line{Kind: udiff.Insert, Content: rest})
	case sign == `\` && len(h.lines) > 0 && strings.HasSuffix(h.lines[len(h.lines)-1].Content, "\n"):
		last := &h.lines[len(h.lines)-1]
		last.Content = strings.TrimSuffix(last.Content, "\n")
	default:
		return false
	}
	return true
}

// nothing is how a diff names a file that is not there.
const nothing = "/dev/null"

// name is the file's path, and what becomes of the file.
func (p *patch) name() (path, becomes string) {
	switch {
	case p.from == nothing:
		return strings.TrimPrefix(p.to, "b/"), "added"
	case p.to == nothing:
		return strings.TrimPrefix(p.from, "a/"), "removed"
	}
	return strings.TrimPrefix(p.to, "b/"), "changed"
}

// patchLines draws the diff of one file, with the numbers of its lines.
func (d *Dialog) patchLines(p *patch, w int) []string {
	s := d.o.Styles
	var out []string
	if path, becomes := p.name(); path != "" {
		mark := " "
		for i, part := range frame.Chop(frame.Line(path), max(w-9, 8)) {
			if i > 0 {
				mark = ""
			}
			out = append(out, s.Strong.Render(part)+s.Muted.Render(mark+" "+becomes))
			becomes = ""
		}
	}
	oddly := func(odd []string) {
		for _, line := range odd {
			for _, part := range frame.Chop(frame.Text(line), w) {
				out = append(out, s.Context.Render(part))
			}
		}
	}
	oddly(p.odd)
	highest := 0
	for _, h := range p.hunks {
		highest = max(highest, h.from+len(h.lines), h.to+len(h.lines))
	}
	digits, next := max(len(strconv.Itoa(highest)), 2), 1
	for i, h := range p.hunks {
		if p.from != nothing && p.to != nothing && h.from > next {
			out = append(out, s.Faint.Render(frame.Fit(fmt.Sprintf("%s ⋯ %s", frame.Blank(2*digits), lines(h.from-next)), w)))
		} else if i > 0 {
			out = append(out, s.Faint.Render(frame.Blank(2*digits)+" ⋯"))
		}
		from, to := h.from, h.to
		for _, line := range h.lines {
			out = append(out, d.diffLine(line, &from, &to, digits, w)...)
		}
		next = from
		oddly(h.odd)
	}
	return out
}
