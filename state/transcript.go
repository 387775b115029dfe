package state

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// The transcript directory holds what ~/.claude/projects held in the bottle. In an archive each of its
// entries stands below "projects", as the engine copies that directory out and in.
const (
	transcriptDir = "transcript"
	archiveTop    = "projects"

	maxTranscriptBytes   = 2 << 30
	maxTranscriptEntries = 100_000
	maxTranscriptName    = 4096 // bytes of one path
)

// limits bounds one archive.
type limits struct {
	bytes   int64
	entries int
}

// ReplaceTranscript makes the archive the bottle's transcript: a tar of the directory "projects".
//
// Nothing is lost by it: files that the archive lacks stay, and a file of which the archive holds only
// the beginning stays as it is. Only regular files and directories are taken; links and special files are
// passed over and never made. An archive that names a path outside "projects", an entry twice, more than
// 100,000 entries or more than 2 GiB, or that is cut off, is refused whole, and the old transcript stays.
// A crash leaves the old transcript or the new one. The caller holds the bottle's lock.
func (b *Bottle) ReplaceTranscript(archive io.Reader) error {
	return b.replaceTranscript(archive, limits{maxTranscriptBytes, maxTranscriptEntries})
}

func (b *Bottle) replaceTranscript(archive io.Reader, most limits) error {
	fail := func(err error) error {
		return b.orUnknown(fmt.Errorf("keeping the transcript of %s: %w%s; the one that was kept before is unchanged", b.identity, err, adviceFor(err)))
	}
	root, err := os.OpenRoot(b.Dir())
	if err != nil {
		return fail(err)
	}
	defer root.Close()
	if err := settleSwap(root); err != nil {
		return fail(err)
	}
	x := extraction{root: root, most: most, dirs: []string{transcriptNext}, made: map[string]bool{transcriptNext: true}}
	err = x.run(archive)
	if err == nil {
		err = x.keepOld()
	}
	if err == nil {
		err = x.sync()
	}
	if err == nil {
		err = swapTranscript(root, exchange)
	}
	if err != nil {
		return fail(errors.Join(err, root.RemoveAll(transcriptNext)))
	}
	return nil
}

// extraction unpacks one archive into the directory transcriptNext of root.
type extraction struct {
	root    *os.Root
	most    limits
	bytes   int64           // written or shared so far
	entries int             // seen so far
	dirs    []string        // made so far, parents first
	made    map[string]bool // the same, to ask
}

func (x *extraction) run(archive io.Reader) error {
	if err := x.root.Mkdir(transcriptNext, dirPerm); err != nil {
		return err
	}
	reader := tar.NewReader(archive)
	top := false
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("the archive can't be read: %w", err)
		}
		if err := x.count(0); err != nil {
			return err
		}
		if header.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		name, err := archivePath(header.Name)
		if err != nil {
			return err
		}
		switch header.Typeflag {
		case tar.TypeDir:
			top = true
			err = x.makeDirs(name)
		case tar.TypeReg:
			if top = true; name == transcriptNext {
				return fmt.Errorf("the archive's %q is a file, not a directory", archiveTop)
			}
			err = x.file(name, header, reader)
		}
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("the archive holds %q twice", header.Name)
		}
		if err != nil {
			return fmt.Errorf("the archive's entry %q: %w", header.Name, err)
		}
	}
	if !top {
		return fmt.Errorf("the archive holds no directory %q", archiveTop)
	}
	return nil
}

// count takes one more entry of size bytes into account.
func (x *extraction) count(size int64) error {
	x.entries++
	return x.weigh(size)
}

func (x *extraction) weigh(size int64) error {
	x.bytes += size
	if size < 0 || x.bytes > x.most.bytes || x.entries > x.most.entries {
		return fmt.Errorf("with what was kept before, it comes to more than %d bytes or %d entries", x.most.bytes, x.most.entries)
	}
	return nil
}

// archivePath is where an entry of the archive goes. It refuses what is not plainly below "projects".
func archivePath(name string) (string, error) {
	if len(name) > maxTranscriptName {
		return "", fmt.Errorf("the archive holds a path of %d bytes; at most %d are allowed", len(name), maxTranscriptName)
	}
	trimmed := strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	below, ok := strings.CutPrefix(trimmed+"/", archiveTop+"/")
	if !ok || !fs.ValidPath(trimmed) || strings.ContainsRune(trimmed, 0) {
		return "", fmt.Errorf("the archive's entry %q does not lie below %q", name, archiveTop)
	}
	return path.Join(transcriptNext, below), nil
}

// makeDirs makes dir with its parents, and notes each for the fsync.
func (x *extraction) makeDirs(dir string) error {
	for end := len(transcriptNext); end < len(dir); {
		if next := strings.IndexByte(dir[end+1:], '/'); next < 0 {
			end = len(dir)
		} else {
			end += 1 + next
		}
		if x.made[dir[:end]] {
			continue
		}
		if err := x.root.Mkdir(dir[:end], dirPerm); err != nil {
			return err
		}
		x.dirs = append(x.dirs, dir[:end])
		x.made[dir[:end]] = true
	}
	return nil
}

// file unpacks one regular file. As long as it reads the same as the file that was kept before, nothing
// is written: a file that did not change is shared with the old transcript.
func (x *extraction) file(name string, header *tar.Header, content io.Reader) error {
	if err := x.makeDirs(path.Dir(name)); err != nil {
		return err
	}
	if err := x.weigh(header.Size); err != nil {
		return err
	}
	content = io.LimitReader(content, header.Size)
	old := transcriptDir + strings.TrimPrefix(name, transcriptNext)
	same, rest, err := x.compare(old, content)
	if err != nil {
		return err
	}
	if same.whole || rest == nil && same.bytes == header.Size && header.Size < same.oldSize {
		if err := x.weigh(same.oldSize - header.Size); err != nil {
			return err
		}
		return share(x.root, old, name)
	}
	f, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return err
	}
	err = x.fill(f, old, same.bytes, rest, content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return x.date(name, header.ModTime)
}

// sameness says how far an entry of the archive reads as the old file does.
type sameness struct {
	bytes   int64 // that are equal, in whole chunks
	oldSize int64
	whole   bool // all of both
}

const compareChunk = 64 << 10

// compare reads content for as long as it equals the old file. rest is what it read beyond that.
func (x *extraction) compare(old string, content io.Reader) (same sameness, rest []byte, err error) {
	f, info, err := openRegular(x.root, old)
	if err != nil || f == nil {
		return sameness{}, nil, err
	}
	defer f.Close()
	same.oldSize = info.Size()
	ours, theirs := make([]byte, compareChunk), make([]byte, compareChunk)
	for {
		n, errNew := io.ReadFull(content, theirs)
		if errNew != nil && !errors.Is(errNew, io.EOF) && !errors.Is(errNew, io.ErrUnexpectedEOF) {
			return same, nil, errNew
		}
		m, err := io.ReadFull(f, ours[:n])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return same, nil, err
		}
		if m < n || !bytes.Equal(ours[:n], theirs[:n]) {
			return same, theirs[:n], nil
		}
		same.bytes += int64(n)
		if errNew != nil { // all of content was read
			same.whole = same.bytes == same.oldSize
			return same, nil, nil
		}
	}
}

// fill writes what a file of the archive holds: equal bytes of the old file, what compare had read
// beyond them, and the rest of content.
func (x *extraction) fill(to io.Writer, old string, equal int64, rest []byte, content io.Reader) error {
	if equal > 0 {
		f, _, err := openRegular(x.root, old)
		if err != nil {
			return err
		}
		if f == nil {
			return fmt.Errorf("%s vanished while it was compared", old)
		}
		_, err = io.CopyN(to, f, equal)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	if _, err := to.Write(rest); err != nil {
		return err
	}
	_, err := io.Copy(to, content)
	return err
}

// openRegular opens a file of the transcript for reading; nil when it is not there or not a regular one.
func openRegular(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	info, err := root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return nil, nil, ignoreAbsence(err)
	}
	f, err := root.Open(name)
	return f, info, err
}

// ignoreAbsence drops the errors which say that a path, or a directory on the way to it, is not there.
func ignoreAbsence(err error) error {
	if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
		return nil
	}
	return err
}

// date gives a file the time that the archive says, by which sessions are sorted, if it can be true.
func (x *extraction) date(name string, at time.Time) error {
	if at.Year() < 1980 || at.After(time.Now().Add(24*time.Hour)) {
		return nil
	}
	return x.root.Chtimes(name, at, at)
}

// keepOld puts into the new transcript each file of the old one that the archive lacked.
func (x *extraction) keepOld() error {
	return walkTranscript(x.root, func(name string, info fs.FileInfo) error {
		if info.IsDir() {
			return nil // made with the first file that it keeps
		}
		to := path.Join(transcriptNext, name)
		there, err := x.root.Lstat(to)
		switch {
		case err == nil && there.IsDir():
			return fmt.Errorf("the archive holds a directory where the file %s was kept", name)
		case err == nil:
			return nil
		case !errors.Is(err, fs.ErrNotExist) && !isNotDir(err):
			return err
		}
		err = x.makeDirs(path.Dir(to))
		if errors.Is(err, fs.ErrExist) || isNotDir(err) {
			return fmt.Errorf("the archive holds a file where the directory of %s was kept", name)
		}
		if err == nil {
			err = x.count(info.Size())
		}
		if err != nil {
			return err
		}
		return share(x.root, path.Join(transcriptDir, name), to)
	})
}

// share makes to the same file as from, or a copy where the file system has no links. Neither is ever
// written to again.
func share(root *os.Root, from, to string) error {
	err := root.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	in, info, err := openRegular(root, from)
	if err != nil {
		return err
	}
	if in == nil {
		return fmt.Errorf("%s vanished", from)
	}
	defer in.Close()
	out, err := root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return root.Chtimes(to, info.ModTime(), info.ModTime())
}

// sync fsyncs the directories that were made, the deepest first.
func (x *extraction) sync() error {
	for i := len(x.dirs) - 1; i >= 0; i-- {
		if err := syncRootDir(x.root, x.dirs[i]); err != nil {
			return err
		}
	}
	return nil
}

// walkTranscript calls visit for each directory and regular file of the transcript, parents first, with
// its slash-separated path below the transcript's directory. Without a transcript there is nothing to do.
func walkTranscript(root *os.Root, visit func(name string, info fs.FileInfo) error) error {
	err := fs.WalkDir(root.FS(), transcriptDir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == transcriptDir || !e.IsDir() && !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		return visit(strings.TrimPrefix(name, transcriptDir+"/"), info)
	})
	if errors.Is(err, fs.ErrNotExist) {
		if _, missing := root.Lstat(transcriptDir); errors.Is(missing, fs.ErrNotExist) {
			return nil
		}
	}
	return err
}

// TranscriptArchive writes the transcript as a tar of the directory "projects" whose entries all belong
// to uid and gid, without names. A bottle without a transcript gives that directory, empty.
func (b *Bottle) TranscriptArchive(w io.Writer, uid, gid int) error {
	root, err := os.OpenRoot(b.Dir())
	if err != nil {
		return b.orUnknown(fmt.Errorf("reading the transcript of %s: %w", b.identity, err))
	}
	defer root.Close()
	out := tar.NewWriter(w)
	put := func(name string, info fs.FileInfo) error {
		header := &tar.Header{Name: archiveTop + "/", Typeflag: tar.TypeDir, Mode: int64(dirPerm), Uid: uid, Gid: gid, ModTime: time.Now()}
		if info == nil {
			return out.WriteHeader(header)
		}
		header.Name, header.ModTime = path.Join(archiveTop, name), info.ModTime()
		if info.IsDir() {
			header.Name += "/"
			return out.WriteHeader(header)
		}
		f, err := root.Open(path.Join(transcriptDir, name))
		if err != nil {
			return err
		}
		defer f.Close()
		header.Typeflag, header.Mode, header.Size = tar.TypeReg, int64(filePerm), info.Size()
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		_, err = io.CopyN(out, f, info.Size())
		return err
	}
	err = putBack(root)
	if err == nil {
		err = put("", nil)
	}
	if err == nil {
		err = walkTranscript(root, put)
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		return fmt.Errorf("packing the transcript %s: %w%s", filepath.Join(b.Dir(), transcriptDir), err, adviceFor(err))
	}
	return nil
}

var errFound = errors.New("found")

// HasTranscript says whether the transcript holds any file.
func (b *Bottle) HasTranscript() (bool, error) {
	root, err := os.OpenRoot(b.Dir())
	if err != nil {
		return false, b.orUnknown(fmt.Errorf("reading the transcript of %s: %w", b.identity, err))
	}
	defer root.Close()
	if err := putBack(root); err != nil {
		return false, fmt.Errorf("reading the transcript of %s: %w%s", b.identity, err, adviceFor(err))
	}
	err = walkTranscript(root, func(_ string, info fs.FileInfo) error {
		if info.Mode().IsRegular() {
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the transcript %s: %w%s", filepath.Join(b.Dir(), transcriptDir), err, adviceFor(err))
	}
	return false, nil
}
