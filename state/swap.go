package state

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Where the file system can exchange two names, the new transcript takes the old one's place in one step.
// Elsewhere the old one is set aside first, and whoever finds it so after a crash puts it back.
const (
	transcriptNext = ".transcript.next"
	transcriptOld  = ".transcript.old"
)

// swapTranscript puts transcriptNext, whole and fsynced, in the transcript's place. It goes by two renames
// where exchange says that it can't.
func swapTranscript(root *os.Root, exchange func(root *os.Root, a, b string) (bool, error)) error {
	_, err := root.Lstat(transcriptDir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := root.Rename(transcriptNext, transcriptDir); err != nil {
			return err
		}
		return syncRootDir(root, ".")
	}
	if err != nil {
		return err
	}
	done, err := exchange(root, transcriptNext, transcriptDir)
	if err != nil {
		return err
	}
	if !done {
		if err := root.Rename(transcriptDir, transcriptOld); err != nil {
			return err
		}
		if err := root.Rename(transcriptNext, transcriptDir); err != nil {
			return errors.Join(err, root.Rename(transcriptOld, transcriptDir))
		}
	}
	if err := syncRootDir(root, "."); err != nil {
		return err
	}
	return errors.Join(root.RemoveAll(transcriptNext), root.RemoveAll(transcriptOld))
}

// settleSwap clears up after a replacement that a crash cut short.
func settleSwap(root *os.Root) error {
	if err := putBack(root); err != nil {
		return err
	}
	return errors.Join(root.RemoveAll(transcriptOld), root.RemoveAll(transcriptNext))
}

// putBack gives the transcript its name again if a crash came between two renames.
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
