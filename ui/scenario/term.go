// Package scenario drives the real program in a pseudo-terminal and reads its screen through a
// terminal emulator. It is for tests only; nothing of the product imports it.
package scenario

import (
	"testing"
	"time"
)

// Options say how a program is started.
type Options struct {
	Args       []string // the program and its arguments; the program's path first
	Env        []string // NAME=value, beside the fixed ones
	Cols, Rows int      // 0: 120×40
	Dir        string   // working directory; "": the test's own
}

// Term is a program that runs in a terminal.
type Term struct{}

// Start starts the program; it is killed at the test's end.
func Start(t testing.TB, o Options) *Term { return &Term{} }

// Press presses keys: a character as it is, or a name such as enter, esc, tab, ctrl+\, pgdn, up.
func (t *Term) Press(keys ...string) {}

// Type types text.
func (t *Term) Type(text string) {}

// WaitText waits until the screen shows what, a string or a *regexp.Regexp, and gives that screen.
func (t *Term) WaitText(what any, deadline time.Duration) string { return "" }

// WaitGone waits until the screen shows what no more.
func (t *Term) WaitGone(what any, deadline time.Duration) string { return "" }

// Screen is the screen as text.
func (t *Term) Screen() string { return "" }

// StyledSVG is the screen as a picture.
func (t *Term) StyledSVG() string { return "" }

// Resize changes the terminal's size.
func (t *Term) Resize(cols, rows int) {}

// Kill9 kills the program with SIGKILL and waits for its end.
func (t *Term) Kill9() {}

// ExitCode waits for the program's end and gives its code; -1 when a signal ended it.
func (t *Term) ExitCode(deadline time.Duration) int { return 0 }

// BuildBinary builds the module's program once per test process and gives its path.
func BuildBinary(t testing.TB) string { return "" }
