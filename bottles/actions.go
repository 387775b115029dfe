package bottles

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"bottle-tui/bottles/workspace"
	"bottle-tui/queue"
	"bottle-tui/state"
)

// operation is one thing that is being done to a bottle by this program.
type operation struct {
	view   Operation
	cancel context.CancelFunc
	done   chan error   // gets the outcome, once
	stops  []chan error // of those who cancelled it
	locked bool         // it can't be cancelled any more
}

// Start has an action done. A refusal comes at once and wraps ErrRefused; otherwise done gets the
// outcome when the operation has ended, which ctx does not shorten: Cancel does.
func (s *Supervisor) Start(ctx context.Context, a Action) (done <-chan error, err error) {
	select {
	case <-s.started:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.stopped:
		return nil, errEnding
	}
	if _, cancel := a.(Cancel); !cancel {
		s.firstHeard(ctx)
	}
	if launch, ok := a.(Launch); ok {
		return s.startLaunch(launch)
	}
	if !s.ask(func() { done, err = s.begin(a) }) {
		return nil, errEnding
	}
	return done, err
}

// firstHeard waits until the engine has been listed, or has failed to answer: before that nothing is known of it, and an
// action that comes with the first snapshot would be refused for an engine that does answer.
func (s *Supervisor) firstHeard(ctx context.Context) {
	heard := true
	if s.ask(func() { heard = s.listed || s.engine.Err != "" }) && !heard {
		_ = s.Ready(ctx) // what it says is judged with the action
	}
}

func isLive(identity string) error { return refuse("%s is live already", identity) }
func isDown(identity string) error { return refuse("%s is down already", identity) }

// cancelledError is the end of an operation that the operator cancelled, in a word.
type cancelledError struct{}

func (cancelledError) Error() string { return "cancelled" }
func (cancelledError) Unwrap() error { return context.Canceled }

var errCancelled error = cancelledError{}

var errEnding = refuse("the program is ending")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
}

// begin checks an action against the world and starts its operation, or has it wait where the program is at an operation
// of its own accord. Owner only.
func (s *Supervisor) begin(a Action) (<-chan error, error) {
	if r := s.bottles[a.bottle()]; r != nil && r.op != nil && r.op.byItself() {
		if _, cancel := a.(Cancel); !cancel {
			return r.queue(a), nil
		}
	}
	switch a := a.(type) {
	case Cleanup:
		return s.beginCleanup(a)
	case Cancel:
		return s.cancelOperation(a.Identity)
	case Resume:
		return s.onBottle(a.Identity, "resume", false, func(r *record) (work, error) {
			if r.have.containers[RoleAgent].State == StateRunning {
				return nil, isLive(r.identity)
			}
			return func(ctx context.Context, x *execution) error { return s.resume(ctx, x, a) }, nil
		})
	case TearDown:
		return s.onBottle(a.Identity, "teardown", true, func(r *record) (work, error) {
			if r.have.empty() {
				return nil, isDown(r.identity)
			}
			return s.tearDown, nil
		})
	case Delete:
		return s.onBottle(a.Identity, "delete", true, func(r *record) (work, error) {
			if r.have.containers[RoleAgent].State.alive() {
				return nil, refuse("%s is live; tear it down first", r.identity)
			}
			return s.remove, nil
		})
	case Approve:
		return s.decide(a.Identity, a.Request, a.Shown, queue.Approved, "", nil, a.Terms)
	case ApproveEdited:
		return s.decide(a.Identity, a.Request, a.Shown, queue.Edited, "", a.Content, a.Terms)
	case Allow:
		return s.beginAllow(a)
	case Revoke:
		return s.beginRevoke(a)
	case Deny:
		if strings.TrimSpace(a.Reason) == "" {
			return nil, refuse("a denial needs a reason: it is all that the agent learns")
		}
		return s.decide(a.Identity, a.Request, a.Shown, queue.Denied, a.Reason, nil, Terms{})
	}
	return nil, refuse("no such action: %T", a)
}

// work is what an operation does, in its own goroutine and under the bottle's lock.
type work func(ctx context.Context, x *execution) error

// onBottle starts an operation on a bottle that has a state. Owner only.
func (s *Supervisor) onBottle(identity, kind string, unread bool, check func(*record) (work, error)) (<-chan error, error) {
	r, ok := s.bottles[identity]
	switch {
	case ok && r.unlisted != "":
		return nil, refuse("%s", r.unlisted)
	case !ok || r.disk == nil:
		return nil, refuse("there is no bottle %s", queue.Visible(identity))
	case r.op != nil:
		return nil, refuse("%s is busy: %s", identity, r.op.view.Kind)
	case r.unread != "" && !unread:
		return nil, refuse("%s", r.unread)
	case !s.engine.Reachable:
		return nil, refuse("the container engine does not answer: %s", s.engine.Err)
	}
	w, err := check(r)
	if err != nil {
		return nil, err
	}
	return s.operate(r, kind, "", w), nil
}

// operate runs w as a bottle's operation: locked, journaled by w, reported, and its failure kept.
// Owner only.
func (s *Supervisor) operate(r *record, kind, request string, w work) <-chan error {
	ctx, cancel := context.WithCancel(s.ctx)
	op := &operation{
		view:   Operation{Kind: kind, StartedAt: s.cfg.Now(), Request: request},
		cancel: cancel,
		done:   make(chan error, 1),
	}
	r.op, r.failed = op, nil
	s.changed()
	disk, have := r.disk, r.have
	x := &execution{sup: s, bottle: disk, layout: layout{identity: r.identity, root: s.cfg.Root.ID()}, net: have.networks[labelNet]}
	x.report = func(step string, n, total int) {
		s.post(func() { op.view.Step, op.view.N, op.view.Total = step, n, total; s.changed() })
	}
	x.log = func(p BuildProgress) { s.post(func() { op.took(p); s.changed() }) }
	s.spawn(func() {
		defer cancel()
		err := s.underLock(ctx, disk, op, func() error { return s.keepFailure(x, kind, w(ctx, x)) })
		if Cancelled(err) && s.ctx.Err() == nil {
			err = errCancelled
		}
		if kind == "delete" && errors.Is(err, state.ErrUnknown) {
			err = nil // another program was first
		}
		if err != nil {
			s.cfg.Log.Info("operation failed", "identity", r.identity, "kind", kind, "err", err)
		}
		s.disk.changed(r.identity)
		after, unlisted := s.list()
		s.post(func() {
			r.op = nil
			s.letGo(r, op.view.Request)
			s.finished(r, op, err)
			s.takeIn(after)
			if unlisted != nil {
				s.observeLater()
			}
			op.done <- err
			for _, stop := range op.stops {
				stop <- stopped(err)
			}
			s.takeTurns(r)
		})
	})
	return op.done
}

// letGo has a request wait again that an operation was to settle and, without the bottle's lock, never came to; and looks
// whether another program has settled it meanwhile. Owner only.
func (s *Supervisor) letGo(r *record, id string) {
	if id == "" {
		return
	}
	again := func(q *Request) {
		if q.State == Applying {
			q.State = Waiting
		}
	}
	s.change(r.identity, id, again)
	s.changePush(r.identity, id, again)
	s.lookAtBox(r.identity)
}

// stopped is the outcome of a cancel, by that of the operation, which tells of a failure itself.
func stopped(err error) error {
	if err == nil {
		return refuse("it was done before it could be stopped")
	}
	return nil
}

// finished reports an operation's outcome. Owner only.
func (s *Supervisor) finished(r *record, op *operation, err error) {
	s.changed()
	if op.view.Kind == "expire" && err != nil {
		s.expireLater(r)
	}
	switch {
	case op.byItself() && (errors.Is(err, errHeld) || errors.Is(err, errNothing) || errors.Is(err, state.ErrUnknown) || errors.Is(err, state.ErrGone)):
		return // another program's matter, or the root's, which is shown by itself
	case op.byItself() && op.view.Kind != "recover" && err == nil:
		return // told by itself
	case errors.Is(err, ErrRefused) && !op.byItself() && op.view.Kind != "launch" && op.view.Step == "":
		return // nothing was done, and who asked is told why
	}
	if err == nil {
		s.tell(Alert{AlertDone, r.identity, op.view.Request, op.view.Kind, r.identity + ": " + op.view.outcome()})
		return
	}
	if s.ctx.Err() != nil {
		return // the journal has it
	}
	if op.view.Kind == "launch" && Cancelled(err) {
		s.tell(Alert{AlertDone, r.identity, "", op.view.Kind, r.identity + ": cancelled, nothing of it is left"})
		return
	}
	view := op.view
	view.Err = err.Error()
	if Cancelled(err) {
		view.Err = errCancelled.Error()
	}
	r.failed = &view
	if r.disk != nil {
		s.spawn(func() {
			s.audit(r.identity, "failed", map[string]any{"operation": view.Kind, "request": view.Request, "step": view.Step, "error": view.Err})
		})
	}
	s.tell(Alert{AlertFailed, r.identity, op.view.Request, op.view.Kind,
		fmt.Sprintf("%s: %s failed: %s", r.identity, op.view.Kind, cut(queue.Visible(firstLine(view.Err)), 200))})
}

// outcome says in the operator's words that an operation is complete.
func (o Operation) outcome() string {
	switch o.Kind {
	case "launch":
		return "is live"
	case "resume":
		return "is live again"
	case "rebuild":
		if o.Added > 0 {
			return "is live on its new image, which takes " + workspace.Size(o.Added) + " more"
		}
		return "is live on its new image"
	case "deny":
		return "was told no"
	case "grant":
		return "has what it asked for"
	case "revoke":
		return "has it no more"
	case "push":
		return "its push goes on to the remote"
	case "teardown":
		return "is down, its state is kept"
	case "delete", "cleanup":
		return "is gone"
	case "recover":
		return "what was interrupted is finished"
	}
	return o.Kind + " done"
}

// took takes in one line of a build's log.
func (op *operation) took(p BuildProgress) {
	if p.Steps > 0 {
		op.view.N, op.view.Total = p.Step, p.Steps
	}
	if p.Line == "" {
		return
	}
	if len(op.view.Log) >= MaxLogLines {
		op.view.Log = slices.Clone(op.view.Log[MaxLogLines/5:]) // snapshots keep the old array
	}
	op.view.Log = append(op.view.Log, cut(p.Line, 2000))
}

// cancelOperation ends what can still be ended. Owner only.
func (s *Supervisor) cancelOperation(identity string) (<-chan error, error) {
	r, ok := s.bottles[identity]
	switch {
	case ok && len(r.waiting) > 0:
		return r.forget(), nil
	case ok && r.op == nil && r.journal != nil:
		return nil, refuse("another bottle-tui works on %s (%s); cancel it there", identity, atWork(r.journal))
	case !ok || r.op == nil:
		return nil, refuse("nothing is being done to %s", queue.Visible(identity))
	}
	switch r.op.view.Kind {
	case "launch", "resume", "rebuild":
	default:
		return nil, refuse("a %s can't be cancelled half-way", r.op.view.Kind)
	}
	if r.op.locked {
		return nil, refuse("the agent is being replaced; that can't be cancelled half-way")
	}
	r.op.cancel()
	stop := make(chan error, 1)
	r.op.stops = append(r.op.stops, stop)
	return stop, nil
}

// commit makes the operation of x one that can't be cancelled any more.
func (s *Supervisor) commit(identity string) {
	s.ask(func() {
		if r := s.bottles[identity]; r != nil && r.op != nil {
			r.op.locked = true
		}
	})
}

// journal is what an interrupted operation is finished or taken back from.
type journal struct {
	ID      string `json:"id,omitempty"` // of this operation: by it a fact of it is known again, and written down once
	Session string `json:"session,omitempty"`
	Task    string `json:"task,omitempty"`
	Fresh   bool   `json:"fresh,omitempty"` // the session is to be begun, not gone on with
	Message string `json:"message,omitempty"`
	Aside   string `json:"aside,omitempty"` // what the agent is told without spending a turn on it
	Reason  string `json:"reason,omitempty"`

	// Of a rebuild.
	Request  string         `json:"request,omitempty"`
	ToolUse  string         `json:"tool_use_id,omitempty"`
	Decision queue.Decision `json:"decision,omitempty"`
	Note     string         `json:"note,omitempty"`
	Proposed string         `json:"proposed,omitempty"`
	Content  string         `json:"content,omitempty"`
	Shown    string         `json:"shown_hash,omitempty"`
	OldOwn   bool           `json:"old_own,omitempty"` // Old is the bottle's own Dockerfile, not its profile's
	Old      string         `json:"old,omitempty"`     // the Dockerfile that was in force
	Failure  string         `json:"failure,omitempty"` // why it is being rolled back
	Told     string         `json:"told,omitempty"`    // what of that the agent is told

	Grant grantJournal `json:"grant,omitzero"`
}

// write puts the journal's next step on disk, before it is done.
func (j journal) write(b *state.Bottle, kind, step string, at time.Time) error {
	inputs, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("write the journal of %s: %w", b.Identity(), err)
	}
	return b.PutOperation(state.Operation{Kind: kind, Step: step, StartedAt: at.UTC(), PID: os.Getpid(), Inputs: inputs})
}

func readJournal(op *state.Operation) (j journal, err error) {
	if err := json.Unmarshal(op.Inputs, &j); err != nil {
		return j, fmt.Errorf("read the inputs of the interrupted %s: %w", op.Kind, err)
	}
	return j, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
