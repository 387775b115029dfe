package scenario_test

import (
	"context"
	"os"
	"sync"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker"
	"bottle-tui/sidecars"
	"bottle-tui/ui/cli/demo"
)

// kept are containers that never run and hold the two images that the program makes out of itself, as long
// as a scenario is on: `demo --clean` of one would else take away what another is about to use.
var kept struct {
	sync.Mutex
	stages int
}

const keptRoot = "scenario-images"

func keepImages(t testing.TB, s *stage) {
	t.Helper()
	kept.Lock()
	defer kept.Unlock()
	if kept.stages == 0 {
		s.must(holdImages(t.Context(), s.binary, s.engine))
	}
	kept.stages++
	t.Cleanup(func() {
		kept.Lock()
		defer kept.Unlock()
		if kept.stages--; kept.stages > 0 {
			return
		}
		engine, err := docker.Open(context.WithoutCancel(t.Context()))
		if err == nil {
			err = dropImages(context.WithoutCancel(t.Context()), s.binary, engine)
			engine.Close()
		}
		if err != nil {
			t.Error(err)
		}
	})
}

type sharedImage struct {
	name, ref string
	load      func(context.Context, bottles.Engine) error
}

// sharedImages are the images that the program in binary makes out of itself.
func sharedImages(binary *os.File) ([]sharedImage, error) {
	info, err := binary.Stat()
	if err != nil {
		return nil, err
	}
	base, err := demo.BaseImage(binary, info.Size())
	if err != nil {
		return nil, err
	}
	pod, err := sidecars.NewImage(binary, info.Size())
	if err != nil {
		return nil, err
	}
	return []sharedImage{
		{keptRoot + "-demo", base.Ref, func(ctx context.Context, e bottles.Engine) error {
			return bottles.ImportShared(ctx, e, base.Ref, base.RootFS(), bottles.ImageConfig(base.Config))
		}},
		{keptRoot + "-sidecars", pod.Ref, func(ctx context.Context, e bottles.Engine) error {
			return bottles.ImportShared(ctx, e, pod.Ref, pod.RootFS(), bottles.ImageConfig(pod.Config))
		}},
	}, nil
}

func holdImages(ctx context.Context, path string, engine bottles.Engine) error {
	return onImages(path, func(i sharedImage) error {
		if err := engine.RemoveContainer(ctx, i.name); err != nil { // of a run that was killed
			return err
		}
		if err := i.load(ctx, engine); err != nil {
			return err
		}
		return engine.CreateContainer(ctx, bottles.ContainerSpec{Name: i.name, Image: i.ref, Labels: map[string]string{bottles.LabelRoot: keptRoot}})
	})
}

func dropImages(ctx context.Context, path string, engine bottles.Engine) error {
	return onImages(path, func(i sharedImage) error {
		if err := engine.RemoveContainer(ctx, i.name); err != nil {
			return err
		}
		_ = engine.RemoveImage(ctx, i.ref) // somebody beside this test may use it
		return nil
	})
}

func onImages(path string, do func(sharedImage) error) error {
	binary, err := os.Open(path)
	if err != nil {
		return err
	}
	defer binary.Close()
	images, err := sharedImages(binary)
	if err != nil {
		return err
	}
	for _, i := range images {
		if err := do(i); err != nil {
			return err
		}
	}
	return nil
}
