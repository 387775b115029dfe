package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/muesli/cancelreader"
	"github.com/spf13/cobra"

	"bottle-tui/bottles"
	"bottle-tui/ui/preflight"
)

// planWidth is how wide a plan is printed, in cells: it fits a mail, and a terminal of 80.
const planWidth = 76

// planFlags say that only the plan is wanted, and how.
type planFlags struct {
	dry    bool
	format string
}

func (f *planFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.dry, "dry-run", false, "print the plan and create nothing")
	cmd.Flags().StringVar(&f.format, "format", "text", "of --dry-run: text or json")
}

func (f *planFlags) check(cmd *cobra.Command) error {
	switch {
	case f.format != "text" && f.format != "json":
		return fmt.Errorf("--format is text or json, not %q", f.format)
	case cmd.Flags().Changed("format") && !f.dry:
		return errors.New("--format is for --dry-run: a start prints its plan as text")
	}
	return nil
}

func (p *program) startCommand() *cobra.Command {
	var plan planFlags
	var cwd, task string
	var yes, skip bool
	cmd := &cobra.Command{
		Use:   "start <agent>",
		Short: "Start a new bottle of an agent of the manifest, after showing what that means",
		Long: "Shows the plan of a new bottle, asks, and starts it. The agent is one of the manifest's, or of the\n" +
			"claude-bottle.json in --cwd. With --cwd the directory is copied into the bottle's workspace, without what\n" +
			"its .bottleignore leaves out; nothing that happens in the bottle changes the directory. ctrl+c cancels a\n" +
			"start and takes back what was made.",
		Example: "  bottle-tui start coder --cwd . --task 'Mend the failing tests.'\n  bottle-tui start coder --dry-run --format json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := plan.check(cmd); err != nil {
				return err
			}
			if cmd.Flags().Changed("cwd") && cwd == "" {
				return errors.New("--cwd names no directory; leave it out for an empty workspace")
			}
			return p.work(func(cmd *cobra.Command, args []string) error {
				launch := bottles.Launch{Agent: args[0], Task: task}
				if cwd != "" {
					dir, err := filepath.Abs(cwd)
					if err != nil {
						return fmt.Errorf("find the directory %s: %w", cwd, err)
					}
					launch.CWD, launch.CopyCWD = dir, true
				}
				if cmd.Flags().Changed("skip-ignored") {
					launch.SkipIgnored = &skip
				}
				return p.start(cmd.Context(), launch, plan, yes)
			})(cmd, args)
		},
	}
	cmd.Flags().StringVar(&cwd, "cwd", "", "directory to copy into the workspace; without it the workspace is empty")
	cmd.Flags().BoolVar(&skip, "skip-ignored", false, "copy --cwd without what git ignores (=false: with it, whatever the manifest says)")
	cmd.Flags().StringVar(&task, "task", "", "first message to the agent; without it the agent waits for you")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	plan.add(cmd)
	return cmd
}

func (p *program) start(ctx context.Context, launch bottles.Launch, flags planFlags, yes bool) error {
	if err := p.needManifest(launch.CWD, launch.Agent); err != nil {
		return err
	}
	config, end, err := p.config(ctx, launch.CWD, flags.dry)
	if err != nil {
		return err
	}
	defer end()
	plan, err := bottles.New(config).Preflight(ctx, launch)
	if err != nil {
		return err
	}
	if err := p.printPlan(plan, flags.format); err != nil {
		return err
	}
	if n := len(plan.Conflicts); n > 0 {
		return fmt.Errorf("%s can't be started: the plan has %s; nothing was created", launch.Agent, conflicts(n))
	}
	if flags.dry {
		return nil
	}
	if !yes {
		if err := p.ask(ctx, "Start this bottle? [y/N] "); err != nil {
			return err
		}
	}
	launch.Identity, launch.Shown = plan.Identity, plan.Shown
	if err := p.carry(ctx, config, plan.Identity, launch); err != nil {
		if _, gone := config.Root.Bottle(plan.Identity); gone != nil || errors.Is(err, context.Canceled) {
			return err
		}
		return fmt.Errorf("%s was not started: %w\nIts state is kept. To try again: %s", plan.Identity, err, p.command("resume "+plan.Identity))
	}
	_, err = fmt.Fprintf(p.out, "%s is live. See it: %s\nOnce it is down, this brings it back:\n%s\n", plan.Identity, p.command(""), p.command("resume "+plan.Identity))
	return err
}

func conflicts(n int) string {
	if n == 1 {
		return "a conflict, with the way out"
	}
	return fmt.Sprintf("%d conflicts, each with the way out", n)
}

func (p *program) printPlan(plan *bottles.Preflight, format string) error {
	if format == "json" {
		e := json.NewEncoder(plainJSON{p.out})
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(plan)
	}
	return preflight.Text(p.out, plan, planWidth)
}

// config is what a command's Supervisor works with; a dry one makes nothing. end gives it all back.
func (p *program) config(ctx context.Context, cwd string, dry bool) (c bottles.Config, end func(), err error) {
	root, engine, err := p.openFor(ctx, dry)
	if err != nil {
		return c, nil, err
	}
	catalog, err := p.catalog(engine, cwd)
	if err != nil {
		_ = engine.Close() // the error says what matters
		return c, nil, err
	}
	end = func() {
		catalog.close()
		_ = engine.Close() // nothing is asked of it any more
	}
	return bottles.Config{Root: root, Engine: engine, Catalog: catalog, Resolve: p.resolver(), Command: p.command, Recover: func(string) bool { return false }}, end, nil
}

// errNo is the operator's answer.
var errNo = errors.New("you said no")

// ask asks the operator whether to create something; nil means yes.
func (p *program) ask(ctx context.Context, question string) error {
	return p.askOr(ctx, question, "nothing was created")
}

// askOr asks the operator; nil means yes. otherwise is what is so without one.
func (p *program) askOr(ctx context.Context, question, otherwise string) error {
	if !p.terminal {
		return fmt.Errorf("there is no terminal to ask on: give --yes to go on unasked, or --dry-run to see the plan only; %s", otherwise)
	}
	no := fmt.Errorf("%w; %s", errNo, otherwise)
	fmt.Fprintf(p.err, "\n%s", question)
	in, err := cancelreader.NewReader(p.in)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	defer in.Close()
	stop := context.AfterFunc(ctx, func() { in.Cancel() })
	defer stop()
	answer, err := bufio.NewReader(in).ReadString('\n')
	switch {
	case ctx.Err() != nil:
		fmt.Fprintf(p.err, "\n%s\n", otherwise)
		return ctx.Err()
	case err != nil && answer == "":
		fmt.Fprintln(p.err)
		return no
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return no
}

// flags are those to repeat in a command that is suggested; it may be given in another directory.
func (p *program) flags() string {
	flags := p.homeFlag()
	if p.manifest != "" {
		flags += " --manifest " + quoted(absolute(p.manifest))
	}
	return flags
}

// command writes a command of this program to be typed, with the flags that this one was given.
func (p *program) command(args string) string {
	if args != "" {
		args = " " + args
	}
	return p.called() + args + p.flags()
}

// called is the program as whoever called it would call it again.
func (p *program) called() string {
	if p.name == "" {
		return "bottle-tui"
	}
	return quoted(p.name)
}

// absolute is a path from the root.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path // the directory that it starts from is gone
}

// quoted is a word of a command as a shell takes it.
func quoted(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
