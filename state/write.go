package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
)

const (
	dirPerm  fs.FileMode = 0o700
	filePerm fs.FileMode = 0o600

	// maxFile bounds every file that is read whole, in bytes. Twice the largest that is written.
	maxFile = 4 << 20

	lockPoll = 20 * time.Millisecond // how often a taken lock is asked for again
	lockWait = 10 * time.Second      // how long a short critical section waits for another
)

// WriteFile puts content at path with exactly the permissions perm: into a temporary file beside it,
// fsynced and renamed, after which the directory is fsynced. A reader sees the old file or the new; on
// an error, which names path, the old file is whole.
func WriteFile(path string, content []byte, perm fs.FileMode) error {
	err := renameio.WriteFile(path, content, perm,
		renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(perm))
	if err == nil {
		err = SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w%s", path, err, adviceFor(err))
	}
	return nil
}

// SyncDir fsyncs a directory: what was made, renamed or removed in it stays so.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// adviceFor says what to do about an error of the file system, where there is something to do.
func adviceFor(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return ": make room on that disk and try again; nothing was changed"
	case errors.Is(err, syscall.EROFS):
		return ": the disk is read-only; nothing was changed"
	case errors.Is(err, fs.ErrPermission):
		return ": make it belong to the user who runs bottle-tui"
	}
	return ""
}

// ReadFile reads a regular file of at most limit bytes. It follows no link in the last part of path and
// never blocks: not on a FIFO, not on a device. The error names path and says what was found there.
func ReadFile(path string, limit int64) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, errors.Unwrap(err))
	}
	if err := regular(info, limit); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, errors.Unwrap(err))
	}
	defer f.Close()
	// What was looked at and what was opened may differ: only the second look counts.
	if info, err = f.Stat(); err == nil {
		err = regular(info, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	// One byte more than there should be shows whether it grew. All files but the audit log, which is
	// read elsewhere, are replaced whole, so one that grows is being written by somebody else.
	content := make([]byte, info.Size()+1)
	n, err := io.ReadFull(f, content)
	if err == nil {
		return nil, fmt.Errorf("reading %s: it grew while it was read", path)
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return content[:n], nil
}

// regular refuses all but regular files of at most limit bytes.
func regular(info fs.FileInfo, limit int64) error {
	kind := ""
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		kind = "a link"
	case mode.IsDir():
		kind = "a directory"
	case mode&fs.ModeNamedPipe != 0:
		kind = "a FIFO"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	case !mode.IsRegular():
		kind = "a device"
	case info.Size() > limit:
		return fmt.Errorf("it has %d bytes; at most %d are allowed", info.Size(), limit)
	default:
		return nil
	}
	return fmt.Errorf("it is %s, not a regular file", kind)
}

// optional reads a file that need not be there: nil, nil when it is not.
func optional(path string, limit int64) ([]byte, error) {
	content, err := ReadFile(path, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return content, err
}

// removeFile removes path and fsyncs its directory; one that is not there is not an error.
func removeFile(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("removing %s: %w%s", path, err, adviceFor(err))
	}
	return nil
}

// makeDir makes one directory, 0700, and fsyncs its parent. One that is there is
// made 0700 if it was wider.
func makeDir(path string) error {
	err := os.Mkdir(path, dirPerm)
	if err == nil {
		return SyncDir(filepath.Dir(path))
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return fmt.Errorf("%s is a link, and bottle-tui follows none here: move the directory back to this place, or link the whole state root", path)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory: move it away", path)
	}
	if info.Mode().Perm()&^dirPerm != 0 {
		return os.Chmod(path, dirPerm)
	}
	return nil
}

// briefly runs do while no other program or goroutine runs one on the same path, a file or a directory
// that exists. It is for short reads and changes; what takes long goes under Bottle.Lock.
func briefly(path string, do func() error) error {
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY))
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	if _, err := lock.TryLockContext(ctx, lockPoll/10); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("another program has held %s for %v: end it, or try again", path, lockWait)
		}
		return fmt.Errorf("locking %s: %w", path, err)
	}
	return errors.Join(do(), lock.Unlock())
}
