package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/internal/plain"
)

const established = "HTTP/1.1 200 Connection established\r\n\r\n"

// handshake is the first byte of a TLS record that holds a greeting (RFC 8446, section 5.1).
const handshake = 22

// A TLS alert: fatal, unrecognized_name (RFC 8446, section 6).
var alert = []byte{21, 3, 3, 0, 2, 2, 112}

// tunnel is one that is open: two goroutines, one for each direction, and nothing else while it is idle.
type tunnel struct {
	*flight
	server *server
	conn   net.Conn // the agent's, as it was accepted
	client *net.TCPConn
	up     *net.TCPConn
	early  []byte      // what came from the agent with its request
	unhook func() bool // ends the watch on the flight's context
	left   atomic.Int32
	read   atomic.Bool // its content is read as HTTP
}

// connect opens a tunnel. It is true when the tunnel goes on: then its end is the tunnel's own matter.
func (s *server) connect(w http.ResponseWriter, r *http.Request, f *flight) bool {
	// An agent that goes away meanwhile ends the dialling; later the tunnel sees for itself.
	gone := context.AfterFunc(r.Context(), func() { f.cancel(r.Context().Err()) })
	defer gone()
	up, err := s.dial(f.ctx, f.target)
	if err != nil {
		s.fail(w, f, err)
		return false
	}
	if !s.traffic.reached(f, up.RemoteAddr()) {
		up.Close()
		s.fail(w, f, errStale)
		return false
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		up.Close()
		s.fail(w, f, err)
		return false
	}
	gone()
	if _, err := io.WriteString(conn, established); err != nil {
		conn.Close()
		up.Close()
		return false
	}
	l := f.line(sidecars.EventAllow)
	l.Address = up.RemoteAddr().String()
	f.told.Store(true)
	s.voice.say(l)

	t := &tunnel{flight: f, server: s, conn: conn, client: conn.(*headConn).Conn.(*net.TCPConn), up: up}
	if n := buffered.Reader.Buffered(); n > 0 {
		t.early, _ = buffered.Reader.Peek(n)
		t.early = bytes.Clone(t.early)
	}
	conn.(*headConn).settle()
	t.unhook = context.AfterFunc(f.ctx, t.cut)
	t.left.Store(2)
	// What net/http holds for a request ends with this call; a tunnel may be open for a day.
	go t.send()
	go t.receive()
	return true
}

func (t *tunnel) cut() {
	t.conn.Close()
	t.up.Close()
}

// send passes on what the agent sends, after its opening was judged.
func (t *tunnel) send() {
	defer t.leave()
	from, err := newSource(t.client)
	if err == nil {
		err = t.begin(from)
	}
	if err == nil {
		err = pass(t.up, from, &t.sent)
	}
	finish(t.up, t.conn, err)
}

// begin passes on what the agent says first, once that was judged.
func (t *tunnel) begin(from *source) error {
	early := t.early
	t.early = nil
	if len(early) == 0 {
		// There is no deadline until the agent speaks: in some protocols the server does first.
		var err error
		if early, err = from.next(); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil // it only listens
			}
			return err
		}
		defer from.release()
	}
	if t.isHTTP(early[0]) {
		early = bytes.Clone(early)
		from.release()
		return t.server.inside.serve(t, early)
	}
	first, err := t.server.opening(t.flight, t.client, early)
	if err != nil {
		return err
	}
	n, err := t.up.Write(first)
	t.sent.add(n)
	return err
}

func (t *tunnel) receive() {
	defer t.leave()
	from, err := newSource(t.up)
	if err == nil {
		err = pass(t.client, from, &t.received)
	}
	if t.read.Load() {
		return // others answer the agent
	}
	finish(t.client, t.up, err)
}

// leave is called by each direction at its end; the last one closes the books.
func (t *tunnel) leave() {
	if t.left.Add(-1) > 0 {
		return
	}
	t.unhook()
	t.cut()
	t.server.end(t.flight)
	t.server.doors.inside.Done()
}

// finish passes on the end of one direction to its receiver, or breaks both connections.
func finish(to *net.TCPConn, from net.Conn, err error) {
	if err == nil && to.CloseWrite() == nil {
		return
	}
	to.Close()
	from.Close()
}

// opening judges what the client says first, before the upstream hears any of it, and reads more where that is not
// all of a TLS greeting. It returns the bytes to hand on.
func (s *server) opening(f *flight, client net.Conn, early []byte) ([]byte, error) {
	if f.addr.IsValid() && !usualPort(f.port) { // an address has no name to compare with
		return early, nil
	}
	if early[0] != handshake {
		if f.port == 443 {
			return nil, s.distrust(f, client, "what it sends through the tunnel to port 443 is not TLS")
		}
		return early, nil
	}
	rest := &untilThen{Conn: client, then: time.Now().Add(helloTimeout)}
	name, hello, err := readHello(io.MultiReader(bytes.NewReader(early), rest))
	rest.lift()
	switch {
	case err != nil && f.ctx.Err() != nil:
		return nil, err
	case err != nil:
		return nil, s.distrust(f, client, "its TLS greeting can't be read")
	case name == "" && !f.addr.IsValid():
		return nil, s.distrust(f, client, "its TLS greeting names no host, so it can't be compared with the tunnel's")
	case !f.isNamed(name):
		return nil, s.distrust(f, client, "its TLS greeting names another host: "+plain.Printable(name))
	}
	// What early holds beyond the greeting was read into hello as far as it was needed.
	if len(hello) < len(early) {
		hello = early
	}
	return hello, nil
}

// isNamed says whether the name in a greeting is the tunnel's host. For an address a greeting has none (RFC 6066,
// section 3), though some clients write the address there.
func (f *flight) isNamed(name string) bool {
	if f.addr.IsValid() {
		a, err := netip.ParseAddr(name)
		return name == "" || err == nil && a == f.addr
	}
	return equalFold(name, f.host)
}

// distrust refuses what comes through an open tunnel.
func (s *server) distrust(f *flight, client net.Conn, reason string) error {
	l := f.line(sidecars.EventRefuse)
	l.Reason = reason
	s.voice.say(l)
	client.SetWriteDeadline(time.Now().Add(time.Second)) //nolint:errcheck
	client.Write(alert)                                  //nolint:errcheck
	return &refusal{reason: reason}
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

// untilThen is a connection whose reads all end at a time, which costs nothing when there is none.
type untilThen struct {
	net.Conn
	then time.Time
	set  bool
}

func (u *untilThen) Read(b []byte) (int, error) {
	if !u.set {
		u.set = true
		u.SetReadDeadline(u.then) //nolint:errcheck
	}
	return u.Conn.Read(b)
}

// lift lets reads wait for ever again.
func (u *untilThen) lift() {
	if u.set {
		u.SetReadDeadline(time.Time{}) //nolint:errcheck
	}
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
