package bottles

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"bottle-tui/sidecars"
)

// The plan says that a launch begins with a compilation, and how the program is built right; one that would fail is none.
func TestThePlanTellsOfAProgramThatCompilesItself(t *testing.T) {
	plan := func(why, cannot error) (p Preflight) {
		s := &Supervisor{cfg: Config{Compiles: func() (error, error) { return why, cannot }}}
		s.planBinary(&p)
		return p
	}
	if p := plan(nil, nil); len(p.Notices)+len(p.Conflicts) != 0 {
		t.Errorf("a static program has %+v, %+v", p.Notices, p.Conflicts)
	}
	p := plan(sidecars.ErrDynamic, nil)
	if len(p.Conflicts) != 0 || len(p.Notices) != 1 || p.Notices[0].ID != NoticeCompiles || !strings.Contains(p.Notices[0].Fix, "CGO_ENABLED=0 go build") {
		t.Errorf("a dynamic one has %+v, %+v", p.Notices, p.Conflicts)
	}
	p = plan(sidecars.ErrDynamic, errors.New("no go in PATH"))
	if len(p.Notices) != 0 || len(p.Conflicts) != 1 || !strings.Contains(p.Conflicts[0].What, "no go in PATH") || !strings.Contains(p.Conflicts[0].Fix, "make build") {
		t.Errorf("one that can't be compiled has %+v, %+v", p.Notices, p.Conflicts)
	}
}

// While it is compiled, what is seen of a launch is that; a program that the sidecars can run is not said to be.
func TestACompilationIsAStep(t *testing.T) {
	for _, why := range []error{nil, sidecars.ErrDynamic} {
		var steps []string
		s, b := owned(t, &scripted{info: func() error { steps = append(steps, "make the image"); return ErrUnavailable }})
		s.cfg.Compiles = func() (error, error) { return why, nil }
		if err := writeLaunched(b, Profile{}); err != nil {
			t.Fatal(err)
		}
		x := &execution{sup: s, bottle: b, report: func(step string, _, _ int) { steps = append(steps, step) }}
		want := []string{"make the image"}
		if why != nil {
			want = []string{stepCompile, "make the image"}
		}
		if err := s.arrange(t.Context(), x, journal{}); !errors.Is(err, ErrUnavailable) || !slices.Equal(steps, want) {
			t.Errorf("%v: the steps are %q, %v", why, steps, err)
		}
	}
}
