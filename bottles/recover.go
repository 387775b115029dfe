package bottles

import (
	"context"
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
		return s.cycle(ctx, x, j)
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

// decisionKept writes down the decision behind an interrupted operation, which may have been killed before it did. One of
// an earlier version has done so, or is not known by it.
func (s *Supervisor) decisionKept(x *execution, j journal, write func(string, journal) error) error {
	if j.ID == "" {
		return nil
	}
	return write(x.layout.identity, j)
}
