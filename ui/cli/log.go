package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/state"
)

// gates are what `log --gate` may name.
var gates = map[string]bottles.Role{"egress": bottles.RoleEgress, "cred-proxy": bottles.RoleCredProxy, "git": bottles.RoleGitGate}

func (p *program) logCommand() *cobra.Command {
	var gate, format string
	var follow bool
	cmd := &cobra.Command{
		Use:   "log <identity>",
		Short: "List what a bottle's gates let through and refused",
		Long: "log lists what the gates of a bottle told: egress, cred-proxy and git-gate; what was granted, and when that ended.\n" +
			"What the running sidecars' logs don't reach back to comes from the audit log, where everything alike is one line with a\n" +
			"count.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return fmt.Errorf("--format is text or json, not %q", format)
			}
			if _, ok := gates[gate]; gate != "" && !ok {
				return fmt.Errorf("--gate is egress, cred-proxy or git, not %q", gate)
			}
			return p.work(func(cmd *cobra.Command, args []string) error {
				return p.gateLog(cmd.Context(), args[0], gateLog{out: p.out, note: p.err, only: gates[gate], json: format == "json"}, follow)
			})(cmd, args)
		},
	}
	cmd.Flags().StringVar(&gate, "gate", "", "only one gate: egress, cred-proxy or git")
	cmd.Flags().BoolVar(&follow, "follow", false, "go on until the bottle ends or ctrl-c")
	cmd.Flags().StringVar(&format, "format", "text", "text or json (an object a line)")
	return cmd
}

// gateLog tells what a bottle's gates told.
type gateLog struct {
	out, note io.Writer
	engine    bottles.Engine
	root      *state.Root
	identity  string
	only      bottles.Role // "": all
	json      bool
}

func (p *program) gateLog(ctx context.Context, identity string, g gateLog, follow bool) error {
	root, engine, err := p.openReadOnly(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	if _, err := root.Bottle(identity); err != nil {
		return fmt.Errorf("%w; %s", err, known(root))
	}
	g.root, g.engine, g.identity = root, engine, identity
	return g.tell(ctx, follow)
}

// tell prints what was told so far and, with follow, what is told from then on.
func (g gateLog) tell(ctx context.Context, follow bool) error {
	audit := bottles.NewHistory(g.root, g.identity)
	history, err := audit.Next()
	if err != nil {
		return err
	}
	have, err := bottles.ObserveRoot(ctx, g.engine, g.root)
	if err != nil {
		// What was written down is worth having without the engine; the exit code tells.
		return errors.Join(g.printAll(history), err)
	}
	there, running, lacks := gatesIn(have, g.identity, g.only)
	ears, err := g.read(ctx, there)
	if err != nil {
		return err
	}
	logs := map[bottles.Role]*bottles.GateLog{}
	for _, e := range ears {
		logs[e.role] = &e.log
	}
	if err := g.printAll(bottles.WithLogs(history, logs)); err != nil {
		return err
	}
	switch {
	case lacks && follow:
		return fmt.Errorf("this bottle has no %s", g.only)
	case lacks:
		_, err := fmt.Fprintf(g.note, "bottle-tui: this bottle has no %s\n", g.only)
		return err
	case !follow:
		return nil
	case !running:
		return errors.New("the bottle is down: there is nothing to follow")
	}
	return g.follow(ctx, audit, ears)
}

// gatesIn are the containers of a bottle's gates, by role. running says whether one of them does, and may so go on to
// tell; lacks that the bottle has some, and not the one that is asked for.
func gatesIn(have bottles.Observed, identity string, only bottles.Role) (found map[bottles.Role]string, running, lacks bool) {
	found = map[bottles.Role]string{}
	others := false
	for _, c := range have.Containers {
		role := bottles.Role(c.Labels[bottles.LabelRole])
		if c.Labels[bottles.LabelIdentity] != identity {
			continue
		}
		for _, gate := range gates {
			switch {
			case role.Gate() != gate:
			case only != "" && gate != only:
				others = true
			default:
				found[role] = c.Name
				running = running || c.State == bottles.StateRunning || c.State == bottles.StatePaused || c.State == bottles.StateRestarting
			}
		}
	}
	return found, running, others && len(found) == 0
}

func (g gateLog) printAll(all []bottles.Passage) error {
	for _, x := range all {
		if err := g.print(x); err != nil {
			return err
		}
	}
	return nil
}

// print prints one, unless it is of another gate than the one that is asked for.
func (g gateLog) print(x bottles.Passage) error {
	if g.only != "" && x.Gate != g.only && x.Verdict != bottles.More {
		return nil
	}
	if g.json {
		return json.NewEncoder(plainJSON{g.out}).Encode(x)
	}
	at := x.Last.Local().Format("2006-01-02 15:04:05")
	if x.Verdict == bottles.More {
		_, err := fmt.Fprintf(g.out, "%s  %d more, too many to be told apart\n", at, x.Count)
		return err
	}
	times, why := "", ""
	if x.Count > 1 {
		times = fmt.Sprintf("  ×%d", x.Count)
	}
	if x.Why != "" {
		why = "  " + queue.Visible(x.Why)
	}
	what := queue.Visible(x.What)
	if x.Gate == bottles.RoleGitGate && x.Via != "" {
		what = queue.Visible(x.Via) + " " + what
	}
	_, err := fmt.Fprintf(g.out, "%s  %-10s  %-7s  %s%s%s\n", at, x.Gate, x.Verdict, what, times, why)
	return err
}
