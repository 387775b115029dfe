package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"bottle-tui/bottles"
	"bottle-tui/bottles/workspace"
	"bottle-tui/queue"
	"bottle-tui/state"
)

// listed is one bottle as `list --format json` prints it.
type listed struct {
	Identity    string         `json:"identity"`
	Agent       string         `json:"agent"`
	Status      bottles.Status `json:"status"`
	Waiting     int            `json:"waiting"`
	CWD         string         `json:"cwd"`
	StartedAt   string         `json:"started_at"` // RFC 3339; "" when not known
	Image       string         `json:"image"`
	ImageDigest string         `json:"image_digest"`
	Disk        *bottles.Usage `json:"disk,omitempty"` // with --disk
}

func (p *program) listCommand() *cobra.Command {
	var format string
	var disk bool
	cmd := &cobra.Command{
		Use: "list", Short: "List all bottles: live, down and orphaned", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "text" && format != "json" {
				return fmt.Errorf("--format is text or json, not %q", format)
			}
			return p.work(func(cmd *cobra.Command, _ []string) error {
				root, engine, err := p.openReadOnly(cmd.Context())
				if err != nil {
					return err
				}
				defer engine.Close()
				// What the disk knows is worth having although the engine does not answer; the exit code tells.
				snap, surveyErr := bottles.Survey(cmd.Context(), root, engine, time.Now())
				for _, problem := range snap.Problems {
					fmt.Fprintf(p.err, "bottle-tui: %s: %s\n", queue.Visible(problem.Path), queue.Visible(problem.Err))
				}
				var used map[string]bottles.Usage
				if disk && surveyErr == nil {
					used, surveyErr = usage(cmd.Context(), root, engine)
				}
				if err := p.printList(snap, format, used); err != nil {
					return err
				}
				return surveyErr
			})(cmd, nil)
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	cmd.Flags().BoolVar(&disk, "disk", false, diskHelp)
	return cmd
}

const diskHelp = "measure what is taken of disks, too; the engine may need a minute for it"

// usageWithin bounds how long the engine may measure.
const usageWithin = 5 * time.Minute

// usage measures what the bottles take of disks.
func usage(ctx context.Context, root *state.Root, engine bottles.Engine) (map[string]bottles.Usage, error) {
	ctx, cancel := context.WithTimeout(ctx, usageWithin)
	defer cancel()
	return bottles.MeasureUsage(ctx, root, engine, time.Now())
}

// printList prints the bottles; used is what they take of disks, nil where that was not measured.
func (p *program) printList(snap *bottles.Snapshot, format string, used map[string]bottles.Usage) error {
	rows := make([]listed, 0, len(snap.Bottles))
	for _, b := range snap.Bottles {
		row := listed{
			Identity: b.Identity, Agent: b.Agent, Status: b.Status, Waiting: b.Waiting(),
			CWD: b.CWD, Image: b.Image, ImageDigest: b.ImageDigest,
		}
		if !b.StartedAt.IsZero() {
			row.StartedAt = b.StartedAt.UTC().Format(time.RFC3339)
		}
		if u, ok := used[b.Identity]; ok {
			row.Disk = &u
		}
		rows = append(rows, row)
	}
	if format == "json" {
		e := json.NewEncoder(plainJSON{p.out})
		e.SetIndent("", "  ")
		return e.Encode(rows)
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(p.out, "There are no bottles. To see some:", p.called(), "demo")
		return err
	}
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	head := "IDENTITY\tSTATUS\tWAITING\tSTARTED\t"
	if used != nil {
		head += "DISK\t"
	}
	fmt.Fprintln(w, head+"CWD")
	for i, row := range rows {
		waiting := "-"
		if row.Waiting > 0 {
			waiting = fmt.Sprint(row.Waiting)
		}
		status := string(row.Status)
		if detail := snap.Bottles[i].Detail; detail != "" {
			status += " (" + short(queue.Visible(detail)) + ")"
		}
		size := ""
		switch {
		case row.Disk != nil:
			size = workspace.Size(row.Disk.Total()) + "\t"
		case used != nil:
			size = "-\t"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s%s\n", queue.Visible(row.Identity), status, waiting, dash(row.StartedAt), size, dash(queue.Visible(row.CWD)))
	}
	return w.Flush()
}

// short cuts a detail for the table; info shows it whole.
func short(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
