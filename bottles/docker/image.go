package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"bottle-tui/bottles"
)

// Image finds an image by reference or ID.
func (e *Engine) Image(ctx context.Context, ref string) (bottles.Image, error) {
	var out bottles.Image
	err := e.call(ctx, "look for image "+ref, func(c *client.Client) error {
		i, err := c.ImageInspect(ctx, ref)
		if err != nil {
			return err
		}
		out = asImage(i)
		return nil
	})
	return out, err
}

func asImage(i image.InspectResponse) bottles.Image {
	out := bottles.Image{ID: i.ID, Layers: i.RootFS.Layers, Size: i.Size}
	if i.Config != nil {
		out.Labels, out.User = i.Config.Labels, i.Config.User
	}
	return out
}

// Import makes the image ref out of one layer. It loads an archive in the form of docker save (Docker
// Image Specification v1.2) that it makes up, rather than use the engine's import: that one takes the
// configuration as lines of a Dockerfile, in which not every value can be written, and gives a new
// image ID each time. So the ID depends on rootfs, config and the engine's platform alone, and what the
// engine has already is not sent again.
//
// rootfs is kept in a temporary file meanwhile: its digest has to be known before it is sent.
func (e *Engine) Import(ctx context.Context, ref string, rootfs io.Reader, config bottles.ImageConfig) (bottles.Image, error) {
	var out bottles.Image
	err := e.call(ctx, "import image "+ref, func(c *client.Client) error {
		named, err := reference.ParseNormalizedNamed(ref)
		if err != nil {
			return fmt.Errorf("%q is no image reference: %w", ref, err)
		}
		tag := reference.FamiliarString(reference.TagNameOnly(named))
		layer, err := spool(ctx, rootfs)
		if err != nil {
			return err
		}
		defer layer.discard()
		v, err := c.ServerVersion(ctx)
		if err != nil {
			return err
		}
		conf, err := imageConfig(v.Os, v.Arch, layer.digest, config)
		if err != nil {
			return err
		}
		if have, err := c.ImageInspect(ctx, tag); err == nil && have.ID == digest.FromBytes(conf).String() {
			out = asImage(have)
			return nil
		} else if err != nil && !cerrdefs.IsNotFound(err) {
			return err
		}
		if err := load(ctx, c, tag, conf, layer); err != nil {
			return err
		}
		have, err := c.ImageInspect(ctx, tag)
		if err != nil {
			return fmt.Errorf("the engine took it and does not have it: %w", err)
		}
		out = asImage(have)
		return nil
	})
	return out, err
}

// imageConfig is an image's configuration file. It holds no time, so that equal images are equal.
func imageConfig(goos, arch string, diff digest.Digest, config bottles.ImageConfig) ([]byte, error) {
	epoch := time.Unix(0, 0).UTC()
	return json.Marshal(ocispec.Image{
		Created:  &epoch,
		Platform: ocispec.Platform{OS: goos, Architecture: arch},
		Config: ocispec.ImageConfig{Entrypoint: config.Entrypoint, Cmd: config.Cmd, Env: config.Env,
			User: config.User, WorkingDir: config.WorkingDir, Labels: config.Labels},
		RootFS:  ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diff}},
		History: []ocispec.History{{Created: &epoch, CreatedBy: "bottle-tui"}},
	})
}

// load sends an archive of one image to the engine.
func load(ctx context.Context, c *client.Client, tag string, conf []byte, layer *spooled) error {
	confName := digest.FromBytes(conf).Encoded() + ".json"
	layerName := layer.digest.Encoded() + "/layer.tar"
	manifest, err := json.Marshal([]map[string]any{{"Config": confName, "RepoTags": []string{tag}, "Layers": []string{layerName}}})
	if err != nil {
		return err
	}
	var head, tail bytes.Buffer
	w := tar.NewWriter(&head)
	for _, f := range []struct {
		name    string
		content []byte
	}{{"manifest.json", manifest}, {confName, conf}} {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.content))}); err != nil {
			return err
		}
		if _, err := w.Write(f.content); err != nil {
			return err
		}
	}
	if err := w.WriteHeader(&tar.Header{Name: layerName, Mode: 0o644, Size: layer.size}); err != nil {
		return err
	}
	// The layer goes from the file as it is; a tar's padding and end follow it.
	tail.Write(make([]byte, (512-layer.size%512)%512+1024))
	if _, err := layer.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	body := &source{r: io.MultiReader(&head, io.LimitReader(layer.file, layer.size), &tail)}
	resp, err := c.ImageLoad(ctx, body, client.ImageLoadWithQuiet(true))
	if err != nil {
		return body.blame(err)
	}
	defer resp.Body.Close()
	return body.blame(messages(resp.Body, func(m message) error { return m.failed() }))
}

// spooled is a layer in a temporary file.
type spooled struct {
	file   *os.File
	size   int64
	digest digest.Digest
}

// spool reads r to its end.
func spool(ctx context.Context, r io.Reader) (*spooled, error) {
	file, err := os.CreateTemp("", "bottle-tui-layer-*.tar")
	if err != nil {
		return nil, &archiveError{fmt.Errorf("%w; make room in the directory for temporary files, or set TMPDIR", err)}
	}
	s := &spooled{file: file}
	hash := sha256.New()
	s.size, err = io.Copy(io.MultiWriter(file, hash), &source{r: r, ctx: ctx})
	if err != nil {
		s.discard()
		return nil, &archiveError{err}
	}
	s.digest = digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(hash.Sum(nil)))
	return s, nil
}

func (s *spooled) discard() {
	_ = s.file.Close()
	_ = os.Remove(s.file.Name())
}

// RemoveImage removes the reference, and the image with its last reference; nil when there is none.
func (e *Engine) RemoveImage(ctx context.Context, ref string) error {
	what := "remove image " + ref
	return e.call(ctx, what, func(c *client.Client) error {
		_, err := c.ImageRemove(ctx, ref, image.RemoveOptions{PruneChildren: true})
		switch {
		case err == nil || cerrdefs.IsNotFound(err):
			return nil
		case cerrdefs.IsConflict(err):
			if _, inspectErr := c.ImageInspect(ctx, ref); cerrdefs.IsNotFound(inspectErr) {
				return nil
			}
			return &failure{what: what, cause: err, hint: "remove the containers that use it first"}
		}
		return err
	})
}
