package sidecars

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"syscall"
)

// Run is what `bottle-tui sidecar NAME` does for every server: it reads the flags, serves until ctx ends or the
// process is told to stop (SIGTERM, SIGINT), and says on stdout why it failed if it did. define adds the
// server's flags; serve is its work.
func Run(ctx context.Context, name string, args []string, stdout io.Writer, define func(*flag.FlagSet), serve func(context.Context, *Voice) error) error {
	flags := flag.NewFlagSet("sidecar "+name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	define(flags)
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("sidecar %s: %w", name, err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("sidecar %s: %q is not expected", name, flags.Arg(0))
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	voice := NewVoice(stdout, nil)
	err := serve(ctx, voice)
	if err != nil {
		_ = voice.Say(Line{Event: EventError, Reason: err.Error()}) // the caller has the error, too
	}
	return err
}
