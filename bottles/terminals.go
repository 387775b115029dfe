package bottles

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// terminal is the one permanent attachment to an agent's terminal. Its reader never waits, neither for the
// operator nor for the bottle's screen, because an attachment that is not read stops the agent: a screen that falls
// behind misses what was printed, and the program is then made to draw itself anew.
type terminal struct {
	sup      *Supervisor
	identity string
	conn     io.ReadWriteCloser
	keys     chan []byte
	size     chan [2]int   // the latest wanted size
	behind   chan struct{} // the screen missed something and has caught up
	erasing  *erasing
	done     chan struct{}
}

// replayLines is how much of an earlier output is given again when a running agent is found.
const replayLines = 1000

// attach opens the terminal of an agent container, before it starts or, with found, while it runs.
func (s *Supervisor) attach(ctx context.Context, identity, container string, found bool) error {
	var screen Screen
	if s.cfg.Screens != nil {
		screen = s.cfg.Screens(identity)
	}
	s.detach(identity)
	if s.terminalsReleased() {
		return nil // it is taken again with the others
	}
	conn, err := s.cfg.Engine.Attach(s.ctx, container)
	if err != nil {
		return err
	}
	t := &terminal{sup: s, identity: identity, conn: conn, keys: make(chan []byte, 256), size: make(chan [2]int, 1), behind: make(chan struct{}, 1), done: make(chan struct{})}
	// From here on what is typed waits for the agent: whoever sees the replay may answer at once.
	s.mu.Lock()
	if s.released {
		s.mu.Unlock()
		return conn.Close()
	}
	s.terminals[identity] = t
	if e := s.early[identity]; e != nil && found {
		e.give(t.keys, s.cfg.Now())
	}
	delete(s.early, identity)
	s.mu.Unlock()
	if screen != nil {
		screen.Restarted()
		if found {
			s.replay(ctx, container, screen)
		}
	}
	t.erasing = &erasing{Writer: io.Discard, told: make(chan struct{}, 1)}
	if screen != nil {
		t.erasing.Writer = screen
	}
	s.spawn(func() { t.read() })
	s.spawn(func() { t.write() })
	s.spawn(func() {
		if found && screen != nil {
			t.redraw(container, screen)
		}
		t.resize(container, screen)
	})
	return nil
}

// ReleaseTerminals lets go of every agent's terminal and opens none until RetakeTerminals: for a program that is about to
// be suspended, since it would not read them, and an attachment that is not read stops its agent. The agents go on.
func (s *Supervisor) ReleaseTerminals() {
	s.mu.Lock()
	s.released = true
	var all []string
	for identity := range s.terminals {
		all = append(all, identity)
	}
	s.mu.Unlock()
	for _, identity := range all {
		s.detach(identity)
	}
}

// RetakeTerminals opens the terminals of the agents that run again, after ReleaseTerminals; they draw themselves anew.
func (s *Supervisor) RetakeTerminals() {
	s.mu.Lock()
	s.released = false
	s.mu.Unlock()
	s.post(s.observe)
}

func (s *Supervisor) terminalsReleased() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.released
}

// redrawWithin is how long the window of a program that was found running is smaller at most.
const redrawWithin = 5 * time.Second

// redraw makes a program draw itself anew, which it does when its window changes: the window is smaller until the
// program has erased its screen. A busy one looks at the window's size some time after it was told of a change, prints
// other things until then, and sees no change if the size is the old one again.
func (t *terminal) redraw(container string, screen Screen) {
	cols, rows := screen.Size()
	if cols < 2 {
		return
	}
	t.erasing.watch(true)
	defer t.erasing.watch(false)
	if err := t.sup.cfg.Engine.Resize(t.sup.ctx, container, cols-1, rows); err != nil {
		t.sup.cfg.Log.Debug("redraw", "container", container, "err", err)
	}
	limit := time.NewTimer(redrawWithin)
	defer limit.Stop()
	select {
	case <-t.erasing.told:
	case <-limit.C: // it draws line by line
	case <-t.done:
	case <-t.sup.ctx.Done():
	}
	cols, rows = screen.Size()
	select {
	case t.size <- [2]int{cols, rows}:
	default: // one is wanted already
	}
}

// replay gives the end of what a running agent printed to its screen.
func (s *Supervisor) replay(ctx context.Context, container string, screen Screen) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := s.cfg.Engine.Logs(ctx, container, replayLines, false)
	if err != nil {
		s.cfg.Log.Warn("replay", "container", container, "err", err)
		return
	}
	defer r.Close()
	if _, err := io.Copy(screen, io.LimitReader(r, 1<<20)); err != nil {
		s.cfg.Log.Warn("replay", "container", container, "err", err)
	}
}

// detach closes a bottle's terminal; the agent does not notice.
func (s *Supervisor) detach(identity string) {
	s.mu.Lock()
	t := s.terminals[identity]
	delete(s.terminals, identity)
	s.mu.Unlock()
	if t != nil {
		t.conn.Close()
		<-t.done
	}
}

// attached says whether a bottle's terminal is open.
func (s *Supervisor) attached(identity string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.terminals[identity] != nil
}

// abortSequence ends what a program was in the middle of when its output was cut: a control sequence or string (CAN),
// a frame that is held back (mode 2026), its colours.
const abortSequence = "\x18\x1b[?2026l\x1b[0m"

func (t *terminal) read() {
	defer close(t.done)
	from := newBacklog()
	t.sup.spawn(func() {
		defer from.end()
		p := make([]byte, 16<<10)
		for {
			n, err := t.conn.Read(p)
			from.put(p[:n])
			if err != nil {
				t.sup.cfg.Log.Debug("terminal ended", "identity", t.identity, "err", err)
				return
			}
		}
	})
	t.draw(from)
	t.conn.Close()
	t.sup.mu.Lock()
	if t.sup.terminals[t.identity] == t {
		delete(t.sup.terminals, t.identity)
	}
	t.sup.mu.Unlock()
	if t.sup.ctx.Err() == nil {
		t.sup.post(t.sup.observe) // if the agent still runs, it is attached to again
	}
}

// draw gives the screen what comes, until the end.
func (t *terminal) draw(from *backlog) {
	missed := false
	for p, lost, ok := from.take(nil); ok; p, lost, ok = from.take(p) {
		if lost {
			missed = true
			_, _ = t.erasing.Write([]byte(abortSequence)) // a screen does not fail
		}
		_, _ = t.erasing.Write(p)
		if missed && from.empty() {
			missed = false
			select {
			case t.behind <- struct{}{}:
			default: // it will draw itself anew in any case
			}
		}
	}
}

// eraseDisplay is the control sequence by which a program erases its whole screen (ECMA-48, ED with parameter 2).
const eraseDisplay = "\x1b[2J"

// erasing tells, while somebody watches, when eraseDisplay has passed, in one piece or in several.
type erasing struct {
	io.Writer
	told    chan struct{}
	watched atomic.Bool
	matched int // how much of it has passed last
}

func (e *erasing) watch(on bool) {
	e.watched.Store(on)
	select {
	case <-e.told: // of an earlier time
	default:
	}
}

func (e *erasing) Write(b []byte) (int, error) {
	n, err := e.Writer.Write(b)
	if !e.watched.Load() {
		e.matched = 0
		return n, err
	}
	for _, c := range b {
		switch c {
		case eraseDisplay[e.matched]:
			e.matched++
		case eraseDisplay[0]:
			e.matched = 1
		default:
			e.matched = 0
		}
		if e.matched == len(eraseDisplay) {
			e.matched = 0
			select {
			case e.told <- struct{}{}:
			default:
			}
		}
	}
	return n, err
}

func (t *terminal) write() {
	for {
		select {
		case p := <-t.keys:
			if _, err := t.conn.Write(p); err != nil {
				return
			}
		case <-t.done:
			return
		case <-t.sup.ctx.Done():
			t.conn.Close()
			return
		}
	}
}

// resize brings the terminal's size to the agent as it changes, and makes a program draw itself anew whose screen missed
// what it printed.
func (t *terminal) resize(container string, screen Screen) {
	for {
		select {
		case <-t.behind:
			if screen != nil {
				t.redraw(container, screen)
			}
		case size := <-t.size:
			if err := t.sup.cfg.Engine.Resize(t.sup.ctx, container, size[0], size[1]); err != nil {
				t.sup.cfg.Log.Debug("resize", "container", container, "err", err)
			}
		case <-t.done:
			return
		case <-t.sup.ctx.Done():
			return
		}
	}
}

// early is what was typed while an agent's terminal was not open, as when the engine has just come back. An agent that
// is found running gets all of it, or when it is too much or too old nothing: half a line says something else.
type early struct {
	since time.Time
	keys  [][]byte
	bytes int
}

// Bounds on what is kept for a terminal that is yet to be opened.
const (
	earlyWithin = 30 * time.Second
	earlyBytes  = 4 << 10
	earlyKeys   = 128
)

func (e *early) give(to chan<- []byte, now time.Time) {
	if e.bytes > earlyBytes || len(e.keys) > earlyKeys || now.Sub(e.since) > earlyWithin {
		return
	}
	for _, p := range e.keys {
		to <- p // it has room for more
	}
}

// Type gives keys to an agent's terminal. It never blocks: an agent that does not read its keyboard
// loses what is typed after some hundred strokes.
func (s *Supervisor) Type(identity string, p []byte) {
	s.mu.Lock()
	t := s.terminals[identity]
	if t == nil {
		e := s.early[identity]
		if e == nil {
			e = &early{since: s.cfg.Now()}
			s.early[identity] = e
		}
		if e.bytes += len(p); e.bytes <= earlyBytes && len(e.keys) <= earlyKeys {
			e.keys = append(e.keys, append([]byte(nil), p...))
		}
	}
	s.mu.Unlock()
	if t == nil {
		return
	}
	select {
	case t.keys <- append([]byte(nil), p...):
	default:
	}
}

// Resize tells an agent's terminal its size in cells. It never blocks; the latest size wins.
func (s *Supervisor) Resize(identity string, cols, rows int) {
	s.mu.Lock()
	t := s.terminals[identity]
	s.mu.Unlock()
	if t == nil {
		return
	}
	for {
		select {
		case t.size <- [2]int{cols, rows}:
			return
		default:
		}
		select {
		case <-t.size:
		default:
		}
	}
}
