package dialog

import (
	"strings"

	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/themes"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
)

// Confirm asks before something is done. With Word set, that word has to be typed, which no accident does.
type Confirm struct {
	still
	Guard
	Styles *themes.Styles
	Title  string
	Text   string   // what will happen; ours
	List   []string // exactly what is concerned; of any origin
	Plain  []string // likewise, each with a sign of its own
	Word   string
	Danger bool
	Verb   string // what the key that confirms does; "": yes
	Act    bottles.Action
	Doing  string
	// Gone says, of a new snapshot, why there is nothing left to ask; "" while there is.
	Gone func(s *bottles.Snapshot) string

	input        *textinput.Model
	wrong        string
	ended        bool // the end of the list was drawn
	offset, most int
}

func (d *Confirm) field() *textinput.Model {
	if d.input == nil {
		d.input = Field(d.Styles)
	}
	return d.input
}

// Field is a text field in our styles, with the terminal's own cursor.
func Field(s *themes.Styles) *textinput.Model {
	in := textinput.New()
	in.Prompt = ""
	in.CharLimit = 4096
	in.SetVirtualCursor(false)
	st := in.Styles()
	st.Focused.Text, st.Blurred.Text = s.Text, s.Text
	st.Focused.Placeholder, st.Blurred.Placeholder = s.Faint, s.Faint
	st.Cursor.Color = nil
	in.SetStyles(st)
	in.Focus()
	return &in
}

// Key takes a key press.
func (d *Confirm) Key(k tea.KeyPressMsg) Result {
	b := keys.Find(keys.Dialog, k.String())
	why := d.why()
	d.Press()
	switch {
	case b != nil && b.Action == keys.Back:
		return Result{Close: true}
	case d.Word == "" && b != nil && b.Action == keys.Yes && why != "":
		d.wrong = "not taken: " + why
	case d.Word == "" && b != nil && b.Action == keys.Yes:
		return Result{Close: true, Act: d.Act, Doing: d.Doing}
	case k.String() == "up" || k.String() == "pgup":
		d.Wheel(-1)
	case k.String() == "down" || k.String() == "pgdown":
		d.Wheel(1)
	case d.Word == "":
		if k.String() == "n" || k.String() == "q" {
			return Result{Close: true}
		}
	case k.String() == "enter":
		if strings.TrimSpace(d.field().Value()) != d.Word {
			d.wrong = "that is not " + d.Word
			return Result{}
		}
		return Result{Close: true, Act: d.Act, Doing: d.Doing}
	default:
		d.wrong = ""
		in, cmd := d.field().Update(k)
		*d.input = in
		return Result{Cmd: cmd}
	}
	return Result{}
}

// why says why it is not confirmed by a key yet; "" when it is.
func (d *Confirm) why() string {
	switch {
	case !d.ended:
		return "read the list to its end first"
	case !d.Armed():
		return Waiting
	}
	return ""
}

// Paste puts text into the field.
func (d *Confirm) Paste(text string) Result {
	if d.Word != "" {
		in := d.field()
		in.SetValue(in.Value() + strings.TrimSpace(Clean(text)))
		in.CursorEnd()
	}
	return Result{}
}

// Wheel scrolls the list.
func (d *Confirm) Wheel(n int) { d.offset = max(min(d.offset+n, d.most), 0) }

// Refresh closes it when there is nothing left to ask.
func (d *Confirm) Refresh(s *bottles.Snapshot) Result {
	if d.Gone != nil {
		if why := d.Gone(s); why != "" {
			return Result{Close: true, Note: why}
		}
	}
	return Result{}
}

// Draw draws it.
func (d *Confirm) Draw(w, h int) Drawing {
	s := d.Styles
	d.Drawn()
	w = center(w, 76)
	room := w - 6
	body := []string{""}
	for _, line := range frame.Wrap(d.Text, room) {
		body = append(body, "  "+s.Text.Render(line))
	}
	var list []string
	for _, item := range d.List {
		for i, line := range frame.Chop(frame.Line(item), room-2) {
			sign := s.Danger.Render("− ")
			if i > 0 {
				sign = "  "
			}
			list = append(list, "  "+sign+s.Text.Render(line))
		}
	}
	for _, item := range d.Plain {
		for _, line := range frame.Wrap(frame.Line(item), room-2) {
			list = append(list, "    "+s.Text.Render(line))
		}
	}
	box := frame.Box{Title: s.Strong.Render(d.Title), Border: s.BorderDialog, Heavy: !s.Colour}
	if d.Danger {
		box.Border = s.BorderAlert
	}
	if len(list) > 0 {
		fit := max(h-len(body)-8, 1)
		d.most = max(len(list)-fit, 0)
		d.offset = min(d.offset, d.most)
		if d.most > 0 {
			box.FootR = s.Muted.Render("↑ ↓ scroll the list")
		}
		body = append(append(body, ""), sane(list[d.offset:], fit)...)
	}
	d.ended = d.ended || d.offset == d.most
	yes := *keys.Get(keys.Dialog, keys.Yes)
	if d.Verb != "" {
		yes.Hint = d.Verb
	}
	var cursor *tea.Cursor
	if d.Word != "" {
		in := d.field()
		in.SetWidth(room - 2)
		body = append(body, "", "  "+s.Muted.Render("Type ")+s.Strong.Render(frame.Line(d.Word))+s.Muted.Render(" to go on:"),
			"  "+s.Accent.Render("❯ ")+in.View())
		if cursor = in.Cursor(); cursor != nil {
			cursor.X += 5
			cursor.Y += len(body)
		}
		if d.wrong != "" {
			body = append(body, "  "+s.Bad.Render(frame.Line(d.wrong)))
		}
	}
	off, note := d.Word != "" && strings.TrimSpace(d.field().Value()) != d.Word, ""
	switch {
	case d.Word != "":
	case d.why() == "":
		d.wrong = ""
	case d.wrong != "":
		off, note = true, s.Waiting.Render(d.wrong)
	default:
		off, note = true, s.Muted.Render(yes.Shown()+" is off: "+d.why())
	}
	box.Foot = Hint(s, &yes, off) + "  " + Hint(s, keys.Get(keys.Dialog, keys.Back), false)
	if d.Word == "" {
		body = append(body, "", "  "+note) // the line is there with or without a note, so that nothing moves
	} else {
		body = append(body, "")
	}
	return Drawing{Lines: box.Draw(body, w, len(body)+2, true), Cursor: cursor}
}
