package state

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// exchange lets two names of root trade places in one step; done is false where the kernel or the file
// system can't.
func exchange(root *os.Root, a, b string) (done bool, err error) {
	dir, err := root.Open(".")
	if err != nil {
		return false, err
	}
	defer dir.Close()
	fd := int(dir.Fd())
	err = unix.Renameat2(fd, a, fd, b, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		return false, nil
	}
	return err == nil, err
}
