package gitgate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// delivery is the way of a push to the upstream. It ends with the flight; but when the agent goes after all of the
// push was sent, the upstream still has a while to say what became of it.
type delivery struct {
	ctx  context.Context
	sent atomic.Bool // all of the push went to the connection
	end  func()
}

// lastAnswer is that while.
const lastAnswer = time.Minute

var errAgentGone = errors.New("the agent broke the push off")

func (f *flight) deliver() *delivery {
	d := &delivery{}
	ctx, cancel := context.WithCancelCause(f.lasting)
	stop := context.AfterFunc(f.ctx, func() {
		why := errAgentGone
		if d.sent.Load() {
			late := time.NewTimer(lastAnswer)
			defer late.Stop()
			select {
			case <-late.C:
				why = fmt.Errorf("%w, and the upstream did not answer within %s", errAgentGone, lastAnswer)
			case <-ctx.Done():
			}
		}
		cancel(why)
	})
	d.ctx, d.end = ctx, func() {
		stop()
		cancel(nil)
	}
	return d
}

// of is what is sent, of size bytes. When it begins anew, nothing of it was sent before.
func (d *delivery) of(from io.Reader, size int64) io.Reader {
	d.sent.Store(false)
	return &sentReader{d, from, size}
}

type sentReader struct {
	delivery *delivery
	from     io.Reader
	left     int64
}

func (r *sentReader) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	if r.left -= int64(n); r.left <= 0 {
		r.delivery.sent.Store(true)
	}
	return n, err
}

// lost is err as the error of a push that was forwarded: when all of it was sent, and no answer of the upstream came,
// nobody knows what became of it.
func (d *delivery) lost(err error) error {
	var answered *badStatus
	if errors.As(err, &answered) || !d.sent.Load() {
		return err
	}
	if cause := context.Cause(d.ctx); cause != nil {
		err = cause
	}
	return &errUnknown{err}
}

// errUnknown is why it is not known whether a push arrived.
type errUnknown struct{ cause error }

func (e *errUnknown) Error() string {
	return plain(e.cause.Error(), maxReason-100) + ". Whether the push arrived is not known: fetch to see"
}
