package docker

import (
	"context"
	"fmt"
	"maps"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"

	"bottle-tui/bottles"
)

// CreateVolume makes a named volume. One that exists with the same labels is left as it is; with
// others it is somebody else's: ErrNameInUse.
func (e *Engine) CreateVolume(ctx context.Context, name string, labels map[string]string) error {
	what := "create volume " + name
	return e.call(ctx, what, func(c *client.Client) error {
		v, err := c.VolumeCreate(ctx, volume.CreateOptions{Name: name, Driver: "local", Labels: labels})
		if err != nil {
			return err
		}
		if !maps.Equal(v.Labels, labels) {
			return &failure{what: what, kind: bottles.ErrNameInUse,
				cause: fmt.Errorf("there is already a volume of that name, made %s with the labels %v", v.CreatedAt, v.Labels),
				hint:  "look at it (docker volume inspect " + name + ") and remove it if nobody needs it"}
		}
		return nil
	})
}

// RemoveVolume removes a volume; nil when there is none.
func (e *Engine) RemoveVolume(ctx context.Context, name string) error {
	return e.call(ctx, "remove volume "+name, func(c *client.Client) error {
		err := c.VolumeRemove(ctx, name, false)
		if err == nil || cerrdefs.IsNotFound(err) {
			return nil
		}
		// Two removals at once: the one that came second may be told of the first one's doings.
		if _, inspectErr := c.VolumeInspect(ctx, name); cerrdefs.IsNotFound(inspectErr) {
			return nil
		}
		return err
	})
}
