package demo

import (
	"context"
	"os"

	"bottle-tui/ui/cli/demo/agent"
	"bottle-tui/ui/cli/demo/install"
	"bottle-tui/ui/cli/demo/tally"
)

// Applet runs the part of the demo that this process was started as: the agent or the installer by its
// first argument ("demo-agent", "demo-install"), the tool by the program's name ("tally"). ours is false,
// and nothing was done, when it was started as neither. The signals that ctx ends with reach the agent
// through ctx, so it may be one of signal.NotifyContext.
func Applet(ctx context.Context, name string, args []string) (code int, ours bool) {
	switch {
	case name == "tally":
		return tally.Run(ctx, args, os.Stdout, os.Stderr), true
	case len(args) == 0:
		return 0, false
	case args[0] == "demo-agent":
		return agent.Run(ctx, args[1:], os.Stdin, os.Stdout), true
	case args[0] == "demo-install":
		return install.Run(ctx, args[1:], os.Stdout, os.Stderr), true
	}
	return 0, false
}
