package bottles

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"
)

// applyGates makes next what the gates of a bottle let through: written down, in force in each sidecar whose part
// changed and confirmed by it, and told to the agent and to supervise. A bottle that is down has it at its resume.
func (s *Supervisor) applyGates(ctx context.Context, x *execution, next inForce, grants []Grant) error {
	if err := s.arrange(ctx, x, journal{}); err != nil {
		return err
	}
	l := &x.layout
	was, ends := l.force, l.until
	l.hadRoutes = l.hadRoutes || len(was.routes) > 0
	l.force, l.until, l.tokens = next, untilOf(grants, s.cfg.Now()), tokensOf(l.profile, grants)
	if err := writeGrants(x.bottle, grants); err != nil {
		return err
	}
	if err := s.putConfig(x); err != nil {
		return err
	}
	have, err := s.look(ctx, x)
	if err != nil || have.containers[RoleEgress].State != StateRunning {
		return err
	}
	changed := func(role Role) (bool, error) {
		old := *l
		old.force, old.until = was, ends
		a, errA := old.config(role)
		b, errB := l.config(role)
		return !bytes.Equal(a, b), errors.Join(errA, errB)
	}
	x.secrets = nil
	if len(next.routes) > 0 && have.containers[RoleCredProxy].State != StateRunning {
		if err := x.run(ctx, planSidecars(*l, have, "a route was granted")); err != nil {
			return err
		}
	} else if have.containers[RoleCredProxy].State == StateRunning {
		if ok, err := changed(RoleCredProxy); err != nil {
			return err
		} else if ok {
			if err := s.applyRoutes(ctx, x, was); err != nil {
				return err
			}
		}
	}
	if ok, err := changed(RoleEgress); err != nil {
		return err
	} else if ok {
		if err := s.applyTo(ctx, x, RoleEgress); err != nil {
			return err
		}
	}
	if have.containers[RoleAgent].State == StateRunning {
		files := slices.DeleteFunc(agentFiles(*l, false), func(f File) bool {
			return slices.ContainsFunc(l.profile.Files, func(o File) bool { return o.Path == f.Path })
		})
		if err := s.cfg.Engine.CopyIn(ctx, agentName(l.identity), "/", archiveOf(l.profile.Program, files)); err != nil {
			return err
		}
	}
	if have.containers[RoleSupervise].State == StateRunning {
		return s.tellSupervise(ctx, x)
	}
	return nil
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
	if err := s.feed(ctx, x.layout.identity, sidecarName(RoleCredProxy, x.layout.identity), secrets); err != nil {
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
