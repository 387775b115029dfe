package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// ErrUnknown: there is no bottle of that identity under the state root, or it was deleted meanwhile.
var ErrUnknown = errors.New("no such bottle")

const (
	homeEnv     = "CLAUDE_BOTTLE_HOME"
	mintTries   = 64
	deletedMark = ".deleted-" // begins the name of a directory that is being deleted
	draftMark   = ".new-"     // begins the name of a state directory that is being made
	draftAge    = time.Hour   // until one is taken for what a crash left
)

// Root is a state root directory. Several programs may use one at the same time.
type Root struct {
	dir      string      // absolute, without links
	id       string      // see ID
	opened   fs.FileInfo // the directory as it was opened; nil: there was none
	readOnly bool        // nothing in it is made or removed
}

// Problem is something on disk that could not be read; it is left alone.
type Problem struct {
	Path string
	Err  string // the reason, and what to do
}

// DefaultDir is $CLAUDE_BOTTLE_HOME, or .claude-bottle in the user's home directory.
func DefaultDir() (string, error) {
	if dir := os.Getenv(homeEnv); dir != "" {
		return filepath.Abs(dir)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("looking for the home directory: %w: set HOME or %s", err, homeEnv)
	}
	return filepath.Join(home, ".claude-bottle"), nil
}

// Open opens the state root dir and makes what is missing of it. The permissions of a dir that exists
// are left as they are; state/, queue/ and audit/ in it become 0700.
func Open(dir string) (*Root, error) { return OpenWith(dir, Options{}) }

// OpenWith is Open, with what it refuses allowed.
func OpenWith(dir string, o Options) (*Root, error) {
	abs, err := filepath.Abs(dir)
	if err == nil {
		err = spelled(abs)
	}
	if err == nil {
		err = mounted(abs)
	}
	if err == nil && !o.OtherOwner {
		err = owned(abs)
	}
	if err == nil {
		err = os.MkdirAll(abs, dirPerm)
	}
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return nil, notOpened(dir, err)
	}
	_ = SyncDir(filepath.Dir(abs)) // best effort: the parent may not be ours to open
	r := &Root{dir: abs}
	if !r.Bare() { // looked at first: another program that makes the root makes state/ before all else
		_, err = os.Lstat(r.stateDir())
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening the state directory %s: %s is missing, though bottles were kept there: bring it back, or make it with mkdir if it is to be empty", dir, r.stateDir())
	}
	for _, sub := range []string{r.stateDir(), r.queueRoot(), r.auditDir()} {
		err := makeDir(sub)
		if err == nil && !o.Insecure {
			err = private(sub)
		}
		if err != nil {
			return nil, fmt.Errorf("opening the state directory %s: %w%s, or %s", dir, err, adviceFor(err), chooseAnother)
		}
		r.sweep(sub)
	}
	if r.opened, err = os.Stat(abs); err == nil {
		err = r.takeID()
	}
	if err != nil {
		return nil, fmt.Errorf("opening the state directory %s: %w", dir, err)
	}
	return r, nil
}

// OpenReadOnly opens the state root dir for looking at it: nothing in it is made, changed or removed. One that is not
// there is an empty one.
func OpenReadOnly(dir string) (*Root, error) {
	abs, err := filepath.Abs(dir)
	if err != nil { // the current directory is gone: that is not a root that is not there
		return nil, notOpened(dir, err)
	}
	err = spelled(abs)
	if err == nil {
		err = mounted(abs)
	}
	r := &Root{dir: abs, readOnly: true}
	if err == nil {
		r.opened, err = os.Stat(abs)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return r, nil
	case err == nil && !r.opened.IsDir():
		err = errors.New("it is not a directory")
	case err == nil:
		r.dir, err = filepath.EvalSymlinks(abs)
	}
	if err == nil {
		if r.id, err = readID(r.dir); errors.Is(err, fs.ErrNotExist) {
			err = nil // an earlier version's, which knows no id
		}
	}
	if err != nil {
		return nil, notOpened(dir, err)
	}
	return r, nil
}

const chooseAnother = "choose another directory with --home or " + homeEnv

func notOpened(dir string, err error) error {
	if !utf8.ValidString(dir) {
		dir = strconv.Quote(dir) // a terminal would not show its bytes
	}
	return fmt.Errorf("opening the state directory %s: %w: %s", dir, err, chooseAnother)
}

// Bare says whether nothing was ever kept here: no state/, and nothing beside it that would go with one.
func (r *Root) Bare() bool {
	for _, path := range []string{r.stateDir(), filepath.Join(r.dir, idFile), r.queueRoot(), r.auditDir()} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}

// mounted refuses a root that is a link to what is not there: the disk that it leads to is not mounted, and must not be
// written beside.
func mounted(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return nil // what is wrong otherwise shows when it is opened
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		to, _ := os.Readlink(dir) // "" says nothing, and does no harm
		return fmt.Errorf("it is a link to %s, which is not there: mount the disk that it is on", to)
	}
	return nil
}

// Dir is the root's absolute path without links.
func (r *Root) Dir() string { return r.dir }

func (r *Root) stateDir() string  { return filepath.Join(r.dir, "state") }
func (r *Root) queueRoot() string { return filepath.Join(r.dir, "queue") }
func (r *Root) auditDir() string  { return filepath.Join(r.dir, "audit") }

// Watch tells of changes of the bottles' states: of each one's files, and of its coming and going. What is
// there already is not told, the rest within about a second, whoever makes them and also where the kernel tells nothing. Transcripts and locks do not count.
func (r *Root) Watch(ctx context.Context) *Watcher {
	return Watch(ctx, r.stateDir(), Watching{
		Every: time.Second, Alone: time.Second, Known: true, Within: []string{"config"},
		Matters: func(name string) bool { return name != "lock" && name != "transcript" },
	})
}

// QueueRoot is the directory that holds every bottle's queue directory.
func (r *Root) QueueRoot() string { return r.queueRoot() }

// QueueDir is the queue directory of one bottle, for queue.Open. It panics when identity is not valid:
// no name from outside may reach it unchecked.
func (r *Root) QueueDir(identity string) string {
	mustBeValid(identity)
	return filepath.Join(r.queueRoot(), identity)
}

func mustBeValid(identity string) {
	if !ValidIdentity(identity) {
		panic(fmt.Sprintf("state: %q is not an identity", identity))
	}
}

// NewIdentity is an identity that nothing here has ever had. Nothing is made: another may take it first.
func (r *Root) NewIdentity(agent string) (string, error) {
	for range mintTries {
		identity := mint(agent)
		if _, err := r.Bottle(identity); errors.Is(err, ErrUnknown) && !r.known(identity) {
			return identity, nil
		}
	}
	return "", fmt.Errorf("making a new identity for %q: %d tries were all taken under %s", agent, mintTries, r.dir)
}

// ErrTaken: a bottle has, or had, the identity that was asked for.
var ErrTaken = errors.New("the identity is taken")

// Create makes the state directory of a new bottle under an identity that nothing here has ever had,
// and writes its metadata. A zero StartedAt becomes now.
func (r *Root) Create(m Metadata) (*Bottle, error) {
	for range mintTries {
		b, err := r.CreateAs(mint(m.AgentName), m)
		if !errors.Is(err, ErrTaken) {
			return b, err
		}
	}
	return nil, fmt.Errorf("making a new identity for %q: %d tries were all taken under %s", m.AgentName, mintTries, r.dir)
}

// CreateAs is Create under an identity that was chosen before; ErrTaken when something here has or had it. The directory
// appears whole: it is made under a hidden name, and renamed while nothing else is decided by its absence.
func (r *Root) CreateAs(identity string, m Metadata) (*Bottle, error) {
	if !ValidIdentity(identity) {
		return nil, fmt.Errorf("%q is not an identity (an agent's name, a dash, five letters or digits)", identity)
	}
	b := &Bottle{root: r, identity: identity}
	if m.StartedAt.IsZero() {
		m.StartedAt = time.Now()
	}
	if err := r.Check(); err != nil { // in another root at its place nobody would find it
		return nil, fmt.Errorf("making the bottle %s: %w", identity, err)
	}
	draft := &Bottle{root: r, identity: identity, dir: filepath.Join(r.stateDir(), draftMark+identity+"-"+RandomBase36(8))}
	err := os.Mkdir(draft.Dir(), dirPerm)
	if err != nil {
		return nil, fmt.Errorf("making the state directory %s: %w%s", b.Dir(), err, adviceFor(err))
	}
	if err = draft.createMetadata(m); err == nil {
		err = r.Alone(func() error {
			if r.Has(identity) || r.known(identity) {
				return fmt.Errorf("%w: %s; launch again for another one", ErrTaken, identity)
			}
			if err := os.Rename(draft.Dir(), b.Dir()); err != nil {
				return fmt.Errorf("making the state directory %s: %w%s", b.Dir(), err, adviceFor(err))
			}
			return SyncDir(r.stateDir())
		})
	}
	if err != nil {
		_ = os.RemoveAll(draft.Dir()) // best effort: the error says what matters
		return nil, err
	}
	return b, nil
}

// known says whether an earlier bottle of that identity left a queue or an audit log.
func (r *Root) known(identity string) bool {
	for _, path := range []string{r.QueueDir(identity), r.auditPath(identity)} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}

// Bottle finds a bottle that has a state directory; else the error is ErrUnknown, or ErrGone where the root is not there.
func (r *Root) Bottle(identity string) (*Bottle, error) {
	if !ValidIdentity(identity) {
		return nil, fmt.Errorf("%w: %q is not an identity (an agent's name, a dash, five letters or digits)", ErrUnknown, identity)
	}
	b := &Bottle{root: r, identity: identity}
	info, err := os.Lstat(b.Dir())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := r.Check(); err != nil {
			return nil, fmt.Errorf("looking for the bottle %s: %w", identity, err) // it is not known to be gone
		}
		return nil, fmt.Errorf("%w: %s has no state under %s", ErrUnknown, identity, r.stateDir())
	case err != nil:
		return nil, fmt.Errorf("looking for the bottle %s: %w%s", identity, err, adviceFor(err))
	case !info.IsDir():
		return nil, fmt.Errorf("looking for the bottle %s: %s is not a directory: move it away", identity, b.Dir())
	}
	return b, nil
}

// Alone runs do while no other program or goroutine does so on this root, or makes a bottle in it. It is for what decides
// by the absence of a bottle.
func (r *Root) Alone(do func() error) error { return briefly(r.stateDir(), do) }

// Listing is what stands under state/.
type Listing struct {
	Bottles  []*Bottle         // with a state directory, by identity; their files were not read
	Unusable map[string]string // identity → why what stands there under that name is no state directory
	Problems []Problem         // all that is wrong
	Err      error             // state/ could not be listed, or the root is gone: what is missing from the above may be there
}

// Scan lists the bottles, and what stands among them without being one. Hidden names are passed over.
func (r *Root) Scan() Listing {
	l := Listing{Unusable: map[string]string{}}
	entries, err := os.ReadDir(r.stateDir())
	if errors.Is(err, fs.ErrNotExist) {
		if r.Bare() {
			err = nil // nothing was ever kept here
		} else {
			entries, err = os.ReadDir(r.stateDir()) // it may have been made since
		}
	}
	if err != nil {
		l.Err = fmt.Errorf("listing the bottles in %s: %w%s", r.stateDir(), errors.Unwrap(err), adviceFor(err))
	}
	if gone := r.Check(); gone != nil { // after it was listed: what was listed was the root's
		l.Err, entries = gone, nil // what was listed may be another's
	}
	if l.Err != nil {
		l.Problems = append(l.Problems, Problem{r.stateDir(), l.Err.Error()})
	}
	for _, e := range entries {
		path, why := filepath.Join(r.stateDir(), e.Name()), ""
		switch {
		case strings.HasPrefix(e.Name(), "."):
			continue
		case !ValidIdentity(e.Name()):
			l.Problems = append(l.Problems, Problem{path, notAnIdentity(e)})
			continue
		case e.Type()&fs.ModeSymlink != 0:
			why = "it is a link, and bottle-tui follows none here: move the directory back to this place (a bind mount keeps it on another disk)"
		case !e.IsDir():
			why = "it is not a directory: move it away, and the bottle's directory back to this place"
		default:
			l.Bottles = append(l.Bottles, &Bottle{root: r, identity: e.Name()})
			continue
		}
		l.Unusable[e.Name()] = path + ": " + why
		l.Problems = append(l.Problems, Problem{path, why})
	}
	return l
}

func notAnIdentity(e fs.DirEntry) string {
	if !e.IsDir() {
		return "it is not a directory: move it away"
	}
	return "its name is not an identity: bottle-tui leaves it alone; move it away if it is not needed"
}

// List is every bottle that has a state directory, by identity, and what is wrong: see Scan.
func (r *Root) List() ([]*Bottle, []Problem) {
	l := r.Scan()
	return l.Bottles, l.Problems
}

// retire deletes dir, which lies directly under a directory of the root: first its name goes, at once,
// then its content. One that is not there is not an error, unless the root is not there either.
func (r *Root) retire(dir string) error {
	gone := filepath.Join(filepath.Dir(dir), deletedMark+filepath.Base(dir)+"-"+RandomBase36(8))
	err := os.Rename(dir, gone)
	if errors.Is(err, fs.ErrNotExist) {
		return r.Check()
	}
	if err == nil {
		err = SyncDir(filepath.Dir(dir))
	}
	if err == nil {
		err = os.RemoveAll(gone)
	}
	if err != nil {
		return fmt.Errorf("deleting %s: %w%s", dir, err, adviceFor(err))
	}
	return nil
}

// Remove removes all that is kept in the root, the audit logs too, the files besides in it at last, and its directory where
// nothing else is in it: a root may have been made where other files are. What was removed is not an error.
func (r *Root) Remove(besides ...string) error {
	all := []string{r.queueRoot(), r.auditDir(), r.stateDir(), filepath.Join(r.dir, idFile)}
	for _, name := range besides {
		all = append(all, filepath.Join(r.dir, name))
	}
	for _, path := range all {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove the state root: %w%s", err, adviceFor(err))
		}
	}
	err := os.Remove(r.dir)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove the state root: %w%s", err, adviceFor(err))
	}
	return nil
}

// sweep finishes deletions that a crash left half done, and removes what it left of a bottle that was being made. What resists waits for the next time.
func (r *Root) sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		old := false
		if strings.HasPrefix(e.Name(), draftMark) {
			info, err := e.Info()
			old = err == nil && time.Since(info.ModTime()) > draftAge
		}
		if (old || strings.HasPrefix(e.Name(), deletedMark)) && e.IsDir() {
			_ = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
}
