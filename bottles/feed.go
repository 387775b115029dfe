package bottles

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/state"
)

// Verdict is what a gate did with something that wanted through.
type Verdict string

// The verdicts.
const (
	Allowed Verdict = "allowed"
	Refused Verdict = "refused" // by the gate
	Denied  Verdict = "denied"  // by what lies behind it: 401 or 403, so that the credential may be bad
	Faulty  Verdict = "error"   // the gate could not do its work
	Granted Verdict = "granted" // the operator opened it
	Closed  Verdict = "closed"  // what was granted has ended
	More    Verdict = "more"    // so many more in the audit log, of any gate, that were too many to be told apart
)

// Passage is what a gate of a bottle told of: something that wanted through, or several alike. What and Why come
// from an agent: pass them through queue.Visible before they reach a terminal.
type Passage struct {
	Gate    Role           `json:"gate"`
	Verdict Verdict        `json:"verdict"`
	What    string         `json:"what"`          // "host:port", a name that was looked up, a route's path, or a ref
	Via     string         `json:"via,omitempty"` // "connect", "http", "dns", "route", "fetch" or "push"
	Why     string         `json:"why,omitempty"`
	Cause   sidecars.Cause `json:"cause,omitempty"` // of a refusal by egress
	Count   int            `json:"count"`           // how many alike, those included that a gate left out under a flood
	First   time.Time      `json:"first"`
	Last    time.Time      `json:"last"`
}

// maxFeed bounds what is remembered of one bottle's gates: as many that differ.
const maxFeed = 200

// PassageOf reads what a gate said; ok is false for what is not about something that wanted through.
func PassageOf(gate Role, l sidecars.Line) (p Passage, ok bool) {
	verdict, ok := map[sidecars.Event]Verdict{
		sidecars.EventAllow: Allowed, sidecars.EventFetch: Allowed, sidecars.EventPush: Allowed, sidecars.EventRefuse: Refused, sidecars.EventDenied: Denied, sidecars.EventError: Faulty,
	}[l.Event]
	if !ok || gate != RoleEgress && gate != RoleCredProxy && gate != RoleGitGate {
		return p, false
	}
	what := l.Host
	switch {
	case l.Remote != "":
		what = strings.Join(append([]string{l.Remote}, l.Refs...), " ")
	case l.Route != "":
		what = l.Route
	case l.Port > 0:
		what = net.JoinHostPort(l.Host, strconv.Itoa(l.Port))
	}
	why, via := l.Reason, l.Via
	if l.Rule != "" {
		why = "rule " + l.Rule + ": " + why
	}
	if l.Event == sidecars.EventFetch || l.Event == sidecars.EventPush {
		via = string(l.Event)
	}
	if why == "" && l.Status > 0 && verdict == Denied {
		why = fmt.Sprintf("the upstream answered %d", l.Status)
	}
	return Passage{gate, verdict, cut(what, 300), via, cut(why, 300), l.Cause, 1 + l.Suppressed, l.At, l.At}, true
}

// alike says whether two differ in nothing but time.
func (p Passage) alike(o Passage) bool {
	return p.Gate == o.Gate && p.Verdict == o.Verdict && p.What == o.What && p.Via == o.Via && p.Why == o.Why
}

// feed is what the gates of one bottle told, the latest last.
type feed struct {
	list  []Passage
	shown bool // list is in a snapshot: it is changed no more, but copied first
}

// add takes in one more.
func (f *feed) add(p Passage) {
	if f.shown {
		f.list, f.shown = slices.Clone(f.list), false
	}
	for i := len(f.list) - 1; i >= 0; i-- {
		if o := &f.list[i]; o.alike(p) {
			p.Count, p.First = p.Count+o.Count, o.First
			f.list = slices.Delete(f.list, i, i+1)
			break
		}
	}
	if len(f.list) == maxFeed {
		f.list = slices.Delete(f.list, 0, 1)
	}
	f.list = append(f.list, p)
}

// show gives the feed to a snapshot.
func (f *feed) show() []Passage {
	f.shown = true
	return f.list
}

// untold is what a bottle's gates told that the audit log does not have yet.
type untold struct {
	lines []said
	more  int                // that did not fit
	until map[Role]time.Time // of the latest, those that did not fit included
}

// said is what the container that has role told.
type said struct {
	Passage
	role Role
}

// maxUntold bounds it; the rest is counted.
const maxUntold = 2000

func (u *untold) add(p said) {
	if u.until == nil {
		u.until = map[Role]time.Time{}
	}
	if p.Last.After(u.until[p.role]) {
		u.until[p.role] = p.Last
	}
	if len(u.lines) == maxUntold {
		u.more += p.Count
		return
	}
	u.lines = append(u.lines, p)
}

// passed takes in what the container that has role said. written says that the audit log has it.
func (s *Supervisor) passed(identity string, role Role, p Passage, written bool) {
	s.post(func() {
		r := s.bottles[identity]
		if r == nil {
			return
		}
		r.feed.add(p)
		if !written {
			r.untold.add(said{p, role})
		}
		s.changed()
	})
}

// counted takes in how much went through egress.
func (s *Supervisor) counted(identity string, sent, received int64) {
	s.post(func() {
		if r := s.bottles[identity]; r != nil {
			r.sent, r.received = sent, received
			s.changed()
		}
	})
}

// GateFacts is what the audit log says of a bottle's gates from time to time: everything alike is one entry.
type GateFacts struct {
	Until    time.Time `json:"until"` // of the latest that is in it
	Passages []Passage `json:"passages"`
	More     int       `json:"more,omitempty"` // that were too many to be told apart
	// Untils are of the latest that this entry or one before it has, by the roles of the containers that said it: what
	// one said later is in the next entry. In an entry without it Until is that of all.
	Untils map[Role]time.Time `json:"untils,omitempty"`
}

// summed is until when the audit log has what the containers of a bottle's gates told.
type summed struct {
	by  map[Role]time.Time
	all time.Time // of those that are not in by
}

func (u summed) of(role Role) time.Time {
	if at, ok := u.by[role]; ok {
		return at
	}
	return u.all
}

// auditGates is the kind of such an entry in the audit log.
const auditGates = "gates"

// summariseEvery is how often what the gates told goes to the audit log.
const summariseEvery = time.Minute

// summarise writes what a bottle's gates told since the last time into its audit log. Of several programs on one
// state root, each leaves out what another one has written.
func (s *Supervisor) summarise(identity string) {
	var u untold
	s.ask(func() {
		if r := s.bottles[identity]; r != nil {
			u, r.untold = r.untold, untold{}
		}
	})
	if len(u.lines) == 0 {
		return
	}
	if err := s.writeSummary(identity, u); err != nil {
		s.ask(func() { // the next time, then
			if r := s.bottles[identity]; r != nil {
				since := r.untold
				r.untold = u
				for _, p := range since.lines {
					r.untold.add(p)
				}
				r.untold.more += since.more
			}
		})
	}
}

func (s *Supervisor) writeSummary(identity string, u untold) error {
	log := s.cfg.Root.Audit(identity)
	room := s.summaryRoom(identity)
	_, err := log.AppendNext(auditGates, func(e *state.Entry) (any, error) {
		facts := summaryOf(u, summedIn(e))
		if len(facts.Passages) == 0 && facts.More == 0 {
			return nil, nil
		}
		s.summaryWrote(identity, facts.cut(room))
		return facts, nil
	})
	if size, unknown := log.Size(); unknown == nil && size > largeAudit {
		s.post(func() {
			s.problems["audit size "+identity] = []Problem{{log.Path(), fmt.Sprintf(
				"the audit log of %s has %d MiB: look at the tab Egress for what asks so much of its gates", identity, size>>20)}}
			s.changed()
		})
	}
	return s.audited(identity, auditGates, err)
}

// What the summaries of one bottle may add to its audit log, in bytes: each, and while a day's are not above a bound. Then
// a summary is little more than numbers. largeAudit is from where on the size of a log is told.
const (
	summaryBytes = 16 << 10
	summaryDay   = 2 << 20
	summaryLeast = 1 << 10
	largeAudit   = 64 << 20
)

// summaryCount is how many bytes of summaries this program wrote into one audit log on a day.
type summaryCount struct {
	day   string
	bytes int
}

// summaryRoom is how many bytes the next summary of a bottle may have.
func (s *Supervisor) summaryRoom(identity string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.summaries[identity]; n.day == s.cfg.Now().UTC().Format(time.DateOnly) && n.bytes > summaryDay {
		return summaryLeast
	}
	return summaryBytes
}

func (s *Supervisor) summaryWrote(identity string, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, day := s.summaries[identity], s.cfg.Now().UTC().Format(time.DateOnly)
	if n.day != day {
		n = summaryCount{day: day}
	}
	n.bytes += bytes
	s.summaries[identity] = n
}

// cut leaves out the oldest passages, which are only counted then, until the rest has room in so many bytes, and says how
// many the rest has.
func (f *GateFacts) cut(room int) (bytes int) {
	for i, p := range slices.Backward(f.Passages) {
		text, err := json.Marshal(p)
		if err != nil || bytes+len(text) > room {
			for _, o := range f.Passages[:i+1] {
				f.More += o.Count
			}
			f.Passages = f.Passages[i+1:]
			return bytes
		}
		bytes += len(text)
	}
	return bytes
}

// summaryOf is what is to be entered of u by one who knows what the last summary has.
func summaryOf(u untold, last summed) GateFacts {
	facts := GateFacts{Untils: map[Role]time.Time{}}
	for _, role := range []Role{RoleEgress, RolePipelock, RoleCredProxy, RoleGitGate} {
		if at := last.of(role); !at.IsZero() {
			facts.Untils[role] = at
		}
	}
	var all feed
	for _, p := range u.lines {
		if !p.Last.After(last.of(p.role)) {
			continue
		}
		all.add(p.Passage)
		facts.More += p.Count
		if p.Last.After(facts.Until) {
			facts.Until = p.Last
		}
		if p.Last.After(facts.Untils[p.role]) {
			facts.Untils[p.role] = p.Last
		}
	}
	if len(all.list) == 0 {
		return GateFacts{}
	}
	for role, at := range u.until { // what did not fit is in this summary, too, as a number
		if at.After(facts.Untils[role]) {
			facts.Untils[role] = at
		}
		if at.After(facts.Until) {
			facts.Until = at
		}
	}
	for _, p := range all.list {
		facts.More -= p.Count // those alone are left that all had no room for
	}
	facts.Passages, facts.More = all.list, facts.More+u.more
	return facts
}

// lastSummary is until when the audit log has what the gates told.
func lastSummary(a *state.Audit) (last summed, err error) {
	err = a.Find(func(e state.Entry) bool { last = summedIn(&e); return false }, auditGates)
	return last, err
}

func summedIn(e *state.Entry) summed {
	var f GateFacts
	switch {
	case e == nil || json.Unmarshal(e.Data, &f) != nil:
		return summed{}
	case f.Untils == nil:
		return summed{all: f.Until}
	}
	return summed{by: f.Untils}
}

// summariseAll writes the summaries of all bottles, again and again.
func (s *Supervisor) summariseAll(ctx context.Context) {
	every(ctx, summariseEvery, func() {
		var ids []string
		s.ask(func() {
			for id, r := range s.bottles {
				if len(r.untold.lines) > 0 {
					ids = append(ids, id)
				}
			}
		})
		for _, id := range ids {
			s.summarise(id)
		}
	})
}
