package egress_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"bottle-tui/sidecars/egress"
	"bottle-tui/sidecars/internal/heard"
)

// FuzzRequest sends anything to the proxy. Nobody may be reached but the allowed upstream, and what reaches
// that must be a request for it.
func FuzzRequest(f *testing.F) {
	for _, c := range hostile {
		if len(c.raw) < 4<<10 {
			f.Add([]byte(c.raw))
		}
	}
	f.Add([]byte("GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"))
	f.Add([]byte("CONNECT good.test:%P HTTP/1.1\r\nHost: good.test:%P\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Add([]byte("POST http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"))
	f.Add([]byte("GET http://deep.wild.test:%P/ HTTP/1.0\r\n\r\n"))
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 64<<10 {
			return
		}
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(heard.Patience))
		raw = bytes.ReplaceAll(raw, []byte("%P"), fmt.Append(nil, w.port))
		c.Write(raw)
		first := make([]byte, 1) // a whole request is answered before its client goes
		if !bytes.Contains(raw, []byte("\r\n\r\n")) {
			c.(*net.TCPConn).CloseWrite()
		} else {
			c.SetReadDeadline(time.Now().Add(time.Second))
			c.Read(first)
			c.SetReadDeadline(time.Now().Add(heard.Patience))
			c.(*net.TCPConn).CloseWrite()
		}
		if _, err := io.ReadAll(c); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Errorf("no end after %v", heard.Patience)
			}
		}
		w.untouched(t)
		for _, name := range w.names.saw() {
			if _, listed := traps[name]; name == "evil.test" || !listed && name != "wild.test" && !strings.HasSuffix(name, ".wild.test") {
				t.Errorf("the resolver was asked for %q", name)
			}
		}
		_, s := w.good.sawAll(t)
		tunnelled := bytes.HasPrefix(raw, []byte("CONNECT "))
		if s == "" || tunnelled {
			return
		}
		head, _, _ := strings.Cut(s, "\r\n\r\n")
		for line := range strings.SplitSeq(head, "\r\n") {
			if host, ok := strings.CutPrefix(line, "Host: "); ok {
				name, _, _ := strings.Cut(host, ":")
				if _, listed := traps[name]; !listed && !strings.HasSuffix(name, ".wild.test") {
					t.Errorf("the upstream got a request for %q", host)
				}
			}
		}
		if strings.Count(head, "\r\nHost: ") != 1 {
			t.Errorf("the upstream got %q", s)
		}
	})
}

// FuzzOpening sends anything through a tunnel to a port where only TLS to the tunnel's host may pass. What passes
// must be a greeting that names that host, for any reader of TLS.
func FuzzOpening(f *testing.F) {
	addr := fmt.Sprintf("127.44.%d.%d", os.Getpid()>>8&255, os.Getpid()&255) // each process that fuzzes has its own
	up := record(f, addr, 443)
	p := start(f, egress.Config{Allow: []string{"good.test"}, AllowPrivate: []string{addr}}, &names{known: map[string][]string{"good.test": {addr}}})
	for _, name := range []string{"good.test", "evil.test", ""} {
		greeting := hello(f, name)
		f.Add(greeting, uint8(0))
		f.Add(greeting, uint8(40))
		f.Add(greeting[:len(greeting)/2], uint8(0))
		f.Add(append(greeting, "more"...), uint8(5))
	}
	f.Add([]byte("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n"), uint8(0))
	f.Fuzz(func(t *testing.T, first []byte, cut uint8) {
		if len(first) > 32<<10 {
			return
		}
		c := poured(t, p, 443, first, cut)
		drained(t, c)
		_, s := up.sawAll(t)
		if s == "" {
			return
		}
		if s != string(first) {
			t.Errorf("the upstream saw %q of %q", s, first)
		}
		var name string
		seen := errors.New("seen")
		err := tls.Server(giver{strings.NewReader(s)}, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			name = h.ServerName
			return nil, seen
		}}).Handshake()
		if !errors.Is(err, seen) || strings.ToLower(name) != "good.test" {
			t.Errorf("a greeting for %q passed: %v", name, err)
		}
	})
}

// FuzzInside sends anything through a tunnel to port 80. What reaches the upstream is a TLS greeting for the tunnel's
// host, or one request for it.
func FuzzInside(f *testing.F) {
	addr := fmt.Sprintf("127.45.%d.%d", os.Getpid()>>8&255, os.Getpid()&255) // each process that fuzzes has its own
	up := record(f, addr, 80)
	p := start(f, egress.Config{Allow: []string{"good.test"}, AllowPrivate: []string{addr}}, &names{known: map[string][]string{"good.test": {addr}}})
	for _, c := range hostile {
		if len(c.raw) < 4<<10 {
			f.Add([]byte(strings.ReplaceAll(c.raw, ":%P", "")), uint8(0))
		}
	}
	for _, c := range ordinary {
		if len(c.raw) < 4<<10 {
			f.Add([]byte(strings.NewReplacer("http://good.test:%P", "", ":%P", "", "%%", "%").Replace(c.raw)), uint8(40))
		}
	}
	f.Add(hello(f, "good.test"), uint8(5))
	f.Add(hello(f, "evil.test"), uint8(0))
	f.Fuzz(func(t *testing.T, said []byte, cut uint8) {
		if len(said) > 32<<10 {
			return
		}
		c := poured(t, p, 80, said, cut)
		if bytes.Contains(said, []byte("\r\n\r\n")) { // a whole request is answered before its client goes
			c.SetReadDeadline(time.Now().Add(time.Second))
			c.Read(make([]byte, 1))
			c.SetReadDeadline(time.Now().Add(heard.Patience))
		}
		drained(t, c)
		_, s := up.sawAll(t)
		if s == "" || s[0] == 22 && s == string(said) && bytes.Contains(said, []byte("good.test")) {
			return
		}
		head, _, _ := strings.Cut(s, "\r\n\r\n")
		lines := strings.Split(head, "\r\n")
		first := strings.Split(lines[0], " ")
		if len(first) != 3 || !strings.HasPrefix(first[1], "/") || first[2] != "HTTP/1.1" {
			t.Errorf("the upstream got %q of %q", s, said)
		}
		hosts := 0
		for _, line := range lines[1:] {
			name, value, ok := strings.Cut(line, ": ")
			if !ok {
				t.Errorf("the upstream got the header %q of %q", line, said)
			}
			switch strings.ToLower(name) {
			case "host":
				if hosts++; value != "good.test" {
					t.Errorf("the upstream got a request for %q of %q", value, said)
				}
			case "upgrade":
				if !strings.EqualFold(value, "websocket") {
					t.Errorf("the upstream was asked for %q", value)
				}
			}
		}
		if hosts != 1 {
			t.Errorf("the upstream got %d Hosts: %q", hosts, s)
		}
	})
}

// giver is a connection that only gives.
type giver struct{ io.Reader }

func (giver) Write([]byte) (int, error)        { return 0, io.ErrClosedPipe }
func (giver) Close() error                     { return nil }
func (giver) LocalAddr() net.Addr              { return nil }
func (giver) RemoteAddr() net.Addr             { return nil }
func (giver) SetDeadline(time.Time) error      { return nil }
func (giver) SetReadDeadline(time.Time) error  { return nil }
func (giver) SetWriteDeadline(time.Time) error { return nil }

func FuzzParseRule(f *testing.F) {
	for _, s := range []string{"example.com", "*.example.com:8443", "[2001:db8::1]:443", "2001:db8::1", "bücher.de", "127.1", "a..b", "*", "*.*", "x:", "http://x/", "1.2.3.4:5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := egress.ParseRule(s)
		if err != nil {
			return
		}
		again, err := egress.ParseRule(r.String())
		if err != nil || again != r {
			t.Errorf("%q is %+v, whose text %q is %+v, %v", s, r, r.String(), again, err)
		}
		if strings.ContainsAny(r.Host, " \t\r\n@/\\#?%") {
			t.Errorf("%q is %+v", s, r)
		}
	})
}

// poured is a tunnel to good.test into which first was sent, cut bytes of it in one piece with the request.
func poured(t *testing.T, p *proxy, port int, first []byte, cut uint8) net.Conn {
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(heard.Patience))
	at := min(int(cut), len(first))
	fmt.Fprintf(c, "CONNECT good.test:%d HTTP/1.1\r\nHost: good.test:%[1]d\r\n\r\n%s", port, first[:at])
	if _, err := io.ReadFull(c, make([]byte, 39)); err != nil {
		t.Fatal(err)
	}
	c.Write(first[at:])
	return c
}

// drained reads a tunnel to its end, which comes when nothing more is sent.
func drained(t *testing.T, c net.Conn) {
	c.(*net.TCPConn).CloseWrite()
	if _, err := io.ReadAll(c); err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Errorf("no end after %v", heard.Patience)
		}
	}
}
