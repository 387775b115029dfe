// Package dialog is what opens over the panes: questions, forms and long texts. A dialog draws itself
// and takes keys; what the operator decided it hands to the root as a Result, and it never acts. The
// big one, a request, is package request.
package dialog

import (
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/themes"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
)

// Result is what a dialog wants after it was told something.
type Result struct {
	Close bool
	Act   bottles.Action // to be started
	Doing string         // what Act is, for the footer: "approving …"
	Note  string         // to be shown in the footer
	Cmd   tea.Cmd        // its own work; what comes back goes to Message
}

// Drawing is a dialog as it looks now.
type Drawing struct {
	Lines  []string
	Cursor *tea.Cursor // relative to the first line's first cell; nil: none
}

// Dialog is one that is open.
type Dialog interface {
	// Key takes a key press.
	Key(k tea.KeyPressMsg) Result
	// Paste takes pasted text.
	Paste(text string) Result
	// Message takes what the dialog's own commands gave; it ignores what is not its own.
	Message(msg tea.Msg) Result
	// Wheel scrolls n lines down.
	Wheel(n int)
	// Refresh takes in a new snapshot: the matter may be settled.
	Refresh(s *bottles.Snapshot) Result
	// Draw draws it for an area of w×h cells; it may be smaller than that.
	Draw(w, h int) Drawing
}

// Ticker is a dialog that may look or work otherwise after some time, without an event.
type Ticker interface {
	// Next is how long until then; 0 when it will not.
	Next() time.Duration
}

// Reopener is a dialog whose answer is worth keeping when it is not taken.
type Reopener interface {
	Dialog
	// Refused tells why the answer was not taken; the dialog is open again.
	Refused(err error)
}

// Hint is a key and its word as the footer of a dialog shows them; off greys them.
func Hint(s *themes.Styles, b *keys.Binding, off bool) string {
	if off {
		return s.KeyOff.Render(b.Shown() + " " + b.Hint)
	}
	return s.Key.Render(b.Shown()) + " " + s.KeyHelp.Render(b.Hint)
}

// Clean makes pasted text fit for a field: what does not print is made visible. Terminals paste a line's
// end as the key that ends one, a carriage return.
func Clean(text string) string { return frame.Text(lineEnds.Replace(text)) }

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// still is the part of a dialog that a snapshot and messages don't change.
type still struct{}

func (still) Message(tea.Msg) Result              { return Result{} }
func (still) Refresh(*bottles.Snapshot) Result    { return Result{} }
func (still) Paste(string) Result                 { return Result{} }
func (still) Wheel(int)                           {}
func center(w, most int) int                      { return max(min(w-4, most), min(w, 20)) }
func sane(lines []string, h int) (shown []string) { return lines[:min(len(lines), max(h, 0))] }
