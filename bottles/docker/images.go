package docker

import (
	"context"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
)

// Images lists the references of the images that were built for the state root, or with "" for any, with their labels.
func (e *Engine) Images(ctx context.Context, root string) (map[string]map[string]string, error) {
	refs := map[string]map[string]string{}
	err := e.call(ctx, "list the images of state root "+root, func(c *client.Client) error {
		mine := filters.NewArgs(labelled(root))
		images, err := c.ImageList(ctx, image.ListOptions{Filters: mine})
		if err != nil {
			return err
		}
		for _, i := range images {
			for _, ref := range i.RepoTags {
				refs[ref] = i.Labels
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return refs, nil
}
