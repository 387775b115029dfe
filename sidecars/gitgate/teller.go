package gitgate

import (
	"context"
	"fmt"
	"strings"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/internal/tell"
)

// How much of what an agent named is said, in bytes.
const (
	maxReason   = 512
	maxSaidRefs = 10
	maxSaidRef  = 200
)

// teller says Lines, of a flood only so many; but each push that went on, which costs the agent more than it costs
// whoever reads of it.
type teller struct {
	*tell.Teller
	voice   *sidecars.Voice // for what must be said
	scanner *scanner
}

func newTeller(v *sidecars.Voice, s *scanner) *teller {
	return &teller{tell.New(v, tell.Limits{
		Same:   tell.Measure{AtOnce: 5, PerSecond: 1},
		All:    tell.Measure{AtOnce: 100, PerSecond: 20},
		Kind:   func(l sidecars.Line) string { return fmt.Sprintf("%q %q %q %q", l.Remote, l.Rule, l.Reason, l.Refs) },
		Always: func(l sidecars.Line) bool { return l.Event == sidecars.EventPush },
	}), v, s}
}

func (t *teller) say(l sidecars.Line) {
	l = t.withoutSecrets(l)
	l.Reason, l.Remote = plain(l.Reason, maxReason), plain(l.Remote, maxSaidRef)
	if len(l.Refs) > maxSaidRefs {
		l.Refs = append(l.Refs[:maxSaidRefs:maxSaidRefs], fmt.Sprintf("and %d more", len(l.Refs)-maxSaidRefs))
	}
	for i := range l.Refs {
		l.Refs[i] = plain(l.Refs[i], maxSaidRef)
	}
	t.Say(l)
}

// withheld stands for what an agent named and holds a secret.
const withheld = "(a name that holds a secret)"

// withoutSecrets is l without the secrets that an agent made names of: what is refused before it was looked at is told
// by its names, too.
func (t *teller) withoutSecrets(l sidecars.Line) sidecars.Line {
	names := append([]string{l.Remote}, l.Refs...)
	if !t.secret(strings.Join(append(names, l.Reason), "\n")) {
		return l
	}
	l.Refs = append([]string(nil), l.Refs...)
	for i, name := range names {
		if !t.secret(name) {
			continue
		}
		l.Reason = strings.ReplaceAll(l.Reason, name, withheld)
		if i == 0 {
			l.Remote = withheld
		} else {
			l.Refs[i-1] = withheld
		}
	}
	if t.secret(l.Reason) {
		l.Reason = "(a reason that names a secret)"
	}
	return l
}

func (t *teller) secret(text string) bool {
	return len(t.scanner.look(context.Background(), []byte(text), where{})) > 0
}
