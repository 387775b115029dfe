package bottles_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bottle-tui/bottles"
)

var cancels = flag.Int("cancels", 4, "launches that are cancelled at random moments, four at a time")

// Of a launch that is cancelled, at whatever moment, nothing is left on disk or on the engine, but the operator is told and
// the audit log has it.
func TestACancelledLaunchLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var m *moments
	w.run(func(e bottles.Engine, _ func()) bottles.Engine {
		m = &moments{Engine: e, of: map[string]*moment{}}
		return m
	})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	const callsOfALaunch = 18 // about so many make or fill something
	random := rand.New(rand.NewPCG(4, uint64(*cancels)))
	var all sync.WaitGroup
	var mu sync.Mutex
	cancelled := 0
	at := make(chan struct{}, 4)
	for i := range *cancels {
		id := fmt.Sprintf("tester-%04dx", i)
		now := m.add(id, i%(callsOfALaunch+1), random.IntN(2) == 0, time.Duration(random.ExpFloat64()*float64(10*time.Millisecond)))
		if i < 4 { // one at once, the others spread over the launch
			now.call = i * callsOfALaunch / 4
		}
		at <- struct{}{}
		all.Go(func() {
			defer func() { <-at }()
			if w.cancelAt(id, dir, now) {
				mu.Lock()
				cancelled++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if cancelled < *cancels/2 {
		t.Errorf("%d of %d were cancelled", cancelled, *cancels)
	}
	t.Logf("%d of %d were cancelled, the others were live first", cancelled, *cancels)
	have, err := w.engine.Observe(t.Context(), w.root.ID())
	if err != nil || len(have.Containers)+len(have.Networks)+len(have.Volumes) != 0 {
		t.Errorf("the engine still has %+v, %v", have, err)
	}
}

// cancelAt launches a bottle, cancels that at its moment, and says whether that was before the bottle was live.
func (w *world) cancelAt(id, dir string, now *moment) bool {
	w.t.Helper()
	done, err := w.sup.Start(w.t.Context(), bottles.Launch{Agent: "tester", Identity: id, CWD: dir, CopyCWD: true})
	if err != nil {
		w.t.Error(err)
		return false
	}
	select {
	case err = <-done: // its moment was never
	case <-now.come:
		_, refused := w.sup.Start(w.t.Context(), bottles.Cancel{Identity: id})
		if err = <-done; refused != nil && err != nil {
			w.t.Errorf("%s: the cancel is refused: %v", id, refused)
		}
	}
	if err == nil { // it was live first
		for _, a := range []bottles.Action{bottles.TearDown{Identity: id}, bottles.Delete{Identity: id}} {
			if err := w.do(a); err != nil {
				w.t.Errorf("%T: %v", a, err)
			}
		}
	} else {
		if !bottles.Cancelled(err) {
			w.t.Errorf("%s, cancelled at call %d: %v", id, now.call, err)
		}
		if h := w.history(id); !slices.Contains(h, "cancelled") {
			w.t.Errorf("%s: the audit log tells %v", id, h)
		}
	}
	w.leavesNothing(id, err != nil)
	return err != nil
}

// leavesNothing sees that a bottle is nowhere any more, and that it was told whether it was cancelled.
func (w *world) leavesNothing(id string, cancelled bool) {
	w.t.Helper()
	w.await(id+" is gone", func(s *bottles.Snapshot) bool { _, ok := find(s, id); return !ok })
	w.mu.Lock()
	told := slices.ContainsFunc(w.alerts, func(a bottles.Alert) bool { return a.Identity == id && strings.Contains(a.Text, "cancelled") })
	w.mu.Unlock()
	if told != cancelled {
		w.t.Errorf("%s: told of the cancel: %v", id, told)
	}
	have, err := w.engine.Observe(w.t.Context(), w.root.ID())
	if err != nil {
		w.t.Error(err)
	}
	var left []string
	for _, c := range have.Containers {
		left = append(left, c.Name)
	}
	for _, n := range have.Networks {
		left = append(left, n.Name)
	}
	for _, v := range have.Volumes {
		left = append(left, v.Name)
	}
	for _, name := range left {
		if strings.HasSuffix(name, id) {
			w.t.Errorf("%s is left on the engine", name)
		}
	}
	for _, dir := range []string{filepath.Join(w.root.Dir(), "state", id), w.root.QueueDir(id)} {
		if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
			w.t.Errorf("%s: %v", dir, err)
		}
	}
}

// moments is an engine that tells when so many of a launch's calls have begun.
type moments struct {
	bottles.Engine
	mu sync.Mutex
	of map[string]*moment // by identity
}

// moment is when a launch is cancelled.
type moment struct {
	call  int           // the number of the call, from 1; 0: at once
	after bool          // when the call has ended, not when it begins
	delay time.Duration // and so much later
	come  chan struct{}
	n     int
}

// add plans the moment of a launch.
func (m *moments) add(id string, call int, after bool, delay time.Duration) *moment {
	now := &moment{call: call, after: after, delay: delay, come: make(chan struct{})}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of[id] = now
	if call == 0 {
		close(now.come)
	}
	return now
}

// during does a call that is about an object of a bottle.
func (m *moments) during(name string, call func() error) error {
	m.mu.Lock()
	now := m.of[name[max(0, len(name)-len("tester-0000x")):]]
	chosen := false
	if now != nil {
		now.n++
		chosen = now.n == now.call
	}
	m.mu.Unlock()
	if chosen && !now.after {
		time.AfterFunc(now.delay, func() { close(now.come) })
	}
	err := call()
	if chosen && now.after {
		time.AfterFunc(now.delay, func() { close(now.come) })
	}
	return err
}

func (m *moments) CreateNetwork(ctx context.Context, spec bottles.NetworkSpec) (n bottles.Network, err error) {
	err = m.during(spec.Name, func() error { n, err = m.Engine.CreateNetwork(ctx, spec); return err })
	return n, err
}

func (m *moments) CreateVolume(ctx context.Context, name string, labels map[string]string) error {
	return m.during(name, func() error { return m.Engine.CreateVolume(ctx, name, labels) })
}

func (m *moments) CreateContainer(ctx context.Context, spec bottles.ContainerSpec) error {
	return m.during(spec.Name, func() error { return m.Engine.CreateContainer(ctx, spec) })
}

func (m *moments) StartContainer(ctx context.Context, name string) error {
	return m.during(name, func() error { return m.Engine.StartContainer(ctx, name) })
}

func (m *moments) CopyIn(ctx context.Context, container, dir string, archive io.Reader) error {
	return m.during(container, func() error { return m.Engine.CopyIn(ctx, container, dir, archive) })
}

func (m *moments) Attach(ctx context.Context, container string) (rw io.ReadWriteCloser, err error) {
	err = m.during(container, func() error { rw, err = m.Engine.Attach(ctx, container); return err })
	return rw, err
}

// One whose program is killed while it takes the launch back is finished by the next program, even while its agent runs.
func TestACancelledLaunchIsTakenBackByTheNextProgram(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ready, cancelled, died := make(chan struct{}), make(chan struct{}), make(chan struct{})
	w.run(func(e bottles.Engine, die func()) bottles.Engine {
		return &deathbed{Engine: e, die: sync.OnceFunc(func() { die(); close(died) }), ready: ready, cancelled: cancelled}
	})
	const id = "tester-kill0"
	if _, err := w.sup.Start(t.Context(), bottles.Launch{Agent: "tester", Identity: id}); err != nil {
		t.Fatal(err)
	}
	<-ready
	if _, err := w.sup.Start(t.Context(), bottles.Cancel{Identity: id}); err != nil {
		t.Fatal(err)
	}
	close(cancelled)
	<-died
	w.end()
	if _, err := os.Lstat(filepath.Join(w.root.Dir(), "state", id, "operation.json")); err != nil {
		t.Errorf("its journal: %v", err)
	}
	w.run(nil)
	w.leavesNothing(id, false)
	if h := w.history(id); !slices.Contains(h, "cancelled") || slices.Contains(h, "live") {
		t.Errorf("the audit log tells %v", h)
	}
}

// deathbed is an engine whose program dies when it is to remove a container, and that says when an agent was started.
type deathbed struct {
	bottles.Engine
	die              func()
	ready, cancelled chan struct{}
}

func (d *deathbed) StartContainer(ctx context.Context, name string) error {
	err := d.Engine.StartContainer(ctx, name)
	if err == nil && strings.HasPrefix(name, "claude-bottle-tester-") {
		close(d.ready)
		<-d.cancelled
		return context.Canceled
	}
	return err
}

func (d *deathbed) RemoveContainer(context.Context, string) error {
	d.die()
	return context.Canceled
}

// Where it can't be seen whether something on the engine has a new bottle's name, nothing is launched, and nothing is left.
func TestALaunchThatCanNotLookLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var b *blind
	w.run(func(e bottles.Engine, _ func()) bottles.Engine { b = &blind{Engine: e}; return b })
	b.is.Store(true)
	const id = "tester-blind"
	if err := w.do(bottles.Launch{Agent: "tester", Identity: id}); err == nil || !strings.Contains(err.Error(), "no answer today") {
		t.Errorf("the launch ended with %v", err)
	}
	b.is.Store(false)
	w.leavesNothing(id, false)
}

// blind is an engine that can't list what it has.
type blind struct {
	bottles.Engine
	is atomic.Bool
}

func (b *blind) Observe(ctx context.Context, root string) (bottles.Observed, error) {
	if b.is.Load() {
		return bottles.Observed{}, errors.New("no answer today")
	}
	return b.Engine.Observe(ctx, root)
}
