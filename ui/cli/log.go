package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"bottle-tui/bottles"
	"bottle-tui/queue"
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
			"What is older than the running sidecars comes from the audit log, where everything alike is one line with a count.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return fmt.Errorf("--format is text or json, not %q", format)
			}
			if _, ok := gates[gate]; gate != "" && !ok {
				return fmt.Errorf("--gate is egress, cred-proxy or git, not %q", gate)
			}
			return p.work(func(cmd *cobra.Command, args []string) error {
				return p.gateLog(cmd.Context(), args[0], gates[gate], follow, format == "json")
			})(cmd, args)
		},
	}
	cmd.Flags().StringVar(&gate, "gate", "", "only one gate: egress, cred-proxy or git")
	cmd.Flags().BoolVar(&follow, "follow", false, "go on until the bottle ends or ctrl-c")
	cmd.Flags().StringVar(&format, "format", "text", "text or json (an object a line)")
	return cmd
}

// gateLog prints what a bottle's gates told.
func (p *program) gateLog(ctx context.Context, identity string, only bottles.Role, follow, asJSON bool) error {
	root, engine, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	if _, err := root.Bottle(identity); err != nil {
		return fmt.Errorf("%w; %s", err, known(root))
	}
	history, err := bottles.GateHistory(root, identity)
	if err != nil {
		return err
	}
	have, err := engine.Observe(ctx, root.ID())
	if err != nil {
		// What was written down is worth having without the engine; the exit code tells.
		return errors.Join(p.printPassages(history, only, asJSON), err)
	}
	running, since := liveGates(have, identity, only)
	older := slices.DeleteFunc(history, func(x bottles.Passage) bool {
		return !since.IsZero() && x.Last.After(since) && x.Verdict != bottles.Granted && x.Verdict != bottles.Closed
	})
	now, err := readGates(ctx, engine, running)
	if err != nil {
		return err
	}
	all := append(older, now...)
	slices.SortStableFunc(all, func(a, b bottles.Passage) int { return a.Last.Compare(b.Last) })
	if err := p.printPassages(all, only, asJSON); err != nil || !follow {
		return err
	}
	var last time.Time
	if len(now) > 0 {
		last = now[len(now)-1].Last
	}
	return p.followGates(ctx, engine, running, last, asJSON)
}

// liveGates are the containers of a bottle's gates, by role, and when the first of them was made.
func liveGates(have bottles.Observed, identity string, only bottles.Role) (map[bottles.Role]string, time.Time) {
	found := map[bottles.Role]string{}
	var since time.Time
	for _, c := range have.Containers {
		role := bottles.Role(c.Labels[bottles.LabelRole])
		if c.Labels[bottles.LabelIdentity] != identity || only != "" && role.Gate() != only {
			continue
		}
		for _, gate := range gates {
			if role.Gate() == gate {
				found[role] = c.Name
				if since.IsZero() || c.CreatedAt.Before(since) {
					since = c.CreatedAt
				}
			}
		}
	}
	return found, since
}

// readGates reads what the gates' containers have said so far, in the order of time.
func readGates(ctx context.Context, engine bottles.Engine, running map[bottles.Role]string) ([]bottles.Passage, error) {
	var out []bottles.Passage
	for role, name := range running {
		err := listen(ctx, engine, role, name, false, func(x bottles.Passage) error { out = append(out, x); return nil })
		if err != nil && !errors.Is(err, bottles.ErrNotFound) {
			return nil, err
		}
	}
	slices.SortStableFunc(out, func(a, b bottles.Passage) int { return a.Last.Compare(b.Last) })
	return out, nil
}

// listen gives every passage that a gate's container told of to say.
func listen(ctx context.Context, engine bottles.Engine, role bottles.Role, name string, follow bool, say func(bottles.Passage) error) error {
	r, err := engine.Logs(ctx, name, 0, follow)
	if err != nil {
		return err
	}
	defer r.Close()
	lines := bufio.NewReaderSize(r, 64<<10)
	for cut := false; ; {
		b, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			cut = true // no gate says so much in a line; its end must not pass for one
			continue
		}
		if !cut {
			for _, x := range bottles.PassagesIn(role, b) {
				if err := say(x); err != nil {
					return err
				}
			}
		}
		cut = false
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// followGates prints what comes after last until the gates end or ctx does.
func (p *program) followGates(ctx context.Context, engine bottles.Engine, running map[bottles.Role]string, last time.Time, asJSON bool) error {
	if len(running) == 0 {
		return errors.New("the bottle is down: there is nothing to follow")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var one sync.Mutex
	done := make(chan error, len(running))
	for role, name := range running {
		go func() {
			done <- listen(ctx, engine, role, name, true, func(x bottles.Passage) error {
				one.Lock()
				defer one.Unlock()
				if !x.Last.After(last) {
					return nil
				}
				return p.printPassage(x, asJSON)
			})
		}()
	}
	var errs []error
	for range running {
		if err := <-done; err != nil && ctx.Err() == nil {
			errs = append(errs, err)
			cancel()
		}
	}
	return errors.Join(errs...)
}

func (p *program) printPassages(all []bottles.Passage, only bottles.Role, asJSON bool) error {
	for _, x := range all {
		if only != "" && x.Gate != only {
			continue
		}
		if err := p.printPassage(x, asJSON); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) printPassage(x bottles.Passage, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(p.out).Encode(x)
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
	_, err := fmt.Fprintf(p.out, "%s  %-10s  %-7s  %s%s%s\n",
		x.Last.Local().Format("2006-01-02 15:04:05"), x.Gate, x.Verdict, what, times, why)
	return err
}
