package gitgate_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/gitgate"
)

// However often the configuration is written, what goes to a remote that stays goes on, as does what is begun
// meanwhile, also while its limits change; what goes to one that is taken away ends, and git says why.
func TestReloadUnderLoad(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		up.seeded(t, "keep", 30)
		limits := up.seeded(t, "limits", 5)
		up.seeded(t, "drop", 5)
		up.large(t, "slow", 3<<20)
		held := up.seeded(t, "held", 3)
		slow, slowWire := up.wired(t, "slow")
		gone, goneWire := up.wired(t, "slow")
		gone.Name = "gone"
		approved := up.remote("held")
		approved.Approve = true
		doomed := approved
		doomed.Name = "doomed"
		stay := []gitgate.Remote{up.remote("keep"), up.remote("limits"), slow, approved}
		goes := []gitgate.Remote{up.remote("drop"), gone, doomed}
		g := gated(t, up, nil, append(stay, goes...)...)

		// What is open before the first change.
		slowWire.let(1<<20, unbounded)
		goneWire.let(1<<20, unbounded)
		open := newWork(t, nil).begin("clone", "-q", g.url("slow"), ".")
		cut := newWork(t, nil).begin("clone", "-q", g.url("gone"), ".")
		slowWire.held(t)
		goneWire.held(t)
		pushed := g.clone("held")
		pushed.commit("x", "x\n", "x")
		waits := pushed.begin("push", "origin", "HEAD:refs/heads/x")
		id := g.ear.Wait(t, sidecars.EventPushWaits, func(l sidecars.Line) bool { return l.Remote == "held" }).ID
		lost := pushed.begin("push", g.url("doomed"), "HEAD:refs/heads/y")
		g.ear.Wait(t, sidecars.EventPushWaits, func(l sidecars.Line) bool { return l.Remote == "doomed" })

		// What goes on all the time.
		var done, dropped atomic.Int64
		var load sync.WaitGroup
		stop := make(chan struct{})
		url := map[string]string{}
		for _, name := range []string{"keep", "limits", "drop"} {
			url[name] = g.url(name)
		}
		worker := func(turn func(n int) error) {
			load.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					if err := turn(n); err != nil {
						t.Error(err)
						return
					}
					done.Add(1)
				}
			})
		}
		git := func(dir string, args ...string) error {
			out, err := try(dir, nil, "git", args...)
			if err != nil {
				return fmt.Errorf("git %q: %w\n%s", args, err, out)
			}
			return nil
		}
		for range 2 {
			dir := t.TempDir()
			worker(func(n int) error { return git(dir, "clone", "-q", "--bare", url["keep"], fmt.Sprint(n)) })
		}
		for i := range 2 {
			w := g.clone("limits")
			worker(func(n int) error {
				if err := git(w.dir, "commit", "-q", "--allow-empty", "-m", fmt.Sprint(n)); err != nil {
					return err
				}
				if err := git(w.dir, "push", "-q", "origin", fmt.Sprintf("HEAD:refs/heads/w%d", i)); err != nil {
					return err
				}
				return git(w.dir, "fetch", "-q", "origin", "main")
			})
		}
		dir := t.TempDir()
		worker(func(n int) error {
			out, err := try(dir, nil, "git", "clone", "-q", "--bare", url["drop"], fmt.Sprint(n))
			if err == nil {
				return nil
			}
			dropped.Add(1)
			if !strings.Contains(out, "git-gate: the operator took the remote drop away") && !strings.Contains(out, "git-gate: this bottle has no remote of that name") {
				return fmt.Errorf("a clone of a remote that was taken away does not say so: %s", out)
			}
			return nil
		})

		c := g.config
		for i := range 12 {
			changed := append([]gitgate.Remote{}, stay...)
			changed[1].MaxPush, changed[1].AllowRefs = int64(64+i)<<20, []string{"refs/heads/*", fmt.Sprintf("refs/mark/%d", i)}
			if i%2 == 1 {
				changed = append(changed, goes...)
			}
			c.Remotes = changed
			g.reload(c)
			if i == 0 {
				out, err := cut.end()
				if err == nil {
					t.Error("a clone of a remote that was taken away went on")
				}
				has(t, out, "git-gate: the operator took the remote gone away")
				out, err = lost.end()
				if err == nil {
					t.Error("a push to a remote that was taken away went on")
				}
				has(t, out, "git-gate: the operator took the remote doomed away")
			}
			before := done.Load()
			wait(t, func() bool { return done.Load() >= before+3 || t.Failed() })
		}
		close(stop)
		load.Wait()

		slowWire.let(unbounded, unbounded)
		if out, err := open.end(); err != nil {
			t.Errorf("a clone was cut by a reload: %s", out)
		}
		g.say(fmt.Sprintf(`{"push":%q,"decision":"approved"}`, id))
		if out, err := waits.end(); err != nil {
			t.Errorf("a push was cut by a reload: %s", out)
		}
		pushed.same(held, "x", "HEAD")
		lacks(t, held, "y")
		run(t, limits, nil, "git", "fsck", "--strict")
		if dropped.Load() == 0 {
			t.Error("no clone met the removal")
		}
		for _, l := range g.ear.Lines() {
			if (l.Event == sidecars.EventFetch || l.Event == sidecars.EventError) && l.Reason != "" && !strings.Contains(l.Reason, "took the remote") {
				t.Errorf("%+v", l)
			}
		}
		t.Logf("%d turns, %d that met the removal", done.Load(), dropped.Load())
	})
}
