package bottles

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"bottle-tui/queue"
)

// gates is a change of what a bottle's gates let through: from what stands to what shall.
type gates struct {
	had, next standing
	tools     []string
}

// want makes the layout of x what a change makes of the bottle.
func (s *Supervisor) want(ctx context.Context, x *execution, g gates) error {
	if err := s.arrange(ctx, x, journal{}); err != nil {
		return err
	}
	l := &x.layout
	stages := g.next.stages(s.cfg.Now())
	l.force, l.later, l.tokens = stages[0].inForce, stages[1:], tokensOf(l.profile, g.next.grants)
	x.secrets = nil
	return nil
}

// writeDown keeps a change in the bottle's state, whose layout was made by want.
func (s *Supervisor) writeDown(x *execution, g gates) error {
	if _, found, err := readBase(x.bottle); err != nil {
		return err
	} else if !found {
		if err := writeBase(x.bottle, g.next.base); err != nil {
			return err
		}
	}
	if err := writeGrants(x.bottle, g.next.grants); err != nil {
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
			err = s.applyRoutes(ctx, x, g.had)
		case len(l.allRoutes()) > 0:
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
		both.Go(func() error {
			agent := agentName(l.identity)
			files, err := x.homeFiles(ctx, agent, roleTexts(g.had.now.routes, l.profile.Git), roleTexts(l.force.routes, l.profile.Git))
			if err != nil {
				return err
			}
			return s.cfg.Engine.CopyIn(ctx, agent, "/", archiveOf(l.profile.Program, s.cfg.Now(), append(files, currentFiles(*l)...)))
		})
	}
	if have.containers[RoleSupervise].State == StateRunning {
		both.Go(func() error { return s.tellSupervise(ctx, x) })
	}
	return both.Wait()
}

// applyRoutes gives a running cred-proxy the tokens that it may not have and then its routes.
func (s *Supervisor) applyRoutes(ctx context.Context, x *execution, had standing) error {
	was := layout{force: had.now, later: had.stages(s.cfg.Now())}.allRoutes()
	var fresh []Route
	for _, r := range x.layout.allRoutes() {
		if !slices.ContainsFunc(was, func(o Route) bool { return o.TokenRef == r.TokenRef }) {
			fresh = append(fresh, r)
		}
	}
	secrets, missing := x.tokens(ctx, fresh, x.layout.tokens)
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
func (s *Supervisor) changeable(ctx context.Context, x *execution) (parts, error) {
	have, err := s.look(ctx, x)
	if err != nil {
		return have.parts, err
	}
	if err := have.frozen(); err != nil {
		return have.parts, refuse("%w", err)
	}
	if !have.wayOut() {
		return have.parts, refuse("its egress does not run, so nothing can be put in force; x and r start it anew")
	}
	return have.parts, nil
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
