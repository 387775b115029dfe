package bottles

import (
	"context"
	"errors"
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
