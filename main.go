// Command bottle-tui supervises sandboxed coding agents from one screen. The same binary, inside the
// containers, is each of their sidecars and the demo's agent.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"bottle-tui/bottles/docker/watchdog"
	"bottle-tui/sidecars/credproxy"
	"bottle-tui/sidecars/egress"
	"bottle-tui/sidecars/gitgate"
	"bottle-tui/sidecars/pid1"
	"bottle-tui/sidecars/supervise"
	"bottle-tui/ui/cli"
	"bottle-tui/ui/cli/demo"
)

func main() {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	code := run(ctx, filepath.Base(os.Args[0]), os.Args[1:])
	stop()
	os.Exit(code)
}

// run hands over to the part of the program that its name and its first words ask for.
func run(ctx context.Context, name string, args []string) int {
	switch name {
	case pid1.Name:
		return pid1.Run(args)
	case watchdog.Name:
		return watchdog.Run()
	}
	if code, ours := demo.Applet(ctx, name, args); ours {
		return code
	}
	if len(args) >= 2 && args[0] == "sidecar" {
		servers := map[string]func(context.Context, []string, io.Writer) error{
			"cred-proxy": credproxy.Run,
			"egress":     egress.Run,
			"git-gate":   gitgate.Run,
			"supervise":  supervise.Run,
		}
		serve, ok := servers[args[1]]
		if !ok {
			fmt.Fprintf(os.Stderr, "bottle-tui: no such sidecar: %q\n", args[1])
			return 2
		}
		if err := serve(ctx, args[2:], os.Stdout); err != nil {
			fmt.Fprintf(os.Stderr, "bottle-tui: %s: %v\n", args[1], err)
			return 1
		}
		return 0
	}
	return cli.Run(ctx, os.Args[0], args)
}
