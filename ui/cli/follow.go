package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"bottle-tui/bottles"
	"bottle-tui/queue"
)

// follower is what following an operation needs of a Supervisor.
type follower interface {
	Updates() <-chan bottles.Update
	Start(ctx context.Context, a bottles.Action) (<-chan error, error)
}

// carry has an action done on a bottle, by a Supervisor that lives as long, and tells what it does. When ctx ends, the
// action is cancelled and what it made is taken down before carry returns.
func (p *program) carry(ctx context.Context, c bottles.Config, identity string, a bottles.Action) error {
	c.Recover = func(id string) bool { return id == identity }
	return p.supervise(context.WithoutCancel(ctx), c, func(_ context.Context, s *bottles.Supervisor) error {
		if err := s.Ready(ctx); err != nil {
			return err
		}
		done, err := s.Start(ctx, a)
		if err != nil {
			return err
		}
		return p.follow(ctx, s, identity, done)
	})
}

// follow tells what is being done to a bottle, a line for each change, until it is done. Where ctx ends before, it is
// cancelled; without an identity there is nothing to cancel, and follow returns.
func (p *program) follow(ctx context.Context, s follower, identity string, done <-chan error) error {
	last := ""
	interrupt, updates := ctx.Done(), s.Updates()
	for {
		select {
		case u, ok := <-updates:
			if !ok {
				updates = nil // the outcome comes, or never will
				select {
				case err := <-done:
					return err
				default:
					return errors.New("the supervisor ended in the middle of it; what was begun is finished by the next bottle-tui")
				}
			}
			for _, b := range u.Snapshot.Bottles {
				if b.Identity == identity && b.Operation != nil && b.Status != bottles.Failed && b.Operation.Step != last {
					last = b.Operation.Step
					fmt.Fprintf(p.err, "%s: %s\n", identity, queue.Visible(last))
				}
			}
		case err := <-done:
			if interrupt == nil && errors.Is(err, context.Canceled) {
				fmt.Fprintf(p.err, "%s: cancelled, and taken down; its state is kept. To start it after all: bottle-tui resume %[1]s%s\n", identity, p.flags())
			}
			return err
		case <-interrupt:
			if identity == "" {
				return ctx.Err()
			}
			interrupt = nil
			p.cancel(ctx, s, identity)
		}
	}
}

// cancel asks for the end of what is being done. From now on another ctrl+c ends the program at once, and what was
// begun is left to the next one.
func (p *program) cancel(ctx context.Context, s follower, identity string) {
	signal.Reset(os.Interrupt)
	if _, err := s.Start(context.WithoutCancel(ctx), bottles.Cancel{Identity: identity}); err != nil {
		fmt.Fprintf(p.err, "%s: %v; waiting for its end\n", identity, err)
		return
	}
	fmt.Fprintf(p.err, "%s: cancelling, and taking down what was made\n", identity)
}
