package bottles

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// brief is an engine with one agent, which prints and ends at set times after its start; zero: never.
type brief struct {
	Engine
	began         time.Time
	prints, lives time.Duration
	gone, failing error // of its container and of its log
}

func (e *brief) over() bool { return e.lives > 0 && time.Since(e.began) >= e.lives }

func (e *brief) Container(context.Context, string) (Container, error) {
	c := Container{ID: "c1", Name: "claude-bottle-coder-k3x9q", State: StateRunning, StartedAt: e.began}
	if e.over() {
		c.State, c.ExitCode, c.EndedAt = StateExited, 2, e.began.Add(e.lives)
	}
	return c, e.gone
}

func (e *brief) Logs(_ context.Context, _ string, _ int, follow bool) (io.ReadCloser, error) {
	if !follow || e.failing != nil {
		return io.NopCloser(strings.NewReader("usage: coder\nunknown flag\x1b[2J --session-id\n")), e.failing
	}
	r, w := io.Pipe()
	if e.prints > 0 {
		time.AfterFunc(e.prints, func() { _, _ = w.Write([]byte("usage: coder\n")) })
	}
	if e.lives > 0 {
		time.AfterFunc(e.lives, func() { _ = w.Close() })
	}
	return r, nil
}

// An agent that ends within some moments of its start is told, and one that stays is not waited for longer than it takes.
func TestWhetherAnAgentStaysUp(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		engine brief
		want   string // "": it stays
		took   time.Duration
	}{
		"prints and stays":        {brief{prints: 100 * ms}, "", 1100 * ms},
		"prints late and stays":   {brief{prints: 2900 * ms}, "", 3900 * ms},
		"prints nothing":          {brief{}, "", 3000 * ms},
		"ends later":              {brief{prints: 100 * ms, lives: 5000 * ms}, "", 1100 * ms},
		"ends at once":            {brief{lives: 1 * ms}, "ended 0.0 s after its start: exit code 2; it said last:\nusage: coder\nunknown flag␛[2J --session-id", 1 * ms},
		"begins slowly, and ends": {brief{prints: 2500 * ms, lives: 2600 * ms}, "ended 2.6 s after its start: exit code 2", 2600 * ms},
		"is removed":              {brief{prints: 100 * ms, gone: ErrNotFound}, "was removed since", 1100 * ms},
		"can't be looked at":      {brief{failing: ErrUnavailable}, "can't be told", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			c.engine.began = time.Now()
			err := StaysUp(t.Context(), &c.engine, "coder-k3x9q")
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: it says %v", name, err)
			}
			if took := time.Since(c.engine.began); took != c.took {
				t.Errorf("%s: it took %v, not %v", name, took, c.took)
			}
			time.Sleep(10 * time.Second) // the fake's own timers
		})
	}
	synctest.Test(t, func(t *testing.T) { // nobody waits any more
		ctx, cancel := context.WithTimeout(t.Context(), 500*ms)
		defer cancel()
		if err := StaysUp(ctx, &brief{began: time.Now()}, "coder-k3x9q"); err != nil {
			t.Errorf("given up, it says %v", err)
		}
	})
}

// What an agent printed last is told with an end soon after its start, and not with a later one.
func TestASoonEndIsToldWithWhatWasPrinted(t *testing.T) {
	s, _ := owned(t, &brief{})
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	if said := s.lastLine(Container{StartedAt: at, EndedAt: at.Add(time.Second)}); said != "; it said last: unknown flag␛[2J --session-id" {
		t.Errorf("soon it says %q", said)
	}
	if said := s.lastLine(Container{StartedAt: at, EndedAt: at.Add(time.Hour)}); said != "" {
		t.Errorf("later it says %q", said)
	}
	s, _ = owned(t, &brief{failing: errors.New("no log")})
	if said := s.lastLine(Container{StartedAt: at, EndedAt: at.Add(time.Second)}); said != "" {
		t.Errorf("without a log it says %q", said)
	}
}
