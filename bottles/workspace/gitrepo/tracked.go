package gitrepo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Tracked tells fn the paths that the repository's index has, from its worktree's root, in no order and maybe twice.
func (r *Repo) Tracked(fn func(path string)) error {
	err := r.tracked("index", fn)
	if errors.Is(err, fs.ErrNotExist) {
		if _, missing := os.Lstat(filepath.Join(r.Git, "index")); errors.Is(missing, fs.ErrNotExist) {
			return nil // nothing was ever added
		}
	}
	if err != nil {
		return fmt.Errorf("read the index of the repository %s: %w", r.Git, err)
	}
	return nil
}

// tracked reads one file of the index, which may be split: then most is in another one.
func (r *Repo) tracked(name string, fn func(path string)) error {
	text, err := readSmall(filepath.Join(r.Git, name), maxState)
	if err != nil {
		return err
	}
	index := []byte(text)
	at, err := eachEntry(index, r.idLen, func(e indexEntry) {
		if p := e.path; len(p) > 0 && p[len(p)-1] != '/' { // neither one of the other file that was replaced nor a whole directory
			fn(string(p))
		}
	})
	if err != nil {
		return err
	}
	return eachExtension(index[:len(index)-r.idLen], at, func(kind string, whole []byte) error {
		body := whole[extensionHeader:]
		if kind != "link" || name != "index" || len(body) < r.idLen {
			return nil
		}
		id := fmt.Sprintf("%x", body[:r.idLen])
		if strings.Trim(id, "0") == "" {
			return nil
		}
		return r.tracked("sharedindex."+id, fn)
	})
}

// Excludes are the files with what git ignores in the whole worktree, besides its .gitignore files: the repository's own,
// then the operator's. The first of them that says something of a path decides. They need not exist.
func (r *Repo) Excludes() []string {
	out := []string{filepath.Join(r.Common, "info", "exclude")}
	home, err := os.UserHomeDir()
	if err != nil {
		return out
	}
	own, xdg := homeSettings(home)
	last, _ := lastOf(append(own, r.settings...), "core.excludesfile")
	path := last.value
	switch rest, ok := strings.CutPrefix(path, "~/"); {
	case path == "":
		path = filepath.Join(xdg, "git", "ignore")
	case ok:
		path = filepath.Join(home, rest)
	case !filepath.IsAbs(path):
		path = filepath.Join(r.Work, path)
	}
	return append(out, path)
}

// SetPart has the copy hold the files of one directory alone, given from the worktree's root, with slashes: those of
// others are marked as not checked out. It fails where the index can't say so.
func (r *Repo) SetPart(part string) error {
	text, err := readSmall(filepath.Join(r.Git, "index"), maxState)
	if err == nil {
		_, err = portableIndex([]byte(text), r.idLen, part+"/")
	}
	if err == nil && strings.ContainsAny(part, "\n\r") {
		err = errors.New("there is a line break in its name")
	}
	if err != nil {
		return fmt.Errorf("copy the part %s of the repository %s: %w", part, r.Git, err)
	}
	r.Part = part + "/"
	return nil
}
