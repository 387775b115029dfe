package gitgate_test

import (
	"fmt"
	"testing"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/gitgate"
)

// Where history may be rewritten and the operator is asked, the question says whether a push does that.
func TestTheOperatorIsToldOfARewrite(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		dir := up.seeded(t, "r", 3)
		g := start(t, up, func(r *gitgate.Remote) { r.Approve, r.AllowForce = true, true }, "r")
		w := g.clone("r")
		asked := func(rewrites bool, args ...string) {
			t.Helper()
			before := g.ear.Count(sidecars.EventPushWaits)
			done := make(chan string, 1)
			go func() {
				out, err := try(w.dir, nil, "git", append([]string{"push"}, args...)...)
				done <- fmt.Sprint(out, err)
			}()
			wait(t, func() bool { return g.ear.Count(sidecars.EventPushWaits) > before })
			var l sidecars.Line
			for _, o := range g.ear.Lines() {
				if o.Event == sidecars.EventPushWaits {
					l = o
				}
			}
			if r := l.Push.Refs[0]; r.Rewrites != rewrites {
				t.Errorf("%v: %+v", args, r)
			}
			g.say(fmt.Sprintf(`{"push":%q,"decision":"approved"}`, l.ID))
			<-done
			w.same(dir, "main", "HEAD")
		}
		w.commit("a", "a", "ahead")
		asked(false, "origin", "HEAD:main")
		w.git("reset", "-q", "--hard", "HEAD~2")
		w.commit("b", "b", "aside")
		asked(true, "-f", "origin", "HEAD:main")
		w.git("reset", "-q", "--hard", "HEAD~1")
		asked(true, "-f", "origin", "HEAD:main") // nothing is sent
		asked(false, "-f", "origin", "HEAD:refs/heads/other")
	})
}
