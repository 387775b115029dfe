package bottles

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"bottle-tui/state"
)

// Raze removes everything of a state root from the engine, live bottles too, and then the images refs
// where nothing else uses them. It says what it removed. The directory itself is left to the caller.
func Raze(ctx context.Context, root *state.Root, engine Engine, refs []string) (removed []string, err error) {
	have, err := engine.Observe(ctx, root.ID())
	if err != nil {
		return nil, err
	}
	images, err := engine.Images(ctx, root.ID())
	if err != nil {
		return nil, err
	}
	gone := func(what, name string, err error) error {
		if err == nil {
			removed = append(removed, what+" "+name)
		}
		return err
	}
	for _, c := range have.Containers {
		if err := gone("container", c.Name, engine.RemoveContainer(ctx, c.Name)); err != nil {
			return removed, err
		}
	}
	for _, n := range have.Networks {
		if err := gone("network", n.Name, engine.RemoveNetwork(ctx, n.Name)); err != nil {
			return removed, err
		}
	}
	for _, v := range have.Volumes {
		if err := gone("volume", v.Name, engine.RemoveVolume(ctx, v.Name)); err != nil {
			return removed, err
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(images)) {
		if err := gone("image", ref, engine.RemoveImage(ctx, ref)); err != nil {
			return removed, err
		}
	}
	var kept []error
	for _, ref := range refs {
		if _, err := engine.Image(ctx, ref); errors.Is(err, ErrNotFound) {
			continue
		}
		if err := gone("image", ref, engine.RemoveImage(ctx, ref)); err != nil {
			kept = append(kept, fmt.Errorf("%s stays: %w", ref, err))
		}
	}
	return removed, errors.Join(kept...)
}
