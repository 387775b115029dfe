package egress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/internal/plain"
)

var discardLog = log.New(io.Discard, "", 0)

// gate accepts at most as many connections as free has room for, and of those that are not tunnels yet as many as
// busy has; it answers the others at once. A tunnel costs little, a request that is read or forwarded much.
type gate struct {
	net.Listener
	server *server
	free   chan struct{}
	busy   chan struct{}
}

// admit takes a place in both, or in none.
func (g *gate) admit() bool {
	select {
	case g.free <- struct{}{}:
	default:
		return false
	}
	if !g.enter() {
		<-g.free
		return false
	}
	return true
}

// enter takes a place among what is no tunnel, or says that none is free; leave gives it back.
func (g *gate) enter() bool {
	select {
	case g.busy <- struct{}{}:
		return true
	default:
		return false
	}
}

func (g *gate) leave() { <-g.busy }

const tooMany = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 50\r\n\r\n" +
	"egress: too many connections at once; close some.\n"

func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if g.admit() {
			return &headConn{
				Conn: c, server: g.server,
				release: sync.OnceFunc(func() { <-g.free }), settle: sync.OnceFunc(g.leave),
			}, nil
		}
		c.SetWriteDeadline(time.Now().Add(time.Second)) //nolint:errcheck
		io.WriteString(c, tooMany)                      //nolint:errcheck
		c.Close()
		g.server.voice.say(sidecars.Line{Event: sidecars.EventError, Reason: "the agent holds too many connections; one more was turned away"})
	}
}

// headConn remembers the head of the one request that comes on it, as it was sent: net/http drops what the
// checks here must see, such as a Host header that differs from the target.
type headConn struct {
	net.Conn
	server  *server
	tunnel  *target // where the tunnel leads to in which it came; nil for one of its own
	release func()  // its place among the connections
	settle  func()  // its place among those that are not tunnels

	mu    sync.Mutex
	head  []byte
	whole bool // the head's end was seen
	taken bool // a handler has judged it
}

func (c *headConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.whole && n > 0 {
		from := max(0, len(c.head)-2) // an end may span two reads
		c.head = append(c.head, p[:n]...)
		if i := headEnd(c.head[from:]); i >= 0 {
			c.head, c.whole = c.head[:from+i], true
		} else if len(c.head) > 2*maxHeader { // net/http gave up before
			c.whole = true
		}
	}
	return n, err
}

// headEnd is where a head ends, for a reader as lenient as net/http: after the first empty line.
func headEnd(b []byte) int {
	for i := 0; i < len(b); i++ {
		if b[i] != '\n' {
			continue
		}
		rest := b[i+1:]
		if len(rest) > 0 && rest[0] == '\n' {
			return i + 2
		}
		if len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n' {
			return i + 3
		}
	}
	return -1
}

func (c *headConn) Close() error {
	c.mu.Lock()
	unjudged := len(c.head) > 0 && !c.taken
	c.taken = true
	c.mu.Unlock()
	c.settle()
	c.release()
	if unjudged {
		l := sidecars.Line{Event: sidecars.EventRefuse, Reason: "not a request that a proxy can read"}
		if c.tunnel != nil {
			l.Host, l.Port, l.Via = c.tunnel.host, c.tunnel.port, "connect"
			l.Reason = "what it sends through the tunnel to port 80 is neither TLS nor a request that can be read"
		}
		c.server.voice.say(l)
	}
	return c.Conn.Close()
}

type connKey struct{}

func rememberConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// takeHead is the request's head as it was sent.
func takeHead(ctx context.Context) []byte {
	c, ok := ctx.Value(connKey{}).(*headConn)
	if !ok {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken = true
	head := c.head
	c.head = nil
	return head
}

// readTarget finds whom a request wants to reach.
func readTarget(r *http.Request) (target, error) {
	if t := tunnelOf(r.Context()); t != nil {
		return readInside(r, *t)
	}
	if r.Method == http.MethodConnect {
		t, err := parseTarget(r.RequestURI, 0)
		if err == nil && t.port == 0 {
			err = errors.New("CONNECT must name a port")
		}
		return t, err
	}
	rest, plain := cutPrefixFold(r.RequestURI, "http://")
	if !plain {
		if _, secure := cutPrefixFold(r.RequestURI, "https://"); secure {
			return target{}, errors.New("https goes through CONNECT; set HTTPS_PROXY and let the client make the tunnel")
		}
		return target{}, errors.New("this is a proxy: name the whole address, as in http://example.com/")
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?#\\"); i >= 0 {
		authority = rest[:i]
	}
	t, err := parseTarget(authority, 80)
	if err != nil {
		return target{}, err
	}
	// net/http has read the same text: both must have found the same.
	again, err := parseTarget(r.URL.Host, 80)
	if err != nil || again != t || r.URL.User != nil || r.URL.Opaque != "" {
		return target{}, errors.New("its address can be read in more than one way")
	}
	if t.port == 443 {
		return t, errors.New("it is plain HTTP to port 443, which is for TLS alone: ask for https, which goes through CONNECT")
	}
	return t, nil
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !equalFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// checkHead refuses heads that two readers may take for different requests, as RFC 9112 (sections 2.2, 3.2,
// 5.2, 6.3) lists them, and those that would turn what follows into another protocol with requests of its own, such as
// HTTP/2 (RFC 7540, section 3.2), in which a second host would not be seen.
func checkHead(head []byte, t target, r *http.Request) error {
	if len(head) == 0 {
		return errors.New("its head could not be read")
	}
	lines := bytes.Split(head, []byte("\n"))
	var hosts, lengths, codings, upgrades int
	for i, line := range lines {
		if i == len(lines)-1 { // after the last line end
			break
		}
		line, ok := bytes.CutSuffix(line, []byte("\r"))
		if !ok {
			return errors.New("a line of its head ends without CR")
		}
		for _, b := range line {
			if b < ' ' && b != '\t' || b == 0x7f {
				return errors.New("its head holds a control character")
			}
		}
		if i == 0 {
			if bytes.Count(line, []byte(" ")) != 2 || bytes.ContainsAny(line, "\t") {
				return errors.New("its first line is not three words")
			}
			continue
		}
		if len(line) == 0 {
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			return errors.New("a header is folded over two lines")
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || bytes.ContainsAny(name, " \t") {
			return errors.New("a header has no name, or a space after it")
		}
		text := strings.Trim(string(value), " \t")
		switch strings.ToLower(string(name)) {
		case "host":
			hosts++
			if err := checkHost(text, t, r.Method == http.MethodConnect); err != nil {
				return err
			}
		case "content-length":
			lengths++
			if strings.Trim(text, "0123456789") != "" || text == "" {
				return errors.New("its Content-Length is not one number")
			}
			if r.Method == http.MethodConnect && strings.Trim(text, "0") != "" {
				return errors.New("CONNECT has no body")
			}
		case "upgrade":
			upgrades++
			if upgrades > 1 || !equalFold(text, "websocket") {
				return errors.New("it asks for another protocol than websocket (Upgrade), which can't be read here; send it without")
			}
		case "http2-settings":
			return errors.New("it asks for HTTP/2 (HTTP2-Settings), which can't be read here; send it without")
		case "transfer-encoding":
			codings++
			if !equalFold(text, "chunked") || r.ProtoMinor == 0 || r.Method == http.MethodConnect {
				return errors.New("its Transfer-Encoding is not plain chunked")
			}
		}
	}
	switch {
	case hosts > 1:
		return errors.New("it has more than one Host header")
	case lengths > 1 || codings > 1 || lengths > 0 && codings > 0:
		return errors.New("its length is said in more than one way")
	}
	return nil
}

// checkHost refuses a Host header that names another than the target.
func checkHost(value string, t target, connect bool) error {
	usual := 80
	if connect {
		usual = t.port // some clients leave it out there
	}
	h, err := parseTarget(value, usual)
	if err != nil || h != t {
		return errors.New("its Host header names another host than its target")
	}
	return nil
}

// The way out of a refusal, as the agent reads it.
const (
	notAllowed = "This is the operator's decision, not a fault: trying again, or another way around, does not help.\n" +
		"If the work needs it, ask for it with the egress-block tool of the supervise server; if you don't have that tool,\n" +
		"say in your answer which host and port you need and why, and go on without it.\n"
	notPublic = "The allowlist has this host, but egress reaches public addresses of other machines alone, and no rule of the allowlist changes that:\n" +
		"trying again, or asking for another rule, does not help. If the work needs it, say so in your answer, with the host\n" +
		"and where it leads, and go on without it.\n"
	oddForm = "Nothing is let through in this form, whatever its target. Send a plain proxy request: CONNECT host:port, or\n" +
		"GET http://host/path with the same host in its Host header. Which hosts are allowed is the operator's decision.\n"
)

// refuse answers a request with the reason and the way out, and says so.
func (s *server) refuse(w http.ResponseWriter, l sidecars.Line, reason, wayOut string) {
	l.Event, l.Reason = sidecars.EventRefuse, reason
	s.voice.say(l)
	s.answer(w, http.StatusForbidden, "egress refused this request: "+reason+".\n"+wayOut)
}

// fail answers a request that was allowed but could not be carried out.
func (s *server) fail(w http.ResponseWriter, f *flight, err error) {
	var no *refusal
	var cut *errCut
	if errors.As(err, &no) {
		l := f.line("")
		l.Cause = no.cause
		s.refuse(w, l, no.reason, notPublic)
		return
	}
	if errors.As(context.Cause(f.ctx), &cut) {
		s.answer(w, http.StatusForbidden, "egress ended this request: "+cut.reason+".\n")
		return
	}
	if f.ctx.Err() != nil { // the agent has gone; returning would say 200 to whoever still listens
		panic(http.ErrAbortHandler)
	}
	l := f.line(sidecars.EventError)
	l.Reason = plain.Bounded(err.Error())
	s.voice.say(l)
	s.answer(w, http.StatusBadGateway, "egress allows "+f.authority(0)+" but could not reach it: "+plain.Printable(err.Error())+".\n")
}

func (s *server) answer(w http.ResponseWriter, status int, body string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Connection", "close")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	io.WriteString(w, body) //nolint:errcheck // the agent may have gone
}

// line is a Line about f.
func (f *flight) line(e sidecars.Event) sidecars.Line {
	return sidecars.Line{Event: e, Host: f.host, Port: f.port, Via: f.via}
}
