package state

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// nextSuffix is of the file with which a log goes on, while it is made.
const nextSuffix = ".next"

// closed lists the files of the log that were closed, by their numbers, the oldest first.
func (a *Audit) closed() (files []string, last int, err error) {
	dir, name := filepath.Split(strings.TrimSuffix(a.path, auditSuffix))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, err
	}
	current, err := os.Lstat(a.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, err
	}
	var numbers []int
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), name+".")
		middle, isLog := strings.CutSuffix(rest, auditSuffix)
		n, err := strconv.Atoi(middle)
		if !ok || !isLog || err != nil || n < 1 || strconv.Itoa(n) != middle {
			continue
		}
		// A crash may have come between the two steps of closing: then the file is still the one that is added to.
		if info, err := e.Info(); err != nil || current != nil && os.SameFile(info, current) {
			continue
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		files, last = append(files, a.closedPath(n)), n
	}
	return files, last, nil
}

func (a *Audit) closedPath(n int) string {
	return strings.TrimSuffix(a.path, auditSuffix) + "." + strconv.Itoa(n) + auditSuffix
}

// lastClosed is the last entry of the closed files, or none where there is no such file.
func (a *Audit) lastClosed(none Entry) (Entry, error) {
	files, _, err := a.closed()
	if err != nil || len(files) == 0 {
		return none, err
	}
	f, err := openAudit(files[len(files)-1], os.O_RDONLY)
	if err != nil {
		return none, err
	}
	defer f.Close()
	line, _, _, err := lastLine(f)
	if err != nil {
		return none, err
	}
	e, err := readEntry(line)
	if err != nil {
		return none, &ChainError{Path: f.Name(), Reason: err.Error()}
	}
	return e, nil
}

// closeFile gives the file that is added to its number and goes on in a new one, which begins with lines. A log whose
// file system can't give a file two names stays in one file. The caller holds the lock.
func (a *Audit) closeFile(lines []byte) (bool, error) {
	_, last, err := a.closed()
	if err != nil {
		return false, err
	}
	next, to := a.path+nextSuffix, a.closedPath(last+1)
	err = errors.Join(os.RemoveAll(next), os.RemoveAll(to)) // what a crash left: to is the same file as the log
	if err != nil {
		return false, err
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return false, err
	}
	_, err = f.Write(lines)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return false, errors.Join(err, os.Remove(next))
	}
	if os.Link(a.path, to) != nil {
		return false, os.Remove(next)
	}
	if err := os.Rename(next, a.path); err != nil {
		return false, errors.Join(err, os.Remove(to), os.Remove(next))
	}
	return true, SyncDir(filepath.Dir(a.path))
}

// Size is how many bytes the log has, in all its files.
func (a *Audit) Size() (int64, error) {
	files, _, err := a.closed()
	if err != nil {
		return 0, fmt.Errorf("measuring the audit log %s: %w", a.path, err)
	}
	var size int64
	for _, path := range append(files, a.path) {
		if info, err := os.Lstat(path); err == nil {
			size += info.Size()
		} else if !errors.Is(err, fs.ErrNotExist) {
			return size, fmt.Errorf("measuring the audit log %s: %w", a.path, err)
		}
	}
	return size, nil
}

const (
	// findReach is how far back an entry is searched for, in bytes: two files at least.
	findReach = 2 * segmentSize
	// backChunk is how much is read at a time.
	backChunk = 256 << 10
)

// errEnough ends a reading.
var errEnough = errors.New("enough was read")

// backward calls visit for each whole line, without its end, the last first, until it gives an error or the line in
// which reach bytes were read; 0: to the beginning. line is only good until visit returns. The caller holds the lock.
func (a *Audit) backward(reach int64, visit func(line []byte) error) error {
	read := int64(0)
	one := func(path string) error {
		f, err := openAudit(path, os.O_RDONLY)
		if err != nil {
			return err
		}
		defer f.Close()
		return backwardIn(f, func(line []byte) error {
			if read += int64(len(line)) + 1; reach > 0 && read > reach {
				return errEnough
			}
			return visit(line)
		})
	}
	err := one(a.path)
	if err == nil {
		var files []string
		if files, _, err = a.closed(); err == nil {
			for _, path := range slices.Backward(files) {
				if err = one(path); err != nil {
					break
				}
			}
		}
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func backwardIn(f *os.File, visit func(line []byte) error) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var rest []byte // of the line whose beginning was not read yet
	torn := true    // what stands behind the last line end is no line
	chunk := make([]byte, backChunk)
	for at := info.Size(); at > 0; {
		n := min(at, backChunk)
		at -= n
		if _, err := f.ReadAt(chunk[:n], at); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		data := chunk[:n]
		for {
			i := bytes.LastIndexByte(data, '\n')
			if i < 0 {
				break
			}
			line := data[i+1:]
			if len(rest) > 0 {
				line = append(bytes.Clone(line), rest...)
				rest = nil
			}
			if !torn {
				if err := visit(line); err != nil {
					return err
				}
			}
			torn, data = false, data[:i]
		}
		if rest = append(bytes.Clone(data), rest...); len(rest) > maxAuditTail {
			return &ChainError{Path: f.Name(), Line: -1, Reason: fmt.Sprintf("a line has more than %d bytes", maxAuditTail)}
		}
	}
	if torn || info.Size() == 0 {
		return nil
	}
	return visit(rest)
}

// candidates has each entry of one of kinds, whose line holds the text containing too where that is given, given to
// visit until that gives false.
func (a *Audit) candidates(kinds []string, containing []byte, visit func(Entry) bool) func(line []byte) error {
	var marks [][]byte
	for _, kind := range kinds {
		quoted, _ := marshal(kind) // a string
		marks = append(marks, append([]byte(`"kind":`), quoted...))
	}
	return func(line []byte) error {
		if containing != nil && !bytes.Contains(line, containing) || !slices.ContainsFunc(marks, func(m []byte) bool { return bytes.Contains(line, m) }) {
			return nil
		}
		e, err := readEntry(line)
		if err == nil && slices.Contains(kinds, e.Kind) && !visit(e) { // of one that was changed Verify tells
			return errEnough
		}
		return nil
	}
}
