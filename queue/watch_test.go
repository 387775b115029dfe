package queue_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"bottle-tui/queue"
)

const patience = time.Minute

func watcher(t testing.TB, root string) *queue.Watcher {
	t.Helper()
	w, err := queue.Watch(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// until takes events until the condition holds; it is asked once before the first.
func until(t testing.TB, w *queue.Watcher, what string, holds func(queue.Event) bool) {
	t.Helper()
	limit := time.After(patience)
	for e := (queue.Event{}); !holds(e); {
		select {
		case e = <-w.Events():
		case <-limit:
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

func about(identity string) func(queue.Event) bool {
	return func(e queue.Event) bool { return e.Identity == identity }
}

func makeBox(t testing.TB, root, identity string) *queue.Box {
	t.Helper()
	b := queue.Open(filepath.Join(root, identity))
	if err := b.Make(0); err != nil {
		t.Fatal(err)
	}
	return b
}

func putIn(t testing.TB, b *queue.Box, id string) {
	t.Helper()
	r := request(id)
	r.Identity = filepath.Base(b.Dir())
	if err := b.Put(r); err != nil {
		t.Error(err)
	}
}

func TestWatchTellsWhatIsThereAndWhatComes(t *testing.T) {
	root := t.TempDir()
	old := makeBox(t, root, "old-aaaaa")
	putIn(t, old, "r1")
	w := watcher(t, root)
	until(t, w, "the box that was there", about("old-aaaaa"))
	putIn(t, old, "r2")
	until(t, w, "a request in it", about("old-aaaaa"))

	fresh := makeBox(t, root, "new-bbbbb")
	until(t, w, "a new box", about("new-bbbbb"))
	putIn(t, fresh, "r1")
	until(t, w, "a request in the new box", about("new-bbbbb"))

	a := answer("r1")
	if err := fresh.Answer(a); err != nil {
		t.Fatal(err)
	}
	until(t, w, "an answer", about("new-bbbbb"))
	if err := fresh.Archive("r1"); err != nil {
		t.Fatal(err)
	}
	until(t, w, "that it was archived", about("new-bbbbb"))

	for range 3 { // gone, and back at once
		if err := os.RemoveAll(fresh.Dir()); err != nil {
			t.Fatal(err)
		}
		until(t, w, "that the box is gone", about("new-bbbbb"))
		fresh = makeBox(t, root, "new-bbbbb")
		until(t, w, "that it is back", about("new-bbbbb"))
		putIn(t, fresh, "r5")
		until(t, w, "a request in it", func(e queue.Event) bool {
			got, _ := fresh.Requests()
			return e.Identity == "new-bbbbb" && len(got) == 1
		})
	}
}

// 200 requests in 20 boxes that appear while they come: whoever looks at a box when told sees them all.
func TestWatchMissesNothing(t *testing.T) {
	root := t.TempDir()
	w := watcher(t, root)
	var writers sync.WaitGroup
	for i := range 20 {
		writers.Go(func() {
			b := makeBox(t, root, fmt.Sprintf("burst-aaa%02d", i))
			for j := range 10 {
				putIn(t, b, fmt.Sprintf("r%d", j))
			}
		})
	}
	found := map[string]bool{}
	until(t, w, "all 200 requests", func(e queue.Event) bool {
		if e.Identity != "" {
			got, problems := queue.Open(filepath.Join(root, e.Identity)).Requests()
			if len(problems) > 0 {
				t.Error(problems)
			}
			for _, r := range got {
				found[r.Identity+"/"+r.ID] = true
			}
		}
		return len(found) == 200
	})
	writers.Wait()
}

func TestWatchPassesOverWhatIsNoBox(t *testing.T) {
	root := t.TempDir()
	elsewhere := t.TempDir()
	w := watcher(t, root)
	for _, dir := range []string{"UPPER-aaaaa", ".deleted-coder-aaaaa-xyz", "noid"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(root, "file-aaaaa"), "")
	if err := os.Symlink(elsewhere, filepath.Join(root, "link-aaaaa")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(elsewhere, "r1.request.json"), "{}")
	last := makeBox(t, root, "last-aaaaa")
	write(t, filepath.Join(last.Dir(), ".half.request.json1"), "{")
	write(t, filepath.Join(last.Dir(), "notes"), "")
	until(t, w, "the one box", func(e queue.Event) bool {
		if e.Identity != "" && e.Identity != "last-aaaaa" {
			t.Errorf("told of %q", e.Identity)
		}
		return e.Identity == "last-aaaaa"
	})
}

// Nobody receives: changes are still taken from the kernel, and one event for each box waits.
func TestWatchCoalescesForASlowReceiver(t *testing.T) {
	root := t.TempDir()
	w := watcher(t, root)
	boxes := []*queue.Box{makeBox(t, root, "a-aaaaa"), makeBox(t, root, "b-aaaaa")}
	for i := range 50 {
		for _, b := range boxes {
			putIn(t, b, fmt.Sprintf("r%d", i))
		}
	}
	events := 0
	for quiet := false; !quiet; {
		select {
		case <-w.Events():
			events++
		case <-time.After(300 * time.Millisecond):
			quiet = true
		}
	}
	if events < 2 || events > 20 {
		t.Errorf("%d events for two boxes", events)
	}
}

func TestWatchOutlivesItsRoot(t *testing.T) {
	root := filepath.Join(t.TempDir(), "queue")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	makeBox(t, root, "a-aaaaa")
	w := watcher(t, root)
	until(t, w, "the box", about("a-aaaaa"))
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	until(t, w, "that it is gone", about("a-aaaaa"))
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	b := makeBox(t, root, "b-aaaaa")
	until(t, w, "a box in the new root", about("b-aaaaa"))
	putIn(t, b, "r1")
	until(t, w, "a request in it", about("b-aaaaa"))
}

func TestWatchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w, err := queue.Watch(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range w.Events() {
		}
	}()
	within(t, "the end of the events", patience, ended)
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if _, err := queue.Watch(t.Context(), filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("watching what is not there gave no error")
	}
}

// From the rename that makes a request appear to the event.
func BenchmarkWatchLatency(b *testing.B) {
	root := b.TempDir()
	for i := range 200 {
		makeBox(b, root, fmt.Sprintf("box-aa%03d", i))
	}
	box := makeBox(b, root, "box-bbbbb")
	w := watcher(b, root)
	until(b, w, "the last box", about("box-bbbbb"))
	from, to := filepath.Join(box.Dir(), ".temp"), filepath.Join(box.Dir(), "r1.request.json")
	var total, worst time.Duration
	for b.Loop() {
		write(b, from, "{}")
		start := time.Now()
		if err := os.Rename(from, to); err != nil {
			b.Fatal(err)
		}
		until(b, w, "the event", about("box-bbbbb"))
		took := time.Since(start)
		total, worst = total+took, max(worst, took)
		if err := os.Remove(to); err != nil {
			b.Fatal(err)
		}
		until(b, w, "the end", about("box-bbbbb"))
	}
	b.ReportMetric(float64(total.Microseconds())/float64(b.N), "µs/event")
	b.ReportMetric(float64(worst.Microseconds()), "µs/worst")
}
