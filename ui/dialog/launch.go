package dialog

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/themes"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
)

// LaunchOptions is what a Launch is made from.
type LaunchOptions struct {
	Styles *themes.Styles
	Agents []string
	CWD    string // the directory that it proposes
	Home   string // what ~ stands for
	Now    func() time.Time
	// Preflight makes the plan. It may block until ctx ends, and is run as a command.
	Preflight func(ctx context.Context, a bottles.Action) (*bottles.Preflight, error)
}

// Launch asks what a new bottle shall be, has the plan of it made, and shows that.
type Launch struct {
	o       LaunchOptions
	agent   int
	fields  [2]*textinput.Model // directory, first message
	focus   int                 // 0 agent, then the fields
	problem string
	checked int // of the plan whose outcome is awaited
	since   time.Time
	cancel  context.CancelFunc // of the plan that is being made; nil: none is
	plan    *Plan              // nil: the form is shown

	skipIgnored *bool // what was chosen on a plan; nil: as the profile has it
}

// plannedMsg is a plan that was made, or why not.
type plannedMsg struct {
	check   int
	problem string
	launch  bottles.Launch
	plan    *bottles.Preflight
}

// NewLaunch makes the form.
func NewLaunch(o LaunchOptions) *Launch {
	d := &Launch{o: o}
	for i := range d.fields {
		d.fields[i] = Field(o.Styles)
		d.fields[i].Blur()
	}
	d.fields[0].SetValue(o.CWD)
	d.fields[0].Placeholder = "none: the workspace is empty"
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
	switch {
	case d.plan != nil:
		if b := keys.Find(keys.Plan, k.String()); b != nil && b.Action == keys.SkipIgnored && d.plan.Plan.Copy != nil {
			skip := !d.plan.Plan.Copy.SkipIgnored
			d.plan, d.skipIgnored = nil, &skip
			return Result{Cmd: d.check()}
		}
		r := d.plan.Key(k)
		if r.Close && r.Act == nil { // back to the form
			d.plan, r.Close = nil, false
		}
		return r
	case d.cancel != nil:
		if b := keys.Find(keys.Plan, k.String()); b != nil && b.Action == keys.Back {
			d.stop()
		}
		return Result{}
	}
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
				d.agent = (d.agent + step + len(d.o.Agents)) % len(d.o.Agents)
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

// stop gives up the plan that is being made.
func (d *Launch) stop() {
	d.cancel()
	d.cancel = nil
	d.checked++ // its outcome comes too late
}

// check looks at the directory and has the plan made; both may block.
func (d *Launch) check() tea.Cmd {
	d.checked++
	d.problem, d.since = "", d.o.Now()
	n, dir := d.checked, strings.TrimSpace(d.fields[0].Value())
	if dir == "~" || strings.HasPrefix(dir, "~/") {
		dir = filepath.Join(d.o.Home, dir[1:])
	}
	l := bottles.Launch{Agent: d.o.Agents[d.agent], CWD: dir, CopyCWD: dir != "", Task: strings.TrimSpace(d.fields[1].Value()), SkipIgnored: d.skipIgnored}
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	return func() tea.Msg {
		if l.CWD != "" {
			abs, err := filepath.Abs(l.CWD)
			if err != nil {
				return plannedMsg{check: n, problem: "the directory can't be found: " + err.Error()}
			}
			l.CWD = abs
			info, err := os.Stat(abs)
			switch {
			case err != nil:
				return plannedMsg{check: n, problem: "the directory can't be used: " + err.Error()}
			case !info.IsDir():
				return plannedMsg{check: n, problem: abs + " is not a directory"}
			}
		}
		plan, err := d.o.Preflight(ctx, l)
		if err != nil {
			return plannedMsg{check: n, problem: err.Error()}
		}
		l.Identity, l.Shown = plan.Identity, plan.Shown
		return plannedMsg{n, "", l, plan}
	}
}

// Message takes the plan.
func (d *Launch) Message(msg tea.Msg) Result {
	m, ok := msg.(plannedMsg)
	if !ok || m.check != d.checked || d.cancel == nil {
		return Result{}
	}
	d.cancel()
	d.cancel = nil
	if m.problem != "" {
		d.problem = m.problem
		return Result{}
	}
	d.plan = &Plan{Guard: Guard{Now: d.o.Now}, Styles: d.o.Styles, Plan: m.plan, Act: m.launch, Doing: "starting " + frame.Line(m.launch.Identity)}
	return Result{}
}

// Next is how long until the form looks otherwise by itself; 0 when it will not.
func (d *Launch) Next() time.Duration {
	switch {
	case d.plan != nil:
		return d.plan.Next()
	case d.cancel == nil:
		return 0
	}
	if since := d.o.Now().Sub(d.since); since < slow {
		return slow - since
	}
	return turnTime
}

// What takes longer than slow shows that it goes on, with a sign that turns every turnTime.
const (
	slow     = 500 * time.Millisecond
	turnTime = 120 * time.Millisecond
)

var turning = []string{"◐", "◓", "◑", "◒"}

// Wheel scrolls the plan.
func (d *Launch) Wheel(n int) {
	if d.plan != nil {
		d.plan.Wheel(n)
	}
}

// Paste puts text into the field.
func (d *Launch) Paste(text string) Result {
	if in := d.input(); in != nil && d.plan == nil && d.cancel == nil {
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
		if d.cancel != nil {
			d.stop()
		}
		return Result{Close: true, Note: "there is no agent to choose from any more"}
	}
	chosen := d.o.Agents[d.agent]
	d.o.Agents, d.agent = s.Agents, 0
	for i, a := range d.o.Agents {
		if a == chosen {
			d.agent = i
		}
	}
	return Result{}
}

// Draw draws it.
func (d *Launch) Draw(w, h int) Drawing {
	if d.plan != nil {
		return d.plan.Draw(w, h)
	}
	s := d.o.Styles
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
	agent := s.Text.Render(frame.Fit(frame.Line(d.o.Agents[d.agent]), min(room-8, max(frame.Width(frame.Line(d.o.Agents[d.agent])), 12))))
	if len(d.o.Agents) > 1 {
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
	since := d.o.Now().Sub(d.since)
	switch {
	case d.problem != "":
		for _, line := range sane(frame.Wrap(frame.Text(d.problem), w-6), max(h-len(body)-3, 1)) {
			body = append(body, "  "+s.Bad.Render(line))
		}
		body = append(body, "")
	case d.cancel != nil && since >= slow:
		turn := turning[int(since/turnTime)%len(turning)]
		body = append(body, "  "+s.Busy.Render(turn)+s.Muted.Render(" looking at the directory, the credentials and the engine …"), "")
		cursor = nil
	}
	yes := *keys.Get(keys.Dialog, keys.Yes)
	yes.Hint = "show the plan"
	if d.cancel != nil {
		back := *keys.Get(keys.Plan, keys.Back)
		back.Hint = "stop"
		return Drawing{Lines: frame.Box{Title: s.Strong.Render("New bottle"), Border: s.BorderDialog, Heavy: !s.Colour,
			Foot: Hint(s, &back, false)}.Draw(body, w, len(body)+2, true)}
	}
	box := frame.Box{Title: s.Strong.Render("New bottle"), Border: s.BorderDialog, Heavy: !s.Colour,
		Foot: Hint(s, &yes, false) + "  " + Hint(s, keys.Get(keys.Dialog, keys.NextField), false) + "  " + Hint(s, keys.Get(keys.Dialog, keys.Back), false)}
	if d.focus == 0 && len(d.o.Agents) > 1 {
		box.FootR = Hint(s, keys.Get(keys.Dialog, keys.Left), false)
	}
	return Drawing{Lines: box.Draw(body, w, len(body)+2, true), Cursor: cursor}
}
