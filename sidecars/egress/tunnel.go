package egress

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"bottle-tui/sidecars"
)

const established = "HTTP/1.1 200 Connection established\r\n\r\n"

// A TLS alert: fatal, unrecognized_name (RFC 8446, section 6).
var alert = []byte{21, 3, 3, 0, 2, 2, 112}

// connect opens a tunnel and keeps it until both its ends are done.
func (s *server) connect(w http.ResponseWriter, f *flight) {
	up, err := s.dial(f.ctx, f.target)
	if err != nil {
		s.fail(w, f, err)
		return
	}
	defer up.Close()
	if !s.traffic.reached(f, up.RemoteAddr()) {
		s.fail(w, f, errStale)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.fail(w, f, err)
		return
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, established); err != nil {
		return
	}
	l := f.line(sidecars.EventAllow)
	l.Address = up.RemoteAddr().String()
	f.told.Store(true)
	s.voice.say(l)

	// From here the connection's owner is this tunnel alone; net/http's request context is over.
	stop := context.AfterFunc(f.ctx, func() { conn.Close(); up.Close() })
	defer stop()
	s.relay(f, conn, buffered.Reader, up)
}

// relay copies both ways. An end of one direction is passed on as such, for the other may go on for long; a
// broken one ends both.
func (s *server) relay(f *flight, conn net.Conn, buffered *bufio.Reader, up net.Conn) {
	client := conn
	if c, ok := conn.(*headConn); ok {
		client = c.Conn // the kernel splices plain TCP connections
	}
	var both sync.WaitGroup
	both.Go(func() {
		first, err := s.opening(f, client, buffered)
		if err == nil && len(first) > 0 {
			_, err = up.Write(first)
			f.sent.Add(int64(len(first)))
		}
		if err == nil {
			var n int64
			n, err = io.Copy(up, client)
			f.sent.Add(n)
		}
		finish(up, conn, err)
	})
	n, err := io.Copy(client, up)
	f.received.Add(n)
	finish(client, up, err)
	both.Wait()
}

// finish passes on the end of one direction to its receiver, or breaks both connections.
func finish(to, from net.Conn, err error) {
	if c, ok := to.(interface{ CloseWrite() error }); ok && (err == nil || errors.Is(err, io.EOF)) {
		if c.CloseWrite() == nil {
			return
		}
	}
	to.Close()
	from.Close()
}

// opening reads what the client says first and judges it, before the upstream hears any of it. It returns
// the bytes to hand on. There is no deadline until the client speaks: in some protocols the server does first.
func (s *server) opening(f *flight, client net.Conn, buffered *bufio.Reader) ([]byte, error) {
	early, _ := buffered.Peek(buffered.Buffered())
	early = bytes.Clone(early)
	if f.addr.IsValid() { // an address has no name to compare with
		return early, nil
	}
	in := io.MultiReader(bytes.NewReader(early), client)
	first := make([]byte, 1)
	if _, err := io.ReadFull(in, first); err != nil {
		return nil, err
	}
	rest := early
	if len(early) == 0 {
		rest = first
	}
	if first[0] != 22 { // not a TLS handshake record
		if f.onlyTLS {
			return nil, s.distrust(f, client, "what it sends through the tunnel to port 443 is not TLS")
		}
		return rest, nil
	}
	client.SetReadDeadline(time.Now().Add(helloTimeout)) //nolint:errcheck
	name, hello, err := readHello(io.MultiReader(bytes.NewReader(rest), client))
	client.SetReadDeadline(time.Time{}) //nolint:errcheck
	switch {
	case err != nil && f.ctx.Err() != nil:
		return nil, err
	case err != nil:
		return nil, s.distrust(f, client, "its TLS greeting can't be read")
	case name == "":
		return nil, s.distrust(f, client, "its TLS greeting names no host, so it can't be compared with the tunnel's")
	case !strings.EqualFold(name, f.host):
		return nil, s.distrust(f, client, "its TLS greeting names another host: "+printable(name))
	}
	// What early holds beyond the greeting was read into hello as far as it was needed.
	if len(hello) < len(rest) {
		hello = rest
	}
	return hello, nil
}

// distrust refuses what comes through an open tunnel.
func (s *server) distrust(f *flight, client net.Conn, reason string) error {
	l := f.line(sidecars.EventRefuse)
	l.Reason = reason
	s.voice.say(l)
	client.SetWriteDeadline(time.Now().Add(time.Second)) //nolint:errcheck
	client.Write(alert)                                  //nolint:errcheck
	return &refusal{reason}
}

// readHello reads a ClientHello and returns the server name in it and all bytes that were read. crypto/tls
// does the reading, and is stopped before it would answer.
func readHello(r io.Reader) (name string, read []byte, err error) {
	var tee bytes.Buffer
	found := errors.New("found")
	err = tls.Server(deaf{io.TeeReader(io.LimitReader(r, maxHello), &tee)}, &tls.Config{
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			name = h.ServerName
			return nil, found
		},
	}).Handshake()
	if errors.Is(err, found) {
		err = nil
	}
	return name, tee.Bytes(), err
}

// deaf is a connection that only gives.
type deaf struct{ io.Reader }

func (deaf) Write([]byte) (int, error)        { return 0, io.ErrClosedPipe }
func (deaf) Close() error                     { return nil }
func (deaf) LocalAddr() net.Addr              { return nil }
func (deaf) RemoteAddr() net.Addr             { return nil }
func (deaf) SetDeadline(time.Time) error      { return nil }
func (deaf) SetReadDeadline(time.Time) error  { return nil }
func (deaf) SetWriteDeadline(time.Time) error { return nil }
