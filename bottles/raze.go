package bottles

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"bottle-tui/state"
)

// Purgeable is what Purge removes of a state root, and what it leaves.
type Purgeable struct {
	Identities []string            // of the bottles that go, with state, queue and all that is on the engine, live or not
	Objects    map[string][]string // identity → what of it is on the engine
	Others     []string            // what stays, and the state root with it: identities, and paths of what is none
}

// FindPurgeable finds what of a state root mine says yes to, by the manifest that a bottle was launched from. Its metadata
// tell that or, of a bottle that has no state any more, its audit log. What tells nothing stays.
func FindPurgeable(ctx context.Context, root *state.Root, engine Engine, mine func(manifest string) bool) (Purgeable, error) {
	p := Purgeable{Objects: map[string][]string{}}
	have, err := ObserveRoot(ctx, engine, root)
	if err != nil {
		return p, err
	}
	all, strays, err := keptIn(root, have)
	if err != nil {
		return p, err
	}
	for identity, parts := range group(have) {
		p.Objects[identity] = parts.names()
	}
	p.Others = strays
	for _, identity := range all {
		if mine(launchedFrom(root, identity)) {
			p.Identities = append(p.Identities, identity)
		} else {
			p.Others = append(p.Others, identity)
		}
	}
	return p, nil
}

// keptIn are the identities that a state root knows anything of, by its state, its audit logs or the engine; strays are what
// else stands in its place for states.
func keptIn(root *state.Root, have Observed) (identities, strays []string, err error) {
	found := root.Scan()
	if found.Err != nil {
		return nil, nil, found.Err
	}
	logs, err := root.AuditIdentities()
	if err != nil {
		return nil, nil, err
	}
	identities = append(logs, slices.Collect(maps.Keys(group(have)))...)
	for _, b := range found.Bottles {
		identities = append(identities, b.Identity())
	}
	for _, problem := range found.Problems {
		strays = append(strays, problem.Path)
	}
	slices.Sort(identities)
	return slices.Compact(identities), strays, nil
}

// launchedFrom is the manifest that a bottle was launched from; "" where nothing tells.
func launchedFrom(root *state.Root, identity string) string {
	if root.Has(identity) {
		b, err := root.Bottle(identity)
		if err != nil {
			return ""
		}
		meta, err := b.Metadata()
		if err != nil {
			return ""
		}
		return meta.Manifest
	}
	var launch struct{ Manifest string }
	err := root.Audit(identity).Find(func(e state.Entry) bool {
		_ = json.Unmarshal(e.Data, &launch) // "" otherwise
		return false
	}, "launch")
	if err != nil {
		return ""
	}
	return launch.Manifest
}

// Purge removes what was found and shown, live bottles too, and says what it removed. Where nothing else is in the state root
// then, the root goes with its audit logs and the files besides; whole says so. It holds the lock of each bottle meanwhile:
// where another program is at one, or one is being made, nothing is removed.
func Purge(ctx context.Context, root *state.Root, engine Engine, shown Purgeable, besides ...string) (removed []string, whole bool, err error) {
	return purge(ctx, root, engine, shown, lockPatience, besides...)
}

func purge(ctx context.Context, root *state.Root, engine Engine, shown Purgeable, patience time.Duration, besides ...string) (removed []string, whole bool, err error) {
	err = root.Alone(func() error { // no bottle is made meanwhile
		var states []*state.Bottle
		for _, identity := range shown.Identities {
			b, err := root.Bottle(identity)
			if errors.Is(err, state.ErrUnknown) {
				continue // its log alone is there, or what it left on the engine
			}
			if err != nil {
				return fmt.Errorf("nothing was removed: %w", err)
			}
			unlock, err := lockWithin(ctx, b, patience)
			if errors.Is(err, errHeld) {
				other, _ := b.Operation() // for the words alone
				return fmt.Errorf("%s: %w%s; nothing was removed, try again when it is done", b.Identity(), err, inBrackets(other))
			}
			if err != nil {
				return fmt.Errorf("nothing was removed: %w", err)
			}
			defer func() { _ = unlock() }() // the lock ends with its file
			states = append(states, b)
		}
		have, err := ObserveRoot(ctx, engine, root)
		if err != nil {
			return err
		}
		now, strays, err := keptIn(root, have)
		if err != nil {
			return err
		}
		goes := func(identity string) bool { return slices.Contains(shown.Identities, identity) }
		whole = len(strays) == 0 && !slices.ContainsFunc(now, func(identity string) bool { return !goes(identity) })
		if whole {
			goes = nil // with the images of the root's profiles
		}
		if removed, err = raze(ctx, root, engine, goes); err != nil {
			return err
		}
		if whole {
			if err := root.Remove(besides...); err != nil {
				return err
			}
			what := root.Dir()
			if _, err := os.Lstat(what); err == nil {
				what = "what was kept in " + what + ", where other files are, too"
			}
			removed = append(removed, what)
			return nil
		}
		for _, b := range states {
			if err := b.Delete(); err != nil {
				return err
			}
			removed = append(removed, "the state of "+b.Identity())
		}
		return nil
	})
	return removed, whole, err
}

// Raze removes everything of a state root from the engine, live bottles too, and says what it removed. It is for a root that
// no other program uses, whose directory goes its own way: see Purge.
func Raze(ctx context.Context, root *state.Root, engine Engine) (removed []string, err error) {
	return raze(ctx, root, engine, nil)
}

// raze is Raze for some of the identities; a nil only is everything, the images of profiles too.
func raze(ctx context.Context, root *state.Root, engine Engine, only func(identity string) bool) (removed []string, err error) {
	have, err := ObserveRoot(ctx, engine, root)
	if err != nil {
		return nil, err
	}
	all, err := engine.Images(ctx, "")
	if err != nil {
		return nil, err
	}
	other := func(labels map[string]string) bool { return only != nil && !only(labels[LabelIdentity]) }
	have.Containers = slices.DeleteFunc(have.Containers, func(c Container) bool { return other(c.Labels) })
	have.Networks = slices.DeleteFunc(have.Networks, func(n Network) bool { return other(n.Labels) })
	have.Volumes = slices.DeleteFunc(have.Volumes, func(v Volume) bool { return other(v.Labels) })
	for identity, p := range group(have) {
		if err := root.Audit(identity).Append("purge", map[string]any{"objects": p.names()}); err != nil {
			return nil, err // what can't be written down is not removed
		}
	}
	images, old := map[string]bool{}, map[string]bool{}
	for ref, labels := range all {
		identity, id := labels[LabelIdentity], labels[LabelRoot]
		switch {
		case other(labels):
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
