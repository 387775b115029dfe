package docker_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle-tui/bottles"
)

// screen collects what is read from an attachment; its goroutine ends with the attachment.
type screen struct {
	io.ReadWriteCloser
	mu   sync.Mutex
	text bytes.Buffer
	err  error
	done chan struct{}
}

func (r *rig) attach(ctx context.Context, name string) *screen {
	r.t.Helper()
	conn, err := r.Attach(ctx, name)
	r.ok(err)
	s := &screen{ReadWriteCloser: conn, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		_, s.err = io.Copy(s, struct{ io.Reader }{conn})
	}()
	r.t.Cleanup(func() { _ = conn.Close(); <-s.done })
	return s
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) typed(p string) error {
	_, err := s.ReadWriteCloser.Write([]byte(p))
	return err
}

func (s *screen) has(text string) func() bool {
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return strings.Contains(s.text.String(), text)
	}
}

func (r *rig) terminal(name string, args ...string) bottles.ContainerSpec {
	spec := r.spec(name, args...)
	spec.Terminal, spec.Cols, spec.Rows = true, 97, 31
	return spec
}

func TestTerminalCarriesEveryByte(t *testing.T) {
	r := newRig(t)
	spec := r.terminal("c", "echo")
	r.ok(r.CreateContainer(r.ctx, spec))
	s := r.attach(r.ctx, spec.Name) // before the start: nothing is missed
	r.ok(r.StartContainer(r.ctx, spec.Name))
	r.until("the program", s.has("<ready>"))
	r.until("the first size", s.has("<size 97x31>"))
	r.ok(r.Resize(r.ctx, spec.Name, 120, 40))
	r.until("the new size", s.has("<size 120x40>"))
	for _, keys := range []string{"\x10", "\x10\x11", "\x1e\x1f", "plain text", "\x03\x04\x1a\x1c", "\x1b[A\x00\xff\xfe"} {
		r.ok(s.typed("[" + keys + "]"))
		r.until("the echo of "+keys, s.has("["+keys+"]"))
	}
	other := r.attach(r.ctx, spec.Name) // a second one sees, and types, too
	r.ok(other.typed("[two]"))
	r.until("the echo on one screen", s.has("[two]"))
	r.until("the echo on the other", other.has("[two]"))
	r.ok(other.Close())
	r.ok(s.typed("[still here]"))
	r.until("the echo", s.has("[still here]"))
	r.ok(r.StopContainer(r.ctx, spec.Name, 5*time.Second))
	<-s.done
	if s.err != nil || !s.has("<asked to end>")() {
		t.Errorf("the end is %v, the screen %q", s.err, s.text.String())
	}
	if err := s.typed("x"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("typing to an ended container: %v", err)
	}
	wantErr(t, r.Resize(r.ctx, spec.Name, 80, 24), nil, spec.Name, "80×24")
	wantErr(t, r.Resize(r.ctx, spec.Name, 0, 24), nil, "at least one column")
}

func TestTerminalLosesNothingOfAFlood(t *testing.T) {
	r := newRig(t)
	const size = 5_000_000
	spec := r.terminal("c", "flood", "5000000")
	spec.Cols, spec.Rows = 0, 0
	r.ok(r.CreateContainer(r.ctx, spec))
	s := r.attach(r.ctx, spec.Name)
	r.ok(r.StartContainer(r.ctx, spec.Name))
	r.until("the program", s.has("<ready>"))
	r.ok(s.typed("g"))
	r.until("all of it", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.text.Len() >= size+len("<ready>") })
	r.ok(s.typed("e"))
	<-s.done
	_, flood, _ := bytes.Cut(s.text.Bytes(), []byte("<ready>"))
	if len(flood) != size {
		t.Fatalf("%d bytes of %d", len(flood), size)
	}
	for i, b := range flood {
		if b != byte(i%251) {
			t.Fatalf("byte %d is %d", i, b)
		}
	}
}

func TestAttachEndsWithItsContextAndClose(t *testing.T) {
	r := newRig(t)
	spec := r.terminal("c", "echo")
	r.ok(r.CreateContainer(r.ctx, spec))
	ctx, cancel := context.WithCancel(r.ctx)
	s := r.attach(ctx, spec.Name)
	cancel()
	<-s.done
	if !errors.Is(s.err, context.Canceled) {
		t.Errorf("reading after the context's end: %v", s.err)
	}
	if err := s.typed("x"); !errors.Is(err, context.Canceled) {
		t.Errorf("writing after the context's end: %v", err)
	}
	s = r.attach(r.ctx, spec.Name)
	r.ok(s.Close())
	r.ok(s.Close())
	<-s.done
	if !errors.Is(s.err, io.ErrClosedPipe) {
		t.Errorf("reading after Close: %v", s.err)
	}
	r.ok(r.StartContainer(r.ctx, spec.Name))
	if c, err := r.Container(r.ctx, spec.Name); err != nil || c.State != bottles.StateRunning {
		t.Errorf("the container is %+v, %v", c, err)
	}
	_, err := r.Attach(ctx, spec.Name)
	wantErr(t, err, context.Canceled)
	_, err = r.Attach(r.ctx, r.name("none"))
	wantErr(t, err, bottles.ErrNotFound, r.name("none"))
	r.ok(r.CreateContainer(r.ctx, r.spec("plain", "wait")))
	_, err = r.Attach(r.ctx, r.name("plain"))
	wantErr(t, err, nil, "no terminal")
}

func TestLogs(t *testing.T) {
	r := newRig(t)
	plain := r.spec("plain", "print", "3")
	if out := r.output(plain); strings.Count(out, "\n") != 6 || !strings.Contains(out, "out 0\n") || !strings.Contains(out, "err 2\n") || strings.ContainsAny(out, "\x00\x01\x02") {
		t.Errorf("joined log %q", out)
	}
	tail, err := r.Logs(r.ctx, plain.Name, 2, true)
	r.ok(err)
	text, err := io.ReadAll(tail)
	r.ok(err)
	r.ok(tail.Close())
	if strings.Count(string(text), "\n") != 2 {
		t.Errorf("the last two lines are %q", text)
	}
	if out := r.output(r.terminal("tty", "print", "1")); out != "out 0\r\nerr 0\r\n" {
		t.Errorf("log of a terminal %q", out)
	}
	_, err = r.Logs(r.ctx, r.name("none"), 0, true)
	wantErr(t, err, bottles.ErrNotFound, r.name("none"))
}

func TestLogsAreFollowedPromptly(t *testing.T) {
	r := newRig(t)
	for _, terminal := range []bool{false, true} {
		spec := r.spec("plain", "tell")
		if terminal {
			spec = r.terminal("tty", "tell")
		}
		r.start(spec)
		log, err := r.Logs(r.ctx, spec.Name, 0, true)
		r.ok(err)
		buf := make([]byte, 100)
		n, err := log.Read(buf) // comes although nothing follows it
		r.ok(err)
		if strings.TrimSpace(string(buf[:n])) != "first" {
			t.Errorf("first %q", buf[:n])
		}
		r.ok(r.StopContainer(r.ctx, spec.Name, 5*time.Second))
		rest, err := io.ReadAll(log)
		if err != nil || strings.TrimSpace(string(rest)) != "second" {
			t.Errorf("then %q, %v", rest, err)
		}
		r.ok(log.Close())
		r.ok(r.RemoveContainer(r.ctx, spec.Name))
		// Given up in the middle, by context and by Close, read and unread.
		r.start(spec)
		ctx, cancel := context.WithCancel(r.ctx)
		log, err = r.Logs(ctx, spec.Name, 0, true)
		r.ok(err)
		cancel()
		_, err = io.ReadAll(log)
		wantErr(t, err, context.Canceled, spec.Name)
		r.ok(log.Close())
		log, err = r.Logs(r.ctx, spec.Name, 0, true)
		r.ok(err)
		r.ok(log.Close())
	}
}
