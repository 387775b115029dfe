package terminal

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"bottle-tui/queue"
)

const (
	maxTitle   = 256     // bytes of a title
	maxReplies = 4 << 10 // bytes of answers in one go; a program that asks for more is not answered
	name       = "bottle-tui"
)

// filter does what a program's sequences ask for, as far as they are allowed: on the grid, in its own
// modes, or by an answer. It hands nothing on that is not listed here.
type filter struct {
	*grid
	prose
	modes   modes
	title   string // safe to print
	replies []byte
	rings   bool // the bell rang
}

var _ parsed = (*filter)(nil)

func newFilter(cols, rows, scrollback int) *filter {
	f := &filter{grid: newGrid(cols, rows, scrollback), modes: newModes()}
	f.prose.g = f.grid
	return f
}

// reset is a new, empty terminal of the same size.
func (f *filter) reset() {
	f.prose.end()
	f.grid.reset()
	f.modes = newModes()
	f.prose.last = ""
}

func (f *filter) text(p []byte) {
	f.prose.text(p)
	f.changed = true // even if all of it is held back: whoever looks will see it
}

func (f *filter) answer(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); len(f.replies)+len(s) <= maxReplies {
		f.replies = append(f.replies, s...)
	}
}

func (f *filter) control(c byte) {
	f.prose.end()
	switch c {
	case bel:
		f.rings = true
	case '\n', '\v', '\f':
		if f.modes.newline {
			f.carriageReturn()
		}
		f.lineDown()
	case '\b':
		f.move(-1, 0)
	case '\t':
		f.tab(1)
	case '\r':
		f.carriageReturn()
	case shiftOut:
		f.shift = 1
	case shiftIn:
		f.shift = 0
	}
}

func (f *filter) escape(intermediate, final byte) {
	f.prose.end()
	if intermediate != 0 {
		// Character sets G0 to G3: UK, line drawing, and ASCII for all others.
		if i := strings.IndexByte("()*+", intermediate); i >= 0 {
			if final != 'A' && final != '0' {
				final = 'B'
			}
			f.sets[i] = final
		}
		return
	}
	switch final {
	case '7':
		f.save()
	case '8':
		f.restore()
	case '=', '>':
		f.modes.on[modeKeypad] = final == '='
	case 'D':
		f.lineDown()
	case 'E':
		f.carriageReturn()
		f.lineDown()
	case 'H':
		f.stops[f.page().cursor.x] = true
	case 'M':
		f.lineUp()
	case 'c':
		f.reset()
	case 'n', 'o': // LS2 and LS3
		f.shift = 2 + int(final-'n')
	}
}

func (f *filter) osc(data []byte) {
	f.prose.end()
	command, rest, _ := strings.Cut(string(data), ";")
	switch command {
	case "0", "2":
		f.setTitle(rest)
	case "10", "12":
		if rest == "?" {
			f.answer("\x1b]%s;rgb:d4d4/d4d4/d4d4\x1b\\", command)
		}
	case "11":
		if rest == "?" {
			f.answer("\x1b]11;rgb:0000/0000/0000\x1b\\")
		}
	}
}

func (f *filter) setTitle(s string) {
	if len(s) > maxTitle {
		n := maxTitle
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	if s = queue.Visible(s); s != f.title {
		f.title, f.changed = s, true
	}
}

func (f *filter) dcs(data []byte) {
	f.prose.end()
	switch s := string(data); {
	case strings.HasPrefix(s, "$q"): // DECRQSS
		f.answer("\x1bP0$r\x1b\\")
	case strings.HasPrefix(s, "+q"): // XTGETTCAP
		f.answer("\x1bP0+r\x1b\\")
	}
}
