package bottles

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"bottle-tui/state"
)

// Purge removes a state root with everything of it on the engine, live bottles too, and says what it removed. It holds the
// lock of every bottle meanwhile: where another program is at one, or one is being made, nothing is removed.
func Purge(ctx context.Context, root *state.Root, engine Engine) (removed []string, err error) {
	return purge(ctx, root, engine, lockPatience)
}

func purge(ctx context.Context, root *state.Root, engine Engine, patience time.Duration) (removed []string, err error) {
	err = root.Alone(func() error { // no bottle is made meanwhile
		found := root.Scan()
		if found.Err != nil {
			return found.Err
		}
		for _, b := range found.Bottles {
			unlock, err := lockWithin(ctx, b, patience)
			if errors.Is(err, errHeld) {
				other, _ := b.Operation() // for the words alone
				return fmt.Errorf("%s: %w%s; nothing was removed, try again when it is done", b.Identity(), err, inBrackets(other))
			}
			if err != nil {
				return fmt.Errorf("nothing was removed: %w", err)
			}
			defer func() { _ = unlock() }() // the lock ends with its file
		}
		if removed, err = Raze(ctx, root, engine); err != nil {
			return err
		}
		if err := os.RemoveAll(root.Dir()); err != nil {
			return fmt.Errorf("remove the state root: %w", err)
		}
		removed = append(removed, root.Dir())
		return nil
	})
	return removed, err
}

// Raze removes everything of a state root from the engine, live bottles too, and says what it removed. It is for a root that
// no other program uses, whose directory goes its own way: see Purge.
func Raze(ctx context.Context, root *state.Root, engine Engine) (removed []string, err error) {
	have, err := ObserveRoot(ctx, engine, root)
	if err != nil {
		return nil, err
	}
	all, err := engine.Images(ctx, "")
	if err != nil {
		return nil, err
	}
	for identity, p := range group(have) {
		if err := root.Audit(identity).Append("purge", map[string]any{"objects": p.names()}); err != nil {
			return nil, err // what can't be written down is not removed
		}
	}
	images, old := map[string]bool{}, map[string]bool{}
	for ref, labels := range all {
		identity, id := labels[LabelIdentity], labels[LabelRoot]
		switch {
		case identity == "" && id == root.ID() || identity != "" && root.Owns(identity, id):
			images[ref] = true
		case identity == "" && id == root.PathID(): // of a profile, and maybe for another root of the same path
			old[ref] = true
		}
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
	for _, ref := range slices.Sorted(maps.Keys(old)) {
		if engine.RemoveImage(ctx, ref) == nil { // it fails where a container uses it
			removed = append(removed, "image "+ref)
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
