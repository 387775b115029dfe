package gitgate_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/gitgate"
	"bottle-tui/sidecars/internal/heard"
)

func TestAddressesThatLeadNowhere(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		up.seeded(t, "r", 1)
		g := start(t, up, nil, "r")
		base := strings.TrimSuffix(g.url("r"), "r")
		w := newWork(t, nil)
		has(t, w.fails("clone", base+"other", "x"), "git-gate: this bottle has no remote of that name", "/r")
		has(t, w.fails("clone", base+"%72%2e%2e", "z"), "git-gate: ")
		g.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool { return l.Remote == "other" })
		// The wrong door.
		other := "git://" + g.git + "/r"
		if strings.HasPrefix(base, "git://") {
			other = "http://" + g.http + "/r"
		}
		has(t, w.fails("clone", other, "q"), "no remote of that name")
	})
}

func TestUpstreamThatRefuses(t *testing.T) {
	t.Run("a wrong password", func(t *testing.T) {
		up := overHTTPS(t)
		up.seeded(t, "r", 1)
		g := start(t, up, nil, "r")
		w := g.clone("r")
		g.give(map[string]string{tokenVar: "wrong"})
		out := newWork(t, nil).fails("clone", g.url("r"), "x")
		has(t, out, "the upstream answered 401", "operator")
		w.commit("a", "a", "a")
		has(t, w.fails("push"), "the upstream answered 401")
		g.ear.Wait(t, sidecars.EventError, func(l sidecars.Line) bool { return strings.Contains(l.Reason, "401") })
		if strings.Contains(out, "wrong") {
			t.Error("the password was shown")
		}
	})
	t.Run("no such repository", func(t *testing.T) {
		each(t, func(t *testing.T, up *served) {
			g := start(t, up, nil, "none")
			has(t, newWork(t, nil).fails("clone", g.url("none"), "x"), "git-gate: the upstream ", "operator")
		})
	})
	t.Run("another host key", func(t *testing.T) {
		up := overSSH(t)
		up.seeded(t, "r", 1)
		g := start(t, up, func(r *gitgate.Remote) { r.KnownHost = sshKeys().clientPublic }, "r")
		has(t, newWork(t, nil).fails("clone", g.url("r"), "x"), "the host's key is not known_host")
	})
	t.Run("a key that it does not know", func(t *testing.T) {
		up := overSSH(t)
		up.seeded(t, "r", 1)
		g := start(t, up, nil, "r")
		g.clone("r") // by a connection that is kept
		g.give(map[string]string{keyVar: sshKeys().host})
		has(t, newWork(t, nil).fails("clone", g.url("r"), "x"), "does not take git-gate's key")
	})
	t.Run("a certificate that nobody signed", func(t *testing.T) {
		up := overHTTPS(t)
		up.config = func(*gitgate.Config) {}
		g := start(t, up, nil, "r")
		has(t, newWork(t, nil).fails("clone", g.url("r"), "x"), "private authority")
	})
	t.Run("a redirection is not followed", func(t *testing.T) {
		up := overHTTPS(t)
		up.seeded(t, "r", 1)
		g := start(t, up, nil, "r")
		up.handle.set(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Redirect(w, r, "https://elsewhere.example.com/r.git/info/refs", http.StatusMovedPermanently)
		})
		has(t, newWork(t, nil).fails("clone", g.url("r"), "x"), "points to https://elsewhere.example.com", "operator")
	})
}

// breaking lets an answer through up to n bytes, then cuts the connection.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		http.NewResponseController(b.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return b.ResponseWriter.Write(p)
}

func TestUpstreamThatBreaksOff(t *testing.T) {
	up := overHTTPS(t)
	dir := up.seeded(t, "r", 50)
	g := start(t, up, nil, "r")
	t.Run("while it is fetched from", func(t *testing.T) {
		up.handle.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method == http.MethodPost {
				w = &breaking{w, 1500} // a list of refs is shorter
			}
			next.ServeHTTP(w, r)
		})
		has(t, newWork(t, nil).fails("clone", g.url("r"), "x"), "fatal: ")
		g.ear.Wait(t, sidecars.EventFetch, func(l sidecars.Line) bool { return strings.Contains(l.Reason, "broke off") })
	})
	up.handle.set(nil)
	w := g.clone("r")
	w.commit("a", "a", "a")
	t.Run("while it answers a push", func(t *testing.T) {
		up.handle.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method == http.MethodPost {
				w = &breaking{w, 10}
			}
			next.ServeHTTP(w, r)
		})
		out := w.fails("push")
		has(t, out, "git-gate: ", "broke off")
	})
	t.Run("while it takes a push", func(t *testing.T) {
		up.handle.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method == http.MethodPost {
				io.CopyN(io.Discard, r.Body, 10)
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
		w.commit("b", "b", "b")
		has(t, w.fails("push"), "git-gate: ", "remote rejected")
	})
	up.handle.set(nil)
	w.git("push", "-q", "origin", "HEAD:main")
	w.same(dir, "main", "HEAD")

	t.Run("ssh: it dies while it takes a push", func(t *testing.T) {
		up := overSSH(t)
		dir := up.seeded(t, "r", 3)
		write(t, dir+"/hooks/pre-receive", "#!/bin/sh\nkill -9 $PPID\n")
		run(t, dir, nil, "chmod", "755", "hooks/pre-receive")
		g := start(t, up, nil, "r")
		w := g.clone("r")
		w.commit("a", "a", "a")
		has(t, w.fails("push"), "git-gate: ", "broke off")
		run(t, dir, nil, "rm", "hooks/pre-receive")
		w.git("push", "-q")
		w.same(dir, "main", "HEAD")
	})
}

// An agent's git that is killed in the middle leaves nothing behind and nothing arrives.
func TestAgentThatHangsUp(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		dir := up.seeded(t, "r", 3)
		g := start(t, up, nil, "r")
		w := g.clone("r")
		w.write("large", randomText(30<<20))
		w.git("add", "large")
		w.git("commit", "-q", "-m", "large")
		cmd := exec.Command("git", "push", "-q", "origin", "HEAD:refs/heads/large")
		cmd.Dir, cmd.Env = w.dir, gitEnv(w.dir, nil)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wait(t, g.holds)
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		g.ear.Wait(t, sidecars.EventError, func(l sidecars.Line) bool { return l.Remote == "r" })
		lacks(t, dir, "large")
		g.clone("r")
	})
}

// holds says whether something of a push is held.
func (g *gate) holds() bool {
	out, _ := exec.Command("sh", "-c", fmt.Sprintf("ls -l /proc/self/fd /proc/%d/fd | grep -c '%s.*deleted'", syscall.Getpid(), g.spool)).Output()
	return strings.TrimSpace(string(out)) != "0"
}

func wait(t testing.TB, is func() bool) {
	t.Helper()
	for end := time.Now().Add(heard.Patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come to that")
		}
	}
}

func randomText(n int) string {
	b, _ := exec.Command("sh", "-c", fmt.Sprintf("head -c %d /dev/urandom | base64 -w 100 | head -c %d", n, n)).Output()
	return string(b)
}

func TestSizes(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		dir := up.seeded(t, "r", 1)
		g := start(t, up, func(r *gitgate.Remote) { r.MaxPush, r.MaxObject = 4<<20, 1<<20 }, "r")
		w := g.clone("r")
		w.commit("large", strings.Repeat("x", 2<<20), "large")
		has(t, w.fails("push", "origin", "HEAD:refs/heads/a"), "a file of 2048 KiB is larger than 1024 KiB", "max_object")
		w = g.clone("r")
		for i := range 8 {
			w.commit(fmt.Sprint("f", i), randomText(1<<20), "more")
		}
		has(t, w.fails("push", "origin", "HEAD:refs/heads/b"), "the push is larger than 4096 KiB", "max_push")
		lacks(t, dir, "a")
		lacks(t, dir, "b")
	})
}

func TestApprove(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		dir := up.seeded(t, "r", 3)
		g := start(t, up, func(r *gitgate.Remote) { r.Approve = true }, "r")
		push := func(w *work, ref string) (result func() (string, error), l sidecars.Line, kill func()) {
			ctx, cancel := context.WithCancel(context.Background())
			t.Cleanup(cancel)
			before := g.ear.Count(sidecars.EventPushWaits)
			cmd := exec.CommandContext(ctx, "git", "push", "origin", "HEAD:refs/heads/"+ref)
			cmd.Dir, cmd.Env = w.dir, gitEnv(w.dir, nil)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			wait(t, func() bool { return g.ear.Count(sidecars.EventPushWaits) > before })
			for _, l2 := range g.ear.Lines() {
				if l2.Event == sidecars.EventPushWaits {
					l = l2
				}
			}
			return func() (string, error) { err := cmd.Wait(); return out.String(), err }, l, cancel
		}
		t.Run("approved", func(t *testing.T) {
			w := g.clone("r")
			w.commit("new file", "one\ntwo\n", "the subject")
			w.commit("file0.txt", "changed\n", "another")
			result, l, _ := push(w, "main")
			p := l.Push
			if l.Remote != "r" || p == nil || len(p.Commits) != 2 || p.Commits[0].Subject != "another" || p.Refs[0].New != w.git("rev-parse", "HEAD") {
				t.Fatalf("%+v", p)
			}
			if len(p.Files) != 2 || p.Files[1].Path != "new file" || p.Files[1].Change != "added" || p.Files[1].Added != 2 ||
				p.Files[0].Path != "file0.txt" || p.Files[0].Change != "changed" || p.Files[0].Added != 1 || p.Files[0].Removed != 1 {
				t.Errorf("%+v", p.Files)
			}
			has(t, p.Diff, "+++ b/new file", "+one", "-line 0", "+changed")
			lacks(t, dir, "main@{now}^{/the subject}")
			g.say(fmt.Sprintf(`{"push":%q,"decision":"approved","note":"go on"}`, l.ID))
			out, err := result()
			if err != nil {
				t.Fatal(out)
			}
			has(t, out, "wait for the operator's approval", "the operator approved this push: go on")
			w.same(dir, "main", "HEAD")
			g.ear.Wait(t, sidecars.EventDelivered, func(d sidecars.Line) bool { return d.ID == l.ID && d.Decision == "approved" })
		})
		t.Run("denied", func(t *testing.T) {
			w := g.clone("r")
			w.commit("x", "x", "x")
			result, l, _ := push(w, "denied")
			g.say(fmt.Sprintf(`{"push":%q,"decision":"denied","note":"not today"}`, l.ID))
			out, err := result()
			if err == nil {
				t.Error("it worked")
			}
			has(t, out, "the operator denied this push: not today", "remote rejected")
			lacks(t, dir, "denied")
		})
		t.Run("taken back", func(t *testing.T) {
			w := g.clone("r")
			w.commit("y", "y", "y")
			result, l, kill := push(w, "back")
			kill()
			result()
			g.ear.Wait(t, sidecars.EventAbandoned, func(d sidecars.Line) bool { return d.ID == l.ID })
			g.say(fmt.Sprintf(`{"push":%q,"decision":"approved"}`, l.ID))
			g.ear.Wait(t, sidecars.EventError, func(d sidecars.Line) bool { return d.ID == l.ID && strings.Contains(d.Reason, "no push waits") })
			lacks(t, dir, "back")
		})
		t.Run("a secret is not even asked about", func(t *testing.T) {
			w := g.clone("r")
			w.commit("s", pat(3), "s")
			before := g.ear.Count(sidecars.EventPushWaits)
			has(t, w.fails("push", "origin", "HEAD:refs/heads/s"), "secret found")
			if g.ear.Count(sidecars.EventPushWaits) != before {
				t.Error("it was asked about")
			}
		})
	})
}

func TestReload(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		dir := up.seeded(t, "stays", 3)
		goes := up.seeded(t, "goes", 3)
		approve := func(r *gitgate.Remote) { r.Approve = true }
		g := start(t, up, approve, "stays", "goes")
		type result struct {
			out string
			err error
		}
		push := func(name string) chan result {
			w := g.clone(name)
			w.commit("x", "x", "x")
			done := make(chan result, 1)
			go func() {
				out, err := try(w.dir, nil, "git", "push", "origin", "HEAD:refs/heads/x")
				done <- result{out, err}
			}()
			g.ear.Wait(t, sidecars.EventPushWaits, func(l sidecars.Line) bool { return l.Remote == name })
			return done
		}
		one, two := push("stays"), push("goes")
		c := gitgate.Config{Identity: identity}
		up.config(&c)
		r := up.remote("stays")
		approve(&r)
		r.MaxPush = 1 << 20
		c.Remotes = []gitgate.Remote{r}
		g.reload(c)
		cut := <-two
		if cut.err == nil {
			t.Error("a push to a remote that was removed went on")
		}
		has(t, cut.out, "took the remote goes away")
		lacks(t, goes, "x")
		l := g.ear.Wait(t, sidecars.EventPushWaits, func(l sidecars.Line) bool { return l.Remote == "stays" })
		g.say(fmt.Sprintf(`{"push":%q,"decision":"approved"}`, l.ID))
		if kept := <-one; kept.err != nil {
			t.Errorf("a push was cut by a reload: %s", kept.out)
		}
		run(t, dir, nil, "git", "rev-parse", "--verify", "x")
		has(t, newWork(t, nil).fails("ls-remote", strings.Replace(g.url("stays"), "stays", "goes", 1)), "no remote of that name")
	})
}

func TestSecretsAndConfiguration(t *testing.T) {
	up := overHTTPS(t)
	up.seeded(t, "r", 1)
	c := gitgate.Config{Identity: identity, Remotes: []gitgate.Remote{up.remote("r")}}
	up.config(&c)
	g := launch(t, c)
	g.say("not JSON")
	g.ear.Wait(t, sidecars.EventError, func(l sidecars.Line) bool { return strings.Contains(l.Reason, "not one JSON object") })
	if n := g.ear.Count(sidecars.EventReady); n != 0 {
		t.Error("it is ready without its token")
	}
	g.say(`{"id":"x","tokens":{"` + tokenVar + `":"with a\nline end"}}`)
	g.ear.Wait(t, sidecars.EventError, func(l sidecars.Line) bool { return l.ID == "x" && strings.Contains(l.Reason, "control character") })
	g.give(map[string]string{tokenVar: token})
	g.ready()
	g.clone("r")
	c.Remotes = append(c.Remotes, gitgate.Remote{Name: "s", Upstream: "git@host.example.com:a/b.git", KnownHost: sshKeys().hostPublic, Secret: keyVar})
	g.configure(c)
	g.ear.Wait(t, sidecars.EventConfigError, func(l sidecars.Line) bool {
		return strings.Contains(l.Reason, "no value has come yet for the secret "+keyVar)
	})
	g.say(`{"id":"y","tokens":{"` + keyVar + `":"no key"}}`)
	g.ear.Wait(t, sidecars.EventTokens, func(l sidecars.Line) bool { return l.ID == "y" })
	write(t, g.configFile, "{}")
	g.ear.Wait(t, sidecars.EventConfigError, func(l sidecars.Line) bool { return strings.Contains(l.Reason, "identity") })
	g.configure(c)
	g.ear.Wait(t, sidecars.EventConfigError, func(l sidecars.Line) bool { return strings.Contains(l.Reason, "no private key") })
	for _, l := range g.ear.Lines() {
		if strings.Contains(fmt.Sprintf("%+v", l), token) {
			t.Errorf("the token was said: %+v", l)
		}
	}
}

// The git protocol's own tricks.
func TestRawGitProtocol(t *testing.T) {
	up := overSSH(t)
	dir := up.seeded(t, "r", 1)
	g := start(t, up, nil, "r")
	for name, c := range map[string]struct{ send, want string }{
		"another service":  {"git-upload-archive /r\x00host=x\x00", "is not served here"},
		"a shell's words":  {"git-upload-pack /r';id'\x00host=x\x00", "there is nothing at this address"},
		"another path":     {"git-upload-pack /../r\x00host=x\x00", "there is nothing at this address"},
		"an odd protocol":  {"git-upload-pack /r\x00host=x\x00\x00version=2;id\x00", "refs/heads/main"},
		"a known protocol": {"git-upload-pack /r\x00host=x\x00\x00version=2\x00", "version 2"},
	} {
		t.Run(name, func(t *testing.T) {
			c2, err := net.Dial("tcp", g.git)
			if err != nil {
				t.Fatal(err)
			}
			defer c2.Close()
			c2.SetDeadline(time.Now().Add(heard.Patience))
			fmt.Fprintf(c2, "%04x%s", len(c.send)+4, c.send)
			buf := make([]byte, 64<<10)
			n, _ := io.ReadAtLeast(c2, buf, 60)
			has(t, string(buf[:n]), c.want)
		})
	}
	if found, _ := filepath.Glob(dir + "/*';*"); found != nil {
		t.Error(found)
	}
}
