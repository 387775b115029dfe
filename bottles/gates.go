package bottles

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"bottle-tui/queue"
)

// gates is a change of what a bottle's gates let through.
type gates struct {
	before, next inForce
	grants       []Grant // with next
	tools        []string
}

// want makes the layout of x what a change makes of the bottle.
func (s *Supervisor) want(ctx context.Context, x *execution, g gates) error {
	if err := s.arrange(ctx, x, journal{}); err != nil {
		return err
	}
	l := &x.layout
	l.hadRoutes = l.hadRoutes || len(g.before.routes) > 0
	l.force, l.until, l.tokens = g.next, untilOf(g.grants, s.cfg.Now()), tokensOf(l.profile, g.grants)
	x.secrets = nil
	return nil
}

// writeDown keeps a change in the bottle's state, whose layout was made by want.
func (s *Supervisor) writeDown(x *execution, g gates) error {
	if err := writeGrants(x.bottle, g.grants); err != nil {
		return err
	}
	return s.putConfig(x)
}

// enforce puts a change in force in the sidecars that it concerns, which confirm it, and tells the agent's files and
// supervise. A bottle that is down has it at its resume.
func (s *Supervisor) enforce(ctx context.Context, x *execution, g gates) error {
	l := &x.layout
	have, err := s.look(ctx, x)
	if err == nil {
		err = have.frozen()
	}
	if err != nil || have.containers[RoleEgress].State != StateRunning {
		return err
	}
	if slices.Contains(g.tools, queue.ToolCredProxy) {
		switch {
		case have.containers[RoleCredProxy].State == StateRunning:
			err = s.applyRoutes(ctx, x, g.before)
		case len(g.next.routes) > 0:
			err = s.resolve(ctx, x)
			if err == nil {
				err = x.run(ctx, planSidecars(*l, have, "a route was granted"))
			}
		}
	}
	if err == nil && slices.Contains(g.tools, queue.ToolEgress) {
		err = s.applyAllowlist(ctx, x, have.parts)
	}
	if err != nil {
		return err
	}
	// Both say what holds now, in two containers: neither waits for the other.
	both, ctx := errgroup.WithContext(ctx)
	if have.containers[RoleAgent].State == StateRunning {
		files := currentFiles(*l)
		if l.hadRoutes || len(g.next.routes) > 0 || len(l.profile.Git) > 0 {
			files = append(files, roleFiles(l.profile.Program.userHome(), l.profile.Program, g.next.routes, l.profile.Git)...)
		}
		both.Go(func() error {
			return s.cfg.Engine.CopyIn(ctx, agentName(l.identity), "/", archiveOf(l.profile.Program, files))
		})
	}
	if have.containers[RoleSupervise].State == StateRunning {
		both.Go(func() error { return s.tellSupervise(ctx, x) })
	}
	return both.Wait()
}

// applyRoutes gives a running cred-proxy the tokens that it may not have and then its routes.
func (s *Supervisor) applyRoutes(ctx context.Context, x *execution, was inForce) error {
	var fresh []Route
	for _, r := range x.layout.force.routes {
		if !slices.ContainsFunc(was.routes, func(o Route) bool { return o.TokenRef == r.TokenRef }) {
			fresh = append(fresh, r)
		}
	}
	secrets, missing := s.tokens(ctx, fresh, x.layout.tokens)
	if len(missing) > 0 {
		return errors.New(missing[0].What + "; " + missing[0].Fix)
	}
	if err := s.feed(ctx, x.layout.identity, RoleCredProxy, secrets); err != nil {
		return err
	}
	return s.applyTo(ctx, x, RoleCredProxy)
}

// applyTo gives a running sidecar its configuration and waits until it says that it is in force.
func (s *Supervisor) applyTo(ctx context.Context, x *execution, role Role) error {
	content, err := x.layout.config(role)
	if err != nil {
		return err
	}
	return s.apply(ctx, x.layout.identity, role, sidecarName(role, x.layout.identity), content, x.layout.owner)
}

// frozen says which sidecar can't be told anything because it is paused; it would go on with what it has.
func (p parts) frozen() error {
	for _, role := range roles[1:] {
		if c := p.containers[role]; c.State == StatePaused {
			return fmt.Errorf("%s is paused, so nothing can be changed; go on with it: docker unpause %[1]s", c.Name)
		}
	}
	return nil
}

// changeable refuses to begin a change of what gets out where that can't be put in force. What is known of a bottle may
// be older than the change.
func (s *Supervisor) changeable(ctx context.Context, x *execution) error {
	have, err := s.look(ctx, x)
	if err != nil {
		return err
	}
	if err := have.frozen(); err != nil {
		return refuse("%w", err)
	}
	if !have.wayOut() {
		return refuse("its egress does not run, so nothing can be put in force; x and r start it anew")
	}
	return nil
}

// putConfig writes down the current three.
func (s *Supervisor) putConfig(x *execution) error {
	for _, f := range currentFiles(x.layout) {
		if err := x.bottle.PutConfig(filepath.Base(f.Path), f.Content); err != nil {
			return err
		}
	}
	return nil
}

// untilOf says when what was granted for a time ends. What two grants hold ends with the first.
func untilOf(grants []Grant, now time.Time) Until {
	until := Until{}
	for _, g := range grants {
		if g.Until.IsZero() || !g.running(now) {
			continue
		}
		keep := func(key string) {
			if old, ok := until[key]; !ok || g.Until.Before(old) {
				until[key] = g.Until
			}
		}
		for _, rule := range g.Change.Allow {
			keep(rule)
		}
		for _, r := range g.Change.Routes {
			keep(r.Path)
		}
	}
	return until
}
