package terminal

import (
	"slices"
	"sync"
)

// Set is the terminals of all bottles, by identity. Its methods may be called from any goroutine.
type Set struct {
	scrollback int
	reply      func(identity string, p []byte)
	wake       chan struct{}

	mu         sync.Mutex
	cols, rows int
	screens    map[string]*Screen
	changed    map[string]bool
}

// NewSet makes an empty set; new screens get the size and the scrollback given here. reply gets what an
// agent's program must be answered, on the terms of New; it may be nil.
func NewSet(cols, rows, scrollback int, reply func(identity string, p []byte)) *Set {
	return &Set{
		scrollback: scrollback, reply: reply, cols: cols, rows: rows, wake: make(chan struct{}, 1),
		screens: make(map[string]*Screen), changed: make(map[string]bool),
	}
}

// For is the identity's screen; it is made when there is none yet.
func (t *Set) For(identity string) *Screen {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.screens[identity]; s != nil {
		return s
	}
	var reply func([]byte)
	if t.reply != nil {
		reply = func(p []byte) { t.reply(identity, p) }
	}
	s := New(t.cols, t.rows, t.scrollback, reply)
	s.SetDirty(func() { t.note(identity) })
	t.screens[identity] = s
	return s
}

// note never blocks.
func (t *Set) note(identity string) {
	t.mu.Lock()
	if t.screens[identity] != nil {
		t.changed[identity] = true
	}
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Drop closes and forgets the identity's screen, if there is one. For makes a new one.
func (t *Set) Drop(identity string) {
	t.mu.Lock()
	s := t.screens[identity]
	delete(t.screens, identity)
	delete(t.changed, identity)
	t.mu.Unlock()
	if s != nil {
		s.Close()
	}
}

// Resize sets the size of all screens, those to come included.
func (t *Set) Resize(cols, rows int) {
	t.mu.Lock()
	t.cols, t.rows = cols, rows
	all := make([]*Screen, 0, len(t.screens))
	for _, s := range t.screens {
		all = append(all, s)
	}
	t.mu.Unlock()
	for _, s := range all {
		s.Resize(cols, rows)
	}
}

// Dirty gets a value after one or more screens changed; Changed then says which. It is never closed.
func (t *Set) Dirty() <-chan struct{} { return t.wake }

// Changed is the identities whose screens changed since it was called last, sorted.
func (t *Set) Changed() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]string, 0, len(t.changed))
	for identity := range t.changed {
		out = append(out, identity)
	}
	clear(t.changed)
	slices.Sort(out)
	return out
}

// Close closes every screen.
func (t *Set) Close() {
	t.mu.Lock()
	all := t.screens
	t.screens, t.changed = make(map[string]*Screen), make(map[string]bool)
	t.mu.Unlock()
	for _, s := range all {
		s.Close()
	}
}
