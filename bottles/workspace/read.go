package workspace

import (
	"context"
	"os"
	"path/filepath"
)

// Read gives visit the regular files of at most most bytes whose paths want takes, as they are now, until visit gives an
// error, which is Read's. What can't be read at this moment is passed over: the copy itself tells of that. A git
// repository's own files are not among them.
func (t *Tree) Read(ctx context.Context, most int64, want func(path string) bool, visit func(path string, content []byte) error) error {
	root, err := os.OpenRoot(t.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, e := range t.entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.kind != 0 || !want(e.path) {
			continue
		}
		text, err := readSmall(root, e.path, most)
		if err != nil {
			continue
		}
		if err := visit(e.path, text); err != nil {
			return err
		}
	}
	return nil
}

func readSmall(root *os.Root, path string, most int64) ([]byte, error) {
	f, err := root.OpenFile(filepath.FromSlash(path), openFlags, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return content(f, most)
}
