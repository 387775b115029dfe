package egress

import (
	"fmt"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/internal/plain"
	"bottle-tui/sidecars/internal/tell"
)

// teller says Lines, of a flood only so many: a line for each host that differs.
type teller struct{ *tell.Teller }

func newTeller(v *sidecars.Voice) teller {
	return teller{tell.New(v, tell.Limits{
		Same: tell.Measure{AtOnce: 50, PerSecond: 10},
		All:  tell.Measure{AtOnce: 200, PerSecond: 50},
		Kind: func(l sidecars.Line) string { return fmt.Sprintf("%s %s %d %s", l.Via, l.Host, l.Port, l.Reason) },
	})}
}

func (t teller) say(l sidecars.Line) {
	l.Reason = plain.Bounded(l.Reason)
	t.Say(l)
}
