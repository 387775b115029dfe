package bottles

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
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

// feed is what the gates of one bottle told, the latest last; it is never changed, only replaced.
type feed []Passage

// with is the feed with one more.
func (f feed) with(p Passage) feed {
	out := make(feed, 0, len(f)+1)
	for _, o := range f {
		if o.alike(p) {
			p.Count, p.First = p.Count+o.Count, o.First
			continue
		}
		out = append(out, o)
	}
	return append(out[max(0, len(out)+1-maxFeed):], p)
}

// untold is what a bottle's gates told that the audit log does not have yet.
type untold struct {
	lines []said
	more  int // that did not fit
}

// said is what the container that has role told.
type said struct {
	Passage
	role Role
}

// maxUntold bounds it; the rest is counted.
const maxUntold = 2000

func (u *untold) add(p said) {
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
		r.feed = r.feed.with(p)
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
	_, err := s.cfg.Root.Audit(identity).AppendNext(auditGates, func(e *state.Entry) (any, error) {
		if facts := summaryOf(u, summedIn(e)); len(facts.Passages) > 0 || facts.More > 0 {
			return facts, nil
		}
		return nil, nil
	})
	return s.audited(identity, auditGates, err)
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
		all = all.with(p.Passage)
		facts.More += p.Count
		if p.Last.After(facts.Until) {
			facts.Until = p.Last
		}
		if p.Last.After(facts.Untils[p.role]) {
			facts.Untils[p.role] = p.Last
		}
	}
	if len(all) == 0 {
		return GateFacts{}
	}
	for _, p := range all {
		facts.More -= p.Count // those alone are left that all had no room for
	}
	facts.Passages, facts.More = all, facts.More+u.more
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
	tick := time.NewTicker(summariseEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
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
	}
}
