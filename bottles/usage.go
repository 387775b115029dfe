package bottles

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"bottle-tui/bottles/workspace"
	"bottle-tui/state"
)

// Usage is what a bottle takes of disks, in bytes.
type Usage struct {
	Image   int64     `json:"image"`   // on the engine: the layers of its own images that no image besides them is made of
	Volumes int64     `json:"volumes"` // on the engine: workspace, home and what its sidecars keep
	State   int64     `json:"state"`   // here: its state, its queue and its audit log
	At      time.Time `json:"at"`      // when it was measured
}

// Total is all of it.
func (u Usage) Total() int64 { return u.Image + u.Volumes + u.State }

// String is the usage for people.
func (u Usage) String() string {
	return fmt.Sprintf("%s: image %s, volumes %s, state %s", workspace.Size(u.Total()), workspace.Size(u.Image), workspace.Size(u.Volumes), workspace.Size(u.State))
}

// largeUsage is from where on what a bottle takes of disks is a problem that is shown, in bytes.
const largeUsage = 20 << 30

// MeasureUsage measures what each bottle of the state root takes of disks. The engine may take a minute for it.
func MeasureUsage(ctx context.Context, root *state.Root, engine Engine, now time.Time) (map[string]Usage, error) {
	l := root.Scan()
	if l.Err != nil {
		return nil, l.Err
	}
	used, err := engine.DiskUsage(ctx)
	if err != nil {
		return nil, err
	}
	images, err := ownLayers(ctx, root, engine)
	if err != nil {
		return nil, err
	}
	all := map[string]Usage{}
	for _, b := range l.Bottles {
		u := Usage{Image: images[b.Identity()], At: now}
		for _, v := range used.Volumes {
			if v.Labels[LabelIdentity] == b.Identity() && root.Owns(b.Identity(), v.Labels[LabelRoot]) {
				u.Volumes += v.Size
			}
		}
		if u.State, err = stateSize(root, b); err != nil {
			return nil, err
		}
		all[b.Identity()] = u
	}
	return all, nil
}

// ownLayers are the sizes of what the images of each bottle add to those that are not of that bottle, by identity. An image
// is made of another if it begins with all its layers.
func ownLayers(ctx context.Context, root *state.Root, engine Engine) (map[string]int64, error) {
	refs, err := engine.Images(ctx, "")
	if err != nil {
		return nil, err
	}
	type owned struct {
		Image
		identity string // "": no bottle's of this root
	}
	var images []owned
	for _, ref := range slices.Sorted(maps.Keys(refs)) {
		image, err := engine.Image(ctx, ref)
		if errors.Is(err, ErrNotFound) {
			continue // it went meanwhile
		}
		if err != nil {
			return nil, err
		}
		identity := refs[ref][LabelIdentity]
		if !root.Owns(identity, refs[ref][LabelRoot]) {
			identity = ""
		}
		images = append(images, owned{image, identity})
	}
	// The shorter first, so that what a bottle's image is made of was counted before.
	slices.SortStableFunc(images, func(a, b owned) int { return cmp.Compare(len(a.Layers), len(b.Layers)) })
	sizes := map[string]int64{}
	for i, image := range images {
		if image.identity == "" {
			continue
		}
		var base int64
		for _, o := range images[:i] {
			within := len(o.Layers) <= len(image.Layers) && slices.Equal(o.Layers, image.Layers[:len(o.Layers)])
			if within && (o.identity == "" || o.identity == image.identity) {
				base = max(base, o.Size)
			}
		}
		sizes[image.identity] += max(0, image.Size-base)
	}
	return sizes, nil
}

// stateSize is what a bottle takes of this machine's disk. A file that goes meanwhile counts nothing.
func stateSize(root *state.Root, b *state.Bottle) (size int64, err error) {
	size, err = root.Audit(b.Identity()).Size()
	if err != nil {
		return 0, err
	}
	for _, dir := range []string{b.Dir(), root.QueueDir(b.Identity())} {
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				var info fs.FileInfo
				if info, err = d.Info(); err == nil {
					size += info.Size()
				}
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("measure what the state of %s takes: %w", b.Identity(), err)
		}
	}
	return size, nil
}

// How often what the bottles take is measured: some time after the start, and then seldom, since the engine walks all its
// volumes for it.
const (
	usageFirst  = 5 * time.Minute
	usageEvery  = 2 * time.Hour
	usageWithin = 3 * time.Minute
)

// watchUsage measures what the bottles take, again and again.
func (s *Supervisor) watchUsage(ctx context.Context) {
	select {
	case <-time.After(usageFirst):
	case <-ctx.Done():
		return
	}
	s.measureUsage(ctx)
	every(ctx, usageEvery, func() { s.measureUsage(ctx) })
}

func usageProblem(identity string) string { return "usage " + identity }

// measureUsage measures what the bottles take, and tells of those that take much.
func (s *Supervisor) measureUsage(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, usageWithin)
	defer cancel()
	all, err := MeasureUsage(ctx, s.cfg.Root, s.cfg.Engine, s.cfg.Now())
	if err != nil {
		s.cfg.Log.Info("measure what the bottles take of disks", "err", err)
		return
	}
	s.post(func() {
		for id, r := range s.bottles {
			delete(s.problems, usageProblem(id))
			u, ok := all[id]
			if !ok {
				continue
			}
			r.usage = u
			if u.Total() > largeUsage {
				s.problems[usageProblem(id)] = []Problem{{id, "it takes " + u.String() + "; remove what it does not need, or delete it (D) when its work is saved"}}
			}
		}
		s.changed()
	})
}
