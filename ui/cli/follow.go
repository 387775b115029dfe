package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/queue"
)

// follower is what following an operation needs of a Supervisor.
type follower interface {
	Updates() <-chan bottles.Update
	Start(ctx context.Context, a bottles.Action) (<-chan error, error)
}

// carry brings a bottle to life, by a Supervisor that lives as long, tells what that does, and watches whether the agent
// stays up. When ctx ends before it is live, the action is cancelled and what it made is taken down before carry returns.
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
		err = p.follow(ctx, s, identity, done)
		if ctx.Err() != nil && bottles.Cancelled(err) {
			fmt.Fprintf(p.err, "%s: %s\n", identity, p.left(identity, a))
		}
		if err != nil {
			return err
		}
		return staysUp(ctx, s.Updates(), identity, func() error { return bottles.StaysUp(ctx, c.Engine, identity) })
	})
}

// endPatience is how long the end of an agent that did not stay up may take to be seen to: its conversation is kept, its
// sidecars are removed.
const endPatience = 20 * time.Second

// staysUp watches an agent that has come up. One that ended is seen to before it returns, so that it can be resumed at once.
func staysUp(ctx context.Context, updates <-chan bottles.Update, identity string, watch func() error) error {
	done := make(chan error, 1)
	go func() { done <- watch() }()
	var patience <-chan time.Time
	var err error
	for seen := false; ; {
		select {
		case u, ok := <-updates:
			if !ok {
				updates, seen = nil, true
			} else {
				i := slices.IndexFunc(u.Snapshot.Bottles, func(b bottles.Bottle) bool { return b.Identity == identity })
				seen = i < 0
				if i >= 0 {
					status := u.Snapshot.Bottles[i].Status
					seen = u.Snapshot.Bottles[i].EndReason != "" && (status == bottles.Failed || status == bottles.Down)
				}
			}
		case err = <-done:
			if err == nil {
				return nil
			}
			patience = time.After(endPatience)
		case <-patience:
			return err
		case <-ctx.Done():
			if err == nil {
				err = <-done
			}
			return err
		}
		if err != nil && seen {
			return err
		}
	}
}

// left says what is left of an action that was cancelled.
func (p *program) left(identity string, a bottles.Action) string {
	if _, ok := a.(bottles.Launch); ok {
		return "cancelled, nothing of it is left"
	}
	return "cancelled, and taken down; its state is kept. To start it after all: " + p.command("resume "+identity)
}

// follow tells what is being done to a bottle, a line for each change, until it is done. Where ctx ends before, it is
// cancelled; without an identity there is nothing to cancel, and follow returns.
func (p *program) follow(ctx context.Context, s follower, identity string, done <-chan error) error {
	t := teller{out: p.err, identity: identity, inPlace: p.terminal}
	interrupt, updates := ctx.Done(), s.Updates()
	for {
		select {
		case u, ok := <-updates:
			if !ok {
				t.end()
				select {
				case err := <-done:
					return err
				default:
					return errors.New("the supervisor ended in the middle of it; what was begun is finished by the next bottle-tui")
				}
			}
			t.tell(u.Snapshot)
		case err := <-done:
			t.end()
			if errors.Is(err, bottles.ErrBuild) {
				t.log(updates)
			}
			return err
		case <-interrupt:
			t.end()
			if identity == "" {
				return ctx.Err()
			}
			interrupt = nil
			p.cancel(ctx, s, identity)
		}
	}
}

const (
	progressEvery = time.Second     // between two lines of the same progress
	logPatience   = 2 * time.Second // for the end of a failed build's log
	logTail       = 30              // lines of it that are printed
)

// teller prints the steps of an operation.
type teller struct {
	out      io.Writer
	identity string
	inPlace  bool // out is a terminal: a step that only counts up is written over

	last  string // the step that was printed
	open  bool   // its line has no end yet
	at    time.Time
	lines []string // of the build
}

// tell prints what is done now, if that is something else. Of a count that grows, some numbers are enough.
func (t *teller) tell(snap *bottles.Snapshot) *bottles.Operation {
	i := slices.IndexFunc(snap.Bottles, func(b bottles.Bottle) bool { return b.Identity == t.identity })
	if i < 0 || snap.Bottles[i].Operation == nil {
		return nil
	}
	op := snap.Bottles[i].Operation
	t.lines = op.Log
	if step := queue.Visible(op.Step); snap.Bottles[i].Status != bottles.Failed && step != "" && step != t.last {
		counts := shape(step) == shape(t.last)
		if counts && !t.inPlace && time.Since(t.at) < progressEvery {
			return op
		}
		if !counts {
			t.end()
		}
		if t.inPlace {
			fmt.Fprintf(t.out, "\r%s: %s\x1b[K", t.identity, step)
		} else {
			fmt.Fprintf(t.out, "%s: %s\n", t.identity, step)
		}
		t.last, t.open, t.at = step, t.inPlace, time.Now()
	}
	return op
}

// end ends a line that was to be written over.
func (t *teller) end() {
	if t.open {
		fmt.Fprintln(t.out)
		t.open = false
	}
}

// shape is a step without its numbers.
func shape(step string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == ',' || r == '.' {
			return -1
		}
		return r
	}, step)
}

// log prints the end of a failed build's log, which comes with the news of the failure.
func (t *teller) log(updates <-chan bottles.Update) {
	patience := time.NewTimer(logPatience)
	defer patience.Stop()
	for waiting := true; waiting; {
		select {
		case u, ok := <-updates:
			if !ok {
				waiting = false
			} else if op := t.tell(u.Snapshot); op != nil && op.Err != "" {
				waiting = false
			}
		case <-patience.C:
			waiting = false
		}
	}
	t.end()
	for _, line := range t.lines[max(0, len(t.lines)-logTail):] {
		fmt.Fprintf(t.out, "  %s\n", queue.VisibleText(line, 0))
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
