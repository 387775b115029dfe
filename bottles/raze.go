package bottles

import (
	"context"
	"maps"
	"slices"

	"bottle-tui/state"
)

// Raze removes everything of a state root from the engine, live bottles too, and says what it removed. The
// directory itself is left to the caller.
func Raze(ctx context.Context, root *state.Root, engine Engine) (removed []string, err error) {
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
	return removed, nil
}

// RazeShared removes the images that this program, or an older build of it, made out of itself, where no
// container uses them, and says which. Whoever needs one makes it again.
func RazeShared(ctx context.Context, engine Engine) (removed []string, err error) {
	shared, err := engine.Images(ctx, SharedRoot)
	if err != nil {
		return nil, err
	}
	for _, ref := range slices.Sorted(maps.Keys(shared)) {
		if engine.RemoveImage(ctx, ref) == nil { // it fails where another root's containers use it
			removed = append(removed, "image "+ref)
		}
	}
	return removed, nil
}
