package bottles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bottle-tui/state"
)

// disks is an engine that measures.
type disks struct {
	Engine
	images map[string]Image
	labels map[string]map[string]string
	used   DiskUsage
	err    error
}

func (e *disks) Images(context.Context, string) (map[string]map[string]string, error) {
	return e.labels, nil
}

func (e *disks) Image(_ context.Context, ref string) (Image, error) {
	image, ok := e.images[ref]
	if !ok {
		return Image{}, fmt.Errorf("%w: %s", ErrNotFound, ref)
	}
	return image, nil
}

func (e *disks) DiskUsage(context.Context) (DiskUsage, error) { return e.used, e.err }

// What a bottle takes is told: of its images what they have beyond those of others, its volumes, and its state. What can't
// be measured is no small bottle. One that takes much is a problem, until it is gone.
func TestWhatABottleTakesOfDisks(t *testing.T) {
	root, b := rooted(t)
	id := b.Identity()
	of := func(identity, root string) map[string]string {
		return map[string]string{LabelIdentity: identity, LabelRoot: root}
	}
	mine := of(id, root.ID())
	e := &disks{
		images: map[string]Image{
			"profile":  {Layers: []string{"base", "profile"}, Size: 1000},
			"first":    {Layers: []string{"base", "profile", "one"}, Size: 1100},
			"second":   {Layers: []string{"base", "profile", "one", "two"}, Size: 1130},
			"another":  {Layers: []string{"base", "profile", "one", "two"}, Size: 1130},
			"stranger": {Layers: []string{"base", "profile"}, Size: 1000},
		},
		labels: map[string]map[string]string{
			"profile": {LabelRoot: root.ID()}, "first": mine, "second": mine, "gone": mine,
			"another": of("other-00000", root.ID()), "stranger": of(id, "another root"),
		},
		used: DiskUsage{Volumes: []VolumeSize{
			{Volume{"work", mine}, 7}, {Volume{"home", mine}, 5},
			{Volume{"other", of("other-00000", root.ID())}, 100}, {Volume{"stranger", of(id, "another root")}, 100},
		}},
	}
	if err := b.PutDockerfile(bytes.Repeat([]byte("#"), 5000), "request"); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	all, err := MeasureUsage(t.Context(), root, e, at)
	if u := all[id]; err != nil || len(all) != 1 || u.Image != 130 || u.Volumes != 12 || u.State < 5000 || u.State > 50_000 || !u.At.Equal(at) {
		t.Errorf("%+v, %v", all, err)
	}
	e.err = errors.New("its disk does not answer")
	if _, err := MeasureUsage(t.Context(), root, e, at); !errors.Is(err, e.err) {
		t.Errorf("got %v", err)
	}
	e.err = nil
	if err := os.Rename(filepath.Join(root.Dir(), "state"), filepath.Join(root.Dir(), "away")); err != nil {
		t.Fatal(err)
	}
	if all, err := MeasureUsage(t.Context(), root, e, at); err == nil {
		t.Errorf("a state that is away takes %+v", all)
	}
}

func TestABottleThatTakesMuchIsTold(t *testing.T) {
	e := &disks{}
	s, id, stop := owner(t, openRoot(t), e)
	defer stop()
	told := func() (problem string, u Usage) {
		s.measureUsage(t.Context())
		s.ask(func() {
			u = s.bottles[id].view().Usage
			for _, p := range s.problems[usageProblem(id)] {
				problem += p.Err
			}
		})
		return problem, u
	}
	labels := map[string]string{LabelIdentity: id, LabelRoot: s.cfg.Root.ID()}
	e.used.Volumes = []VolumeSize{{Volume{"work", labels}, largeUsage}}
	if problem, u := told(); !strings.Contains(problem, "volumes 20 GiB") || u.Volumes != largeUsage {
		t.Errorf("told: %q, %+v", problem, u)
	}
	e.err = errors.New("busy")
	if problem, _ := told(); problem == "" {
		t.Error("what could not be measured is taken for little")
	}
	e.err, e.used.Volumes = nil, nil
	if problem, _ := told(); problem != "" {
		t.Errorf("still told: %q", problem)
	}
}

// The outcome of a rebuild, and the audit log, say what the new image takes more.
func TestWhatABuildAddedIsTold(t *testing.T) {
	root, b := rooted(t)
	e := &disks{images: map[string]Image{"sha256:old": {Size: 100 << 20}, "new": {Size: 142 << 20}}}
	s, id, stop := owner(t, root, e)
	defer stop()
	if err := b.UpdateMetadata(func(m *state.Metadata) { m.ImageDigest = "sha256:old" }); err != nil {
		t.Fatal(err)
	}
	x := &execution{sup: s, bottle: b, layout: layout{identity: id, image: "new"}}
	s.ask(func() { s.bottles[id].op = &operation{view: Operation{Kind: "rebuild"}} })
	if added := s.tellAdded(t.Context(), x); added != 42<<20 {
		t.Errorf("%d bytes", added)
	}
	var said string
	s.ask(func() { said = s.bottles[id].op.view.outcome() })
	if !strings.Contains(said, "42 MiB more") {
		t.Errorf("it says %q", said)
	}
	x.layout.image = "gone"
	if added := s.tellAdded(t.Context(), x); added != 0 {
		t.Errorf("%d bytes of one that is not there", added)
	}
}
