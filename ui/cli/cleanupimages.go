package cli

import (
	"context"
	"errors"
	"fmt"

	"bottle-tui/bottles"
	"bottle-tui/bottles/workspace"
	"bottle-tui/queue"
)

// cleanupImages names the images that this program made and no bottle needs, asks, and removes those that no container
// uses. What is needed again is made again.
func (p *program) cleanupImages(ctx context.Context, dry, yes bool) error {
	root, engine, err := p.openFor(ctx, dry || p.bare())
	if err != nil {
		return err
	}
	defer engine.Close()
	spare, err := bottles.SpareImages(ctx, root, engine)
	if err != nil {
		return err
	}
	for _, image := range spare {
		fmt.Fprintf(p.out, "image %s: %s\n", queue.Visible(image.Ref), workspace.Size(image.Size))
	}
	switch {
	case len(spare) == 0:
		fmt.Fprintln(p.out, "There are no images that no bottle needs.")
		return p.tellBuildCache(ctx, engine)
	case dry:
		fmt.Fprintln(p.out, "Those of these that no container uses would be removed; nothing was.")
		return p.tellBuildCache(ctx, engine)
	}
	if !yes {
		if err := p.askOr(ctx, "Remove those of these that no container uses? [y/N] ", "nothing was removed"); err != nil {
			return err
		}
	}
	for _, image := range spare {
		if err := engine.RemoveImage(ctx, image.Ref); err != nil {
			fmt.Fprintf(p.out, "kept image %s: %s\n", queue.Visible(image.Ref), queue.Visible(err.Error()))
			continue
		}
		fmt.Fprintf(p.out, "removed image %s\n", queue.Visible(image.Ref))
	}
	return errors.Join(ctx.Err(), p.tellBuildCache(ctx, engine))
}

// tellBuildCache says how much of the engine's build cache no image needs. Its records name neither who built nor for whom,
// so that those of bottles can't be told from others', and none is removed.
func (p *program) tellBuildCache(ctx context.Context, engine bottles.Engine) error {
	ctx, cancel := context.WithTimeout(ctx, usageWithin)
	defer cancel()
	used, err := engine.DiskUsage(ctx)
	if err != nil {
		return err
	}
	if used.BuildCache > 0 {
		fmt.Fprintf(p.out, "The engine's build cache holds %s that no image needs, of all who build there. bottle-tui does not remove it: docker builder prune does.\n", workspace.Size(used.BuildCache))
	}
	return nil
}
