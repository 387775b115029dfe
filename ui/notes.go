package ui

import (
	"strings"
	"time"

	"bottle-tui/ui/frame"
)

// Bounds of what is remembered and shown.
const (
	maxNotes = 50
	noteTime = 8 * time.Second // a note that reports no failure stays in the footer for so long
)

// note is one thing that was said to the operator.
type note struct {
	at      time.Time
	bad     bool
	about   string // identity, or ""
	kind    string // of the operation that it is about, or ""
	text    string // whole; of any origin
	told    bool   // by an alert; what an action's outcome says of the same matter is better
	paired  bool   // both have told it
	seen    bool
	expired bool
}

// notes is what was said lately. A failure stays until it was seen; the rest goes by itself.
type notes struct {
	all []note
	gen int // grows with every change
}

// sameMatter is how far an alert and the outcome of the action that it is about lie apart, at most.
const sameMatter = 10 * time.Second

func (n *notes) info(now time.Time, text string) { n.add(note{at: now, text: text, seen: true}) }

// outcome adds what an action came to.
func (n *notes) outcome(now time.Time, about, kind, text string, bad bool) {
	n.merge(note{at: now, about: about, kind: kind, text: text, bad: bad, seen: !bad})
}

// alert adds what an alert says.
func (n *notes) alert(now time.Time, about, kind, text string, bad bool) {
	n.merge(note{at: now, about: about, kind: kind, text: text, bad: bad, seen: !bad, told: true})
}

// merge adds a note. What is told twice, by an action's outcome and by an alert, in either order, is one note
// with the outcome's words.
func (n *notes) merge(x note) {
	for i := len(n.all) - 1; i >= 0 && x.kind != ""; i-- {
		old := &n.all[i]
		if old.about != x.about || old.kind != x.kind || old.bad != x.bad || old.told == x.told || old.paired || x.at.Sub(old.at) >= sameMatter {
			continue
		}
		if old.told {
			old.text, old.told = x.text, false
			n.gen++
		}
		old.paired = true
		return
	}
	n.add(x)
}

func (n *notes) add(x note) {
	if len(n.all) >= maxNotes {
		n.all = append(n.all[:0], n.all[1:]...)
	}
	n.all = append(n.all, x)
	n.gen++
}

// expire takes notes that were in the footer for long enough out of it.
func (n *notes) expire(now time.Time) {
	for i := range n.all {
		if x := &n.all[i]; !x.bad && !x.expired && now.Sub(x.at) >= noteTime {
			x.expired = true
			n.gen++
		}
	}
}

// next is when the next note expires; 0 when none will.
func (n *notes) next(now time.Time) time.Duration {
	var wait time.Duration
	for i := range n.all {
		if x := &n.all[i]; !x.bad && !x.expired {
			if left := max(noteTime-now.Sub(x.at), time.Millisecond); wait == 0 || left < wait {
				wait = left
			}
		}
	}
	return wait
}

// current is what the footer says: the last failure that was not seen, or else the last note.
func (n *notes) current() *note {
	for i := len(n.all) - 1; i >= 0; i-- {
		if n.all[i].bad && !n.all[i].seen {
			return &n.all[i]
		}
	}
	if i := len(n.all) - 1; i >= 0 && !n.all[i].bad && !n.all[i].expired {
		return &n.all[i]
	}
	return nil
}

// failures are the failures, the last one first.
func (n *notes) failures() []note {
	var out []note
	for i := len(n.all) - 1; i >= 0; i-- {
		if n.all[i].bad {
			out = append(out, n.all[i])
		}
	}
	return out
}

func (n *notes) markSeen() {
	for i := range n.all {
		n.all[i].seen = true
	}
	n.gen++
}

// short is a note's first line.
func (x *note) short() string {
	line, _, _ := strings.Cut(strings.TrimSpace(x.text), "\n")
	return frame.Line(line)
}
