package bottles

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// The end of one who began a piece of work is not told to those who wait for it, too; with the last of them it ends.
func TestSharedWorkOutlivesWhoBeganIt(t *testing.T) {
	o := once{calls: map[string]*call{}}
	began, let, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	work := func(ctx context.Context) error {
		close(began)
		select {
		case <-let:
			return nil
		case <-ctx.Done():
			ended <- ctx.Err()
			return ctx.Err()
		}
	}
	do := func(ctx context.Context) <-chan error {
		done := make(chan error, 1)
		go func() { done <- o.do(ctx, "image", work) }()
		return done
	}
	joined := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; {
			o.mu.Lock()
			c := o.calls["image"]
			there := c != nil && c.waiting == n
			o.mu.Unlock()
			if there {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal("nobody joined")
			}
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	first := do(ctx)
	<-began
	second := do(t.Context())
	joined(2)
	cancel(errors.New("another step of the first one failed"))
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who went away is told %v", err)
	}
	close(let)
	if err := <-second; err != nil {
		t.Errorf("who stayed is told %v", err)
	}
	began, let = make(chan struct{}), make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	alone := do(ctx)
	<-began
	stop()
	if err := <-alone; !errors.Is(err, context.Canceled) || !errors.Is(<-ended, context.Canceled) {
		t.Errorf("the last one is told %v", err)
	}
}

// What failed together with a cancellation is not a cancellation.
func TestWhatIsJoinedWithACancellationIsTold(t *testing.T) {
	stop, broken := fmt.Errorf("make x: %w", context.Canceled), errors.New("broken")
	for _, c := range []struct {
		err  error
		only bool
	}{
		{nil, false}, {broken, false}, {stop, true}, {errCancelled, true}, {errors.Join(stop, context.Canceled), true},
		{errors.Join(stop, broken), false}, {fmt.Errorf("launch: %w", errors.Join(stop, broken)), false},
		{fmt.Errorf("%w (%w)", context.Canceled, broken), true}, // one error, and its words
	} {
		if Cancelled(c.err) != c.only {
			t.Errorf("of %q it says %v", c.err, !c.only)
		}
	}
}

// makes is an engine that makes a volume slowly, and goes on with it where its call is broken off.
type makes struct {
	scripted
	began, let chan struct{}
}

func (e *makes) CreateVolume(ctx context.Context, _ string, _ map[string]string) error {
	close(e.began)
	select {
	case <-e.let:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *makes) RemoveNetwork(context.Context, string) error {
	<-e.began
	return errors.New("it fails")
}

// Where a step fails, or the operation is cancelled, those that make something are waited for: whoever removes what was
// made looks for it after that.
func TestAPlanThatFailsWaitsForWhatIsBeingMade(t *testing.T) {
	for _, cancels := range []bool{false, true} {
		e := &makes{began: make(chan struct{}), let: make(chan struct{})}
		s, b := owned(t, e)
		x := &execution{sup: s, bottle: b, layout: layout{identity: b.Identity()}, report: func(string, int, int) {}}
		var p Plan
		last := p.then(doVolume, volumeName(labelWork, b.Identity()), "test")
		p.then(doVolume, volumeName(labelHome, b.Identity()), "never made", last)
		if !cancels {
			p.then(doUnnet, "n", "test")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- x.run(ctx, p) }()
		<-e.began
		if cancels {
			cancel()
		}
		select {
		case err := <-done:
			t.Errorf("it ended before what was being made: %v", err)
		case <-time.After(50 * time.Millisecond): // it would end at once
			close(e.let)
			if err := <-done; err == nil || Cancelled(err) != cancels {
				t.Errorf("cancelled %v: it ended with %v", cancels, err)
			}
		}
		cancel()
	}
}
