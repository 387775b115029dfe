package agent

import (
	"io"
	"strings"
	"sync"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// entry is one thing in the conversation as it is shown.
type entry struct {
	kind kind
	text string
}

type kind int

const (
	kindBanner kind = iota
	kindUser        // what was typed, or given on the command line
	kindSay         // the agent's words
	kindTool        // the use of a tool
	kindResult      // its result
	kindFail        // its failure, or the agent's own
	kindNote        // about the program, not part of the conversation
	kindTick        // a line of steady work
)

// Bounds of what is kept for repainting, and of a result on the screen.
const (
	maxEntries = 500
	maxResult  = 60 // lines
)

// view is the terminal: a conversation that scrolls, and under it a line that says what the agent is at and
// the line that is typed. It writes to the terminal only when something changes.
type view struct {
	out    io.Writer
	role   string
	colour bool

	mu         sync.Mutex
	cols, rows int
	entries    []entry
	busy       bool
	phase      int // of the busy title, which alternates
	status     string
	typed      string
	pos        int
	drawn      bool // the two lines at the bottom are on the screen
}

func newView(out io.Writer, role string, colour bool) *view {
	return &view{out: out, role: role, colour: colour, cols: 80, rows: 24, status: "starting"}
}

const (
	bracketedPaste    = "\x1b[?2004h"
	bracketedPasteOff = "\x1b[?2004l"
	clearAll          = "\x1b[2J\x1b[3J\x1b[H"
)

func (v *view) start() {
	v.mu.Lock()
	defer v.mu.Unlock()
	io.WriteString(v.out, bracketedPaste+clearAll+v.title()+v.bottom())
}

func (v *view) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	io.WriteString(v.out, v.erase()+bracketedPasteOff+v.sgr("0"))
}

// show adds to the conversation.
func (v *view) show(e entry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.entries = append(v.entries, e); len(v.entries) > maxEntries {
		v.entries = append(v.entries[:0], v.entries[len(v.entries)-maxEntries:]...)
	}
	io.WriteString(v.out, v.erase()+v.render(e)+v.bottom())
}

// at says what the agent is doing. Each call while busy turns the title's sign.
func (v *view) at(busy bool, status string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.busy == busy && v.status == status {
		return
	}
	v.busy, v.status = busy, status
	v.phase++
	io.WriteString(v.out, v.erase()+v.title()+v.bottom())
}

// prompt shows the line that is being typed.
func (v *view) prompt(typed string, pos int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.drawn && v.typed == typed && v.pos == pos {
		return
	}
	v.typed, v.pos = typed, pos
	io.WriteString(v.out, v.erase()+v.bottom())
}

// resize repaints the tail of the conversation for a terminal of another size.
func (v *view) resize(cols, rows int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.cols, v.rows = max(cols, 12), max(rows, 4)
	if !v.drawn {
		return
	}
	var lines []string
	for i := len(v.entries) - 1; i >= 0 && len(lines) < v.rows; i-- {
		lines = append(strings.SplitAfter(strings.TrimSuffix(v.render(v.entries[i]), "\r\n"), "\r\n"), lines...)
		if last := len(lines) - 1; !strings.HasSuffix(lines[last], "\r\n") {
			lines[last] += "\r\n"
		}
		for j, l := range lines { // each but the very last of an entry ends its row already
			if !strings.HasSuffix(l, "\r\n") {
				lines[j] = l + "\r\n"
			}
		}
	}
	lines = lines[max(0, len(lines)-(v.rows-2)):]
	v.drawn = false
	io.WriteString(v.out, clearAll+v.title()+strings.Join(lines, "")+v.bottom())
}

// title is the window's: a star when idle, a half moon when busy, as Claude Code's.
func (v *view) title() string {
	sign := "✳"
	if v.busy {
		sign = []string{"◐", "◑"}[v.phase%2]
	}
	return "\x1b]0;" + sign + " " + v.role + "\x07"
}

// erase takes the two lines at the bottom away; the cursor is on the second.
func (v *view) erase() string {
	if !v.drawn {
		return ""
	}
	v.drawn = false
	return "\r\x1b[A\x1b[J"
}

// bottom draws the two lines, and leaves the cursor in the typed one.
func (v *view) bottom() string {
	v.drawn = true
	sign, colour := "✳ ", "32"
	if v.busy {
		sign, colour = "◐ ", "33"
	}
	status := v.paint(colour, sign) + v.paint("2", ansi.Truncate(plain(v.status), v.cols-3, "…"))
	typed := []rune(plain(v.typed))
	before, after := string(typed[:min(v.pos, len(typed))]), string(typed[min(v.pos, len(typed)):])
	room := v.cols - 4
	if over := ansi.StringWidth(before) - room; over > 0 {
		before = ansi.TruncateLeft(before, over+1, "…")
	}
	after = ansi.Truncate(after, max(0, room-ansi.StringWidth(before)), "…")
	s := status + "\r\n" + v.paint("1;36", "❯ ") + before + after
	if n := ansi.StringWidth(after); n > 0 {
		s += ansi.CursorBackward(n)
	}
	return s
}

// render is an entry as rows of the terminal, each ended by CR LF.
func (v *view) render(e entry) string {
	switch e.kind {
	case kindBanner:
		return v.banner(e.text)
	case kindUser:
		return "\r\n" + v.block(e.text, "❯ ", "1;36", "1")
	case kindSay:
		return "\r\n" + v.block(e.text, "● ", "37", "")
	case kindTool:
		return "\r\n" + v.block(e.text, "● ", "32", "1")
	case kindResult:
		return v.block(e.text, "  ⎿ ", "2", "diff")
	case kindFail:
		return v.block(e.text, "  ⎿ ", "31", "31")
	case kindTick:
		return v.block(e.text, "  · ", "33", "")
	default:
		return v.block(e.text, "  ", "2", "2")
	}
}

func (v *view) banner(text string) string {
	width := min(v.cols, 72)
	var b strings.Builder
	b.WriteString(v.paint("36", "╭"+strings.Repeat("─", width-2)+"╮") + "\r\n")
	for i, l := range strings.Split(text, "\n") {
		l = ansi.Truncate(plain(l), width-6, "…")
		pad := strings.Repeat(" ", max(0, width-6-ansi.StringWidth(l)))
		style, sign := "2", "  "
		if i == 0 {
			style, sign = "1", "✳ "
		}
		b.WriteString(v.paint("36", "│ ") + v.paint("36", sign) + v.paint(style, l) + pad + v.paint("36", " │") + "\r\n")
	}
	b.WriteString(v.paint("36", "╰"+strings.Repeat("─", width-2)+"╯") + "\r\n")
	return b.String()
}

// block is text, wrapped, with a sign before its first row and the others aligned under it.
func (v *view) block(text, sign, signStyle, style string) string {
	indent := ansi.StringWidth(sign)
	lines := strings.Split(strings.TrimRight(plain(text), "\n"), "\n")
	if over := len(lines) - maxResult; over > 0 {
		lines = append(lines[:maxResult:maxResult], "… more lines")
	}
	var b strings.Builder
	for i, l := range lines {
		lineStyle := style
		if style == "diff" {
			lineStyle = diffStyle(l)
		}
		for j, row := range strings.Split(ansi.Wrap(l, v.cols-indent-1, ""), "\n") {
			if i == 0 && j == 0 {
				b.WriteString(v.paint(signStyle, sign))
			} else {
				b.WriteString(strings.Repeat(" ", indent))
			}
			b.WriteString(v.paint(lineStyle, row) + "\r\n")
		}
	}
	return b.String()
}

func diffStyle(line string) string {
	switch {
	case strings.HasPrefix(line, "@@"):
		return "36"
	case strings.HasPrefix(line, "+"):
		return "32"
	case strings.HasPrefix(line, "-"):
		return "31"
	}
	return ""
}

func (v *view) sgr(style string) string {
	if !v.colour {
		return ""
	}
	return "\x1b[" + style + "m"
}

func (v *view) paint(style, s string) string {
	if style == "" || s == "" || !v.colour {
		return s
	}
	return v.sgr(style) + s + v.sgr("0")
}

// plain keeps what a file or an answer holds from steering the terminal.
func plain(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\t", "    ")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r < ' ':
			return 0x2400 + r
		case r == 0x7f || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar:
			return '·'
		}
		return r
	}, s)
}
