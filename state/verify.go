package state

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
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
	prev := firstPrev
	torn, err := a.read(func(number int, line []byte) error {
		broken := func(format string, args ...any) error {
			return &ChainError{Path: a.path, Line: number, Reason: fmt.Sprintf(format, args...)}
		}
		e, err := readEntry(line)
		switch {
		case err != nil:
			return broken("%v", err)
		case e.Seq != int64(number):
			return broken("it has the number %d", e.Seq)
		case e.Identity != a.identity:
			return broken("it belongs to %q", e.Identity)
		case e.Prev != prev:
			return broken("it follows a line with the hash %s, but the line before has %s", e.Prev, prev)
		}
		prev = e.Hash
		report.Lines, report.Last = number, e.Hash
		return nil
	})
	report.Torn = torn
	return report, err
}

// Entries gives the last limit entries (0: 1,000), the earliest first. With those that could be read
// comes the error for the first that could not.
func (a *Audit) Entries(limit int) ([]Entry, error) {
	if limit <= 0 {
		limit = defaultEntries
	}
	var ring [][]byte // line k stands at (k-1) mod limit
	lines := 0
	_, err := a.read(func(number int, line []byte) error {
		lines = number
		if len(ring) < limit {
			ring = append(ring, bytes.Clone(line))
			return nil
		}
		slot := &ring[(number-1)%limit]
		*slot = append((*slot)[:0], line...)
		return nil
	})
	entries := make([]Entry, 0, len(ring))
	for number := lines - len(ring) + 1; number <= lines; number++ {
		e, bad := readEntry(ring[(number-1)%limit])
		if bad != nil {
			return entries, errors.Join(err, &ChainError{Path: a.path, Line: number, Reason: bad.Error()})
		}
		entries = append(entries, e)
	}
	return entries, err
}

// read calls visit for each whole line, without its end, and gives the size of what stands behind the
// last one. line is only good until visit returns.
func (a *Audit) read(visit func(number int, line []byte) error) (torn int, err error) {
	f, err := openAudit(a.path, os.O_RDONLY)
	if err != nil {
		return 0, a.missing(err)
	}
	defer f.Close()
	err = a.locked(true, func() error {
		in := bufio.NewReaderSize(f, 256<<10)
		var long []byte
		for number := 1; ; number++ {
			long = long[:0]
			for {
				part, err := in.ReadSlice('\n')
				long = append(long, part...)
				if len(long) > maxAuditLine+1 {
					return &ChainError{Path: a.path, Line: number, Reason: fmt.Sprintf("it has more than %d bytes", maxAuditLine)}
				}
				if err == nil {
					break
				}
				if errors.Is(err, io.EOF) {
					torn = len(long)
					return nil
				}
				if !errors.Is(err, bufio.ErrBufferFull) {
					return fmt.Errorf("reading the audit log %s: %w", a.path, err)
				}
			}
			if err := visit(number, long[:len(long)-1]); err != nil {
				return err
			}
		}
	})
	return torn, err
}
