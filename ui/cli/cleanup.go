package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"bottle-tui/bottles"
	"bottle-tui/queue"
)

func (p *program) cleanupCommand() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove what bottles without a state left on the engine",
		Args:  cobra.NoArgs,
		RunE: p.work(func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			root, engine, err := p.open(ctx)
			if err != nil {
				return err
			}
			defer engine.Close()
			snap, err := bottles.Survey(ctx, root, engine, time.Now())
			if err != nil {
				return err
			}
			var orphans []string
			for _, b := range snap.Bottles {
				if b.Status != bottles.Orphan {
					continue
				}
				orphans = append(orphans, b.Identity)
				for _, object := range b.Objects {
					fmt.Fprintf(p.out, "%s: %s\n", queue.Visible(b.Identity), queue.Visible(object))
				}
			}
			switch {
			case len(orphans) == 0:
				fmt.Fprintln(p.out, "There are no orphans.")
				return nil
			case dry:
				fmt.Fprintln(p.out, "These would be removed; nothing was.")
				return nil
			}
			c := &demoCatalog{engine: engine}
			defer c.close()
			config := bottles.Config{Root: root, Engine: engine, Catalog: c, Recover: func(string) bool { return false }}
			return p.supervise(ctx, config, func(ctx context.Context, s *bottles.Supervisor) error {
				if err := s.Ready(ctx); err != nil {
					return err
				}
				done, err := s.Start(ctx, bottles.Cleanup{Identities: orphans})
				if err != nil {
					return err
				}
				if err := p.follow(ctx, s, "", done); err != nil {
					return err
				}
				_, err = fmt.Fprintln(p.out, "They are removed.")
				return err
			})
		}),
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would be removed and remove nothing")
	return cmd
}
