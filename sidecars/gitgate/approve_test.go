package gitgate_test

import (
	"strings"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/gitgate"
)

// An agent can't ring the operator's bell without end by taking its pushes back.
func TestPushesThatAreTakenBackAgainAndAgain(t *testing.T) {
	up := overHTTPS(t)
	dir := up.seeded(t, "r", 3)
	r := up.remote("r")
	r.Approve = true
	g := gated(t, up, func(o *gitgate.Options) { o.HoldEvery = time.Hour }, r)
	w := g.clone("r")
	w.commit("a", "a\n", "a")
	for range 10 {
		push, l := g.asked(w, "HEAD:refs/heads/x")
		push.cmd.Cancel()
		push.end()
		g.ear.Wait(t, sidecars.EventAbandoned, func(d sidecars.Line) bool { return d.ID == l.ID })
	}
	has(t, w.fails("push", "origin", "HEAD:refs/heads/x"), "too many pushes came to wait for the operator", "One more may each 1h0m0s")
	g.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool { return strings.Contains(l.Reason, "too many pushes") })
	if n := g.ear.Count(sidecars.EventPushWaits); n != 10 {
		t.Errorf("the operator was asked %d times", n)
	}
	lacks(t, dir, "x")
}
