package bottles_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/state"
)

// listed is a catalog whose manifest is a file with a host a line.
type listed struct {
	catalog
	path string
}

func (c listed) Profile(meta state.Metadata) (bottles.Profile, error) {
	p, err := c.catalog.Profile(meta)
	if err != nil {
		return p, err
	}
	content, err := os.ReadFile(c.path)
	p.Egress = strings.Fields(string(content))
	return p, err
}

func (c listed) Edit(_ state.Metadata, change bottles.Change) (bottles.Edit, error) {
	before, err := os.ReadFile(c.path)
	after := slices.Clone(before)
	for _, host := range change.Allow {
		after = append(after, host+"\n"...)
	}
	return bottles.Edit{Path: c.path, Before: before, After: after}, err
}

func TestAGrantForTheProfileIsWrittenIntoTheManifestAsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	manifest := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(manifest, []byte("old.invalid\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	w.whole = listed{w.cat, manifest}
	w.run(nil)
	id := w.launch("")
	req := w.askEgress(id, "old.invalid\nnew.invalid\n")
	edit, err := w.sup.PreviewEdit(t.Context(), id, req.ID, []byte(req.Proposed), nil)
	if err != nil || string(edit.After) != "old.invalid\nnew.invalid\n" || edit.Path != manifest {
		t.Fatalf("shown: %+v, %v", edit, err)
	}
	terms := bottles.Terms{Scope: bottles.Scope{Profile: true}, Edit: queue.Hash(edit.After)}
	w.must(bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash, Terms: terms})
	if got, err := os.ReadFile(manifest); string(got) != "old.invalid\nnew.invalid\n" || err != nil {
		t.Errorf("the manifest is %q, %v", got, err)
	}
	if info, err := os.Stat(manifest); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if b := w.awaitStatus(id, bottles.Live); len(b.Grants) != 0 || !slices.Contains(b.Allow, "new.invalid") {
		t.Errorf("grants %v, allows %v", b.Grants, b.Allow)
	}
	if a := w.answered(id, req.ID); !strings.Contains(a, "for good") {
		t.Errorf("the agent was told %s", a)
	}

	// A manifest that changed since it was shown is not written over; the bottle has what was granted.
	req = w.askEgress(id, "old.invalid\nnew.invalid\nlast.invalid\n")
	if edit, err = w.sup.PreviewEdit(t.Context(), id, req.ID, []byte(req.Proposed), nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, []byte("mine.invalid\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	terms.Edit = queue.Hash(edit.After)
	w.must(bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash, Terms: terms})
	if got, err := os.ReadFile(manifest); string(got) != "mine.invalid\n" || err != nil {
		t.Errorf("the manifest is %q, %v", got, err)
	}
	if b := w.awaitStatus(id, bottles.Live); len(b.Grants) != 1 || b.Grants[0].Scope.Profile || !slices.Contains(b.Allow, "last.invalid") {
		t.Errorf("grants %v, allows %v", b.Grants, b.Allow)
	}
	if !slices.ContainsFunc(w.told(), func(a bottles.Alert) bool {
		return a.Kind == bottles.AlertFailed && strings.Contains(a.Text, "changed since you were shown it")
	}) {
		t.Errorf("nobody was told: %v", w.told())
	}
}
