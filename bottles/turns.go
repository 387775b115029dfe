package bottles

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bottle-tui/state"
)

// errHeld: another program holds the bottle's lock.
var errHeld = fmt.Errorf("%w: another bottle-tui is changing this bottle", ErrRefused)

// errNothing ends an operation of the program's own accord that found nothing to do.
var errNothing = errors.New("nothing is left to do")

const (
	// lockPatience is how long an operation waits for the bottle's lock in any case: the minute's snapshot of a
	// transcript holds it for a moment.
	lockPatience = 3 * time.Second
	// shortPatience is how much longer an action of the operator's waits while the lock's holder is at something that
	// does not take long.
	shortPatience = 20 * time.Second
)

// byItself says that the program began an operation of its own accord: nobody asked for it, so whoever asks for something
// else waits for its end instead of being refused.
func (op *operation) byItself() bool {
	switch op.view.Kind {
	case "end", "expire", "recover":
		return true
	}
	return false
}

// turn is an action that waits for the end of what the program does of its own accord.
type turn struct {
	action Action
	done   chan error
}

// queue has an action wait for its turn. Owner only.
func (r *record) queue(a Action) <-chan error {
	done := make(chan error, 1)
	r.waiting = append(r.waiting, turn{a, done})
	return done
}

// forget cancels what waits for its turn. Owner only.
func (r *record) forget() <-chan error {
	for _, t := range r.waiting {
		t.done <- errCancelled
	}
	r.waiting = nil
	stop := make(chan error, 1)
	stop <- nil
	return stop
}

// takeTurns begins what waited for the end of an operation. It is judged now, by what is known after that. Owner only.
func (s *Supervisor) takeTurns(r *record) {
	waiting := r.waiting
	r.waiting = nil
	for _, t := range waiting {
		done, err := s.begin(t.action)
		if err != nil {
			t.done <- err
			continue
		}
		s.spawn(func() {
			select {
			case err := <-done:
				t.done <- err
			case <-s.ctx.Done():
			}
		})
	}
	if len(waiting) > 0 && r.op == nil {
		s.tend(r)
	}
}

// underLock holds a bottle's file lock while f runs; an orphan has none. What the program does of its own accord can wait
// until the lock is free, and an interrupted operation is not finished while somebody else is at it.
func (s *Supervisor) underLock(ctx context.Context, b *state.Bottle, op *operation, f func() error) error {
	if b == nil {
		return f()
	}
	s.endCopy(b.Identity())
	unlock, err := s.lock(ctx, b, op)
	if err != nil {
		return err
	}
	defer func() { _ = unlock() }() // the lock ends with its file
	return f()
}

func (s *Supervisor) lock(ctx context.Context, b *state.Bottle, op *operation) (unlock func() error, err error) {
	if op.view.Kind == "recover" {
		unlock, free, err := b.TryLock()
		if err == nil && !free {
			err = errHeld
		}
		return unlock, err
	}
	if op.view.Kind == "launch" {
		ctx = s.ctx // it is nobody else's, and one that was cancelled before has its state to remove
	}
	unlock, err = lockWithin(ctx, b, lockPatience)
	if errors.Is(err, errHeld) && !op.byItself() {
		if other, unread := b.Operation(); unread == nil && short(other) {
			unlock, err = lockWithin(ctx, b, s.patience)
		}
	}
	switch {
	case errors.Is(err, errHeld):
		other, _ := b.Operation() // for the words alone
		return nil, fmt.Errorf("%w%s; try again when it is done", err, inBrackets(other))
	case errors.Is(err, state.ErrGone):
		return nil, refuse("%w", err)
	case errors.Is(err, state.ErrUnknown) && op.view.Kind != "delete":
		return nil, refuse("%s was deleted meanwhile", b.Identity())
	}
	return unlock, err
}

// lockWithin takes a bottle's lock; errHeld when it is not free within that time.
func lockWithin(ctx context.Context, b *state.Bottle, patience time.Duration) (unlock func() error, err error) {
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	unlock, err = b.Lock(wait)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil, errHeld
	}
	return unlock, err
}

// short says that whoever holds the lock is at something that does not take long: the end of an agent, which has no
// journal, or something without a build or a copy.
func short(journal *state.Operation) bool {
	if journal == nil {
		return true
	}
	switch journal.Kind {
	case "launch", "resume", "rebuild":
		return false
	}
	return true
}

// atWork says what a journal's program is at.
func atWork(journal *state.Operation) string { return journal.Kind + ": " + journal.Step }

// inBrackets adds that to a sentence, where a journal tells it.
func inBrackets(journal *state.Operation) string {
	if journal == nil {
		return ""
	}
	return " (" + atWork(journal) + ")"
}
