package terminal

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// look brings what is held back onto the screen, for somebody wants to see it. Called with mu locked.
func (s *Screen) look() *filter {
	f := s.filter
	f.prose.settle()
	f.changed = false // the version grew when the bytes came
	return f
}

// Rows is the screen, scrolled back by scroll lines (as far as ScrollbackLen): as many strings as there are
// rows, each exactly as many cells wide as there are columns, styled, its styles reset at its end. They hold
// characters and SGR sequences, nothing else. The same slice is given again until something
// changes: do not change it.
func (s *Screen) Rows(scroll int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.look()
	scroll = min(max(scroll, 0), f.scrollback())
	version := s.version.Load()
	if s.frame.rows != nil && s.frame.version == version && s.frame.scroll == scroll {
		return s.frame.rows
	}
	lines := f.page().lines
	out := make([]string, f.rows)
	for i := range out {
		if above := scroll - i; above > 0 {
			out[i] = fitted(f.history.lines[len(f.history.lines)-above], f.cols)
		} else {
			out[i] = f.draw.line(lines[-above], f.cols, true).text
		}
	}
	s.frame = frame{rows: out, version: version, scroll: scroll}
	return out
}

// fitted is a line of the history cut or filled to cols cells.
func fitted(d drawn, cols int) string {
	if d.width > cols {
		d.text = ansi.Truncate(d.text, cols, "") + ansi.ResetStyle
		d.width = ansi.StringWidth(d.text)
	}
	return d.text + strings.Repeat(" ", cols-d.width)
}

// scrollback is 0 while the alternate screen is on: what is there does not follow on the history.
func (f *filter) scrollback() int {
	if f.on == 1 {
		return 0
	}
	return len(f.history.lines)
}

// Plain is the screen's text: a string for each row, trailing blanks cut.
func (s *Screen) Plain() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.look()
	out := make([]string, 0, f.rows)
	for _, l := range f.page().lines {
		out = append(out, f.draw.plain(l))
	}
	return out
}

// Cursor is the cursor's cell, always one of the screen's, and whether the program shows it.
func (s *Screen) Cursor() (x, y int, visible bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.look()
	c := f.page().cursor
	return c.x, c.y, f.modes.on[modeCursor]
}

// Title is the window title that the program set, in one line that is safe to print; "" when it set none.
func (s *Screen) Title() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.filter.title
}

// ScrollbackLen is how many lines Rows can scroll back: 0 while the program uses the alternate screen.
func (s *Screen) ScrollbackLen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.look().scrollback()
}
