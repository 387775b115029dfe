package bottles

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bottle-tui/queue"
	"bottle-tui/state"
)

// A call that was cut while something was done to its bottle is not forgotten: its request goes when that has ended.
func TestARequestOfACutCallGoesAfterTheOperation(t *testing.T) {
	root, err := state.Open(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := root.Create(state.Metadata{AgentName: "tester"})
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Root: root})
	ctx, cancel := context.WithCancel(t.Context())
	defer s.workers.Wait()
	defer cancel()
	s.ctx = ctx
	id := b.Identity()
	if err := s.box(id).Make(0); err != nil && !strings.Contains(err.Error(), "not permitted") {
		t.Fatal(err)
	}
	q := queue.Request{ID: queue.NewID(time.Now()), Tool: queue.ToolEgress, Identity: id, Proposed: "x.example.com\n", ArrivedAt: time.Now()}
	if err := s.box(id).Put(q); err != nil {
		t.Fatal(err)
	}
	r := s.record(id)
	r.disk, r.requests, r.op = b, []Request{{Request: q, State: Waiting}}, &operation{}
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
