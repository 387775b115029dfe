package bottles

import (
	"context"
	"errors"
	"fmt"

	"bottle-tui/state"
)

// recoverAll starts to finish, or take back, every operation that a journal says was interrupted.
// Owner only.
func (s *Supervisor) recoverAll() {
	for id, r := range s.bottles {
		if r.journal != nil && r.op == nil && len(r.waiting) == 0 && r.disk != nil && s.recovers(id) {
			s.operate(r, "recover", "", s.finish)
		}
	}
}

// recovers says whether this program finishes what was interrupted on a bottle.
func (s *Supervisor) recovers(id string) bool { return s.cfg.Recover == nil || s.cfg.Recover(id) }

// finish finishes one interrupted operation. The journal is read again under the lock: another
// program may have finished it.
func (s *Supervisor) finish(ctx context.Context, x *execution) error {
	op, err := x.bottle.Operation()
	if err != nil {
		return err
	}
	if op == nil {
		return errNothing
	}
	j, err := readJournal(op)
	if err != nil {
		return err
	}
	_ = s.audit(x.layout.identity, "recover", map[string]any{"operation": op.Kind, "step": op.Step, "request": j.Request})
	if err := s.goOn(ctx, x, op, j); err != nil {
		return fmt.Errorf("finish the interrupted %s: %w", op.Kind, err)
	}
	return nil
}

func (s *Supervisor) goOn(ctx context.Context, x *execution, op *state.Operation, j journal) (err error) {
	switch op.Kind {
	case "launch", "resume":
		if err := s.takeUp(ctx, x, &j); err != nil {
			return err
		}
		return s.bringUp(ctx, x, op.Kind, j)
	case "rebuild":
		defer s.settleRequest(x.layout.identity, j.Request, &err)
		s.post(func() {
			s.change(x.layout.identity, j.Request, func(q *Request) { q.State, q.Err = Applying, "" })
		})
		if op.Step == stepRollBack {
			return s.rollBack(ctx, x, j)
		}
		if err := s.decisionKept(x, j, s.auditDecision); err != nil {
			return err
		}
		if err := s.arrange(ctx, x, j); err != nil {
			return err
		}
		return s.cycle(ctx, x, j, func(ctx context.Context) (string, error) {
			if op.Step == stepBuild { // it was not settled yet
				return s.askedIn(ctx, x.bottle, j.Session)
			}
			return j.Session, nil
		})
	case "grant":
		defer s.settleRequest(x.layout.identity, j.Request, &err)
		if err := s.decisionKept(x, j, s.auditDecision); err != nil {
			return err
		}
		return s.putInForce(ctx, x, j)
	case "deny":
		defer s.settleRequest(x.layout.identity, j.Request, &err)
		return s.finishDenial(x, j)
	case "allow":
		if err := s.decisionKept(x, j, s.auditAllow); err != nil {
			return err
		}
		return s.finishAllow(ctx, x, j)
	case "teardown":
		return s.takeDown(ctx, x, j.Reason)
	case "delete":
		if j.Reason == errCancelled.Error() {
			return s.unmake(ctx, x, j)
		}
		return s.remove(ctx, x)
	}
	return fmt.Errorf("no such operation; remove %s/operation.json by hand if no other version of this program knows it", x.bottle.Dir())
}

// keepFailure writes into a bottle's state that an operation failed which leaves it neither live nor down for another reason, so
// that every program shows it as failed, the next one, too. It gives the failure back. Under the bottle's lock.
func (s *Supervisor) keepFailure(x *execution, kind string, failure error) error {
	switch {
	case failure == nil || x.bottle == nil || s.ctx.Err() != nil || Cancelled(failure):
		return failure
	case errors.Is(failure, errNothing) || errors.Is(failure, ErrUnavailable) || errors.Is(failure, state.ErrGone) || errors.Is(failure, state.ErrUnknown):
		return failure // somebody's who comes later
	}
	op, err := x.bottle.Operation()
	switch {
	case err != nil: // it is shown by itself
	case kind == "recover" && op != nil:
		op.Failed = firstLine(failure.Error())
		err = x.bottle.PutOperation(*op)
	case (kind == "launch" || kind == "resume") && op == nil && !errors.Is(failure, ErrRefused):
		reason := kind + failedEnd + firstLine(failure.Error())
		if meta, unread := x.bottle.Metadata(); unread == nil && meta.EndReason != reason {
			err = s.closed(x.bottle, reason) // it failed before anything was made
		}
	}
	if err != nil {
		s.cfg.Log.Warn("keep a failure", "identity", x.layout.identity, "err", err)
	}
	return failure
}

// decisionKept writes down the decision behind an interrupted operation, which may have been killed before it did. One of
// an earlier version has done so, or is not known by it.
func (s *Supervisor) decisionKept(x *execution, j journal, write func(string, journal) error) error {
	if j.ID == "" {
		return nil
	}
	return write(x.layout.identity, j)
}
