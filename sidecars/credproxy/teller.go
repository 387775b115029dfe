package credproxy

import (
	"fmt"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/internal/plain"
	"bottle-tui/sidecars/internal/tell"
)

// teller says Lines, of a flood only so many.
type teller struct {
	*tell.Teller
	voice *sidecars.Voice // for what must be said
}

func newTeller(v *sidecars.Voice) teller {
	return teller{tell.New(v, tell.Limits{
		Same: tell.Measure{AtOnce: 5, PerSecond: 1},
		All:  tell.Measure{AtOnce: 200, PerSecond: 50},
		Kind: func(l sidecars.Line) string { return fmt.Sprintf("%s %d %s", l.Route, l.Status, l.Reason) },
	}), v}
}

func (t teller) say(l sidecars.Line) {
	l.Reason = plain.Bounded(l.Reason)
	t.Say(l)
}
