package workspace

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bottle-tui/bottles/workspace/gitignore"
	"bottle-tui/bottles/workspace/gitrepo"
)

// worktree is what git knows of the files of one repository: which it tracks, and which it was told to ignore. It is
// read from files, never by running git: what a repository's configuration names must not be run.
type worktree struct {
	base     string // where the repository's own files begin, from the copied directory; "": there, or above it
	above    string // the copied directory, from the repository's own; "": it is the same
	tracked  []string
	err      error             // why it is not known what is tracked
	excludes []*gitignore.List // of no directory, the first decides
}

// path is a path from the copied directory as the repository has it.
func (w *worktree) path(path string) string {
	if w.base != "" {
		path = strings.TrimPrefix(path, w.base+"/")
	}
	if w.above != "" {
		return w.above + "/" + path
	}
	return path
}

// tracks says whether a path, as the repository has it, is tracked itself, and how many paths below it are.
func (w *worktree) tracks(path string) (itself bool, below []string) {
	at, itself := slices.BinarySearch(w.tracked, path)
	if itself {
		at++
	}
	prefix := path + "/"
	from, _ := slices.BinarySearch(w.tracked[at:], prefix)
	from += at
	to, _ := slices.BinarySearch(w.tracked[from:], path+"0") // the byte after a slash
	return itself, w.tracked[from : from+to]
}

// worktreeAbove finds the repository that a directory is in, or is the top of; nil: none.
func worktreeAbove(dir string) (*worktree, []*gitignore.List) {
	for at := dir; ; at = filepath.Dir(at) {
		if info, err := os.Stat(filepath.Join(at, dotGit)); err == nil && (info.IsDir() || info.Mode().IsRegular()) {
			w := readWorktree(at)
			if at == dir || w == nil {
				return w, nil
			}
			w.above = filepath.ToSlash(strings.TrimPrefix(strings.TrimPrefix(dir, at), string(filepath.Separator)))
			var above []*gitignore.List // of the directories above, the topmost first
			segments := strings.Split(w.above, "/")
			for i := range segments {
				in := strings.Join(segments[:i], "/")
				if l := patternsOf(filepath.Join(at, in, ".gitignore"), in); l != nil {
					above = append(above, l)
				}
			}
			return w, above
		}
		if at == filepath.Dir(at) {
			return nil, nil
		}
	}
}

// readWorktree reads what the repository at a directory tracks; nil: it is none.
func readWorktree(dir string) *worktree {
	repo, err := gitrepo.Open(dir)
	if errors.Is(err, gitrepo.ErrNone) {
		return nil
	}
	if err != nil {
		return &worktree{err: err}
	}
	w := &worktree{}
	w.err = repo.Tracked(func(path string) { w.tracked = append(w.tracked, path) })
	slices.Sort(w.tracked)
	w.tracked = slices.Compact(w.tracked)
	for _, file := range repo.Excludes() {
		if l := patternsOf(file, ""); l != nil {
			w.excludes = append(w.excludes, l)
		}
	}
	return w
}

// patternsOf reads a file in gitignore syntax; nil: there is none that can be used, and so it ignores nothing.
func patternsOf(file, base string) *gitignore.List {
	content, err := readBounded(file, maxIgnore)
	if err != nil {
		return nil
	}
	l, err := gitignore.Parse(base, content)
	if err != nil {
		return nil
	}
	return l
}

// readBounded reads a regular file of at most so many bytes.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, openFlags, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return content(f, most)
}

// content is what is in a regular file of at most so many bytes.
func content(f *os.File, most int64) ([]byte, error) {
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	case info.Size() > most:
		return nil, fmt.Errorf("it has %s, and may have %s", Size(info.Size()), Size(most))
	}
	return io.ReadAll(io.LimitReader(f, most))
}
