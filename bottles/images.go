package bottles

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"bottle-tui/bottles/dockerfile"
	"bottle-tui/state"
)

// The layers of an image. An engine's storage stacks some 125 of them; nothing says so before the build fails.
const (
	layersTold = 100
	maxLayers  = 125
)

// layersFinding tells of a capability whose image would have many layers. The image that the bottle runs on shows how many
// its base has.
func (s *Supervisor) layersFinding(ctx context.Context, b *state.Bottle, current, proposed []byte) []dockerfile.Finding {
	meta, err := b.Metadata()
	if err != nil || meta.ImageDigest == "" {
		return nil // it is shown as a problem, or never ran
	}
	image, err := s.cfg.Engine.Image(ctx, meta.ImageDigest)
	if err != nil {
		s.cfg.Log.Debug("count the layers of an image", "identity", b.Identity(), "err", err)
		return nil
	}
	would := len(image.Layers) - layersOf(current) + layersOf(proposed)
	if len(image.Layers) == 0 || would < layersTold {
		return nil
	}
	found := dockerfile.Finding{Severity: dockerfile.Warning, Rule: "many-layers", Text: fmt.Sprintf(
		"The image would have some %d layers; engines can stack no more than %d. Join RUN instructions with &&.", would, maxLayers)}
	if would > maxLayers {
		found.Severity = dockerfile.Danger
	}
	return []dockerfile.Finding{found}
}

// layersOf counts the instructions of a Dockerfile's last stage that make a layer.
func layersOf(content []byte) (n int) {
	continued := false
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if !continued {
			word, _, _ := strings.Cut(line, " ")
			switch strings.ToUpper(word) {
			case "FROM":
				n = 0
			case "RUN", "COPY", "ADD", "WORKDIR":
				n++
			}
		}
		if line != "" && !strings.HasPrefix(line, "#") {
			continued = strings.HasSuffix(line, "\\")
		}
	}
	return n
}

// dropImages removes the images that were built for a bottle alone, except those to keep: the one that it runs on, and the
// one that it can be put back to. The agent was confirmed to run, so no other is needed; one that can't be removed is left.
func (s *Supervisor) dropImages(ctx context.Context, identity string, keep ...string) {
	images, err := s.ownImages(ctx, identity)
	if err != nil {
		s.cfg.Log.Warn("list a bottle's older images", "identity", identity, "err", err)
		return
	}
	images = slices.DeleteFunc(images, func(ref string) bool { return slices.Contains(keep, ref) })
	if len(images) == 0 || s.audit(identity, "images", map[string]any{"removes": images}) != nil {
		return
	}
	for _, ref := range images {
		if err := s.cfg.Engine.RemoveImage(ctx, ref); err != nil {
			s.cfg.Log.Warn("remove a bottle's older image", "identity", identity, "image", ref, "err", err)
		}
	}
}

// SpareImage is an image that this program made and that no bottle's state names.
type SpareImage struct {
	Ref  string
	Size int64 // bytes, those shared with other images included
}

// SpareImages lists the images that this program made out of itself, and those of profiles that no bottle of the state root
// ran on last. Each can be made again; the engine does not remove one that a container uses. A state that can't be read is
// an error: it may name any of them.
func SpareImages(ctx context.Context, root *state.Root, engine Engine) ([]SpareImage, error) {
	disk := readDisk(root, readBottle)
	if bad := disk.unreadable(); len(bad) > 0 {
		return nil, fmt.Errorf("find out which images no bottle needs: %s: %s", bad[0].Path, bad[0].Err)
	}
	needed := map[string]bool{}
	for _, b := range disk.bottles {
		needed[b.meta.ImageDigest] = true
	}
	var spare []SpareImage
	owners := []string{SharedRoot}
	if root.ID() != "" { // a root that is not there yet; "" would be those of all roots
		owners = append(owners, root.ID())
	}
	for _, owner := range owners {
		refs, err := engine.Images(ctx, owner)
		if err != nil {
			return nil, err
		}
		for _, ref := range slices.Sorted(maps.Keys(refs)) {
			image, err := engine.Image(ctx, ref)
			switch {
			case errors.Is(err, ErrNotFound):
			case err != nil:
				return nil, err
			case refs[ref][LabelIdentity] == "" && !needed[image.ID]:
				spare = append(spare, SpareImage{ref, image.Size})
			}
		}
	}
	return spare, nil
}

// tellAdded has an operation show how many bytes its new image has more than the one that the bottle runs on; 0 where it has
// not more, and where that could not be found out, which ends nothing.
func (s *Supervisor) tellAdded(ctx context.Context, x *execution) int64 {
	meta, err := x.bottle.Metadata()
	var was, is Image
	if err == nil {
		was, err = s.cfg.Engine.Image(ctx, meta.ImageDigest)
	}
	if err == nil {
		is, err = s.cfg.Engine.Image(ctx, x.layout.image)
	}
	if err != nil {
		s.cfg.Log.Debug("compare the sizes of images", "identity", x.layout.identity, "err", err)
		return 0
	}
	added := max(0, is.Size-was.Size)
	s.post(func() {
		if r := s.bottles[x.layout.identity]; r != nil && r.op != nil {
			r.op.view.Added = added
			s.changed()
		}
	})
	return added
}
