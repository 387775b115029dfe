package egress_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/egress"
	"bottle-tui/sidecars/internal/heard"
)

const port80 = "127.0.0.80"

// A tunnel to port 80 carries HTTP for its own host and TLS for it, and nothing else: a Host in it that names another
// would reach whatever else is served at the same address.
func TestTunnelsToPort80(t *testing.T) {
	up := record(t, port80, 80)
	r := &names{known: map[string][]string{"good.test": {port80}, "listed.test": {port80}}}
	p := start(t, egress.Config{Allow: []string{"good.test", "listed.test:80"}, AllowPrivate: []string{port80}}, r)
	for _, c := range []struct {
		name, host, said string
		seen             string // by the upstream; "": nothing
		why              string // it was refused
	}{
		{"a request", "good.test", "GET /a?b HTTP/1.1\r\nHost: good.test\r\n\r\n", "GET /a?b HTTP/1.1\r\nHost: good.test\r\n", ""},
		{"a request, Host with its port", "good.test", "GET / HTTP/1.1\r\nHost: GOOD.test:80\r\n\r\n", "GET / HTTP/1.1\r\nHost: good.test\r\n", ""},
		{"HTTP/1.0 without Host", "good.test", "GET /a HTTP/1.0\r\n\r\n", "GET /a HTTP/1.1\r\nHost: good.test\r\n", ""},
		{"a path like an authority", "good.test", "GET //evil.test/a HTTP/1.1\r\nHost: good.test\r\n\r\n", "GET //evil.test/a HTTP/1.1\r\nHost: good.test\r\n", ""},
		{"TLS", "good.test", string(hello(t, "good.test")) + "\r\n\r\n", string(hello(t, "good.test"))[:5], ""},
		{"another Host", "good.test", "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", "", "names another host"},
		{"another Host that is listed, too", "good.test", "GET / HTTP/1.1\r\nHost: listed.test\r\n\r\n", "", "names another host"},
		{"another Host where the entry has the port", "listed.test", "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", "", "names another host"},
		{"two Hosts", "good.test", "GET / HTTP/1.1\r\nHost: good.test\r\nHost: evil.test\r\n\r\n", "", "neither TLS nor"},
		{"a Host behind a space", "good.test", "GET / HTTP/1.1\r\nHost : evil.test\r\n\r\n", "", "neither TLS nor"},
		{"another port", "good.test", "GET / HTTP/1.1\r\nHost: good.test:81\r\n\r\n", "", "names another host"},
		{"a whole address", "good.test", "GET http://evil.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n", "", "a path alone"},
		{"its own whole address", "good.test", "GET http://good.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n", "", "a path alone"},
		{"a tunnel in the tunnel", "good.test", "CONNECT good.test:80 HTTP/1.1\r\nHost: good.test:80\r\n\r\n", "", "a path alone"},
		{"a length said twice", "good.test", "POST / HTTP/1.1\r\nHost: good.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", "more than one way"},
		{"HTTP/2 by upgrade", "good.test", "GET / HTTP/1.1\r\nHost: good.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", "", "another protocol than websocket"},
		{"settings of HTTP/2 alone", "good.test", "GET / HTTP/1.1\r\nHost: good.test\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", "", "asks for HTTP/2"},
		{"TLS by upgrade", "listed.test", "OPTIONS / HTTP/1.1\r\nHost: listed.test\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0\r\n\r\n", "", "another protocol than websocket"},
		{"HTTP/2 at once", "good.test", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", "neither TLS nor"},
		{"ssh", "good.test", "SSH-2.0-x\r\n\r\n", "", "neither TLS nor"},
		{"TLS for another", "good.test", string(hello(t, "evil.test")) + "\r\n\r\n", "", "names another host: evil.test"},
		{"a blank line first", "good.test", "\r\n\r\nGET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", "", "neither TLS nor"},
	} {
		for _, whole := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, at once %v", c.name, whole), func(t *testing.T) {
				conn, br, status := p.tunnel(c.host + ":80")
				if !strings.Contains(status, "200") {
					t.Fatal(status)
				}
				if whole {
					io.WriteString(conn, c.said)
				} else {
					for _, b := range []byte(c.said) {
						conn.Write([]byte{b})
					}
				}
				back, _ := io.ReadAll(br)
				_, saw := up.saw()
				if c.seen == "" {
					if saw != "" {
						t.Errorf("the upstream saw %q", saw)
					}
					p.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool { return strings.Contains(l.Reason, c.why) })
					return
				}
				if !strings.HasPrefix(saw, c.seen) || !strings.HasSuffix(string(back), "seen") {
					t.Errorf("the upstream saw %q, the agent %q", saw, back)
				}
			})
		}
	}
}

// A tunnel to an address carries on 443 and 80 what one to a name does: TLS and HTTP, for that address and for no name.
func TestTunnelsToAddresses(t *testing.T) {
	const addr = "127.0.0.43"
	ups := map[string]*recorder{"443": record(t, addr, 443), "80": record(t, addr, 80)}
	p := start(t, egress.Config{Allow: []string{addr}, AllowPrivate: []string{addr}}, &names{})
	named := bytes.Replace(hello(t, "127-0-0-43"), []byte("127-0-0-43"), []byte(addr), 1) // crypto/tls itself names no address
	for _, c := range []struct{ name, port, said, why string }{
		{"TLS without a name", "443", string(hello(t, "")), ""},
		{"TLS for the address", "443", string(named), ""},
		{"TLS for a name", "443", string(hello(t, "evil.test")), "names another host: evil.test"},
		{"TLS for another address", "443", strings.Replace(string(named), addr, "127.0.0.44", 1), "names another host: 127.0.0.44"},
		{"ssh", "443", "SSH-2.0-x", "is not TLS"},
		{"HTTP to the port of TLS", "443", "GET / HTTP/1.1\r\nHost: " + addr, "is not TLS"},
		{"TLS without a name on 80", "80", string(hello(t, "")), ""},
		{"TLS for a name on 80", "80", string(hello(t, "evil.test")), "names another host: evil.test"},
		{"a request", "80", "GET / HTTP/1.1\r\nHost: " + addr, ""},
		{"another Host", "80", "GET / HTTP/1.1\r\nHost: evil.test", "names another host"},
		{"ssh on 80", "80", "SSH-2.0-x", "neither TLS nor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, br, status := p.tunnel(addr + ":" + c.port)
			if !strings.Contains(status, "200") {
				t.Fatal(status)
			}
			io.WriteString(conn, c.said+"\r\n\r\n")
			back, _ := io.ReadAll(br)
			_, saw := ups[c.port].saw()
			if c.why == "" {
				if !strings.HasPrefix(saw, c.said) || !strings.HasSuffix(string(back), "seen") {
					t.Errorf("the upstream saw %q, the agent %q", saw, back)
				}
				return
			}
			if saw != "" {
				t.Errorf("the upstream saw %q", saw)
			}
			p.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool { return strings.Contains(l.Reason, c.why) })
		})
	}
}

// serve80 is an upstream on port 80 that is a whole HTTP server.
func serve80(t *testing.T, h http.HandlerFunc) {
	up := &http.Server{Handler: h}
	l := listen(t, port80, 80)
	go up.Serve(l)
	t.Cleanup(func() { up.Close() })
}

func TestBodyInTunnelToPort80(t *testing.T) {
	serve80(t, func(w http.ResponseWriter, r *http.Request) {
		all, _ := io.ReadAll(r.Body)
		w.Write(all)
	})
	p := start(t, egress.Config{Allow: []string{"good.test:80"}, AllowPrivate: []string{port80}}, &names{known: map[string][]string{"good.test": {port80}}})
	body := strings.Repeat("body ", 50_000)
	for _, framed := range []string{
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body),
		fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body),
	} {
		conn, br, _ := p.tunnel("good.test:80")
		io.WriteString(conn, "POST /a HTTP/1.1\r\nHost: good.test\r\n"+framed)
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := io.ReadAll(res.Body); string(back) != body {
			t.Errorf("%.20q: of %d bytes %d came back: %v", framed, len(body), len(back), err)
		}
	}
}

// A second request can't hide behind the first.
func TestTunnelToPort80CarriesOneRequest(t *testing.T) {
	up := record(t, port80, 80)
	p := start(t, egress.Config{Allow: []string{"good.test"}, AllowPrivate: []string{port80}}, &names{known: map[string][]string{"good.test": {port80}}})
	conn, br, _ := p.tunnel("good.test:80")
	io.WriteString(conn, "GET /1 HTTP/1.1\r\nHost: good.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: evil.test\r\n\r\n")
	back, _ := io.ReadAll(br)
	if _, saw := up.saw(); !strings.Contains(saw, "GET /1 ") || strings.Contains(saw, "/2") || strings.Contains(saw, "evil") {
		t.Errorf("the upstream saw %q", saw)
	}
	if n := strings.Count(string(back), "HTTP/1.1 "); n != 1 || !strings.Contains(string(back), "Connection: close\r\n") {
		t.Errorf("the agent saw %q", back)
	}
}

// A protocol that HTTP is changed into goes on both ways in the tunnel, and ends with the rule.
func TestUpgradeInTunnelToPort80(t *testing.T) {
	serve80(t, func(w http.ResponseWriter, r *http.Request) {
		conn, brw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		io.Copy(conn, brw)
	})
	p := start(t, egress.Config{Allow: []string{"good.test"}, AllowPrivate: []string{port80}}, &names{known: map[string][]string{"good.test": {port80}}})
	conn, br, _ := p.tunnel("good.test:80")
	io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: good.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatal(res, err)
	}
	for _, word := range []string{"one\n", "two\n"} {
		io.WriteString(conn, word)
		if back, err := br.ReadString('\n'); back != word {
			t.Fatalf("it came back as %q: %v", back, err)
		}
	}
	p.reload(egress.Config{Allow: []string{"other.test"}})
	conn.SetReadDeadline(time.Now().Add(heard.Patience))
	if b, err := br.ReadByte(); err == nil {
		t.Errorf("after its rule was gone it goes on: %q", b)
	}
}

// What is read in a tunnel takes a place among the requests: without one it is turned away, and that is told.
func TestTunnelToPort80AmongTooManyRequests(t *testing.T) {
	up := record(t, port80, 80)
	p := start(t, egress.Config{Allow: []string{"good.test"}, AllowPrivate: []string{port80}}, &names{known: map[string][]string{"good.test": {port80}}})
	conn, br, _ := p.tunnel("good.test:80")
	full := func(l sidecars.Line) bool { return strings.Contains(l.Reason, "too many connections") }
	for deadline := time.Now().Add(heard.Patience); !slices.ContainsFunc(p.ear.Lines(), full); {
		if time.Now().After(deadline) {
			t.Fatal("the bound on connections does not hold")
		}
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: good.test\r\n\r\n")
	if back, _ := io.ReadAll(br); !strings.HasPrefix(string(back), "HTTP/1.1 503 ") {
		t.Errorf("answer %q", back)
	}
	p.ear.Wait(t, sidecars.EventError, func(l sidecars.Line) bool {
		return l.Host == "good.test" && l.Port == 80 && strings.Contains(l.Reason, "in a tunnel")
	})
	if _, saw := up.saw(); saw != "" {
		t.Errorf("the upstream saw %q", saw)
	}
}

// Tunnels to port 80 that wait for the agent's first word don't keep egress from its end.
func TestSilentTunnelToPort80(t *testing.T) {
	record(t, port80, 80)
	p := start(t, egress.Config{Allow: []string{"good.test"}, AllowPrivate: []string{port80}}, &names{known: map[string][]string{"good.test": {port80}}})
	var open []*bufio.Reader
	for _, said := range []string{"", "G", "GET / HTTP/1.1\r\n"} {
		conn, br, _ := p.tunnel("good.test:80")
		io.WriteString(conn, said)
		open = append(open, br)
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	for _, br := range open {
		io.ReadAll(br) // ends
	}
}
