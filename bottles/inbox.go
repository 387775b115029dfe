package bottles

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"bottle-tui/bottles/dockerfile"
	"bottle-tui/queue"
	"bottle-tui/state"
)

// lookAtBox reads a bottle's queue directory again. What is new there is looked into before it is shown: what
// the operator reads does not change under the eyes. While one look lasts, the next waits for it, so that a slow one
// does not take off the screen what came meanwhile. Owner only.
func (s *Supervisor) lookAtBox(identity string) {
	if !state.ValidIdentity(identity) {
		return
	}
	r := s.bottles[identity]
	if r == nil || r.disk == nil {
		s.spawn(func() {
			if pending, _ := boxOf(s.cfg.Root, identity); len(pending) > 0 {
				s.post(s.observe) // a bottle that another program made
			}
		})
		return
	}
	if r.looking {
		r.moved = true
		return
	}
	r.looking = true
	disk, meta, have, known := r.disk, r.meta, r.have, map[string]bool{}
	for _, q := range r.requests {
		known[q.ID] = true
	}
	s.spawn(func() {
		pending, bad := boxOf(s.cfg.Root, identity)
		if _, err := os.Stat(s.cfg.Root.QueueDir(identity)); err != nil && len(known) > 0 {
			// What was there is not gone, but could not be read: the state root may be away, and nothing tells when it is back.
			s.post(func() { r.looking = false })
			s.after(listAgain, func() { s.lookAtBox(identity) })
			return
		}
		fresh := map[string]Request{}
		for _, p := range pending {
			if p.Answer == nil && !known[p.ID] {
				fresh[p.ID] = s.lookInto(disk, meta, have, p.Request)
			}
		}
		s.post(func() {
			s.takeBox(identity, pending, fresh, bad)
			again := r.moved
			r.looking, r.moved = false, false
			if again {
				s.lookAtBox(identity)
			}
		})
		if len(fresh) > 0 {
			s.noteAsked(disk, fresh)
		}
	})
}

// noteAsked finds out in which session an agent asked, and enters its requests in the audit log. They are on the
// screen by then: the engine takes longer to read a file of a container than anything else here. A request that is
// answered before its session is known goes on with the session that its agent is in then.
func (s *Supervisor) noteAsked(disk *state.Bottle, fresh map[string]Request) {
	session := s.sessionNow(s.ctx, disk)
	s.post(func() {
		for id := range fresh {
			s.change(disk.Identity(), id, func(q *Request) { q.Session = session })
		}
	})
	for _, req := range fresh {
		_ = s.auditAsked(disk.Identity(), "request", "id", map[string]any{
			"id":   req.ID,
			"tool": req.Tool, "justification": cut(req.Justification, maxWords), "arrived_at": req.ArrivedAt,
			"proposed_hash": queue.Hash([]byte(req.Proposed)), "current_hash": req.CurrentHash, "session": session,
		})
	}
}

// takeBox takes in what a box holds: each new request is an alert. Owner only.
func (s *Supervisor) takeBox(identity string, pending []queue.Pending, fresh map[string]Request, problems []Problem) {
	if !slices.Equal(s.problems[identity], problems) {
		s.problems[identity] = problems
		s.changed()
	}
	r := s.bottles[identity]
	if r == nil || r.disk == nil {
		return
	}
	var now []Request
	for _, p := range pending {
		i := slices.IndexFunc(r.requests, func(q Request) bool { return q.ID == p.ID })
		req, isFresh := fresh[p.ID]
		switch {
		case p.Answer != nil && (i < 0 || r.requests[i].State == Waiting):
			// answered before this program saw it, or by another one
		case i >= 0:
			now = append(now, r.requests[i])
		case isFresh:
			now = append(now, req)
			s.alert(AlertRequest, identity, p.ID, fmt.Sprintf("%s asks for %s: %q", identity, subjectOf(p.Tool), cut(queue.Visible(p.Justification), 120)))
		}
	}
	for _, q := range r.requests {
		if q.State == Applying && !slices.ContainsFunc(now, func(n Request) bool { return n.ID == q.ID }) {
			now = append(now, q) // archived by the operation that applies it, which removes it itself
		}
	}
	r.requests = now
	s.changed()
	if s.listed {
		s.forsake(r)
	}
}

// forsake withdraws what an agent asked for whose container is gone, when nothing is being done that would bring another
// one: it was removed by hand, perhaps while no program ran. Owner only.
func (s *Supervisor) forsake(r *record) {
	if _, there := r.have.containers[RoleAgent]; there || r.disk == nil || r.op != nil || r.journal != nil || r.forsaken || len(r.requests) == 0 {
		return
	}
	r.forsaken = true
	disk := r.disk
	s.spawn(func() {
		defer s.post(func() { r.forsaken = false })
		unlock, free, err := disk.TryLock()
		if err != nil || !free {
			return // another program is at work
		}
		defer func() { _ = unlock() }()
		op, err := disk.Operation()
		_, gone := s.cfg.Engine.Container(s.ctx, agentName(r.identity))
		if op == nil && err == nil && errors.Is(gone, ErrNotFound) {
			s.withdrawAll(r.identity, "", "the agent is gone")
		}
	})
}

// lookInto makes what is shown of a request: what it would change, and what is to be known of that.
func (s *Supervisor) lookInto(disk *state.Bottle, meta state.Metadata, have parts, q queue.Request) Request {
	req := Request{Request: q, State: Waiting, Hash: queue.Hash([]byte(q.Proposed)), Effect: effectOf(q.Tool)}
	current, err := s.nowFor(q.Tool, disk)
	if err != nil {
		req.Err = err.Error()
		return req
	}
	req.Current = current
	req.Stale = q.CurrentHash != "" && q.CurrentHash != queue.Hash(current)
	switch q.Tool {
	case queue.ToolCapability:
		req.Findings = append(s.layersFinding(s.ctx, disk, current, []byte(q.Proposed)), dockerfile.Check(current, []byte(q.Proposed))...)
	case queue.ToolEgress, queue.ToolCredProxy:
		now, err := s.current(disk)
		tokens, unknown := s.knownTokens(disk)
		if err = errors.Join(err, unknown); err != nil { // nothing is shown as harmless that was not looked at
			req.Err = err.Error()
			return req
		}
		if next, err := now.proposal(q.Tool, q.Proposed); err == nil { // what is none is refused when it is approved
			req.Findings = gateFindings(now, next, s.engineOf(disk, have))
		}
		if q.Tool == queue.ToolCredProxy {
			req.Tokens = lackingTokens(q.Proposed, tokens)
		}
	}
	req.Findings = append(req.Findings, s.movedFinding(disk, meta, q.Tool)...)
	return req
}

// engineOf is the engine of egress that keeps a bottle's allowlist: its pod's, or where nothing is known of that, that
// of the profile that it runs on.
func (s *Supervisor) engineOf(b *state.Bottle, have parts) string {
	if _, ok := have.containers[RoleEgress]; !ok {
		if p, err := s.profileOf(b); err == nil && p.pipelock() {
			return enginePipelock
		}
	}
	return have.engine()
}

// nowFor is what is in force of what a tool's requests are about.
func (s *Supervisor) nowFor(tool string, disk *state.Bottle) ([]byte, error) {
	if tool == queue.ToolCapability {
		return s.dockerfileOf(disk)
	}
	f, err := s.current(disk)
	return []byte(f.text(tool)), err
}

// auditArrival writes down that a request of a bottle came, with what is to be kept of it: once, whoever
// sees it first.
func (s *Supervisor) auditArrival(identity, id string, facts map[string]any) error {
	facts["id"] = id
	return s.auditOnce(identity, "request", "id", facts)
}

// maxWords bounds what the audit log keeps of an agent's justification; the request's file has all of it.
const maxWords = 4000

// change changes one request of a bottle. Owner only.
func (s *Supervisor) change(identity, id string, f func(*Request)) {
	r, ok := s.bottles[identity]
	if !ok {
		return
	}
	requests := slices.Clone(r.requests) // the old slice may be in a snapshot
	for i := range requests {
		if requests[i].ID == id {
			f(&requests[i])
			r.requests = requests
			s.changed()
			return
		}
	}
}

// drop takes a request out of the inbox. Owner only.
func (s *Supervisor) drop(identity, id string) {
	if r, ok := s.bottles[identity]; ok {
		r.requests = slices.DeleteFunc(slices.Clone(r.requests), func(q Request) bool { return q.ID == id })
		s.changed()
	}
}

// abandoned withdraws a request whose call was cut and did not come again. What is being done to the bottle may be the
// answer to it, or may have cut the call: its end is waited for. Owner only.
func (s *Supervisor) abandoned(identity, id string) {
	r, ok := s.bottles[identity]
	if !ok || s.awaited(identity, id) {
		return
	}
	i := slices.IndexFunc(r.requests, func(q Request) bool { return q.ID == id })
	if i < 0 {
		return
	}
	if r.op != nil {
		s.after(abandonedAgain, func() { s.abandoned(identity, id) })
		return
	}
	if r.requests[i].State != Waiting {
		return
	}
	s.spawn(func() { s.withdraw(identity, id, "the agent no longer waits for an answer") })
}

// abandonedAgain is until the next look whether what is being done to a bottle has ended.
const abandonedAgain = time.Second

// awaited says whether a call of the agent waits for the answer to a request.
func (s *Supervisor) awaited(identity, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.voices[sidecarName(RoleSupervise, identity)]
	return v != nil && v.waits[id]
}

// withdraw answers a request that nobody waits for any more.
func (s *Supervisor) withdraw(identity, id, why string) {
	box := s.box(identity)
	err := box.Answer(queue.Answer{Request: id, Decision: queue.Withdrawn, Note: why, DecidedAt: s.cfg.Now().UTC()})
	if err == nil {
		_ = s.auditAsked(identity, "withdrawn", "request", map[string]any{"request": id, "why": why})
		err = box.Archive(id)
	}
	if err != nil {
		s.cfg.Log.Debug("withdraw", "identity", identity, "request", id, "err", err)
	}
	s.post(func() { s.drop(identity, id) })
}

// withdrawAll withdraws what an agent that is gone had asked for, except one request.
func (s *Supervisor) withdrawAll(identity, except, why string) {
	pending, bad := s.box(identity).Requests()
	for _, p := range bad { // what is there and can't be read is withdrawn as well
		if id, ok := queue.RequestID(p.Path); ok && id != except {
			s.withdraw(identity, id, why)
			continue
		}
		s.cfg.Log.Warn("withdraw what an agent asked for", "identity", identity, "path", p.Path, "err", p.Err)
	}
	for _, p := range pending {
		if p.Answer == nil && p.ID != except {
			s.withdraw(identity, p.ID, why)
		}
	}
}

func subjectOf(tool string) string {
	switch tool {
	case queue.ToolCapability:
		return "a capability"
	case queue.ToolEgress:
		return "a way out"
	case queue.ToolCredProxy:
		return "a route"
	case ToolPush:
		return "a push"
	}
	return queue.Visible(cut(tool, 40))
}

// effectOf says what approving a request does; "" for one that can't be approved.
func effectOf(tool string) string {
	switch tool {
	case queue.ToolCapability:
		return "Builds this Dockerfile while the agent waits, then stops the agent, keeps its conversation and its work, and resumes it on the new image."
	case queue.ToolEgress:
		return "Makes this the bottle's allowlist at once, while the agent runs. Open connections go on, except those to a host that is taken away."
	case queue.ToolCredProxy:
		return "Makes these the bottle's routes at once, while the agent runs. The agent uses the credentials through cred-proxy and never sees them."
	case ToolPush:
		return "Lets this push go on to the remote, as git-gate holds it: it keeps the remote's rules, and the scan found no secret in it."
	}
	return ""
}

// cut shortens s to at most n runes.
func cut(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
