package queue

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// pollAnswer is how often an answer is looked for without having been told of a change: file systems
// exist that tell nothing across the wall of a container.
const pollAnswer = time.Second

// WaitAnswer waits until the request has an answer, and gives it. It ends early when ctx does, when the
// request vanishes (ErrNoRequest), and when the answer can't be read.
func (b *Box) WaitAnswer(ctx context.Context, id string) (Answer, error) {
	fail := func(err error) (Answer, error) {
		return Answer{}, fmt.Errorf("waiting for the answer to the request %s: %w", quoted(id), err)
	}
	if err := checkID(id); err != nil {
		return fail(err)
	}
	// Watch first and look then: an answer that comes in between is seen by both.
	var changes <-chan fsnotify.Event
	var failures <-chan error
	if w, err := fsnotify.NewWatcher(); err == nil { // without it the poll must do
		defer w.Close()
		if w.Add(b.dir) == nil {
			changes, failures = w.Events, w.Errors
		}
	}
	poll := time.NewTicker(pollAnswer)
	defer poll.Stop()
	for {
		// In this order: only a request that is in place gets an answer, so when it was gone and
		// there is none, there will be none.
		asked := b.requested(id)
		a, err := b.AnswerTo(id)
		if err != nil {
			return fail(err)
		}
		if a != nil {
			return *a, nil
		}
		if asked != nil {
			return fail(ErrNoRequest)
		}
		for again := false; !again; {
			select {
			case <-ctx.Done():
				return fail(context.Cause(ctx))
			case e := <-changes:
				again = strings.HasPrefix(filepath.Base(e.Name), id) || filepath.Clean(e.Name) == b.dir
			case <-failures:
				again = true
			case <-poll.C:
				again = true
			}
		}
	}
}
