package bottles

import "sync"

// backlog is what an agent printed and its screen has not taken yet. Putting into it never waits: where the screen falls
// behind by more than maxBacklog, what is kept is dropped, and the screen takes what comes after that. So no screen, however
// slow or stuck, holds an agent up.
type backlog struct {
	mu    sync.Mutex
	moved *sync.Cond
	bytes []byte
	lost  bool // something was dropped since the last take
	ended bool
}

// maxBacklog bounds a backlog, in bytes.
const maxBacklog = 1 << 20

func newBacklog() *backlog {
	b := &backlog{}
	b.moved = sync.NewCond(&b.mu)
	return b
}

func (b *backlog) put(p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.bytes)+len(p) > maxBacklog {
		b.bytes, b.lost = b.bytes[:0], true
	}
	b.bytes = append(b.bytes, p...)
	b.moved.Signal()
}

// end says that nothing is put any more.
func (b *backlog) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.moved.Signal()
}

// take waits for what was put, and gives it in exchange for into, whose memory is used again. lost says that something
// before it was dropped; ok is false at the end.
func (b *backlog) take(into []byte) (p []byte, lost, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.bytes) == 0 && !b.ended {
		b.moved.Wait()
	}
	if len(b.bytes) == 0 {
		return nil, false, false
	}
	if cap(into) > keptBacklog {
		into = nil
	}
	p, lost = b.bytes, b.lost
	b.bytes, b.lost = into[:0], false
	return p, lost, true
}

// keptBacklog is how much memory, in bytes, is kept for what comes next.
const keptBacklog = 64 << 10

func (b *backlog) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.bytes) == 0
}
