package ui

import (
	"strings"

	"bottle-tui/ui/ago"
	"bottle-tui/ui/dialog"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
	"bottle-tui/ui/list"
)

type listView = list.View

// hello is what a newcomer reads.
func (m *model) hello() string {
	if m.snap == nil {
		return "Reading the bottles …"
	}
	if m.list.Filtered() != "" {
		return "No bottle matches the filter.\n\n`esc` shows all of them."
	}
	text := "A bottle is one agent at work in a sandbox of its own: it reaches nothing but what you allow, and asks you for the rest.\n\n"
	if len(m.snap.Agents) > 0 {
		text += "`n` starts one: choose an agent, a directory, and what to do first.\n\n"
	} else {
		text += "There is no agent to choose from yet: declare one in\n\n    `~/claude-bottle.json`\n\n"
		if len(m.snap.Problems) > 0 {
			text += "`!` shows what could not be read.\n\n"
		}
	}
	return text + "To see it at work without a key, a manifest or a network, leave with `q` and run\n\n    `" + m.o.Name + " demo`\n\n" +
		"`?` lists every key."
}

// engineDown is the engine's trouble, whole.
func (m *model) engineDown() string {
	return strings.ReplaceAll(frame.Text(m.snap.Engine.Err), "`", "'") +
		"\n\nThe bottles are not touched, and what is on disk is listed. bottle-tui tries again by itself every few seconds."
}

// help is the table of keys.
func (m *model) help() dialog.Dialog {
	s := m.styles
	st := m.state()
	return &dialog.Text{Styles: s, Title: "Keys", Wide: 92, Lines: func(w int) []string {
		var out []string
		for _, place := range keys.Places {
			if out != nil {
				out = append(out, "")
			}
			out = append(out, s.Strong.Render(string(place)))
			for i := range keys.Table {
				b := &keys.Table[i]
				if b.Place != place {
					continue
				}
				key, text := s.Key, s.Text
				why := b.Why(st)
				if why != "" {
					key, text = s.KeyOff, s.Muted
				}
				label := key.Render(b.Shown())
				label += frame.Blank(13 - frame.Width(label))
				for _, line := range frame.Wrap(strings.ReplaceAll(b.Help, "`", ""), w-15) {
					out = append(out, "  "+label+text.Render(line))
					label = frame.Blank(13)
				}
				if why != "" {
					for _, line := range frame.Wrap("not now: "+frame.Line(why), w-15) {
						out = append(out, "  "+label+s.Waiting.Render(line))
					}
				}
			}
		}
		return append(out, "", s.Muted.Render("bottle-tui "+m.o.Version))
	}}
}

// messages is every failure, and every file that can't be read, in full.
func (m *model) messages() dialog.Dialog {
	s := m.styles
	failures := m.notes.failures()
	problems := m.snap.Problems
	now := m.o.now()
	return &dialog.Text{Styles: s, Title: "Messages", Wide: 100, Lines: func(w int) []string {
		var out []string
		para := func(text string) {
			for _, line := range frame.Wrap(frame.Text(strings.TrimSpace(text)), w-2) {
				out = append(out, "  "+s.Text.Render(line))
			}
			out = append(out, "")
		}
		for _, x := range failures {
			head := s.Bad.Render("✗ ") + s.Muted.Render(ago.Long(now.Sub(x.at)))
			if x.about != "" {
				head = s.Bad.Render("✗ ") + s.Strong.Render(frame.Line(x.about)) + s.Muted.Render("  "+ago.Long(now.Sub(x.at)))
			}
			out = append(out, head)
			para(x.text)
		}
		if len(problems) > 0 {
			out = append(out, s.Danger.Render("▲ ")+s.Strong.Render("Files that can't be read")+s.Muted.Render("  they are left alone"))
			for _, p := range problems {
				for _, line := range frame.Chop(frame.Line(p.Path), w-2) {
					out = append(out, "  "+s.Accent.Render(line))
				}
				para(p.Err)
			}
		}
		return out[:max(len(out)-1, 0)]
	}}
}
