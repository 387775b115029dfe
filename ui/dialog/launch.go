package dialog

import (
	"os"
	"path/filepath"
	"strings"

	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/themes"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
)

// Launch asks what a new bottle shall be.
type Launch struct {
	still
	styles  *themes.Styles
	home    string
	agents  []string
	agent   int
	fields  [2]*textinput.Model // directory, first message
	focus   int                 // 0 agent, then the fields
	problem string
	checked int // of the check whose outcome is awaited
}

// dirMsg is what looking at the directory gave.
type dirMsg struct {
	check   int
	problem string
	launch  bottles.Launch
}

// NewLaunch makes the form; cwd is the directory that it proposes, home is what ~ stands for.
func NewLaunch(s *themes.Styles, agents []string, cwd, home string) *Launch {
	d := &Launch{styles: s, home: home, agents: agents}
	for i := range d.fields {
		d.fields[i] = field(s)
		d.fields[i].Blur()
	}
	d.fields[0].SetValue(cwd)
	d.fields[0].Placeholder = "none"
	d.fields[1].Placeholder = "none: it waits for you"
	return d
}

func (d *Launch) input() *textinput.Model {
	if d.focus == 0 {
		return nil
	}
	return d.fields[d.focus-1]
}

func (d *Launch) move(n int) tea.Cmd {
	if in := d.input(); in != nil {
		in.Blur()
	}
	d.focus = (d.focus + n + 3) % 3
	if in := d.input(); in != nil {
		return in.Focus()
	}
	return nil
}

// Key takes a key press.
func (d *Launch) Key(k tea.KeyPressMsg) Result {
	b := keys.Find(keys.Dialog, k.String())
	in := d.input()
	if b != nil {
		switch b.Action {
		case keys.Back:
			return Result{Close: true}
		case keys.NextField:
			return Result{Cmd: d.move(1)}
		case keys.PrevField:
			return Result{Cmd: d.move(-1)}
		case keys.Yes:
			if k.String() == "enter" {
				return Result{Cmd: d.check()}
			}
		case keys.Left, keys.Right:
			if in == nil {
				step := 1
				if b.Action == keys.Left {
					step = -1
				}
				d.agent = (d.agent + step + len(d.agents)) % len(d.agents)
				return Result{}
			}
		}
	}
	if in == nil {
		return Result{}
	}
	d.problem = ""
	updated, cmd := in.Update(k)
	*in = updated
	return Result{Cmd: cmd}
}

// check looks at the directory, which may block, and then asks for the launch.
func (d *Launch) check() tea.Cmd {
	d.checked++
	n, dir := d.checked, strings.TrimSpace(d.fields[0].Value())
	if dir == "~" || strings.HasPrefix(dir, "~/") {
		dir = filepath.Join(d.home, dir[1:])
	}
	l := bottles.Launch{Agent: d.agents[d.agent], CWD: dir, Task: strings.TrimSpace(d.fields[1].Value())}
	return func() tea.Msg {
		if l.CWD == "" {
			return dirMsg{n, "", l}
		}
		abs, err := filepath.Abs(l.CWD)
		if err != nil {
			return dirMsg{n, "the directory can't be found: " + err.Error(), l}
		}
		l.CWD = abs
		info, err := os.Stat(abs)
		switch {
		case err != nil:
			return dirMsg{n, "the directory can't be used: " + err.Error(), l}
		case !info.IsDir():
			return dirMsg{n, abs + " is not a directory", l}
		}
		return dirMsg{n, "", l}
	}
}

// Message takes the outcome of the check.
func (d *Launch) Message(msg tea.Msg) Result {
	m, ok := msg.(dirMsg)
	if !ok || m.check != d.checked {
		return Result{}
	}
	if m.problem != "" {
		d.problem = m.problem
		return Result{}
	}
	return Result{Close: true, Act: m.launch, Doing: "starting a bottle of " + frame.Line(m.launch.Agent)}
}

// Paste puts text into the field.
func (d *Launch) Paste(text string) Result {
	if in := d.input(); in != nil {
		clean := strings.Join(strings.Fields(Clean(text)), " ")
		at := in.Position()
		value := []rune(in.Value())
		in.SetValue(string(value[:at]) + clean + string(value[at:]))
		in.SetCursor(at + len([]rune(clean)))
	}
	return Result{}
}

// Refresh keeps up with the catalog.
func (d *Launch) Refresh(s *bottles.Snapshot) Result {
	if len(s.Agents) == 0 {
		return Result{Close: true, Note: "there is no agent to choose from any more"}
	}
	chosen := d.agents[d.agent]
	d.agents, d.agent = s.Agents, 0
	for i, a := range d.agents {
		if a == chosen {
			d.agent = i
		}
	}
	return Result{}
}

// Draw draws it.
func (d *Launch) Draw(w, h int) Drawing {
	s := d.styles
	w = center(w, 76)
	room := w - 20
	row := func(i int, name, value string) string {
		label := s.Muted.Render(frame.Fit(name, 12))
		cursor := "  "
		if d.focus == i {
			label, cursor = s.Strong.Render(frame.Fit(name, 12)), s.Cursor.Render("▌ ")
		}
		return "  " + cursor + label + value
	}
	agent := s.Text.Render(frame.Fit(frame.Line(d.agents[d.agent]), min(room-8, max(frame.Width(frame.Line(d.agents[d.agent])), 12))))
	if len(d.agents) > 1 {
		agent = s.Accent.Render("‹ ") + agent + s.Accent.Render(" ›")
	}
	body := []string{"", row(0, "Agent", agent), ""}
	names := [2]string{"Directory", "First task"}
	var cursor *tea.Cursor
	for i, in := range d.fields {
		in.SetWidth(room)
		if d.focus == i+1 {
			if cursor = in.Cursor(); cursor != nil {
				cursor.X += 17
				cursor.Y += len(body) + 1
			}
		}
		body = append(body, row(i+1, names[i], in.View()), "")
	}
	if d.problem != "" {
		for _, line := range frame.Wrap(frame.Line(d.problem), w-6) {
			body = append(body, "  "+s.Bad.Render(line))
		}
		body = append(body, "")
	}
	yes := *keys.Get(keys.Dialog, keys.Yes)
	yes.Hint = "start"
	box := frame.Box{Title: s.Strong.Render("New bottle"), Border: s.BorderDialog, Heavy: !s.Colour,
		Foot: Hint(s, &yes, false) + "  " + Hint(s, keys.Get(keys.Dialog, keys.NextField), false) + "  " + Hint(s, keys.Get(keys.Dialog, keys.Back), false)}
	if d.focus == 0 && len(d.agents) > 1 {
		box.FootR = Hint(s, keys.Get(keys.Dialog, keys.Left), false)
	}
	return Drawing{Lines: box.Draw(body, w, len(body)+2, true), Cursor: cursor}
}
