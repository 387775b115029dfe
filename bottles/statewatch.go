package bottles

import (
	"sync"

	"bottle-tui/state"
)

// watchState has a bottle's state read again whenever something changed in it, also by another program or by hand.
func (s *Supervisor) watchState(w *state.Watcher) {
	for change := range w.Events() {
		s.disk.changed(change.Identity)
		if change.Overflow {
			s.post(s.observe)
			continue
		}
		s.post(func() { s.lookAtState(change.Identity) })
	}
}

// lookAtState reads the state of one bottle again, without asking the engine. One that came or went is looked for on both.
// What this program does to a bottle itself is read when it is done. Owner only.
func (s *Supervisor) lookAtState(identity string) {
	r := s.bottles[identity]
	switch {
	case r == nil || r.disk == nil:
		s.observe()
		return
	case r.op != nil:
		return
	}
	n, bottle := s.listings.Add(1), r.disk
	s.spawn(func() {
		d := s.disk.read(bottle)
		s.post(func() { s.takeState(identity, n, d) })
	})
}

// takeState takes in what was read of one bottle's state. Owner only.
func (s *Supervisor) takeState(identity string, n uint64, d onDisk) {
	r := s.bottles[identity]
	switch {
	case r != nil && (r.op != nil || n < r.read || n < s.taken):
		return // something newer is known, or will be
	case r == nil || r.disk == nil || r.unlisted != "" || len(d.problems) > 0 || len(s.problems["state"]) > 0:
		s.observe()
		return
	}
	if r.journal != nil && d.journal == nil {
		s.observe() // what another program removed last, such as a network, no event tells of
	}
	r.took(n, d)
	s.changed()
	if s.listed {
		s.tend(r)
	}
	s.awaitOthers()
}

// took takes in a bottle's state as the reading of that number found it. Owner only.
func (r *record) took(n uint64, d onDisk) {
	r.read = n
	r.disk, r.meta, r.unread, r.own, r.journal = d.bottle, d.meta, d.unread, d.own, d.journal
	r.force, r.grants = d.force, d.grants
}

// diskCache keeps what was read of the bottles' states until something is told to have changed there. Without a watcher
// it keeps nothing.
type diskCache struct {
	mu      sync.Mutex
	watched bool
	changes map[string]uint64 // by identity; by "" of all
	known   map[string]onDisk
}

// watch has what is read from now on kept.
func (c *diskCache) watch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched, c.changes, c.known = true, map[string]uint64{}, map[string]onDisk{}
}

// changed forgets a bottle, or with "" all.
func (c *diskCache) changed(identity string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.watched {
		return
	}
	c.changes[identity]++
	delete(c.known, identity)
	if identity == "" {
		clear(c.known)
	}
}

// read gives a bottle's state as it is, from the disk where it is not known. What could not be read is not kept.
func (c *diskCache) read(b *state.Bottle) onDisk {
	id := b.Identity()
	c.mu.Lock()
	d, ok := c.known[id]
	before := c.changes[id] + c.changes[""]
	c.mu.Unlock()
	if ok {
		return d
	}
	d = readBottle(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watched && len(d.problems) == 0 && before == c.changes[id]+c.changes[""] {
		c.known[id] = d
	}
	return d
}

// readBottle reads a bottle's state. What can't be read of it is in problems.
func readBottle(b *state.Bottle) onDisk {
	d := onDisk{bottle: b}
	failed := func(err error) bool {
		if err != nil {
			d.problems = append(d.problems, Problem{b.Dir(), err.Error()})
		}
		return err != nil
	}
	var err error
	if d.meta, err = b.Metadata(); failed(err) {
		d.unread = err.Error()
	}
	file, err := b.Dockerfile()
	d.own = !failed(err) && file != nil
	d.journal, err = b.Operation()
	failed(err)
	d.force, _, err = readInForce(b)
	failed(err)
	d.grants, err = readGrants(b)
	failed(err)
	return d
}
