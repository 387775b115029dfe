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
	var plan planFlags
	var yes bool
	cmd := &cobra.Command{
		Use:   "resume <identity>",
		Short: "Bring a bottle that is down back: same identity, conversation and workspace",
		Long: "Brings a bottle that is down back, in its profile as the manifest has it now and with the grants that it\n" +
			"still has. It asks, with the plan, only when the manifest has put the agent into another profile since, or\n" +
			"when the plan has a notice that needs a yes, such as a workspace that is gone.\n" +
			"--dry-run shows the plan.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := plan.check(cmd); err != nil {
				return err
			}
			return p.work(func(cmd *cobra.Command, args []string) error {
				return p.resume(cmd.Context(), args[0], plan, yes)
			})(cmd, args)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	plan.add(cmd)
	return cmd
}

func (p *program) resume(ctx context.Context, identity string, flags planFlags, yes bool) error {
	config, end, err := p.config(ctx, "", flags.dry || p.bare())
	if err != nil {
		return err
	}
	defer end()
	if _, err := config.Root.Bottle(identity); err != nil {
		return fmt.Errorf("%w; %s", err, known(config.Root))
	}
	plan, err := bottles.New(config).Preflight(ctx, bottles.Resume{Identity: identity})
	if err != nil {
		return err
	}
	asks := plan.Was != "" || plan.Asks() != ""
	if flags.dry || asks {
		if err := p.printPlan(plan, flags.format); err != nil {
			return err
		}
	}
	if len(plan.Conflicts) > 0 {
		return fmt.Errorf("%s can't be resumed, and nothing was created:\n%s", identity, listConflicts(plan.Conflicts))
	}
	if flags.dry {
		return nil
	}
	if asks && !yes {
		question := "Resume this bottle? [y/N] "
		if plan.Was != "" {
			question = "Resume this bottle in the profile " + queue.Visible(plan.Profile) + "? [y/N] "
		}
		if err := p.ask(ctx, question); err != nil {
			return err
		}
	}
	if err := p.carry(ctx, config, identity, plan.Yes()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "%s is live. See it: bottle-tui%s\n", identity, p.flags())
	return err
}

// listConflicts is a line for each conflict, with what to do.
func listConflicts(all []bottles.Conflict) string {
	var lines []string
	for _, c := range all {
		line := "  " + queue.Visible(c.What)
		if c.Fix != "" {
			line += "; to do: " + queue.Visible(c.Fix)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// known says which bottles there are, for somebody who named one that is not.
func known(root *state.Root) string {
	all, bad := root.List()
	switch {
	case len(all) == 0 && len(bad) > 0:
		return "which there are can't be said: " + queue.Visible(bad[0].Path+": "+bad[0].Err)
	case len(all) == 0:
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
	return " --home " + quoted(absolute(p.home))
}
