package state

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// defaultEntries is how many entries Entries gives when it is not told.
const defaultEntries = 1000

// AuditReport says what an intact audit log holds.
type AuditReport struct {
	Lines int
	Last  string // hash of the last line; "" when there is none
	Torn  int    // bytes of a line that a crash cut short and no Append has set aside yet
}

// Verify reads the whole log and checks each line's hash, number, identity and link to the line before.
// The first that is not what was written is a *ChainError. A torn last line is no break of the chain: the
// report counts it. Without a log the error is fs.ErrNotExist.
func (a *Audit) Verify() (AuditReport, error) {
	report := AuditReport{}
	err := a.reading(func() error {
		files, _, err := a.closed()
		if err != nil {
			return fmt.Errorf("reading the audit log %s: %w", a.path, err)
		}
		for i, path := range append(files, a.path) {
			torn, err := a.verifyFile(path, &report)
			if err != nil {
				return err
			}
			if torn > 0 && i < len(files) {
				return &ChainError{Path: path, Reason: "it was closed, and has no end"}
			}
			report.Torn = torn
		}
		return nil
	})
	return report, err
}

func (a *Audit) verifyFile(path string, report *AuditReport) (torn int, err error) {
	return readLines(path, func(number int, line []byte) error {
		broken := func(format string, args ...any) error {
			return &ChainError{Path: path, Line: number, Reason: fmt.Sprintf(format, args...)}
		}
		prev := report.Last
		if prev == "" {
			prev = firstPrev
		}
		e, err := readEntry(line)
		switch {
		case err != nil:
			return broken("%v", err)
		case e.Seq != int64(report.Lines+1):
			return broken("it has the number %d, and should have %d", e.Seq, report.Lines+1)
		case e.Identity != a.identity:
			return broken("it belongs to %q", e.Identity)
		case e.Prev != prev:
			return broken("it follows a line with the hash %s, but the line before has %s", e.Prev, prev)
		}
		report.Lines, report.Last = report.Lines+1, e.Hash
		return nil
	})
}

// entriesReach bounds in bytes what Entries gives, beside the count.
const entriesReach = 16 << 20

// Entries gives the last limit entries (0: 1,000), the earliest first, and at most 16 MiB of them. It reads from the
// end: with those that could be read comes the error for the one before them that could not.
func (a *Audit) Entries(limit int) ([]Entry, error) {
	if limit <= 0 {
		limit = defaultEntries
	}
	return a.entries(0, limit, entriesReach)
}

// EntriesAfter gives all entries with a higher number than seq, the earliest first, in the manner of Entries.
func (a *Audit) EntriesAfter(seq int64) ([]Entry, error) { return a.entries(seq, 0, 0) }

func (a *Audit) entries(after int64, limit int, reach int64) (all []Entry, err error) {
	err = a.reading(func() error {
		return a.backward(reach, func(line []byte) error {
			if limit > 0 && len(all) == limit {
				return errEnough
			}
			e, err := readEntry(line)
			if err != nil {
				broken := &ChainError{Path: a.path, Reason: err.Error()}
				if len(all) > 0 {
					broken.Line = -1
				}
				return broken
			}
			if e.Seq <= after {
				return errEnough
			}
			all = append(all, e)
			return nil
		})
	})
	slices.Reverse(all)
	return all, err
}

// Last is the number of the last entry, 0 when there is none.
func (a *Audit) Last() (seq int64, err error) {
	last, err := a.Entries(1)
	if len(last) > 0 {
		seq = last[0].Seq
	}
	return seq, err
}

// Find calls visit for the entries of some kinds, the last first, until it gives false. It looks back over the last 16 MiB.
func (a *Audit) Find(visit func(Entry) bool, kinds ...string) error {
	return a.reading(func() error { return a.backward(findReach, a.candidates(kinds, nil, visit)) })
}

// reading runs do while no program changes the log.
func (a *Audit) reading(do func() error) error {
	return a.missing(a.locked(os.O_RDONLY, func(*os.File) error { return do() }))
}

// readLines calls visit for each whole line of a file, without its end, and gives the size of what stands behind the
// last one. line is only good until visit returns.
func readLines(path string, visit func(number int, line []byte) error) (torn int, err error) {
	f, err := openAudit(path, os.O_RDONLY)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 256<<10)
	var long []byte
	for number := 1; ; number++ {
		long = long[:0]
		for {
			part, err := in.ReadSlice('\n')
			long = append(long, part...)
			if len(long) > maxAuditLine+1 {
				return 0, &ChainError{Path: path, Line: number, Reason: fmt.Sprintf("it has more than %d bytes", maxAuditLine)}
			}
			if err == nil {
				break
			}
			if errors.Is(err, io.EOF) {
				return len(long), nil
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return 0, fmt.Errorf("reading the audit log %s: %w", path, err)
			}
		}
		if err := visit(number, long[:len(long)-1]); err != nil {
			return 0, err
		}
	}
}
