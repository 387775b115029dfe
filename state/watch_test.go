package state

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// A source that told of nothing and then says that it lost events: the receiver must look at all boxes,
// and what changes after that is told again.
func TestAnOverflowSaysAll(t *testing.T) {
	root := t.TempDir()
	changes, errs := make(chan fsnotify.Event), make(chan error)
	added := make(chan string, 100)
	from := notifier{
		add:     func(dir string) error { added <- dir; return nil },
		close:   func() error { return nil },
		changes: changes, errors: errs,
	}
	w := watch(t.Context(), root, from, Watching{Every: time.Hour, Matters: func(name string) bool { return name == "r1.request.json" }})
	defer w.Close()
	receive := func() Change {
		t.Helper()
		select {
		case e := <-w.Events():
			return e
		case <-time.After(10 * time.Second):
			t.Fatal("no event")
			return Change{}
		}
	}
	box := filepath.Join(root, "coder-aaaaa")
	if err := os.Mkdir(box, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 3 { // however often it is said before somebody listens
		errs <- fsnotify.ErrEventOverflow
	}
	if e := receive(); !e.Overflow || e.Identity != "" {
		t.Errorf("the event is %+v", e)
	}
	watched := false
	for len(added) > 0 {
		watched = <-added == box || watched
	}
	if !watched {
		t.Error("the box that appeared unseen is not watched")
	}
	changes <- fsnotify.Event{Name: filepath.Join(box, "r1.request.json"), Op: fsnotify.Create}
	if e := receive(); e.Identity != "coder-aaaaa" || e.Overflow {
		t.Errorf("the event after it is %+v", e)
	}
}

// Without any help of the kernel the scans find what changed.
func TestScansAloneFindChanges(t *testing.T) {
	root := t.TempDir()
	none := notifier{add: func(string) error { return nil }, close: func() error { return nil }}
	w := watch(t.Context(), root, none, Watching{Every: 5 * time.Millisecond, Within: []string{"config"}, Matters: func(string) bool { return true }})
	defer w.Close()
	box := filepath.Join(root, "coder-aaaaa")
	for i, change := range []func() error{
		func() error { return os.Mkdir(box, 0o700) },
		func() error { return os.WriteFile(filepath.Join(box, "r1.request.json"), nil, 0o600) },
		func() error { return os.Mkdir(filepath.Join(box, "config"), 0o700) },
		func() error { return os.WriteFile(filepath.Join(box, "config", "allowlist"), nil, 0o600) },
		func() error { return os.Rename(root, root+".away") },
		func() error { return os.Rename(root+".away", root) },
		func() error { return os.RemoveAll(box) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		select {
		case e := <-w.Events():
			if e.Identity != "coder-aaaaa" {
				t.Errorf("change %d: event %+v", i, e)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("change %d was not found", i)
		}
	}
}

// With the kernel's help the same is told at once, also of what is in a directory that comes later.
func TestChangesWithinAnIdentityAreTold(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "coder-aaaaa")
	w := Watch(t.Context(), root, Watching{Every: time.Hour, Alone: 5 * time.Millisecond, Within: []string{"config"}, Matters: func(name string) bool { return name != "lock" }})
	defer w.Close()
	for i, change := range []func() error{
		func() error { return os.Mkdir(dir, 0o700) },
		func() error { return os.WriteFile(filepath.Join(dir, "grants.json"), nil, 0o600) },
		func() error { return os.Mkdir(filepath.Join(dir, "config"), 0o700) },
		func() error { return os.WriteFile(filepath.Join(dir, "config", "allowlist"), nil, 0o600) },
		func() error { return os.Remove(filepath.Join(dir, "grants.json")) },
		func() error { return os.RemoveAll(dir) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		select {
		case e := <-w.Events():
			if e.Identity != "coder-aaaaa" {
				t.Errorf("change %d: %+v", i, e)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("change %d was not told", i)
		}
	}
}

// A directory that does not change is watched once, and not each time that all are looked at; one that could not be watched
// and one that was replaced are watched then.
func TestADirectoryIsWatchedOnce(t *testing.T) {
	root := t.TempDir()
	past := time.Now().Add(-time.Hour)
	make := func(identity string) {
		t.Helper()
		dir := filepath.Join(root, identity)
		if err := errors.Join(os.Mkdir(dir, dirPerm), os.Chtimes(dir, past, past)); err != nil {
			t.Fatal(err)
		}
	}
	make("calm-00000")
	make("other-00000")
	make("third-00000")
	var mu sync.Mutex
	added := map[string]int{}
	count := func(name string) int { mu.Lock(); defer mu.Unlock(); return added[name] }
	add := func(dir string) error {
		mu.Lock()
		defer mu.Unlock()
		added[filepath.Base(dir)]++
		if filepath.Base(dir) == "other-00000" && added["other-00000"] < 3 {
			return errors.New("too many watches")
		}
		return nil
	}
	w := watch(t.Context(), root, notifier{add: add, close: func() error { return nil }}, Watching{Every: time.Millisecond, Matters: func(string) bool { return true }})
	defer w.Close()
	go func() {
		for range w.Events() {
		}
	}()
	scans := func(n int) {
		t.Helper()
		for from, deadline := count(filepath.Base(root)), time.Now().Add(90*time.Second); count(filepath.Base(root)) < from+n; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it is not looked at")
			}
		}
	}
	scans(20)
	if calm, other := count("calm-00000"), count("other-00000"); calm != 1 || other != 3 {
		t.Errorf("watched %d times, and the one that failed twice %d times", calm, other)
	}
	if err := os.Rename(filepath.Join(root, "third-00000"), filepath.Join(root, ".away")); err != nil {
		t.Fatal(err)
	}
	make("third-00000")
	scans(3)
	if n := count("third-00000"); n < 2 {
		t.Errorf("the one that was replaced is watched %d times", n)
	}
}
