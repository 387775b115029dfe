package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"bottle-tui/bottles/workspace/gitignore"
)

const (
	ignoreFile   = ".bottleignore"
	dockerIgnore = ".dockerignore" // describes an image's build: it is not read
	maxIgnore    = 1 << 20         // bytes of a file with patterns
)

// readIgnore reads the .bottleignore of a directory, if it has one. Its syntax is that of .gitignore.
func readIgnore(root *os.Root) (*gitignore.List, error) {
	broken := func(err error) error {
		return &Refused{fmt.Sprintf("%s can't be used (%v)", filepath.Join(root.Name(), ignoreFile), err), "mend it, or move it away"}
	}
	f, err := root.OpenFile(ignoreFile, openFlags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if info, err := root.Lstat(ignoreFile); err == nil && info.Mode().Type() == fs.ModeSymlink {
			return nil, broken(errors.New("it is a link to nothing"))
		}
		return gitignore.Parse("", nil)
	}
	if err != nil {
		return nil, broken(err)
	}
	defer f.Close()
	text, err := content(f, maxIgnore)
	if err == nil && slices.Contains(text, 0) {
		err = errors.New("it has a zero byte in it, so it is not text")
	}
	if err == nil && !utf8.Valid(text) {
		err = errors.New("it is not UTF-8")
	}
	if err != nil {
		return nil, broken(err)
	}
	l, err := gitignore.Parse("", text)
	if err != nil {
		return nil, broken(err)
	}
	return l, nil
}

// place is what applies to what is in one directory.
type place struct {
	tree     *worktree // nil: git knows nothing of what is here
	patterns *level
	ignored  bool  // git ignores the directory itself
	inGit    bool  // it is within a .git
	large    *Part // of the topmost directory that git ignores; nil: it ignores none
}

// level is the .gitignore of one directory, and those of the directories above it.
type level struct {
	list *gitignore.List
	up   *level
}

// ignores says whether git's patterns ignore what is here. They do not say what is tracked all the same.
func (at place) ignores(path string, dir bool) bool {
	if at.tree == nil || at.inGit {
		return false
	}
	in := at.tree.path(path)
	for l := at.patterns; l != nil; l = l.up {
		if r := l.list.Match(in, dir); r != gitignore.NoMatch {
			return r == gitignore.Ignored
		}
	}
	for _, l := range at.tree.excludes {
		if r := l.Match(in, dir); r != gitignore.NoMatch {
			return r == gitignore.Ignored
		}
	}
	return false
}

// enter is the place that a directory itself makes: it may be the top of a repository, and have patterns.
func (s *scanner) enter(where *os.Root, dir string, names []string, at place) place {
	if at.inGit || at.ignored {
		return at
	}
	has := func(name string) bool { _, found := slices.BinarySearch(names, name); return found }
	if dir != "" && has(dotGit) {
		if w := readWorktree(filepath.Join(s.tree.Dir, filepath.FromSlash(dir))); w != nil {
			w.base = dir
			at.tree, at.patterns = w, nil
		}
	}
	if at.tree == nil || !has(".gitignore") {
		return at
	}
	info, err := where.Lstat(".gitignore")
	if err != nil || !info.Mode().IsRegular() { // git does not follow a link here
		return at
	}
	f, err := where.OpenFile(".gitignore", openFlags, 0)
	if err != nil {
		return at
	}
	defer f.Close()
	text, err := content(f, maxIgnore)
	if err != nil {
		return at
	}
	base := at.tree.above
	if dir != at.tree.base {
		base = at.tree.path(dir)
	}
	if l, err := gitignore.Parse(base, text); err == nil {
		at.patterns = &level{l, at.patterns}
	}
	return at
}

// leftOut says whether .bottleignore leaves an entry out, or git ignores it and is heeded, and counts it then. ignored
// says that git ignores it, also where that leaves nothing out.
func (s *scanner) leftOut(path, name string, dir bool, at place) (left, ignored bool) {
	inGit := at.inGit || name == dotGit
	r, pattern := s.ignore.Which(path, dir)
	if r == gitignore.Ignored && inGit && !slices.Contains(strings.Split(pattern, "/"), dotGit) {
		r = gitignore.NoMatch // no pattern for files means those of the repository itself
	}
	if r == gitignore.Ignored {
		s.tree.Ignored++
		switch {
		case inGit && !at.ignored:
			s.tree.LeftGit.Add(path)
		case !inGit && at.tree != nil:
			s.leaveTracked(path, at.tree)
		}
		return true, false
	}
	if ignored = at.ignored || name != dotGit && at.ignores(path, dir); !ignored {
		return false, false
	}
	var below []string
	if at.tree != nil && !inGit {
		itself := false
		if itself, below = at.tree.tracks(at.tree.path(path)); itself {
			return false, false
		}
		if s.o.SkipIgnored && at.tree.err != nil && s.unknown == nil {
			s.unknown = at.tree.err
		}
	}
	if !s.o.SkipIgnored || dir && len(below) > 0 { // something in it is tracked
		return false, true
	}
	s.tree.GitIgnored++
	return true, true
}

// leaveTracked remembers what git tracks of an entry that .bottleignore leaves out.
func (s *scanner) leaveTracked(path string, w *worktree) {
	in := w.path(path)
	itself, below := w.tracks(in)
	if itself {
		s.tree.LeftTracked.Add(path)
	}
	for _, b := range below {
		s.tree.LeftTracked.Add(path + strings.TrimPrefix(b, in))
	}
}
