package bottles

import (
	"bytes"
	"hash/maphash"
	"slices"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/gitgate"
)

// tailLines is how much of the end of a long log is read when a hearing begins.
const tailLines = 1000

// pushAge is how long a push may wait that git-gate told of, with something to spare.
const pushAge = gitgate.ApproveWithin + 5*time.Minute

// earlierCounts says whether what a sidecar told before at is of interest: what a gate told that is not in the audit log
// yet, a push that may still wait, and what became of the call behind a request that is in the queue.
func (s *Supervisor) earlierCounts(v *voice, at time.Time, from position) bool {
	if v.role == RoleSupervise {
		v.asked = s.askedBefore(v.identity, at)
		return len(v.asked) > 0
	}
	return at.After(v.written) && (!from.set || at.After(from.at)) ||
		v.role == RoleGitGate && s.cfg.Now().Sub(at) < pushAge
}

// askedBefore are the requests in a bottle's queue that came before at.
func (s *Supervisor) askedBefore(identity string, at time.Time) map[string]bool {
	pending, _ := s.box(identity).Requests() // what can't be read is told by whoever shows the queue
	asked := map[string]bool{}
	for _, q := range pending {
		if q.ArrivedAt.Before(at) {
			asked[q.ID] = true
		}
	}
	return asked
}

// The marks of lines, by what they tell of. A line that an agent made look like one is found out when it is read.
var (
	markSuppressed = []byte(`"suppressed":`)
	markPassages   = marks("refuse", "allow", "denied", "fetch", "push", "blocked", "tunnel_open", "forward_http")
	markPushes     = marks("push-waits", "delivered", "abandoned", "ready")
)

func marks(events ...string) (out [][]byte) {
	for _, e := range events {
		out = append(out, []byte(`"event":"`+e+`"`))
	}
	return out
}

func marked(line []byte, marks [][]byte) bool {
	return slices.ContainsFunc(marks, func(m []byte) bool { return bytes.Contains(line, m) })
}

// hearEarlier takes in what a sidecar told before the line with which its tail begins and after what is known already. What
// finds no room in the next summary is only counted.
func (s *Supervisor) hearEarlier(v *voice, container string, until uint64, from position) {
	r, err := s.cfg.Engine.Logs(s.ctx, container, 0, false)
	if err != nil {
		s.cfg.Log.Debug("hear earlier", "container", container, "err", err)
		return
	}
	defer r.Close()
	told := 0
	err = EachLine(r, func(b []byte) bool {
		if maphash.Bytes(lineSeed, b) == until {
			return false
		}
		if v.role == RoleSupervise {
			if line, ok := sidecars.ParseLine(b); ok && v.asked[line.ID] {
				s.heard(v, line)
			}
			return true
		}
		if v.role == RoleGitGate && marked(b, markPushes) {
			if line, ok := sidecars.ParseLine(b); ok {
				s.mu.Lock()
				v.held.hear(line)
				s.mu.Unlock()
			}
			return true
		}
		if told >= maxUntold && !bytes.Contains(b, markSuppressed) {
			if marked(b, markPassages) {
				told++
			}
			return true
		}
		for _, line := range v.role.lines(b, s.cfg.Now) {
			p, ok := PassageOf(v.role.Gate(), line)
			if !ok || !p.Last.After(v.written) || from.set && !p.Last.After(from.at) {
				continue
			}
			if told++; told <= maxUntold {
				s.passed(v.identity, v.role, p, false)
			} else {
				told += p.Count - 1
			}
		}
		return true
	})
	if err != nil {
		s.cfg.Log.Debug("hear earlier", "container", container, "err", err)
	}
	if v.role == RoleGitGate {
		s.after(settleReplay, func() { s.takePushes(v) })
	}
	if more := told - maxUntold; more > 0 {
		s.post(func() {
			if r := s.bottles[v.identity]; r != nil {
				r.untold.more += more
			}
		})
	}
}
