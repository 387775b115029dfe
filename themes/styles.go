package themes

import "charm.land/lipgloss/v2"

// Styles is all that the screen draws with. Only Build makes one.
type Styles struct {
	Colour bool // false: nothing here has a colour, and signs, bold and reverse carry the meaning

	Text, Muted, Faint lipgloss.Style
	Strong             lipgloss.Style // a name, a heading
	Accent             lipgloss.Style // where the keyboard is
	Typing             lipgloss.Style // the keyboard goes to an agent
	Waiting            lipgloss.Style // waits for the operator
	Good, Busy, Bad    lipgloss.Style
	Danger             lipgloss.Style

	Key      lipgloss.Style // a key in a hint
	KeyHelp  lipgloss.Style // what it does
	KeyOff   lipgloss.Style // a key that can't be used now
	Brand    lipgloss.Style
	Alert    lipgloss.Style // the count of what waits, in the header
	TabOn    lipgloss.Style
	TabOff   lipgloss.Style
	Cursor   lipgloss.Style // the mark before the selected row
	Selected lipgloss.Style // the selected row's name

	Added, Removed         lipgloss.Style
	AddedSign, RemovedSign lipgloss.Style
	Context, Hunk          lipgloss.Style

	Border       lipgloss.Style // of a pane without the keyboard
	BorderFocus  lipgloss.Style
	BorderTyping lipgloss.Style
	BorderDialog lipgloss.Style
	BorderAlert  lipgloss.Style // of a dialog that destroys something
}

// Build makes the styles of a palette; without colour they still tell things apart.
func Build(p Palette, colour bool) *Styles {
	plain := lipgloss.NewStyle()
	paint := func(c string) lipgloss.Style {
		if !colour {
			return plain
		}
		return plain.Foreground(lipgloss.Color(c))
	}
	on := func(fg, bg string) lipgloss.Style {
		if !colour {
			return plain
		}
		return paint(fg).Background(lipgloss.Color(bg))
	}
	s := &Styles{
		Colour:  colour,
		Text:    paint(p.Text),
		Muted:   paint(p.Muted),
		Faint:   paint(p.Faint),
		Strong:  paint(p.Text).Bold(true),
		Accent:  paint(p.Accent),
		Typing:  paint(p.Typing).Bold(true),
		Waiting: paint(p.Waiting).Bold(true),
		Good:    paint(p.Good),
		Busy:    paint(p.Busy),
		Bad:     paint(p.Bad).Bold(true),
		Danger:  paint(p.Danger).Bold(true),

		Key:      paint(p.Accent).Bold(true),
		KeyHelp:  paint(p.Muted),
		KeyOff:   paint(p.Faint),
		Brand:    paint(p.Accent).Bold(true),
		Alert:    paint(p.Waiting).Bold(true),
		TabOn:    paint(p.Accent).Bold(true).Underline(true),
		TabOff:   paint(p.Muted),
		Cursor:   paint(p.Accent).Bold(true),
		Selected: paint(p.Text).Bold(true),

		Added:       on(p.Added, p.AddedBG),
		Removed:     on(p.Removed, p.RemovedBG),
		AddedSign:   on(p.Good, p.AddedBG).Bold(true),
		RemovedSign: on(p.Bad, p.RemovedBG).Bold(true),
		Context:     paint(p.Muted),
		Hunk:        paint(p.Accent),

		Border:       paint(p.Faint),
		BorderFocus:  paint(p.Accent),
		BorderTyping: paint(p.Typing),
		BorderDialog: paint(p.Accent),
		BorderAlert:  paint(p.Bad),
	}
	if !colour {
		s.Faint = plain.Faint(true)
		s.Muted = plain
		s.KeyOff = plain.Faint(true).Strikethrough(true)
		s.Alert = plain.Bold(true).Reverse(true)
		s.Selected = plain.Bold(true).Reverse(true)
		s.TabOn = plain.Bold(true).Reverse(true)
		s.Danger = plain.Bold(true).Underline(true)
		s.Added = plain.Bold(true)
		s.AddedSign = plain.Bold(true)
		s.Removed = plain.Faint(true)
		s.RemovedSign = plain.Faint(true)
		s.BorderTyping = plain.Bold(true)
		s.BorderFocus = plain.Bold(true)
	}
	return s
}
