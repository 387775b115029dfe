// Package workspace finds out what of a directory of the operator's belongs into a bottle's workspace, and streams it
// there as a tar. It honours the directory's .bottleignore, and nothing outside of the directory gets in but what its git
// repository consists of, as gitrepo finds it. It must not change the directory, follow a link, run git, speak to an engine,
// or print.
package workspace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"bottle-tui/bottles/workspace/gitignore"
)

// Bounds of what is copied.
const (
	MaxEntries = 500_000  // files, links and directories
	MaxBytes   = 20 << 30 // of the files' content
)

// largeIgnored is how many bytes a directory that git ignores may have before it is named.
const largeIgnored = 50_000_000

// Options say how a directory is copied.
type Options struct {
	SkipIgnored bool     // without what git ignores
	Part        string   // the directory is this one of the repository that it is in, as PartOf gives it; "": it is copied by itself
	Never       []string // directories that are not copied, wherever they are met: the state root
}

// Tree is what would be copied from a directory. It holds the names alone; Archive reads the rest.
type Tree struct {
	Dir        string // absolute, without links
	Files      int    // regular files and symbolic links
	Bytes      int64  // of the files' content
	Ignored    int    // entries that .bottleignore leaves out; a directory counts once
	GitIgnored int    // entries that are left out because git ignores them; a directory counts once
	Part       string // where in the copy the directory is: Options.Part
	Under      string // what Archive puts before each path, e.g. "workspace/"

	Dockerignore bool   // there is a .dockerignore, which is not read
	LeftGit      Names  // what of repositories themselves .bottleignore leaves out
	LeftTracked  Names  // files that git tracks and .bottleignore leaves out
	Large        []Part // directories that git ignores, of more than 50 MB, and that are copied; the largest first
	Never        Names  // directories of Options.Never that were met
	Skipped      Names  // devices, sockets and named pipes
	HardLinks    Names  // files that other names share their content with, and that become files of their own
	Sparse       Names  // files with holes, which are written out
	SparseBytes  int64  // what those take beyond what they take on the host
	Notes        []Note // what the operator should know of the repositories in it

	// Unsettled is set by Archive where a repository could not be copied as it was at one moment: what is wrong with it.
	Unsettled string

	entries  []entry // a directory comes before what is in it; without those of the repositories
	maxBytes int64
	repos    []repository
	pointers []pointer
	stores   []string                                 // directories that are repositories and not called `.git`
	again    func(ctx context.Context) (*Tree, error) // looks at the directory's own files again
}

// Part is what a directory takes of the room.
type Part struct {
	Path  string // from the copied directory, with slashes
	Bytes int64
}

// entry is one thing to copy.
type entry struct {
	path string // from Dir, with slashes
	kind fs.FileMode
}

// Names are paths of which there may be many: how many, and the first few.
type Names struct {
	Count int
	First []string
}

// named is how many files are named where there may be many.
const named = 5

// Add counts a path, and keeps it where few are.
func (n *Names) Add(path string) {
	if n.Count++; len(n.First) < named {
		n.First = append(n.First, path)
	}
}

// String is the first few in quotes, and how many more there are.
func (n Names) String() string {
	var b strings.Builder
	for i, path := range n.First {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", path)
	}
	if more := n.Count - len(n.First); more > 0 {
		fmt.Fprintf(&b, " and %s more", Count(more))
	}
	return b.String()
}

// Refused says why a directory is not copied, and the way out.
type Refused struct{ What, Fix string }

func (r *Refused) Error() string { return r.What + ": " + r.Fix }

// limits bound a scan; tests have smaller ones.
type limits struct {
	entries int
	bytes   int64
	look    int // entries that are looked at to tell what takes the room

	bare bool // what is in repositories is not looked at
}

// Scan finds what of dir would be copied. It refuses, with a *Refused, what is no directory, the root directory, the
// home directory and what holds it, what is too large, and what has files that can't be read.
func Scan(ctx context.Context, dir string, o Options) (*Tree, error) {
	return scan(ctx, dir, o, limits{entries: MaxEntries, bytes: MaxBytes, look: 8 * MaxEntries})
}

func scan(ctx context.Context, dir string, o Options, most limits) (*Tree, error) {
	abs, err := resolve(dir)
	if err != nil {
		return nil, err
	}
	never, err := protected(abs, o.Never)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, fmt.Errorf("open the directory %s to copy it: %w", abs, err)
	}
	defer root.Close()
	ignore, err := readIgnore(root)
	if err != nil {
		return nil, err
	}
	s := &scanner{ctx: ctx, root: root, o: o, never: never, ignore: ignore, most: most, tree: &Tree{Dir: abs, Part: o.Part, maxBytes: most.bytes}}
	var at place
	var above []*gitignore.List
	if at.tree, above = worktreeAbove(abs); at.tree != nil {
		for _, l := range above {
			at.patterns = &level{l, at.patterns}
		}
	}
	if err := s.directory("", at); err != nil {
		return nil, err
	}
	if !most.bare {
		if err := s.repositories(); err != nil {
			return nil, err
		}
		most.bare = true
		s.tree.again = func(ctx context.Context) (*Tree, error) { return scan(ctx, dir, o, most) }
	}
	switch {
	case s.full():
		return nil, s.tooLarge()
	case s.unreadable.Count > 0:
		return nil, &Refused{"these can't be read, so they can't be copied: " + s.unreadable.String(),
			"make them readable, or list them in " + filepath.Join(abs, ignoreFile)}
	case s.long.Count > 0:
		return nil, &Refused{fmt.Sprintf("these paths are longer than a container takes, which is %s bytes: %s", Count(maxPath), s.long),
			"make them shorter, or list what they are in in " + filepath.Join(abs, ignoreFile)}
	case s.unknown != nil:
		return nil, &Refused{fmt.Sprintf("what git tracks in %s is not known, so what it ignores can't be left out (%v)", abs, s.unknown),
			"mend the repository, or copy what git ignores, too"}
	}
	_, err = root.Lstat(dockerIgnore)
	s.tree.Dockerignore = err == nil
	slices.SortStableFunc(s.tree.Large, func(a, b Part) int { return cmp.Compare(b.Bytes, a.Bytes) })
	return s.tree, nil
}

// scanner walks a directory.
type scanner struct {
	ctx    context.Context
	root   *os.Root
	o      Options
	ignore *gitignore.List
	most   limits
	tree   *Tree

	seen       int // entries to copy, also beyond the limit
	unreadable Names
	long       Names // paths that no container takes
	never      []fs.FileInfo
	unknown    error   // why it is not known what git tracks, where that decides
	room       []taker // what is directly under the directory, the largest few of each kind
	size       taker   // of the top-level entry that is being looked at
	found      []foundRepo
}

func (s *scanner) full() bool {
	return s.seen > s.most.entries || s.tree.Bytes > s.most.bytes
}

// directory takes in what is in a directory.
func (s *scanner) directory(dir string, at place) error {
	where, err := s.open(dir)
	if err != nil {
		return s.cannotRead(dir, err)
	}
	names, err := s.names(where)
	if err != nil {
		where.Close()
		return s.cannotRead(dir, err)
	}
	var below []found
	err = s.each(where, dir, names, s.enter(where, dir, names, at), &below)
	where.Close() // before those below are opened: a deep tree must not use up the files that may be open
	if err != nil {
		return err
	}
	if dir == "" {
		return s.top(below)
	}
	for _, f := range below {
		if err := s.take(f); err != nil {
			return err
		}
	}
	return nil
}

// top takes in what is directly under the directory, and keeps what each takes of the room.
func (s *scanner) top(below []found) error {
	for _, f := range below {
		s.size = taker{name: f.path}
		if err := s.take(f); err != nil {
			return err
		}
		s.room = largest(s.room, s.size)
	}
	return nil
}

func (s *scanner) open(dir string) (*os.Root, error) {
	if dir == "" {
		return s.root.OpenRoot(".")
	}
	return s.root.OpenRoot(filepath.FromSlash(dir))
}

// names lists a directory in the order of the names' bytes, at most as many as are looked at at all.
func (s *scanner) names(where *os.Root) ([]string, error) {
	f, err := where.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var names []string
	for s.seen+len(names) < s.most.look {
		if err := s.ctx.Err(); err != nil {
			return nil, err
		}
		some, err := f.Readdirnames(1024)
		names = append(names, some...)
		if len(some) == 0 || err != nil {
			break // what a listing broke off over is not there to be copied
		}
	}
	slices.Sort(names)
	return names, nil
}

// found is one entry of a directory that was looked at, and the place that it makes if it is a directory.
type found struct {
	path string
	info fs.FileInfo
	at   place
}

// each looks at the entries of one directory.
func (s *scanner) each(where *os.Root, dir string, names []string, at place, below *[]found) error {
	for _, name := range names {
		if err := s.ctx.Err(); err != nil {
			return fmt.Errorf("look through %s: %w", s.tree.Dir, err)
		}
		path := name
		if dir != "" {
			path = dir + "/" + name
		}
		info, err := where.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was there a moment ago
		}
		left, ignored := s.leftOut(path, name, err == nil && info.IsDir(), at)
		switch {
		case left:
			continue
		case err == nil && info.Mode().IsRegular() && !readable(where, name, info):
			err = fs.ErrPermission
		}
		if err != nil {
			if err := s.cannotRead(path, err); err != nil {
				return err
			}
			continue
		}
		in := at
		in.ignored, in.inGit = ignored, at.inGit || name == dotGit
		if ignored && in.large == nil && info.IsDir() {
			in.large = &Part{Path: path}
		}
		*below = append(*below, found{path, info, in})
	}
	return nil
}

// readable says whether a file can be opened. One that everybody may read is not tried.
func readable(where *os.Root, name string, info fs.FileInfo) bool {
	if info.Mode().Perm()&0o444 == 0o444 {
		return true
	}
	f, err := where.OpenFile(name, openFlags, 0)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	_ = f.Close() // nothing was written
	return true
}

// take adds an entry, and what is below it.
func (s *scanner) take(f found) error {
	t := s.tree
	switch {
	case len(f.path) > maxPath:
		s.long.Add(short(f.path))
		return nil // nor can what is below it
	case f.info.IsDir() && slices.ContainsFunc(s.never, func(info fs.FileInfo) bool { return os.SameFile(info, f.info) }):
		t.Never.Add(f.path)
		return nil
	}
	if path.Base(f.path) == dotGit {
		if is, err := s.repository(f); is || err != nil {
			return err
		}
	}
	switch kind := f.info.Mode().Type(); kind {
	case fs.ModeDir:
		s.add(f.path, kind, 0)
		err := s.directory(f.path, f.at)
		if l := f.at.large; l != nil && l.Path == f.path && l.Bytes > largeIgnored {
			t.Large = append(t.Large, *l)
		}
		return err
	case fs.ModeSymlink:
		t.Files++
		s.add(f.path, kind, 0)
	case 0:
		t.Files++
		s.add(f.path, kind, f.info.Size())
		s.form(f)
		if f.at.ignored && f.at.large != nil {
			f.at.large.Bytes = sum(f.at.large.Bytes, f.info.Size())
		}
	default:
		t.Skipped.Add(f.path)
	}
	return nil
}

// add counts an entry, and keeps it unless there are too many to be copied.
func (s *scanner) add(path string, kind fs.FileMode, bytes int64) {
	s.seen++
	s.size.entries++
	s.tree.Bytes = sum(s.tree.Bytes, bytes)
	s.size.bytes = sum(s.size.bytes, bytes)
	if len(s.tree.entries) < s.most.entries {
		s.tree.entries = append(s.tree.entries, entry{path, kind})
	}
}

// sum adds sizes of files, which may be sparse and say anything.
func sum(a, b int64) int64 {
	if b > math.MaxInt64-a {
		return math.MaxInt64
	}
	return a + b
}

// cannotRead remembers what can't be read; what has vanished meanwhile needs no copy.
func (s *scanner) cannotRead(path string, err error) error {
	if ctxErr := s.ctx.Err(); ctxErr != nil {
		return fmt.Errorf("look through %s: %w", s.tree.Dir, ctxErr)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	s.unreadable.Add(filepath.Join(s.tree.Dir, path))
	return nil
}
