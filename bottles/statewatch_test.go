package bottles

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"bottle-tui/state"
)

// running is a Supervisor that runs, on an engine that has nothing, and a wait until its snapshot is as wanted.
func running(t *testing.T, root *state.Root, e Engine) (s *Supervisor, until func(what string, ok func(*Snapshot) bool)) {
	t.Helper()
	s = New(Config{Root: root, Engine: e, Catalog: noCatalog{}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range s.Updates() {
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s, func(what string, ok func(*Snapshot) bool) {
		t.Helper()
		deadline := time.After(90 * time.Second)
		for {
			select {
			case u := <-s.Updates():
				if ok(u.Snapshot) {
					return
				}
			case <-deadline:
				t.Fatalf("waited in vain until %s", what)
			}
		}
	}
}

// What another program changes on disk alone is seen, though the engine tells of nothing: also that the root went away and
// came back.
func TestWhatIsChangedOnDiskIsSeen(t *testing.T) {
	root := openRoot(t)
	_, until := running(t, root, &scripted{observe: func() (Observed, error) { return Observed{}, nil }})
	var b *state.Bottle
	for _, c := range []struct {
		what  string
		do    func() error
		shown func(Bottle) bool // of the bottle; nil: that there is none
	}{
		{"a bottle is made", func() (err error) {
			b, err = root.Create(state.Metadata{AgentName: "tester"})
			return err
		}, func(v Bottle) bool { return v.Agent == "tester" }},
		{"a host is opened", func() error {
			return errors.Join(writeGrants(b, []Grant{{ID: "g1", Tool: "egress-allow"}}), b.PutConfig(fileAllow, []byte("a.example.com\n")), b.PutConfig(fileRoutes, []byte("[]\n")))
		}, func(v Bottle) bool { return len(v.Grants) == 1 && slices.Equal(v.Allow, []string{"a.example.com"}) }},
		{"the configuration changes", func() error { return b.PutConfig(fileAllow, nil) }, func(v Bottle) bool { return len(v.Allow) == 0 }},
		{"the grant ends", func() error { return writeGrants(b, nil) }, func(v Bottle) bool { return len(v.Grants) == 0 }},
		{"its metadata change", func() error {
			return b.UpdateMetadata(func(m *state.Metadata) { m.EndReason = "so it is" })
		}, func(v Bottle) bool { return v.EndReason == "so it is" }},
		{"it is deleted", func() error { return b.Delete() }, nil},
		{"another is made", func() (err error) {
			b, err = root.Create(state.Metadata{AgentName: "tester"})
			return err
		}, func(v Bottle) bool { return v.EndReason == "" }},
		{"the root is away and back, changed", func() error {
			return errors.Join(os.Rename(root.Dir(), root.Dir()+".away"), os.Rename(root.Dir()+".away", root.Dir()),
				b.UpdateMetadata(func(m *state.Metadata) { m.EndReason = "back" }))
		}, func(v Bottle) bool { return v.EndReason == "back" }},
	} {
		if err := c.do(); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		until(c.what, func(snap *Snapshot) bool {
			i := slices.IndexFunc(snap.Bottles, func(v Bottle) bool { return v.Identity == b.Identity() })
			if c.shown == nil {
				return i < 0
			}
			return i >= 0 && c.shown(snap.Bottles[i])
		})
	}
}

// That the root is away is seen though it has no bottle, and that it is back.
func TestAnEmptyRootThatGoesAwayIsMissed(t *testing.T) {
	t.Parallel()
	root := openRoot(t)
	_, until := running(t, root, &scripted{observe: func() (Observed, error) { return Observed{}, nil }})
	until("the engine was heard", func(snap *Snapshot) bool { return snap.Engine.Reachable })
	for _, away := range []bool{true, false} {
		from, to := root.Dir(), root.Dir()+".away"
		if !away {
			from, to = to, from
		}
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
		until("it is seen", func(snap *Snapshot) bool { return (len(snap.Problems) > 0) == away })
	}
}

// A state is read when it changed, and not whenever the engine is listed.
func TestAListingReadsWhatChanged(t *testing.T) {
	_, b := rooted(t)
	var c diskCache
	c.watch()
	c.read(b)
	if err := b.UpdateMetadata(func(m *state.Metadata) { m.EndReason = "new" }); err != nil {
		t.Fatal(err)
	}
	if d := c.read(b); d.meta.EndReason != "" {
		t.Errorf("without a change that is told it is read again: %+v", d.meta)
	}
	for _, told := range []string{b.Identity(), ""} {
		if c.changed(told); c.read(b).meta.EndReason != "new" {
			t.Errorf("after a change of %q it is not read again", told)
		}
	}
	if err := os.WriteFile(b.Dir()+"/metadata.json", []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.changed(b.Identity())
	if d := c.read(b); len(d.problems) != 1 || d.unread == "" || len(c.known) != 0 {
		t.Errorf("what can't be read is kept: %+v, %d known", d, len(c.known))
	}
}
