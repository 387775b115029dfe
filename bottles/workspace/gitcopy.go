package workspace

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bottle-tui/bottles/workspace/gitrepo"
)

// How long a copy waits for a moment in which nobody changes a repository, and how long between two looks.
const (
	settleFor  = 10 * time.Second
	settleLook = 5 * time.Millisecond
)

// gitCopy copies the repositories of a tree. Their state is read before their objects, so that all that a ref reaches
// is among those; it is read again, and files that changed are written again, until nothing changed from the reading to
// the end. A later entry of an archive replaces an earlier one of the same name.
type gitCopy struct {
	a      *archiver
	states []*gitrepo.State
	copied []map[string]bool // of each repository: the files that are in the archive
	made   map[string]bool   // directories that are in the archive
}

// beginGit reads the state of the repositories, before anything is copied.
func (a *archiver) beginGit() (*gitCopy, error) {
	g := &gitCopy{a: a, made: map[string]bool{}}
	for _, r := range a.tree.repos {
		files := map[string]bool{}
		if main := slices.IndexFunc(a.tree.repos, func(o repository) bool { return o.repo.Git == r.repo.Common }); r.repo.Linked {
			files = g.copied[main] // its objects are those of the repository that it is a worktree of
		}
		g.copied = append(g.copied, files)
	}
	if len(a.tree.repos) > 0 {
		a.marks = make(map[string]gitrepo.Mark, len(a.tree.entries))
	}
	return g, g.read()
}

// read reads the state of every repository.
func (g *gitCopy) read() error {
	g.states = g.states[:0]
	hidden := g.a.tree.hidden()
	for _, r := range g.a.tree.repos {
		work := r.work
		if r.repo.Linked {
			work = "/" + g.a.tree.Under + work
		}
		s, err := r.repo.Read(r.place, work, hidden)
		if err != nil {
			return fmt.Errorf("read the git repository %s: %w", r.repo.Git, err)
		}
		g.states = append(g.states, s)
	}
	return nil
}

// finish writes the repositories, once nobody changes them.
func (g *gitCopy) finish(ctx context.Context) error {
	if len(g.a.tree.repos) == 0 {
		return nil
	}
	end := time.Now().Add(settleFor)
	for {
		vanished, err := g.objects(ctx)
		if err != nil {
			return err
		}
		settled, err := g.settled()
		if err != nil {
			return err
		}
		over := time.Now().After(end)
		switch {
		case settled && !vanished:
			return g.write()
		case over && vanished:
			return errors.New("git packs its objects again and again while they are copied: wait for it (git gc), then try again")
		case over:
			g.a.tree.Unsettled = "the git repository kept changing while it was copied: git status inside may show changes that are none"
			return g.write()
		}
		if err := pause(ctx, settleLook); err != nil {
			return err
		}
		if err := g.read(); err != nil {
			return err
		}
		if err := g.a.copyChanged(ctx); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// objects writes what of the repositories is copied as it is and is not in the archive yet.
func (g *gitCopy) objects(ctx context.Context) (vanished bool, err error) {
	for i, r := range g.a.tree.repos {
		had := g.copied[i]
		v, err := r.repo.Bulk(ctx, func(name string) bool { return had[name] }, func(f gitrepo.File) error {
			file, err := f.Open()
			if err != nil {
				return err
			}
			defer file.Close()
			name := path.Join(r.place, f.Name)
			if err := g.parents(name); err != nil {
				return err
			}
			had[f.Name] = true
			h := g.a.header(name, tar.TypeReg)
			h.Format = tar.FormatUnknown // whole seconds do for an object, and take a third of the room
			return g.a.content(file, h)
		})
		if err != nil {
			return false, err
		}
		vanished = vanished || v
	}
	return vanished, nil
}

// settled says whether the repositories still are in the state that was read.
func (g *gitCopy) settled() (bool, error) {
	for i, r := range g.a.tree.repos {
		same, busy, err := r.repo.Unchanged(g.states[i], time.Now())
		if err != nil || !same || busy {
			return false, err
		}
	}
	return true, nil
}

// needed are the directories that git wants in a repository, also when nothing is in them.
var needed = []string{"objects/info/x", "objects/pack/x", "refs/heads/x", "refs/tags/x"}

// write writes the states, and the files that point to a repository.
func (g *gitCopy) write() error {
	a := g.a
	var missing []string
	for i, r := range a.tree.repos {
		if !r.repo.Linked {
			for _, name := range needed {
				if err := g.parents(path.Join(r.place, name)); err != nil {
					return err
				}
			}
		}
		for _, c := range g.states[i].Files {
			if err := g.file(path.Join(r.place, c.Name), c); err != nil {
				return err
			}
		}
		lost, err := r.repo.Missing(g.states[i], func(name string) bool { return g.copied[i][name] })
		if err != nil {
			return err
		}
		missing = append(missing, lost...)
	}
	for _, p := range a.tree.pointers {
		if err := g.file(p.path, gitrepo.Content{Data: []byte("gitdir: " + p.to + "\n"), Mode: 0o644, Time: time.Now()}); err != nil {
			return err
		}
	}
	if a.stale.Count > 0 { // an archive can't take back what it has
		a.tree.Unsettled = "deleted while the directory was copied, and in the copy all the same: " + a.stale.String()
	}
	if len(missing) > 0 {
		a.tree.Unsettled = "the git repository is broken: it has no object for " + list(missing)
	}
	return nil
}

// file writes one file of a repository that was read.
func (g *gitCopy) file(name string, c gitrepo.Content) error {
	if err := g.parents(name); err != nil {
		return err
	}
	a := g.a
	h := a.header(name, tar.TypeReg)
	h.Size, h.Mode, h.ModTime = int64(len(c.Data)), int64(c.Mode), c.Time
	if err := a.out.WriteHeader(h); err != nil {
		return err
	}
	if _, err := a.out.Write(c.Data); err != nil {
		return err
	}
	a.files++
	a.bytes += h.Size
	a.tell()
	return nil
}

// parents writes the directories from a repository's own on to a file.
func (g *gitCopy) parents(name string) error {
	for i := range len(name) {
		if name[i] != '/' {
			continue
		}
		dir := name[:i]
		if g.made[dir] || !strings.Contains("/"+dir+"/", "/"+dotGit+"/") && !g.a.tree.stored(strings.TrimPrefix(dir, g.a.tree.prefix())) {
			continue
		}
		g.made[dir] = true
		h := g.a.header(dir+"/", tar.TypeDir)
		h.Mode, h.ModTime = 0o755, time.Now()
		if err := g.a.out.WriteHeader(h); err != nil {
			return err
		}
	}
	return nil
}

// copyChanged writes again what of the directory changed since it was written, and what is new in it.
func (a *archiver) copyChanged(ctx context.Context) error {
	now, err := a.tree.again(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		now = a.tree // what is new can't be had, as it is
	}
	there := make(map[string]bool, len(now.entries))
	for _, e := range now.entries {
		if a.tree.stored(e.path) {
			continue
		}
		there[e.path] = true
		if err := a.enter(path.Dir(e.path)); err != nil {
			continue // a.add says what there is to say of one that is still there
		}
		info, err := a.here.Lstat(path.Base(e.path))
		old, written := a.marks[e.path]
		if err != nil || written && (e.kind == fs.ModeDir || old == gitrepo.MarkOf(info)) {
			continue
		}
		if err := a.add(e); err != nil {
			return fmt.Errorf("copy %s: %w", filepath.Join(a.tree.Dir, filepath.FromSlash(short(e.path))), err)
		}
	}
	a.stale = Names{}
	for _, name := range slices.Sorted(maps.Keys(a.marks)) {
		if !there[name] {
			a.stale.Add(name)
		}
	}
	return nil
}
