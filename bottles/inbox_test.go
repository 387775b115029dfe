package bottles

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
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

// A box that is read twice at the same time, as when files come one after another, has its request written down once.
func TestARequestIsWrittenDownOnce(t *testing.T) {
	root, err := state.Open(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Root: root})
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() { s.auditArrival("a-00000", "r1", map[string]any{"tool": queue.ToolEgress}) })
	}
	readers.Wait()
	entries, err := root.Audit("a-00000").Entries(100)
	if err != nil || len(entries) != 1 || entries[0].Kind != "request" || !containsID(entries[0].Data, "r1") {
		t.Errorf("written down: %+v, %v", entries, err)
	}
}
