package state

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrChanged: a file is not what it was when its new content was worked out.
var ErrChanged = errors.New("the file changed meanwhile")

// ReplaceFile puts after in the place of before, the content of a file that others write, too: an editor, another
// bottle-tui. The file keeps its permissions and, as far as that is allowed, its owner; a link stays, and what it leads to
// is replaced. The file is locked against other programs that use ReplaceFile and is looked at again in the moment of the
// replacement, so that a save in between is not lost: then the error is ErrChanged, and the file is as that save left it.
func ReplaceFile(path string, before, after []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	err = briefly(path, func() error { return replace(path, before, after) })
	if err != nil {
		return fmt.Errorf("writing %s: %w%s", path, err, adviceFor(err))
	}
	return nil
}

// replace is ReplaceFile under the lock. Where the file system can, the two files trade places, so that what was replaced
// can be looked at.
func replace(path string, before, after []byte) (err error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	name := filepath.Base(path)
	info, err := unchanged(root, name, before)
	if err != nil {
		return err
	}
	next := "." + name + "." + RandomBase36(8)
	defer func() {
		if gone := root.Remove(next); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}()
	if err := writeLike(root, next, after, info); err != nil {
		return err
	}
	if _, err := unchanged(root, name, before); err != nil { // the one before was before a slow disk
		return err
	}
	traded, err := exchange(root, next, name)
	if err == nil && !traded {
		err = root.Rename(next, name)
	}
	if err != nil {
		return err
	}
	if traded {
		if _, changed := unchanged(root, next, before); changed != nil {
			_, back := exchange(root, next, name)
			return errors.Join(changed, back)
		}
	}
	return syncRootDir(root, ".")
}

// unchanged looks whether a file of root has the content before. The error is ErrChanged where it is not there any more.
func unchanged(root *os.Root, name string, before []byte) (fs.FileInfo, error) {
	info, err := root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrChanged
	}
	if err != nil {
		return nil, err
	}
	now, err := root.ReadFile(name)
	if err == nil && !bytes.Equal(now, before) {
		err = ErrChanged
	}
	return info, err
}

// writeLike makes a file of root with the permissions and the owner of another, and fsyncs it.
func writeLike(root *os.Root, name string, content []byte, like fs.FileInfo) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if owner, ok := like.Sys().(*syscall.Stat_t); ok && err == nil {
		if owned := f.Chown(int(owner.Uid), int(owner.Gid)); owned != nil && !errors.Is(owned, fs.ErrPermission) {
			err = owned
		}
	}
	if err == nil {
		err = errors.Join(f.Chmod(like.Mode().Perm()), f.Sync())
	}
	return errors.Join(err, f.Close())
}
