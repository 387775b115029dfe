// Package tell says what a sidecar has to say within a measure: an agent can make thousands of events in a second, and
// each line costs the operator's side its reading. What is left out is counted, and the counts are told.
package tell

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"bottle-tui/sidecars"
)

// Measure is how many lines may come at once, and how many in each second after that.
type Measure struct {
	AtOnce    int
	PerSecond rate.Limit
}

func (m Measure) limiter() *rate.Limiter { return rate.NewLimiter(m.PerSecond, m.AtOnce) }

// Limits are the measures of one sidecar.
type Limits struct {
	Same Measure // of the lines of one kind
	All  Measure // of all lines of an event
	// Kind is what lines have in common that say the same; a line that stands for others stands for its own kind alone.
	// The event is always a part of it.
	Kind func(sidecars.Line) string
	// Always says which lines are never left out; nil: none. Something else must bound them.
	Always func(sidecars.Line) bool
}

const (
	restAfter = 2 * time.Second // what was left out is told after this at the latest
	maxKinds  = 1024            // that are remembered
	maxRests  = 20              // kinds of an event that are told apart when what was left out is told
)

// Others is the reason of a line that stands for lines of many kinds.
const Others = "others, too many to be told apart"

// Teller says lines. It is safe for use by many.
type Teller struct {
	voice  *sidecars.Voice
	limits Limits

	mu     sync.Mutex
	events map[sidecars.Event]*rate.Limiter
	kinds  map[string]*kind
	others map[sidecars.Event]int // lines that were left out, of kinds that are not remembered
	kept   int                    // counts what is left out
	timer  *time.Timer
	ended  bool
	firing sync.WaitGroup
}

// kind are lines that say the same.
type kind struct {
	*rate.Limiter
	last  sidecars.Line // of those that were left out
	rest  int           // how many these are
	since int           // which of all of them was the first
}

// New is a Teller that speaks by v. End it.
func New(v *sidecars.Voice, l Limits) *Teller {
	return &Teller{voice: v, limits: l, events: map[sidecars.Event]*rate.Limiter{}, kinds: map[string]*kind{}, others: map[sidecars.Event]int{}}
}

// Say says l, or counts it.
func (t *Teller) Say(l sidecars.Line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || t.limits.Always != nil && t.limits.Always(l) {
		t.say(l)
		return
	}
	all := t.events[l.Event]
	if all == nil {
		all = t.limits.All.limiter()
		t.events[l.Event] = all
	}
	name := string(l.Event) + " " + t.limits.Kind(l)
	k := t.kinds[name]
	if k == nil {
		if len(t.kinds) >= maxKinds { // a stranger made this many by its words: begin again
			t.forget()
		}
		k = &kind{Limiter: t.limits.Same.limiter()}
		t.kinds[name] = k
	}
	if k.Allow() && all.Allow() {
		l.Suppressed, k.rest = k.rest, 0
		t.say(l)
		return
	}
	if k.rest == 0 {
		t.kept++
		k.since = t.kept
	}
	k.last = l
	k.rest++
	if t.timer == nil {
		t.firing.Add(1)
		t.timer = time.AfterFunc(restAfter, t.fire)
	}
}

func (t *Teller) say(l sidecars.Line) {
	t.voice.Say(l) //nolint:errcheck // nobody may listen
}

func (t *Teller) fire() {
	defer t.firing.Done()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timer = nil
	t.tellRest()
}

// pending are the kinds of which something was left out that will be told apart, the first first. The rest of them
// goes to others.
func (t *Teller) pending() []*kind {
	var all, apart []*kind
	for _, k := range t.kinds {
		if k.rest > 0 {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, func(a, b *kind) int { return cmp.Compare(a.since, b.since) })
	count := map[sidecars.Event]int{}
	for _, k := range all {
		event := k.last.Event
		if count[event]++; count[event] <= maxRests {
			apart = append(apart, k)
			continue
		}
		t.others[event] += k.rest
		k.rest, k.last = 0, sidecars.Line{}
	}
	return apart
}

// forget makes room for kinds.
func (t *Teller) forget() {
	t.pending()
	maps.DeleteFunc(t.kinds, func(_ string, k *kind) bool { return k.rest == 0 })
}

// tellRest tells what was left out and not told yet: in each line's Suppressed are the others that it stands for.
func (t *Teller) tellRest() {
	for _, k := range t.pending() {
		k.last.Suppressed = k.rest - 1
		t.say(k.last)
		k.rest, k.last = 0, sidecars.Line{}
	}
	for event, n := range t.others {
		t.say(sidecars.Line{Event: event, Reason: Others, Suppressed: n - 1})
	}
	clear(t.others)
}

// End tells what was left out. It is for when no more is to be told; what comes nevertheless is said at once.
func (t *Teller) End() {
	t.mu.Lock()
	t.ended = true
	if t.timer != nil && t.timer.Stop() {
		t.firing.Done()
	}
	t.tellRest()
	t.mu.Unlock()
	t.firing.Wait()
}
