package bottles

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
)

// once runs a piece of work for all who want it at the same time. It is nobody's: it goes on until the last of them has
// gone away, so that the end of one who began it is not told to the others as their own.
type once struct {
	mu    sync.Mutex
	calls map[string]*call
}

type call struct {
	waiting int
	cancel  context.CancelFunc
	done    chan struct{} // closed when err is set
	err     error
}

func (o *once) do(ctx context.Context, key string, f func(context.Context) error) error {
	o.mu.Lock()
	c := o.calls[key]
	if c == nil {
		shared, cancel := context.WithCancel(context.WithoutCancel(ctx))
		c = &call{cancel: cancel, done: make(chan struct{})}
		o.calls[key] = c
		go func() {
			defer cancel()
			c.err = f(shared)
			o.mu.Lock()
			defer o.mu.Unlock()
			if o.calls[key] == c {
				delete(o.calls, key)
			}
			close(c.done)
		}()
	}
	c.waiting++
	o.mu.Unlock()
	var err error
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	o.mu.Lock()
	c.waiting--
	last := c.waiting == 0
	if last && o.calls[key] == c {
		delete(o.calls, key) // who comes now begins anew
	}
	o.mu.Unlock()
	if last {
		c.cancel()
		<-c.done // nothing of it goes on behind the back of who gives it up
	}
	return err
}

// Cancelled says that an error tells of a cancellation and of nothing else: of errors that were joined, each does.
func Cancelled(err error) bool {
	if !errors.Is(err, context.Canceled) {
		return false
	}
	if inner := errors.Unwrap(err); inner != nil {
		return Cancelled(inner)
	}
	many, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return true
	}
	var texts []string
	all := true
	for _, e := range many.Unwrap() {
		texts, all = append(texts, e.Error()), all && Cancelled(e)
	}
	return all || strings.Join(texts, "\n") != err.Error() // one that says something of its causes is not a joined one
}

// every does a piece of work after each interval, one time after the other, until ctx ends.
func every(ctx context.Context, interval time.Duration, do func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			do()
		case <-ctx.Done():
			return
		}
	}
}
