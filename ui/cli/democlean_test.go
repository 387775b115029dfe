package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/state"
)

// holder is an engine with the containers and volumes of some bottles.
type holder struct {
	bottles.Engine
	have   bottles.Observed
	images map[string]map[string]string
}

func (h *holder) put(root, identity string) {
	labels := map[string]string{bottles.LabelRoot: root, bottles.LabelIdentity: identity, bottles.LabelRole: "agent"}
	work := map[string]string{bottles.LabelRoot: root, bottles.LabelIdentity: identity, bottles.LabelRole: "work"}
	h.have.Containers = append(h.have.Containers, bottles.Container{Name: "claude-bottle-" + identity, Labels: labels, State: bottles.StateRunning})
	h.have.Volumes = append(h.have.Volumes, bottles.Volume{Name: "claude-bottle-work-" + identity, Labels: work})
	h.images["own-"+identity] = labels
}

func (h *holder) Observe(context.Context, string) (bottles.Observed, error) {
	return bottles.Observed{Containers: slices.Clone(h.have.Containers), Volumes: slices.Clone(h.have.Volumes)}, nil
}

func (h *holder) Images(_ context.Context, root string) (map[string]map[string]string, error) {
	if root != "" {
		return nil, nil // this program's own
	}
	return h.images, nil
}

func (h *holder) RemoveContainer(_ context.Context, name string) error {
	h.have.Containers = slices.DeleteFunc(h.have.Containers, func(c bottles.Container) bool { return c.Name == name })
	return nil
}

func (h *holder) RemoveVolume(_ context.Context, name string) error {
	h.have.Volumes = slices.DeleteFunc(h.have.Volumes, func(v bottles.Volume) bool { return v.Name == name })
	return nil
}

func (h *holder) RemoveImage(_ context.Context, ref string) error {
	delete(h.images, ref)
	return nil
}

// demoRoot is a demo's state root with a bottle of the demo, one that was deleted and, with another, one of the manifest
// whose agent has a demo's name.
func demoRoot(t *testing.T, p *said, another bool) (root *state.Root, h *holder, mine, other string) {
	t.Helper()
	root, err := state.Open(p.home)
	if err != nil {
		t.Fatal(err)
	}
	h = &holder{images: map[string]map[string]string{"of-a-profile": {bottles.LabelRoot: root.ID()}}}
	make := func(manifest string) string {
		b, err := root.Create(state.Metadata{AgentName: "refactor", Manifest: manifest})
		if err == nil {
			err = root.Audit(b.Identity()).Append("launch", map[string]string{"manifest": manifest})
		}
		if err != nil {
			t.Fatal(err)
		}
		h.put(root.ID(), b.Identity())
		return b.Identity()
	}
	mine = make(builtinDemo)
	gone := make(builtinDemo)
	if b, err := root.Bottle(gone); err != nil || b.Delete() != nil {
		t.Fatal(gone, err)
	}
	if another {
		other = make("/home/op/claude-bottle.json")
	}
	write(t, filepath.Join(root.Dir(), demoMark), "")
	return root, h, mine, other
}

// What the demo did not launch stays when the demo is removed: its state, its containers, its workspace, its audit log.
func TestCleanKeepsWhatIsNotTheDemos(t *testing.T) {
	p := newProgram(t)
	root, h, mine, other := demoRoot(t, p, true)
	if err := p.purgeDemo(t.Context(), root, h, false, false); err == nil || !root.Has(mine) || len(h.have.Containers) != 3 {
		t.Errorf("without a terminal to ask on: %v; %+v", err, h.have)
	}
	if err := p.purgeDemo(t.Context(), root, h, true, false); err != nil || !root.Has(mine) || len(h.have.Containers) != 3 {
		t.Errorf("a dry run: %v; %+v", err, h.have)
	}
	if err := p.purgeDemo(t.Context(), root, h, false, true); err != nil {
		t.Fatal(err)
	}
	if !root.Has(other) || root.Has(mine) || len(h.have.Containers) != 1 || len(h.have.Volumes) != 1 || h.images["own-"+other] == nil || h.images["own-"+mine] != nil || h.images["of-a-profile"] == nil {
		t.Errorf("left are %+v and %v", h.have, h.images)
	}
	if report, err := root.Audit(other).Verify(); err != nil || report.Lines != 1 {
		t.Errorf("its audit log: %+v, %v", report, err)
	}
	if said := p.out.String(); !strings.Contains(said, other+" is not of the demo, and stays") || !strings.Contains(said, mine+": its state, ") {
		t.Errorf("it says %s", said)
	}
	if first, err := claimDemo(root); err == nil || first {
		t.Errorf("it is a demo's again: %v", err)
	}
}

// Where all is the demo's the root goes, without the files of others that its directory holds.
func TestCleanRemovesADemoWhole(t *testing.T) {
	p := newProgram(t)
	root, h, _, _ := demoRoot(t, p, false)
	precious := filepath.Join(root.Dir(), "notes.txt")
	write(t, precious, "mine")
	if err := p.purgeDemo(t.Context(), root, h, false, true); err != nil || len(h.have.Containers)+len(h.images) > 0 {
		t.Errorf("%v; left are %+v and %v", err, h.have, h.images)
	}
	if left, err := os.ReadDir(root.Dir()); err != nil || len(left) != 1 || left[0].Name() != "notes.txt" {
		t.Errorf("left are %v, %v", left, err)
	}
	if err := os.Remove(precious); err != nil {
		t.Fatal(err)
	}
	root, h, _, _ = demoRoot(t, p, false)
	if err := p.purgeDemo(t.Context(), root, h, false, true); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(root.Dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is left: %v", err)
	}
}
