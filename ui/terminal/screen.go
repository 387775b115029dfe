// Package terminal is an agent's terminal inside the program: what the agent prints goes in as bytes,
// what the operator sees comes out as rows of cells. The bytes pass a filter first, which knows every
// sequence that it lets through. Nothing that an agent prints may come out raw: no title, no clipboard,
// no query, no sequence.
package terminal

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a Screen.
const (
	// MaxScrollback is the most lines of scrollback.
	MaxScrollback = 1000
	maxCols       = 1000
	maxRows       = 500
	// holdFor is how long a program may keep the screen from changing (mode 2026).
	holdFor = 150 * time.Millisecond
	// maxHeld is how many bytes are held meanwhile.
	maxHeld = 256 << 10
	// turn is how long a Write keeps others from looking.
	turn = 2 * time.Millisecond
)

// Screen is one agent's terminal. Its methods may be called from any goroutine. It implements
// bottles.Screen.
type Screen struct {
	version atomic.Uint64
	reply   func([]byte)

	writing sync.Mutex // one stream at a time goes through the parser; taken before mu
	parser  parser
	hold    hold

	mu     sync.Mutex
	filter *filter
	closed bool
	frame  frame
	rings  bool // the bell rang and nobody was told yet
	moved  bool // the version grew and nobody was told yet
	ring   func()
	dirty  func()

	replying sync.Mutex // keeps answers in order; taken before mu
}

// hold is the output that came since the program set mode 2026: it is drawn in one piece.
type hold struct {
	on    bool
	bytes []byte
	count uint64 // which hold it is
	timer *time.Timer
}

// frame is what Rows gave last.
type frame struct {
	rows    []string
	version uint64
	scroll  int
}

// New makes a terminal of cols×rows cells that keeps at most scrollback lines (at most MaxScrollback).
// What the agent's program must be answered (its queries) goes to reply, in order and never under a
// lock of the Screen. A reply that blocks holds back the Write that caused it; it must not call Write.
// reply may be nil.
func New(cols, rows, scrollback int, reply func([]byte)) *Screen {
	cols, rows = bounded(cols, rows)
	return &Screen{filter: newFilter(cols, rows, min(max(scrollback, 0), MaxScrollback)), reply: reply}
}

func bounded(cols, rows int) (int, int) {
	return min(max(cols, 1), maxCols), min(max(rows, 1), maxRows)
}

// Write takes what the agent printed. It never fails; after Close it does nothing.
func (s *Screen) Write(p []byte) (int, error) {
	s.writing.Lock()
	s.feed(p)
	s.writing.Unlock()
	s.tell()
	return len(p), nil
}

// feed brings p to the screen, or to the hold. Called with writing locked.
func (s *Screen) feed(p []byte) {
	for len(p) > 0 {
		if !s.hold.on {
			n, began := s.process(p, true)
			p = p[n:]
			if began {
				s.beginHold()
			}
			continue
		}
		n, complete := s.hold.take(p)
		p = p[n:]
		if complete || len(s.hold.bytes) > maxHeld {
			s.endHold(!complete)
		}
	}
}

// take keeps p up to the end of the hold, if p has it.
func (h *hold) take(p []byte) (n int, complete bool) {
	const mark = "\x1b[?2026l"
	// The mark may have begun in what is held already.
	held := h.bytes[max(len(h.bytes)-len(mark)+1, 0):]
	var seam [2 * len(mark)]byte
	n = copy(seam[:], held)
	n += copy(seam[n:], p[:min(len(p), len(mark)-1)])
	if i := bytes.Index(seam[:n], []byte(mark)); i >= 0 {
		n, complete = i+len(mark)-len(held), true
	} else if i := bytes.Index(p, []byte(mark)); i >= 0 {
		n, complete = i+len(mark), true
	} else {
		n = len(p)
	}
	h.bytes = append(h.bytes, p[:n]...)
	return n, complete
}

// process takes p until its end or, with stop, until a hold begins. Others get to look at the screen in
// between.
func (s *Screen) process(p []byte, stop bool) (n int, began bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := time.Now()
	for n < len(p) && !began {
		if s.closed {
			return len(p), false
		}
		before := s.filter.modes.on[modeSynchronised]
		n += s.parser.next(p[n:], s.filter)
		began = stop && !before && s.filter.modes.on[modeSynchronised]
		if time.Since(since) > turn {
			s.mu.Unlock()
			s.mu.Lock()
			since = time.Now()
		}
	}
	s.noteChange()
	return n, began
}

// noteChange is called with mu locked.
func (s *Screen) noteChange() {
	if s.filter.changed {
		s.filter.changed = false
		s.moved = true
		s.version.Add(1)
	}
	s.rings = s.rings || s.filter.rings
	s.filter.rings = false
}

// tell calls, with nothing locked, whoever wants to know of what happened.
func (s *Screen) tell() {
	s.replying.Lock()
	s.mu.Lock()
	replies, ring, dirty := s.filter.replies, s.ring, s.dirty
	rings, moved := s.rings, s.moved
	s.filter.replies, s.rings, s.moved = nil, false, false
	s.mu.Unlock()
	if len(replies) > 0 && s.reply != nil {
		s.reply(replies)
	}
	s.replying.Unlock()
	if rings && ring != nil {
		ring()
	}
	if moved && dirty != nil {
		dirty()
	}
}

func (s *Screen) beginHold() {
	s.hold.on = true
	s.hold.count++
	count := s.hold.count
	s.hold.timer = time.AfterFunc(holdFor, func() {
		s.writing.Lock()
		if s.hold.on && s.hold.count == count {
			s.endHold(true)
		}
		s.writing.Unlock()
		s.tell()
	})
}

// endHold brings what was held to the screen; with late, the program did not say that its frame is
// complete. If it has begun another one in an unusual way, that is held from here on.
func (s *Screen) endHold(late bool) {
	s.hold.timer.Stop()
	s.hold.on = false
	if late {
		s.mu.Lock()
		s.filter.modes.on[modeSynchronised] = false
		s.mu.Unlock()
	}
	held := s.hold.bytes
	s.hold.bytes = held[:0]
	if cap(held) > maxHeld/8 {
		s.hold.bytes = nil
	}
	s.process(held, false)
	s.mu.Lock()
	again := s.filter.modes.on[modeSynchronised] && !s.closed
	s.mu.Unlock()
	if again {
		s.beginHold()
	}
}

// Size is the size in cells.
func (s *Screen) Size() (cols, rows int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.filter.cols, s.filter.rows
}

// Resize changes the size in cells; it is brought into 1×1 to 1000×500.
func (s *Screen) Resize(cols, rows int) {
	cols, rows = bounded(cols, rows)
	s.mu.Lock()
	if (s.filter.cols != cols || s.filter.rows != rows) && !s.closed {
		s.filter.prose.settle()
		s.filter.resize(cols, rows)
		s.noteChange()
	}
	s.mu.Unlock()
	s.tell()
}

// Restarted forgets everything, scrollback and title too: what follows comes from a new program, or is an
// earlier output from its beginning.
func (s *Screen) Restarted() {
	s.writing.Lock()
	s.dropHold()
	s.parser = parser{}
	s.mu.Lock()
	s.filter.reset()
	s.filter.history.clear()
	s.filter.title, s.filter.replies = "", nil
	s.noteChange()
	s.mu.Unlock()
	s.writing.Unlock()
	s.tell()
}

// Close ends the terminal. What it shows stays; a later Write or Resize does nothing.
func (s *Screen) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.writing.Lock()
	s.dropHold()
	s.writing.Unlock()
}

// dropHold forgets what is held.
func (s *Screen) dropHold() {
	if s.hold.on {
		s.hold.timer.Stop()
	}
	s.hold.on, s.hold.bytes = false, nil
}

// Version grows whenever what would be drawn changed, the title included. It costs an atomic load.
func (s *Screen) Version() uint64 { return s.version.Load() }

// Bell sets what is called when the program rings: once for each Write at most, under no lock.
func (s *Screen) Bell(ring func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring = ring
}

// SetDirty sets what is called when the version has grown, under no lock of the Screen, from the goroutine
// that made the change. It should be quick; telling of many changes as one is up to it.
func (s *Screen) SetDirty(changed func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty = changed
}
