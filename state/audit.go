package state

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// The audit log of an identity is audit/<identity>.jsonl: one JSON object in each line, ended by "\n",
// with the members seq, at, identity, kind, data, prev and hash in that order and no blank between them.
//
//   - seq counts from 1; at is RFC 3339 in UTC.
//   - prev is the hash of the line before, in the first line 64 zeros.
//   - hash is the last member. It is the SHA-256, in lower-case hexadecimal, of the line's own bytes
//     without that member: of everything before `,"hash":"`, followed by `}`.
//
// So each line fixes all before it. What a chain alone can't show is that its end was cut off: compare the
// last hash with one noted elsewhere.
//
// When the file has grown to 8 MiB it is closed: it gets the name <identity>.<n>.jsonl, n from 1, and a new file begins,
// whose first line goes on from its last. All of them together are the log.
//
// A line that a crash cut short has no "\n". The next Append copies it to <identity>.jsonl.torn, takes it
// off, and enters that it did so (kind "torn": bytes and sha256 of what was taken off, and where it is).
const (
	auditSuffix = ".jsonl"
	tornSuffix  = ".torn"
	tornKind    = "torn"

	// maxAuditLine bounds one line, in bytes.
	maxAuditLine = 4 << 20
	maxAuditTail = 2*maxAuditLine + 2 // two lines and the line end before them
	maxKind      = 64

	segmentSize = 8 << 20 // a file of the log is closed when it has so many bytes
)

var (
	firstPrev = strings.Repeat("0", 2*sha256.Size)
	hashStart = []byte(`,"hash":"`)
	hashTail  = len(hashStart) + 2*sha256.Size + len(`"}`)
)

// Audit is the audit log of one identity. It outlives the bottle.
type Audit struct {
	path     string
	identity string
	segment  int64 // segmentSize, but for tests
}

// Entry is one line of an audit log.
type Entry struct {
	Seq      int64           `json:"seq"`
	At       time.Time       `json:"at"`
	Identity string          `json:"identity"`
	Kind     string          `json:"kind"`
	Data     json.RawMessage `json:"data"`
	Prev     string          `json:"prev"`
	Hash     string          `json:"hash,omitempty"`
}

// ChainError tells where an audit log stops being what was written.
type ChainError struct {
	Path   string
	Line   int // in that file, from 1; 0: the last; below 0: not counted
	Reason string
}

func (e *ChainError) Error() string {
	where := "its last line"
	switch {
	case e.Line > 0:
		where = fmt.Sprintf("line %d", e.Line)
	case e.Line < 0:
		where = "a line" // bottle-tui audit verify says which
	}
	return fmt.Sprintf("the audit log %s is broken at %s: %s: keep the file as evidence and move it away; a new one begins with the next entry", e.Path, where, e.Reason)
}

func (r *Root) auditPath(identity string) string {
	return filepath.Join(r.auditDir(), identity+auditSuffix)
}

// Audit is the log of identity, whether there is one yet or not. It panics when identity is not valid.
func (r *Root) Audit(identity string) *Audit {
	mustBeValid(identity)
	return &Audit{path: r.auditPath(identity), identity: identity, segment: segmentSize}
}

// AuditIdentities lists the identities that have an audit log, deleted bottles too, in order.
func (r *Root) AuditIdentities() ([]string, error) {
	entries, err := os.ReadDir(r.auditDir())
	if r.readOnly && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the audit logs: %w%s", err, adviceFor(err))
	}
	var out []string
	for _, e := range entries {
		if identity, ok := strings.CutSuffix(e.Name(), auditSuffix); ok && ValidIdentity(identity) {
			out = append(out, identity)
		}
	}
	return out, nil
}

// Path is the log's file that is added to.
func (a *Audit) Path() string { return a.path }

// Append enters one fact: kind is a short word for it, data anything that JSON can say. When Append
// returns nil the entry is on disk. It refuses to go on after a last line that is not what was written
// there: a *ChainError.
func (a *Audit) Append(kind string, data any) error {
	if data == nil {
		data = json.RawMessage("null")
	}
	_, err := a.enter(kind, func() (any, error) { return data, nil })
	return err
}

// AppendOnce is Append for a fact that several programs may come to know of, or one of them again: it does nothing when
// the log has an entry of that kind whose data has value as its member. It looks back over the last 16 MiB, and says
// whether it entered the fact.
func (a *Audit) AppendOnce(kind string, data any, member, value string) (bool, error) {
	quoted, err := marshal(value)
	if err != nil {
		return false, fmt.Errorf("entering %q in %s: %w", kind, a.path, err)
	}
	return a.enter(kind, func() (any, error) {
		there := false
		err := a.backward(findReach, a.candidates([]string{kind}, quoted, func(e Entry) bool {
			var fields map[string]json.RawMessage
			there = json.Unmarshal(e.Data, &fields) == nil && bytes.Equal(fields[member], quoted)
			return !there
		}))
		if there || err != nil {
			return nil, err
		}
		return data, nil
	})
}

// AppendNext is Append for a fact that goes on from the last of its kind: next gets that one, nil when the last 16 MiB
// have none, and gives what to enter, nil for nothing. No other program enters anything meanwhile.
func (a *Audit) AppendNext(kind string, next func(last *Entry) (any, error)) (bool, error) {
	return a.enter(kind, func() (any, error) {
		var last *Entry
		err := a.backward(findReach, a.candidates([]string{kind}, nil, func(e Entry) bool { last = &e; return false }))
		if err != nil {
			return nil, err
		}
		return next(last)
	})
}

// enter enters a fact with the data that make gives under the log's lock, unless that is nil.
func (a *Audit) enter(kind string, make func() (any, error)) (entered bool, err error) {
	if kind == "" || len(kind) > maxKind || kind == tornKind {
		return false, fmt.Errorf("entering a fact in %s: %q can't be its kind", a.path, kind)
	}
	err = a.locked(os.O_RDWR|os.O_CREATE, func(f *os.File) error {
		data, err := make()
		if data == nil && err == nil {
			return nil
		}
		var text json.RawMessage
		if err == nil {
			text, err = marshal(data)
		}
		if err == nil {
			err = a.append(f, kind, text)
		}
		var broken *ChainError
		if err != nil && !errors.As(err, &broken) {
			return fmt.Errorf("entering %q in %s: %w%s", kind, a.path, err, adviceFor(err))
		}
		entered = err == nil
		return err
	})
	return entered, err
}

// openAudit opens a log without following a link or waiting for a FIFO.
func openAudit(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, filePerm)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log %s: %w%s", path, errors.Unwrap(err), adviceFor(err))
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the audit log %s: %w", path, err), f.Close())
	}
	return f, nil
}

// locked opens the log and runs do while no other program changes it, and, where it is opened to be changed, none reads
// it. Whoever waited may find that the file was closed meanwhile: then it is done with the new one.
func (a *Audit) locked(flags int, do func(*os.File) error) error {
	for {
		f, err := openAudit(a.path, flags)
		if err != nil {
			return err
		}
		err = a.lock(f, flags&os.O_RDWR == 0, do)
		if err = errors.Join(err, f.Close()); !errors.Is(err, errClosed) {
			return err
		}
	}
}

// errClosed: the file is not the one that is added to any more.
var errClosed = errors.New("the file of the audit log was closed")

func (a *Audit) lock(f *os.File, shared bool, do func(*os.File) error) error {
	lock := flock.New(a.path, flock.SetFlag(os.O_RDONLY))
	try := lock.TryLockContext
	if shared {
		try = lock.TryRLockContext
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	if _, err := try(ctx, lockPoll/10); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("another program has held the audit log %s for %v: end it, or try again", a.path, lockWait)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return errClosed // moved away; a new one begins
		}
		return fmt.Errorf("locking the audit log %s: %w", a.path, err)
	}
	return errors.Join(a.whileLocked(f, lock, do), lock.Unlock())
}

func (a *Audit) whileLocked(f *os.File, lock *flock.Flock, do func(*os.File) error) error {
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	held, err := lock.Stat()
	if err != nil {
		return err
	}
	there, err := os.Lstat(a.path)
	if err != nil || !os.SameFile(ours, held) || !os.SameFile(ours, there) {
		return errClosed
	}
	return do(f)
}

func (a *Audit) append(f *os.File, kind string, data json.RawMessage) error {
	line, torn, end, err := lastLine(f)
	if err != nil {
		return err
	}
	last := Entry{Hash: firstPrev}
	switch {
	case line != nil:
		if last, err = readEntry(line); err != nil {
			return &ChainError{Path: a.path, Reason: err.Error()}
		}
	default: // where there are closed files, it goes on from the last of them
		if last, err = a.lastClosed(last); err != nil {
			return err
		}
	}
	var out []byte
	if len(torn) > 0 {
		note, err := a.setAside(torn)
		if err != nil {
			return err
		}
		if out, last, err = a.line(out, last, tornKind, note); err != nil {
			return err
		}
	}
	if out, _, err = a.line(out, last, kind, data); err != nil {
		return err
	}
	if end >= a.segment && len(torn) == 0 {
		if closed, err := a.closeFile(out); closed || err != nil {
			return err
		}
	}
	if _, err = f.WriteAt(out, end); err == nil {
		err = f.Truncate(end + int64(len(out))) // where the torn line was longer
	} else if len(torn) == 0 {
		// What got there is no line. With a torn one under it, the next Append sets both aside.
		err = errors.Join(err, f.Truncate(end))
	}
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if line == nil {
		return SyncDir(filepath.Dir(a.path)) // the file may be new
	}
	return nil
}

// line puts the entry that follows last behind out.
func (a *Audit) line(out []byte, last Entry, kind string, data json.RawMessage) ([]byte, Entry, error) {
	e := Entry{Seq: last.Seq + 1, At: time.Now().UTC(), Identity: a.identity, Kind: kind, Data: data, Prev: last.Hash}
	body, err := marshal(e) // without a hash: `{…}`
	if err != nil {
		return nil, e, err
	}
	if len(body)+hashTail > maxAuditLine {
		return nil, e, fmt.Errorf("it would be a line of %d bytes; at most %d are allowed", len(body)+hashTail, maxAuditLine)
	}
	e.Hash = hashOf(body)
	out = append(out, body[:len(body)-1]...)
	out = append(out, hashStart...)
	out = append(out, e.Hash...)
	return append(out, "\"}\n"...), e, nil
}

func hashOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// readEntry reads a line without its end, and checks its own hash.
func readEntry(line []byte) (Entry, error) {
	cut := len(line) - hashTail
	if cut < 0 || !bytes.HasPrefix(line[cut:], hashStart) || !bytes.HasSuffix(line, []byte(`"}`)) {
		return Entry{}, errors.New("it is not an entry: it does not end in a hash")
	}
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return Entry{}, fmt.Errorf("it is not an entry: %w", err)
	}
	body := append(bytes.Clone(line[:cut]), '}')
	written := string(line[cut+len(hashStart) : len(line)-len(`"}`)])
	if sum := hashOf(body); sum != written || e.Hash != written {
		return Entry{}, fmt.Errorf("its content has the hash %s, but %.64q was written", sum, written)
	}
	return e, nil
}

// lastLine finds the last whole line of a log, without its end (nil when there is none), what stands
// behind it, and where it ends.
func lastLine(f *os.File) (line, torn []byte, end int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, nil, 0, err
	}
	size := info.Size()
	// Two lines at most are of interest: the torn one and the one before it.
	for window := min(size, 64<<10); ; window = min(size, 4*window, maxAuditTail) {
		tail := make([]byte, window)
		if _, err := f.ReadAt(tail, size-window); err != nil && !errors.Is(err, io.EOF) {
			return nil, nil, 0, err
		}
		stop := bytes.LastIndexByte(tail, '\n')
		start := -1
		if stop >= 0 {
			start = bytes.LastIndexByte(tail[:stop], '\n')
		}
		whole := window == size
		switch {
		case stop < 0 && whole: // nothing but a torn line
			return nil, tail, 0, nil
		case stop >= 0 && (start >= 0 || whole):
			return tail[start+1 : stop], tail[stop+1:], size - window + int64(stop) + 1, nil
		case window == maxAuditTail:
			return nil, nil, 0, fmt.Errorf("no line ends in its last %d bytes: move the file away", window)
		}
	}
}

// setAside adds a torn line to the file beside the log, and gives the note that goes into the log.
func (a *Audit) setAside(torn []byte) (json.RawMessage, error) {
	path := a.path + tornSuffix
	f, err := openAudit(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(append(bytes.Clone(torn), '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, fmt.Errorf("setting a torn line aside in %s: %w", path, err)
	}
	return marshal(map[string]any{"bytes": len(torn), "sha256": hashOf(torn), "kept": filepath.Base(path)})
}

// missing turns the absence of the log into an error that says so.
func (a *Audit) missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no audit log of %s: %w", a.identity, err)
	}
	return err
}
