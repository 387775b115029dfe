package state_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"bottle-tui/state"
)

// A root keeps its id wherever it is moved to, and of many programs that open a new one at once one makes it.
func TestARootKeepsItsID(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "home")
	var ids sync.Map
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			r, err := state.Open(dir)
			if err != nil {
				t.Error(err)
				return
			}
			ids.Store(r.ID(), true)
		})
	}
	all.Wait()
	n := 0
	ids.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("it has %d ids", n)
	}
	before, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	after, err := state.Open(moved)
	if err != nil || after.ID() != before.ID() || after.ID() == after.PathID() {
		t.Errorf("it is %s, it was %s (%v)", after.ID(), before.ID(), err)
	}
	if info, err := os.Stat(filepath.Join(moved, "id")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	write(t, filepath.Join(moved, "id"), "half")
	if _, err := state.Open(moved); err == nil || !strings.Contains(err.Error(), filepath.Join(moved, "id")) {
		t.Errorf("with an id that is none: %v", err)
	}
}

// A root that went away, or has another one in its place, is not an empty one.
func TestARootThatIsGoneIsNotEmpty(t *testing.T) {
	r := open(t)
	b := create(t, r)
	away := r.Dir() + "-away"
	if err := os.Rename(r.Dir(), away); err != nil {
		t.Fatal(err)
	}
	gone := func(when string) {
		t.Helper()
		if l := r.Scan(); !errors.Is(l.Err, state.ErrGone) || !strings.Contains(l.Err.Error(), r.Dir()) || len(l.Bottles) > 0 {
			t.Errorf("%s: %+v", when, l)
		}
		if _, err := r.Bottle(b.Identity()); !errors.Is(err, state.ErrGone) || errors.Is(err, state.ErrUnknown) {
			t.Errorf("%s, of a bottle in it: %v", when, err)
		}
		if err := b.Delete(); !errors.Is(err, state.ErrGone) {
			t.Errorf("%s, a deletion says %v", when, err)
		}
		if b, err := r.Create(state.Metadata{AgentName: "coder"}); !errors.Is(err, state.ErrGone) {
			t.Errorf("%s, a bottle was made in it: %v, %v", when, b, err)
		}
	}
	gone("moved away")
	if err := os.MkdirAll(filepath.Join(r.Dir(), "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	gone("with a directory in its place")
	if _, err := state.Open(r.Dir()); err != nil {
		t.Fatal(err)
	}
	gone("with another root in its place")
	if err := os.RemoveAll(r.Dir()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, r.Dir()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(r.Dir(), "id")); err != nil {
		t.Fatal(err)
	}
	if l := r.Scan(); l.Err != nil || len(l.Bottles) != 1 || l.Bottles[0].Identity() != b.Identity() {
		t.Errorf("back again: %+v", l)
	}
	if again, err := state.Open(r.Dir()); err != nil || again.ID() != r.ID() {
		t.Errorf("the id that was removed is %v now (%v)", again, err)
	}
	if err := os.RemoveAll(filepath.Join(r.Dir(), "state")); err != nil {
		t.Fatal(err)
	}
	if _, err := state.Open(r.Dir()); err == nil || !strings.Contains(err.Error(), "state is missing") {
		t.Errorf("without state/ it opens: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("/nowhere/at/all", link); err != nil {
		t.Fatal(err)
	}
	for _, open := range []func(string) (*state.Root, error){state.Open, state.OpenReadOnly} {
		if _, err := open(link); err == nil || !strings.Contains(err.Error(), "not there: mount the disk") {
			t.Errorf("a link to nowhere: %v", err)
		}
	}
}

// Of what an engine has, a root owns what carries its id, under the hash of its path what it knows of, and what it
// took over.
func TestWhoseIsIt(t *testing.T) {
	r := open(t)
	b := create(t, r)
	audited, queued := "coder-aaaaa", "coder-bbbbb"
	if err := r.Audit(audited).Append("fact", 1); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(r.QueueDir(queued), 0o700); err != nil {
		t.Fatal(err)
	}
	link := "coder-ccccc"
	if err := os.Symlink("/nowhere", filepath.Join(r.Dir(), "state", link)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		identity, id string
		want         bool
	}{
		{"coder-zzzzz", r.ID(), true}, {"../evil-00000", r.ID(), false}, {b.Identity(), "", false},
		{b.Identity(), r.PathID(), true}, {audited, r.PathID(), true}, {queued, r.PathID(), true}, {link, r.PathID(), true},
		{"coder-zzzzz", r.PathID(), false}, {b.Identity(), "0123456789ab", false},
	} {
		if got := r.Owns(c.identity, c.id); got != c.want {
			t.Errorf("Owns(%q, %q) is %v", c.identity, c.id, got)
		}
	}
	if err := b.UpdateMetadata(func(m *state.Metadata) { m.Root = "0123456789ab" }); err != nil {
		t.Fatal(err)
	}
	if !r.Owns(b.Identity(), "0123456789ab") || r.Owns(audited, "0123456789ab") {
		t.Error("what was taken over is another's")
	}
}

func TestOpenReadOnlyMakesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	r, err := state.OpenReadOnly(dir)
	if err != nil || r.ID() != "" {
		t.Fatal(r, err)
	}
	if l := r.Scan(); l.Err != nil || len(l.Bottles) > 0 {
		t.Errorf("%+v", l)
	}
	if ids, err := r.AuditIdentities(); len(ids) > 0 || err != nil {
		t.Error(ids, err)
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("it was made")
	}
	whole, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := state.OpenReadOnly(dir); err != nil || again.ID() != whole.ID() {
		t.Error(again, err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	if again, err := state.OpenReadOnly(dir); err != nil || again.Scan().Err == nil {
		t.Errorf("without state/ it is empty: %v", err)
	}
}
