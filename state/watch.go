package state

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const maxWatched = 10_000 // directories of identities that are watched under one root

// Watching says what a Watcher watches under its root.
type Watching struct {
	// Every is how often all directories are looked at though nothing was told: against events that got lost, a
	// directory that was replaced faster than it could be watched, or a lack of watches.
	Every time.Duration
	// Alone is the same where the kernel gives no events at all.
	Alone time.Duration
	// Within are directories in an identity's directory that are watched with it.
	Within []string
	// Matters says whether a change of the file of that name is told; hidden ones are not in any case.
	Matters func(name string) bool
	// Known says that what is there already need not be told.
	Known bool
}

// Change says: look at what belongs to this identity again. With Overflow it says so of all, and Identity is "".
type Change struct {
	Identity string
	Overflow bool
}

// Watcher tells of changes in the directories of identities under one root. Each directory that is there, or
// comes, or changes, or goes, gives a Change; while one waits to be received, more of the same add none. The root itself
// may go away, come back, or be another one.
type Watcher struct {
	root   string
	what   Watching
	source notifier
	events chan Change
	cancel context.CancelFunc
	done   chan struct{}

	// Owned by the goroutine.
	self    fs.FileInfo        // of the root; nil: it is not there
	seen    map[string][]stamp // by identity: of its directory, and of those in it that are watched, too
	waiting []string           // identities with a Change to give, in order
	all     bool               // an overflow to give
}

// notifier gives the changes of the directories that were added. Its channels may be nil.
type notifier struct {
	add     func(dir string) error
	close   func() error
	changes <-chan fsnotify.Event
	errors  <-chan error
}

// stamp is what a directory looked like.
type stamp struct {
	info     fs.FileInfo
	modified time.Time
	fresh    bool // it was changed just before: another change may have left the same time
	watched  bool // its changes are told
}

// stampOf is what a directory looks like now; without info where there is none.
func stampOf(dir string) stamp {
	info, err := os.Lstat(dir)
	if err != nil {
		return stamp{}
	}
	return stamp{info: info, modified: info.ModTime(), fresh: time.Since(info.ModTime()) < tick}
}

// tick is longer than the time between two times that a file system gives to changes.
const tick = 20 * time.Millisecond

// same says that nothing changed since s was taken.
func (s stamp) same(other stamp) bool {
	if s.info == nil || other.info == nil {
		return s.info == nil && other.info == nil
	}
	return !s.fresh && s.modified.Equal(other.modified) && os.SameFile(s.info, other.info)
}

// Watch watches root, whose directories are named by identities, until ctx ends or Close is called. When it returns,
// whatever happens from then on will be told; what is there already is told first, unless it is known.
func Watch(ctx context.Context, root string, what Watching) *Watcher {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		// Mostly too many programs that watch: slower, but it works.
		what.Every = what.Alone
		return watch(ctx, root, notifier{add: func(string) error { return nil }, close: func() error { return nil }}, what)
	}
	return watch(ctx, root, notifier{n.Add, n.Close, n.Events, n.Errors}, what)
}

func watch(ctx context.Context, root string, from notifier, what Watching) *Watcher {
	ctx, cancel := context.WithCancel(ctx)
	w := &Watcher{
		root: root, what: what, source: from, events: make(chan Change), cancel: cancel, done: make(chan struct{}),
		seen: map[string][]stamp{},
	}
	w.self = w.itself()
	w.scan()
	if what.Known {
		w.waiting = nil
	}
	go w.run(ctx)
	return w
}

// Events is closed when the watcher ends.
func (w *Watcher) Events() <-chan Change { return w.events }

// Close ends the watcher and waits until it did.
func (w *Watcher) Close() error {
	w.cancel()
	<-w.done
	return nil
}

func (w *Watcher) run(ctx context.Context) {
	defer close(w.done)
	defer close(w.events)
	defer w.source.close()
	defer w.cancel()
	tick := time.NewTicker(w.what.Every)
	defer tick.Stop()
	for {
		// Giving an event is one case among others: however slow the receiver is, changes are
		// taken from the kernel.
		var give chan<- Change
		var next Change
		switch {
		case w.all:
			give, next = w.events, Change{Overflow: true}
		case len(w.waiting) > 0:
			give, next = w.events, Change{Identity: w.waiting[0]}
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

// tell lets a Change of identity wait, if none does.
func (w *Watcher) tell(identity string) {
	if !w.all && !slices.Contains(w.waiting, identity) {
		w.waiting = append(w.waiting, identity)
	}
}

// change handles one change that the kernel told of.
func (w *Watcher) change(e fsnotify.Event) {
	path, err := filepath.Rel(w.root, e.Name)
	if err != nil {
		return
	}
	identity, below, _ := strings.Cut(path, string(filepath.Separator))
	name := filepath.Base(e.Name)
	switch {
	case !ValidIdentity(identity):
	case below == "":
		if e.Has(fsnotify.Create) {
			w.look(identity)
		} else if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
			w.forget(identity)
		}
	case slices.Contains(w.what.Within, below):
		w.look(identity)
	case e.Op != fsnotify.Chmod && !strings.HasPrefix(name, ".") && w.what.Matters(name):
		w.tell(identity)
	}
}

// look watches an identity's directories, and tells of it if they are not as they were seen last.
func (w *Watcher) look(identity string) {
	path := filepath.Join(w.root, identity)
	before := w.seen[identity]
	now := make([]stamp, 0, 1+len(w.what.Within))
	for i, dir := range append([]string{""}, w.what.Within...) {
		dir = filepath.Join(path, dir)
		is := stampOf(dir)
		if i == 0 && (is.info == nil || !is.info.IsDir()) {
			w.forget(identity)
			return
		}
		if i < len(before) && before[i].watched && before[i].same(is) {
			is.watched = true // what does not change is looked at each second: that has to cost little
		} else if is.info != nil {
			// Watch first: what was in it before is found by whoever hears the Change, what comes later is told.
			added := w.source.add(dir) == nil // where that fails, the next scan sees what changed
			is = stampOf(dir)
			is.watched = added
		}
		now = append(now, is)
	}
	w.seen[identity] = now
	if !slices.EqualFunc(before, now, stamp.same) {
		w.tell(identity)
	}
}

func (w *Watcher) forget(identity string) {
	if _, ok := w.seen[identity]; ok {
		delete(w.seen, identity)
		w.tell(identity)
	}
}

// itself is what stands in the root's place; nil: nothing that can be seen.
func (w *Watcher) itself() fs.FileInfo {
	info, err := os.Stat(w.root)
	if err != nil {
		return nil
	}
	return info
}

// scan looks at every directory. That the root went, or is another one, is told as an overflow where no directory tells it.
func (w *Watcher) scan() {
	if now := w.itself(); (now == nil) != (w.self == nil) || now != nil && !os.SameFile(now, w.self) {
		w.self = now
		defer func() { w.all = w.all || len(w.waiting) == 0 }()
	}
	_ = w.source.add(w.root) // again each time: the root may be another one
	there := map[string]bool{}
	if d, err := os.Open(w.root); err == nil {
		names, _ := d.Readdirnames(maxWatched) // with an error come the names that were read
		_ = d.Close()
		slices.Sort(names)
		for _, name := range names {
			if ValidIdentity(name) {
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
