package workspace

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"bottle-tui/bottles/workspace/gitrepo"
)

// dotGit is the name of a repository in the directory with its files.
const dotGit = ".git"

// The IDs of the notes about repositories.
const (
	NoteGitElsewhere = "git-elsewhere" // what of a repository is copied from outside of the directory
	NoteGitConfig    = "git-config"    // what of a repository's configuration is left out
	NoteGitUnusable  = "git-unusable"  // where git will not work
	NoteGitPart      = "git-part"      // the directory is a part of a repository
)

// Note is something that the operator should know of a copy before it is made.
type Note struct{ ID, What, Fix string }

// repository is a git repository that is copied as one directory of its own.
type repository struct {
	repo  *gitrepo.Repo
	place string // of its `.git` in the copy, with slashes
	work  string // of its files in the copy, where its configuration has to say it; "": it has not
}

// pointer is a `.git` that is a file in the copy, too: a submodule's, whose repository is kept in its superproject's, or
// that of a linked worktree of a repository that is copied, too.
type pointer struct{ path, to string }

// foundRepo is a repository that the scan met; dir has its files, from Tree.Dir.
type foundRepo struct {
	dir  string
	repo *gitrepo.Repo
}

// repository takes in what is called `.git`, and says whether it is a repository: what is none is copied like all else.
func (s *scanner) repository(f found) (bool, error) {
	dir := path.Dir(f.path)
	repo, err := gitrepo.Open(filepath.Join(s.tree.Dir, filepath.FromSlash(dir)))
	var bad *gitrepo.Unusable
	switch {
	case errors.Is(err, gitrepo.ErrNone):
		return false, nil
	case errors.As(err, &bad) && dir == "." && !bad.Broken:
		return true, &Refused{bad.What, bad.Fix + "; or leave the repository out: list " + dotGit + " in " + filepath.Join(s.tree.Dir, ignoreFile)}
	case errors.As(err, &bad):
		s.tree.note(NoteGitUnusable, fmt.Sprintf("git will not work in %s: %s", s.where(dir), bad.What), bad.Fix)
		return true, nil
	case err != nil:
		return true, s.cannotRead(f.path, err)
	}
	s.found = append(s.found, foundRepo{dir, repo})
	return true, nil
}

// where names a directory of the tree for the operator.
func (s *scanner) where(dir string) string { return filepath.Join(s.tree.Dir, filepath.FromSlash(dir)) }

func (t *Tree) note(id, what, fix string) { t.Notes = append(t.Notes, Note{id, what, fix}) }

// Git says whether there is a git repository in the tree.
func (t *Tree) Git() bool { return len(t.repos) > 0 }

// repositories places the repositories that the scan met, and counts what is in them.
func (s *scanner) repositories() error {
	linked := func(f foundRepo) int {
		if f.repo.Git != f.repo.Common {
			return 1 // after the repository that it may be a worktree of
		}
		return 0
	}
	slices.SortFunc(s.found, func(a, b foundRepo) int {
		return cmp.Or(linked(a)-linked(b), strings.Count(a.dir, "/")-strings.Count(b.dir, "/"), cmp.Compare(a.dir, b.dir))
	})
	placed := map[string]string{} // where a repository of the host is in the copy
	if s.o.Part != "" {
		if err := s.whole(placed); err != nil {
			return err
		}
	}
	if err := s.stores(placed); err != nil {
		return err
	}
	for _, f := range s.found {
		dir := path.Join(s.o.Part, f.dir)
		dot := path.Join(dir, dotGit)
		at, ok := placed[f.repo.Git]
		if main, in := placed[f.repo.Common]; in && !ok {
			f.repo.Linked, at, ok = true, path.Join(main, "worktrees", filepath.Base(f.repo.Git)), true
			if err := s.place(repository{repo: f.repo, place: at, work: dir}, placed, 0); err != nil {
				return err
			}
		}
		if ok {
			to, err := filepath.Rel(filepath.FromSlash(dir), filepath.FromSlash(at))
			if err != nil {
				return err
			}
			s.tree.pointers = append(s.tree.pointers, pointer{dot, filepath.ToSlash(to)})
			s.tree.Files++
			continue
		}
		if err := s.place(repository{repo: f.repo, place: dot}, placed, 0); err != nil {
			return err
		}
	}
	s.noteRepositories()
	if s.o.Part == "" && !slices.ContainsFunc(s.found, func(f foundRepo) bool { return f.dir == "." }) {
		return s.around()
	}
	return nil
}

// stores takes in the repositories that lie within the directory under another name than `.git`, and that one of its
// `.git` points to. They were met as directories like any other.
func (s *scanner) stores(placed map[string]string) error {
	for _, f := range s.found {
		at, err := filepath.Rel(s.tree.Dir, f.repo.Common)
		at = filepath.ToSlash(at)
		if _, ok := placed[f.repo.Common]; ok || err != nil || !filepath.IsLocal(at) || at == "." || strings.Contains("/"+at+"/", "/"+dotGit+"/") {
			continue
		}
		repo, err := gitrepo.OpenGit(f.repo.Common)
		if err != nil {
			return s.cannotRead(at, err)
		}
		if s.forget(at); s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		if err := s.place(repository{repo: repo, place: path.Join(s.o.Part, at)}, placed, 0); err != nil {
			return err
		}
	}
	return nil
}

// forget takes a directory out of what is copied file by file.
func (s *scanner) forget(dir string) {
	s.tree.stores = append(s.tree.stores, dir)
	s.tree.entries = slices.DeleteFunc(s.tree.entries, func(e entry) bool {
		if !s.tree.stored(e.path) {
			return false
		}
		if s.seen--; e.kind == fs.ModeDir {
			return true
		}
		s.tree.Files--
		if info, err := s.root.Lstat(filepath.FromSlash(e.path)); err == nil && info.Mode().IsRegular() {
			s.tree.Bytes -= min(info.Size(), s.tree.Bytes)
		}
		return true
	})
}

// prefix is what stands before the paths of the directory in the copy.
func (t *Tree) prefix() string {
	if t.Part == "" {
		return ""
	}
	return t.Part + "/"
}

// stored says whether a path belongs to a repository that is copied as one.
func (t *Tree) stored(p string) bool {
	return slices.ContainsFunc(t.stores, func(dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") })
}

// whole takes in the repository that the directory is a part of.
func (s *scanner) whole(placed map[string]string) error {
	root := strings.TrimSuffix(s.tree.Dir, string(filepath.Separator)+filepath.FromSlash(s.o.Part))
	repo, err := gitrepo.Open(root)
	if err == nil {
		err = repo.SetPart(s.o.Part)
	}
	if err != nil {
		return &Refused{fmt.Sprintf("%s was a part of the repository in %s, which can't be used any more (%v)", s.tree.Dir, root, err), "bring the repository back, or start a new bottle from the directory"}
	}
	s.tree.note(NoteGitPart, fmt.Sprintf("%s is a part of the repository in %s: that is copied with the files of this directory alone (a sparse checkout), and the agent works in its %s",
		s.tree.Dir, root, s.o.Part), "start with --cwd "+root+" to have all files inside")
	return s.place(repository{repo: repo, place: dotGit}, placed, 0)
}

// place takes a repository in, and those of its submodules that it keeps.
func (s *scanner) place(r repository, placed map[string]string, depth int) error {
	placed[r.repo.Git] = r.place
	s.tree.repos = append(s.tree.repos, r)
	s.size = taker{name: r.place}
	err := r.repo.Count(s.ctx, func(name string, bytes int64, readable bool) bool {
		if !readable {
			s.unreadable.Add(filepath.Join(r.repo.Git, filepath.FromSlash(name)))
		}
		s.tree.Files++
		s.seen++
		s.size.entries++
		s.tree.Bytes, s.size.bytes = sum(s.tree.Bytes, bytes), sum(s.size.bytes, bytes)
		return !s.full()
	})
	if s.room = largest(s.room, s.size); err != nil {
		return s.cannotRead(r.place, err)
	}
	modules, err := r.repo.Modules()
	if err != nil {
		return s.cannotRead(r.place, err)
	}
	for _, name := range modules {
		if depth > 16 || s.full() {
			return nil
		}
		at := path.Join(r.place, "modules", name)
		repo, err := gitrepo.OpenGit(filepath.Join(r.repo.Git, "modules", filepath.FromSlash(name)))
		var bad *gitrepo.Unusable
		switch {
		case errors.As(err, &bad):
			s.tree.note(NoteGitUnusable, "git will not work in the submodule "+name+": "+bad.What, bad.Fix)
			continue
		case errors.Is(err, gitrepo.ErrNone):
			continue
		case err != nil:
			return s.cannotRead(at, err)
		}
		sub := repository{repo: repo, place: at}
		if work, ok := s.inside(repo.Worktree()); ok {
			sub.work = work
		}
		if err := s.place(sub, placed, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// inside gives a path of the host from the directory that is copied, if it is in it.
func (s *scanner) inside(p string) (string, bool) {
	rel, err := filepath.Rel(s.tree.Dir, p)
	if p == "" || err != nil || !filepath.IsLocal(rel) {
		return "", false
	}
	return path.Join(s.o.Part, filepath.ToSlash(rel)), true
}

// maxNamed bounds how many settings or places a note names.
const maxNamed = 12

// noteRepositories notes what is copied from elsewhere, and what is left out of the configurations.
func (s *scanner) noteRepositories() {
	var places, removed []string
	for _, r := range s.tree.repos {
		for _, p := range r.repo.Places() {
			if _, ok := s.inside(p); !ok && !slices.Contains(places, p) {
				places = append(places, p)
			}
		}
		if r.repo.Linked {
			continue // what is its repository's is named there
		}
		hooks, err := r.repo.HostHooks(s.tree.hidden())
		if err != nil {
			hooks = nil // s.place found what can't be read
		}
		for _, name := range append(slices.Clone(r.repo.Removed), hooks...) {
			if dir := path.Dir(r.place); dir != "." {
				name += " (" + dir + ")"
			}
			removed = append(removed, name)
		}
	}
	if len(places) > 0 {
		s.tree.note(NoteGitElsewhere, "the git repository is copied as one of the bottle's own, also from outside of the directory: "+list(places), "")
	}
	if len(removed) > 0 {
		s.tree.note(NoteGitConfig, "left out of the copy's git configuration and hooks, because it holds for this machine alone: "+list(removed), "")
	}
}

// hidden are the directories, besides a repository's own, whose paths a copy does not tell.
func (t *Tree) hidden() []string {
	home, err := os.UserHomeDir()
	if err != nil {
		return []string{t.Dir}
	}
	return []string{t.Dir, home}
}

func list(names []string) string {
	text := strings.Join(names[:min(maxNamed, len(names))], ", ")
	if more := len(names) - maxNamed; more > 0 {
		text += fmt.Sprintf(" and %s more", Count(more))
	}
	return text
}

// around looks for a repository that a directory without one of its own is in.
func (s *scanner) around() error {
	if gitrepo.Bare(s.tree.Dir) {
		return &Refused{s.tree.Dir + " is a bare repository: it has no files to work on",
			"make a worktree of it (git -C " + s.tree.Dir + " worktree add DIRECTORY) and start with --cwd DIRECTORY"}
	}
	part, root, err := PartOf(s.tree.Dir)
	switch {
	case err != nil:
		s.tree.note(NoteGitUnusable, fmt.Sprintf("git will not work inside: %s is a part of the repository in %s, which can't be copied with it (%v)", s.tree.Dir, root, err), "")
	case part != "":
		s.tree.note(NoteGitUnusable, fmt.Sprintf("git will not work inside: %s is a part of the repository in %s, which is not copied", s.tree.Dir, root), "start with --cwd "+root)
	}
	return nil
}

// PartOf says which part of a git repository a directory is that has none of its own: its path in the worktree, with
// slashes, and where that is; "": it is none, or nothing in it is tracked. An error says why a copy of that repository
// could not be made.
func PartOf(dir string) (part, root string, err error) {
	if dir, err = filepath.Abs(dir); err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil || gitrepo.Bare(dir) {
		return "", "", nil // Scan says what there is to say
	}
	for root = dir; ; root = filepath.Dir(root) {
		_, err := os.Lstat(filepath.Join(root, dotGit))
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) || root == filepath.Dir(root) {
			return "", "", nil
		}
	}
	if root == dir {
		return "", "", nil
	}
	rel, err := filepath.Rel(root, dir)
	if err != nil {
		return "", "", nil
	}
	part = filepath.ToSlash(rel)
	repo, err := gitrepo.Open(root)
	if errors.Is(err, gitrepo.ErrNone) {
		return "", "", nil
	}
	tracked := false
	if err == nil {
		err = repo.Tracked(func(p string) { tracked = tracked || strings.HasPrefix(p, part+"/") })
	}
	if err == nil && !tracked {
		return "", "", nil
	}
	if err == nil {
		err = repo.SetPart(part)
	}
	return part, root, err
}
