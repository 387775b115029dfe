package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/client"

	"bottle-tui/bottles"
)

// cancelTimeout bounds how long the engine may take to hear that a build is given up.
const cancelTimeout = 2 * time.Second

// Build builds spec. progress is called from one goroutine, and not after Build has returned. When ctx
// ends, the engine is told to stop the build.
func (e *Engine) Build(ctx context.Context, spec bottles.BuildSpec, progress func(bottles.BuildProgress)) (bottles.Image, error) {
	what := "build image " + spec.Tag
	if progress == nil {
		progress = func(bottles.BuildProgress) {}
	}
	var out bottles.Image
	err := e.call(ctx, what, func(c *client.Client) error {
		switch spec.Network {
		case "", "none", "default", "host":
		default:
			return fmt.Errorf("a build has no network %q; it can be none, default or host", spec.Network)
		}
		log := newBuildLog(progress)
		err := runBuild(ctx, c, spec, build.BuilderBuildKit, log)
		if err != nil && ctx.Err() == nil && !log.spoke && noBuildKit(err) {
			err = runBuild(ctx, c, spec, build.BuilderV1, log)
		}
		log.flush()
		if err != nil {
			if ctx.Err() != nil || isGone(err) || cerrdefs.IsUnavailable(err) {
				return err
			}
			if log.at != "" {
				what += ", in " + log.at
			}
			f := &failure{what: what, cause: err, kind: bottles.ErrBuild}
			if says(err, "max depth exceeded") {
				f.hint = "the image would have more layers than the engine can stack, some 125: each RUN, COPY and ADD is one, besides those of the base; join RUN instructions with &&, or start from another base"
			}
			return f
		}
		ref := log.image
		if ref == "" {
			ref = spec.Tag
		}
		have, err := c.ImageInspect(ctx, ref)
		if cerrdefs.IsNotFound(err) && ref != spec.Tag {
			have, err = c.ImageInspect(ctx, spec.Tag)
		}
		if err != nil {
			return fmt.Errorf("the build ended well, but the image is not there: %w", err)
		}
		out = asImage(have)
		return nil
	})
	return out, err
}

// noBuildKit says that the engine refused a build because it has only the classic builder.
func noBuildKit(err error) bool {
	return cerrdefs.IsNotImplemented(err) ||
		says(err, "buildkit") && says(err, "not supported", "not enabled", "disabled", "not available", "unsupported")
}

// runBuild runs one build with one builder.
func runBuild(ctx context.Context, c *client.Client, spec bottles.BuildSpec, version build.BuilderVersion, log *buildLog) error {
	files, err := dockerfileArchive(spec.Dockerfile)
	if err != nil {
		return err
	}
	id := "bottle-tui-" + rand.Text()
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		// The end of the connection stops a build too, but not every engine hears of it at once.
		defer close(told)
		cancelCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
		defer cancel()
		_ = c.BuildCancel(cancelCtx, id)
	})
	defer func() {
		if !stop() {
			<-told
		}
	}()
	resp, err := c.ImageBuild(ctx, files, build.ImageBuildOptions{
		Version: version, BuildID: id, Tags: []string{spec.Tag}, Labels: spec.Labels,
		Dockerfile: "Dockerfile", NetworkMode: spec.Network, NoCache: spec.NoCache,
		Remove: true, ForceRemove: true,
	})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return messages(resp.Body, log.add)
}

// dockerfileArchive is the context of a build: the Dockerfile alone, always the same bytes.
func dockerfileArchive(content []byte) (*bytes.Reader, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(0, 0)})
	if err == nil {
		_, err = w.Write(content)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("pack the Dockerfile: %w", err)
	}
	return bytes.NewReader(b.Bytes()), nil
}

// imageID reads the ID of the image that a build made.
func imageID(aux json.RawMessage) string {
	var result build.Result
	if json.Unmarshal(aux, &result) != nil {
		return ""
	}
	return result.ID
}
