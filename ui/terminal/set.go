package terminal

// Set is the terminals of all bottles, by identity.
type Set struct{}

// NewSet makes an empty set. New screens get the size and scrollback given here.
func NewSet(cols, rows, scrollback int, reply func(identity string, p []byte)) *Set { return &Set{} }

// For is the identity's screen, made when there is none yet.
func (s *Set) For(identity string) *Screen { return New(80, 24, 0, nil) }

// Drop closes and forgets the identity's screen.
func (s *Set) Drop(identity string) {}

// Resize sets the size of new screens and of those that there are.
func (s *Set) Resize(cols, rows int) {}

// Dirty gets one value, coalesced, after screens changed; Changed then says which.
func (s *Set) Dirty() <-chan struct{} { return nil }

// Changed is the identities whose screens changed since the last call.
func (s *Set) Changed() []string { return nil }

// Close closes every screen.
func (s *Set) Close() {}
