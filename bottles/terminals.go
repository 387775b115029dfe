package bottles

import (
	"context"
	"io"
	"time"
)

// terminal is the one permanent attachment to an agent's terminal. Its reader never waits for the
// operator: what the agent prints goes to the bottle's screen as it comes, because an attachment
// that is not read stops the agent.
type terminal struct {
	sup      *Supervisor
	identity string
	conn     io.ReadWriteCloser
	keys     chan []byte
	size     chan [2]int // the latest wanted size
	erased   chan struct{}
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
	conn, err := s.cfg.Engine.Attach(s.ctx, container)
	if err != nil {
		return err
	}
	t := &terminal{sup: s, identity: identity, conn: conn, keys: make(chan []byte, 256), size: make(chan [2]int, 1), erased: make(chan struct{}, 1), done: make(chan struct{})}
	// From here on what is typed waits for the agent: whoever sees the replay may answer at once.
	s.mu.Lock()
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
	var out io.Writer = io.Discard
	if screen != nil {
		out = screen
	}
	if found { // only the window of such a program waits for it
		out = &erasing{Writer: out, told: t.erased}
	}
	s.spawn(func() { t.read(out) })
	s.spawn(func() { t.write() })
	s.spawn(func() {
		if found && screen != nil {
			t.redraw(container, screen)
		}
		t.resize(container)
	})
	return nil
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
	select {
	case <-t.erased:
	default:
	}
	if err := t.sup.cfg.Engine.Resize(t.sup.ctx, container, cols-1, rows); err != nil {
		t.sup.cfg.Log.Debug("redraw", "container", container, "err", err)
	}
	limit := time.NewTimer(redrawWithin)
	defer limit.Stop()
	select {
	case <-t.erased:
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

func (t *terminal) read(out io.Writer) {
	defer close(t.done)
	_, err := io.CopyBuffer(out, struct{ io.Reader }{t.conn}, make([]byte, 16<<10))
	t.sup.cfg.Log.Debug("terminal ended", "identity", t.identity, "err", err)
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

// eraseDisplay is the control sequence by which a program erases its whole screen (ECMA-48, ED with parameter 2).
const eraseDisplay = "\x1b[2J"

// erasing tells when eraseDisplay has passed, in one piece or in several.
type erasing struct {
	io.Writer
	told    chan<- struct{}
	matched int // how much of it has passed last
}

func (e *erasing) Write(b []byte) (int, error) {
	n, err := e.Writer.Write(b)
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

func (t *terminal) resize(container string) {
	for {
		select {
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
