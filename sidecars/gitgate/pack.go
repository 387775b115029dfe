package gitgate

import (
	"bufio"
	"cmp"
	"crypto/sha1" //nolint:gosec // the name of an object in git
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"

	"github.com/klauspost/compress/zlib"
)

// Bounds on a pack, besides those of the remote. They keep what is known of it below some 100 MiB.
const (
	maxObjects   = 400_000
	maxDepth     = 4095     // of deltas on deltas, git's own limit
	maxTreeBytes = 64 << 20 // of all directories of a push together
	maxOneMeta   = 16 << 20 // of one commit, tag or directory
	maxEdges     = 1 << 20  // parents of all commits of a push together
	inflateTimes = 4        // how many times max_push all objects may be together, unpacked
)

// oid is the name of an object.
type oid [sha1.Size]byte

func (o oid) String() string { return hex.EncodeToString(o[:]) }

func parseOid(s string) (o oid, ok bool) {
	if len(s) != 2*len(o) {
		return o, false
	}
	_, err := hex.Decode(o[:], []byte(s))
	return o, err == nil
}

func (o oid) none() bool { return o == oid{} }

// kind is the type of an entry of a pack: gitformat-pack(5).
type kind byte

const (
	kindCommit   kind = 1
	kindTree     kind = 2
	kindBlob     kind = 3
	kindTag      kind = 4
	kindOfsDelta kind = 6
	kindRefDelta kind = 7
)

func (k kind) String() string {
	return map[kind]string{kindCommit: "commit", kindTree: "tree", kindBlob: "blob", kindTag: "tag"}[k]
}

// entry is one object as it is in a pack.
type entry struct {
	start   int64 // of the entry in the pack
	data    int64 // of its compressed data
	size    int64 // of the data, unpacked; for a delta that of the delta
	id      oid   // once known; for a RefDelta before that the base
	kind    kind  // once known, that of the object
	delta   bool
	done    bool  // id and kind are those of the object
	seen    uint8 // the round of the resolver that met it last
	child   int32 // the first delta on it by offset; -1: none
	sibling int32 // the next delta on the same base
}

// pack is what is known of a pack that lies in a file.
type pack struct {
	file      io.ReaderAt
	size      int64 // bytes, trailer included
	entries   []entry
	roots     []int32 // entries that are no deltas
	byRef     map[oid][]int32
	maxObject int64
	inflate   int64 // what may still be unpacked, in bytes
	round     uint8 // how often a resolver has gone through it
}

// refusal is a push that is against a rule. Its text is for the agent and the operator.
type refusal struct {
	rule   string // of the scan; else ""
	reason string
	hint   string
}

func (r *refusal) Error() string { return r.reason }

func refuse(format string, a ...any) *refusal { return &refusal{reason: fmt.Sprintf(format, a...)} }

func (r *refusal) with(hint string) *refusal {
	r.hint = hint
	return r
}

// counter counts what was read, and stops at a limit.
type counter struct {
	from io.Reader
	n    int64
	most int64
}

func (c *counter) Read(b []byte) (int, error) {
	if c.n >= c.most {
		return 0, muchPush(c.most)
	}
	n, err := c.from.Read(b[:min(int64(len(b)), c.most-c.n)])
	c.n += int64(n)
	return n, err
}

func muchPush(most int64) *refusal {
	return refuse("the push is larger than %s", bytesText(most)).with("Push fewer commits at a time, or leave large files out. The operator can raise max_push of this remote in the manifest.")
}

// hold holds a pack that was read to limits that came in force meanwhile.
func (p *pack) hold(maxPush, maxObject int64) error {
	if p.size > maxPush {
		return muchPush(maxPush)
	}
	p.maxObject = maxObject // of the others it is told when they are unpacked
	for i := range p.entries {
		if e := &p.entries[i]; !e.delta && e.size > maxObject {
			return p.tooLarge(e.size)
		}
	}
	return nil
}

// readPack reads a pack from in, which it does not read beyond what the pack needs by more than a buffer, and
// writes it to file, which then may have some bytes more than the pack's size. expect is asked before as many objects
// as the pack says that it has come; it may be nil.
func readPack(in io.Reader, file interface {
	io.Writer
	io.ReaderAt
}, maxPush, maxObject int64, expect func(objects int64) error) (*pack, error) {
	p := &pack{file: file, maxObject: maxObject, inflate: inflateTimes * maxPush, byRef: map[oid][]int32{}}
	count := &counter{from: in, most: maxPush}
	spooled := bufio.NewWriterSize(file, copyBuffer)
	r := bufio.NewReaderSize(io.TeeReader(count, spooled), copyBuffer)
	at := func() int64 { return count.n - int64(r.Buffered()) }

	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("read the head of the pack: %w", unexpected(err))
	}
	if v := binary.BigEndian.Uint32(head[4:]); string(head[:4]) != "PACK" || v != 2 && v != 3 {
		return nil, refuse("what follows the refs is no pack that git-gate knows")
	}
	n := binary.BigEndian.Uint32(head[8:])
	if n > maxObjects {
		return nil, refuse("the push has %d objects, more than %d", n, maxObjects).with("Push fewer commits at a time.")
	}
	if expect != nil {
		if err := expect(int64(n)); err != nil {
			return nil, err
		}
	}
	var inflater inflater
	for i := range int32(n) {
		e, base, err := p.readHeader(r, at)
		if err != nil {
			return nil, fmt.Errorf("read object %d of the pack: %w", i+1, unexpected(err))
		}
		data, err := inflater.open(r)
		if err != nil {
			return nil, fmt.Errorf("unpack object %d: %w", i+1, unexpected(err))
		}
		if err := p.measure(&e, data); err != nil {
			return nil, fmt.Errorf("unpack object %d: %w", i+1, unexpected(err))
		}
		switch {
		case e.kind == kindOfsDelta:
			b, ok := slices.BinarySearchFunc(p.entries, base, func(e entry, at int64) int { return cmp.Compare(e.start, at) })
			if !ok {
				return nil, refuse("object %d of the pack is a change to what is not in it", i+1)
			}
			e.sibling, p.entries[b].child = p.entries[b].child, i
		case e.kind == kindRefDelta:
			p.byRef[e.id] = append(p.byRef[e.id], i)
		default:
			p.roots = append(p.roots, i)
		}
		p.entries = append(p.entries, e)
	}
	if _, err := io.CopyN(io.Discard, r, sha1.Size); err != nil { // the sum of it all, which the upstream checks
		return nil, fmt.Errorf("read the end of the pack: %w", unexpected(err))
	}
	p.size = at()
	if err := spooled.Flush(); err != nil {
		return nil, err
	}
	return p, nil
}

// readHeader reads what stands before an entry's data. base is where the base of an OfsDelta begins.
func (p *pack) readHeader(r *bufio.Reader, at func() int64) (e entry, base int64, err error) {
	e = entry{start: at(), child: -1, sibling: -1}
	b, err := r.ReadByte()
	if err != nil {
		return e, 0, err
	}
	e.kind, e.size = kind(b>>4&7), int64(b&15)
	for shift := 4; b&0x80 != 0; shift += 7 {
		if b, err = r.ReadByte(); err != nil {
			return e, 0, err
		}
		if shift > 50 {
			return e, 0, refuse("its size is out of all bounds")
		}
		e.size |= int64(b&0x7f) << shift
	}
	switch e.kind {
	case kindCommit, kindTree, kindTag:
		if e.size > maxOneMeta {
			return e, 0, refuse("a %s of %s is more than git-gate looks at", e.kind, bytesText(e.size))
		}
	case kindBlob:
	case kindOfsDelta:
		e.delta = true
		if b, err = r.ReadByte(); err != nil {
			return e, 0, err
		}
		back := int64(b & 0x7f)
		for b&0x80 != 0 {
			if b, err = r.ReadByte(); err != nil {
				return e, 0, err
			}
			if back++; back > 1<<50 {
				return e, 0, refuse("its base is out of all bounds")
			}
			back = back<<7 | int64(b&0x7f)
		}
		base = e.start - back
	case kindRefDelta:
		e.delta = true
		if _, err := io.ReadFull(r, e.id[:]); err != nil {
			return e, 0, err
		}
	default:
		return e, 0, refuse("it is of a kind that git does not have")
	}
	e.data = at()
	if e.size > p.maxObject {
		return e, 0, p.tooLarge(e.size)
	}
	return e, base, nil
}

func (p *pack) tooLarge(size int64) *refusal {
	return refuse("a file of %s is larger than %s", bytesText(size), bytesText(p.maxObject)).
		with("Leave it out of the commits. The operator can raise max_object of this remote in the manifest.")
}

// measure unpacks an entry to nowhere, so that its end is found, and names what is no delta.
func (p *pack) measure(e *entry, data io.Reader) error {
	var to io.Writer = io.Discard
	var sum hash.Hash
	if !e.delta {
		sum = startOid(e.kind, e.size)
		to = sum
	}
	if err := p.take(e.size); err != nil {
		return err
	}
	if err := copyExactly(to, data, e.size); err != nil {
		return err
	}
	if !e.delta {
		sum.Sum(e.id[:0])
		e.done = true
	}
	return nil
}

// take counts n bytes that are unpacked.
func (p *pack) take(n int64) error {
	if p.inflate -= n; p.inflate < 0 {
		return refuse("unpacked, the push is more than %d times as large as a push may be", inflateTimes).
			with("Push fewer commits at a time.")
	}
	return nil
}

func startOid(k kind, size int64) hash.Hash {
	h := sha1.New() //nolint:gosec // the name of an object in git
	io.WriteString(h, k.String()+" "+strconv.FormatInt(size, 10)+"\x00")
	return h
}

var errSize = errors.New("an object does not have the size that it says")

// copyExactly copies all of from, which must be n bytes.
func copyExactly(to io.Writer, from io.Reader, n int64) error {
	got, err := io.Copy(to, io.LimitReader(from, n+1))
	if err == nil && got != n {
		err = errSize
	}
	return err
}

// inflater unpacks one zlib stream after the other.
type inflater struct{ z io.ReadCloser }

func (f *inflater) open(r io.Reader) (io.Reader, error) {
	if f.z == nil {
		z, err := zlib.NewReader(r)
		f.z = z
		return z, err
	}
	return f.z, f.z.(zlib.Resetter).Reset(r, nil)
}

// bytesText is a number of bytes in words.
func bytesText(n int64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
