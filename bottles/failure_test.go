package bottles

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"bottle-tui/state"
)

// What failed is failed for every program, and for the next one: the reason is in the bottle's state. What was cancelled, or
// refused before it began, is down.
func TestWhatFailedIsShownByAll(t *testing.T) {
	failure := errors.New("the disk is on fire")
	for _, c := range []struct {
		name    string
		kind    string
		journal bool // something is left to be finished
		work    work
		want    Status
		detail  string
	}{
		{"a resume that failed before it made anything", "resume", false, func(context.Context, *execution) error { return failure }, Failed, "resume failed: the disk is on fire"},
		{"a recovery", "recover", true, func(context.Context, *execution) error { return failure }, Failed, "the disk is on fire"},
		{"a recovery without an engine", "recover", true, func(context.Context, *execution) error { return ErrUnavailable }, Starting, "launch: launch"},
		{"a cancelled launch", "launch", false, func(_ context.Context, x *execution) error {
			return errors.Join(x.sup.closed(x.bottle, errCancelled.Error()), errCancelled)
		}, Down, "cancelled"},
		{"a refused resume", "resume", false, func(context.Context, *execution) error { return refuse("not now") }, Down, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, b := owned(t, &scripted{observe: func() (Observed, error) { return Observed{}, nil }})
			s.recovered = true // no recovery but the one of the test
			r := s.record(b.Identity())
			if c.journal {
				if err := b.PutOperation(state.Operation{Kind: "launch", Step: "launch"}); err != nil {
					t.Fatal(err)
				}
			}
			_ = s.outcome(t, s.operate(r, c.kind, "", c.work)) // what is shown of it is looked at
			seen, err := Survey(t.Context(), s.cfg.Root, s.cfg.Engine, s.cfg.Now())
			if err != nil || len(seen.Bottles) != 1 {
				t.Fatal(seen.Bottles, err)
			}
			for who, v := range map[string]Bottle{"the program itself": r.view(), "another one": seen.Bottles[0]} {
				if v.Status != c.want || v.Detail != c.detail {
					t.Errorf("%s shows it as %s, %q", who, v.Status, v.Detail)
				}
			}
		})
	}
}

// Of what another program removes last, a network, no event tells: that its operation has ended, and that the containers are
// gone, has the engine listed again.
func TestWhatAnotherProgramRemovesLastIsSeen(t *testing.T) {
	root, b := rooted(t)
	labels := map[string]string{LabelRoot: root.ID(), LabelIdentity: b.Identity(), LabelRole: labelNet}
	agent := Container{ID: "id-agent", Name: agentName(b.Identity()), State: StateRunning, Labels: map[string]string{LabelRoot: root.ID(), LabelIdentity: b.Identity(), LabelRole: string(RoleAgent)}}
	var has atomic.Pointer[Observed]
	has.Store(&Observed{Containers: []Container{agent}, Networks: []Network{{Name: "net", Labels: labels}}})
	s, until := running(t, root, &scripted{observe: func() (Observed, error) { return *has.Load(), nil }, attach: func() error { return ErrNotFound }})
	is := func(want Status, detail string) func(*Snapshot) bool {
		return func(snap *Snapshot) bool {
			return len(snap.Bottles) == 1 && snap.Bottles[0].Status == want && strings.Contains(snap.Bottles[0].Detail, detail)
		}
	}
	until("it is live", is(Live, ""))
	unlock := locked(t, b)
	if err := b.PutOperation(state.Operation{Kind: "teardown", Step: "teardown"}); err != nil {
		t.Fatal(err)
	}
	until("it is being torn down", is(Stopping, ""))
	has.Store(&Observed{Networks: []Network{{Name: "net", Labels: labels}}})
	s.post(s.observe) // an event
	until("its containers are gone", func(snap *Snapshot) bool { return is(Stopping, "")(snap) && snap.Bottles[0].Image == "" })
	s.post(func() { s.later = true }) // nothing is repeated by itself meanwhile
	has.Store(&Observed{})
	if err := errors.Join(b.ClearOperation(), unlock()); err != nil {
		t.Fatal(err)
	}
	until("it is down", is(Down, ""))

	// So it is without a journal, as where an orphan is cleaned up.
	has.Store(&Observed{Containers: []Container{agent}})
	s.post(func() { s.later = false; s.observe() })
	until("it is live again", is(Live, ""))
	has.Store(&Observed{Networks: []Network{{Name: "net", Labels: labels}}})
	s.post(s.observe)
	until("its network is left", is(Failed, "its sidecars are not"))
	has.Store(&Observed{})
	until("it is down again", is(Down, ""))
}
