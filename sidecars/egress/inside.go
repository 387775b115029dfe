package egress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"bottle-tui/sidecars"
)

// inside is a listener for the tunnels to port 80 in which HTTP came, not TLS. Some clients send all their requests
// through tunnels; the server reads those as it reads the others, so that no Host in them names another than the
// tunnel's.
type inside struct {
	conns chan net.Conn
	done  chan struct{}
	close func()
}

func newInside() *inside {
	l := &inside{conns: make(chan net.Conn), done: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.done) })
	return l
}

func (l *inside) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *inside) Close() error { l.close(); return nil }

func (l *inside) Addr() net.Addr { return &net.UnixAddr{Name: "inside a tunnel", Net: "tunnel"} }

// errRead is the end of a tunnel whose content egress read as requests.
var errRead = errors.New("what came through the tunnel was read as HTTP")

// serve has the server read what comes through a tunnel, of which early is the beginning, and waits for its end.
func (l *inside) serve(t *tunnel, early []byte) error {
	t.read.Store(true)
	t.up.Close() // each request is dialled as one that came without a tunnel
	if !t.server.gate.enter() {
		io.WriteString(t.conn, tooMany) //nolint:errcheck // the agent may have gone
		l := t.line(sidecars.EventError)
		l.Reason = "the agent has too many requests open; one more, in a tunnel, was turned away"
		t.server.voice.say(l)
		return errRead
	}
	ended := make(chan struct{})
	c := &headConn{
		Conn: &resumed{t.conn, io.MultiReader(bytes.NewReader(early), t.conn)}, server: t.server, tunnel: &t.target,
		release: sync.OnceFunc(func() { close(ended) }), settle: sync.OnceFunc(t.server.gate.leave),
	}
	select {
	case l.conns <- c:
		<-ended
	case <-l.done:
		c.settle()
	case <-t.ctx.Done():
		c.settle()
	}
	return errRead
}

// resumed is a connection of which some was read before.
type resumed struct {
	net.Conn
	from io.Reader
}

func (r *resumed) Read(p []byte) (int, error) { return r.from.Read(p) }

// tunnelOf is where the tunnel leads to in which a request came; nil when it came in none.
func tunnelOf(ctx context.Context) *target {
	if c, ok := ctx.Value(connKey{}).(*headConn); ok {
		return c.tunnel
	}
	return nil
}

// readInside holds a request to the tunnel that it came through.
func readInside(r *http.Request, t target) (target, error) {
	if r.Method == http.MethodConnect || !strings.HasPrefix(r.RequestURI, "/") {
		return t, errors.New("in a tunnel a request names a path alone, as in GET /path")
	}
	return t, nil
}

// isHTTP says whether a tunnel that begins with a byte is to be read as HTTP.
func (f *flight) isHTTP(first byte) bool {
	return f.port == 80 && first != handshake
}
