package gitrepo

import (
	"context"
	"io/fs"
)

// Count tells fn the size of every file of a copy, until it says that it has enough.
func (r *Repo) Count(ctx context.Context, fn func(bytes int64) (more bool)) error {
	enough := false
	err := r.eachState(func(_ File, info fs.FileInfo) error {
		enough = enough || !fn(info.Size())
		return ctx.Err()
	})
	if err != nil || enough {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	_, err = r.Bulk(ctx, func(string) bool { return false }, func(f File) error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if !fn(info.Size()) {
			enough = true
			cancel(nil)
		}
		return nil
	})
	if enough {
		return nil
	}
	return err
}

// Worktree is where the repository of a submodule says that its files are; "" where it does not say.
func (r *Repo) Worktree() string {
	dir, _ := r.worktree()
	return dir
}
