package docker

import (
	"context"
	"fmt"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/client"

	"bottle-tui/bottles"
)

// DiskUsage measures the volumes that have LabelRoot, and what of the build cache no image is made of. Engines before API
// 1.42 measure all that they have for it.
func (e *Engine) DiskUsage(ctx context.Context) (bottles.DiskUsage, error) {
	var out bottles.DiskUsage
	err := e.call(ctx, "measure what is on the engine's disk", func(c *client.Client) error {
		used, err := c.DiskUsage(ctx, types.DiskUsageOptions{Types: []types.DiskUsageObject{types.VolumeObject, types.BuildCacheObject}})
		if says(err, "error retrieving disk usage") {
			err = &brokenError{err}
		}
		if err != nil {
			return err
		}
		for _, v := range used.Volumes {
			if v.Labels[bottles.LabelRoot] == "" {
				continue
			}
			if v.UsageData == nil || v.UsageData.Size < 0 {
				return fmt.Errorf("the engine does not tell the size of volume %s", v.Name)
			}
			out.Volumes = append(out.Volumes, bottles.VolumeSize{Volume: bottles.Volume{Name: v.Name, Labels: v.Labels}, Size: v.UsageData.Size})
		}
		for _, r := range used.BuildCache {
			if !r.InUse && !r.Shared {
				out.BuildCache += r.Size
			}
		}
		return nil
	})
	return out, err
}
