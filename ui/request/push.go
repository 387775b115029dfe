package request

import (
	"fmt"
	"strings"

	"charm.land/lipgloss/v2"

	"bottle-tui/sidecars"
	"bottle-tui/ui/frame"
)

// pushHead says where a push goes, what it does there, and how far it was looked at.
func (d *Dialog) pushHead(w int) []string {
	s, p := d.o.Styles, d.req.Push
	out := hung(s.Strong, "", "To the remote "+frame.Line(d.req.Remote), w)
	if p == nil {
		return append(out, hung(s.Text, s.Danger.Render("▲ "), "git-gate did not say what it would do. Deny it, and let the agent push again.", w)...)
	}
	for _, r := range p.Refs {
		out = append(append(out, d.refLines(r, w)...), d.comparedLines(r, w)...)
	}
	if p.MoreRefs > 0 {
		out = append(out, hung(s.Text, s.Danger.Render("▲ "), "and "+counted(p.MoreRefs, "more ref")+", of which nothing is shown here", w)...)
	}
	if n := len(p.Options) + p.MoreOptions; n > 0 {
		text := counted(n, "push option") + ", whose meaning is the remote's own: " + frame.Line(strings.Join(p.Options, ", "))
		if p.MoreOptions > 0 {
			text += fmt.Sprintf(" and %d more, not shown", p.MoreOptions)
		}
		out = append(out, hung(s.Text, s.Danger.Render("▲ "), text, w)...)
	}
	if p.Bytes > 0 {
		out = append(out, hung(s.Text, s.Good.Render("✓ "), "git-gate scanned all of it for secrets, and its rules found none.", w)...)
	} else {
		out = append(out, hung(s.Text, s.Muted.Render("· "), "No file and no commit is sent, so there was nothing to scan for secrets.", w)...)
	}
	return append(out, d.leftOut(w)...)
}

// refLines says what becomes of one ref.
func (d *Dialog) refLines(r sidecars.PushRef, w int) []string {
	s := d.o.Styles
	name := refName(r.Ref)
	switch {
	case absent(r.New):
		return hung(s.Danger, s.Danger.Render("▲ "), "deletes "+name+", which is at "+short(r.Old), w)
	case r.Rewrites:
		return hung(s.Danger, s.Danger.Render("▲ "), "rewrites "+name+" from "+short(r.Old)+" to "+short(r.New)+", which does not build on it: what nothing else leads to is lost", w)
	case absent(r.Old):
		return hung(s.Text, s.AddedSign.Render("+ "), "makes "+name+" at "+short(r.New), w)
	}
	return hung(s.Text, s.Waiting.Render("~ "), "changes "+name+" from "+short(r.Old)+" to "+short(r.New), w)
}

// comparedLines say what the files of a ref are compared with, where that is not what it was before.
func (d *Dialog) comparedLines(r sidecars.PushRef, w int) []string {
	s := d.o.Styles
	switch {
	case absent(r.New):
		return nil
	case r.Unseen:
		return hung(s.Text, s.Danger.Render("▲ "), "What it changes there could not be read from the remote: of it only the files that are in this push are shown, compared with nothing.", w)
	case r.BaseRef != "":
		return hung(s.Text, s.Danger.Render("▲ "), "It builds on commits that are on no branch of the remote, where somebody else may have put them. Its files are compared with those of "+refName(r.BaseRef)+", at "+short(r.Base)+".", w)
	case !absent(r.Old):
		return nil
	case r.Base == "":
		return hung(s.Muted, "  ", "It builds on nothing that the remote has: all its files are new there.", w)
	}
	return hung(s.Muted, "  ", "Its files are compared with those of "+short(r.Base)+", from which it goes on.", w)
}

// refName is a ref in words.
func refName(ref string) string {
	if name, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
		return "the branch " + frame.Line(name)
	}
	if name, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
		return "the tag " + frame.Line(name)
	}
	return frame.Line(ref)
}

// absent says that an object name stands for none: it is of zeros.
func absent(object string) bool { return strings.Trim(object, "0") == "" }

// short is the beginning of an object name, as long as git usually has it.
func short(object string) string { return frame.Line(object[:min(len(object), 7)]) }

// leftOut says what is not shown of the push.
func (d *Dialog) leftOut(w int) []string {
	s, p := d.o.Styles, d.req.Push
	var parts []string
	if p.MoreRefs > 0 {
		parts = append(parts, counted(p.MoreRefs, "ref"))
	}
	if p.MoreCommits > 0 {
		parts = append(parts, counted(p.MoreCommits, "older commit"))
	}
	if p.CommitsCut {
		parts = append(parts, "commits that the remote may have on none of its branches")
	}
	if p.MoreFiles > 0 {
		parts = append(parts, counted(p.MoreFiles, "file"))
	}
	if p.DiffCut {
		parts = append(parts, "a part of the diff")
	}
	if len(parts) == 0 {
		return nil
	}
	text := parts[len(parts)-1]
	if len(parts) > 1 {
		text = strings.Join(parts[:len(parts)-1], ", ") + " and " + text
	}
	return hung(s.Text, s.Danger.Render("▲ "), "Left out here: "+text+". If what is shown does not tell enough, deny it and ask for smaller pushes.", w)
}

// pushed lists the commits and files of a push, and its diff.
func (d *Dialog) pushed(w int) []string {
	s, p := d.o.Styles, d.req.Push
	if p == nil {
		return []string{s.Faint.Render("── end of the change")}
	}
	out := append(d.commitLines(p, w), "")
	if len(p.Files)+p.MoreFiles > 0 {
		out = append(append(out, d.fileLines(p, w)...), "")
	}
	files := patches(p.Diff)
	for _, f := range files {
		out = append(append(out, d.patchLines(f, w)...), "")
	}
	switch {
	case p.DiffCut && len(files) > 0:
		out[len(out)-1] = s.Danger.Render("▲ ") + s.Text.Render("The diff goes on, and the rest of it is not shown.")
	case p.DiffCut:
		out = append(out, hung(s.Text, s.Danger.Render("▲ "), "There is a diff, and it is not shown: it is too long, or git-gate has not got it.", w)...)
	case len(files) > 0:
		out = out[:len(out)-1]
	case len(p.Files) > 0:
		out = append(out, s.Muted.Render("no lines to show"))
	default:
		out = append(out, s.Muted.Render("no file changes by it"))
	}
	return append(out, s.Faint.Render("── end of the change"))
}

// commitLines are the commits. When one author made them all, the heading names it.
func (d *Dialog) commitLines(p *sidecars.Push, w int) []string {
	s := d.o.Styles
	size := s.Muted.Render(bytesOf(p.Bytes))
	n := len(p.Commits) + p.MoreCommits
	if n == 0 {
		none := "No new commit"
		if p.CommitsCut {
			none = "No commit of its own"
		}
		return []string{frame.Ends(s.Strong.Render(none), size, w)}
	}
	head, author, alike := s.Strong.Render(counted(n, "commit")), "", p.MoreCommits == 0
	if n > 1 && len(p.Commits) > 0 {
		head += s.Muted.Render("  the newest first")
	}
	wide := 0
	for i, c := range p.Commits {
		if i == 0 {
			author = c.Author
		}
		alike = alike && c.Author == author
		wide = max(wide, frame.Width(frame.Line(c.Author)))
	}
	if alike && author != "" {
		head += s.Muted.Render("  by ") + s.Text.Render(frame.Middle(frame.Line(author), w/2, w/6))
		wide = -2
	}
	wide = min(wide, max(w/4, 8))
	out, strays := []string{frame.Ends(head, "  "+size, w)}, false
	for _, c := range p.Commits {
		lead := "  " + s.Waiting.Render(frame.Fit(short(c.Hash), 7)) + "  "
		if wide > 0 {
			lead += s.Muted.Render(frame.Fit(frame.Middle(frame.Line(c.Author), wide, wide/3), wide)) + "  "
		}
		subject := frame.Line(c.Subject)
		style := s.Text
		if strings.TrimSpace(subject) == "" {
			subject, style = "(no subject)", s.Muted
		}
		if c.Stray {
			strays, lead = true, s.Danger.Render("▲")+strings.TrimPrefix(lead, " ")
		}
		out = append(out, hung(style, lead, subject, w)...)
	}
	if strays {
		out = append(out, hung(s.Text, s.Danger.Render("▲ "), "not in this push: the remote has it, on none of its branches so far", w)...)
	}
	if p.MoreCommits > 0 {
		out = append(out, s.Danger.Render("▲ ")+s.Text.Render("and "+counted(p.MoreCommits, "older one")+", not listed"))
	}
	return out
}

// fileLines are the files, each with what becomes of it and the lines that it gains and loses.
func (d *Dialog) fileLines(p *sidecars.Push, w int) []string {
	s := d.o.Styles
	added, removed, gains, losses, counts := 0, 0, 0, 0, 0
	without := map[string]bool{} // what stands in the place of counts
	for _, f := range p.Files {
		if word := countless(f); word != "" {
			without[word], counts = true, max(counts, len(word))
			continue
		}
		added, removed = added+f.Added, removed+f.Removed
		gains, losses = max(gains, frame.Width(some("+", f.Added))), max(losses, frame.Width(some("−", f.Removed)))
	}
	between := min(gains, losses, 1)
	counts = max(counts, gains+between+losses)
	head := s.Strong.Render(counted(len(p.Files)+p.MoreFiles, "file")) + "  " + s.Good.Render(fmt.Sprintf("+%d", added)) + " " + s.Bad.Render(fmt.Sprintf("−%d", removed))
	if p.MoreFiles > 0 {
		head += s.Muted.Render("  in those that are listed")
	}
	out := []string{head}
	for _, f := range p.Files {
		style := s.Waiting
		switch f.Change {
		case "added":
			style = s.AddedSign
		case "removed":
			style = s.RemovedSign
		}
		count := s.Muted.Render(frame.FitLeft(countless(f), counts))
		if countless(f) == "" {
			count = s.Good.Render(frame.FitLeft(some("+", f.Added), counts-losses-between)) + frame.Blank(between) + s.Bad.Render(frame.FitLeft(some("−", f.Removed), losses))
		}
		lead := "  " + style.Render(frame.Fit(frame.Line(f.Change), 7)) + "  " + count + "  "
		for _, part := range frame.Chop(frame.Line(f.Path), max(w-frame.Width(lead), 8)) {
			out = append(out, lead+s.Text.Render(part))
			lead = frame.Blank(frame.Width(lead))
		}
		if about := aboutFile(f); about != "" {
			last := &out[len(out)-1]
			if frame.Width(*last)+2+frame.Width(about) <= w {
				*last += "  " + s.Muted.Render(about)
			} else {
				out = append(out, hung(s.Muted, lead, about, w)...)
			}
		}
	}
	if without[noDiff] {
		out = append(out, hung(s.Muted, "  ", noDiff+": it is no text, or too large to compare", w)...)
	}
	if without[noLine] {
		out = append(out, hung(s.Muted, "  ", noLine+": its mode alone changes", w)...)
	}
	if p.MoreFiles > 0 {
		out = append(out, s.Danger.Render("▲ ")+s.Text.Render("and "+counted(p.MoreFiles, "more file")+", not listed"))
	}
	return out
}

// What stands in the place of a file's counts.
const (
	noDiff = "no diff"
	noLine = "no line"
	empty  = "empty"
)

// aboutFile says on which ref a file changes, where that is not clear, and what it is when it is no ordinary file.
func aboutFile(f sidecars.PushFile) string {
	var parts []string
	if f.Ref != "" {
		parts = append(parts, "on "+refName(f.Ref))
	}
	words := map[string]string{"executable": "executable", "link": "a link", "submodule": "a submodule"}
	was, is := words[f.Was], words[f.Is]
	switch {
	case f.Change == "removed" && was != "":
		parts = append(parts, "it was "+was)
	case was == is || f.Change == "removed":
		if is != "" {
			parts = append(parts, is)
		}
	case is == "":
		parts = append(parts, "no more "+was)
	case f.Change == "added":
		parts = append(parts, is)
	default:
		parts = append(parts, "becomes "+is)
	}
	return strings.Join(parts, ", ")
}

// countless is what stands in the place of a file's counts; "" when it has some.
func countless(f sidecars.PushFile) string {
	switch {
	case f.Added < 0 || f.Removed < 0:
		return noDiff
	case f.Added+f.Removed > 0:
		return ""
	case f.Change == "changed":
		return noLine
	}
	return empty
}

// some is a number with its sign; "" for none.
func some(sign string, n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(sign, n)
}

// counted is a number of things, whose plural has an s.
func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// bytesOf is how much a push sends, in words.
func bytesOf(n int64) string {
	switch {
	case n <= 0:
		return "nothing is sent"
	case n < 1<<10:
		return counted(int(n), "byte") + " to send"
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB to send", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB to send", float64(n)/(1<<20))
}

// hung sets a text between words for w cells behind a lead, which stands before its first line alone.
func hung(style lipgloss.Style, lead, text string, w int) []string {
	in := frame.Width(lead)
	var out []string
	for _, line := range frame.Wrap(text, max(w-in, 8)) {
		out = append(out, lead+style.Render(line))
		lead = frame.Blank(in)
	}
	return out
}
