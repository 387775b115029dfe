package credproxy

import (
	"fmt"
	"sync"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/internal/plain"
)

// How much cred-proxy says. An agent can make thousands of requests in a second: a line that says the same as
// one before (same event, route, status and reason) has a small measure, and all lines of an event together a
// larger one. The next line of a kind carries the number of those left out.
const (
	sameAtOnce     = 5
	samePerSecond  = 1
	eventAtOnce    = 200
	eventPerSecond = 50
	maxKinds       = 1024
)

// teller says Lines within that measure.
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

// take takes one line's worth.
func (m *measure) take(now time.Time, atOnce, perSecond float64) bool {
	m.left = min(atOnce, m.left+now.Sub(m.at).Seconds()*perSecond)
	m.at = now
	if m.left < 1 {
		return false
	}
	m.left--
	return true
}

func newTeller(v *sidecars.Voice) *teller {
	return &teller{voice: v, now: time.Now, kinds: map[string]*measure{}}
}

func (t *teller) say(l sidecars.Line) {
	t.mu.Lock()
	now := t.now()
	all := t.measure(string(l.Event), now, eventAtOnce)
	same := t.measure(fmt.Sprintf("%s %s %d %s", l.Event, l.Route, l.Status, l.Reason), now, sameAtOnce)
	if !same.take(now, sameAtOnce, samePerSecond) || !all.take(now, eventAtOnce, eventPerSecond) {
		same.suppressed++
		t.mu.Unlock()
		return
	}
	l.Suppressed, same.suppressed = same.suppressed, 0
	t.mu.Unlock()
	l.Reason = plain.Bounded(l.Reason)
	t.voice.Say(l) //nolint:errcheck // nobody may listen
}

func (t *teller) measure(kind string, now time.Time, atOnce float64) *measure {
	m := t.kinds[kind]
	if m == nil {
		if len(t.kinds) >= maxKinds {
			clear(t.kinds) // an upstream made this many by its statuses: begin again
		}
		m = &measure{left: atOnce, at: now}
		t.kinds[kind] = m
	}
	return m
}
