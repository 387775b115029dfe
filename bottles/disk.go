package bottles

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"bottle-tui/queue"
	"bottle-tui/state"
)

// onDisk is what the state directory says of one bottle.
type onDisk struct {
	bottle  *state.Bottle
	meta    state.Metadata
	unread  string
	own     bool
	journal *state.Operation
	force   inForce
	grants  []Grant

	problems []Problem
}

// listing is one reading of the whole state root and, where have is not nil, of the engine.
type listing struct {
	n        uint64 // in the order in which the readings began; 0 is the first
	bottles  map[string]onDisk
	problems []Problem
	strays   []Problem // those of the problems that are of no bottle
	have     *Observed
	others   map[string]*foreign // with have: what could be taken over
	unusable map[string]string   // identity → why its entry under state/ can't be used
	err      error               // what is missing from bottles may be there all the same
}

// list reads the engine and then the disk. The error is why the engine could not be listed.
func (s *Supervisor) list() (listing, error) {
	n := s.listings.Add(1)
	have, others, err := observeRoot(s.ctx, s.cfg.Engine, s.cfg.Root)
	l := s.readDisk()
	if l.n = n; err == nil {
		l.have, l.others = &have, others
	}
	return l, err
}

// readDisk reads every state by read. What can't be read is in problems, and the rest goes on.
func readDisk(root *state.Root, read func(*state.Bottle) onDisk) listing {
	there := root.Scan()
	l := listing{bottles: make(map[string]onDisk, len(there.Bottles)), unusable: there.Unusable, err: there.Err}
	for _, p := range there.Problems {
		l.problems = append(l.problems, Problem(p))
		if there.Err == nil && !state.ValidIdentity(filepath.Base(p.Path)) {
			l.strays = append(l.strays, Problem(p))
		}
	}
	for _, b := range there.Bottles {
		d := read(b)
		l.bottles[b.Identity()] = d
		l.problems = append(l.problems, d.problems...)
	}
	return l
}

func (s *Supervisor) readDisk() listing { return readDisk(s.cfg.Root, s.disk.read) }

// scanDisk takes in the state root before anything else is known. Before the owner runs.
func (s *Supervisor) scanDisk() { s.takeIn(s.readDisk()) }

// takeIn merges a listing into the world, and starts what follows from it. One that began before the last that was
// taken in is out of date: another one is made. Owner only.
func (s *Supervisor) takeIn(l listing) {
	if l.n < s.taken {
		s.observe()
		return
	}
	s.taken = l.n
	have := l.have
	s.problems["state"] = l.problems
	for id, d := range l.bottles {
		r := s.record(id)
		fresh := r.disk == nil
		if r.read <= l.n {
			r.took(l.n, d)
		}
		if fresh {
			s.lookAtBox(id)
		}
	}
	var found map[string]parts
	if have != nil {
		s.correct(have)
		found = groupAll(*have, l.others)
		for id := range found {
			s.record(id)
		}
	}
	for id, r := range s.bottles {
		_, listed := l.bottles[id]
		if r.unlisted = l.unlisted(id); !listed && l.err == nil && r.op == nil { // what is being launched may be newer
			r.disk, r.journal = nil, nil
		}
		if p, ok := found[id]; ok {
			if len(r.have.containers) > 0 && len(p.containers) == 0 {
				s.observeLater() // whoever removed them may be at the rest, of which no event tells
			}
			r.have = p
		} else if have != nil && l.err == nil {
			r.have = newParts()
		}
		if r.gone() {
			s.forget(id)
		}
	}
	s.changed()
	if l.err != nil {
		s.observeLater() // no event tells of a root that came back before the watcher missed it
	}
	if have == nil {
		return
	}
	if !s.recovered {
		s.recovered = true
		s.recoverAll()
	}
	for _, r := range s.bottles {
		s.tend(r)
	}
	s.awaitOthers()
}

// unlisted is why the state of a bottle could not be looked at, with the path; "": it was, or there is none. A bottle
// that has such a reason is nobody's orphan.
func (l listing) unlisted(id string) string {
	if _, ok := l.bottles[id]; ok {
		return ""
	}
	if l.err != nil {
		return l.err.Error()
	}
	return l.unusable[id]
}

// awaitOthers looks after a while who does what a journal says is being done to a bottle, and not by this program: that
// whoever did it was killed is told by nothing but the lock. Owner only.
func (s *Supervisor) awaitOthers() {
	busy := false
	for _, r := range s.bottles {
		busy = busy || r.journal != nil && r.op == nil
	}
	switch {
	case !busy:
		s.others = 0
		return
	case s.awaiting:
		return
	}
	s.awaiting, s.others = true, min(max(2*s.others, othersSoon), othersLate)
	s.after(s.others, func() {
		s.awaiting = false
		s.takeOver()
		s.awaitOthers()
	})
}

// takeOver finishes what another program began and was killed over: its lock is free, its journal is there. What
// could not be finished once is left to the operator. Owner only.
func (s *Supervisor) takeOver() {
	for id, r := range s.bottles {
		if r.journal == nil || r.op != nil || len(r.waiting) > 0 || r.disk == nil || r.journal.Failed != "" || r.failed != nil && r.failed.Kind == "recover" || !s.recovers(id) {
			continue
		}
		disk := r.disk
		s.spawn(func() {
			unlock, free, err := disk.TryLock()
			if err != nil || !free {
				return
			}
			op, err := disk.Operation()
			if unlock() != nil || err != nil || op == nil {
				return
			}
			s.post(func() {
				if r.op == nil && r.disk != nil && r.journal != nil {
					s.operate(r, "recover", "", s.finish)
				}
			})
		})
	}
}

// correct overrides a listing with what events told before it: Engine 20.10 says "die" some milliseconds
// before its listing knows of it, and no other event follows. No container of ours starts twice, unless by hand:
// agentEnded sees that. Owner only.
func (s *Supervisor) correct(have *Observed) {
	died := map[string]bool{}
	for i, c := range have.Containers {
		if s.died[c.ID] {
			died[c.ID] = true
			if c.State == StateRunning {
				have.Containers[i].State = StateExited
			}
		}
	}
	s.died = died
}

// tend starts what a bottle's observed state asks for: its terminal and its voices while it lives,
// and the clearing up when its agent ended by itself. Owner only.
func (s *Supervisor) tend(r *record) {
	s.awaitExpiry(r)
	s.expire(r)
	s.forsake(r)
	agent, ok := r.have.containers[RoleAgent]
	if !ok || r.disk == nil || r.op != nil || r.unlisted != "" {
		return
	}
	s.miss(r)
	switch agent.State {
	case StateRunning:
		if !r.opening && !s.attached(r.identity) && !s.terminalsReleased() {
			r.opening = true
			s.spawn(func() {
				if err := s.attach(s.ctx, r.identity, agent.Name, true); err != nil {
					s.cfg.Log.Warn("attach", "identity", r.identity, "err", err)
				}
				s.post(func() { r.opening = false })
			})
		}
		for _, role := range roles[1:] {
			if c, ok := r.have.containers[role]; ok && c.State == StateRunning {
				s.follow(r.identity, role, c.Name)
			}
		}
	case StateExited, StateDead:
		if r.ended != agent.ID && r.journal == nil && len(r.waiting) == 0 {
			s.agentEnded(r, agent)
		}
	}
}

// miss tells of a sidecar that ended under a live agent, once. Owner only.
func (s *Supervisor) miss(r *record) {
	lost := r.lost()
	if r.journal != nil {
		return // another program is at work
	}
	if slices.ContainsFunc(lost, func(role Role) bool { return !slices.Contains(r.missed, role) }) {
		s.alert(AlertFailed, r.identity, "", r.identity+": "+lostText(lost))
	}
	r.missed = lost
}

// boxOf reads a bottle's queue directory.
func boxOf(root *state.Root, identity string) ([]queue.Pending, []Problem) {
	if !state.ValidIdentity(identity) {
		return nil, nil
	}
	pending, bad := queue.Open(root.QueueDir(identity)).Requests()
	var problems []Problem
	for _, p := range bad {
		problems = append(problems, Problem(p))
	}
	return pending, problems
}

// box is a bottle's queue directory.
func (s *Supervisor) box(identity string) *queue.Box {
	return queue.Open(s.cfg.Root.QueueDir(identity))
}

// forget drops what is remembered of a bottle of which nothing is left. Owner only.
func (s *Supervisor) forget(id string) {
	delete(s.bottles, id)
	for _, source := range []string{id, transcriptProblem(id), "audit " + id, "audit size " + id, "asked " + id, usageProblem(id)} {
		delete(s.problems, source)
	}
	s.unwritten.Delete(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.summaries, id)
	delete(s.early, id)
	delete(s.sessions, agentName(id))
	maps.DeleteFunc(s.asked, func(of string, _ factCount) bool { return strings.HasPrefix(of, id+" ") })
	for _, role := range roles {
		delete(s.positions, sidecarName(role, id))
	}
}
