package ui

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/ui/ago"
	"bottle-tui/ui/change"
	"bottle-tui/ui/detail"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
	"bottle-tui/ui/statusbar"
)

// The least window that the panes fit into, and the width from which they stand side by side.
const (
	leastCols, leastRows = 40, 10
	sideBySide           = 100
)

// rect is a part of the window.
type rect struct{ x, y, w, h int }

func (r rect) inside(x, y int) bool { return x >= r.x && x < r.x+r.w && y >= r.y && y < r.y+r.h }

// layout is where the panes are.
type layout struct{ body, list, detail rect }

func (m *model) layout() layout {
	body := rect{0, 1, m.w, max(m.h-1-statusbar.Height(m.w), 2)}
	l := layout{body: body, detail: body}
	switch {
	case m.zoomed:
	case m.w >= sideBySide:
		w := max(min(m.w*32/100, 48), 34)
		l.list = rect{0, 1, w, body.h}
		l.detail = rect{w, 1, m.w - w, body.h}
	default:
		n := 0
		if m.snap != nil {
			n = len(m.snap.Bottles)
			if len(m.snap.Problems) > 0 {
				n++
			}
		}
		h := min(max(n, 3)+2, max(body.h/3, 5))
		l.list = rect{0, 1, m.w, h}
		l.detail = rect{0, 1 + h, m.w, body.h - h}
	}
	return l
}

func (m *model) terminalSize() (cols, rows int) {
	d := m.layout().detail
	return detail.Inner(d.w, d.h)
}

// compositor joins the panes' lines, and does nothing while they are the same.
type compositor struct {
	header, footer frame.Cache[string]
	parts          [4]*string
	w, h           int
	lines          []string
	content        string
}

// View draws the screen.
func (m *model) View() tea.View {
	v := tea.View{AltScreen: true, MouseMode: tea.MouseModeCellMotion, WindowTitle: "bottle-tui"}
	counts := statusbar.Count(m.snap)
	if counts.Waiting > 0 {
		v.WindowTitle = fmt.Sprintf("⚑ %d bottle-tui", counts.Waiting)
	}
	if m.w == 0 {
		return v
	}
	if m.w < leastCols || m.h < leastRows {
		v.Content = strings.Join(frame.Block(frame.Wrap(fmt.Sprintf("bottle-tui needs %d×%d cells; this window has %d×%d.", leastCols, leastRows, m.w, m.h), max(m.w, 1)), m.w, m.h), "\n")
		return v
	}
	l := m.layout()
	header := m.header(counts)
	footer := m.footer()
	var left, right []string
	if m.wall != nil {
		right = m.wall.lines(m, l.body)
	} else {
		if l.list.w > 0 {
			left = m.list.Lines(m.listView(l))
		}
		dv := m.detailView(l)
		right = m.detail.Lines(dv, m.terminal())
		v.Cursor = m.cursor(l, dv)
	}
	c := &m.frames
	parts := [4]*string{first(header), first(left), first(right), first(footer)}
	if c.parts != parts || c.w != m.w || c.h != m.h {
		c.parts, c.w, c.h = parts, m.w, m.h
		c.lines = append(c.lines[:0:0], header...)
		if len(left) > 0 && l.detail.y == l.list.y {
			for i := range left {
				c.lines = append(c.lines, left[i]+right[i])
			}
		} else {
			c.lines = append(append(c.lines, left...), right...)
		}
		c.lines = append(c.lines, footer...)
		c.content = strings.Join(c.lines, "\n")
	}
	v.Content = c.content
	if m.dialog != nil {
		h := l.body.h
		if h > 28 {
			h -= 2 // what is behind it stays recognisable
		}
		d := m.dialog.Draw(l.body.w, h)
		x := max((m.w-frame.Width(d.Lines[0]))/2, 0)
		y := l.body.y + max((l.body.h-len(d.Lines))/2, 0)
		v.Content = strings.Join(frame.Splice(c.lines, d.Lines, x, y), "\n")
		v.Cursor = d.Cursor
		if v.Cursor != nil {
			v.Cursor.X += x
			v.Cursor.Y += y
		}
	}
	return v
}

func first(lines []string) *string {
	if len(lines) == 0 {
		return nil
	}
	return &lines[0]
}

// cursor is the agent's cursor while it is typed to.
func (m *model) cursor(l layout, v detail.View) *tea.Cursor {
	b := m.list.Selected()
	if !m.typing || b == nil || !m.detail.ShowsTerminal(v) || m.detail.Scrolled() > 0 {
		return nil
	}
	s := m.screen(b.Identity)
	x, y, visible := s.Cursor()
	cols, rows := m.terminalSize()
	if !visible || x < 0 || y < 0 || x >= cols || y >= rows {
		return nil
	}
	return tea.NewCursor(l.detail.x+1+x, l.detail.y+1+y)
}

// terminal is the selected bottle's, if it has one to show.
func (m *model) terminal() detail.Terminal {
	if b := m.list.Selected(); b != nil && keys.Typable(b) {
		return m.screen(b.Identity)
	}
	return nil
}

func (m *model) header(c statusbar.Counts) []string {
	engine := ""
	if m.unreachable() {
		engine = "✗ no engine"
	}
	return m.frames.header.Lines(fmt.Sprint(c, engine, m.w), func() []string {
		return []string{statusbar.Header(m.styles, c, engine, m.w)}
	})
}

// unreachable says that the engine was asked and did not answer.
func (m *model) unreachable() bool {
	return m.snap != nil && !m.snap.Engine.Reachable && m.snap.Engine.Err != ""
}

// footer says the most urgent thing, and which keys there are.
func (m *model) footer() []string {
	hints := m.hints()
	var key strings.Builder
	fmt.Fprint(&key, m.w, "\x00", m.message(m.w))
	for _, b := range hints {
		key.WriteString("\x00" + string(b.Action))
	}
	return m.frames.footer.Lines(key.String(), func() []string {
		return statusbar.Footer(m.styles, m.message, hints, m.w)
	})
}

// message is what the footer says, in at most room cells.
func (m *model) message(room int) string {
	s := m.styles
	if x := m.notes.current(); x != nil && (x.bad || !m.newer(x)) {
		if x.bad {
			const more = " shows all of it"
			return s.Bad.Render("✗ "+frame.Middle(x.short(), room-len(more)-5, 0)) + "  " + s.Key.Render("!") + s.KeyHelp.Render(more)
		}
		return s.Text.Render(frame.Middle(x.short(), room, 0))
	}
	if b, r := m.oldest(); r != nil {
		who := "⚑ " + frame.Middle(frame.Line(b.Identity), 30, 6)
		asks := " asks for " + change.Subject(r.Tool)
		age := " · " + ago.Long(m.o.now().Sub(r.ArrivedAt))
		room -= frame.Width(who) + frame.Width(asks) + frame.Width(age)
		words := ""
		if text := frame.Line(clip(strings.Join(strings.Fields(r.Justification), " "))); room > 14 && text != "" {
			words = ": “" + frame.Middle(text, room-4, 0) + "”"
		}
		return s.Waiting.Render(who) + s.Text.Render(asks) + s.Muted.Render(words+age)
	}
	if m.unreachable() {
		return s.Bad.Render("✗ the engine does not answer") + s.Muted.Render("; bottle-tui goes on trying")
	}
	return ""
}

// newer says that a request waits which came after a note was made, or which matters more: that a bottle lives
// is seen in the list.
func (m *model) newer(x *note) bool {
	if m.snap == nil {
		return false
	}
	for _, b := range m.snap.Bottles {
		for _, r := range b.Requests {
			if r.State != bottles.Applying && (x.kind == "launch" || r.ArrivedAt.After(x.at)) {
				return true
			}
		}
	}
	return false
}

// clip bounds a text of which only the beginning can be shown.
func clip(s string) string {
	const most = 400
	if len(s) > most {
		return s[:most]
	}
	return s
}

// hints are the keys that are of use now, the most useful first.
func (m *model) hints() []*keys.Binding {
	if m.typing {
		out := []*keys.Binding{keys.Get(keys.Terminal, keys.Leave)}
		return out
	}
	if m.filter || m.dialog != nil {
		return nil
	}
	if x := m.notes.current(); x != nil && x.bad {
		if m.state().Waiting > 0 {
			return []*keys.Binding{keys.Get(keys.Screen, keys.Review)}
		}
		return []*keys.Binding{keys.Get(keys.Screen, keys.Help)} // the failure needs the room
	}
	st := m.state()
	var out []*keys.Binding
	if b := keys.Get(keys.Screen, keys.Open); m.showsEgress() && m.detail.Refused() != nil && b.Why(st) == "" {
		out = append(out, b)
	}
	for _, a := range []keys.Action{keys.Review, keys.Cancel, keys.Type, keys.Resume, keys.New, keys.TearDown, keys.Revoke, keys.Cleanup, keys.Delete, keys.Messages, keys.Wall, keys.Zoom, keys.Filter, keys.Quit} {
		b := keys.Get(keys.Screen, a)
		if b.Why(st) == "" {
			out = append(out, b)
		}
	}
	return out
}

func (m *model) listView(l layout) (v listView) {
	v.W, v.H = l.list.w, l.list.h
	v.Focus = m.focus == onList && !m.typing && m.dialog == nil
	v.Filtering = m.filter
	v.Spin = 0
	if m.working() {
		v.Spin = m.spin
	}
	v.Now = m.o.now()
	return v
}

func (m *model) detailView(l layout) detail.View {
	v := detail.View{W: l.detail.w, H: l.detail.h, Focus: m.focus == onDetail && m.dialog == nil, Typing: m.typing, Hello: m.hello(), Now: m.o.now()}
	if m.unreachable() {
		v.Notice = m.engineDown()
	}
	return v
}
