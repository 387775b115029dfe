package docker

import (
	"context"
	"slices"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
)

// untagged is what an engine calls an image without a reference; from API 1.43 on it names none.
const untagged = "<none>:<none>"

// Images lists the references of the images that were built for the state root, or with "" for any, with their labels. One
// that lost its reference to a newer image is listed by its ID.
func (e *Engine) Images(ctx context.Context, root string) (map[string]map[string]string, error) {
	refs := map[string]map[string]string{}
	err := e.call(ctx, "list the images of state root "+root, func(c *client.Client) error {
		mine := filters.NewArgs(labelled(root))
		images, err := c.ImageList(ctx, image.ListOptions{Filters: mine})
		if err != nil {
			return err
		}
		for _, i := range images {
			tags := slices.DeleteFunc(i.RepoTags, func(ref string) bool { return ref == untagged })
			if len(tags) == 0 {
				tags = []string{i.ID}
			}
			for _, ref := range tags {
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
