package bottles

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle-tui/queue"
)

// While the state root is away, what an agent asked for is not there and not gone: it is shown on, and looked at when the
// root is back, of which nothing tells where it was away for a moment.
func TestARequestOutlivesTheAbsenceOfTheRoot(t *testing.T) {
	s, b := owned(t, &scripted{})
	id := b.Identity()
	kept := put(t, s, id, queue.ToolEgress, "x.example.com\n")
	settled := put(t, s, id, queue.ToolEgress, "y.example.com\n")
	if err := os.Rename(s.cfg.Root.Dir(), s.cfg.Root.Dir()+".away"); err != nil {
		t.Fatal(err)
	}
	r := s.record(id)
	s.lookAtBox(id)
	s.until(t, "the box was looked for", func() bool { return !r.looking })
	if len(r.requests) != 2 {
		t.Errorf("it shows %+v", r.requests)
	}
	if err := os.Rename(s.cfg.Root.Dir()+".away", s.cfg.Root.Dir()); err != nil {
		t.Fatal(err)
	}
	answer := queue.Answer{Request: settled.ID, Decision: queue.Denied, DecidedAt: time.Now()}
	if err := errors.Join(s.box(id).Answer(answer), s.box(id).Archive(settled.ID)); err != nil {
		t.Fatal(err)
	}
	s.until(t, "the box is read", func() bool { return len(r.requests) == 1 && r.requests[0].ID == kept.ID })
}

// A call that was cut while something was done to its bottle is not forgotten: its request goes when that has ended.
func TestARequestOfACutCallGoesAfterTheOperation(t *testing.T) {
	s, b := owned(t, nil)
	id := b.Identity()
	q := put(t, s, id, queue.ToolEgress, "x.example.com\n")
	r := s.record(id)
	r.op = &operation{}
	s.abandoned(id, q.ID)
	deadline := time.After(30 * time.Second)
	for looks := 0; len(r.requests) > 0; looks++ {
		select {
		case f := <-s.inbox:
			f()
		case <-deadline:
			t.Fatal("the request stays")
		}
		if looks == 1 {
			r.op = nil // what was done has ended
		}
	}
	if pending, _ := s.box(id).Requests(); len(pending) != 0 {
		t.Errorf("in the queue is %v", pending)
	}
}

// A look at a box that was slow does not take what a later one saw off the screen again.
func TestWhatIsShownOfABoxDoesNotGoBack(t *testing.T) {
	s, b := owned(t, nil)
	r := s.record(b.Identity())
	if err := b.PutDockerfile([]byte("FROM scratch\n"), queue.NewID(time.Now())); err != nil {
		t.Fatal(err)
	}
	failed, requests := make(chan error, 1), 30
	go func() {
		defer close(failed)
		for range requests {
			q := queue.Request{ID: queue.NewID(time.Now()), Tool: queue.ToolCapability, Identity: b.Identity(), Proposed: "FROM scratch\nUSER 1000\n", ArrivedAt: time.Now()}
			if err := s.box(b.Identity()).Put(q); err != nil {
				failed <- err
				return
			}
		}
	}()
	deadline := time.After(60 * time.Second)
	for shown := 0; shown < requests; {
		for range 4 {
			s.lookAtBox(b.Identity())
		}
		select {
		case f := <-s.inbox:
			f()
		case err, did := <-failed:
			if did {
				t.Fatal(err)
			}
			failed = nil
		case <-deadline:
			t.Fatalf("%d of %d requests are shown", shown, requests)
		}
		if len(r.requests) < shown {
			t.Fatalf("%d requests were shown, and now %d", shown, len(r.requests))
		}
		shown = len(r.requests)
	}
}

// A box that is read twice at the same time, as when files come one after another, has its request written down once.
func TestARequestIsWrittenDownOnce(t *testing.T) {
	root := openRoot(t)
	s := New(Config{Root: root})
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			if err := s.auditArrival("a-00000", "r1", map[string]any{"tool": queue.ToolEgress}); err != nil {
				t.Error(err)
			}
		})
	}
	readers.Wait()
	entries, err := root.Audit("a-00000").Entries(100)
	if err != nil || len(entries) != 1 || entries[0].Kind != "request" || !strings.Contains(string(entries[0].Data), `"id":"r1"`) {
		t.Errorf("written down: %+v, %v", entries, err)
	}
}
