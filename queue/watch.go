package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"bottle-tui/state"
)

const (
	// rescan is how often all directories are looked at though nothing was told: against events that
	// got lost, a directory that was replaced faster than it could be watched, or a lack of watches.
	rescan = 2 * time.Second
	// rescanAlone is the same where the kernel gives no events at all.
	rescanAlone = 250 * time.Millisecond

	maxBottles = 10_000 // queue directories that are watched
)

// Event says: look at this bottle's box again. With Overflow it says so of all boxes, and Identity is "".
type Event struct {
	Identity string
	Overflow bool
}

// Watcher tells of changes in the queue directories under one root. Each directory that is there, or
// comes, or changes, or goes, gives an event; while one waits to be received, more of the same add none.
type Watcher struct {
	root   string
	source source
	events chan Event
	cancel context.CancelFunc
	done   chan struct{}

	// Owned by the goroutine.
	seen    map[string]stamp // by identity
	waiting []string         // identities with an event to give, in order
	all     bool             // an overflow to give
}

// source gives the changes of the directories that were added. Its channels may be nil.
type source struct {
	add     func(dir string) error
	close   func() error
	changes <-chan fsnotify.Event
	errors  <-chan error
}

// stamp is what a directory looked like.
type stamp struct {
	info     fs.FileInfo
	modified time.Time
}

func (s stamp) same(other stamp) bool {
	return s.info != nil && s.modified.Equal(other.modified) && os.SameFile(s.info, other.info)
}

// Watch watches queueRoot, the directory of all queue directories, until ctx ends or Close is called.
// When it returns, whatever happens from then on will be told; what is there already is told first.
func Watch(ctx context.Context, queueRoot string) (*Watcher, error) {
	root, err := filepath.Abs(queueRoot)
	if err == nil {
		_, err = os.ReadDir(root)
	}
	if err != nil {
		return nil, fmt.Errorf("watching the queue %s: %w", queueRoot, err)
	}
	n, err := fsnotify.NewWatcher()
	if err != nil {
		// Mostly too many programs that watch: slower, but it works.
		none := source{add: func(string) error { return nil }, close: func() error { return nil }}
		return watch(ctx, root, none, rescanAlone), nil
	}
	return watch(ctx, root, source{n.Add, n.Close, n.Events, n.Errors}, rescan), nil
}

func watch(ctx context.Context, root string, from source, every time.Duration) *Watcher {
	ctx, cancel := context.WithCancel(ctx)
	w := &Watcher{
		root: root, source: from, events: make(chan Event), cancel: cancel, done: make(chan struct{}),
		seen: map[string]stamp{},
	}
	w.scan()
	go w.run(ctx, every)
	return w
}

// Events is closed when the watcher ends.
func (w *Watcher) Events() <-chan Event { return w.events }

// Close ends the watcher and waits until it did.
func (w *Watcher) Close() error {
	w.cancel()
	<-w.done
	return nil
}

func (w *Watcher) run(ctx context.Context, every time.Duration) {
	defer close(w.done)
	defer close(w.events)
	defer w.source.close()
	defer w.cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		// Giving an event is one case among others: however slow the receiver is, changes are
		// taken from the kernel.
		var give chan<- Event
		var next Event
		switch {
		case w.all:
			give, next = w.events, Event{Overflow: true}
		case len(w.waiting) > 0:
			give, next = w.events, Event{Identity: w.waiting[0]}
		}
		select {
		case <-ctx.Done():
			return
		case give <- next:
			if w.all {
				w.all = false
			} else {
				w.waiting = w.waiting[1:]
			}
		case e, ok := <-w.source.changes:
			if !ok {
				w.source.changes = nil
				continue
			}
			w.change(e)
		case err, ok := <-w.source.errors:
			if !ok {
				w.source.errors = nil
				continue
			}
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				w.scan()
				w.all, w.waiting = true, nil
			}
		case <-tick.C:
			w.scan()
		}
	}
}

// tell lets an event for identity wait, if none does.
func (w *Watcher) tell(identity string) {
	if !w.all && !slices.Contains(w.waiting, identity) {
		w.waiting = append(w.waiting, identity)
	}
}

// change handles one change that the kernel told of.
func (w *Watcher) change(e fsnotify.Event) {
	dir, name := filepath.Split(e.Name)
	dir = filepath.Clean(dir)
	switch {
	case dir == w.root && state.ValidIdentity(name):
		if e.Has(fsnotify.Create) {
			w.look(name)
		} else if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
			w.forget(name)
		}
	case filepath.Dir(dir) == w.root && ours(name) && e.Op != fsnotify.Chmod:
		if identity := filepath.Base(dir); state.ValidIdentity(identity) {
			w.tell(identity)
		}
	}
}

// ours says whether a file's name is that of a request or an answer.
func ours(name string) bool {
	return !strings.HasPrefix(name, ".") && (strings.HasSuffix(name, requestSuffix) || strings.HasSuffix(name, answerSuffix))
}

// look watches a bottle's directory, and tells of it if it is not as it was seen last.
func (w *Watcher) look(identity string) {
	path := filepath.Join(w.root, identity)
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		w.forget(identity)
		return
	}
	// Watch first: what was in it before is found by whoever hears the event, what comes later is told.
	_ = w.source.add(path) // where that fails, the next scan sees what changed
	if info, err = os.Lstat(path); err != nil {
		w.forget(identity)
		return
	}
	if now := (stamp{info, info.ModTime()}); !w.seen[identity].same(now) {
		w.seen[identity] = now
		w.tell(identity)
	}
}

func (w *Watcher) forget(identity string) {
	if _, ok := w.seen[identity]; ok {
		delete(w.seen, identity)
		w.tell(identity)
	}
}

// scan looks at every directory.
func (w *Watcher) scan() {
	_ = w.source.add(w.root) // again each time: the root may be another one
	there := map[string]bool{}
	if d, err := os.Open(w.root); err == nil {
		names, _ := d.Readdirnames(maxBottles) // with an error come the names that were read
		_ = d.Close()
		slices.Sort(names)
		for _, name := range names {
			if state.ValidIdentity(name) {
				there[name] = true
				w.look(name)
			}
		}
	}
	for identity := range w.seen {
		if !there[identity] {
			w.forget(identity)
		}
	}
}
