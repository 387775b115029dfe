package bottles

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// roleLook is a container that is made of an image to look at its files, never started, and removed again.
const roleLook Role = "look"

// The bounds of what is done to add an image's files to a home.
const (
	maxListed     = 100_000 // paths of one image's home
	maxHomeLooks  = 2000    // at single paths of the agent's home
	compareWithin = 2 * time.Minute
)

// addedHome is what an image has in the agent's home directory and the image that the agent ran on before had not.
type addedHome struct {
	image string   // its ID
	paths []string // absolute, without those whose directory is among them, too
}

// compareHome works out what the agent's image adds to the home. The engine fills a volume from its first image alone.
// While files are to be added, the container that holds them stays. It never fails an operation: what can't be compared
// is not added, and is written down.
func (x *execution) compareHome(ctx context.Context) error {
	x.comparing.Lock()
	defer x.comparing.Unlock()
	image, err := x.sup.cfg.Engine.Image(ctx, x.layout.image)
	if err != nil {
		return err
	}
	if x.added != nil && x.added.image == image.ID {
		return nil
	}
	x.added = &addedHome{image: image.ID}
	x.added.paths, err = x.homeAdditions(ctx, image.ID)
	if err != nil {
		x.notAdded(err)
	}
	return ctx.Err()
}

// notAdded writes down that files of the image are missing from the home.
func (x *execution) notAdded(err error) {
	x.sup.cfg.Log.Warn("add the image's files to the home", "identity", x.layout.identity, "err", err)
	_ = x.sup.audit(x.layout.identity, "home", map[string]any{"image": x.layout.image, "not_added": cut(err.Error(), 2000)})
}

func (x *execution) homeAdditions(ctx context.Context, image string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, compareWithin)
	defer cancel()
	meta, err := x.bottle.Metadata()
	if err != nil || !meta.WholeHome || meta.ImageDigest == image {
		return nil, err
	}
	was := x.sup.homes.get(meta.ImageDigest)
	if was == nil {
		if was, err = x.homeOf(ctx, meta.ImageDigest); err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		} // without the old image, whatever is not in the home is new
	}
	is, err := x.homeOf(ctx, image)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, p := range slices.Sorted(maps.Keys(is)) {
		if !was[p] && (len(paths) == 0 || !strings.HasPrefix(p, paths[len(paths)-1]+"/")) {
			paths = append(paths, p)
		}
	}
	if len(paths) == 0 {
		return nil, x.sup.cfg.Engine.RemoveContainer(ctx, lookName(x.layout.identity))
	}
	return paths, nil
}

// listHome lists the home as the image that the agent runs on has it, while the next image is being built, so that
// only the next one's is left to be listed. compareHome does without, and tells why where it fails, too.
func (x *execution) listHome(ctx context.Context) {
	x.comparing.Lock()
	defer x.comparing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, compareWithin)
	defer cancel()
	meta, err := x.bottle.Metadata()
	if err != nil || !meta.WholeHome || meta.ImageDigest == "" || x.added != nil || x.sup.homes.get(meta.ImageDigest) != nil {
		return
	}
	_, _ = x.homeOf(ctx, meta.ImageDigest)
	if err := x.sup.cfg.Engine.RemoveContainer(ctx, lookName(x.layout.identity)); err != nil {
		x.sup.cfg.Log.Info("remove", "identity", x.layout.identity, "role", roleLook, "err", err) // the next look does it
	}
}

func lookName(identity string) string { return sidecarName(roleLook, identity) }

// maxHomePaths bounds what is remembered of the homes in images, in paths of all of them. The last one is always known.
const maxHomePaths = 40_000

// homeLists remembers what homes have been listed, by the image's ID, which never means another one.
type homeLists struct {
	mu     sync.Mutex
	lists  map[string]map[string]bool
	images []string // the oldest first
	paths  int
}

// get is the home in an image; nil: it is not known.
func (h *homeLists) get(image string) map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lists[image]
}

func (h *homeLists) put(image string, list map[string]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lists == nil {
		h.lists = map[string]map[string]bool{}
	}
	if h.lists[image] != nil {
		return
	}
	h.lists[image], h.images, h.paths = list, append(h.images, image), h.paths+len(list)
	for h.paths > maxHomePaths && len(h.images) > 1 {
		h.paths -= len(h.lists[h.images[0]])
		delete(h.lists, h.images[0])
		h.images = h.images[1:]
	}
}

// homeOf lists the agent's home directory as an image has it, by absolute path.
func (x *execution) homeOf(ctx context.Context, image string) (map[string]bool, error) {
	e, name, home := x.sup.cfg.Engine, lookName(x.layout.identity), x.layout.profile.Program.userHome()
	if err := e.RemoveContainer(ctx, name); err != nil {
		return nil, err
	}
	making, cancel := context.WithTimeout(x.sup.ctx, whole) // as in uncut
	err := e.CreateContainer(making, ContainerSpec{Name: name, Image: image, Labels: x.layout.labels(string(roleLook)), Cmd: []string{"-"}})
	cancel()
	if err != nil {
		return nil, err
	}
	all := map[string]bool{}
	r, err := e.CopyOut(ctx, name, home)
	if errors.Is(err, ErrNotFound) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		switch {
		case err == io.EOF:
			x.sup.homes.put(image, all)
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("list %s of the image %s: %w", home, image, err)
		case len(all) == maxListed:
			return nil, fmt.Errorf("list %s of the image %s: it has more than %d files", home, image, maxListed)
		}
		if p := path.Join(path.Dir(home), h.Name); p != home {
			all[p] = true
		}
	}
}

// addHome copies what the image adds into the home of an agent that was not started yet. What the agent has at a path is
// left as it is, and so is what lies behind a link of the agent's.
func (x *execution) addHome(ctx context.Context, container string) error {
	x.comparing.Lock()
	defer x.comparing.Unlock()
	if x.added == nil || len(x.added.paths) == 0 {
		return nil
	}
	e, home := x.sup.cfg.Engine, x.layout.profile.Program.userHome()
	seen, copied := map[string]byte{}, map[string]bool{}
	look := func(p string) (byte, error) { // the type of what is at a path, as in a tar; 0: nothing
		if kind, ok := seen[p]; ok {
			return kind, nil
		}
		if len(seen) == maxHomeLooks {
			return 0, fmt.Errorf("the image adds files at more than %d places of %s", maxHomeLooks, home)
		}
		kind, err := typeOf(ctx, e, container, p)
		if err == nil {
			seen[p] = kind
		}
		return kind, err
	}
	err := func() error {
		for _, p := range x.added.paths {
			for _, at := range below(home, p) {
				kind, err := look(at)
				if err != nil {
					return err
				}
				if kind == 0 && !copied[at] {
					if err := x.copyHome(ctx, container, at); err != nil {
						return err
					}
					copied[at] = true
				}
				if kind != tar.TypeDir {
					break
				}
			}
		}
		return nil
	}()
	if err == nil {
		_ = x.sup.audit(x.layout.identity, "home", map[string]any{"image": x.layout.image, "added": slices.Sorted(maps.Keys(copied))})
	} else if ctx.Err() == nil {
		x.notAdded(err)
	}
	x.added.paths = nil
	return errors.Join(ctx.Err(), e.RemoveContainer(ctx, lookName(x.layout.identity)))
}

// below are the paths from the one below home down to p.
func below(home, p string) (out []string) {
	for ; p != home && p != "/"; p = path.Dir(p) {
		out = append(out, p)
	}
	slices.Reverse(out)
	return out
}

// typeOf is the type of what is at a path of a container, as in a tar; 0 where there is nothing.
func typeOf(ctx context.Context, e Engine, container, p string) (byte, error) {
	r, err := e.CopyOut(ctx, container, p)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer r.Close()
	h, err := tar.NewReader(r).Next()
	if err != nil {
		return 0, fmt.Errorf("look at %s of %s: %w", p, container, err)
	}
	return h.Typeflag, nil
}

// copyHome copies a path of the image into the agent's container.
func (x *execution) copyHome(ctx context.Context, container, p string) error {
	e := x.sup.cfg.Engine
	from, err := e.CopyOut(ctx, lookName(x.layout.identity), p)
	if err != nil {
		return err
	}
	defer from.Close()
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.CloseWithError(rebased(w, from, path.Dir(p)))
	}()
	err = e.CopyIn(ctx, container, "/", r)
	_ = r.Close() // ends the writer if the engine did not read to the end
	<-done
	return err
}

// rebased writes an archive with its names below dir.
func rebased(to io.Writer, from io.Reader, dir string) error {
	in, out := tar.NewReader(from), tar.NewWriter(to)
	for {
		h, err := in.Next()
		if err == io.EOF {
			return out.Close()
		}
		if err != nil {
			return err
		}
		slash := strings.HasSuffix(h.Name, "/")
		if h.Name = path.Join(dir, h.Name)[1:]; slash {
			h.Name += "/"
		}
		if h.Typeflag == tar.TypeLink {
			h.Linkname = path.Join(dir, h.Linkname)[1:]
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
}
