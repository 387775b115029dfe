package bottles

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bottle-tui/queue"
	"bottle-tui/state"
)

// listed is a listing of one bottle with the given containers.
func listed(s *Supervisor, identity string, have map[Role]ContainerState) func() (Observed, error) {
	return func() (o Observed, err error) {
		for role, state := range have {
			o.Containers = append(o.Containers, Container{
				ID: "id-" + string(role), Name: containerName(role, identity), State: state,
				Labels: map[string]string{LabelRoot: s.cfg.Root.ID(), LabelIdentity: identity, LabelRole: string(role)},
			})
		}
		return o, nil
	}
}

// silent fails the test where an operation was told, or kept, as one that failed.
func (s *Supervisor) silent(t *testing.T, r *record) {
	t.Helper()
	if len(s.alerts) > 0 || r.failed != nil {
		t.Errorf("told %+v, failed %+v", s.alerts, r.failed)
	}
	if entries, _ := s.cfg.Root.Audit(r.identity).Entries(0); len(entries) > 0 { // there may be no log at all
		t.Errorf("the audit log holds %+v", entries)
	}
}

// Whoever wants something while the program sees to the end of an agent waits for that, and is judged then.
func TestAnActionWaitsForWhatTheProgramDoesByItself(t *testing.T) {
	let := make(chan struct{})
	e := &scripted{inspect: func() (Container, error) { <-let; return Container{}, ErrNotFound }}
	s, b := owned(t, e)
	id := b.Identity()
	e.observe = listed(s, id, map[Role]ContainerState{RoleAgent: StateExited})
	r := s.record(id)
	r.have.containers[RoleAgent] = Container{ID: "id-agent", Name: agentName(id), State: StateExited}
	begin := func(a Action) <-chan error {
		t.Helper()
		done, err := s.begin(a)
		if err != nil {
			t.Fatalf("%T: %v", a, err)
		}
		return done
	}
	s.tend(r)
	if r.op == nil || r.op.view.Kind != "end" {
		t.Fatalf("the operation is %+v", r.op)
	}
	given := begin(Resume{Identity: id})
	begin(Cancel{Identity: id})
	if err := s.outcome(t, given); !errors.Is(err, context.Canceled) {
		t.Errorf("what was cancelled before its turn ended with %v", err)
	}
	resumed, refused := begin(Resume{Identity: id}), begin(Resume{Identity: id})
	close(let)
	if err := s.outcome(t, resumed); !errors.Is(err, errNoProfile) { // as far as it gets here
		t.Errorf("the resume ended with %v", err)
	}
	if err := s.outcome(t, refused); !errors.Is(err, ErrRefused) {
		t.Errorf("a second one ended with %v", err)
	}
}

// What the owner knows may be old: an action is judged under the bottle's lock again, and its refusal is no failure.
func TestAnActionIsJudgedUnderTheLock(t *testing.T) {
	var has atomic.Pointer[func() (Observed, error)]
	s, b := owned(t, &scripted{
		inspect: func() (Container, error) { return Container{}, ErrNotFound },
		observe: func() (Observed, error) { return (*has.Load())() },
		attach:  func() error { return ErrUnavailable },
	})
	id := b.Identity()
	r := s.record(id)
	running := map[Role]ContainerState{RoleAgent: StateRunning, RoleEgress: StateRunning}
	ended := map[Role]ContainerState{RoleAgent: StateExited}
	request := put(t, s, id, queue.ToolCapability, "FROM scratch\n")
	for _, c := range []struct {
		name   string
		action Action
		thinks map[Role]ContainerState // the owner
		has    map[Role]ContainerState // the engine
		says   string
	}{
		{"resume", Resume{Identity: id}, nil, running, "is live already"},
		{"revoke", Revoke{Identity: id, Grant: "g1"}, running, running, "ended already"},
		{"approve", Approve{Identity: id, Request: request.ID, Shown: queue.Hash([]byte(request.Proposed))}, running, ended, "nobody waits"},
	} {
		r.have, r.grants, r.ended = newParts(), []Grant{{ID: "g1", Tool: queue.ToolEgress}}, "id-agent"
		thinks, _ := listed(s, id, c.thinks)()
		for _, have := range thinks.Containers {
			r.have.containers[Role(have.Labels[LabelRole])] = have
		}
		has.Store(new(listed(s, id, c.has)))
		done, err := s.begin(c.action)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if err := s.outcome(t, done); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s ended with %v", c.name, err)
		}
		s.silent(t, r)
	}
	if len(r.requests) != 1 || r.requests[0].State != Waiting {
		t.Errorf("the requests are %+v", r.requests)
	}
	r.requests = nil
	has.Store(new(listed(s, id, nil)))
	done, err := s.begin(TearDown{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.outcome(t, done); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "is down already") {
		t.Errorf("the teardown ended with %v", err)
	}
	s.silent(t, r)
}

// What can't be read of a bottle is not taken for absent: the journal of what is to be finished first, and the tokens that
// a request's routes would lack.
func TestWhatCannotBeReadOfABottleIsNotAbsent(t *testing.T) {
	s, b := owned(t, &scripted{observe: func() (Observed, error) { return Observed{}, nil }})
	s.cfg.Catalog = oneProfile{}
	for name, content := range map[string]string{"operation.json": "{", "launched.json": "{", "base.json": "{}"} {
		if err := os.WriteFile(filepath.Join(b.Dir(), name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	x := &execution{sup: s, bottle: b, layout: layout{identity: b.Identity()}}
	if err := s.resume(t.Context(), x, Resume{Identity: b.Identity()}); err == nil || !strings.Contains(err.Error(), "operation.json") {
		t.Errorf("a resume ends with %v", err)
	}
	asks := queue.Request{Tool: queue.ToolCredProxy, Proposed: "[]"}
	if req := s.lookInto(b, state.Metadata{}, newParts(), asks); !strings.Contains(req.Err, "launched.json") {
		t.Errorf("of a request is shown %+v", req)
	}
}

// A request that was made from what is not in force any more is refused under the lock, too.
func TestAStaleRequestIsRefusedUnderTheLock(t *testing.T) {
	s, b := owned(t, &scripted{inspect: func() (Container, error) { return Container{State: StateRunning}, nil }})
	id := b.Identity()
	if err := b.PutDockerfile([]byte("FROM new\n"), "r0"); err != nil {
		t.Fatal(err)
	}
	q := queue.Request{ID: queue.NewID(time.Now()), Tool: queue.ToolCapability, Identity: id, Proposed: "FROM asked\n", CurrentHash: queue.Hash([]byte("FROM old\n")), ArrivedAt: time.Now()}
	if err := s.box(id).Put(q); err != nil {
		t.Fatal(err)
	}
	j := journal{Request: q.ID, Shown: queue.Hash([]byte(q.Proposed)), Decision: queue.Approved}
	if err := s.unsettled(b, j); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "changed since") {
		t.Errorf("approving it: %v", err)
	}
	j.Decision = queue.Denied
	if err := s.unsettled(b, j); err != nil {
		t.Errorf("denying it: %v", err)
	}
}

// What another program is at, or has just finished, is not told as finished by this one.
func TestWhatAnotherProgramIsAtIsNotRecovered(t *testing.T) {
	s, b := owned(t, &scripted{})
	r := s.record(b.Identity())
	op := state.Operation{Kind: "rebuild", Step: "build"}
	if err := b.PutOperation(op); err != nil {
		t.Fatal(err)
	}
	unlock := locked(t, b)
	r.journal = &op
	s.recoverAll()
	s.until(t, "it is left to the other", func() bool { return r.op == nil })
	s.silent(t, r)
	if _, err := s.begin(Cancel{Identity: b.Identity()}); err == nil || !strings.Contains(err.Error(), "rebuild: build") {
		t.Errorf("cancelling it: %v", err)
	}
	if err := errors.Join(b.ClearOperation(), unlock()); err != nil {
		t.Fatal(err)
	}
	r.journal = &op
	s.recoverAll()
	s.until(t, "nothing is found", func() bool { return r.op == nil })
	s.silent(t, r)
}

// A bottle that another program deleted first is deleted, and anything else is refused; nothing of that is a failure.
func TestABottleDeletedMeanwhile(t *testing.T) {
	s, b := owned(t, &scripted{observe: func() (Observed, error) { return Observed{}, nil }})
	id := b.Identity()
	r := s.record(id)
	if err := b.Delete(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		action Action
		ends   error
	}{{Resume{Identity: id}, ErrRefused}, {Delete{Identity: id}, nil}} {
		r.disk, s.bottles[id] = b, r
		done, err := s.begin(c.action)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.outcome(t, done); !errors.Is(err, c.ends) {
			t.Errorf("%T ended with %v", c.action, err)
		}
		if r.failed != nil {
			t.Errorf("%T is kept as a failure: %+v", c.action, r.failed)
		}
	}
	if entries, _ := s.cfg.Root.Audit(id).Entries(0); len(entries) > 0 {
		t.Errorf("the audit log holds %+v", entries)
	}
}

// An action that comes before the engine was heard waits for that, and is judged then: one right after the first snapshot
// was refused, as if the engine did not answer.
func TestAnActionWaitsForTheFirstListing(t *testing.T) {
	t.Parallel()
	for _, answers := range []bool{true, false} {
		root, b := rooted(t)
		heard := make(chan struct{})
		s := New(Config{Root: root, Catalog: noCatalog{}, Engine: &scripted{
			info: func() error {
				<-heard
				if !answers {
					return ErrUnavailable
				}
				return nil
			},
			observe: func() (Observed, error) { return Observed{}, nil },
		}})
		ctx, cancel := context.WithCancel(t.Context())
		ended, outcome := make(chan error, 1), make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		<-s.Updates() // the first snapshot is the disk's
		go func() { _, err := s.Start(ctx, TearDown{Identity: b.Identity()}); outcome <- err }()
		for waits := false; !waits; {
			s.ask(func() { waits = len(s.waiters) > 0 })
			select {
			case err := <-outcome:
				t.Fatalf("answers %v: before the engine was heard it ended with %v", answers, err)
			default:
			}
		}
		close(heard)
		want := map[bool]string{true: "is down already", false: "does not answer"}[answers]
		if err := <-outcome; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("answers %v: it ended with %v", answers, err)
		}
		cancel()
		for range s.Updates() {
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
