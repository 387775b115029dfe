package state

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode/utf8"
)

// Options allow what Open refuses otherwise.
type Options struct {
	OtherOwner bool // the root, or the home directory that it is in, belongs to another user
	Insecure   bool // its file system keeps no permissions: other users can read it, and answer requests
}

// owned refuses a root, or a home directory that holds it, of another user: what is made there that user's own programs
// could not use. So it goes when a program runs by sudo with the user's HOME.
func owned(dir string) error {
	check := []string{dir}
	if home, err := os.UserHomeDir(); err == nil {
		if rest, inside := strings.CutPrefix(dir, filepath.Clean(home)); inside && (rest == "" || rest[0] == filepath.Separator) {
			check = append(check, home)
		}
	}
	for _, path := range check {
		info, err := os.Stat(path)
		if err != nil {
			continue // it is made, or what is wrong shows when it is opened
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok && int(s.Uid) != os.Geteuid() {
			return fmt.Errorf("%s belongs to the user %d, and bottle-tui runs as %d: what it makes there that user could not use. Run it as that user, without sudo, or say --allow-other-owner", path, s.Uid, os.Geteuid())
		}
	}
	return nil
}

// private looks whether a directory that was made 0700 is: some file systems, such as exFAT, take modes and keep none.
func private(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&^dirPerm != 0 {
		return fmt.Errorf("%s stays at the permissions %04o: its file system keeps none, so other users can read what is in it, and answer requests. Choose a directory on another one with --home, or say --insecure-state", path, mode&fs.ModePerm)
	}
	return nil
}

// spelled refuses a path, or the place that its links lead to, that is not UTF-8: JSON and labels of the engine hold it
// with other characters in their place, which are another path. It makes nothing.
func spelled(path string) error {
	real := path
	for at := path; ; at = filepath.Dir(at) { // the last parts may be missing
		if dir, err := filepath.EvalSymlinks(at); err == nil {
			real = dir
			break
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	for _, name := range []string{path, real} {
		if !utf8.ValidString(name) {
			return fmt.Errorf("the path %q is not UTF-8, and could not be written down as it is", name)
		}
	}
	return nil
}
