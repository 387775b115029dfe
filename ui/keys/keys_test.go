package keys_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/ui/keys"
)

var update = flag.Bool("update", false, "write docs/keys.md")

func TestDocsAreMadeFromTheTable(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "keys.md")
	want := keys.Markdown()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/keys.md is stale: go test ./ui/keys -update")
	}
}

func TestEachKeyMeansOneThingInItsPlace(t *testing.T) {
	seen := map[string]keys.Action{}
	for _, b := range keys.Table {
		if b.Help == "" || len(b.Keys) == 0 {
			t.Errorf("%s in %q has no help or no key", b.Action, b.Place)
		}
		if !strings.HasSuffix(b.Help, ".") {
			t.Errorf("the help of %s in %q is not a sentence: %q", b.Action, b.Place, b.Help)
		}
		if (b.Disabled != nil) && b.When == "" {
			t.Errorf("%s can be disabled, and its When does not say when it is usable", b.Action)
		}
		for _, k := range b.Keys {
			at := string(b.Place) + " " + k
			if other, ok := seen[at]; ok {
				t.Errorf("%s is both %s and %s", at, other, b.Action)
			}
			seen[at] = b.Action
			if found := keys.Find(b.Place, k); found == nil || found.Action != b.Action {
				t.Errorf("Find(%q, %q) is not %s", b.Place, k, b.Action)
			}
		}
		if got := keys.Get(b.Place, b.Action); got == nil {
			t.Errorf("Get(%q, %q) finds nothing", b.Place, b.Action)
		}
	}
	for _, p := range keys.Places {
		if !strings.Contains(keys.Markdown(), "## "+string(p)) {
			t.Errorf("%q is not in the docs", p)
		}
	}
	if keys.Find(keys.Screen, "ctrl+alt+q") != nil {
		t.Error("a key that is not in the table has a binding")
	}
}

// A disabled key says why, in words; nothing in the table fails on an empty world.
func TestReasons(t *testing.T) {
	for i := range keys.Table {
		_ = keys.Table[i].Why(keys.State{})
	}
	live := &bottles.Bottle{Identity: "a-1", Status: bottles.Live}
	down := &bottles.Bottle{Identity: "a-2", Status: bottles.Down}
	granted := &bottles.Bottle{Identity: "a-4", Status: bottles.Live, Grants: []bottles.Grant{{ID: "g1"}}}
	busy := &bottles.Bottle{Identity: "a-3", Status: bottles.Live, Operation: &bottles.Operation{Kind: "rebuild"}}
	for _, c := range []struct {
		what   keys.Action
		state  keys.State
		reason string // part of it; "" usable
	}{
		{keys.TearDown, keys.State{Bottle: live, Reachable: true}, ""},
		{keys.TearDown, keys.State{Bottle: live}, "engine does not answer"},
		{keys.TearDown, keys.State{Bottle: down, Reachable: true}, "does not run"},
		{keys.TearDown, keys.State{Bottle: busy, Reachable: true}, "rebuild is still under way"},
		{keys.TearDown, keys.State{Bottle: live, Reachable: true, Busy: "resume"}, "resume is still under way"},
		{keys.Resume, keys.State{Bottle: down, Reachable: true}, ""},
		{keys.Resume, keys.State{Bottle: live, Reachable: true}, "nothing to resume"},
		{keys.Delete, keys.State{Bottle: live, Reachable: true}, "tear it down first"},
		{keys.Delete, keys.State{Bottle: down, Reachable: true}, ""},
		{keys.Type, keys.State{Bottle: live}, ""},
		{keys.Type, keys.State{Bottle: down}, "not live"},
		{keys.Review, keys.State{}, "no request"},
		{keys.Review, keys.State{Waiting: 1}, ""},
		{keys.Cleanup, keys.State{Orphans: 1, Reachable: true}, ""},
		{keys.Cancel, keys.State{Bottle: busy}, ""},
		{keys.Cancel, keys.State{Bottle: live}, "nothing is being done"},
		{keys.New, keys.State{Reachable: true, Agents: 1}, ""},
		{keys.New, keys.State{Reachable: true}, "no agent"},
		{keys.Messages, keys.State{}, "no message"},
		{keys.Wall, keys.State{}, "no bottle yet"},
		{keys.Revoke, keys.State{Bottle: granted, Reachable: true}, ""},
		{keys.Revoke, keys.State{Bottle: granted}, "engine does not answer"},
		{keys.Revoke, keys.State{Bottle: live, Reachable: true}, "no grant"},
		{keys.Revoke, keys.State{}, "no bottle is selected"},
		{keys.Open, keys.State{Bottle: live, Reachable: true, Openable: true}, ""},
		{keys.Open, keys.State{Bottle: live, Openable: true}, "engine does not answer"},
		{keys.Open, keys.State{Bottle: down, Reachable: true, Openable: true}, "no way out"},
		{keys.Open, keys.State{Bottle: live, Reachable: true}, "refused nothing"},
		{keys.Open, keys.State{Bottle: live, Reachable: true, Openable: true, Closed: "it leads to a private address"}, "private address"},
	} {
		got := keys.Get(keys.Screen, c.what).Why(c.state)
		if (c.reason == "") != (got == "") || !strings.Contains(got, c.reason) {
			t.Errorf("%s with %+v: %q, want %q", c.what, c.state, got, c.reason)
		}
	}
}

func TestReasonsInDialogs(t *testing.T) {
	scope := keys.Get(keys.Request, keys.Scope)
	if why := scope.Why(keys.State{Tool: queue.ToolCapability}); !strings.Contains(why, "has no scope") {
		t.Errorf("the scope of a capability: %q", why)
	}
	if why := scope.Why(keys.State{Tool: queue.ToolEgress}); why != "" {
		t.Errorf("the scope of a way out: %q", why)
	}
	if why := keys.Get(keys.Plan, keys.Go).Why(keys.State{Conflicts: 1}); !strings.Contains(why, "conflict") {
		t.Errorf("going on with a conflict: %q", why)
	}
}
