package workspace

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"bottle-tui/bottles/workspace/gitrepo"
)

const (
	// openFlags: a named pipe that takes a file's place must not make an open wait.
	openFlags = os.O_RDONLY | syscall.O_NONBLOCK

	chunk         = 256 << 10 // bytes that are read, and written, at a time
	progressEvery = 50 * time.Millisecond
)

// Archive writes the tree as a tar with paths from Dir, each below t.Under. All entries belong to uid and gid; permission bits are kept,
// set-id bits are not. Links are kept as links, whatever they point to.
//
// The directory may change meanwhile: what has vanished, or has become something else, is passed over, and a file has
// in the archive the size that it had when it was opened, cut or filled up with zeros. progress, which may be nil, is
// told how much was written, at most every 50 ms and at the end. A git repository is copied as one of its own, in a state
// in which it was at one moment; what could not be had so is in t.Unsettled.
func (t *Tree) Archive(ctx context.Context, w io.Writer, uid, gid int, progress func(files int, bytes int64)) error {
	t.Unsettled = ""
	root, err := os.OpenRoot(t.Dir)
	if err != nil {
		return fmt.Errorf("copy %s: %w", t.Dir, err)
	}
	defer root.Close()
	out := bufio.NewWriterSize(w, chunk)
	a := &archiver{
		ctx: ctx, tree: t, root: root, out: tar.NewWriter(out), uid: uid, gid: gid,
		progress: progress, told: time.Now(), buf: make([]byte, chunk),
	}
	defer a.leave()
	git, err := a.beginGit()
	if err != nil {
		return fmt.Errorf("copy %s: %w", t.Dir, err)
	}
	if err := a.enclosing(); err != nil {
		return fmt.Errorf("copy %s: %w", t.Dir, err)
	}
	for _, e := range t.entries {
		if err := a.add(e); err != nil {
			return fmt.Errorf("copy %s: %w", filepath.Join(t.Dir, filepath.FromSlash(short(e.path))), err)
		}
	}
	if err := git.finish(ctx); err != nil {
		return fmt.Errorf("copy %s: %w", t.Dir, err)
	}
	err = a.out.Close()
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", t.Dir, err)
	}
	if progress != nil {
		progress(a.files, a.bytes)
	}
	return nil
}

type archiver struct {
	ctx      context.Context
	tree     *Tree
	root     *os.Root
	out      *tar.Writer
	uid, gid int
	progress func(files int, bytes int64)
	told     time.Time // when progress was last told
	files    int
	bytes    int64
	buf      []byte
	marks    map[string]gitrepo.Mark // what was written, by its path; nil: nobody asks
	stale    Names                   // what of that was deleted since

	dir  string   // where here is, from the root
	here *os.Root // the directory of the last entry; nil: none yet, or it is gone
}

// enter opens the directory of an entry, unless it is the last entry's.
func (a *archiver) enter(dir string) error {
	if a.here != nil && a.dir == dir {
		return nil
	}
	a.leave()
	here, err := a.root.OpenRoot(filepath.FromSlash(dir))
	if err != nil {
		return err
	}
	a.here, a.dir = here, dir
	return nil
}

func (a *archiver) leave() {
	if a.here != nil {
		a.here.Close()
		a.here = nil
	}
}

// gone says that what was there at the scan is not there any more, or is something else now.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// replaced says that a directory can't be entered because it, or one that it is in, is not a directory any more.
func (a *archiver) replaced(dir string) bool {
	for i := 1; i <= len(dir); i++ {
		if i < len(dir) && dir[i] != '/' {
			continue
		}
		if info, err := a.root.Lstat(filepath.FromSlash(dir[:i])); gone(err) || err == nil && !info.IsDir() {
			return true
		}
	}
	return false
}

func (a *archiver) add(e entry) error {
	if err := a.ctx.Err(); err != nil {
		return err
	}
	dir := path.Dir(e.path)
	if err := a.enter(dir); err != nil {
		if a.replaced(dir) {
			return nil
		}
		return err
	}
	name := path.Base(e.path)
	info, err := a.here.Lstat(name)
	switch {
	case gone(err) || err == nil && info.Mode().Type() != e.kind:
		return nil
	case err != nil:
		return err
	}
	if a.marks != nil {
		a.marks[e.path] = gitrepo.MarkOf(info)
	}
	h := a.header(path.Join(a.tree.Part, e.path), tar.TypeReg)
	h.Mode, h.ModTime = int64(info.Mode().Perm()), info.ModTime()
	switch e.kind {
	case fs.ModeDir:
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		return a.out.WriteHeader(h)
	case fs.ModeSymlink:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = a.here.Readlink(name); gone(err) || errors.Is(err, syscall.EINVAL) {
			return nil
		} else if err != nil {
			return err
		}
		if err := a.out.WriteHeader(h); err != nil {
			return err
		}
		a.files++
		a.tell()
		return nil
	}
	f, err := a.here.OpenFile(name, openFlags, 0)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return a.content(f, h)
}

// enclosing writes the directories that the copied one is in, in the copy.
func (a *archiver) enclosing() error {
	part := a.tree.Part
	for i := range len(part) + 1 {
		if part == "" || i < len(part) && part[i] != '/' {
			continue
		}
		h := a.header(part[:i]+"/", tar.TypeDir)
		h.Mode, h.ModTime = 0o755, time.Now()
		if err := a.out.WriteHeader(h); err != nil {
			return err
		}
	}
	return nil
}

// header is an entry's, with times as exact as they are.
func (a *archiver) header(name string, kind byte) *tar.Header {
	return &tar.Header{Typeflag: kind, Name: a.tree.Under + name, Uid: a.uid, Gid: a.gid, Format: tar.FormatPAX}
}

// content writes a regular file that is open; it completes the header.
func (a *archiver) content(f *os.File, h *tar.Header) error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return nil
	case info.Size() > a.tree.maxBytes-a.bytes:
		return fmt.Errorf("the directory grew while it was copied, to more than %s: stop what writes there, or list it in %s", Size(a.tree.maxBytes), ignoreFile)
	}
	h.Size, h.Mode, h.ModTime = info.Size(), int64(info.Mode().Perm()), info.ModTime()
	if err := a.out.WriteHeader(h); err != nil {
		return err
	}
	for left := h.Size; left > 0; {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		part := a.buf[:min(left, chunk)]
		n, err := io.ReadFull(f, part)
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			clear(part[n:]) // it shrank
		case err != nil:
			return err
		}
		if _, err := a.out.Write(part); err != nil {
			return err
		}
		left -= int64(len(part))
		a.bytes += int64(len(part))
		a.tell()
	}
	a.files++
	a.tell()
	return nil
}

// tell tells the progress, now and then.
func (a *archiver) tell() {
	if a.progress == nil {
		return
	}
	if now := time.Now(); now.Sub(a.told) >= progressEvery {
		a.told = now
		a.progress(a.files, a.bytes)
	}
}
