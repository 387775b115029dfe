package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/state"
)

func (p *program) resumeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "resume <identity>",
		Short: "Bring a bottle that is down back: same identity, conversation and workspace",
		Args:  cobra.ExactArgs(1),
		RunE: p.work(func(cmd *cobra.Command, args []string) error {
			ctx, identity := cmd.Context(), args[0]
			root, engine, err := p.open(ctx)
			if err != nil {
				return err
			}
			defer engine.Close()
			if _, err := root.Bottle(identity); err != nil {
				return fmt.Errorf("%w; %s", err, known(root))
			}
			c := &catalog{engine: engine}
			defer c.close()
			config := bottles.Config{
				Root: root, Engine: engine, Catalog: c,
				Recover: func(id string) bool { return id == identity },
			}
			return p.supervise(ctx, config, func(ctx context.Context, s *bottles.Supervisor) error {
				if err := s.Ready(ctx); err != nil {
					return err
				}
				done, err := s.Start(ctx, bottles.Resume{Identity: identity})
				if err != nil {
					return err
				}
				if err := p.follow(ctx, s, identity, done); err != nil {
					return err
				}
				_, err = fmt.Fprintf(p.out, "%s is live. See it: bottle-tui%s\n", identity, p.homeFlag())
				return err
			})
		}),
	}
}

// follow tells what is being done to a bottle, a line for each change, until it is done.
func (p *program) follow(ctx context.Context, s *bottles.Supervisor, identity string, done <-chan error) error {
	last := ""
	for {
		select {
		case u, ok := <-s.Updates():
			if !ok {
				return ctx.Err()
			}
			for _, b := range u.Snapshot.Bottles {
				if b.Identity == identity && b.Operation != nil && b.Status != bottles.Failed && b.Operation.Step != last {
					last = b.Operation.Step
					fmt.Fprintf(p.err, "%s: %s\n", identity, queue.Visible(last))
				}
			}
		case err := <-done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// known says which bottles there are, for somebody who named one that is not.
func known(root *state.Root) string {
	all, _ := root.List()
	if len(all) == 0 {
		return "there are no bottles in " + root.Dir()
	}
	var names []string
	for _, b := range all {
		names = append(names, b.Identity())
	}
	return "there are: " + strings.Join(names, ", ")
}

// homeFlag is the flag to repeat in a command that is suggested.
func (p *program) homeFlag() string {
	if p.home == "" {
		return ""
	}
	return " --home " + p.home
}
