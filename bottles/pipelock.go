package bottles

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/pipelock"
)

// The engines of egress: what keeps a bottle's allowlist. With pipelock, the container egress still holds the pod and
// answers the agent's resolver, and the container pipelock, from an image of its own, is the proxy.
const (
	engineBuiltin  = "builtin"
	enginePipelock = "pipelock"
)

func (p Profile) pipelock() bool { return p.EgressEngine == enginePipelock }

// engine is the engine of egress that a bottle's pod was made for.
func (p parts) engine() string {
	if _, ok := p.containers[RolePipelock]; ok {
		return enginePipelock
	}
	return engineBuiltin
}

// wayOut says whether everything runs that a request out has to pass.
func (p parts) wayOut() bool {
	return p.containers[RoleEgress].State == StateRunning &&
		(p.engine() != enginePipelock || p.containers[RolePipelock].State == StateRunning)
}

// keepEngine is the layout with the engine of egress that a pod which stands was made for: a manifest that names
// another one has it when the pod is made anew.
func (l layout) keepEngine(have parts) layout {
	if have.containers[RoleEgress].State != StateRunning || len(have.networks) < 2 || (have.engine() == enginePipelock) == l.profile.pipelock() {
		return l
	}
	l.profile.EgressEngine, l.profile.EgressImage = have.engine(), have.containers[RolePipelock].Image
	return l
}

// lacksPipelock is what a profile with pipelock lacks on the engine: the image, which nothing here pulls.
func (s *Supervisor) lacksPipelock(ctx context.Context, p Profile) ([]Conflict, error) {
	if !p.pipelock() {
		return nil, nil
	}
	_, err := s.cfg.Engine.Image(ctx, p.EgressImage)
	if errors.Is(err, ErrNotFound) {
		what, fix := pipelock.Absent(p.EgressImage)
		return []Conflict{{what, fix}}, nil
	}
	return nil, err
}

// configArchive is a sidecar's configuration as it is copied into it.
func configArchive(role Role, content []byte, owner int) ([]byte, error) {
	if role == RolePipelock {
		return pipelock.Archive(content, owner)
	}
	return sidecars.ConfigArchive(content, owner), nil
}

// lines reads a line of a sidecar's log.
func (r Role) lines(b []byte, now func() time.Time) []sidecars.Line {
	if r != RolePipelock {
		line, ok := sidecars.ParseLine(b)
		if !ok {
			return nil
		}
		return []sidecars.Line{line}
	}
	lines := pipelock.Lines(b)
	for i := range lines {
		if lines[i].At.IsZero() {
			lines[i].At = now()
		}
	}
	return lines
}

// Gate is the gate whose passages a container tells of: pipelock's are those of egress.
func (r Role) Gate() Role {
	if r == RolePipelock {
		return RoleEgress
	}
	return r
}

// PassagesIn reads a line of the log of a gate's container; none for what is about nothing that wanted through.
func PassagesIn(role Role, line []byte) []Passage {
	var out []Passage
	for _, l := range role.lines(line, time.Now) {
		if p, ok := PassageOf(role.Gate(), l); ok {
			out = append(out, p)
		}
	}
	return out
}

// applyAllowlist gives the allowlist to those that keep it. With pipelock that is two; each is heard to its end, also
// when the other refuses, so that what is taken back then is taken back in both.
func (s *Supervisor) applyAllowlist(ctx context.Context, x *execution, have parts) error {
	var all errgroup.Group
	for _, role := range []Role{RoleEgress, RolePipelock} {
		if have.containers[role].State == StateRunning {
			all.Go(func() error { return s.applyTo(ctx, x, role) })
		}
	}
	return all.Wait()
}

// shutPipelock takes what is over out of a running pipelock, which knows no ends, while an operation has the bottle
// that may take long: a rebuild, or what finishes one. The state and all else follow when that has ended. Owner only.
func (s *Supervisor) shutPipelock(r *record) {
	if r.op == nil || r.disk == nil || r.have.containers[RolePipelock].State != StateRunning || !s.engine.Reachable {
		return
	}
	switch kind := r.op.view.Kind; {
	case kind == "rebuild":
	case kind == "recover" && r.journal != nil && r.journal.Kind == "rebuild":
	default:
		return
	}
	at := s.cfg.Now()
	over := func(g Grant) bool { return !g.running(at) }
	if !slices.ContainsFunc(r.grants, over) {
		return
	}
	x := &execution{sup: s, bottle: r.disk, layout: layout{identity: r.identity, owner: sidecarOwner()}}
	s.spawn(func() {
		st, err := s.standing(x.bottle)
		if err == nil {
			x.layout.force = st.stages(at)[0].inForce
			err = s.applyTo(s.ctx, x, RolePipelock)
		}
		if err != nil {
			s.cfg.Log.Warn("take what is over out of pipelock", "identity", x.layout.identity, "err", err)
		}
	})
}
