package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// Bottle is the state directory of one bottle. It holds no open file: any number of them may stand for
// the same bottle.
type Bottle struct {
	root     *Root
	identity string
	dir      string // while it is made; "": under its identity
}

// Identity is the bottle's identity.
func (b *Bottle) Identity() string { return b.identity }

// Dir is the absolute path of its state directory.
func (b *Bottle) Dir() string {
	if b.dir != "" {
		return b.dir
	}
	return filepath.Join(b.root.stateDir(), b.identity)
}

// briefly runs do alone on this bottle's files.
func (b *Bottle) briefly(do func() error) error {
	return b.orUnknown(briefly(b.Dir(), do))
}

// orUnknown makes ErrUnknown of an error whose cause is that the bottle was deleted.
func (b *Bottle) orUnknown(err error) error {
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrUnknown) {
		if _, gone := b.root.Bottle(b.identity); gone != nil {
			return gone
		}
	}
	return err
}

func (b *Bottle) lockPath() string { return filepath.Join(b.Dir(), "lock") }

// Lock waits until no other holder, in this program or another, has the bottle's lock, and takes it.
// A holder's death frees it. unlock leaves the lock's file where it is.
func (b *Bottle) Lock(ctx context.Context) (unlock func() error, err error) {
	for {
		unlock, ok, err := b.TryLock()
		if err != nil || ok {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the lock of %s, which another bottle-tui holds: %w", b.identity, context.Cause(ctx))
		case <-time.After(lockPoll):
		}
	}
}

// TryLock takes the bottle's lock if nobody has it; ok says whether it did.
func (b *Bottle) TryLock() (unlock func() error, ok bool, err error) {
	lock := flock.New(b.lockPath(), flock.SetPermissions(filePerm))
	ok, err = lock.TryLock()
	if err != nil {
		return nil, false, b.orUnknown(fmt.Errorf("locking %s: %w%s", b.lockPath(), err, adviceFor(err)))
	}
	if !ok {
		return nil, false, nil
	}
	// The bottle may have been deleted since the file was opened: a lock that no path leads to
	// protects nothing.
	held, err := lock.Stat()
	if err == nil {
		var there fs.FileInfo
		if there, err = os.Stat(b.lockPath()); err == nil && !os.SameFile(held, there) {
			err = fs.ErrNotExist
		}
	}
	if err != nil {
		err = errors.Join(err, lock.Unlock())
		return nil, false, b.orUnknown(fmt.Errorf("locking %s: %w", b.lockPath(), err))
	}
	return lock.Unlock, true, nil
}

// Delete removes the bottle's state and queue for good. Its audit log stays. The caller holds the lock,
// which goes too. Deleting what is deleted is not an error.
func (b *Bottle) Delete() error {
	// The state goes last: as long as it is there, a deletion that was cut short can be asked for again.
	if err := b.root.retire(b.root.QueueDir(b.identity)); err != nil {
		return err
	}
	return b.root.retire(b.Dir())
}

// PutConfig writes config/<name>, one of the files that the agent sees as its current configuration.
func (b *Bottle) PutConfig(name string, content []byte) error {
	path, err := b.configPath(name)
	if err != nil {
		return err
	}
	if err := makeDir(filepath.Dir(path)); err != nil {
		return b.orUnknown(fmt.Errorf("writing %s: %w%s", path, err, adviceFor(err)))
	}
	return WriteFile(path, content, filePerm)
}

// Config reads config/<name>; nil, nil when there is none.
func (b *Bottle) Config(name string) ([]byte, error) {
	path, err := b.configPath(name)
	if err != nil {
		return nil, err
	}
	return optional(path, maxFile)
}

func (b *Bottle) configPath(name string) (string, error) {
	if !configForm.MatchString(name) {
		return "", fmt.Errorf("%q can't be the name of a configuration file", name)
	}
	return filepath.Join(b.Dir(), "config", name), nil
}

// PutGrants writes grants.json: what the operator granted beyond the profile.
func (b *Bottle) PutGrants(content []byte) error {
	return b.orUnknown(WriteFile(b.grantsPath(), content, filePerm))
}

// Grants reads grants.json; nil, nil when there is none.
func (b *Bottle) Grants() ([]byte, error) { return optional(b.grantsPath(), maxFile) }

// PutBase writes base.json: what the profile let through when the bottle last came to life.
func (b *Bottle) PutBase(content []byte) error {
	return b.orUnknown(WriteFile(b.basePath(), content, filePerm))
}

// Base reads base.json; nil, nil when there is none.
func (b *Bottle) Base() ([]byte, error) { return optional(b.basePath(), maxFile) }

// PutLaunched writes launched.json: the profile that the bottle was last brought to life with. It names files, which is what
// KeepLaunched was given; what was kept before goes.
func (b *Bottle) PutLaunched(content []byte, files string) error {
	if len(content) > maxLaunched {
		return fmt.Errorf("writing %s: %d bytes are more than the %d that are allowed", b.launchedPath(), len(content), maxLaunched)
	}
	if err := b.orUnknown(WriteFile(b.launchedPath(), content, filePerm)); err != nil {
		return err
	}
	older, err := filepath.Glob(b.keptPath("*"))
	for _, path := range older {
		if path != b.keptPath(files) {
			err = errors.Join(err, removeFile(path))
		}
	}
	return err
}

// Launched reads launched.json; nil, nil when there is none.
func (b *Bottle) Launched() ([]byte, error) { return optional(b.launchedPath(), maxLaunched) }

// KeepLaunched keeps what is long of a profile, before PutLaunched names it: name is its hash, and tells it from every other.
func (b *Bottle) KeepLaunched(name string, content []byte) error {
	if _, err := os.Lstat(b.keptPath(name)); err == nil {
		return nil
	}
	return b.orUnknown(WriteFile(b.keptPath(name), content, filePerm))
}

// LaunchedKept reads what KeepLaunched was given.
func (b *Bottle) LaunchedKept(name string) ([]byte, error) {
	return ReadFile(b.keptPath(name), maxLaunched)
}

func (b *Bottle) keptPath(name string) string {
	return filepath.Join(b.Dir(), "launched."+name+".files.json")
}

func (b *Bottle) launchedPath() string { return filepath.Join(b.Dir(), "launched.json") }

// maxLaunched bounds launched.json and what is kept beside it, in bytes: that has the agent's skills in it.
const maxLaunched = 32 << 20

func (b *Bottle) basePath() string { return filepath.Join(b.Dir(), "base.json") }

func (b *Bottle) grantsPath() string { return filepath.Join(b.Dir(), "grants.json") }

// Operation is the operation in flight, as operation.json keeps it for whoever has to finish it or roll
// it back after a crash.
type Operation struct {
	Kind      string          `json:"kind"`
	Step      string          `json:"step"`
	StartedAt time.Time       `json:"started_at"`
	PID       int             `json:"pid"` // of the program that does it; for people, the lock tells whether it lives
	Inputs    json.RawMessage `json:"inputs,omitempty"`
	Failed    string          `json:"failed,omitempty"` // why it could not be finished the last time that a program tried
}

func (b *Bottle) operationPath() string { return filepath.Join(b.Dir(), "operation.json") }

// Operation reads the operation in flight; nil, nil when there is none.
func (b *Bottle) Operation() (*Operation, error) {
	content, err := optional(b.operationPath(), maxFile)
	if err != nil || content == nil {
		return nil, err
	}
	o, err := ParseObject(content)
	op := &Operation{}
	if err == nil {
		err = decode(o, []named{{"kind", &op.Kind}, {"step", &op.Step}, {"started_at", &op.StartedAt}, {"pid", &op.PID}, {"inputs", &op.Inputs}, {"failed", &op.Failed}})
	}
	if err == nil && op.Kind == "" {
		err = errors.New(`the field "kind" is missing`)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w: look at what the bottle's containers do, then remove the file; it was left as it is", b.operationPath(), err)
	}
	return op, nil
}

type named struct {
	name string
	to   any
}

func decode(o *Object, fields []named) error {
	for _, f := range fields {
		if _, err := o.Get(f.name, f.to); err != nil {
			return err
		}
	}
	return nil
}

// PutOperation writes operation.json.
func (b *Bottle) PutOperation(op Operation) error {
	content, err := marshal(op)
	if err != nil {
		return fmt.Errorf("writing %s: %w", b.operationPath(), err)
	}
	content = append(content, '\n')
	if len(content) > maxFile {
		return fmt.Errorf("writing %s: %d bytes are more than the %d that are allowed", b.operationPath(), len(content), maxFile)
	}
	return b.orUnknown(WriteFile(b.operationPath(), content, filePerm))
}

// ClearOperation removes operation.json; that there is none is not an error.
func (b *Bottle) ClearOperation() error { return removeFile(b.operationPath()) }
