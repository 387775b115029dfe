package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/state"
)

func (p *program) cleanupCommand() *cobra.Command {
	var dry, yes, images bool
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove what bottles without a state left on the engine",
		Long: "Lists the containers, networks and volumes of bottles that have no state any more, asks, and removes exactly\n" +
			"these. A workspace is among them and is named. While something in the state root can't be read nothing is removed:\n" +
			"a bottle may be behind it.",
		Args: cobra.NoArgs,
		RunE: p.work(func(cmd *cobra.Command, _ []string) error {
			if images {
				return p.cleanupImages(cmd.Context(), dry, yes)
			}
			return p.cleanup(cmd.Context(), dry, yes)
		}),
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would be removed and remove nothing")
	cmd.Flags().BoolVar(&images, "images", false, "instead, the images that this program made and no bottle needs")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (p *program) cleanup(ctx context.Context, dry, yes bool) error {
	root, engine, err := p.openFor(ctx, dry || p.bare())
	if err != nil {
		return err
	}
	defer engine.Close()
	snap, err := bottles.Survey(ctx, root, engine, time.Now())
	if err != nil {
		return err
	}
	var c bottles.Cleanup
	for _, b := range snap.Bottles {
		if b.Status != bottles.Orphan {
			continue
		}
		c.Identities, c.Objects = append(c.Identities, b.Identity), append(c.Objects, b.Objects...)
		for _, object := range b.Objects {
			fmt.Fprintf(p.out, "%s: %s\n", queue.Visible(b.Identity), queue.Visible(object))
		}
	}
	switch {
	case len(c.Identities) == 0:
		fmt.Fprintln(p.out, "There are no orphans.")
		return p.readable(root)
	case dry:
		fmt.Fprintln(p.out, "These would be removed; nothing was.")
		return p.readable(root)
	}
	if err := p.readable(root); err != nil {
		return err
	}
	if !yes {
		if err := p.askOr(ctx, "Remove these for good? [y/N] ", "nothing was removed"); err != nil {
			return err
		}
	}
	catalog := &demoCatalog{engine: engine}
	defer catalog.close()
	config := bottles.Config{Root: root, Engine: engine, Catalog: catalog, Recover: func(string) bool { return false }}
	return p.supervise(ctx, config, func(ctx context.Context, s *bottles.Supervisor) error {
		if err := s.Ready(ctx); err != nil {
			return err
		}
		done, err := s.Start(ctx, c)
		if err != nil {
			return err
		}
		if err := p.follow(ctx, s, "", done); err != nil {
			return err
		}
		_, err = fmt.Fprintln(p.out, "They are removed.")
		return err
	})
}

// readable tells what of the state root can't be read, and fails then: nothing is cleaned up.
func (p *program) readable(root *state.Root) error {
	bad := bottles.Unreadable(root)
	for _, problem := range bad {
		fmt.Fprintf(p.err, "bottle-tui: %s: %s\n", queue.Visible(problem.Path), queue.Visible(problem.Err))
	}
	if len(bad) == 0 {
		return nil
	}
	return errors.New("nothing was removed: what is named above can't be read, and a bottle may be behind it; mend it, or move it away, and try again")
}
