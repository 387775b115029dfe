package dialog

import "time"

// Quiet is how long the keyboard must have been quiet, with what a key acts on drawn, before that key is taken.
const Quiet = 400 * time.Millisecond

// Waiting says why a key that acts is not taken yet.
const Waiting = "waiting for a quiet keyboard"

// Guard keeps keys that act from being taken by accident. Such a key may have been on its way when a dialog opened, or be
// part of a sentence that was meant for something else. It is taken once what it acts on was drawn and the keyboard was
// quiet for Quiet since; then until the guard is reset. Now must be set.
type Guard struct {
	Now func() time.Time

	shownAt time.Time // when what it is about was drawn first; zero before
	quietAt time.Time // since when the keyboard is quiet
	armed   bool
}

// Drawn notes that what it is about is on the screen.
func (g *Guard) Drawn() {
	if g.shownAt.IsZero() {
		g.shownAt = g.Now()
		g.quietAt = g.shownAt
	}
}

// Press takes in that a key was pressed, and says whether it may act.
func (g *Guard) Press() bool {
	armed := g.Armed()
	g.quietAt = g.Now()
	return armed
}

// Armed says whether a key that acts would be taken now.
func (g *Guard) Armed() bool {
	g.armed = g.armed || !g.shownAt.IsZero() && g.Now().Sub(g.quietAt) >= Quiet
	return g.armed
}

// Disarm begins the wait anew: what a key would do has changed.
func (g *Guard) Disarm() { g.armed, g.quietAt = false, g.Now() }

// Reset begins anew with something that was not drawn yet.
func (g *Guard) Reset() { g.shownAt, g.quietAt, g.armed = time.Time{}, time.Time{}, false }

// Next is how long until a key that acts is taken if the keyboard stays quiet; 0 when it is.
func (g *Guard) Next() time.Duration {
	switch {
	case g.Armed():
		return 0
	case g.shownAt.IsZero():
		return Quiet // it is about to be drawn
	}
	return max(Quiet-g.Now().Sub(g.quietAt), time.Millisecond)
}
