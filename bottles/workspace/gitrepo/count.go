package gitrepo

import (
	"context"
	"io/fs"
)

// Count tells fn the size of every file of a copy, and whether it can be read, until it says that it has enough.
func (r *Repo) Count(ctx context.Context, fn func(name string, bytes int64, readable bool) (more bool)) error {
	enough := false
	tell := func(f File, info fs.FileInfo) {
		enough = enough || !fn(f.Name, info.Size(), f.readable(info))
	}
	err := r.eachState(func(f File, info fs.FileInfo) error {
		tell(f, info)
		return ctx.Err()
	})
	if err != nil || enough {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_, err = r.Bulk(ctx, func(string) bool { return false }, func(f File) error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if tell(f, info); enough {
			cancel()
		}
		return nil
	})
	if enough {
		return nil
	}
	return err
}

// readable says whether a file can be opened. One that everybody may read is not tried.
func (f File) readable(info fs.FileInfo) bool {
	if info.Mode().Perm()&0o444 == 0o444 {
		return true
	}
	file, err := f.Open()
	if err != nil {
		return gone(err) == nil
	}
	_ = file.Close() // nothing was written
	return true
}

// Worktree is where the repository of a submodule says that its files are; "" where it does not say.
func (r *Repo) Worktree() string {
	dir, _ := r.worktree()
	return dir
}
