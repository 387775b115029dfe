package egress

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// What the tunnels copy through, in bytes: bigBuffer is what a fast stream fills at once; when bigBuffers of these are
// on their way, as with a host of receivers that don't read, the others do with smallBuffer.
const (
	bigBuffer   = 128 << 10
	smallBuffer = 8 << 10
	bigBuffers  = 256
)

// A buffer is in use only while bytes are on their way, so that an idle tunnel holds none.
var (
	big    = sync.Pool{New: func() any { b := make([]byte, bigBuffer); return &b }}
	small  = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}
	bigOut atomic.Int32
)

func takeBuffer() *[]byte {
	if bigOut.Add(1) <= bigBuffers {
		return big.Get().(*[]byte)
	}
	bigOut.Add(-1)
	return small.Get().(*[]byte)
}

func giveBuffer(b *[]byte) {
	if len(*b) == smallBuffer {
		small.Put(b)
		return
	}
	bigOut.Add(-1)
	big.Put(b)
}

// source reads from a connection into a buffer that it takes when there is something to read, and not before.
type source struct {
	raw    syscall.RawConn
	take   func(fd uintptr) bool
	b      *[]byte
	n      int
	failed error
}

func newSource(from *net.TCPConn) (*source, error) {
	raw, err := from.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &source{raw: raw}
	s.take = s.read
	return s, nil
}

func (s *source) read(fd uintptr) bool {
	s.b = takeBuffer()
	for {
		s.n, s.failed = syscall.Read(int(fd), *s.b)
		if !errors.Is(s.failed, syscall.EINTR) {
			break
		}
	}
	if errors.Is(s.failed, syscall.EAGAIN) {
		s.release()
		return false
	}
	return true
}

// next waits for bytes and gives them until release. At the connection's end it is io.EOF.
func (s *source) next() ([]byte, error) {
	err := s.raw.Read(s.take)
	if err == nil {
		err = s.failed
	}
	if err == nil && s.n > 0 {
		return (*s.b)[:s.n], nil
	}
	s.release()
	if err == nil {
		err = io.EOF
	}
	return nil, err
}

func (s *source) release() {
	if s.b != nil {
		giveBuffer(s.b)
		s.b = nil
	}
}

// pass copies from a connection to another until the first one's end, which is nil, or until either breaks, and
// counts while it goes on.
//
// It is not io.Copy: that has the kernel move the bytes through a pipe which each direction holds as long as it is
// open, and pipes are few for one user of a machine, all containers together (pipe(7), pipe-user-pages-soft).
func pass(to *net.TCPConn, from *source, count *counter) error {
	for {
		b, err := from.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		n, err := to.Write(b)
		from.release()
		count.add(n)
		if err != nil {
			return err
		}
	}
}
