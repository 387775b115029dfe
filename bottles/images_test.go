package bottles

import (
	"context"
	"slices"
	"strings"
	"testing"

	"bottle-tui/bottles/dockerfile"
	"bottle-tui/state"
)

// imageStore is an engine that has images alone.
type imageStore struct {
	Engine
	labels  map[string]map[string]string
	layers  int
	removed []string
}

func (e *imageStore) Images(context.Context, string) (map[string]map[string]string, error) {
	return e.labels, nil
}

func (e *imageStore) RemoveImage(_ context.Context, ref string) error {
	e.removed = append(e.removed, ref)
	return nil
}

func (e *imageStore) Image(context.Context, string) (Image, error) {
	return Image{ID: "sha256:1", Layers: make([]string, e.layers), Size: 7 << 20}, nil
}

// Of the images that were built for a bottle the one that it runs on and the one before stay; nobody else's is touched.
func TestOlderImagesOfABottleGo(t *testing.T) {
	root := openRoot(t)
	own := map[string]string{LabelIdentity: "tester-00000", LabelRoot: root.ID()}
	e := &imageStore{labels: map[string]map[string]string{
		"mine:1": own, "mine:2": own, "mine:3": own,
		"other:1":   {LabelIdentity: "tester-11111", LabelRoot: root.ID()},
		"profile:1": {LabelRoot: root.ID()},
		"foreign:1": {LabelIdentity: "tester-00000", LabelRoot: "another"},
	}}
	s, id, stop := owner(t, root, e)
	defer stop()
	s.dropImages(t.Context(), id, "mine:3", "mine:2")
	if !slices.Equal(e.removed, []string{"mine:1"}) {
		t.Errorf("removed: %v", e.removed)
	}
	if got := entriesOf(t, root, id, "images"); len(got) != 1 {
		t.Errorf("the audit log has %s", got)
	}
}

// Spare are the images of this program and of profiles, where no bottle ran on them last; not a bottle's own.
func TestSpareImages(t *testing.T) {
	root := openRoot(t)
	e := &imageStore{labels: map[string]map[string]string{"shared:1": {}, "own:1": {LabelIdentity: "tester-00000"}}}
	spare, err := SpareImages(t.Context(), root, e)
	if err != nil || len(spare) != 2 || spare[0] != (SpareImage{"shared:1", 7 << 20}) { // each root lists it here
		t.Errorf("spare: %v, %v", spare, err)
	}
	if _, err := root.CreateAs("tester-00000", state.Metadata{AgentName: "tester", ImageDigest: "sha256:1"}); err != nil {
		t.Fatal(err)
	}
	if spare, err := SpareImages(t.Context(), root, e); err != nil || len(spare) != 0 {
		t.Errorf("spare although a bottle ran on it: %v, %v", spare, err)
	}
}

// An image of many layers is told of before the engine fails to build it.
func TestManyLayersAreAFinding(t *testing.T) {
	e := &imageStore{}
	s, id, stop := owner(t, openRoot(t), e)
	defer stop()
	b, err := s.cfg.Root.Bottle(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.UpdateMetadata(func(m *state.Metadata) { m.ImageDigest = "sha256:1" }); err != nil {
		t.Fatal(err)
	}
	now := "FROM base AS one\nRUN a\nFROM base\nRUN a \\\n  RUN b\n# RUN c\nENV A=b\n"
	for _, c := range []struct {
		layers int
		add    string
		want   dockerfile.Severity // "": no finding
		says   string
	}{
		{0, "RUN x\n", "", ""},
		{98, "RUN x\n", "", ""},
		{98, "RUN x\ncopy --from=one /a /b\n", dockerfile.Warning, "some 100 layers; engines can stack no more than 125"},
		{125, "RUN x\n", dockerfile.Danger, "some 126 layers"},
	} {
		e.layers = c.layers
		found := s.layersFinding(t.Context(), b, []byte(now), []byte(now+c.add))
		if c.want == "" && len(found) == 0 {
			continue
		}
		if len(found) != 1 || found[0].Severity != c.want || !strings.Contains(found[0].Text, c.says) {
			t.Errorf("%d layers and %q: %+v", c.layers, c.add, found)
		}
	}
}
