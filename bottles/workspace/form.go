package workspace

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// maxPath is how long a path from the copied directory may be, in bytes: Linux takes 4,095, the workspace's own among
// them.
const maxPath = 4095 - len("/workspace/")

// leastHoles is how many bytes a file's holes have where they are worth a word.
const leastHoles = 1 << 20

// short is a path that may be too long to be shown.
func short(path string) string {
	const most = 160
	if len(path) <= most {
		return path
	}
	return path[:most/2] + "…" + path[len(path)-most/2:]
}

// form notes what of a regular file is otherwise in the copy than on the host. A repository's own files are not named.
func (s *scanner) form(f found) {
	stat, ok := f.info.Sys().(*syscall.Stat_t)
	if !ok || f.at.inGit {
		return
	}
	if stat.Nlink > 1 {
		s.tree.HardLinks.Add(f.path)
	}
	if holes := f.info.Size() - stat.Blocks*512; holes >= leastHoles && s.hasHole(f.path) {
		s.tree.Sparse.Add(f.path)
		s.tree.SparseBytes = sum(s.tree.SparseBytes, holes)
	}
}

// hasHole says whether a file has holes: one that its file system compresses takes less room than it is long, too.
func (s *scanner) hasHole(path string) bool {
	f, err := s.root.OpenFile(path, openFlags, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	at, err := f.Seek(0, unix.SEEK_HOLE)
	info, statErr := f.Stat()
	return err == nil && statErr == nil && at < info.Size()
}
