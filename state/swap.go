package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// transcriptNext is a file of the transcript while it is written. Earlier versions made the whole transcript
// anew under that name, and set the old one aside under the other.
const (
	transcriptNext = ".transcript.next"
	transcriptOld  = ".transcript.old"

	transcriptLock     = ".transcript.lock"
	transcriptPatience = 5 * time.Second // a copy is never waited for longer
)

// lockTranscript waits until no other copy of the transcript is being made.
func lockTranscript(path string) (unlock func(), err error) {
	lock := flock.New(path, flock.SetPermissions(filePerm))
	ctx, cancel := context.WithTimeout(context.Background(), transcriptPatience)
	defer cancel()
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, errors.New("another copy of it is being made")
		}
		return nil, fmt.Errorf("locking it: %w", err)
	}
	return func() { _ = lock.Unlock() }, nil
}

// settleSwap clears up after a replacement that a crash cut short.
func settleSwap(root *os.Root) error {
	if err := putBack(root); err != nil {
		return err
	}
	return errors.Join(root.RemoveAll(transcriptOld), root.RemoveAll(transcriptNext))
}

// putBack gives the transcript its name again if a crash of an earlier version came between two renames.
func putBack(root *os.Root) error {
	_, err := root.Lstat(transcriptDir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = root.Rename(transcriptOld, transcriptDir); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	return err
}

func syncRootDir(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
