package gitgate_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/gitgate"
	"bottle-tui/sidecars/internal/heard"
)

// raw is a push of HEAD, which the upstream does not have but for what is behind it, as it comes over HTTP.
func (w *work) raw(old, ref, caps string) []byte {
	w.t.Helper()
	head := w.git("rev-parse", "HEAD")
	cmd := exec.Command("git", "pack-objects", "--revs", "--stdout", "-q")
	cmd.Dir, cmd.Env, cmd.Stdin = w.dir, gitEnv(w.dir, w.env), strings.NewReader(head+"\n^origin/main~2\n")
	pack, err := cmd.Output()
	if err != nil {
		w.t.Fatal(err)
	}
	line := old + " " + head + " " + ref + "\x00" + caps
	return append(fmt.Appendf(nil, "%04x%s0000", len(line)+4, line), pack...)
}

const none = "0000000000000000000000000000000000000000"

// What became of a push is told to the operator whatever the agent asks for, and the agent gets what it asked for.
func TestTheUpstreamsReport(t *testing.T) {
	up := overHTTPS(t)
	dir := up.seeded(t, "r", 3)
	g := start(t, up, nil, "r")
	w := g.clone("r")
	w.commit("a", "x\n", "x")
	hook := filepath.Join(dir, "hooks", "update")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho heard >&2\ncase $1 in *no*) exit 1;; esac\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i, caps := range []string{"", "side-band-64k", "report-status", "report-status side-band-64k", "report-status-v2 side-band-64k"} {
		for _, word := range []string{"yes", "no"} {
			t.Run(caps+" "+word, func(t *testing.T) {
				ref := fmt.Sprintf("refs/heads/%s%d", word, i)
				res, err := http.Post("http://"+g.http+"/r/git-receive-pack", "application/x-git-receive-pack-request", bytes.NewReader(w.raw(none, ref, caps)))
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				l := g.ear.Wait(t, sidecars.EventPush, func(l sidecars.Line) bool { return l.Refs[0] == ref })
				if word == "yes" {
					w.same(dir, ref, "HEAD")
					if l.Reason != "" {
						t.Errorf("of what arrived it says %q", l.Reason)
					}
				} else {
					lacks(t, dir, ref)
					has(t, l.Reason, ref+" hook declined")
				}
				if asked := strings.Contains(caps, "report-status"); strings.Contains(string(body), "unpack ok") != asked {
					t.Errorf("the agent reads %q", body)
				}
				if banded := strings.Contains(caps, "side-band"); strings.Contains(string(body), "heard") != banded || caps == "" && len(body) > 0 {
					t.Errorf("the agent reads %q", body)
				}
			})
		}
	}
	if n := g.ear.Count(sidecars.EventError); n > 0 {
		t.Errorf("%d errors: %+v", n, g.ear.Lines())
	}
}

// waiting makes the upstream wait in its hook, which makes the file begun, until the file go is there.
func waiting(t *testing.T, dir string) (begun func() bool, let func()) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "hooks", "pre-receive"), []byte("#!/bin/sh\ntouch begun\nuntil [ -e go ]; do sleep 0.05; done\nsleep 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	let = func() { write(t, filepath.Join(dir, "go"), "") }
	t.Cleanup(let)
	return func() bool { _, err := os.Stat(filepath.Join(dir, "begun")); return err == nil }, let
}

// An agent that goes when all of its push was sent does not end it, and what becomes of it is told.
func TestAgentThatDoesNotWaitForTheAnswer(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		dir := up.seeded(t, "r", 3)
		begun, let := waiting(t, dir)
		g := start(t, up, nil, "r")
		w := g.clone("r")
		w.commit("a", "x\n", "x")
		push := w.begin("push", "-q", "origin", "HEAD:refs/heads/a")
		wait(t, begun)
		push.cmd.Cancel()
		push.end()
		let() // which still takes a second
		l := g.ear.Wait(t, sidecars.EventPush, func(l sidecars.Line) bool { return l.Refs[0] == "refs/heads/a" })
		if l.Reason != "" {
			t.Errorf("of what arrived it says %q", l.Reason)
		}
		w.same(dir, "a", "HEAD")
		if n := g.ear.Count(sidecars.EventError); n > 0 {
			t.Errorf("%d errors: %+v", n, g.ear.Lines())
		}
	})
}

// What is sent is not waited for when git-gate ends, or when the remote goes; that nobody knows what became of it is told.
func TestTheEndOfAPushThatNobodyWaitsFor(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		for how, end := range map[string]func(g *gate){
			"git-gate stops": func(g *gate) {
				if err := g.stop(); err != nil {
					t.Error(err)
				}
			},
			"the operator took the remote": func(g *gate) {
				c := g.config
				c.Remotes = nil
				g.reload(c)
			},
		} {
			name := strings.Fields(how)[0]
			begun, _ := waiting(t, up.seeded(t, name, 3))
			g := start(t, up, nil, name)
			w := g.clone(name)
			w.commit("a", "x\n", "x")
			push := w.begin("push", "-q", "origin", "HEAD:refs/heads/a")
			wait(t, begun)
			push.cmd.Cancel()
			push.end()
			end(g)
			l := g.ear.Wait(t, sidecars.EventPush, func(l sidecars.Line) bool { return l.Refs[0] == "refs/heads/a" })
			has(t, l.Reason, how, "Whether the push arrived is not known")
		}
	})
}

// What the operator makes stricter while a push comes, holds for it; and so it does while the push waits.
func TestRulesThatChangeUnderWay(t *testing.T) {
	up := overHTTPS(t)
	up.seeded(t, "r", 3)
	for name, c := range map[string]struct {
		before, after func(*gitgate.Remote)
		want          string
		asked         bool
	}{
		"no rewriting any more":    {func(r *gitgate.Remote) { r.AllowForce = true }, func(r *gitgate.Remote) { r.AllowForce = false }, "not a fast-forward", false},
		"neither, and to be asked": {func(r *gitgate.Remote) { r.AllowForce = true }, func(r *gitgate.Remote) { r.AllowForce, r.Approve = false, true }, "not a fast-forward", false},
		"to be asked":              {func(r *gitgate.Remote) { r.AllowForce = true }, func(r *gitgate.Remote) { r.Approve = true }, "the operator denied", true},
		"another size":             {func(r *gitgate.Remote) { r.AllowForce = true }, func(r *gitgate.Remote) { r.MaxPush = 100 }, "the push is larger than 100 bytes", false},
		"other files":              {func(r *gitgate.Remote) { r.AllowForce = true }, func(r *gitgate.Remote) { r.MaxObject = 20 }, "is larger than 20 bytes", false},
		"other refs":               {func(r *gitgate.Remote) { r.AllowForce = true }, func(r *gitgate.Remote) { r.AllowRefs = []string{"refs/heads/x"} }, "not among the refs", false},
		"while it waits":           {func(r *gitgate.Remote) { r.Approve, r.AllowForce = true, true }, nil, "the operator changed the rules of this remote meanwhile", true},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, up, c.before, "r")
			dir := filepath.Join(up.dir, "r.git")
			w := g.clone("r")
			old := w.git("rev-parse", "HEAD")
			w.git("reset", "-q", "--hard", "HEAD~2")
			w.commit("a", "x\n", "x")
			push := w.raw(old, "refs/heads/main", "report-status side-band-64k")
			conn, err := net.Dial("tcp", g.http)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(heard.Patience))
			fmt.Fprintf(conn, "POST /r/git-receive-pack HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(push), push[:len(push)-1])
			wait(t, g.holds)
			changed := g.config
			changed.Remotes = []gitgate.Remote{g.config.Remotes[0]}
			if c.after != nil {
				c.after(&changed.Remotes[0])
				g.reload(changed)
			}
			conn.Write(push[len(push)-1:])
			if c.asked {
				l := g.ear.Wait(t, sidecars.EventPushWaits)
				if !l.Push.Refs[0].Rewrites {
					t.Errorf("%+v", l.Push.Refs)
				}
				decision := gitgate.Denied
				if c.after == nil {
					decision = gitgate.Approved
					changed.Remotes[0].AllowForce = false
					g.reload(changed)
				}
				g.decide(l, decision)
			}
			out, err := io.ReadAll(conn)
			if err != nil {
				t.Error(err)
			}
			has(t, string(out), "ng refs/heads/main git-gate: ", c.want)
			if run(t, dir, nil, "git", "rev-parse", "main") != old {
				t.Error("main was rewritten")
			}
		})
	}
}

// An upstream that does not say what it has is not waited for without end.
func TestUpstreamThatStalls(t *testing.T) {
	up := overHTTPS(t)
	dir := up.seeded(t, "r", 4)
	run(t, dir, nil, "git", "branch", "old", "main~2")
	w := gated(t, up, func(o *gitgate.Options) { o.AskWithin = 5 * time.Second }, up.remote("r")).clone("r")
	up.handle.set(stopping("/git-upload-pack", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	has(t, w.fails("push", "origin", "HEAD:old"), "could not be shown: the upstream did not say within 5s what it has", "Push to a new branch")
	up.handle.set(nil)
	w = start(t, up, nil, "r").clone("r") // which waits longer
	w.git("push", "-q", "origin", "HEAD:old")
	w.same(dir, "old", "HEAD")
}

// Between a question and its answer the connection to the upstream may die.
func TestConnectionThatDiesWhileAPushWaits(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		dir := up.seeded(t, "r", 3)
		r, wire := up.wired(t, "r")
		r.Approve = true
		g := gated(t, up, nil, r)
		w := g.clone("r")
		w.commit("a", "a\n", "a")
		push, l := g.asked(w, "HEAD:refs/heads/x")
		wire.cut()
		g.decide(l, gitgate.Approved)
		if out, err := push.end(); err != nil {
			t.Error(out)
		}
		w.same(dir, "x", "HEAD")
	})
}
