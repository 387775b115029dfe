package state

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// ErrGone: the directory is not the state root any more that was opened. It was moved, unmounted or replaced.
var ErrGone = errors.New("the state root is not there any more")

const (
	idFile  = "id"
	idBytes = 8
	idWait  = 2 * time.Second // for another program to write the id that it has just begun
)

var idForm = regexp.MustCompile(`^[0-9a-f]{12,64}$`)

// ID is the root's random id, which its file id holds: by it one engine tells apart the bottles of several state roots
// (label claude-bottle.root). "" in a root that was opened read-only and has none yet.
func (r *Root) ID() string { return r.id }

// PathID is the id that earlier versions gave to the root: 12 hexadecimal digits of the hash of its path. Two roots of
// one path on two file systems share it, so it proves nothing without the identity: see Owns.
func (r *Root) PathID() string {
	sum := sha256.Sum256([]byte(r.dir))
	return hex.EncodeToString(sum[:6])
}

// Owns says whether what carries this identity and this root's id on an engine belongs to this root: under its own id
// whatever the identity, under the hash of its path where it has a state, a queue or an audit log of that identity, and
// under the id that a bottle was taken over from. What could not be looked at counts as there.
func (r *Root) Owns(identity, id string) bool {
	switch {
	case id == "" || !ValidIdentity(identity):
		return false
	case id == r.id:
		return true
	case id == r.PathID() && (r.Has(identity) || r.known(identity)):
		return true
	}
	m, err := (&Bottle{root: r, identity: identity}).Metadata()
	return err == nil && m.Root == id
}

// Has says whether state/ has an entry of that identity in any form: a directory, whoever may read it, a file, a link
// that leads nowhere. Where that can't be found out it has one.
func (r *Root) Has(identity string) bool {
	if !ValidIdentity(identity) {
		return false
	}
	_, err := os.Lstat((&Bottle{root: r, identity: identity}).Dir())
	return !errors.Is(err, fs.ErrNotExist)
}

// Check sees whether the directory is still the state root that was opened; else the error is ErrGone. In the same
// directory an id file that was removed is put back.
func (r *Root) Check() error {
	id, err := readID(r.dir)
	gone := func(why string) error {
		return fmt.Errorf("%w: %s %s; bring it back, or leave and start bottle-tui again", ErrGone, r.dir, why)
	}
	switch {
	case err == nil && (id == r.id || r.id == ""):
		return nil
	case err == nil:
		return gone("is another state root now (its id is " + id + ")")
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	now, err := os.Stat(r.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if r.opened == nil {
			return nil // it never was there: read-only
		}
		return gone("is missing")
	case err != nil:
		return fmt.Errorf("looking at the state root %s: %w%s", r.dir, err, adviceFor(err))
	case r.opened != nil && !os.SameFile(r.opened, now):
		return gone("is another directory now")
	case r.id != "" && !r.readOnly:
		return writeID(r.dir, r.id)
	}
	return nil
}

// takeID reads the root's id, or makes it: of several programs that do so at once one makes it.
func (r *Root) takeID() error {
	raw := make([]byte, idBytes)
	_, _ = rand.Read(raw) // never fails: it ends the program instead
	id, err := readID(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = writeID(r.dir, hex.EncodeToString(raw)); err == nil || errors.Is(err, fs.ErrExist) {
			id, err = readID(r.dir)
		}
	}
	r.id = id
	return err
}

// readID reads the file id. Where no hard link can be made it is empty for a moment while it is made.
func readID(dir string) (string, error) {
	path := filepath.Join(dir, idFile)
	for begun := time.Now(); ; time.Sleep(lockPoll) {
		content, err := ReadFile(path, 256)
		if err != nil {
			return "", err
		}
		id := strings.TrimSpace(string(content))
		if id == "" && time.Since(begun) < idWait {
			continue
		}
		if !idForm.MatchString(id) {
			return "", fmt.Errorf("reading %s: it is not the id of a state root: bring it back from a copy, or remove it; bottles of the lost id are then offered to be taken over", path)
		}
		return id, nil
	}
}

// writeID makes the file id, whole and exclusively; fs.ErrExist when there is one.
func writeID(dir, id string) error {
	path := filepath.Join(dir, idFile)
	fail := func(err error) error {
		return fmt.Errorf("making the id of the state root, %s: %w%s", path, err, adviceFor(err))
	}
	draft := filepath.Join(dir, ".id-"+RandomBase36(8))
	if err := WriteFile(draft, []byte(id+"\n"), filePerm); err != nil {
		return err
	}
	defer os.Remove(draft) //nolint:errcheck // a leftover does no harm
	err := os.Link(draft, path)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS) { // no links there
		var f *os.File
		if f, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, filePerm); err == nil {
			_, err = f.WriteString(id + "\n")
			err = errors.Join(err, f.Sync(), f.Close())
		}
	}
	if err == nil {
		err = SyncDir(dir)
	}
	if err != nil {
		return fail(err)
	}
	return nil
}
