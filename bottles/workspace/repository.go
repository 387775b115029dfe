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
)

// Note is something that the operator should know of a copy before it is made.
type Note struct{ ID, What, Fix string }

// repository is a git repository that is copied as one directory of its own.
type repository struct {
	repo  *gitrepo.Repo
	place string // of its `.git` in the copy, with slashes
	work  string // of its files in the copy, where its configuration has to say it; "": it has not
}

// pointer is a `.git` that is a file in the copy, too: a submodule's, whose repository is its superproject's.
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
	slices.SortFunc(s.found, func(a, b foundRepo) int {
		return cmp.Or(strings.Count(a.dir, "/")-strings.Count(b.dir, "/"), cmp.Compare(a.dir, b.dir))
	})
	placed := map[string]string{} // where a repository of the host is in the copy
	for _, f := range s.found {
		dot := path.Join(f.dir, dotGit)
		if at, ok := placed[f.repo.Git]; ok {
			to, err := filepath.Rel(filepath.FromSlash(f.dir), filepath.FromSlash(at))
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
	if !slices.ContainsFunc(s.found, func(f foundRepo) bool { return f.dir == "." }) {
		return s.around()
	}
	return nil
}

// place takes a repository in, and those of its submodules that it keeps.
func (s *scanner) place(r repository, placed map[string]string, depth int) error {
	placed[r.repo.Git] = r.place
	s.tree.repos = append(s.tree.repos, r)
	s.size = taker{name: r.place}
	err := r.repo.Count(s.ctx, func(bytes int64) bool {
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
	return filepath.ToSlash(rel), true
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
		for _, name := range r.repo.Removed {
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
		s.tree.note(NoteGitConfig, "left out of the copy's git configuration, because it holds for this machine alone: "+list(removed), "")
	}
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
	for dir := filepath.Dir(s.tree.Dir); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(filepath.Join(dir, dotGit)); err == nil {
			s.enclosed(dir)
			return nil
		} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) || dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// enclosed notes that the directory is a part of a repository in dir, if that one tracks something of it.
func (s *scanner) enclosed(dir string) {
	rel, err := filepath.Rel(dir, s.tree.Dir)
	if err != nil {
		return
	}
	part := filepath.ToSlash(rel) + "/"
	repo, err := gitrepo.Open(dir)
	tracked := false
	if err == nil {
		err = repo.Tracked(func(p string) { tracked = tracked || strings.HasPrefix(p, part) })
	}
	if err == nil && tracked {
		s.tree.note(NoteGitUnusable, fmt.Sprintf("git will not work inside: %s is a part of the repository in %s, which is not copied", s.tree.Dir, dir),
			"start with --cwd "+dir+" to have the repository inside")
	}
}
