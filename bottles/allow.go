package bottles

import (
	"context"
	"errors"
	"slices"
	"strings"

	"bottle-tui/queue"
)

// beginAllow opens hosts that nobody asked for. Owner only.
func (s *Supervisor) beginAllow(a Allow) (<-chan error, error) {
	return s.onBottle(a.Identity, "grant", false, func(r *record) (work, error) {
		switch {
		case len(a.Rules) == 0:
			return nil, refuse("there is no host to open")
		case a.Scope.Profile || a.Scope.For < 0 || a.Scope.For > maxScope:
			return nil, refuse("a host is opened for a time, or for the bottle; for the profile, write it into the manifest")
		case !r.have.wayOut():
			return nil, refuse("its egress does not run, so nothing can be opened")
		}
		for _, rule := range a.Rules {
			if err := checkRule(rule, r.have.engine()); err != nil {
				return nil, refuse("%w", err)
			}
		}
		return func(ctx context.Context, x *execution) error { return s.allow(ctx, x, a) }, nil
	})
}

// allow is the operation behind Allow, journaled.
func (s *Supervisor) allow(ctx context.Context, x *execution, a Allow) error {
	if err := uninterrupted(x.bottle); err != nil {
		return err
	}
	if _, err := s.changeable(ctx, x); err != nil {
		return err
	}
	st, err := s.standing(x.bottle)
	if err != nil {
		return err
	}
	now := st.now
	rules := slices.Clone(a.Rules)
	next := now.with(Change{Allow: rules})
	if next.allow == now.allow {
		return refuse("%s is open already", strings.Join(rules, ", "))
	}
	at := s.cfg.Now().UTC()
	j := journal{
		ID: queue.NewID(at), Request: queue.NewID(at), Decision: queue.Approved, Content: next.allow,
		Grant: grantJournal{Tool: queue.ToolEgress, Scope: a.Scope, At: at, Before: now.allow},
	}
	if err := j.write(x.bottle, "allow", stepApply, at); err != nil {
		return err
	}
	if err := s.auditAllow(x.layout.identity, j); err != nil {
		return errors.Join(err, x.bottle.ClearOperation())
	}
	return s.finishAllow(ctx, x, j)
}

// auditAllow writes down that the operator opens hosts, once.
func (s *Supervisor) auditAllow(identity string, j journal) error {
	opened, err := inForce{allow: j.Grant.Before}.proposal(j.Grant.Tool, j.Content)
	if err != nil {
		return err
	}
	rules := difference(inForce{allow: j.Grant.Before}, opened).Allow
	return s.decided(identity, j, map[string]any{"grant": j.Request, "decision": "opened by the operator", "allow": rules, "scope": j.Grant.Scope.String()})
}

// finishAllow does what allow's journal says, also when that was interrupted.
func (s *Supervisor) finishAllow(ctx context.Context, x *execution, j journal) error {
	g, _, err := s.open(ctx, x, j)
	if err != nil {
		return err
	}
	_ = s.auditOnce(x.layout.identity, "in force", "grant", map[string]any{"grant": g.ID, "tool": g.Tool, "change": g.Change, "scope": g.Scope.String(), "until": g.Until})
	return x.bottle.ClearOperation()
}
