package bottles

import (
	"fmt"
	"time"

	"github.com/aymanbagabas/go-udiff"

	"bottle-tui/queue"
)

// audit adds one fact to a bottle's audit log. One that can't be written is logged and shown. A decision is not applied
// then; of anything else the caller may go on, for it has happened.
func (s *Supervisor) audit(identity, kind string, data any) error {
	return s.audited(identity, kind, s.cfg.Root.Audit(identity).Append(kind, data))
}

// auditOnce is audit for a fact that may be known to several programs, or to one again after it was killed: member of data
// tells it from the others of its kind.
func (s *Supervisor) auditOnce(identity, kind, member string, data map[string]any) error {
	_, err := s.cfg.Root.Audit(identity).AppendOnce(kind, data, member, fmt.Sprint(data[member]))
	return s.audited(identity, kind, err)
}

// audited shows that a fact could not be written.
func (s *Supervisor) audited(identity, kind string, err error) error {
	source := "audit " + identity
	if err == nil {
		if _, failed := s.unwritten.LoadAndDelete(identity); failed {
			s.post(func() { delete(s.problems, source); s.changed() })
		}
		return nil
	}
	s.unwritten.Store(identity, true)
	s.cfg.Log.Error("audit", "identity", identity, "err", err)
	s.post(func() {
		s.problems[source] = []Problem{{"audit/" + identity + ".jsonl", fmt.Sprintf("a fact (%s) could not be written: %v", kind, err)}}
		s.changed()
	})
	return fmt.Errorf("write down in the audit log (%s): %w", kind, err)
}

// auditDecision writes down the operator's decision on a request, once for each time that it was decided. What can't be
// written down is not to be applied.
func (s *Supervisor) auditDecision(identity string, j journal) error {
	fact := map[string]any{"request": j.Request, "decision": j.Decision, "shown_hash": j.Shown}
	if j.Note != "" {
		fact["note"] = j.Note
	}
	if j.Decision != queue.Denied {
		fact["content_hash"] = queue.Hash([]byte(j.Content))
	}
	if j.Decision == queue.Edited {
		fact["edits"] = udiff.Unified("asked", "granted", j.Proposed, j.Content)
	}
	return s.decided(identity, j, fact)
}

// decided writes down a decision by what its journal knows it by; the journal of an earlier version knows none.
func (s *Supervisor) decided(identity string, j journal, fact map[string]any) error {
	if j.ID == "" {
		return s.audit(identity, "decision", fact)
	}
	fact["id"] = j.ID
	return s.auditOnce(identity, "decision", "id", fact)
}

// maxFacts bounds how many requests of a day, and as many withdrawals, are written down one by one for a bottle: an agent
// can ask and run away as often as it likes. That more came is written down once a day, and told.
const maxFacts = 1000

// auditMore is the kind of the entry which says that from here on a day's requests are not written down.
const auditMore = "more requests"

// factCount is how many facts of one kind this program wrote into one audit log on a day.
type factCount struct {
	day string
	n   int
}

// auditAsked is auditOnce for what an agent can bring about without end.
func (s *Supervisor) auditAsked(identity, kind, member string, data map[string]any) error {
	day := s.cfg.Now().UTC().Format(time.DateOnly)
	s.mu.Lock()
	c := s.asked[identity+" "+kind]
	if c.day != day {
		c = factCount{day: day}
	}
	c.n++
	s.asked[identity+" "+kind] = c
	s.mu.Unlock()
	if c.n <= maxFacts {
		return s.auditOnce(identity, kind, member, data)
	}
	if c.n > maxFacts+1 {
		return nil
	}
	s.post(func() {
		s.problems["asked "+identity] = []Problem{{"audit/" + identity + ".jsonl", fmt.Sprintf(
			"%s asked more than %d times today: what it asks and drops is not written down one by one any more until tomorrow", identity, maxFacts)}}
		s.changed()
	})
	return s.auditOnce(identity, auditMore, "day", map[string]any{"day": day + " " + kind, "after": maxFacts})
}
