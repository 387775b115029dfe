package gitrepo

import (
	"encoding/binary"
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
	for end := len(index) - r.idLen; at < end; {
		if at+8 > end {
			return errIndex
		}
		next := at + 8 + int(binary.BigEndian.Uint32(index[at+4:]))
		if next > end || next < at+8 {
			return errIndex
		}
		if kind, body := string(index[at:at+4]), index[at+8:next]; kind == "link" && name == "index" && len(body) >= r.idLen {
			if id := fmt.Sprintf("%x", body[:r.idLen]); strings.Trim(id, "0") != "" {
				if err := r.tracked("sharedindex."+id, fn); err != nil {
					return err
				}
			}
		}
		at = next
	}
	return nil
}

// Excludes are the files with what git ignores in the whole worktree, besides its .gitignore files: the repository's own,
// then the operator's. The first of them that says something of a path decides. They need not exist.
func (r *Repo) Excludes() []string {
	out := []string{filepath.Join(r.Common, "info", "exclude")}
	home, err := os.UserHomeDir()
	if err != nil {
		return out
	}
	own := os.Getenv("XDG_CONFIG_HOME")
	if own == "" {
		own = filepath.Join(home, ".config")
	}
	path := ""
	for _, file := range []string{filepath.Join(own, "git", "config"), filepath.Join(home, ".gitconfig")} {
		if text, err := readSmall(file, maxConfig); err == nil {
			settings, err := parseConfig([]byte(text))
			if last, ok := (&Repo{settings: settings}).get("core.excludesfile"); ok && err == nil {
				path = last.value
			}
		}
	}
	if last, ok := r.get("core.excludesfile"); ok {
		path = last.value
	}
	switch rest, ok := strings.CutPrefix(path, "~/"); {
	case path == "":
		path = filepath.Join(own, "git", "ignore")
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
