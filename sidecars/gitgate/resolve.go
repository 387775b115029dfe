package gitgate

import (
	"bufio"
	"context"
	"fmt"
	"io"
)

// Bounds on what is unpacked at one time.
const (
	memoryBudget = 24 << 20 // bytes of objects that others build on
	memoryOne    = 4 << 20  // bytes of one of these
	maxSpill     = 2 << 30  // bytes of them in a file, where memory ends
)

// resolver unpacks the objects of a pack, each after the one that it builds on. What others build on is held on a
// stack, in memory as far as the budget goes and then in a file, so a pack can't make it grow.
type resolver struct {
	*pack
	ctx      context.Context
	spool    *spool
	memory   int64
	spill    *spoolFile
	spilled  int64
	inflater inflater
	raw      *bufio.Reader
	deltaBuf *bufio.Reader
	copied   []byte
}

// stored is an object that others build on.
type stored struct {
	inMemory []byte
	at, size int64 // in the spill
}

func newResolver(ctx context.Context, p *pack, spool *spool) *resolver {
	return &resolver{
		pack: p, ctx: ctx, spool: spool, copied: make([]byte, 32<<10),
		raw: bufio.NewReaderSize(nil, 32<<10), deltaBuf: bufio.NewReaderSize(nil, 4<<10),
	}
}

func (r *resolver) close() {
	if r.spill != nil {
		r.spill.Close()
	}
}

// visit is asked for a writer that takes an object of that kind and size; it may be nil. ended is called when the
// object was written to it, with its name.
type visit struct {
	begin func(k kind, size int64, i int32) (io.Writer, error)
	ended func(k kind, i int32, id oid) error
}

// run visits the roots that want takes, and all that builds on them.
func (r *resolver) run(want func(e *entry) bool, v visit) error {
	type frame struct {
		i      int32
		held   stored
		next   int32   // by offset
		byName []int32 // by name, those that are left
	}
	r.round++
	var stack []frame
	push := func(i int32, base *stored) error {
		if len(stack) > maxDepth {
			return refuse("objects build on one another more than %d deep", maxDepth)
		}
		held, err := r.one(i, base, v)
		if err != nil {
			return err
		}
		e := &r.entries[i]
		e.seen = r.round
		stack = append(stack, frame{i: i, held: held, next: e.child, byName: r.byRef[e.id]})
		return nil
	}
	for _, root := range r.roots {
		if !want(&r.entries[root]) {
			continue
		}
		if err := push(root, nil); err != nil {
			return err
		}
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			i := top.next
			switch {
			case i >= 0:
				top.next = r.entries[i].sibling
			case len(top.byName) > 0:
				i, top.byName = top.byName[0], top.byName[1:]
			default:
				r.drop(top.held)
				stack = stack[:len(stack)-1]
				continue
			}
			if r.entries[i].seen == r.round { // the pack holds its base twice
				continue
			}
			r.entries[i].kind = r.entries[top.i].kind
			if err := push(i, &top.held); err != nil {
				return err
			}
		}
	}
	return nil
}

// one unpacks an object, gives it to the visitor, and holds it when others build on it.
func (r *resolver) one(i int32, base *stored, v visit) (held stored, err error) {
	if err := context.Cause(r.ctx); err != nil {
		return held, err
	}
	e := &r.entries[i]
	r.raw.Reset(io.NewSectionReader(r.file, e.data, r.size-e.data))
	data, err := r.inflater.open(r.raw)
	if err != nil {
		return held, fmt.Errorf("unpack again: %w", err)
	}
	size := e.size
	var delta *deltaReader
	if e.delta {
		r.deltaBuf.Reset(data)
		if delta, err = openDelta(r.deltaBuf, base.length()); err != nil {
			return held, err
		}
		size = delta.result
		if size > r.maxObject {
			return held, r.tooLarge(size)
		}
		if e.kind != kindBlob && size > maxOneMeta {
			return held, refuse("a %s of %s is more than git-gate looks at", e.kind, bytesText(size))
		}
	}
	if !e.done {
		if err := r.take(size); err != nil {
			return held, err
		}
	}
	var to []io.Writer
	visitor, err := v.begin(e.kind, size, i)
	if err != nil {
		return held, err
	}
	if visitor != nil {
		to = append(to, visitor)
	}
	sum := startOid(e.kind, size)
	if !e.done {
		to = append(to, sum)
	}
	var keep io.Writer
	if e.child >= 0 || len(r.byRef) > 0 && e.kind != 0 {
		if held, keep, err = r.hold(size); err != nil {
			return held, err
		}
		to = append(to, keep)
	}
	all := io.MultiWriter(to...)
	if delta != nil {
		err = delta.apply(all, base, r)
	} else {
		err = copyExactly(all, data, size)
	}
	if err != nil {
		return held, err
	}
	if m, ok := keep.(*memoryWriter); ok {
		held.inMemory = m.b
	}
	if !e.done {
		sum.Sum(e.id[:0])
		e.done = true
	}
	return held, v.ended(e.kind, i, e.id)
}

type memoryWriter struct{ b []byte }

func (m *memoryWriter) Write(b []byte) (int, error) {
	m.b = append(m.b, b...)
	return len(b), nil
}

// hold makes room for an object on the stack.
func (r *resolver) hold(size int64) (stored, io.Writer, error) {
	if size <= memoryOne && r.memory+size <= memoryBudget {
		r.memory += size
		return stored{size: size, at: -1}, &memoryWriter{make([]byte, 0, size)}, nil
	}
	if r.spill == nil {
		f, err := r.spool.create()
		if err != nil {
			return stored{}, nil, err
		}
		r.spill = f
	}
	if r.spilled+size > maxSpill {
		return stored{}, nil, refuse("objects that build on one another are more than %s together", bytesText(maxSpill))
	}
	s := stored{at: r.spilled, size: size}
	r.spilled += size
	return s, io.NewOffsetWriter(r.spill, s.at), nil
}

// drop takes the last one that was held off the stack.
func (r *resolver) drop(s stored) {
	switch {
	case s.size == 0:
	case s.at < 0:
		r.memory -= s.size
	default:
		r.spilled = s.at
	}
}

func (s *stored) length() int64 { return s.size }

// deltaReader reads a delta: gitformat-pack(5), "Deltified representation".
type deltaReader struct {
	in     *bufio.Reader
	base   int64
	result int64
}

func deltaSize(in io.ByteReader) (n int64, err error) {
	for shift := 0; ; shift += 7 {
		b, err := in.ReadByte()
		if err != nil {
			return 0, unexpected(err)
		}
		if shift > 50 {
			return 0, errSize
		}
		n |= int64(b&0x7f) << shift
		if b&0x80 == 0 {
			return n, nil
		}
	}
}

func openDelta(in *bufio.Reader, base int64) (d *deltaReader, err error) {
	d = &deltaReader{in: in}
	if d.base, err = deltaSize(in); err != nil {
		return nil, fmt.Errorf("read a delta: %w", err)
	}
	if d.result, err = deltaSize(in); err != nil {
		return nil, fmt.Errorf("read a delta: %w", err)
	}
	if d.base != base {
		return nil, refuse("a delta of the pack is for another object than its base")
	}
	return d, nil
}

var errDelta = refuse("a delta of the pack leads out of its base or its result")

func (d *deltaReader) apply(to io.Writer, base *stored, r *resolver) error {
	left := d.result
	for {
		op, err := d.in.ReadByte()
		if err == io.EOF {
			if left != 0 {
				return errDelta
			}
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case op&0x80 != 0:
			var at, n int64
			for bit := range 7 {
				if op&(1<<bit) == 0 {
					continue
				}
				b, err := d.in.ReadByte()
				if err != nil {
					return unexpected(err)
				}
				if bit < 4 {
					at |= int64(b) << (8 * bit)
				} else {
					n |= int64(b) << (8 * (bit - 4))
				}
			}
			if n == 0 {
				n = 0x10000
			}
			if n > left || at+n > base.size {
				return errDelta
			}
			left -= n
			if err := r.copyRange(to, base, at, n); err != nil {
				return err
			}
		case op == 0:
			return errDelta
		default:
			if n := int64(op); n > left {
				return errDelta
			}
			left -= int64(op)
			b := r.copied[:op]
			if _, err := io.ReadFull(d.in, b); err != nil {
				return unexpected(err)
			}
			if _, err := to.Write(b); err != nil {
				return err
			}
		}
	}
}

func (r *resolver) copyRange(to io.Writer, base *stored, at, n int64) error {
	if base.at < 0 {
		_, err := to.Write(base.inMemory[at : at+n])
		return err
	}
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, io.NewSectionReader(r.spill, base.at+at, n), r.copied)
	return err
}
