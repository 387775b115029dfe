package bottles

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle-tui/state"
)

// removing is an engine with the objects of one bottle, which counts what is removed.
type removing struct {
	*scripted
	before func() // a removal
	mu     sync.Mutex
	gone   []string
}

func (e *removing) remove(name string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.before != nil {
		e.before()
	}
	e.gone = append(e.gone, name)
	return nil
}

func (e *removing) RemoveContainer(_ context.Context, name string) error { return e.remove(name) }
func (e *removing) RemoveVolume(_ context.Context, name string) error    { return e.remove(name) }
func (e *removing) Images(context.Context, string) (map[string]map[string]string, error) {
	return nil, nil
}

// holding is an engine that has an agent's container and a workspace of a bottle.
func holding(root, identity string, s ContainerState) *removing {
	label := func(role string) map[string]string {
		return map[string]string{LabelRoot: root, LabelIdentity: identity, LabelRole: role}
	}
	agent := Container{ID: "c1", Name: agentName(identity), Labels: label(string(RoleAgent)), State: s}
	return &removing{scripted: &scripted{
		attach:  func() error { return ErrUnavailable },
		inspect: func() (Container, error) { return agent, nil },
		observe: func() (Observed, error) {
			return Observed{
				Containers: []Container{agent},
				Volumes:    []Volume{{Name: volumeName(labelWork, identity), Labels: label(labelWork)}},
			}, nil
		},
	}}
}

func kinds(t *testing.T, root *state.Root, identity string) (out []string) {
	t.Helper()
	entries, err := root.Audit(identity).Entries(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Kind)
	}
	return out
}

// A bottle that another program brought back since it was shown as down is not deleted, nor is one that can't be
// written down as deleted.
func TestADeletionIsJudgedWhenItActs(t *testing.T) {
	try := func(is ContainerState) (*state.Bottle, *removing, error) {
		s, b := owned(t, &scripted{})
		e := holding(s.cfg.Root.ID(), b.Identity(), is)
		s.cfg.Engine = e
		if is == StateExited {
			if err := os.MkdirAll(s.cfg.Root.Audit(b.Identity()).Path(), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		done, err := s.begin(Delete{Identity: b.Identity()})
		if err != nil {
			t.Fatal(err)
		}
		return b, e, s.outcome(t, done)
	}
	for state, want := range map[ContainerState]string{StateRunning: "is live", StatePaused: "is live", StateExited: "nothing was removed"} {
		b, e, err := try(state)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", state, err)
		}
		if _, err := b.Metadata(); err != nil || len(e.gone) > 0 {
			t.Errorf("%s: removed %v, %v", state, e.gone, err)
		}
		if op, err := b.Operation(); op != nil || err != nil {
			t.Errorf("%s: a journal is left: %+v, %v", state, op, err)
		}
	}
}

// What was reported of a bottle goes with it.
func TestAReportEndsWithItsBottle(t *testing.T) {
	s, b := owned(t, &scripted{})
	id := b.Identity()
	for _, source := range []string{id, transcriptProblem(id), "audit " + id, "audit size " + id, usageProblem(id)} {
		s.problems[source] = []Problem{{"somewhere", "something"}}
	}
	s.problems["state"] = []Problem{{"elsewhere", "it stays"}}
	s.positions[sidecarName(RoleEgress, id)], s.summaries[id], s.asked[id+" push ended"] = position{set: true}, summaryCount{}, factCount{}
	if err := b.Delete(); err != nil {
		t.Fatal(err)
	}
	s.scanDisk()
	if len(s.problems) > 1 || s.bottles[id] != nil || len(s.positions)+len(s.summaries)+len(s.asked) > 0 {
		t.Errorf("left: %v, %v, %v, %v", s.problems, s.positions, s.summaries, s.asked)
	}
}

// What was an orphan when it was shown is looked at again: it stays when it has a state by now, when something can't be
// read, when there is more of it, and when its removal can't be written down.
func TestACleanupIsJudgedWhenItActs(t *testing.T) {
	const id = "orphan-00000"
	names := []string{"container " + agentName(id) + " (running)", "volume " + volumeName(labelWork, id) + " (the workspace)"}
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, r *state.Root)
		shown []string
		want  string // in the refusal; "": it is removed
	}{
		{name: "an orphan", shown: names},
		{name: "it has a state", shown: names, want: "its state is on disk", spoil: func(t *testing.T, r *state.Root) {
			if _, err := r.CreateAs(id, state.Metadata{AgentName: "orphan"}); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "it has a dangling link", shown: names, want: id + ": it is a link", spoil: func(t *testing.T, r *state.Root) {
			if err := os.Symlink("/nowhere", filepath.Join(r.Dir(), "state", id)); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "another can't be read", shown: names, want: "other-00000: it is not a directory", spoil: func(t *testing.T, r *state.Root) {
			if err := os.WriteFile(filepath.Join(r.Dir(), "state", "other-00000"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "the root is gone", shown: names, want: "root", spoil: func(t *testing.T, r *state.Root) {
			if err := os.Rename(r.Dir(), r.Dir()+"-away"); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "it has more", shown: names[:1], want: "has changed since it was shown (volume"},
		{name: "it was not shown as running", shown: []string{"container " + agentName(id), names[1]}, want: "(running)"},
		{name: "unrecorded", shown: names, want: "could not be written down", spoil: func(t *testing.T, r *state.Root) {
			if err := os.MkdirAll(r.Audit(id).Path(), 0o700); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := owned(t, &scripted{})
			root := s.cfg.Root
			e := holding(root.ID(), id, StateRunning)
			var before []string
			e.before = func() { before = kinds(t, root, id) }
			s.cfg.Engine = e
			s.record(id).have = group(func() Observed { o, _ := e.observe(); return o }())[id]
			if c.spoil != nil {
				c.spoil(t, root)
			}
			done, err := s.begin(Cleanup{Identities: []string{id}, Objects: c.shown})
			if err != nil {
				t.Fatal(err)
			}
			err = s.outcome(t, done)
			switch {
			case c.want == "" && (err != nil || len(e.gone) != 2 || !slices.Contains(before, "cleanup")):
				t.Errorf("%v; removed %v, told before %v", err, e.gone, before)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || len(e.gone) > 0):
				t.Errorf("%v, and not %q; removed %v", err, c.want, e.gone)
			}
		})
	}
}

// A root is removed as a whole under the locks of its bottles: not while another program is at one of them.
func TestAPurgeWaitsForNoBottleThatIsBusy(t *testing.T) {
	t.Parallel()
	root, b := rooted(t)
	e := holding(root.ID(), b.Identity(), StateRunning)
	unlock, err := b.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.PutOperation(state.Operation{Kind: "resume", Step: "launch"}); err != nil {
		t.Fatal(err)
	}
	all, err := FindPurgeable(t.Context(), root, e, func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	removed, _, err := purge(t.Context(), root, e, all, time.Millisecond)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "resume: launch") || len(removed)+len(e.gone) > 0 {
		t.Errorf("while another program is at it: removed %q and %q, %v", removed, e.gone, err)
	}
	if !root.Has(b.Identity()) {
		t.Error("its state is gone")
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	e.before = func() {
		if _, free, err := b.TryLock(); free || err != nil {
			t.Errorf("while it is removed its lock is free: %v, %v", free, err)
		}
		if got := kinds(t, root, b.Identity()); !slices.Equal(got, []string{"purge"}) {
			t.Errorf("before a removal the audit log has %q", got)
		}
	}
	if removed, _, err = purge(t.Context(), root, e, all, time.Millisecond); err != nil || len(removed) != 3 || len(e.gone) != 2 {
		t.Errorf("removed %q and %q, %v", removed, e.gone, err)
	}
	if _, err := os.Lstat(root.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the root: %v", err)
	}
}
