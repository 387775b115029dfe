package bottles

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// stuck is a screen that takes nothing until it is let go.
type stuck struct {
	let chan struct{}

	mu   sync.Mutex
	text bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.let
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}
func (s *stuck) Size() (int, int) { return 80, 24 }
func (s *stuck) Restarted()       {}

func (s *stuck) shows(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), text)
}

// terminals is an engine with one agent whose terminal is conn; it tells how its window is resized.
type terminals struct {
	Engine
	conn    io.ReadWriteCloser
	resized chan int // columns
}

func (e *terminals) Attach(context.Context, string) (io.ReadWriteCloser, error) { return e.conn, nil }

func (e *terminals) Resize(_ context.Context, _ string, cols, _ int) error {
	e.resized <- cols
	return nil
}

type pipe struct {
	*io.PipeReader
	io.Writer
}

// A screen that takes nothing does not stop the agent; once it takes something again, it has what was printed last, and
// the agent draws itself anew.
func TestAStuckScreenDoesNotStopItsAgent(t *testing.T) {
	screen := &stuck{let: make(chan struct{})}
	r, agent := io.Pipe()
	e := &terminals{conn: pipe{r, io.Discard}, resized: make(chan int, 16)}
	s, b := owned(t, e)
	s.cfg.Screens = func(string) Screen { return screen }
	if err := s.attach(t.Context(), b.Identity(), "agent", false); err != nil {
		t.Fatal(err)
	}
	printed := make(chan error, 1)
	go func() {
		line := strings.Repeat("x", 1<<10)
		for n := range 8 << 10 { // 8 MiB
			if _, err := fmt.Fprintf(agent, "%d %s\r\n", n, line); err != nil {
				printed <- err
				return
			}
		}
		_, err := io.WriteString(agent, "the end")
		printed <- err
	}()
	select {
	case err := <-printed:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(90 * time.Second):
		t.Fatal("the agent stands still")
	}
	close(screen.let)
	s.until(t, "the screen has the end", func() bool { return screen.shows("the end") })
	if !screen.shows(abortSequence) {
		t.Error("it goes on in the middle of what was cut")
	}
	select {
	case cols := <-e.resized:
		if cols != 79 {
			t.Errorf("its window got %d columns", cols)
		}
	case <-time.After(90 * time.Second):
		t.Fatal("the agent does not draw itself anew")
	}
	if _, err := io.WriteString(agent, eraseDisplay); err != nil {
		t.Fatal(err)
	}
	if cols := <-e.resized; cols != 80 {
		t.Errorf("then %d", cols)
	}

	// Before the program is suspended the terminal is let go of, and none is opened until it goes on.
	s.ReleaseTerminals()
	if _, err := io.WriteString(agent, "unread"); err == nil {
		t.Error("the attachment is still open")
	}
	if err := s.attach(t.Context(), b.Identity(), "agent", true); err != nil || s.attached(b.Identity()) {
		t.Errorf("it was opened, %v", err)
	}
	s.RetakeTerminals()
	if s.terminalsReleased() {
		t.Error("it will not be opened again")
	}
}
