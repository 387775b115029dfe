package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"bottle-tui/queue"
	"bottle-tui/state"
)

func (p *program) auditCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "The audit log: what was asked, decided and done"}
	cmd.AddCommand(&cobra.Command{
		Use:   "verify [identity]",
		Short: "Check that no line of the audit log was changed, removed or put in between",
		Args:  cobra.MaximumNArgs(1),
		RunE: p.work(func(_ *cobra.Command, args []string) error {
			dir, err := p.dir()
			if err != nil {
				return err
			}
			root, err := state.OpenReadOnly(dir)
			if err != nil {
				return err
			}
			identities, err := root.AuditIdentities()
			if err != nil {
				return err
			}
			if len(args) > 0 && !slices.Contains(identities, args[0]) {
				return fmt.Errorf("there is no audit log of %s in %s: %s", queue.Visible(args[0]), root.Dir(), others(identities))
			}
			if len(args) > 0 {
				identities = args
			}
			if len(identities) == 0 {
				fmt.Fprintln(p.out, "There is no audit log in", root.Dir())
			}
			var broken []error
			for _, id := range identities {
				report, err := root.Audit(id).Verify()
				if err != nil {
					broken = append(broken, err)
					continue
				}
				fmt.Fprintf(p.out, "%s: %d lines, whole, last %s\n", id, report.Lines, report.Last)
			}
			return errors.Join(broken...)
		}),
	})
	return cmd
}

// others names the identities that there are.
func others(identities []string) string {
	const most = 20
	switch n := len(identities); {
	case n == 0:
		return "there are none yet"
	case n > most:
		return fmt.Sprintf("there are %s and %d more", strings.Join(identities[:most], ", "), n-most)
	}
	return "there are " + strings.Join(identities, ", ")
}
