package docker

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"bottle-tui/bottles"
)

// blame is err, or what the reader failed with if that is why.
func (s *source) blame(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && s.err != nil {
		return &archiveError{s.err}
	}
	return err
}

// source is a reader that remembers its own failure, so that it is told apart from the engine's, and
// that ends with ctx where it has one.
type source struct {
	r   io.Reader
	ctx context.Context
	mu  sync.Mutex
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if s.ctx != nil && s.ctx.Err() != nil {
		return 0, s.ctx.Err()
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
	}
	return n, err
}

// CopyIn unpacks a tar into dir, which exists in the container. Owners are the archive's numbers. An entry takes the
// place of what has its path, also a directory that of a link or a file, and the other way round: an agent must not be able
// to make its next start impossible by what it leaves in its home.
// What a tmpfs hides is written under it, not into it. When ctx ends, CopyIn returns; a read from
// archive that is under way then goes on until archive gives it an answer.
func (e *Engine) CopyIn(ctx context.Context, name, dir string, archive io.Reader) error {
	what := "copy into " + dir + " of container " + name
	return e.call(ctx, what, func(c *client.Client) error {
		body := &source{r: archive, ctx: ctx}
		err := body.blame(c.CopyToContainer(ctx, name, dir, body, container.CopyToContainerOptions{AllowOverwriteDirWithFile: true}))
		if says(err, "marked read-only") {
			return &failure{what: what, cause: err, hint: "its root file system is read-only: copy into a volume that is mounted there"}
		}
		return err
	})
}

// CopyOut is path as a tar; its entries' names begin with the last element of path. The caller
// closes it.
func (e *Engine) CopyOut(ctx context.Context, name, path string) (io.ReadCloser, error) {
	what := "copy " + path + " out of container " + name
	var out io.ReadCloser
	err := e.call(ctx, what, func(c *client.Client) error {
		body, _, err := c.CopyFromContainer(ctx, name, path)
		if err != nil {
			return err
		}
		out = &stream{ReadCloser: body, explain: func(err error) error { return e.explain(ctx, what, err) }}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// stream is an answer of the engine that is read over time.
type stream struct {
	io.ReadCloser
	explain func(error) error
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = s.explain(err)
	}
	return n, err
}

// maxLinks is how many symbolic links Stat follows.
const maxLinks = 16

// Stat is what is known of a regular file in the container, running or stopped.
func (e *Engine) Stat(ctx context.Context, name, path string) (bottles.FileStat, error) {
	var file bottles.FileStat
	err := e.call(ctx, "look at "+path+" in container "+name, func(c *client.Client) error {
		at := path
		for range maxLinks {
			stat, err := c.ContainerStatPath(ctx, name, at)
			if err != nil {
				if cerrdefs.IsNotFound(err) {
					// The answer to a HEAD has no body to say more with.
					return fmt.Errorf("%w: no container %s, or no %s in it (%w)", bottles.ErrNotFound, name, at, err)
				}
				return err
			}
			switch {
			case stat.Mode&os.ModeSymlink != 0 && stat.LinkTarget != "" && stat.LinkTarget != at:
				at = stat.LinkTarget // the engine has resolved it inside the container
			case !stat.Mode.IsRegular():
				return fmt.Errorf("%s is no regular file (%s)", at, stat.Mode)
			default:
				file = bottles.FileStat{Size: stat.Size, ModTime: stat.Mtime}
				return nil
			}
		}
		return fmt.Errorf("more than %d symbolic links", maxLinks)
	})
	return file, err
}
