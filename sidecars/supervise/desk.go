package supervise

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"bottle-tui/queue"
)

// desk keeps the requests that calls wait for. One watch of the queue serves all calls that wait for the
// same request: an agent may make many calls, and watches are a scarce thing of the host.
type desk struct {
	box    *queue.Box
	ctx    context.Context
	cancel context.CancelFunc
	ended  sync.WaitGroup

	putting sync.Mutex // finding a request and making it are one step

	mu    sync.Mutex
	calls int
	waits map[string]*wait
	gone  map[string]bool // answers that an agent has got from this process
}

// wait is a request that somebody waits for.
type wait struct {
	calls  int
	cancel context.CancelFunc
	done   chan struct{}
	answer queue.Answer
	err    error
}

func newDesk(box *queue.Box) *desk {
	d := &desk{box: box, waits: map[string]*wait{}, gone: map[string]bool{}}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

func (d *desk) close() {
	d.cancel()
	d.ended.Wait()
}

var (
	errTooManyCalls = errors.New("too many calls wait")
	errTooManyOpen  = errors.New("too many requests are open")
)

// find looks for the request that a asks for again: made by the same tool call, or with the same content and
// without an answer that the agent got. A withdrawn or expired one is taken up only by its own call: whoever
// asks anew wants it anew.
func (d *desk) find(a *asking) (found *queue.Request, open int) {
	pending, refused := d.box.Requests() // what is refused there is not ours, unless the directory could not be listed
	listed := len(pending) > 0 || len(refused) == 0
	d.mu.Lock()
	here := map[string]bool{}
	for _, p := range pending {
		here[p.ID] = true
	}
	for id := range d.gone {
		if listed && !here[id] {
			delete(d.gone, id) // archived
		}
	}
	d.mu.Unlock()
	for _, p := range pending {
		if p.Answer == nil {
			open++
		}
		if p.Tool != a.request.Tool || !a.same(p.Proposed, a.request.Proposed) {
			continue
		}
		same := a.request.ToolUseID != "" && p.ToolUseID == a.request.ToolUseID
		if !same && p.Answer != nil {
			d.mu.Lock()
			got := d.gone[p.ID]
			d.mu.Unlock()
			if got || p.Answer.Decision == queue.Withdrawn || p.Answer.Decision == queue.Expired {
				continue
			}
		}
		if found == nil || same {
			found = &p.Request
		}
	}
	return found, open
}

// submit finds a's request in the queue or puts it there. A new one must be fresh; that error is given back as
// it is.
func (d *desk) submit(a *asking) (attached bool, err error) {
	d.putting.Lock()
	defer d.putting.Unlock()
	found, open := d.find(a)
	if found != nil {
		a.known = found.CurrentHash == a.request.CurrentHash
		a.request = *found
		return true, nil
	}
	if err := a.fresh(); err != nil {
		return false, err
	}
	if open >= maxOpen {
		return false, errTooManyOpen
	}
	now := time.Now().UTC()
	a.request.ID, a.request.ArrivedAt = queue.NewID(now), now
	if err := d.box.Put(a.request); err != nil {
		return false, fmt.Errorf("put the request into the queue: %w", err)
	}
	return false, nil
}

// join starts to wait for request id; every join is ended by left or delivered.
func (d *desk) join(id string) (*wait, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.calls >= maxCalls {
		return nil, errTooManyCalls
	}
	d.calls++
	w := d.waits[id]
	if w == nil {
		w = &wait{done: make(chan struct{})}
		var ctx context.Context
		ctx, w.cancel = context.WithCancel(d.ctx)
		d.waits[id] = w
		d.ended.Go(func() {
			defer close(w.done)
			w.answer, w.err = d.box.WaitAnswer(ctx, id)
		})
	}
	w.calls++
	return w, nil
}

// left ends calls that waited for id, and says how many still do.
func (d *desk) left(id string, calls int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.leave(id, calls)
}

// delivered ends calls that got their answer.
func (d *desk) delivered(id string, calls int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone[id] = true
	d.leave(id, calls)
}

func (d *desk) leave(id string, calls int) int {
	w := d.waits[id]
	if w == nil {
		return 0
	}
	d.calls -= calls
	if w.calls -= calls; w.calls <= 0 {
		w.cancel()
		delete(d.waits, id)
		return 0
	}
	return w.calls
}
