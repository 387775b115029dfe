package gitgate_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"bottle-tui/sidecars/gitgate"
	"bottle-tui/sidecars/internal/heard"
)

// wire is a way to an upstream that a test can hold up or cut.
type wire struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	moved *sync.Cond
	down  int64 // bytes that may still come from the upstream; the others wait
	up    int64 // bytes that may still go to it
	ends  map[net.Conn]bool
}

const unbounded = int64(1) << 60

var addressInURL = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)

// wired is a remote whose upstream is reached by a wire of its own.
func (s *served) wired(t testing.TB, name string) (gitgate.Remote, *wire) {
	t.Helper()
	r := s.remote(name)
	w := &wire{to: addressInURL.FindString(r.Upstream), down: unbounded, up: unbounded, ends: map[net.Conn]bool{}}
	w.moved = sync.NewCond(&w.mu)
	var err error
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := w.listener.Accept()
			if err != nil {
				return
			}
			u, err := net.Dial("tcp", w.to)
			if err != nil {
				c.Close()
				continue
			}
			w.mu.Lock()
			w.ends[c], w.ends[u] = true, true
			w.mu.Unlock()
			all.Go(func() { w.carry(c, u, &w.down) })
			all.Go(func() { w.carry(u, c, &w.up) })
		}
	})
	t.Cleanup(func() {
		w.listener.Close()
		w.cut()
		all.Wait()
	})
	r.Upstream = addressInURL.ReplaceAllString(r.Upstream, w.listener.Addr().String())
	return r, w
}

// carry copies while the wire lets it.
func (w *wire) carry(to, from net.Conn, left *int64) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		w.mu.Lock()
		for *left < int64(n) && w.ends[from] {
			w.moved.Wait()
		}
		*left -= int64(n)
		w.mu.Unlock()
		if _, err2 := to.Write(buf[:n]); err != nil || err2 != nil {
			break
		}
	}
	to.Close()
	from.Close()
}

// let sets how many bytes may still go each way.
func (w *wire) let(down, up int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down, w.up = down, up
	w.moved.Broadcast()
}

// held waits until less than a buffer may go on.
func (w *wire) held(t testing.TB) {
	t.Helper()
	wait(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.down < 16<<10 || w.up < 16<<10
	})
}

// cut ends every connection.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.ends {
		c.Close()
		delete(w.ends, c)
	}
	w.moved.Broadcast()
}

// running is a git that was started.
type running struct {
	t    testing.TB
	cmd  *exec.Cmd
	out  bytes.Buffer
	done chan struct{}
	err  error
}

// begin starts git without waiting for its end.
func (w *work) begin(args ...string) *running {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	r := &running{t: w.t, cmd: exec.CommandContext(ctx, "git", args...), done: make(chan struct{})}
	r.cmd.Dir, r.cmd.Env = w.dir, gitEnv(w.dir, w.env)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r.cmd.Cancel = func() error { return syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL) }
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	if err := r.cmd.Start(); err != nil {
		cancel()
		w.t.Fatal(err)
	}
	go func() {
		r.err = r.cmd.Wait()
		cancel()
		close(r.done)
	}()
	w.t.Cleanup(func() {
		cancel()
		<-r.done
	})
	return r
}

// end waits for git's end and gives what it said.
func (r *running) end() (string, error) {
	r.t.Helper()
	select {
	case <-r.done:
		return r.out.String(), r.err
	case <-time.After(heard.Patience):
		r.t.Fatalf("git %q does not end", r.cmd.Args)
		return "", nil
	}
}

// randomBytes can't be packed, and cost the scan little.
func randomBytes(n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(b) //nolint:errcheck // it never fails
	return string(b)
}

// large makes a repository with one commit of n bytes that can't be packed.
func (s *served) large(t testing.TB, name string, n int) string {
	t.Helper()
	dir := s.bare(t, name)
	w := newWork(t, nil)
	w.git("init", "-q", "-b", "main", ".")
	w.commit("large", randomBytes(n), "large")
	w.git("push", "-q", dir, "main")
	return dir
}

// gated starts a git-gate for remotes as they are.
func gated(t testing.TB, up *served, change func(*gitgate.Options), remotes ...gitgate.Remote) *gate {
	t.Helper()
	c := gitgate.Config{Identity: identity, Remotes: remotes}
	up.config(&c)
	g := launch(t, c, func(o *gitgate.Options) {
		o.ProgressEvery, o.HoldEvery = 200*time.Millisecond, time.Millisecond
		if change != nil {
			change(o)
		}
	})
	g.give(map[string]string{tokenVar: token, keyVar: sshKeys().client})
	g.ready()
	return g
}
