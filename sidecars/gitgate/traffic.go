package gitgate

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"

	"golang.org/x/crypto/ssh"
)

// traffic is the remotes in force together with everything that is under way to them, under one lock: nothing
// can slip in between the change of the remotes and the cutting of what they no longer hold.
type traffic struct {
	mu        sync.Mutex
	inForce   *table // nil: none yet
	secrets   map[string]string
	signers   map[string]ssh.Signer
	transport *http.Transport
	flights   map[*flight]struct{}
	closed    bool
	inside    sync.WaitGroup
}

// flight is one fetch or push, from its permission to its end.
type flight struct {
	*remote
	secret    string     // of an https remote
	signer    ssh.Signer // of an ssh remote
	transport *http.Transport
	ctx       context.Context
	cancel    context.CancelCauseFunc
	// lasting does not end when the agent goes, only when git-gate ends the flight.
	lasting context.Context
	cut     context.CancelCauseFunc
}

// end ends a flight for a reason that is not the agent's.
func (f *flight) end(reason string) {
	f.cut(&errCut{reason})
	f.cancel(&errCut{reason})
}

// errCut is the cause of a flight's end when git-gate ended it.
type errCut struct{ reason string }

func (e *errCut) Error() string { return e.reason }

func takenAway(remote string) string { return "the operator took the remote " + remote + " away" }

var errNotReady = errors.New("the keys of this bottle have not come yet; try again in a moment")

// noRemote is a request for which there is no remote.
type noRemote struct{ names []string }

func (*noRemote) Error() string { return "this bottle has no remote of that name" }

func (t *traffic) table() *table {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.inForce
}

// admit finds a remote; what it lets through must be removed.
func (t *traffic) admit(ctx context.Context, name string, overSSH bool) (*flight, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inForce == nil {
		return nil, errNotReady
	}
	if t.closed {
		return nil, &errCut{"git-gate stops"}
	}
	r := t.inForce.remotes[name]
	if r == nil || r.to.ssh != overSSH {
		var names []string
		for _, r := range t.inForce.remotes {
			address, _ := r.Address()
			names = append(names, address)
		}
		slices.Sort(names)
		return nil, &noRemote{names}
	}
	f := &flight{remote: r, secret: t.secrets[r.Secret], signer: t.signers[r.Secret], transport: t.transport}
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	f.lasting, f.cut = context.WithCancelCause(context.WithoutCancel(ctx))
	if t.flights == nil {
		t.flights = map[*flight]struct{}{}
	}
	t.flights[f] = struct{}{}
	t.inside.Add(1)
	return f, nil
}

// remove ends a flight.
func (t *traffic) remove(f *flight) {
	t.mu.Lock()
	delete(t.flights, f)
	t.mu.Unlock()
	f.cancel(nil)
	f.cut(nil)
	t.inside.Done()
}

// now is the remote as it is in force, if a push that came under f's rules may still go to it.
func (t *traffic) now(f *flight) *remote {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.inForce.remotes[f.Name]; f.same(r) {
		return r
	}
	return nil
}

// dialable is the upstream that a transport may dial as addr. What is no remote's upstream now is not dialled.
func (t *traffic) dialable(addr string) (upstream, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inForce != nil {
		for _, r := range t.inForce.remotes {
			if !r.to.ssh && r.to.dialName() == addr {
				return r.to, true
			}
		}
	}
	return upstream{}, false
}

// give hands over the secrets for what is to come; what is under way keeps its own.
func (t *traffic) give(secrets map[string]string, signers map[string]ssh.Signer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.secrets, t.signers = maps.Clone(secrets), signers
}

// swap puts n in force and cuts what goes to a remote that n does not have, or has elsewhere; everything else
// goes on. newTransport makes the connections to upstreams when the authorities to trust are others.
func (t *traffic) swap(n *table, secrets map[string]string, signers map[string]ssh.Signer, newTransport func(*table) *http.Transport) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.inForce
	t.inForce, t.secrets, t.signers = n, maps.Clone(secrets), signers
	if old == nil || old.ca != n.ca {
		if t.transport != nil {
			t.transport.CloseIdleConnections()
		}
		t.transport = newTransport(n)
	}
	for f := range t.flights {
		if !f.same(n.remotes[f.Name]) {
			f.end(takenAway(f.Name))
		}
	}
	if old != nil {
		for name, r := range old.remotes {
			if !r.same(n.remotes[name]) {
				t.transport.CloseIdleConnections()
				break
			}
		}
	}
}

func (t *traffic) cutAll(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for f := range t.flights {
		f.end(reason)
	}
}

func (t *traffic) closeIdle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.transport != nil {
		t.transport.CloseIdleConnections()
	}
}

// gate accepts at most as many connections as free has room for; the others are handed to full and closed.
type gate struct {
	net.Listener
	free chan struct{}
	full func(net.Conn)
}

func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case g.free <- struct{}{}:
			return &heldConn{Conn: c, release: sync.OnceFunc(func() { <-g.free })}, nil
		default:
			g.full(c)
			c.Close()
		}
	}
}

// heldConn takes one of the gate's places until it is closed.
type heldConn struct {
	net.Conn
	release func()
}

func (c *heldConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

func (c *heldConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// conns are the open connections of the git protocol, so that the end of serving ends them.
type conns struct {
	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
	inside sync.WaitGroup
}

func (c *conns) enter(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	if c.open == nil {
		c.open = map[net.Conn]struct{}{}
	}
	c.open[conn] = struct{}{}
	c.inside.Add(1)
	return true
}

func (c *conns) leave(conn net.Conn) {
	c.mu.Lock()
	delete(c.open, conn)
	c.mu.Unlock()
	conn.Close()
	c.inside.Done()
}

func (c *conns) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for conn := range c.open {
		conn.Close()
	}
}
