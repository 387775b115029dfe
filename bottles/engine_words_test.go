package bottles

import (
	"errors"
	"strings"
	"testing"

	"bottle-tui/state"
)

// An engine that refuses is not one that is to be started: the plan tells what it said, and to put that right.
func TestAnEngineThatRefusesIsNotToBeStarted(t *testing.T) {
	why := errors.New("connect to /var/run/docker.sock: permission denied")
	s, _ := owned(t, &scripted{observe: func() (Observed, error) { return Observed{}, why }})
	var p Preflight
	s.planEngine(t.Context(), &execution{sup: s}, state.Metadata{}, &p)
	if len(p.Conflicts) != 1 || !strings.Contains(p.Conflicts[0].What, why.Error()) || strings.Contains(p.Conflicts[0].Fix, "start") {
		t.Errorf("the conflicts are %+v", p.Conflicts)
	}
}
