package state

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrUnknown: there is no bottle of that identity under the state root, or it was deleted meanwhile.
var ErrUnknown = errors.New("no such bottle")

const (
	homeEnv     = "CLAUDE_BOTTLE_HOME"
	mintTries   = 64
	deletedMark = ".deleted-" // begins the name of a directory that is being deleted
)

// Root is a state root directory. Several programs may use one at the same time.
type Root struct {
	dir string // absolute, without links
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
func Open(dir string) (*Root, error) {
	advice := "choose another directory with --home or " + homeEnv
	abs, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(abs, dirPerm)
	}
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the state directory %s: %w: %s", dir, err, advice)
	}
	_ = SyncDir(filepath.Dir(abs)) // best effort: the parent may not be ours to open
	r := &Root{dir: abs}
	for _, sub := range []string{r.stateDir(), r.queueRoot(), r.auditDir()} {
		if err := makeDir(sub); err != nil {
			return nil, fmt.Errorf("opening the state directory %s: %w%s, or %s", dir, err, adviceFor(err), advice)
		}
		r.sweep(sub)
	}
	return r, nil
}

// Dir is the root's absolute path without links.
func (r *Root) Dir() string { return r.dir }

// ID is 12 hexadecimal digits of the hash of Dir: by it one engine tells apart the bottles of several
// state roots (label claude-bottle.root).
func (r *Root) ID() string {
	sum := sha256.Sum256([]byte(r.dir))
	return hex.EncodeToString(sum[:6])
}

func (r *Root) stateDir() string  { return filepath.Join(r.dir, "state") }
func (r *Root) queueRoot() string { return filepath.Join(r.dir, "queue") }
func (r *Root) auditDir() string  { return filepath.Join(r.dir, "audit") }

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

// CreateAs is Create under an identity that was chosen before; ErrTaken when something here has or had it.
func (r *Root) CreateAs(identity string, m Metadata) (*Bottle, error) {
	if !ValidIdentity(identity) {
		return nil, fmt.Errorf("%q is not an identity (an agent's name, a dash, five letters or digits)", identity)
	}
	b := &Bottle{root: r, identity: identity}
	taken := fmt.Errorf("%w: %s; launch again for another one", ErrTaken, identity)
	if r.known(identity) {
		return nil, taken
	}
	err := os.Mkdir(b.Dir(), dirPerm) // exclusive: of two programs with the same luck one goes on
	if errors.Is(err, fs.ErrExist) {
		return nil, taken
	}
	if err == nil {
		err = SyncDir(r.stateDir())
	}
	if err != nil {
		return nil, fmt.Errorf("making the state directory %s: %w%s", b.Dir(), err, adviceFor(err))
	}
	if m.StartedAt.IsZero() {
		m.StartedAt = time.Now()
	}
	if err := b.createMetadata(m); err != nil {
		_ = os.RemoveAll(b.Dir()) // best effort: the error says what matters
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

// Bottle finds a bottle that has a state directory; else the error is ErrUnknown.
func (r *Root) Bottle(identity string) (*Bottle, error) {
	if !ValidIdentity(identity) {
		return nil, fmt.Errorf("%w: %q is not an identity (an agent's name, a dash, five letters or digits)", ErrUnknown, identity)
	}
	b := &Bottle{root: r, identity: identity}
	info, err := os.Lstat(b.Dir())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s has no state under %s", ErrUnknown, identity, r.stateDir())
	case err != nil:
		return nil, fmt.Errorf("looking for the bottle %s: %w%s", identity, err, adviceFor(err))
	case !info.IsDir():
		return nil, fmt.Errorf("looking for the bottle %s: %s is not a directory: move it away", identity, b.Dir())
	}
	return b, nil
}

// List is every bottle that has a state directory, by identity, and what stands among them without
// being one. Hidden names are passed over. It does not read the bottles' files.
func (r *Root) List() ([]*Bottle, []Problem) {
	entries, err := os.ReadDir(r.stateDir())
	var problems []Problem
	if err != nil {
		problems = append(problems, Problem{r.stateDir(), fmt.Sprintf("listing the bottles: %v%s", errors.Unwrap(err), adviceFor(err))})
	}
	bottles := make([]*Bottle, 0, len(entries))
	for _, e := range entries {
		path := filepath.Join(r.stateDir(), e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case !e.IsDir():
			problems = append(problems, Problem{path, "it is not a directory: move it away"})
		case !ValidIdentity(e.Name()):
			problems = append(problems, Problem{path, "its name is not an identity: bottle-tui leaves it alone; move it away if it is not needed"})
		default:
			bottles = append(bottles, &Bottle{root: r, identity: e.Name()})
		}
	}
	return bottles, problems
}

// retire deletes dir, which lies directly under a directory of the root: first its name goes, at once,
// then its content. One that is not there is not an error.
func (r *Root) retire(dir string) error {
	gone := filepath.Join(filepath.Dir(dir), deletedMark+filepath.Base(dir)+"-"+RandomBase36(8))
	err := os.Rename(dir, gone)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
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

// sweep finishes deletions that a crash left half done. What resists waits for the next time.
func (r *Root) sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), deletedMark) && e.IsDir() {
			_ = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
}
