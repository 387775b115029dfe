package bottles

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"bottle-tui/queue"
	"bottle-tui/state"
)

// startLaunch makes a new bottle's state and has the owner start its launch. It reads and writes the disk, so that the
// owner need not.
func (s *Supervisor) startLaunch(a Launch) (<-chan error, error) {
	var silent error
	if !s.ask(func() {
		if !s.engine.Reachable {
			silent = refuse("the container engine does not answer: %s", s.engine.Err)
		}
	}) {
		return nil, errEnding
	}
	if silent != nil {
		return nil, silent
	}
	if !slices.Contains(s.cfg.Catalog.Agents(), a.Agent) {
		return nil, s.noAgent(a.Agent)
	}
	meta := state.Metadata{AgentName: a.Agent, CWD: a.CWD, CopyCWD: a.CopyCWD && a.CWD != ""}
	profile, err := s.cfg.Catalog.Profile(meta) // as the plan had it
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if a.Shown != "" && a.Shown != profile.shown() {
		return nil, refuse("what is declared of the agent %s was changed since its plan was shown; look at the plan again", a.Agent)
	}
	meta.StartedAt = s.cfg.Now().UTC()
	meta.Follow(uuid.NewString(), meta.StartedAt)
	meta.Manifest, meta.Profile = profile.Manifest, profile.Name
	meta.Task = a.Task
	meta.SkipIgnored = a.skipsIgnored(profile)
	create := s.cfg.Root.Create
	if a.Identity != "" {
		create = func(m state.Metadata) (*state.Bottle, error) { return s.cfg.Root.CreateAs(a.Identity, m) }
	}
	disk, err := create(meta)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	launch := func(ctx context.Context, x *execution) error {
		if a.Identity != "" { // a new one is nobody's
			have, err := s.look(s.ctx, x) // cancelled or not: from here on all that has its name is its own
			if err != nil {
				return errors.Join(err, disk.Delete())
			}
			if found := s.orphans(have.parts); len(found) > 0 {
				return errors.Join(conflictError(found), disk.Delete())
			}
		}
		part := partOf(meta)
		if err := disk.UpdateMetadata(func(m *state.Metadata) { m.Part = part }); err != nil {
			return err
		}
		profile.Program = profile.Program.in(part)
		if err := writeLaunched(disk, profile); err != nil {
			return err
		}
		fact := map[string]any{"agent": a.Agent, "profile": meta.Profile, "manifest": meta.Manifest, "cwd": a.CWD, "session": meta.SessionID}
		if err := s.audit(disk.Identity(), "launch", fact); err != nil {
			return err
		}
		return s.bringUp(ctx, x, "launch", journal{Session: meta.SessionID, Task: a.Task, Fresh: true})
	}
	var done <-chan error
	if !s.ask(func() {
		r := s.record(disk.Identity())
		r.disk, r.meta = disk, meta
		done = s.operate(r, "launch", "", launch)
	}) {
		return nil, errors.Join(errEnding, disk.Delete())
	}
	return done, nil
}

// restarted is what an agent is told whose first start was interrupted after it had begun.
const restarted = "Your start was interrupted, and you are run again now. Your workspace and this conversation are as you left them. Go on."

// failedEnd follows the operation in the reason of an end that was none of a live bottle's: it did not come up.
const failedEnd = " failed: "

// byOperator is the reason of an end that the operator asked for.
const byOperator = "torn down by the operator"

// resume brings a bottle that is down back to life. Whether it is, is looked at now, under its lock.
func (s *Supervisor) resume(ctx context.Context, x *execution, a Resume) error {
	have, err := s.look(ctx, x)
	if err != nil {
		return err
	}
	if have.containers[RoleAgent].State == StateRunning {
		return isLive(x.layout.identity)
	}
	op, err := x.bottle.Operation()
	switch {
	case err != nil:
		return err // what is to be finished first can't be known
	case op != nil && op.Kind == "delete":
		return refuse("the deletion of %s was begun and interrupted; D finishes it", x.layout.identity)
	}
	meta, err := x.bottle.Metadata()
	if err != nil {
		return err
	}
	if a.Profile != "" && a.Profile != meta.Profile {
		if err := s.move(x.bottle, a.Profile); err != nil {
			return err
		}
		if meta, err = x.bottle.Metadata(); err != nil {
			return err
		}
	}
	profile, err := s.cfg.Catalog.Profile(meta) // what it is brought to life with; from here on it is the bottle's
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	profile.Program = profile.Program.in(meta.Part)
	if err := sameProfile(meta, profile); err != nil {
		return err
	}
	notices, err := resumeNotices(x.bottle, meta, profile, have.parts)
	if err != nil {
		return err
	}
	if err := agreeTo(notices, a.Agreed); err != nil {
		return err
	}
	if have.other != nil {
		if err := s.adopt(x, have.other); err != nil {
			return err
		}
		if have, err = s.look(ctx, x); err != nil || have.containers[RoleAgent].State.alive() {
			return err // it is live, and this root's now
		}
	}
	var j journal
	if workspaceMissing(meta, have.parts) {
		if err := x.bottle.UpdateMetadata(func(m *state.Metadata) { m.Filled = false }); err != nil {
			return err
		}
	}
	if err := s.takeUp(ctx, x, &j); err != nil {
		return err
	}
	busy := wasBusy(x.bottle, j.Session)
	if j.Message = resumeMessage(meta, have.parts, busy); !busy && profile.Program.NoteFile != "" {
		j.Message, j.Aside = "", j.Message
	}
	err = x.bottle.UpdateMetadata(func(m *state.Metadata) {
		if m.Manifest != "" {
			m.Manifest = profile.Manifest
		}
	})
	if err == nil {
		err = writeLaunched(x.bottle, profile)
	}
	if err != nil {
		return err
	}
	if err := s.audit(x.layout.identity, "resume", map[string]any{"session": j.Session, "fresh": j.Fresh}); err != nil {
		return err
	}
	return s.bringUp(ctx, x, "resume", j)
}

// sameProfile refuses to bring a bottle to life in another profile than the one that it was begun in, or moved to.
func sameProfile(meta state.Metadata, p Profile) error {
	if meta.Profile == "" || meta.Profile == p.Name {
		return nil
	}
	return refuse("its agent is in the profile %s now, and the bottle was in %s: what it may do is another's. Look at the plan and say yes to it (r, or bottle-tui resume), or put the agent back into %[2]s",
		queue.Visible(p.Name), queue.Visible(meta.Profile))
}

// bringUp launches or resumes, journaled; what fails or is cancelled is taken down again, so that a
// bottle is live as a whole or down. Of a launch that is cancelled nothing is left at all: nobody has worked in it yet.
func (s *Supervisor) bringUp(ctx context.Context, x *execution, kind string, j journal) error {
	if j.ID == "" {
		j.ID = queue.NewID(s.cfg.Now())
	}
	if err := j.write(x.bottle, kind, "launch", s.cfg.Now()); err != nil {
		return err
	}
	err := s.live(ctx, x, kind, j)
	if err == nil {
		_ = s.auditOnce(x.layout.identity, "live", "id", map[string]any{"id": j.ID, "image": x.layout.image, "image_digest": s.digest(ctx, x)})
		return x.bottle.ClearOperation()
	}
	if s.ctx.Err() != nil {
		return err // the next program finishes it
	}
	if kind == "launch" && ctx.Err() != nil {
		if left := s.unmake(s.ctx, x, j); left != nil {
			return errors.Join(err, fmt.Errorf("and what was made could not all be removed (when the engine answers, this bottle-tui or the next one goes on with that): %w", left))
		}
		if !Cancelled(err) {
			return errors.Join(err, errCancelled) // it had failed before
		}
		return errCancelled
	}
	if errors.Is(err, ErrUnavailable) {
		return err // it is finished when the engine is back
	}
	why := errCancelled.Error()
	if !Cancelled(err) {
		why = kind + failedEnd + firstLine(err.Error())
	}
	if down := s.takeDown(s.ctx, x, why); down != nil {
		return errors.Join(err, fmt.Errorf("and what was made could not be removed (c cleans up): %w", down))
	}
	return err
}

// live works out what is wanted and what is there, and runs the plan between the two.
func (s *Supervisor) live(ctx context.Context, x *execution, cause string, j journal) error {
	if err := s.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.slots.Release(1)
	if err := s.arrange(ctx, x, j); err != nil {
		return err
	}
	if err := s.arrangeAnew(x); err != nil {
		return err
	}
	have, err := s.look(ctx, x)
	if err != nil {
		return err
	}
	if err := s.reconcile(ctx, x, cause); err != nil {
		return err
	}
	return s.refresh(ctx, x, have)
}

// refresh puts in force what is wanted in those sidecars that ran before and were kept.
func (s *Supervisor) refresh(ctx context.Context, x *execution, had observed) error {
	if had.containers[RoleEgress].State != StateRunning || len(had.networks) < 2 {
		return nil
	}
	for _, role := range roles[1:] {
		if had.containers[role].State != StateRunning {
			continue
		}
		if x.layout.takesSecrets(role) {
			if err := x.giveTokens(ctx, sidecarName(role, x.layout.identity)); err != nil {
				return err
			}
		}
		if err := s.applyTo(ctx, x, role); err != nil {
			return err
		}
	}
	return nil
}

// arrangeAnew makes what is wanted of a bottle that comes to life: what its profile and the grants that still run let
// through, and the copy of its directory if that was never complete.
func (s *Supervisor) arrangeAnew(x *execution) error {
	l := &x.layout
	meta, err := x.bottle.Metadata()
	if err != nil {
		return err
	}
	if err := sameProfile(meta, l.profile); err != nil {
		return err
	}
	if _, found, err := readLaunched(x.bottle); err != nil {
		return err
	} else if !found { // begun by an earlier version
		if err := writeLaunched(x.bottle, l.profile); err != nil {
			return err
		}
	}
	grants, err := readGrants(x.bottle)
	if err != nil {
		return err
	}
	running := slices.DeleteFunc(slices.Clone(grants), func(g Grant) bool { return !g.running(s.cfg.Now()) || g.Scope.Profile })
	if len(running) != len(grants) {
		if err := writeGrants(x.bottle, running); err != nil {
			return err
		}
	}
	stages := timeline(declared(l.profile), running, s.cfg.Now())
	l.force, l.later = stages[0].inForce, stages[1:]
	if err := l.force.check(l.profile.EgressEngine); err != nil {
		return fmt.Errorf("what the profile %s and the grants of %s let through does not go together: %w; change the manifest, or take a grant back (%s/grants.json)", l.profile.Name, l.identity, err, x.bottle.Dir())
	}
	if err := writeBase(x.bottle, declared(l.profile)); err != nil {
		return err
	}
	if meta.CopyCWD && !meta.Filled && meta.CWD != "" {
		l.fill, l.part, l.skipIgnored = meta.CWD, meta.Part, meta.SkipIgnored
	}
	return nil
}

// reconcile plans from what is there and runs the plan. When an object vanished in between (an image that somebody
// removed), or one that a broken off call made came after the look, it looks and plans again.
func (s *Supervisor) reconcile(ctx context.Context, x *execution, cause string) error {
	if err := s.putConfig(x); err != nil {
		return err
	}
	for try := 1; ; try++ {
		have, err := s.look(ctx, x)
		if err != nil {
			return err
		}
		if len(x.layout.allRoutes()) > 0 && have.containers[RoleCredProxy].State != StateRunning {
			if err := s.resolve(ctx, x); err != nil {
				return err // before anything is made
			}
		}
		if len(x.layout.profile.Git) > 0 && have.containers[RoleGitGate].State != StateRunning {
			if _, missing := x.keys(ctx, x.layout.profile.Git); len(missing) > 0 {
				return missingError(missing)
			}
		}
		if wanted := x.layout.keepEngine(have.parts).profile; have.containers[RolePipelock].State != StateRunning {
			if missing, err := s.lacksPipelock(ctx, wanted); err != nil || len(missing) > 0 {
				return errors.Join(err, missingError(missing))
			}
		}
		if err := s.noStrangers(ctx, x, have.parts); err != nil {
			return err
		}
		err = x.run(ctx, planLive(x.layout, have, cause))
		if try == 3 || !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrNameInUse) {
			return err
		}
		s.cfg.Log.Info("plan again", "identity", x.layout.identity, "err", err)
	}
}

// tearDown ends a bottle and keeps its state. Whether there is anything to end is looked at now, under its lock.
func (s *Supervisor) tearDown(ctx context.Context, x *execution) error {
	have, err := s.look(ctx, x)
	if err != nil {
		return err
	}
	if op, err := x.bottle.Operation(); have.empty() && err == nil && op == nil {
		return isDown(x.layout.identity)
	}
	return s.takeDown(ctx, x, byOperator)
}

// takeDown ends a bottle, journaled, and writes down why.
func (s *Supervisor) takeDown(ctx context.Context, x *execution, reason string) error {
	j := journal{ID: queue.NewID(s.cfg.Now()), Reason: reason}
	if op, err := x.bottle.Operation(); err == nil && op != nil && op.Kind == "teardown" {
		if before, err := readJournal(op); err == nil && before.ID != "" {
			j.ID = before.ID // it goes on with that one
		}
	}
	if err := j.write(x.bottle, "teardown", "teardown", s.cfg.Now()); err != nil {
		return err
	}
	s.withdrawAll(x.layout.identity, "", "the bottle was torn down")
	s.summarise(x.layout.identity)
	x.findProfile()
	have, err := s.look(ctx, x)
	if err != nil {
		return err
	}
	if err := x.run(ctx, planDown(x.layout.identity, have.parts, reason)); err != nil {
		return err
	}
	if err := s.closed(x.bottle, reason); err != nil {
		return err
	}
	_ = s.auditOnce(x.layout.identity, "down", "id", map[string]any{"id": j.ID, "reason": reason})
	return x.bottle.ClearOperation()
}

// closed writes into a bottle's metadata that it ended. A metadata file that can't be read is left alone.
func (s *Supervisor) closed(b *state.Bottle, reason string) error {
	if _, err := b.Metadata(); err != nil {
		return nil
	}
	return b.UpdateMetadata(func(m *state.Metadata) { m.EndedAt, m.EndReason = s.cfg.Now().UTC(), reason })
}

// findProfile fills in the profile that the bottle runs on where one can be had: it can be torn down without.
func (x *execution) findProfile() {
	if p, err := x.sup.profileOf(x.bottle); err == nil {
		x.layout.profile = p
	} else {
		x.sup.cfg.Log.Warn("find the profile of a bottle that ends", "identity", x.layout.identity, "err", err)
	}
	if x.layout.profile.Program.Home == "" {
		x.layout.profile.Program.Home = "/home/agent/.claude"
	}
}

// agentEnded clears up after an agent that ended by itself. Owner only.
func (s *Supervisor) agentEnded(r *record, agent Container) {
	s.operate(r, "end", "", func(ctx context.Context, x *execution) (err error) {
		runs := false
		defer func() {
			if !runs && !errors.Is(err, ErrUnavailable) && !errors.Is(err, state.ErrGone) { // or it is seen to when the engine or the root is back
				s.post(func() { r.ended = agent.ID })
			}
		}()
		c, err := s.cfg.Engine.Container(ctx, agent.Name)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if runs = c.State == StateRunning; runs || c.ID != agent.ID { // it was started by hand, or another has its place
			s.post(func() { delete(s.died, agent.ID); s.observeLater() })
			return nil
		}
		s.post(func() { r.agent = c })
		meta, err := x.bottle.Metadata()
		if err == nil && meta.EndReason != "" {
			return nil // it was seen to before
		}
		egress, err := s.cfg.Engine.Container(ctx, sidecarName(RoleEgress, r.identity))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		why := whyEnded(c, egress)
		s.withdrawAll(r.identity, "", why)
		s.summarise(r.identity)
		x.findProfile()
		have, err := s.look(ctx, x)
		if err != nil {
			return err
		}
		if err := x.run(ctx, planEnded(r.identity, have.parts)); err != nil {
			return err
		}
		_ = s.auditOnce(r.identity, "ended", "run", map[string]any{"reason": why, "run": fmt.Sprintf("%.12s %s", c.ID, c.StartedAt.UTC().Format(time.RFC3339Nano))})
		text := r.identity + ": " + why + s.lastLine(c)
		s.post(func() { s.alert(AlertEnded, r.identity, "", text) })
		return s.closed(x.bottle, why)
	})
}
