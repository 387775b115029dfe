package bottles

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"bottle-tui/state"
)

// snapshot makes the picture of the world that is handed out. Owner only.
func (s *Supervisor) snapshot() *Snapshot {
	s.version++
	snap := &Snapshot{Version: s.version, At: s.cfg.Now(), Engine: s.engine, Agents: s.agents}
	for _, r := range s.bottles {
		if r.gone() {
			continue
		}
		b := r.view()
		if !s.listed && r.op == nil && r.journal == nil && r.unread == "" && r.meta.EndedAt.IsZero() {
			b.Status, b.Detail = Starting, "not seen yet: the engine is asked" // its state says that it lives
		}
		snap.Bottles = append(snap.Bottles, b)
	}
	sortBottles(snap.Bottles)
	for _, source := range slices.Sorted(maps.Keys(s.problems)) {
		snap.Problems = append(snap.Problems, s.problems[source]...)
	}
	return snap
}

// sortBottles puts what lives first, then what is on its way, what is down with the latest first, and
// the orphans.
func sortBottles(bottles []Bottle) {
	rank := map[Status]int{Live: 0, Building: 0, Stopping: 0, Starting: 0, Preparing: 0, Failed: 1, Down: 2, Orphan: 3}
	slices.SortFunc(bottles, func(a, b Bottle) int {
		if c := cmp.Compare(rank[a.Status], rank[b.Status]); c != 0 {
			return c
		}
		if rank[a.Status] == 0 {
			if c := a.StartedAt.Compare(b.StartedAt); c != 0 {
				return c // a live bottle keeps its place while it is rebuilt
			}
		} else if c := b.EndedAt.Compare(a.EndedAt); c != 0 {
			return c
		}
		return cmp.Compare(a.Identity, b.Identity)
	})
}

// view is one bottle as it is shown.
func (r *record) view() Bottle {
	b := Bottle{
		Identity: r.identity, Agent: r.meta.AgentName, CWD: r.meta.CWD, StartedAt: r.meta.StartedAt,
		EndedAt: r.meta.EndedAt, EndReason: r.meta.EndReason, ImageDigest: r.meta.ImageDigest,
		SessionID: r.meta.SessionID, Rebuilt: r.own, Requests: withPushes(r.requests, r.pushes),
		Allow: rulesOf(r.force.allow), Pipelock: r.have.engine() == enginePipelock, Routes: r.force.routes, Feed: r.feed.show(), Sent: r.sent, Received: r.received, Usage: r.usage,
	}
	for _, g := range r.grants {
		if !g.Scope.Profile { // the manifest has it
			b.Grants = append(b.Grants, g)
		}
	}
	if agent, ok := r.have.containers[RoleAgent]; ok {
		b.Image, b.ImageDigest = agent.Image, agent.ImageID
		if b.Agent == "" {
			b.Agent = agent.Labels[LabelAgent]
		}
	}
	if r.disk == nil {
		b.Objects = r.have.names()
	}
	switch {
	case r.op != nil:
		view := r.op.view
		b.Operation = &view
	case r.failed != nil:
		b.Operation = r.failed
	}
	b.Status, b.Detail = r.status()
	return b
}

// status is what a bottle does, from what is known of it.
func (r *record) status() (Status, string) {
	switch {
	case r.op != nil:
		return r.busy()
	case r.unlisted != "":
		return Failed, r.unlisted
	case r.disk == nil:
		return Orphan, "its containers have no state; c cleans them up"
	case r.have.other != nil:
		return Failed, r.have.other.text() + "; r takes them over"
	}
	status, detail := observedStatus(r.have, r.agent, r.meta, r.journal, r.unread)
	if lost := r.lost(); status == Live && len(lost) > 0 {
		detail = lostText(lost)
	} else if status == Live {
		detail = orDefault(r.hindered(), detail)
	}
	return status, detail
}

// lost are the sidecars that a live bottle should have and that do not run any more.
func (r *record) lost() (out []Role) {
	if agent := r.have.containers[RoleAgent].State; agent != StateRunning && agent != StatePaused {
		return nil
	}
	for _, role := range roles[1:] {
		c, exists := r.have.containers[role]
		switch {
		case role == RoleCredProxy && len(r.force.routes) == 0:
			continue // it may have ended: nothing would go through it
		case exists && (c.State == StateExited || c.State == StateDead):
		case !exists && (role == RoleEgress || role == RoleCredProxy):
		default:
			continue
		}
		out = append(out, role)
	}
	return out
}

// lostText says what a bottle without these sidecars can't do, and the way out.
func lostText(lost []Role) string {
	var names, without []string
	for _, role := range lost {
		names = append(names, string(role))
		switch role {
		case RoleCredProxy:
			without = append(without, "no route leads anywhere")
		case RoleGitGate:
			without = append(without, "no fetch and no push")
		case RoleSupervise:
			without = append(without, "it can't ask you")
		default:
			without = append(without, "no way out")
		}
	}
	return fmt.Sprintf("its %s does not run: %s; x and r start it anew", strings.Join(names, " and "), strings.Join(slices.Compact(without), ", "))
}

// busy is the status of a bottle while this program works on it.
func (r *record) busy() (Status, string) {
	v := r.op.view
	running := r.have.containers[RoleAgent].State == StateRunning
	detail := v.Step
	if v.Total > 0 {
		detail = fmt.Sprintf("%s %d/%d", v.Kind, v.N, v.Total)
	}
	building := strings.HasPrefix(v.Step, string(doBuild))
	if building && v.Total > 0 {
		detail = fmt.Sprintf("build %d/%d", v.N, v.Total)
	}
	switch v.Kind {
	case "teardown", "end", "delete", "cleanup":
		if r.disk == nil {
			return Orphan, detail
		}
		return Stopping, detail
	case "deny", "push":
		return Live, ""
	case "grant", "revoke", "expire":
		if running {
			return Live, detail
		}
		return Down, detail
	case "rebuild", "recover":
		switch {
		case v.Step == stepSettle:
			return Live, detail
		case building:
			return Building, detail
		case running && v.Step == "":
			return Live, detail
		}
		return Starting, detail
	}
	switch {
	case v.Step == "":
		return Preparing, "waits for its turn"
	case building:
		return Building, detail
	}
	return Starting, detail
}

// observedStatus is the status of a bottle that this program does nothing to. It follows from the disk and the engine alone:
// every program shows the same.
func observedStatus(have parts, inspected Container, meta state.Metadata, journal *state.Operation, unread string) (Status, string) {
	agent, exists := have.containers[RoleAgent]
	runs := agent.State == StateRunning || agent.State == StatePaused
	switch {
	case journal != nil && journal.Failed != "":
		return Failed, journal.Failed
	case journal != nil:
		return journalStatus(journal, runs)
	case runs:
		return Live, ""
	case unread != "":
		return Failed, unread
	case exists && inspected.ID == agent.ID && inspected.ExitCode != 0:
		return Failed, orDefault(meta.EndReason, endedByItself+", "+ended(inspected))
	case exists && meta.EndReason != "":
		return Down, meta.EndReason
	case exists:
		return Failed, "its agent does not run; r resumes it"
	case !have.empty():
		return Failed, "its agent is gone, its sidecars are not; x removes them, r resumes it"
	case strings.Contains(meta.EndReason, failedEnd):
		return Failed, meta.EndReason
	}
	return Down, meta.EndReason
}

// journalStatus is the status of a bottle that another program works on, or that waits to be recovered.
func journalStatus(op *state.Operation, runs bool) (Status, string) {
	detail := op.Kind + ": " + op.Step
	switch {
	case op.Kind == "grant" || op.Kind == "deny" || op.Kind == "allow":
		if runs {
			return Live, detail
		}
		return Down, detail
	case op.Kind == "teardown" || op.Kind == "delete":
		return Stopping, detail
	case op.Kind == "rebuild" && op.Step == stepBuild:
		return Building, detail
	}
	return Starting, detail
}

// Survey looks at every bottle once, for the plain commands. The error is the engine's, when it does
// not answer; what the disk says comes all the same.
func Survey(ctx context.Context, root *state.Root, engine Engine, now time.Time) (*Snapshot, error) {
	snap := &Snapshot{Version: 1, At: now}
	info, err := engine.Info(ctx)
	var have Observed
	var others map[string]*foreign
	if err == nil {
		snap.Engine = EngineView{Reachable: true, Info: info}
		have, others, err = observeRoot(ctx, engine, root)
	}
	if err != nil {
		snap.Engine = EngineView{Err: err.Error()}
	}
	found := groupAll(have, others)
	disk := readDisk(root, readBottle)
	snap.Problems = disk.problems
	records := map[string]*record{}
	for id, d := range disk.bottles {
		records[id] = &record{identity: id, disk: d.bottle, meta: d.meta, unread: d.unread, own: d.own, journal: d.journal, force: d.force, grants: d.grants, have: newParts()}
	}
	for id, p := range found {
		if records[id] == nil {
			records[id] = &record{identity: id, unlisted: disk.unlisted(id)}
		}
		records[id].have = p
	}
	for id, r := range records {
		if agent := r.have.containers[RoleAgent]; agent.State == StateExited {
			if c, err := engine.Container(ctx, agent.Name); err == nil {
				r.agent = c
			}
		}
		pending, bad := boxOf(root, id)
		for _, p := range pending {
			if p.Answer == nil {
				r.requests = append(r.requests, Request{Request: p.Request, State: Waiting})
			}
		}
		if r.have.containers[RoleGitGate].State == StateRunning {
			pushes, err := pushesOf(ctx, engine, id, now)
			if err != nil && !errors.Is(err, ErrNotFound) {
				bad = append(bad, Problem{Path: sidecarName(RoleGitGate, id), Err: err.Error()})
			}
			r.pushes = pushes
		}
		snap.Problems = append(snap.Problems, bad...)
		snap.Bottles = append(snap.Bottles, r.view())
	}
	sortBottles(snap.Bottles)
	return snap, err
}
