package bottles

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bottle-tui/queue"
	"bottle-tui/state"
)

// owned is a Supervisor that does not run, so that its test is the owner, and a bottle with an empty box.
func owned(t *testing.T, e Engine) (*Supervisor, *state.Bottle) {
	t.Helper()
	root, b := rooted(t)
	s := New(Config{Root: root, Engine: e, Catalog: noCatalog{}})
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(s.workers.Wait)
	t.Cleanup(cancel)
	s.ctx, s.engine.Reachable, s.patience = ctx, true, 0
	s.record(b.Identity()).disk = b
	if err := s.box(b.Identity()).Make(0); err != nil && !strings.Contains(err.Error(), "not permitted") {
		t.Fatal(err)
	}
	return s, b
}

// rooted is a bottle in a root of its own.
func rooted(t *testing.T) (*state.Root, *state.Bottle) {
	t.Helper()
	root := openRoot(t)
	b, err := root.Create(state.Metadata{AgentName: "tester"})
	if err != nil {
		t.Fatal(err)
	}
	return root, b
}

// until is the owner's life until ok holds.
func (s *Supervisor) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case f := <-s.inbox:
			f()
		case <-time.After(10 * time.Millisecond): // between two looks
		case <-deadline:
			t.Fatal("waited in vain until ", what)
		}
	}
}

// outcome is what an operation ends with.
func (s *Supervisor) outcome(t *testing.T, done <-chan error) (err error) {
	t.Helper()
	s.until(t, "the operation ends", func() bool {
		select {
		case err = <-done:
			return true
		default:
			return false
		}
	})
	return err
}

type noCatalog struct{ Catalog }

func (noCatalog) Agents() []string { return nil }

var errNoProfile = errors.New("the manifest is broken")

func (noCatalog) Profile(state.Metadata) (Profile, error) { return Profile{}, errNoProfile }

// scripted is an engine whose answers the test gives.
type scripted struct {
	Engine
	observe func() (Observed, error)
	attach  func() error
	info    func() error
	inspect func() (Container, error)
}

func (e *scripted) Observe(context.Context, string) (Observed, error) {
	if e.observe == nil {
		return Observed{}, errors.New("no listing")
	}
	return e.observe()
}

func (e *scripted) Attach(context.Context, string) (io.ReadWriteCloser, error) {
	return nil, e.attach()
}

func (e *scripted) Info(context.Context) (EngineInfo, error) {
	if e.info == nil {
		return EngineInfo{}, nil
	}
	return EngineInfo{}, e.info()
}

func (e *scripted) Events(ctx context.Context, _ string) (<-chan Event, error) {
	events := make(chan Event)
	context.AfterFunc(ctx, func() { close(events) })
	return events, nil
}

func (e *scripted) Logs(context.Context, string, int, bool) (io.ReadCloser, error) {
	return nil, ErrNotFound
}

func (e *scripted) CopyOut(context.Context, string, string) (io.ReadCloser, error) {
	return nil, ErrNotFound
}

func (e *scripted) RemoveContainer(context.Context, string) error { return nil }

func (e *scripted) Container(context.Context, string) (Container, error) { return e.inspect() }

func put(t *testing.T, s *Supervisor, identity, tool, proposed string) queue.Request {
	t.Helper()
	q := queue.Request{ID: queue.NewID(time.Now()), Tool: tool, Identity: identity, Proposed: proposed, ArrivedAt: time.Now()}
	if err := s.box(identity).Put(q); err != nil {
		t.Fatal(err)
	}
	r := s.record(identity)
	r.requests = append(r.requests, Request{Request: q, State: Waiting, Hash: queue.Hash([]byte(proposed))})
	return q
}

func locked(t *testing.T, b *state.Bottle) (unlock func() error) {
	t.Helper()
	unlock, free, err := b.TryLock()
	if err != nil || !free {
		t.Fatal(free, err)
	}
	return unlock
}

// What another program settles while this one is about to decide on it is not shown any more.
func TestARequestThatAnotherProgramSettledIsShownNoMore(t *testing.T) {
	for _, held := range []bool{true, false} {
		s, b := owned(t, &scripted{})
		id := b.Identity()
		q := put(t, s, id, queue.ToolEgress, "x.example.com\n")
		unlock := locked(t, b)
		done, err := s.begin(Deny{Identity: id, Request: q.ID, Shown: queue.Hash([]byte(q.Proposed)), Reason: "no"})
		if err != nil {
			t.Fatal(err)
		}
		answer := queue.Answer{Request: q.ID, Decision: queue.Denied, DecidedAt: time.Now()}
		if err := errors.Join(s.box(id).Answer(answer), s.box(id).Archive(q.ID)); err != nil {
			t.Fatal(err)
		}
		r := s.record(id)
		s.lookAtBox(id)
		s.until(t, "the box is read", func() bool { return !r.looking })
		if !held {
			err = unlock()
		}
		if got := s.outcome(t, done); !errors.Is(got, ErrRefused) || errors.Is(got, errHeld) != held {
			t.Errorf("it ended with %v", got)
		}
		s.until(t, "the request is gone", func() bool { return len(r.requests) == 0 })
		if held {
			err = unlock()
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// What is decided while another program holds the bottle is undecided again, and can be decided when it is done.
func TestARequestWaitsAgainWhenTheBottleIsHeld(t *testing.T) {
	s, b := owned(t, &scripted{})
	id := b.Identity()
	q := put(t, s, id, queue.ToolEgress, "x.example.com\n")
	unlock := locked(t, b)
	done, err := s.begin(Deny{Identity: id, Request: q.ID, Shown: queue.Hash([]byte(q.Proposed)), Reason: "no"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.outcome(t, done); !errors.Is(err, errHeld) {
		t.Errorf("it ended with %v", err)
	}
	if r := s.record(id); len(r.requests) != 1 || r.requests[0].State != Waiting || r.op != nil {
		t.Errorf("the requests are %+v", r.requests)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.begin(Deny{Identity: id, Request: q.ID, Shown: queue.Hash([]byte(q.Proposed)), Reason: "no"}); err != nil {
		t.Error(err)
	}
}

// The end of an agent that falls into another program's work is seen to after it, and nobody is alarmed meanwhile.
func TestAnEndIsSeenToWhenTheBottleIsFree(t *testing.T) {
	looked := 0
	e := &scripted{inspect: func() (Container, error) { looked++; return Container{}, ErrNotFound }}
	s, b := owned(t, e)
	r := s.record(b.Identity())
	r.have.containers[RoleAgent] = Container{ID: "c1", Name: agentName(b.Identity()), State: StateExited}
	unlock := locked(t, b)
	s.tend(r)
	s.until(t, "the first try ends", func() bool { return r.op == nil })
	if r.failed != nil || len(s.alerts) > 0 || looked > 0 {
		t.Errorf("failed %+v, told %+v, looked %d times", r.failed, s.alerts, looked)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	s.tend(r)
	s.until(t, "it is seen to", func() bool { return r.op == nil && r.ended == "c1" })
	if looked != 1 {
		t.Errorf("looked %d times", looked)
	}
}

// A container that was started again by hand is not taken down as one that ended.
func TestAnAgentThatRunsAgainHasNotEnded(t *testing.T) {
	e := &scripted{inspect: func() (Container, error) { return Container{ID: "c1", State: StateRunning}, nil }}
	s, b := owned(t, e)
	r := s.record(b.Identity())
	s.died["c1"] = true
	s.agentEnded(r, Container{ID: "c1", Name: agentName(b.Identity()), State: StateExited})
	s.until(t, "it is looked at", func() bool { return r.op == nil })
	if r.ended != "" || s.died["c1"] || r.failed != nil {
		t.Errorf("ended %q, died %v, failed %+v", r.ended, s.died, r.failed)
	}
}

// What could not be taken back since another program holds the bottle is tried again after a while, silently.
func TestAnExpiryWaitsForTheBottle(t *testing.T) {
	s, b := owned(t, &scripted{})
	r := s.record(b.Identity())
	r.grants = []Grant{{ID: "g1", Scope: Scope{For: time.Second}, Until: time.Now().Add(-time.Second)}}
	defer locked(t, b)() //nolint:errcheck // the test is over
	s.expire(r)
	if r.op == nil {
		t.Fatal("nothing is tried")
	}
	s.until(t, "the first try ends", func() bool { return r.op == nil })
	if !r.retry.After(time.Now()) || r.failed != nil || len(s.alerts) > 0 {
		t.Errorf("again at %v, failed %+v, told %+v", r.retry, r.failed, s.alerts)
	}
}

// A rebuild that can't begin, as with a manifest that can't be read, leaves nothing to be finished.
func TestARebuildThatCanNotBeginLeavesNoJournal(t *testing.T) {
	e := &scripted{attach: func() error { return errors.New("no terminal") }}
	s, b := owned(t, e)
	id := b.Identity()
	e.observe = listed(s, id, map[Role]ContainerState{RoleAgent: StateRunning})
	q := put(t, s, id, queue.ToolCapability, "FROM scratch\n")
	s.record(id).have.containers[RoleAgent] = Container{State: StateRunning}
	done, err := s.begin(Approve{Identity: id, Request: q.ID, Shown: queue.Hash([]byte(q.Proposed))})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.outcome(t, done); !errors.Is(err, errNoProfile) {
		t.Errorf("it ended with %v", err)
	}
	if op, err := b.Operation(); op != nil || err != nil {
		t.Errorf("the journal holds %+v, %v", op, err)
	}
	if r := s.record(id); len(r.requests) != 1 || r.requests[0].State != Unapplied {
		t.Errorf("the requests are %+v", r.requests)
	}
}

// Whoever cancels learns what came of it, and so does who began.
func TestACancelIsAnswered(t *testing.T) {
	s, b := owned(t, &scripted{})
	for _, c := range []struct{ ends, told error }{{context.Canceled, nil}, {nil, ErrRefused}, {errNoProfile, nil}} {
		done := s.operate(s.record(b.Identity()), "rebuild", "", func(ctx context.Context, _ *execution) error {
			<-ctx.Done()
			return c.ends
		})
		var stops []<-chan error
		for range 2 {
			stop, err := s.begin(Cancel{Identity: b.Identity()})
			if err != nil {
				t.Fatal(err)
			}
			stops = append(stops, stop)
		}
		if err := s.outcome(t, done); !errors.Is(err, c.ends) {
			t.Errorf("it ended with %v, not %v", err, c.ends)
		}
		for _, stop := range stops {
			if err := s.outcome(t, stop); !errors.Is(err, c.told) {
				t.Errorf("with %v the cancel is told %v", c.ends, err)
			}
		}
	}
}

// While the sidecars' image is made, keys go to the agents, and whoever does not want to wait need not.
func TestNobodyWaitsForTheSidecarsImage(t *testing.T) {
	began, let := make(chan struct{}, 1), make(chan struct{})
	free := sync.OnceFunc(func() { close(let) })
	defer free()
	s, _ := owned(t, &scripted{info: func() error { began <- struct{}{}; <-let; return ErrUnavailable }})
	image := func(ctx context.Context) <-chan error {
		made := make(chan error, 1)
		s.spawn(func() {
			_, err := s.sidecarImage(ctx)
			made <- err
		})
		return made
	}
	soon := func(what string, done <-chan error) (err error) {
		select {
		case err = <-done:
		case <-time.After(30 * time.Second):
			t.Fatal("waited in vain for ", what)
		}
		return err
	}
	first := image(s.ctx)
	<-began
	typed := make(chan error, 1)
	s.spawn(func() { s.Type("tester-00000", []byte("keys")); typed <- nil })
	soon("the keys", typed)
	ctx, cancel := context.WithCancel(s.ctx)
	second := image(ctx)
	cancel()
	if err := soon("who went away", second); !errors.Is(err, context.Canceled) {
		t.Errorf("who went away got %v", err)
	}
	free()
	if err := soon("the image", first); !errors.Is(err, ErrUnavailable) {
		t.Errorf("the engine's failure came as %v", err)
	}
}

// An agent's terminal is opened once, however often the engine is listed meanwhile.
func TestATerminalIsOpenedOnce(t *testing.T) {
	var opened atomic.Int32
	let := make(chan struct{})
	s, b := owned(t, &scripted{attach: func() error { opened.Add(1); <-let; return ErrUnavailable }})
	r := s.record(b.Identity())
	r.have.containers[RoleAgent] = Container{ID: "c1", State: StateRunning}
	s.tend(r)
	s.tend(r)
	close(let)
	done := make(chan error, 1)
	go func() { s.workers.Wait(); done <- nil }()
	if err := s.outcome(t, done); err != nil {
		t.Error(err)
	}
	s.until(t, "it is opened", func() bool { return !r.opening })
	if n := opened.Load(); n != 1 {
		t.Errorf("opened %d times", n)
	}
}

// A listing that fails is made again, though no event asks for it.
func TestAListingThatFailsIsRepeated(t *testing.T) {
	times := 0
	s, _ := owned(t, &scripted{observe: func() (Observed, error) {
		if times++; times == 1 {
			return Observed{}, errors.New("500 Internal Server Error")
		}
		return Observed{}, nil
	}})
	s.observe()
	s.until(t, "it is told", func() bool { return s.engine.Err != "" })
	s.until(t, "it is made", func() bool { return s.listed && s.engine.Err == "" })
}

// A listing that took long does not undo what a later one told.
func TestAnOldListingIsNotTakenIn(t *testing.T) {
	s, _ := owned(t, &scripted{observe: func() (Observed, error) { return Observed{}, nil }})
	old, _ := s.list()
	b, err := s.cfg.Root.Create(state.Metadata{AgentName: "another"})
	if err != nil {
		t.Fatal(err)
	}
	fresh, _ := s.list()
	s.takeIn(fresh)
	s.takeIn(old)
	if r := s.bottles[b.Identity()]; r == nil || r.disk == nil {
		t.Error("the later bottle is gone")
	}
	if !s.observing {
		t.Error("nothing is listed in its place")
	}
}

// A bottle that is being launched stays, though a listing that began before knows nothing of it.
func TestALaunchOutlivesAnOlderListing(t *testing.T) {
	s, _ := owned(t, &scripted{})
	old, _ := s.list()
	b, err := s.cfg.Root.Create(state.Metadata{AgentName: "another"})
	if err != nil {
		t.Fatal(err)
	}
	r := s.record(b.Identity())
	r.disk = b
	let := make(chan struct{})
	done := s.operate(r, "launch", "", func(context.Context, *execution) error { <-let; return nil })
	s.takeIn(old)
	if r.disk == nil {
		t.Error("its state is forgotten")
	}
	close(let)
	if err := s.outcome(t, done); err != nil {
		t.Error(err)
	}
}

// slowCatalog waits for let in whatever it is asked after the first question.
type slowCatalog struct {
	noCatalog
	asked atomic.Bool
	let   chan struct{}
}

func (c *slowCatalog) Agents() []string {
	if c.asked.Swap(true) {
		<-c.let
	}
	return []string{"tester"}
}

// However slow the disk is, and whether or not somebody takes what it tells, the owner goes on; and it makes no picture
// of the world that nobody gets.
func TestTheOwnerWaitsForNothing(t *testing.T) {
	catalog := &slowCatalog{let: make(chan struct{})}
	s := New(Config{Root: openRoot(t), Engine: &scripted{observe: func() (Observed, error) { return Observed{}, nil }}, Catalog: catalog})
	ctx, cancel := context.WithCancel(t.Context())
	ended, refused := make(chan error, 1), make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if err := s.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	go func() { _, err := s.Start(ctx, Launch{Agent: "tester"}); refused <- err }()
	for range 200 {
		if !s.ask(func() { s.alert(AlertDone, "tester-00000", "", "done") }) {
			t.Fatal("it has ended")
		}
	}
	var last uint64
	for told := 0; told < 200; {
		u := <-s.Updates()
		if u.Snapshot.Version != last+1 {
			t.Errorf("before one that was taken %d more were made", u.Snapshot.Version-last-1)
		}
		last, told = u.Snapshot.Version, told+len(u.Alerts)
	}
	close(catalog.let)
	if err := <-refused; !errors.Is(err, errNoProfile) {
		t.Errorf("the launch ended with %v", err)
	}
	cancel()
	for range s.Updates() {
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// While the root is away no bottle is said to be deleted, and that it is back is seen though no event tells of it: it may
// have been away for too short a time to be missed by the watcher.
func TestARootThatWasBrieflyAwayIsListedAgain(t *testing.T) {
	s, b := owned(t, &scripted{observe: func() (Observed, error) { return Observed{}, nil }})
	root, r := s.cfg.Root, s.bottles[b.Identity()]
	if err := os.Rename(root.Dir(), root.Dir()+".away"); err != nil {
		t.Fatal(err)
	}
	done, err := s.begin(Delete{Identity: b.Identity()})
	if err == nil {
		err = s.outcome(t, done)
	}
	if !errors.Is(err, state.ErrGone) || !errors.Is(err, ErrRefused) {
		t.Errorf("a deletion says %v", err)
	}
	s.until(t, "it is missed", func() bool { return r.unlisted != "" })
	if err := os.Rename(root.Dir()+".away", root.Dir()); err != nil {
		t.Fatal(err)
	}
	s.until(t, "it is back", func() bool { return r.unlisted == "" && r.disk != nil })
}
