package gitgate

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
)

// leastRoom is what all pushes together may take of the disk, in bytes, unless a remote's max_push asks for more.
const leastRoom = 2 << 30

// spool is where pushes lie while they are looked at. It bounds what they take together: the disk below it is the
// host's, and other bottles' as well.
type spool struct {
	dir   string
	limit int64 // of room, whatever the remotes take; 0: none

	mu   sync.Mutex
	room int64 // bytes
	used int64
}

// fit makes room for the largest push that t's remotes take, and as much again for what has to be unpacked. A push
// that is held already stays.
func (s *spool) fit(t *table) {
	room := int64(leastRoom)
	for _, r := range t.remotes {
		room = max(room, 2*r.MaxPush)
	}
	if s.limit > 0 {
		room = s.limit
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room = room
}

func (s *spool) take(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > s.room-s.used {
		return refuse("the pushes under way take all of the %s that git-gate has for them", bytesText(s.room)).
			with("Wait until the others are done or decided, then push again; or push fewer commits at a time.")
	}
	s.used += n
	return nil
}

func (s *spool) give(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
}

// spoolFile is a file that is gone from its directory at once, and from the disk when it is closed. One goroutine
// writes to it.
type spoolFile struct {
	file *os.File
	of   *spool
	at   int64 // where Write goes on
	size int64
}

// create makes a file without a name.
func (s *spool) create() (*spoolFile, error) {
	f, err := os.CreateTemp(s.dir, "push")
	if err != nil {
		return nil, held(err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, held(err)
	}
	return &spoolFile{file: f, of: s}, nil
}

func (f *spoolFile) ReadAt(b []byte, at int64) (int, error) { return f.file.ReadAt(b, at) }

func (f *spoolFile) Write(b []byte) (int, error) {
	n, err := f.WriteAt(b, f.at)
	f.at += int64(n)
	return n, err
}

func (f *spoolFile) WriteAt(b []byte, at int64) (int, error) {
	if more := at + int64(len(b)) - f.size; more > 0 {
		if err := f.of.take(more); err != nil {
			return 0, err
		}
		f.size += more
	}
	n, err := f.file.WriteAt(b, at)
	return n, held(err)
}

// Close gives the file's room back. It may be called more than once.
func (f *spoolFile) Close() error {
	if f.of == nil {
		return nil
	}
	err := f.file.Close()
	f.of.give(f.size)
	f.of = nil
	return err
}

// errFull: the disk has no room, whatever git-gate would allow.
var errFull = errors.New("git-gate can't hold the push: the disk of the sidecars' volumes is full")

// held is the error of holding a push; nil for none.
func held(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG):
		return errFull
	}
	return fmt.Errorf("hold the push: %w", err)
}
