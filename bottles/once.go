package bottles

import (
	"context"
	"errors"

	"golang.org/x/sync/singleflight"
)

// once runs a piece of work for all who want it at the same time.
type once struct{ group singleflight.Group }

func (o *once) do(ctx context.Context, key string, f func() error) error {
	for {
		result := o.group.DoChan(key, func() (any, error) { return nil, f() })
		select {
		case r := <-result:
			if r.Shared && errors.Is(r.Err, context.Canceled) && ctx.Err() == nil {
				continue // it was another's context that ended
			}
			return r.Err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
