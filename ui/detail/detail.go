// Package detail is the pane beside the list: the selected bottle's terminal, its requests, its ways out
// with what was granted and refused, the log of what is being done to it, and what is known of it.
package detail

import (
	"fmt"
	"strings"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/themes"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
	"bottle-tui/ui/list"
)

// Terminal is what is drawn of an agent's terminal.
type Terminal interface {
	Version() uint64
	Size() (cols, rows int)
	Rows(scroll int) []string // as many as rows, each cols cells wide
	ScrollbackLen() int
	Title() string
}

// Tab is one of the pane's views.
type Tab int

// The tabs, from left to right.
const (
	TerminalTab Tab = iota
	RequestsTab
	EgressTab
	LogTab
	InfoTab
	tabs
)

func (t Tab) String() string { return [...]string{"Terminal", "Requests", "Egress", "Log", "Info"}[t] }

// Pane is the detail of one bottle.
type Pane struct {
	Styles *themes.Styles
	Home   string
	Tab    Tab

	Command func(args string) string // writes a command of this program that is suggested

	bottle   *bottles.Bottle
	identity string
	last     *bottles.Operation // in flight, or the last that was
	version  uint64
	scroll   int    // lines back from the end, in the terminal and the log; lines down elsewhere
	most     int    // of scroll, as of the last drawing
	mark     int    // request that is marked
	item     int    // what is marked on the Egress tab: grants, then what was refused
	spans    []span // the lines of each of these, as of the last drawing
	show     bool   // the next drawing shows what is marked
	held     refusals
	seen     map[string]time.Time // until when what was refused to a bottle was looked at
	cache    frame.Cache[key]
}

// View is what the drawing depends on besides the bottle and its terminal.
type View struct {
	W, H   int
	Focus  bool
	Typing bool
	Notice string // shown instead of the terminal: the engine does not answer
	Hello  string // shown when there is no bottle
	Spin   int
	Now    time.Time
}

type key struct {
	view     View
	version  uint64
	terminal uint64
	cols     int
	rows     int
	tab      Tab
	identity string
	scroll   int
	mark     int
	item     int
	unseen   int
	show     bool
	labels   time.Duration
}

// Show takes in the selected bottle as it is now, nil for none, and the operation whose log to show.
func (p *Pane) Show(b *bottles.Bottle, last *bottles.Operation) {
	identity := ""
	if b != nil {
		identity = b.Identity
	}
	if p.version > 0 && b == p.bottle && last == p.last {
		return // snapshots never change
	}
	grant, refused := p.Grant(), p.Refused()
	if identity != p.identity {
		p.scroll, p.mark, p.item, p.held, grant, refused = 0, 0, 0, refusals{}, nil, nil
	}
	p.bottle, p.identity, p.last = b, identity, last
	if b != nil {
		p.mark = max(min(p.mark, len(b.Requests)-1), 0)
		p.keepMark(grant, refused)
	}
	p.version++
}

// Inner is the size in cells that a terminal has in a pane of w×h.
func Inner(w, h int) (cols, rows int) { return max(w-2, 1), max(h-2, 1) }

// SetTab shows a tab.
func (p *Pane) SetTab(t Tab) {
	if t = (t + tabs) % tabs; t != p.Tab {
		p.Tab, p.scroll = t, 0
	}
}

// Scroll moves n lines up (n > 0 is towards the beginning), or the mark among the requests.
func (p *Pane) Scroll(n int) {
	switch p.Tab {
	case RequestsTab:
		if p.bottle != nil {
			p.mark = max(min(p.mark-n, len(p.bottle.Requests)-1), 0)
		}
	case EgressTab:
		p.walk(-n)
	case InfoTab:
		p.scroll = max(min(p.scroll-n, p.most), 0)
	default:
		p.scroll = max(min(p.scroll+n, p.most), 0)
	}
}

// Begin scrolls to the first line.
func (p *Pane) Begin() { p.Scroll(1 << 20) }

// End scrolls to the last line and follows what comes.
func (p *Pane) End() { p.Scroll(-(1 << 20)) }

// Scrolled is how many lines the terminal is scrolled back.
func (p *Pane) Scrolled() int {
	if p.Tab == TerminalTab {
		return p.scroll
	}
	return 0
}

// Request is the marked request of the Requests tab, "" when there is none.
func (p *Pane) Request() string {
	if p.bottle == nil || p.mark >= len(p.bottle.Requests) {
		return ""
	}
	return p.bottle.Requests[p.mark].ID
}

// ShowsTerminal says that the terminal itself is drawn: the tab is in front and nothing replaces it.
func (p *Pane) ShowsTerminal(v View) bool {
	return p.Tab == TerminalTab && p.bottle != nil && v.Notice == "" && keys.Typable(p.bottle)
}

// Lines draws the pane: v.H lines of v.W cells. t may be nil.
func (p *Pane) Lines(v View, t Terminal) []string {
	if p.Tab == EgressTab {
		p.look()
	}
	k := key{view: v, version: p.version, tab: p.Tab, identity: p.identity, mark: p.mark, item: p.item, unseen: p.unseen(), show: p.show}
	k.view.Now = v.Now.Truncate(10 * time.Second)
	if p.Tab == EgressTab {
		k.labels = p.labels(v.Now)
	}
	if t != nil && p.ShowsTerminal(v) {
		p.most = t.ScrollbackLen()
		p.scroll = min(p.scroll, p.most)
		k.terminal = t.Version()
		k.cols, k.rows = t.Size()
		k.view.Now, k.view.Spin = time.Time{}, 0 // nothing of it ages
	}
	k.scroll = p.scroll
	return p.cache.Lines(k, func() []string { return p.draw(v, t) })
}

func (p *Pane) draw(v View, t Terminal) []string {
	s := p.Styles
	box := frame.Box{Border: s.Border}
	switch {
	case v.Typing:
		box.Border, box.Heavy = s.BorderTyping, !s.Colour
	case v.Focus:
		box.Border, box.Heavy = s.BorderFocus, !s.Colour
	}
	if p.bottle == nil {
		box.Title = s.Muted.Render("Welcome")
		text := v.Hello
		if v.Notice != "" {
			box.Title, text = s.Bad.Render("The engine does not answer"), v.Notice
		}
		return box.Draw(p.words(text, v.W-2), v.W, v.H, true)
	}
	box.Title = p.title(box, v)
	w, h := Inner(v.W, v.H)
	if p.ShowsTerminal(v) && t != nil {
		rows := t.Rows(p.scroll)
		cols, n := t.Size()
		box.Foot, box.FootR = p.terminalFoot(v, t)
		return box.Draw(rows, v.W, v.H, cols != w || n != h || len(rows) != h)
	}
	var lines []string
	switch p.Tab {
	case TerminalTab:
		lines = p.instead(v, w)
	case RequestsTab:
		lines = p.requests(v, w, h)
	case EgressTab:
		lines = p.egress(v, w)
	case LogTab:
		lines, box.FootR = p.log(w, h)
	case InfoTab:
		lines = p.info(v, w)
	}
	if p.Tab == TerminalTab || p.Tab == InfoTab || p.Tab == EgressTab {
		p.most = max(len(lines)-h, 0)
		if p.show && p.Tab == EgressTab {
			p.reveal(h)
		}
		p.show = false
		from := min(p.scroll, p.most)
		lines = lines[from:]
		if p.Tab == EgressTab && p.most > 0 {
			box.FootR = p.Styles.Muted.Render(fmt.Sprintf("%d–%d of %d", from+1, from+min(h, len(lines)), from+len(lines)))
		}
	}
	return box.Draw(lines, v.W, v.H, true)
}

// title is the bottle's name and the tabs, as much of them as there is room for.
func (p *Pane) title(box frame.Box, v View) string {
	s := p.Styles
	var parts []string
	width := 0
	for t := range tabs {
		label := t.String()
		style := s.TabOff
		if t == p.Tab {
			style = s.TabOn
		}
		text := style.Render(label)
		if n := p.bottle.Waiting(); t == RequestsTab && n > 0 {
			text += " " + s.Waiting.Render(fmt.Sprintf("⚑%d", n))
		}
		if n := len(p.bottle.Grants); t == EgressTab && n > 0 {
			text += " " + s.Accent.Render(fmt.Sprintf("+%d", n))
		}
		if n := p.unseen(); t == EgressTab && n > 0 {
			text += " " + s.Muted.Render(fmt.Sprintf("⊘%d", n))
		}
		if t == LogTab && p.last != nil && p.last.Err != "" {
			text += " " + s.Bad.Render("✗")
		}
		width += frame.Width(text)
		parts = append(parts, text)
	}
	room := v.W - width - 9 - 2*(int(tabs)-1) // the border, and what stands between
	if v.Typing {
		room -= 2
	}
	name := s.Strong.Render(frame.Middle(frame.Line(p.bottle.Identity), max(room, 10), 6))
	if v.Typing {
		name = s.Typing.Render("⌨ ") + name
	}
	stroke := "─"
	if box.Heavy {
		stroke = "━"
	}
	return name + " " + box.Border.Render(stroke) + " " + strings.Join(parts, "  ")
}

func (p *Pane) terminalFoot(v View, t Terminal) (left, right string) {
	s := p.Styles
	if title := frame.Line(t.Title()); title != "" {
		left = s.Muted.Render(frame.Middle(title, max(v.W/2-4, 8), 0))
	}
	if op := p.bottle.Operation; op != nil && op.Err == "" {
		left = s.Busy.Render(list.Progress(op)+" ") + list.Bar(s, op, 10) + s.Muted.Render(" "+frame.Middle(frame.Line(op.Step), max(v.W/3, 8), 0))
	}
	switch {
	case p.scroll > 0:
		right = s.Waiting.Render(fmt.Sprintf("%d lines back", p.scroll)) + s.Muted.Render(" · ") + s.Key.Render("end") + s.Muted.Render(" returns")
		if v.Typing {
			right = s.Waiting.Render(fmt.Sprintf("%d lines back", p.scroll)) + s.Muted.Render(" · typing returns")
		}
	case v.Typing:
		right = s.Typing.Render("typing") + s.Muted.Render(" · ") + s.Key.Render(`ctrl+\`) + s.Muted.Render(" leaves")
	}
	return left, right
}

// words sets a text of ours, in paragraphs, with a margin; what stands between backquotes is a key
// or a command. A line that begins with "! " is bad news.
func (p *Pane) words(text string, w int) []string {
	s := p.Styles
	lines := []string{""}
	room := min(w-4, 76)
	for para := range strings.SplitSeq(text, "\n") {
		style := s.Text
		if rest, ok := strings.CutPrefix(para, "! "); ok {
			para, style = rest, s.Bad
		}
		key := false // a key may be cut by a line end
		for _, line := range frame.Wrap(para, max(room, 8)) {
			var b strings.Builder
			for i, part := range strings.Split(line, "`") {
				if i > 0 {
					key = !key
				}
				if key {
					b.WriteString(s.Key.Render(part))
				} else if part != "" {
					b.WriteString(style.Render(part))
				}
			}
			lines = append(lines, "  "+b.String())
		}
	}
	return lines
}
