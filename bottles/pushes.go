package bottles

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"bottle-tui/queue"
	"bottle-tui/sidecars"
	"bottle-tui/sidecars/gitgate"
	"bottle-tui/state"
)

// held are the pushes that a git-gate told of: those that wait for the operator, and how the last of the others ended.
type held struct {
	waiting map[string]sidecars.Line
	settled []pushEnd // the latest last
	fresh   []pushEnd // of these, those that may not be in the audit log
}

// pushEnd is how a push ended that waited for the operator, as the audit log has it, too: what git-gate said of it. A
// decision that was written down is not one that git-gate took.
type pushEnd struct {
	Request  string         `json:"request"`
	Decision queue.Decision `json:"decision,omitempty"` // which git-gate took; "" when none
	Reason   string         `json:"reason,omitempty"`   // why none
	At       time.Time      `json:"at"`
}

// auditPushEnded is the kind of such an entry in the audit log.
const auditPushEnded = "push ended"

// maxSettled bounds how many ends of pushes are remembered.
const maxSettled = 64

// hear takes in a line of git-gate; it says whether it was about a push that waits.
func (h *held) hear(l sidecars.Line) bool {
	switch {
	case l.Event == sidecars.EventReady: // whoever held them is gone
		for _, id := range slices.Sorted(maps.Keys(h.waiting)) {
			h.end(pushEnd{Request: id, Reason: "git-gate was started anew; the push has ended", At: l.At})
		}
		return false
	case l.ID == "":
		return false
	case l.Event == sidecars.EventPushWaits && l.Push != nil:
		if h.waiting == nil {
			h.waiting = map[string]sidecars.Line{}
		}
		h.waiting[l.ID] = l
		return true
	case l.Event == sidecars.EventDelivered || l.Event == sidecars.EventAbandoned:
		h.end(pushEnd{l.ID, queue.Decision(l.Decision), l.Reason, l.At})
		return true
	}
	return false
}

// end takes in how a push ended.
func (h *held) end(end pushEnd) {
	delete(h.waiting, end.Request)
	h.settled, h.fresh = append(h.settled, end), append(h.fresh, end)
	h.settled = h.settled[max(0, len(h.settled)-maxSettled):]
	h.fresh = h.fresh[max(0, len(h.fresh)-maxSettled):]
}

// requests are the pushes that wait, the oldest first.
func (h *held) requests(identity string) []Request {
	lines := slices.SortedFunc(maps.Values(h.waiting), func(a, b sidecars.Line) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	var out []Request
	for _, l := range lines {
		shown, _ := json.Marshal(struct {
			Remote string         `json:"remote"`
			Push   *sidecars.Push `json:"push"`
		}{l.Remote, l.Push}) // strings and numbers
		out = append(out, Request{
			Request: queue.Request{
				ID: l.ID, Tool: ToolPush, Identity: identity, ArrivedAt: l.At,
				Justification: pushWords(l.Remote, l.Push), Proposed: string(shown),
			},
			State: Waiting, Hash: queue.Hash(shown), Effect: effectOf(ToolPush), Remote: l.Remote, Push: l.Push,
		})
	}
	return out
}

// pushWords say in a line what a push would do.
func pushWords(remote string, p *sidecars.Push) string {
	var refs []string
	for _, r := range p.Refs {
		name := r.Ref
		if strings.Trim(r.New, "0") == "" {
			name = "no more " + name
		}
		refs = append(refs, name)
	}
	if more := len(refs) - 3 + p.MoreRefs; more > 1 {
		refs = append(refs[:min(len(refs), 3)], fmt.Sprintf("%d more refs", more))
	}
	text := strings.Join(refs, ", ") + " to " + remote
	switch n := len(p.Commits) + p.MoreCommits; {
	case n == 1:
		text += ", 1 commit"
	case n > 1:
		text += fmt.Sprintf(", %d commits", n)
	}
	if len(p.Commits) > 0 {
		text += ": " + p.Commits[0].Subject
	}
	return cut(text, 400)
}

// replayed is how old a line must be to come from a log that is read again; settleReplay is how long the rest of
// that log may take to say that the push was settled long ago.
const (
	replayed     = 2 * time.Second
	settleReplay = 300 * time.Millisecond
)

// heardPush has the pushes of a bottle looked at again.
func (s *Supervisor) heardPush(v *voice, l sidecars.Line) {
	if s.cfg.Now().Sub(l.At) < replayed {
		s.post(func() { s.takePushes(v) })
		return
	}
	s.after(settleReplay, func() { s.takePushes(v) })
}

// takePushes takes in which pushes a git-gate holds: each new one is an alert. Owner only.
func (s *Supervisor) takePushes(v *voice) {
	r := s.bottles[v.identity]
	if r == nil || r.disk == nil {
		return
	}
	s.mu.Lock()
	var now []Request
	if !v.ended {
		now = v.held.requests(v.identity)
	}
	ends := v.held.fresh
	v.held.fresh = nil
	s.mu.Unlock()
	if len(ends) > 0 {
		s.spawn(func() { s.auditEnds(v.identity, ends) })
	}
	for i, q := range now {
		if j := slices.IndexFunc(r.pushes, func(o Request) bool { return o.ID == q.ID }); j >= 0 {
			now[i] = r.pushes[j] // with what was said of it
			continue
		}
		s.alert(AlertRequest, v.identity, q.ID, fmt.Sprintf("%s wants to push %q", v.identity, cut(queue.Visible(q.Justification), 120)))
		s.spawn(func() { _ = s.auditPush(v.identity, q) })
	}
	r.pushes = now
	s.changed()
}

// auditPush writes down once that a push waits, and what it would do; the diff is in the commits that it names.
func (s *Supervisor) auditPush(identity string, q Request) error {
	push := *q.Push
	push.Diff = ""
	return s.auditArrival(identity, q.ID, map[string]any{
		"tool": q.Tool, "arrived_at": q.ArrivedAt, "proposed_hash": q.Hash, "remote": q.Remote, "push": push,
	})
}

// auditEnds writes down, each once, how pushes ended. It is done by whoever hears it, and by the next program from
// git-gate's log if none did. What is so old that it is not known to have been asked is left out.
func (s *Supervisor) auditEnds(identity string, ends []pushEnd) {
	asked, entered := map[string]bool{}, map[string]bool{}
	err := s.cfg.Root.Audit(identity).Find(func(e state.Entry) bool {
		var q struct{ ID, Request string }
		if json.Unmarshal(e.Data, &q) == nil {
			asked[q.ID], entered[q.Request] = true, true
		}
		return true
	}, "request", auditPushEnded)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		_ = s.audited(identity, auditPushEnded, err)
		return
	}
	for _, end := range ends {
		if !asked[end.Request] || entered[end.Request] {
			continue
		}
		if _, err := s.cfg.Root.Audit(identity).AppendOnce(auditPushEnded, end, "request", end.Request); err != nil {
			_ = s.audited(identity, auditPushEnded, err)
		}
	}
}

// decidePush answers a push that waits; ok is false when there is none of that id. Owner only.
func (s *Supervisor) decidePush(identity, id, shown string, decision queue.Decision, note string) (done <-chan error, err error, ok bool) {
	r := s.bottles[identity]
	if r == nil {
		return nil, nil, false
	}
	i := slices.IndexFunc(r.pushes, func(q Request) bool { return q.ID == id })
	if i < 0 {
		return nil, nil, false
	}
	kind := "push"
	if decision == queue.Denied {
		kind = "deny"
	}
	done, err = s.onBottle(identity, kind, false, func(r *record) (work, error) {
		q := r.pushes[i]
		switch {
		case q.State == Applying:
			return nil, refuse("the push was settled meanwhile")
		case q.Hash != shown:
			return nil, refuse("the push is not what you were shown; look at it again")
		case decision == queue.Edited:
			return nil, refuse("a push can't be edited: deny it, and say what should be different")
		}
		return func(ctx context.Context, x *execution) error { return s.answerPush(ctx, x, q, decision, note) }, nil
	})
	if err == nil {
		r.op.view.Request = id
		s.changePush(identity, id, func(q *Request) { q.State, q.Err = Applying, "" })
	}
	return done, err, true
}

// answerPush gives git-gate the operator's decision and waits until it says that it has taken it.
func (s *Supervisor) answerPush(ctx context.Context, x *execution, q Request, decision queue.Decision, note string) (err error) {
	identity := x.layout.identity
	container := sidecarName(RoleGitGate, identity)
	defer func() {
		failure := err
		s.post(func() {
			s.changePush(identity, q.ID, func(o *Request) {
				if o.State = Waiting; failure != nil && !errors.Is(failure, ErrRefused) {
					o.State, o.Err = Unapplied, failure.Error()
				}
			})
		})
	}()
	v := s.follow(identity, RoleGitGate, container)
	waits := func(v *voice) bool { _, ok := v.held.waiting[q.ID]; return ok }
	s.mu.Lock()
	there := waits(v)
	s.mu.Unlock()
	if !there {
		return refuse("the push was settled meanwhile")
	}
	if err := s.auditPush(identity, q); err != nil {
		return err
	}
	j := journal{ID: queue.NewID(s.cfg.Now()), Request: q.ID, Decision: decision, Note: note, Shown: q.Hash, Content: q.Proposed}
	if err := s.auditDecision(identity, j); err != nil {
		return err
	}
	line, err := json.Marshal(gitgate.Decision{Push: q.ID, Decision: string(decision), Note: note})
	if err != nil {
		return fmt.Errorf("write the decision for %s: %w", container, err)
	}
	if err := s.cfg.Engine.Feed(ctx, container, append(line, '\n')); err != nil {
		return fmt.Errorf("give the decision to %s: %w", container, err)
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	var end pushEnd
	err = s.await(ctx, v, func(v *voice) (bool, error) {
		if i := slices.IndexFunc(v.held.settled, func(o pushEnd) bool { return o.Request == q.ID }); i >= 0 {
			end = v.held.settled[i]
			return true, nil
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("%s did not take the decision: %w%s", container, err, s.lastWords(container))
	}
	s.auditEnds(identity, []pushEnd{end})
	switch end.Decision {
	case decision:
	case "":
		return refuse("the push was taken back before your answer came: %s", queue.Visible(cut(end.Reason, 200)))
	default:
		return refuse("another program answered first: %s", queue.Visible(cut(string(end.Decision), 40)))
	}
	return nil
}

// changePush changes one push of a bottle. Owner only.
func (s *Supervisor) changePush(identity, id string, f func(*Request)) {
	r, ok := s.bottles[identity]
	if !ok {
		return
	}
	pushes := slices.Clone(r.pushes) // the old slice may be in a snapshot
	for i := range pushes {
		if pushes[i].ID == id {
			f(&pushes[i])
			r.pushes = pushes
			s.changed()
			return
		}
	}
}

// withPushes are a bottle's requests and pushes, the oldest first.
func withPushes(requests, pushes []Request) []Request {
	if len(pushes) == 0 {
		return requests
	}
	all := slices.Concat(requests, pushes)
	slices.SortStableFunc(all, func(a, b Request) int { return a.ArrivedAt.Compare(b.ArrivedAt) })
	return all
}

// pushesOf reads from the log of a git-gate which pushes it holds now: from its end, where no push of before can still wait.
func pushesOf(ctx context.Context, engine Engine, identity string, now time.Time) ([]Request, error) {
	h, first, err := heldIn(ctx, engine, identity, tailLines)
	if err == nil && first.Event != sidecars.EventReady && now.Sub(first.At) < pushAge {
		h, _, err = heldIn(ctx, engine, identity, 0)
	}
	if err != nil {
		return nil, err
	}
	return h.requests(identity), nil
}

// heldIn reads the last lines of a git-gate's log, with 0 all; first is the first of these.
func heldIn(ctx context.Context, engine Engine, identity string, tail int) (h held, first sidecars.Line, err error) {
	r, err := engine.Logs(ctx, sidecarName(RoleGitGate, identity), tail, false)
	if err != nil {
		return h, first, err
	}
	defer r.Close()
	err = EachLine(r, func(b []byte) bool {
		if l, ok := sidecars.ParseLine(b); ok {
			if first.Event == "" {
				first = l
			}
			h.hear(l)
		}
		return true
	})
	return h, first, err
}
