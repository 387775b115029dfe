package bottles

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"bottle-tui/state"
)

// remove deletes a bottle with its volumes and its state. Whether it may is judged here, under the bottle's lock: another
// program may have brought it back since the operator was asked. It is in the audit log before anything is removed.
func (s *Supervisor) remove(ctx context.Context, x *execution) error {
	id := x.layout.identity
	have, err := s.look(ctx, x)
	if err != nil {
		return err
	}
	live, err := s.agentRuns(ctx, have.parts)
	switch {
	case err != nil:
		return err
	case live:
		return refuse("%s is live; tear it down first (x)", id)
	case have.other != nil:
		return refuse("%s; take them over first (r), then delete the bottle", have.other.text())
	}
	own, err := s.ownImages(ctx, id)
	if err != nil {
		return err
	}
	if err := s.audit(id, "delete", map[string]any{"objects": have.names(), "images": own}); err != nil {
		return fmt.Errorf("nothing was removed, since it could not be written down: %w", err)
	}
	if err := (journal{}).write(x.bottle, "delete", "delete", s.cfg.Now()); err != nil {
		return err
	}
	return x.run(ctx, planGone(id, have.parts, own, false))
}

// unmake removes all that a launch made that was cancelled, its state too. From its journal on it is a deletion, which
// another program finishes; unlike one that is asked for it does not mind an agent that runs.
func (s *Supervisor) unmake(ctx context.Context, x *execution, j journal) error {
	id := x.layout.identity
	back := journal{ID: j.ID, Reason: errCancelled.Error()}
	if err := back.write(x.bottle, "delete", "cancelled", s.cfg.Now()); err != nil {
		return err
	}
	have, err := s.look(ctx, x)
	if err != nil {
		return err
	}
	own, err := s.ownImages(ctx, id)
	if err != nil {
		return err
	}
	if err := s.auditOnce(id, "cancelled", "id", map[string]any{"id": back.ID, "objects": have.names(), "images": own}); err != nil {
		return fmt.Errorf("nothing was removed, since it could not be written down: %w", err)
	}
	return x.run(ctx, planGone(id, have.parts, own, false))
}

// agentRuns says whether a bottle's agent runs or is paused. A listing may call one running that has just ended, so it
// is looked at itself.
func (s *Supervisor) agentRuns(ctx context.Context, have parts) (bool, error) {
	agent, ok := have.containers[RoleAgent]
	if !ok || !agent.State.alive() {
		return false, nil
	}
	c, err := s.cfg.Engine.Container(ctx, agent.Name)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && c.State.alive(), err
}

// ownImages are the images that were built for a bottle alone.
func (s *Supervisor) ownImages(ctx context.Context, identity string) ([]string, error) {
	images, err := s.cfg.Engine.Images(ctx, "")
	if err != nil {
		return nil, err
	}
	var own []string
	for ref, labels := range images {
		if labels[LabelIdentity] == identity && s.cfg.Root.Owns(identity, labels[LabelRoot]) {
			own = append(own, ref)
		}
	}
	slices.Sort(own)
	return own, nil
}

// beginCleanup removes what orphans left on the engine. Owner only.
func (s *Supervisor) beginCleanup(a Cleanup) (<-chan error, error) {
	if !s.engine.Reachable {
		return nil, refuse("the container engine does not answer: %s", s.engine.Err)
	}
	var waits []<-chan error
	for _, id := range a.Identities {
		r, ok := s.bottles[id]
		switch {
		case !ok:
			continue // gone meanwhile
		case r.unlisted != "":
			return nil, refuse("%s is no orphan: %s", id, r.unlisted)
		case r.disk != nil:
			return nil, refuse("%s is no orphan: its state is on disk", id)
		case r.op != nil:
			return nil, refuse("%s is busy: %s", id, r.op.view.Kind)
		}
		waits = append(waits, s.operate(r, "cleanup", "", func(ctx context.Context, x *execution) error {
			// No bottle of that identity can be made meanwhile.
			return s.cfg.Root.Alone(func() error { return s.cleanUp(ctx, x, a.Objects) })
		}))
	}
	done := make(chan error, 1)
	s.spawn(func() {
		var errs []error
		for _, w := range waits {
			select {
			case err := <-w:
				errs = append(errs, err)
			case <-s.ctx.Done():
				errs = append(errs, s.ctx.Err())
			}
		}
		done <- errors.Join(errs...)
	})
	return done, nil
}

// cleanUp removes the objects of one orphan. Disk and engine are looked at now: what has a state after all, and what was
// not shown, stays. It is in the audit log before anything is removed.
func (s *Supervisor) cleanUp(ctx context.Context, x *execution, shown []string) error {
	id := x.layout.identity
	disk := readDisk(s.cfg.Root, readBottle) // not what was read before
	if bad := disk.unreadable(); len(bad) > 0 {
		return refuse("nothing is cleaned up while something in the state root can't be read, since a bottle may be behind it: %s: %s", bad[0].Path, bad[0].Err)
	}
	if _, there := disk.bottles[id]; there || s.cfg.Root.Has(id) {
		return refuse("%s is no orphan: its state is on disk", id)
	}
	have, err := s.look(ctx, x)
	if err != nil {
		return err
	}
	objects := have.names()
	added := slices.DeleteFunc(slices.Clone(objects), func(name string) bool { return slices.Contains(shown, name) })
	if len(added) > 0 {
		return refuse("%s has changed since it was shown (%s); look at it again", id, strings.Join(added, ", "))
	}
	own, err := s.ownImages(ctx, id)
	if err != nil || len(objects)+len(own) == 0 {
		return err
	}
	if err := s.audit(id, "cleanup", map[string]any{"objects": objects, "images": own}); err != nil {
		return fmt.Errorf("nothing was removed, since it could not be written down: %w", err)
	}
	return x.run(ctx, planGone(id, have.parts, own, true))
}

// unreadable is what of the state root could not be read: a bottle may be behind it. A name that is no identity hides none.
func (l listing) unreadable() []Problem {
	return slices.DeleteFunc(slices.Clone(l.problems), func(p Problem) bool { return slices.Contains(l.strays, p) })
}

// Unreadable is what of the state root can't be read: while there is some of it nothing is cleaned up.
func Unreadable(root *state.Root) []Problem { return readDisk(root, readBottle).unreadable() }
