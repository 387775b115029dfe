package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// openFlags: a named pipe that takes a file's place must not make an open wait.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK

// File is one file of a repository that is copied as it is.
type File struct {
	Name string // from the copy's `.git`, with slashes
	dir  *os.Root
	base string
}

// Open opens the file, while Bulk waits for it.
func (f File) Open() (*os.File, error) { return f.dir.OpenFile(f.base, openFlags, 0) }

// Stat looks at the file, while Bulk waits for it.
func (f File) Stat() (fs.FileInfo, error) { return f.dir.Lstat(f.base) }

// private says whether a linked worktree has a file of its own under this name: git's rule, in its path.c.
func private(name string) bool {
	first, rest, _ := strings.Cut(name, "/")
	switch first {
	case "branches", "hooks", "lost-found", "objects", "remotes", "rr-cache", "svn", "config", "packed-refs", "shallow", "description", "lfs", "annex":
		return false
	case "info":
		return rest == "sparse-checkout"
	case "logs":
		return rest == "HEAD" || privateRef(strings.TrimPrefix(rest, "refs/"))
	case "refs":
		return privateRef(rest)
	}
	return true
}

func privateRef(rest string) bool {
	first, _, _ := strings.Cut(rest, "/")
	return first == "bisect" || first == "rewritten" || first == "worktree"
}

// The directories of a repository that are small and change with its state; they are read whole.
var stateDirs = []string{"refs", "logs", "info", "hooks", "branches", "remotes", "rebase-merge", "rebase-apply", "sequencer", "reftable"}

// leftOut says whether a file or directory is not copied: what holds for the host alone, what is written anew, and what
// is being written.
func leftOut(name string) bool {
	base := path.Base(name)
	switch {
	case strings.HasSuffix(base, ".lock"), strings.HasPrefix(base, "fsmonitor--daemon"):
		return true
	case strings.HasPrefix(name, "hooks/"):
		return strings.HasSuffix(base, ".sample")
	case base == "gpg_sign_opt":
		return strings.HasPrefix(name, "rebase-")
	}
	switch name {
	case "worktrees", "modules", "objects", "commondir", "gitdir", "locked", "config.worktree", "gc.pid", "gc.log", "FETCH_HEAD", "info/refs", "lfs/tmp":
		return true
	}
	return false
}

// eachState tells fn the files of the repository that are not objects and belong to its state, and what stands for them
// in the copy.
func (r *Repo) eachState(fn func(f File, info fs.FileInfo) error) error { return r.each(true, fn) }

// each walks what is not objects: what belongs to the state, or the rest.
func (r *Repo) each(state bool, fn func(f File, info fs.FileInfo) error) error {
	from := []string{r.Git}
	if r.Common != r.Git && !r.Linked {
		from = append(from, r.Common)
	}
	for i, dir := range from {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		w := walker{repo: r, state: state, shared: i == 1, fn: fn}
		err = w.walk(root, "")
		root.Close()
		if err != nil {
			return fmt.Errorf("read the repository %s: %w", dir, err)
		}
	}
	for name, real := range r.links {
		if name == "objects" || name == "modules" || r.Linked {
			continue
		}
		if err := r.linked(name, real, state, fn); err != nil {
			return fmt.Errorf("read the repository's %s, %s: %w", name, real, err)
		}
	}
	return nil
}

// linked walks what a link of the repository's leads to.
func (r *Repo) linked(name, real string, state bool, fn func(File, fs.FileInfo) error) error {
	info, err := os.Lstat(real)
	if err != nil {
		return gone(err)
	}
	isState := slices.Contains(stateDirs, name) || !info.IsDir()
	if isState != state {
		return nil
	}
	if info.IsDir() {
		root, err := os.OpenRoot(real)
		if err != nil {
			return gone(err)
		}
		defer root.Close()
		w := walker{repo: r, state: state, linked: true, fn: fn}
		return w.walk(root, name)
	}
	root, err := os.OpenRoot(path.Dir(real))
	if err != nil {
		return gone(err)
	}
	defer root.Close()
	if !info.Mode().IsRegular() {
		return nil
	}
	return fn(File{name, root, path.Base(real)}, info)
}

// gone is nil for what is not there any more: it changes while it is read.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) {
		return nil
	}
	return err
}

type walker struct {
	repo   *Repo
	state  bool
	shared bool // it walks the common directory of a linked worktree
	linked bool // it walks what a link leads to
	fn     func(File, fs.FileInfo) error
}

// walk tells the files in a directory, which is called name in the copy.
func (w *walker) walk(dir *os.Root, name string) error {
	list, err := listDir(dir)
	if err != nil {
		return gone(err)
	}
	for _, base := range list {
		full := path.Join(name, base)
		if leftOut(full) || name == "" && w.repo.links[base] != "" {
			continue
		}
		info, err := dir.Lstat(base)
		if err == nil && info.Mode()&fs.ModeSymlink != 0 && full != "HEAD" {
			if info, err = dir.Stat(base); err != nil {
				continue // it leads to nothing, or out of this place
			}
		}
		if err != nil {
			if err := gone(err); err != nil {
				return err
			}
			continue
		}
		if name == "" && w.state != (slices.Contains(stateDirs, base) || !info.IsDir()) {
			continue
		}
		switch {
		case info.IsDir():
			if w.shared && name == "" && private(full) {
				continue
			}
			if err := inDir(dir, base, func(sub *os.Root) error { return w.walk(sub, full) }); err != nil {
				return err
			}
		case !info.Mode().IsRegular() && full != "HEAD":
		case w.repo.Git != w.repo.Common && !w.linked && private(full) == w.shared:
			// the other directory's file of that name is the one that holds
		default:
			if err := w.fn(File{full, dir, base}, info); err != nil {
				return err
			}
		}
	}
	return nil
}

// inDir does something in a directory of another one, if it is there.
func inDir(parent *os.Root, name string, do func(*os.Root) error) error {
	dir, err := parent.OpenRoot(name)
	if err != nil {
		return gone(err)
	}
	defer dir.Close()
	return do(dir)
}

// listDir lists a directory in the order of the names' bytes.
func listDir(dir *os.Root) ([]string, error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// Bulk tells fn the files that are copied as they are: first what is not objects, then the objects, its own and those
// that it borrows. had says what was told before. It gives whether an object was gone when fn opened it (fn returns an
// error that is fs.ErrNotExist), as it happens when git packs.
func (r *Repo) Bulk(ctx context.Context, had func(name string) bool, fn func(File) error) (vanished bool, err error) {
	tell := func(f File) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if had(f.Name) {
			return nil
		}
		if err := fn(f); err != nil {
			if gone(err) != nil {
				return err
			}
			vanished = true
		}
		return nil
	}
	if err := r.each(false, func(f File, _ fs.FileInfo) error { return tell(f) }); err != nil {
		return false, err
	}
	vanished = false // what tools keep beside the objects comes and goes
	if r.Linked {
		return false, nil
	}
	for _, dir := range r.objects {
		root, err := os.OpenRoot(dir)
		if err == nil {
			err = r.eachObject(root, tell)
			root.Close()
		}
		if err != nil {
			return vanished, fmt.Errorf("read the objects in %s: %w", dir, err)
		}
	}
	return vanished, nil
}

// eachObject tells the files of a directory of objects: loose ones, and packs with their indexes. What git can make anew
// (commit graphs, indexes over several packs) and what is being written is passed over.
func (r *Repo) eachObject(root *os.Root, tell func(File) error) error {
	list, err := listDir(root)
	if err != nil {
		return err
	}
	for _, name := range list {
		if name != "pack" && !(len(name) == 2 && isHex(name)) {
			continue
		}
		if err := inDir(root, name, func(dir *os.Root) error { return r.objectsIn(dir, name, tell) }); err != nil {
			return err
		}
	}
	return nil
}

func (r *Repo) objectsIn(dir *os.Root, name string, tell func(File) error) error {
	list, err := listDir(dir)
	if err != nil {
		return gone(err)
	}
	if name == "pack" {
		list = packFiles(list)
	}
	for _, base := range list {
		if name != "pack" && (len(base) != 2*r.idLen-2 || !isHex(base)) {
			continue
		}
		if err := tell(File{"objects/" + name + "/" + base, dir, base}); err != nil {
			return err
		}
	}
	return nil
}

// packFiles are the files of the packs that are complete, the index of each last: git looks for that first.
func packFiles(list []string) (out []string) {
	for _, name := range list {
		stem, ok := strings.CutSuffix(name, ".idx")
		if _, whole := slices.BinarySearch(list, stem+".pack"); !ok || !whole || !strings.HasPrefix(stem, "pack-") {
			continue
		}
		for _, ext := range []string{".pack", ".rev", ".bitmap", ".mtimes", ".idx"} {
			if _, found := slices.BinarySearch(list, stem+ext); found {
				out = append(out, stem+ext)
			}
		}
	}
	return out
}

func isHex(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) && !('a' <= s[i] && s[i] <= 'f') {
			return false
		}
	}
	return true
}
