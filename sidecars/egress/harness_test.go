package egress_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/egress"
	"bottle-tui/sidecars/internal/heard"
)

// The loopback network plays the world: good is what the tests' allowlists may reach, everything else on
// loopback is what an attacker is after.
const (
	good = "127.0.0.1"
	evil = "127.0.0.2"
)

// names is a resolver that knows what it is told, and counts who asks.
type names struct {
	mu    sync.Mutex
	known map[string][]string // by name without final dot; a name's answers rotate when there is a "|" between
	asked map[string]int
	seen  []string // whom it was asked for since saw
}

// saw are the names that it was asked for since the last time.
func (n *names) saw() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	seen := n.seen
	n.seen = nil
	return seen
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name, absolute := strings.CutSuffix(host, ".")
	n.seen = append(n.seen, name)
	if !absolute {
		return nil, fmt.Errorf("the search list would be tried for %q", host)
	}
	turns := n.known[name]
	if len(turns) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	turn := turns[n.asked[name]%len(turns)]
	if n.asked == nil {
		n.asked = map[string]int{}
	}
	n.asked[name]++
	var out []netip.Addr
	for _, a := range strings.Fields(turn) {
		out = append(out, netip.MustParseAddr(a))
	}
	return out, nil
}

func (n *names) times(name string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[name]
}

// proxy is an egress that serves.
type proxy struct {
	t          testing.TB
	addr, dns  string
	configFile string
	ear        *heard.Ear
	stop       func() error
}

func start(t testing.TB, c egress.Config, r egress.Resolver) *proxy {
	t.Helper()
	p := &proxy{t: t, configFile: filepath.Join(t.TempDir(), "config.json"), ear: heard.New()}
	p.configure(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- egress.Serve(ctx, egress.Options{
			ConfigFile: p.configFile, Listen: "127.0.0.1:0", DNSListen: "127.0.0.1:0", Resolver: r, Voice: sidecars.NewVoice(p.ear, nil),
			TellEvery: 50 * time.Millisecond,
		})
	}()
	var once sync.Once
	p.stop = func() (err error) {
		once.Do(func() {
			cancel()
			select {
			case err = <-done:
			case <-time.After(heard.Patience):
				err = errors.New("egress did not end")
			}
		})
		return err
	}
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	})
	ready := p.ear.Wait(t, sidecars.EventReady)
	p.addr, p.dns = ready.Address, ready.Resolver
	return p
}

// configure writes the configuration file, and gives its hash.
func (p *proxy) configure(c egress.Config) string {
	p.t.Helper()
	content, err := c.Encode()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(p.configFile, content, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return sidecars.Hash(content)
}

// reload puts c in force and waits until it is.
func (p *proxy) reload(c egress.Config) {
	p.t.Helper()
	hash := p.configure(c)
	p.ear.Wait(p.t, sidecars.EventConfig, func(l sidecars.Line) bool { return l.Config == hash })
}

func (p *proxy) dial() net.Conn {
	p.t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(heard.Patience))
	return c
}

// tunnel opens a CONNECT tunnel; status is the proxy's answer.
func (p *proxy) tunnel(authority string) (conn net.Conn, r *bufio.Reader, status string) {
	p.t.Helper()
	c := p.dial()
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority)
	r = bufio.NewReader(c)
	status, err := r.ReadString('\n')
	if err != nil {
		p.t.Fatalf("CONNECT %s: %v", authority, err)
	}
	for line := ""; line != "\r\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			p.t.Fatalf("CONNECT %s: %v", authority, err)
		}
	}
	return c, r, strings.TrimSpace(status)
}

// recorder is an upstream that writes down all that it sees. It answers a whole HTTP request with "seen".
type recorder struct {
	mu    sync.Mutex
	conns int // that came
	now   int // that are open
	bytes bytes.Buffer
	l     net.Listener
	open  sync.WaitGroup
}

// record listens on ip and, when port is not 0, on that very port.
func record(t testing.TB, ip string, port int) *recorder {
	t.Helper()
	return recordOn(t, listen(t, ip, port))
}

func listen(t testing.TB, ip string, port int) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
	if err != nil {
		if errors.Is(err, syscall.EACCES) && os.Getenv("CI") == "" { // there nobody would see that it was skipped
			t.Skipf("ports below 1024 are not for this user: %v", err)
		}
		t.Fatal(err)
	}
	return l
}

// recordBoth listens on two addresses with one port.
func recordBoth(t testing.TB, a, b string) (*recorder, *recorder) {
	t.Helper()
	for range 20 {
		first, err := net.Listen("tcp", a+":0")
		if err != nil {
			t.Fatal(err)
		}
		second, err := net.Listen("tcp", fmt.Sprintf("%s:%d", b, first.Addr().(*net.TCPAddr).Port))
		if err == nil {
			return recordOn(t, first), recordOn(t, second)
		}
		first.Close() // somebody has that port there
	}
	t.Fatalf("no port is free on both %s and %s", a, b)
	return nil, nil
}

func recordOn(t testing.TB, l net.Listener) *recorder {
	r := &recorder{l: l}
	r.open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns++
			r.now++
			r.mu.Unlock()
			r.open.Go(func() {
				r.serve(c)
				r.mu.Lock()
				r.now--
				r.mu.Unlock()
			})
		}
	})
	t.Cleanup(func() { l.Close(); r.open.Wait() })
	return r
}

func (r *recorder) serve(c net.Conn) {
	defer c.Close()
	var last []byte
	buf := make([]byte, 32<<10)
	answered := false
	for {
		n, err := c.Read(buf)
		r.mu.Lock()
		r.bytes.Write(buf[:n])
		r.mu.Unlock()
		last = append(last, buf[:n]...) // an end may span two reads
		whole := bytes.Contains(last, []byte("\r\n\r\n"))
		last = last[max(0, len(last)-3):]
		if whole && !answered {
			answered = true
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nseen")
			c.(*net.TCPConn).CloseWrite() //nolint:errcheck // the body may still come: closing now would break it off
		}
		if err != nil {
			return
		}
	}
}

func (r *recorder) port() int { return r.l.Addr().(*net.TCPAddr).Port }

// saw is how many connections came and what they carried, since the last time it was asked.
func (r *recorder) saw() (int, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, s := r.conns, r.bytes.String()
	r.conns = 0
	r.bytes.Reset()
	return n, s
}

// sawAll is saw once every connection has ended: what comes late is not counted to what comes next.
func (r *recorder) sawAll(t testing.TB) (int, string) {
	t.Helper()
	open := func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.now > 0
	}
	for late := time.Now().Add(heard.Patience); open(); time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("a connection to the upstream stays open")
		}
	}
	return r.saw()
}

// echo is an upstream that greets first and then sends everything back.
func echo(t testing.TB, greeting string) int {
	t.Helper()
	l, err := net.Listen("tcp", good+":0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			open.Go(func() {
				defer c.Close()
				io.WriteString(c, greeting)
				io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		open.Wait()
	})
	return l.Addr().(*net.TCPAddr).Port
}

// hello is the first flight of a TLS client that asks for name; "" asks for none.
func hello(t testing.TB, name string) []byte {
	t.Helper()
	var b bytes.Buffer
	c := tls.Client(catcher{&b}, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	c.Handshake()
	return b.Bytes()
}

// catcher is a connection that keeps what is written and gives nothing.
type catcher struct{ b *bytes.Buffer }

func (c catcher) Read([]byte) (int, error)       { return 0, io.EOF }
func (c catcher) Write(p []byte) (int, error)    { return c.b.Write(p) }
func (catcher) Close() error                     { return nil }
func (catcher) LocalAddr() net.Addr              { return nil }
func (catcher) RemoteAddr() net.Addr             { return nil }
func (catcher) SetDeadline(time.Time) error      { return nil }
func (catcher) SetReadDeadline(time.Time) error  { return nil }
func (catcher) SetWriteDeadline(time.Time) error { return nil }

// newUpstream serves h on the good address and gives its port.
func newUpstream(t testing.TB, h http.Handler) int {
	t.Helper()
	s := httptest.NewServer(h) // on 127.0.0.1
	t.Cleanup(s.Close)
	return portOf(s)
}

// portOf is the port of a httptest server.
func portOf(s *httptest.Server) int { return s.Listener.Addr().(*net.TCPAddr).Port }
