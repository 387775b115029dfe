// Package heard listens to a sidecar's voice in tests: it waits for what is said, never for time.
package heard

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle-tui/sidecars"
)

// Patience is how long a test waits for a line before it fails.
const Patience = 20 * time.Second

// Ear is a sidecar's standard output.
type Ear struct {
	mu    sync.Mutex
	rest  []byte
	lines []sidecars.Line
	more  chan struct{} // closed, and replaced, with each line
}

// New is an Ear that has heard nothing.
func New() *Ear { return &Ear{more: make(chan struct{})} }

// Write hears.
func (e *Ear) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rest = append(e.rest, b...)
	for {
		line, rest, whole := bytes.Cut(e.rest, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		if l, ok := sidecars.ParseLine(line); ok {
			e.lines = append(e.lines, l)
			close(e.more)
			e.more = make(chan struct{})
		}
		e.rest = slices.Clone(rest)
	}
}

// Lines is all that was heard so far.
func (e *Ear) Lines() []sidecars.Line {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.lines)
}

// Count is how many lines were of that event.
func (e *Ear) Count(event sidecars.Event) int {
	n := 0
	for _, l := range e.Lines() {
		if l.Event == event {
			n++
		}
	}
	return n
}

// Wait is the first line of that event for which all of is hold, heard already or to come.
func (e *Ear) Wait(t testing.TB, event sidecars.Event, is ...func(sidecars.Line) bool) sidecars.Line {
	t.Helper()
	late := time.After(Patience)
	for from := 0; ; {
		e.mu.Lock()
		lines, more := e.lines, e.more
		e.mu.Unlock()
		for ; from < len(lines); from++ {
			l := lines[from]
			if l.Event == event && !slices.ContainsFunc(is, func(f func(sidecars.Line) bool) bool { return !f(l) }) {
				return l
			}
		}
		select {
		case <-more:
		case <-late:
			var b strings.Builder
			for _, l := range lines {
				fmt.Fprintf(&b, "%+v\n", l)
			}
			t.Fatalf("no %q line as expected was heard within %v; heard:\n%s", event, Patience, b.String())
		}
	}
}
