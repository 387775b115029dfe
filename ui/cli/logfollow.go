package cli

import (
	"bytes"
	"context"
	"errors"
	"hash/maphash"
	"sync"

	"bottle-tui/bottles"
)

// ear hears the log of a gate's container: to its end once, and then anew as it grows.
type ear struct {
	role   bottles.Role
	name   string
	log    bottles.GateLog
	before map[uint64]int // lines that were read already, by their hashes: how often
}

// seed is that of all hashes.
var seed = maphash.MakeSeed()

// read hears what the gates' containers have said so far.
func (g gateLog) read(ctx context.Context, there map[bottles.Role]string) ([]*ear, error) {
	var ears []*ear
	for role, name := range there {
		e := &ear{role: role, name: name, before: map[uint64]int{}}
		ears = append(ears, e)
		err := listen(ctx, g.engine, name, false, func(line []byte) error {
			e.before[maphash.Bytes(seed, line)]++
			e.log.Add(role, line)
			return nil
		})
		if err != nil && !errors.Is(err, bottles.ErrNotFound) {
			return nil, err
		}
	}
	return ears, nil
}

// listen gives every line of a container's log to hear.
func listen(ctx context.Context, engine bottles.Engine, name string, follow bool, hear func(line []byte) error) error {
	r, err := engine.Logs(ctx, name, 0, follow)
	if err != nil {
		return err
	}
	defer r.Close()
	var heard error
	err = bottles.EachLine(r, func(line []byte) bool {
		heard = hear(bytes.TrimSpace(line))
		return heard == nil
	})
	return errors.Join(heard, err)
}

// follow prints what comes after what was read, until the gates end or ctx does: what the gates say themselves, and from
// the audit log what was granted and what of that ended.
func (g gateLog) follow(ctx context.Context, audit *bottles.History, ears []*ear) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var one sync.Mutex
	say := func(x bottles.Passage) error {
		one.Lock()
		defer one.Unlock()
		return g.print(x)
	}
	failed := make(chan error, 1)
	go func() {
		err := audit.Follow(ctx, func(x bottles.Passage) error {
			if x.Verdict != bottles.Granted && x.Verdict != bottles.Closed {
				return nil // the gates say it
			}
			return say(x)
		})
		if err != nil {
			cancel()
		}
		failed <- err
	}()
	done := make(chan error, len(ears))
	for _, e := range ears {
		go func() {
			err := listen(ctx, g.engine, e.name, true, func(line []byte) error {
				if n := maphash.Bytes(seed, line); e.before[n] > 0 {
					e.before[n]--
					return nil
				}
				for _, x := range bottles.PassagesIn(e.role, line) {
					if err := say(x); err != nil {
						return err
					}
				}
				return nil
			})
			if errors.Is(err, bottles.ErrNotFound) {
				err = nil // it is gone already
			}
			done <- err
		}()
	}
	var errs []error
	for range ears {
		if err := <-done; err != nil && ctx.Err() == nil {
			errs = append(errs, err)
			cancel()
		}
	}
	cancel()
	return errors.Join(append(errs, <-failed)...)
}
