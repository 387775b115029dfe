package bottles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aymanbagabas/go-udiff"
	"golang.org/x/sync/errgroup"

	"bottle-tui/queue"
	"bottle-tui/sidecars/supervise"
	"bottle-tui/state"
)

// decide answers a request. shown is the hash of what the operator saw. Owner only.
func (s *Supervisor) decide(identity, id, shown string, decision queue.Decision, note string, edited []byte, terms Terms) (<-chan error, error) {
	if done, err, ok := s.decidePush(identity, id, shown, decision, note); ok {
		return done, err
	}
	var req Request
	kind := s.kindOf(identity, id, decision)
	done, err := s.onBottle(identity, kind, false, func(r *record) (work, error) {
		i := slices.IndexFunc(r.requests, func(q Request) bool { return q.ID == id })
		if i < 0 || r.requests[i].State == Applying {
			return nil, refuse("the request was settled meanwhile")
		}
		req = r.requests[i]
		if req.Hash != shown {
			return nil, refuse("the request is not what you were shown; look at it again")
		}
		j := journal{
			ID: queue.NewID(s.cfg.Now()), Session: req.Session, Request: id, ToolUse: req.ToolUseID, Decision: decision, Note: note,
			Proposed: req.Proposed, Content: req.Proposed, Shown: shown,
		}
		if decision == queue.Denied {
			return func(ctx context.Context, x *execution) error { return s.deny(ctx, x, j) }, nil
		}
		switch {
		case effectOf(req.Tool) == "":
			return nil, refuse("there is no way to put a %q request in force; deny it with the reason", queue.Visible(req.Tool))
		case r.have.containers[RoleAgent].State != StateRunning:
			return nil, errNobodyWaits
		case req.Stale:
			return nil, errStale
		}
		if decision == queue.Edited {
			j.Content = string(edited)
			if j.Content == j.Proposed {
				j.Decision = queue.Approved
			}
		}
		if req.Tool != queue.ToolCapability {
			if err := s.grantable(r, req, &j, terms); err != nil {
				return nil, err
			}
			return func(ctx context.Context, x *execution) error { return s.grant(ctx, x, j) }, nil
		}
		if len(bytes.TrimSpace([]byte(j.Content))) == 0 || len(j.Content) > queue.MaxFile/2 {
			return nil, refuse("a Dockerfile must have something in it, and at most %d KiB", queue.MaxFile/2048)
		}
		j.Message = approvedMessage(j)
		return func(ctx context.Context, x *execution) error { return s.rebuild(ctx, x, j) }, nil
	})
	if err == nil {
		s.bottles[identity].op.view.Request = id
		s.change(identity, id, func(q *Request) { q.State, q.Err = Applying, "" })
	}
	return done, err
}

// kindOf is the operation that a decision on a request starts. Owner only.
func (s *Supervisor) kindOf(identity, id string, decision queue.Decision) string {
	if decision == queue.Denied {
		return "deny"
	}
	if r := s.bottles[identity]; r != nil {
		i := slices.IndexFunc(r.requests, func(q Request) bool { return q.ID == id })
		if i >= 0 && r.requests[i].Tool != queue.ToolCapability {
			return "grant"
		}
	}
	return "rebuild"
}

// approvedMessage is what the agent is told when it runs on the new image.
func approvedMessage(j journal) string {
	var b strings.Builder
	b.WriteString("The operator approved your capability request")
	if j.Decision == queue.Edited {
		b.WriteString(" with edits")
	}
	b.WriteString(". You run on the new image now; your workspace and this conversation are as they were.")
	if j.Note != "" {
		b.WriteString(" The operator's note: " + j.Note)
	}
	if j.Decision == queue.Edited {
		b.WriteString(" What differs from what you asked for:\n" + udiff.Unified("asked", "granted", j.Proposed, j.Content))
	}
	b.WriteString(" Go on with what you needed it for.")
	return cut(b.String(), 16<<10)
}

// unsettled checks, under the lock, that a request is still what it was when it was decided on, and that what it would
// change is still what its agent read.
func (s *Supervisor) unsettled(b *state.Bottle, j journal) error {
	if err := uninterrupted(b); err != nil {
		return err
	}
	pending, bad := s.box(b.Identity()).Requests()
	i := slices.IndexFunc(pending, func(p queue.Pending) bool { return p.ID == j.Request && p.Answer == nil })
	switch {
	case i < 0 && len(bad) > 0:
		return refuse("whether the request still waits could not be found out: %s: %s", bad[0].Path, bad[0].Err)
	case i < 0:
		return refuse("the request was settled meanwhile")
	case queue.Hash([]byte(pending[i].Proposed)) != j.Shown:
		return refuse("the request is not what you were shown; look at it again")
	case j.Decision == queue.Denied || pending[i].CurrentHash == "":
		return nil
	}
	now, err := s.nowFor(pending[i].Tool, b)
	if err != nil {
		return err
	}
	if pending[i].CurrentHash != queue.Hash(now) {
		return errStale
	}
	return nil
}

// errStale refuses a request that was made from what is not in force any more.
var errStale = refuse("what is in force changed since the agent read it; deny the request and let the agent ask again")

// uninterrupted refuses to begin something while a journal says that something else is to be finished first.
func uninterrupted(b *state.Bottle) error {
	op, err := b.Operation()
	if err == nil && op != nil {
		err = refuse("an interrupted %s of this bottle is to be finished first", op.Kind)
	}
	return err
}

// runs refuses what only an agent that runs has something of, by the engine's word of this moment. It is the list of the
// root's objects: a look at the container itself would wait for whatever the engine is reading out of it.
func (s *Supervisor) runs(ctx context.Context, x *execution) error {
	have, err := s.look(ctx, x)
	if err == nil && have.containers[RoleAgent].State != StateRunning {
		err = errNobodyWaits
	}
	return err
}

var errNobodyWaits = refuse("the agent does not run, so nobody waits for this")

// answer writes the operator's decision for the agent; a decision that is there already stands.
func (s *Supervisor) answer(identity string, j journal) error {
	a := queue.Answer{Request: j.Request, Decision: j.Decision, Note: j.Note, DecidedAt: s.cfg.Now().UTC(), ShownHash: j.Shown}
	if j.Decision != queue.Denied {
		a.Content = j.Content
	}
	if err := s.box(identity).Answer(a); err != nil && !errors.Is(err, queue.ErrAnswered) && !errors.Is(err, queue.ErrNoRequest) {
		return err
	}
	return nil
}

// deny tells the agent no, and why.
func (s *Supervisor) deny(ctx context.Context, x *execution, j journal) (err error) {
	defer s.settleRequest(x.layout.identity, j.Request, &err)
	if err := s.unsettled(x.bottle, j); err != nil {
		return err
	}
	if err := j.write(x.bottle, "deny", "answer", s.cfg.Now()); err != nil {
		return err
	}
	if err := s.auditDecision(x.layout.identity, j); err != nil {
		return errors.Join(err, x.bottle.ClearOperation())
	}
	if err := s.giveDenial(x, j); err != nil {
		return err
	}
	s.told(ctx, x.layout.identity, j.Request, 5*time.Second)
	return s.box(x.layout.identity).Archive(j.Request)
}

// giveDenial answers a request that is denied, as its journal says. Where the answer can't be given, or another one was
// first, the audit log says that the decision was not applied.
func (s *Supervisor) giveDenial(x *execution, j journal) error {
	id := x.layout.identity
	err := s.answer(id, j)
	if err == nil {
		var first *queue.Answer
		if first, err = s.box(id).AnswerTo(j.Request); err == nil && first != nil && (first.Decision != j.Decision || first.Note != j.Note) {
			err = refuse("the request was settled meanwhile: it is %s", first.Decision)
		}
	}
	if err != nil {
		_ = s.audit(id, auditNotApplied, map[string]any{"request": j.Request, "decision": j.Decision, "id": j.ID, "why": firstLine(err.Error())})
	}
	return errors.Join(err, x.bottle.ClearOperation())
}

// finishDenial finishes a denial that was interrupted.
func (s *Supervisor) finishDenial(x *execution, j journal) error {
	if err := s.auditDecision(x.layout.identity, j); err != nil {
		return err
	}
	if err := s.giveDenial(x, j); err != nil {
		return err
	}
	return s.box(x.layout.identity).Archive(j.Request)
}

// auditNotApplied is the kind of an entry about a decision that was written down and not applied.
const auditNotApplied = "not applied"

// settleRequest takes a request out of the inbox, or leaves it there with what went wrong.
func (s *Supervisor) settleRequest(identity, id string, err *error) {
	failure := *err
	s.post(func() {
		if failure == nil || errors.Is(failure, queue.ErrAnswered) {
			s.drop(identity, id)
			return
		}
		s.change(identity, id, func(q *Request) {
			q.State, q.Err = Unapplied, failure.Error()
			if Cancelled(failure) || errors.Is(failure, ErrRefused) {
				q.State = Waiting
			}
		})
	})
}

// rebuild puts an approved capability in force.
func (s *Supervisor) rebuild(ctx context.Context, x *execution, j journal) (err error) {
	defer s.settleRequest(x.layout.identity, j.Request, &err)
	if err := s.unsettled(x.bottle, j); err != nil {
		return err
	}
	if err := s.runs(ctx, x); err != nil {
		return err
	}
	old, err := x.bottle.Dockerfile()
	if err != nil {
		return err
	}
	j.OldOwn, j.Old = old != nil, string(old)
	if err := s.arrange(ctx, x, j); err != nil {
		return err
	}
	if err := j.write(x.bottle, "rebuild", stepBuild, s.cfg.Now()); err != nil {
		return err
	}
	var refused error
	err = s.cycle(ctx, x, j, func(ctx context.Context) (session string, err error) {
		defer func() { refused = err }()
		if session, err = s.askedIn(ctx, x.bottle, j.Session); err != nil {
			return "", err
		}
		return session, s.auditDecision(x.layout.identity, j)
	})
	if refused != nil && s.ctx.Err() == nil && !errors.Is(refused, ErrUnavailable) {
		return errors.Join(err, x.bottle.ClearOperation()) // nothing was changed
	}
	return err
}

// stepBuild is the first step of a rebuild, in which nothing is changed yet.
const stepBuild = "build"

// cycle is the rebuild cycle from wherever it stands, after arrange: each step looks whether it is still to be done,
// so the same code runs it, and finishes one that was interrupted. settle, which goes on beside the build, says in which
// session the agent goes on; where it fails, nothing was changed.
func (s *Supervisor) cycle(ctx context.Context, x *execution, j journal, settle func(context.Context) (session string, err error)) error {
	id, b := x.layout.identity, x.bottle
	step := func(name string) error { return j.write(b, "rebuild", name, s.cfg.Now()) }
	x.layout.source, x.layout.own, x.layout.image = []byte(j.Content), true, imageRef(id, []byte(j.Content))
	x.keepsHome = true
	x.beside.Go(func() error { x.listHome(s.ctx); return nil })
	defer func() { _ = x.beside.Wait() }()
	if err := s.buildAside(ctx, x, &j, settle); err != nil {
		return err
	}
	x.layout.begin(j)
	s.commit(id)
	if ctx.Err() != nil && s.ctx.Err() == nil { // it was cancelled just before
		return errors.Join(ctx.Err(), b.ClearOperation())
	}
	ctx = s.ctx // from here on it is finished, not cancelled

	x.report("keep Dockerfile", 0, 0)
	if err := step("keep Dockerfile"); err != nil {
		return err
	}
	if err := b.PutDockerfile([]byte(j.Content), j.Request); err != nil {
		return err
	}
	x.report("answer the agent", 0, 0)
	if err := step("answer"); err != nil {
		return err
	}
	before, _ := s.cfg.Engine.Stat(ctx, agentName(id), x.layout.profile.Program.transcript(j.Session)) // no size when there is none
	if err := s.answer(id, j); err != nil {
		return err
	}
	s.recorded(ctx, x, j, before.Size)
	if err := step("replace"); err != nil {
		return err
	}
	if session, err := s.liveSession(ctx, agentName(id), x.layout.profile.Program); err == nil { // later it takes the engine longer
		x.inSession = &session
	}
	x.beside.Go(func() error { // while the old agent is stopped, for which the engine mostly waits
		if err := s.tellSupervise(ctx, x); err != nil {
			s.cfg.Log.Info("tell supervise", "identity", id, "err", err) // it is told again when the agent runs
		}
		return x.compareHome(ctx)
	})
	if err := s.replace(ctx, x, "its new image is approved"); err != nil {
		if s.ctx.Err() != nil || errors.Is(err, ErrUnavailable) {
			return err
		}
		_ = x.beside.Wait()
		j.Failure, j.Told = err.Error(), forAgent(err)
		return s.rollBack(ctx, x, j)
	}
	_ = s.auditOnce(id, "in force", "request", map[string]any{"request": j.Request, "image": x.layout.image, "image_digest": s.digest(ctx, x)})
	if err := s.box(id).Archive(j.Request); err != nil {
		return err
	}
	keep := []string{x.layout.image}
	if j.OldOwn {
		keep = append(keep, imageRef(id, []byte(j.Old)))
	}
	s.dropImages(ctx, id, keep...)
	return b.ClearOperation()
}

// buildAside builds the new image while the agent waits, and settles beside that in which session it goes on. A build that
// fails or is cancelled changes nothing.
func (s *Supervisor) buildAside(ctx context.Context, x *execution, j *journal, settle func(context.Context) (string, error)) error {
	building, stop := context.WithCancel(ctx)
	defer stop()
	var there bool
	var err error
	var beside errgroup.Group
	beside.Go(func() (err error) {
		if j.Session, err = settle(ctx); err != nil {
			stop()
		}
		return err
	})
	if there, err = s.hasImage(building, x.layout.image); err == nil && !there {
		x.report("build image", 0, 0)
		var p Plan
		planImage(&p, x.layout, observed{}, "the operator approved it")
		err = x.run(building, p)
	}
	if refused := beside.Wait(); refused != nil {
		return refused
	}
	switch {
	case err == nil && there:
		return nil
	case err == nil:
		_ = s.audit(x.layout.identity, "built", map[string]any{"request": j.Request, "image": x.layout.image, "image_digest": s.digest(ctx, x), "added_bytes": s.tellAdded(ctx, x)})
		return nil
	case s.ctx.Err() != nil || errors.Is(err, ErrUnavailable):
		return err
	}
	if clear := x.bottle.ClearOperation(); clear != nil {
		return errors.Join(err, clear)
	}
	_ = s.audit(x.layout.identity, "build failed", map[string]any{"request": j.Request, "error": cut(err.Error(), 2000)})
	return err
}

// replace puts the agent of the layout in the place of the one that runs, and sees that it stays up.
func (s *Supervisor) replace(ctx context.Context, x *execution, cause string) error {
	if err := s.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.slots.Release(1)
	if err := s.reconcile(ctx, x, cause); err != nil {
		return err
	}
	s.withdrawAll(x.layout.identity, "", "the agent was restarted on a new image; it asks again if it still needs this")
	s.ask(func() {
		if r := s.bottles[x.layout.identity]; r != nil && r.op != nil {
			r.op.view.Step, r.op.view.N, r.op.view.Total = stepSettle, 0, 0
			s.changed()
		}
	})
	if err := s.tellSupervise(ctx, x); err != nil {
		return err
	}
	return s.staysUp(ctx, x)
}

// stepSettle is the step in which a new agent runs and is only watched for a moment.
const stepSettle = "watch that it stays up"

// tellSupervise gives supervise the Dockerfile that is in force now.
func (s *Supervisor) tellSupervise(ctx context.Context, x *execution) error {
	if !x.layout.profile.Supervise {
		return nil
	}
	content, err := x.layout.superviseConfig().Encode()
	if err != nil {
		return err
	}
	id := x.layout.identity
	return s.apply(ctx, id, RoleSupervise, sidecarName(RoleSupervise, id), content, x.layout.owner)
}

func (l layout) superviseConfig() supervise.Config {
	return supervise.Config{
		Identity: l.identity, Dockerfile: string(l.source), Allowlist: l.force.allow, Routes: routesText(l.force.routes),
	}
}

// staysUp waits a moment in which an agent that can't run would end.
func (s *Supervisor) staysUp(ctx context.Context, x *execution) error {
	s.mu.Lock()
	t := s.terminals[x.layout.identity]
	s.mu.Unlock()
	if t != nil {
		select {
		case <-t.done:
		case <-time.After(s.cfg.Settle):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return x.running(ctx, agentName(x.layout.identity))
}

// rollBack puts an agent that did not come up on its new image back on the old one, with its Dockerfile.
func (s *Supervisor) rollBack(ctx context.Context, x *execution, j journal) error {
	id, b := x.layout.identity, x.bottle
	failure := fmt.Errorf("the agent did not come up on the new image and is back on the old one: %s", j.Failure)
	if err := j.write(b, "rebuild", stepRollBack, s.cfg.Now()); err != nil {
		return err
	}
	x.report("put the agent back on its old image", 0, 0)
	var old []byte
	if j.OldOwn {
		old = []byte(j.Old)
	}
	if err := b.RestoreDockerfile(old, j.Request); err != nil {
		return err
	}
	j.Message = "The operator approved your capability request, but the new image did not come up, so you are back on the old one. " +
		"What went wrong: " + orDefault(j.Told, "it did not start.") + " Your workspace and this conversation are as they were. Go on without it, or ask again with a Dockerfile that works."
	if err := s.arrange(ctx, x, j); err != nil {
		return err
	}
	if err := s.replace(ctx, x, "the new image did not come up"); err != nil {
		if s.ctx.Err() != nil || errors.Is(err, ErrUnavailable) {
			return err
		}
		failure = fmt.Errorf("the agent came up neither on the new image (%s) nor on the old one: %w; the bottle is down with its state kept, r resumes it", j.Failure, err)
		if err := s.takeDown(ctx, x, firstLine(failure.Error())); err != nil {
			return errors.Join(failure, err)
		}
	}
	_ = s.auditOnce(id, "rolled back", "request", map[string]any{"request": j.Request, "why": cut(j.Failure, 2000), "image": x.layout.image})
	if err := s.box(id).Archive(j.Request); err != nil {
		return errors.Join(failure, err)
	}
	s.post(func() { s.drop(id, j.Request) })
	return errors.Join(failure, b.ClearOperation())
}

const stepRollBack = "roll back"
