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
	"syscall"
	"time"
)

// The transcript directory holds what ~/.claude/projects held in the bottle. In an archive each of its
// entries stands below "projects", as the engine copies that directory out and in.
const (
	transcriptDir = "transcript"
	archiveTop    = "projects"

	maxTranscriptName = 4096 // bytes of one path

	// earlierSuffix marks what stood where a newer archive has a directory in a file's place, or the reverse.
	earlierSuffix = ".earlier"
)

// limits bounds a transcript and the archives that it is taken from.
type limits struct {
	file    int64 // bytes of one file; of a larger one that is new, only the first beginning bytes are kept
	bytes   int64 // of all that is kept
	entries int   // files and directories that are kept, and as many that are looked at in one archive
	read    int64 // bytes of one archive that are read
}

var transcriptLimits = limits{file: 1 << 30, bytes: 2 << 30, entries: 100_000, read: 4 << 30}

// beginning is how much is kept of a new file that is too large: enough to see whose conversation it is.
const beginning = 32 << 20

// PartialError says what of a transcript could not be kept. All else was.
type PartialError struct {
	Identity string
	// Reasons are at most a few, the same for the same files however much they grow.
	Reasons []string
}

func (e *PartialError) Error() string {
	return fmt.Sprintf("the transcript of %s is kept in part: %s", e.Identity, strings.Join(e.Reasons, "; "))
}

// ReplaceTranscript brings the bottle's transcript up to an archive: a tar of the directory "projects".
//
// It goes as far as it can. What the archive lacks stays, and a file of which it holds only the beginning
// stays as it is; one that grew is added to in place, and any other is replaced by a rename. Only regular
// files and directories are taken. A link, a special file, a path outside "projects" or one that comes twice,
// and what is beyond the bounds (1 GiB a file, 2 GiB and 100,000 entries in all) are passed over; the
// *PartialError names them. Any other error says why the rest of the archive was not taken.
// It takes a lock of its own, beside the bottle's: of two copies at a time one waits a moment, then gives up.
func (b *Bottle) ReplaceTranscript(archive io.Reader) error {
	return b.replaceTranscript("", archive, transcriptLimits)
}

// ReplaceTranscriptPart is ReplaceTranscript for an archive of one file or directory, which lies at name below
// "projects".
func (b *Bottle) ReplaceTranscriptPart(name string, archive io.Reader) error {
	if !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("keeping the transcript of %s: %q is no path below %s", b.identity, name, archiveTop)
	}
	return b.replaceTranscript(name, archive, transcriptLimits)
}

func (b *Bottle) replaceTranscript(at string, archive io.Reader, most limits) error {
	fail := func(err error) error {
		return b.orUnknown(fmt.Errorf("keeping the transcript of %s: %w%s; what was kept before it is still there", b.identity, err, adviceFor(err)))
	}
	root, err := os.OpenRoot(b.Dir())
	if err != nil {
		return fail(err)
	}
	defer root.Close()
	unlock, err := lockTranscript(filepath.Join(b.Dir(), transcriptLock))
	if err != nil {
		return fail(err)
	}
	defer unlock()
	if err := settleSwap(root); err != nil {
		return fail(err)
	}
	x := extraction{root: root, most: most, top: archiveTop, at: path.Join(transcriptDir, at), made: map[string]bool{}, taken: map[string]bool{}}
	if at != "" {
		x.top = path.Base(at)
	}
	err = x.measure()
	if err == nil {
		err = x.run(archive)
	}
	if err = errors.Join(err, x.sync()); err != nil {
		return fail(err)
	}
	if len(x.left) > 0 {
		return &PartialError{Identity: b.identity, Reasons: x.left}
	}
	return nil
}

// extraction takes one archive into the transcript of root.
type extraction struct {
	root    *os.Root
	most    limits
	top, at string          // the archive's entries begin with top and go to at
	bytes   int64           // kept now
	entries int             // kept now
	left    []string        // why something is passed over
	more    bool            // left is full
	made    map[string]bool // directories in which something was made
	taken   map[string]bool // files that came in this archive
}

// measure counts what is kept already.
func (x *extraction) measure() error {
	return walkTranscript(x.root, func(_ string, info fs.FileInfo) error {
		x.entries++
		if info.Mode().IsRegular() {
			x.bytes += info.Size()
		}
		return nil
	})
}

// maxReasons bounds how many reasons a PartialError gives.
const maxReasons = 4

// pass notes why something is passed over.
func (x *extraction) pass(why string, args ...any) {
	if len(x.left) < maxReasons {
		x.left = append(x.left, fmt.Sprintf(why, args...))
	} else if !x.more {
		x.more = true
		x.left = append(x.left, "and more")
	}
}

func (x *extraction) run(archive io.Reader) error {
	reader := tar.NewReader(archive)
	seen, read := 0, int64(0)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			if seen == 0 {
				return errors.New("the archive holds nothing")
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("the archive can't be read: %w", err)
		}
		if seen++; seen > x.most.entries {
			x.pass("it has more than %d entries", x.most.entries)
			return nil
		}
		if read += header.Size; header.Size < 0 || read > x.most.read {
			// What comes behind could only be reached by reading all of this.
			x.pass("it has more than %d MiB: %.200q and what follows it", x.most.read>>20, header.Name)
			return nil
		}
		if header.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		content := &source{r: reader}
		err = x.entry(header, content)
		switch {
		case content.err != nil:
			return fmt.Errorf("the archive's entry %.200q can't be read: %w", header.Name, content.err)
		case err == nil:
		case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EIO):
			return err
		default: // this one can't be made here; others may
			x.pass("%.200q: %v", header.Name, err)
		}
	}
}

// source is a reader that remembers why it failed.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// entry takes one entry of the archive, or passes it over.
func (x *extraction) entry(header *tar.Header, content io.Reader) error {
	name, err := x.place(header.Name)
	if err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return x.makeDirs(name)
	case tar.TypeReg:
		if name == transcriptDir {
			return fmt.Errorf("%q is a file, not a directory", archiveTop)
		}
		if x.taken[name] {
			return errors.New("the archive holds it twice")
		}
		x.taken[name] = true
		return x.file(name, header, content)
	case tar.TypeSymlink, tar.TypeLink:
		return errors.New("it is a link")
	}
	return errors.New("it is neither a file nor a directory")
}

// place is where an entry of the archive goes. It refuses what is not plainly below the archive's top.
func (x *extraction) place(name string) (string, error) {
	if len(name) > maxTranscriptName {
		return "", fmt.Errorf("its path has %d bytes; at most %d are allowed", len(name), maxTranscriptName)
	}
	trimmed := strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	below, ok := strings.CutPrefix(trimmed+"/", x.top+"/")
	if !ok || !fs.ValidPath(trimmed) || strings.ContainsRune(trimmed, 0) {
		return "", fmt.Errorf("it does not lie below %q", x.top)
	}
	return path.Join(x.at, below), nil
}

// makeDirs makes dir with its parents. A file that has the place of one makes room.
func (x *extraction) makeDirs(dir string) error {
	for end := 0; end < len(dir); {
		if next := strings.IndexByte(dir[end+1:], '/'); next < 0 {
			end = len(dir)
		} else {
			end += 1 + next
		}
		err := x.makeDir(dir[:end])
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *extraction) makeDir(dir string) error {
	info, err := x.root.Lstat(dir)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		if err := x.setAside(dir); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if dir != transcriptDir && x.entries >= x.most.entries {
		return fmt.Errorf("more than %d entries are kept", x.most.entries)
	}
	if err := x.root.Mkdir(dir, dirPerm); err != nil {
		return err
	}
	if dir != transcriptDir {
		x.entries++
	}
	x.made[dir], x.made[path.Dir(dir)] = true, true
	return nil
}

// setAside gives what has a name that is wanted for something of another kind another one, once.
func (x *extraction) setAside(name string) error {
	aside := name + earlierSuffix
	if _, err := x.root.Lstat(aside); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(errors.New("a file was kept where it has a directory, or the reverse, and one before that"), err)
	}
	x.made[path.Dir(name)] = true
	return x.root.Rename(name, aside)
}

// file takes one regular file.
func (x *extraction) file(name string, header *tar.Header, content io.Reader) error {
	if err := x.makeDirs(path.Dir(name)); err != nil {
		return err
	}
	old, err := x.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		old = nil
	case err != nil:
		return err
	case !old.Mode().IsRegular():
		if err := x.setAside(name); err != nil {
			return err
		}
		old = nil
	}
	size := header.Size
	if size > x.most.file {
		x.pass("%.200q has more than %d MiB", header.Name, x.most.file>>20)
		if old != nil {
			return nil // what is kept of it
		}
		size = min(x.most.file, beginning)
	}
	content = io.LimitReader(content, size)
	same, err := x.compare(name, old, content)
	if err != nil || same.all || same.rest == nil && old != nil { // all of it is kept, and perhaps more
		return err
	}
	before := int64(0)
	if old != nil {
		before = old.Size()
	} else if x.entries >= x.most.entries {
		return fmt.Errorf("more than %d entries are kept", x.most.entries)
	}
	if x.bytes-before+size > x.most.bytes {
		return fmt.Errorf("more than %d MiB would be kept", x.most.bytes>>20)
	}
	if old != nil && same.bytes == before {
		err = x.add(name, before, same.rest, content)
	} else {
		err = x.write(name, same, content)
	}
	if err != nil {
		return err
	}
	x.bytes += size - before
	if old == nil {
		x.entries++
	}
	return x.date(name, header.ModTime)
}

// sameness says how far an entry of the archive reads as the file that is kept.
type sameness struct {
	bytes int64  // that are equal
	all   bool   // nothing differs
	rest  []byte // what was read of the entry beyond them; nil: nothing
}

const compareChunk = 64 << 10

// compare reads content for as long as it equals the file that is kept.
func (x *extraction) compare(name string, old fs.FileInfo, content io.Reader) (same sameness, err error) {
	theirs, ours := make([]byte, compareChunk), make([]byte, compareChunk)
	var kept io.Reader = strings.NewReader("")
	if old != nil {
		f, err := x.root.Open(name)
		if err != nil {
			return same, err
		}
		defer f.Close()
		kept = io.LimitReader(f, old.Size())
	}
	for {
		n, ended := io.ReadFull(content, theirs)
		if ended != nil && !errors.Is(ended, io.EOF) && !errors.Is(ended, io.ErrUnexpectedEOF) {
			return same, ended
		}
		m, err := io.ReadFull(kept, ours[:n])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return same, err
		}
		if !bytes.Equal(ours[:m], theirs[:m]) {
			same.rest = theirs[:n]
			return same, nil
		}
		if same.bytes += int64(m); m < n {
			same.rest = theirs[m:n]
			return same, nil
		}
		if ended != nil { // all of content was read
			same.all = old != nil && same.bytes == old.Size()
			return same, nil
		}
	}
}

// add puts what an entry has beyond the file that is kept behind it. What fails leaves the file as it was.
func (x *extraction) add(name string, size int64, rest []byte, content io.Reader) error {
	f, err := x.root.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(rest, size); err == nil {
		if _, err = f.Seek(size+int64(len(rest)), io.SeekStart); err == nil {
			_, err = io.Copy(f, content)
		}
	}
	if err != nil {
		return errors.Join(err, f.Truncate(size), f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

// write makes a file, or puts another one in its place: equal bytes of the one that is kept, what compare had
// read beyond them, and the rest of content.
func (x *extraction) write(name string, same sameness, content io.Reader) error {
	f, err := x.root.OpenFile(transcriptNext, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return err
	}
	fill := func() error {
		if same.bytes > 0 {
			old, err := x.root.Open(name)
			if err != nil {
				return err
			}
			defer old.Close()
			if _, err := io.CopyN(f, old, same.bytes); err != nil {
				return err
			}
		}
		if _, err := f.Write(same.rest); err != nil {
			return err
		}
		if _, err := io.Copy(f, content); err != nil {
			return err
		}
		return f.Sync()
	}
	if err = errors.Join(fill(), f.Close()); err == nil {
		err = x.root.Rename(transcriptNext, name)
	}
	if err != nil {
		return errors.Join(err, x.root.RemoveAll(transcriptNext))
	}
	x.made[path.Dir(name)] = true
	return nil
}

// date gives a file the time that the archive says, by which sessions are sorted, if it can be true.
func (x *extraction) date(name string, at time.Time) error {
	if at.Year() < 1980 || at.After(time.Now().Add(24*time.Hour)) {
		return nil
	}
	return x.root.Chtimes(name, at, at)
}

// sync fsyncs the directories in which something was made.
func (x *extraction) sync() error {
	var errs []error
	for dir := range x.made {
		if err := syncRootDir(x.root, dir); err != nil && !errors.Is(err, fs.ErrNotExist) && !isNotDir(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
