package egress

import (
	"sync"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/internal/plain"
)

// How much egress says: an agent can make thousands of events in a second, and each would cost the operator's
// side its reading. Each kind of line has its own measure, so a flood of one can't hide another.
const (
	linesAtOnce    = 200
	linesPerSecond = 50
)

// teller says Lines within that measure; the next line of a kind carries the number of those left out.
type teller struct {
	voice *sidecars.Voice
	now   func() time.Time
	mu    sync.Mutex
	kinds map[string]*measure
}

type measure struct {
	left       float64
	at         time.Time
	suppressed int
}

func newTeller(v *sidecars.Voice) *teller {
	return &teller{voice: v, now: time.Now, kinds: map[string]*measure{}}
}

func (t *teller) say(l sidecars.Line) {
	t.mu.Lock()
	now := t.now()
	kind := string(l.Event) + "/" + l.Via
	m := t.kinds[kind]
	if m == nil {
		m = &measure{left: linesAtOnce, at: now}
		t.kinds[kind] = m
	}
	m.left = min(linesAtOnce, m.left+now.Sub(m.at).Seconds()*linesPerSecond)
	m.at = now
	if m.left < 1 {
		m.suppressed++
		t.mu.Unlock()
		return
	}
	m.left--
	l.Suppressed, m.suppressed = m.suppressed, 0
	t.mu.Unlock()
	l.Reason = plain.Bounded(l.Reason)
	t.voice.Say(l)
}
