package egress_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/egress"
	"bottle-tui/sidecars/internal/heard"
)

// world is what the hostile requests run against: one host that is allowed, and around it everything that an
// agent might want to reach and must not.
type world struct {
	*proxy
	good, evil, evil6 *recorder
	port              int
	names             *names
}

// Names that the allowlist has, but that lead to where nobody may go.
var traps = map[string][]string{
	"loopback.test":    {evil},
	"zero.test":        {"0.0.0.0"},
	"zero6.test":       {"::"},
	"loopback6.test":   {"::1"},
	"mapped.test":      {"::ffff:127.0.0.2"},
	"compatible.test":  {"::127.0.0.2"},
	"translated.test":  {"::ffff:0:127.0.0.2"},
	"nat64.test":       {"64:ff9b::7f00:2"},
	"nat64local.test":  {"64:ff9b:1::7f00:2"},
	"sixtofour.test":   {"2002:7f00:2::1"},
	"teredo.test":      {"2001:0:7f00:2::1"},
	"ten.test":         {"10.0.0.1"},
	"docker.test":      {"172.17.0.1"},
	"home.test":        {"192.168.1.1"},
	"cgnat.test":       {"100.64.0.1"},
	"metadata.test":    {"169.254.169.254"},
	"metadata6.test":   {"fd00:ec2::254"},
	"alibaba.test":     {"100.100.100.200"},
	"azure.test":       {"168.63.129.16"},
	"linklocal.test":   {"169.254.1.1"},
	"linklocal6.test":  {"fe80::1%lo"},
	"unique.test":      {"fd12:3456::1"},
	"site.test":        {"fec0::1"},
	"multicast.test":   {"224.0.0.1"},
	"multicast6.test":  {"ff02::1"},
	"broadcast.test":   {"255.255.255.255"},
	"reserved.test":    {"240.0.0.1"},
	"benchmark.test":   {"198.18.0.1"},
	"discard.test":     {"100::1"},
	"doc.test":         {"2001:db8::1"},
	"relay.test":       {"192.88.99.1"},
	"allbad.test":      {evil + " 10.0.0.1 ::1"},
	"nowhere.test":     {},
	"outside6.test":    {"4000::1"},
	"deep.wild.test":   {good},
	"wild.test":        {good},
	"good.test":        {good},
	"evil.test":        {evil},
	"xn--bcher-kva.de": {good},
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{names: &names{known: traps}}
	w.good, w.evil = recordBoth(t, good, evil)
	w.port = w.good.port()
	if l, err := net.Listen("tcp", fmt.Sprintf("[::1]:%d", w.port)); err == nil { // where there is IPv6
		w.evil6 = recordOn(t, l)
	}
	c := egress.Config{AllowPrivate: []string{good}}
	for name := range traps {
		if name != "evil.test" && name != "wild.test" && name != "deep.wild.test" {
			c.Allow = append(c.Allow, fmt.Sprintf("%s:%d", name, w.port))
		}
	}
	c.Allow = append(c.Allow, fmt.Sprintf("*.wild.test:%d", w.port), "good.test",
		"169.254.169.254", fmt.Sprintf("%s:%d", evil, w.port), fmt.Sprintf("[::1]:%d", w.port))
	w.proxy = start(t, c, w.names)
	return w
}

// send sends raw bytes and reads all that comes back until egress has closed the connection. A request that
// does not end is ended by the end of what is sent; a whole one is not, for net/http takes that for a client
// that has gone, and the request would fail for that reason alone.
func (w *world) send(t testing.TB, raw string) string {
	t.Helper()
	c := w.dial()
	if _, err := io.WriteString(c, raw); err != nil {
		t.Logf("sending: %v", err) // egress may answer before it has read all
	}
	if !strings.Contains(raw, "\r\n\r\n") && !strings.Contains(raw, "\n\n") {
		c.(*net.TCPConn).CloseWrite()
	}
	back, err := io.ReadAll(c)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Errorf("egress did not end the connection; it said %.100q", back)
	}
	return string(back)
}

// hostile are requests of which nothing may reach any upstream. %P is the good upstream's port.
var hostile = []struct{ name, raw string }{
	// Not on the list.
	{"tunnel to a host that is not listed", "CONNECT evil.test:%P HTTP/1.1\r\nHost: evil.test:%P\r\n\r\n"},
	{"request to a host that is not listed", "GET http://evil.test:%P/ HTTP/1.1\r\nHost: evil.test:%P\r\n\r\n"},
	{"listed host, other port", "CONNECT good.test:22 HTTP/1.1\r\nHost: good.test:22\r\n\r\n"},
	{"listed host, request to other port", "GET http://good.test:8081/ HTTP/1.1\r\nHost: good.test:8081\r\n\r\n"},
	{"name that ends like a listed one", "CONNECT evilgood.test:%P HTTP/1.1\r\nHost: evilgood.test:%P\r\n\r\n"},
	{"name under one that is listed exactly", "CONNECT sub.good.test:%P HTTP/1.1\r\nHost: sub.good.test:%P\r\n\r\n"},
	{"name that starts like a listed one", "CONNECT good.test.evil.test:%P HTTP/1.1\r\nHost: good.test.evil.test:%P\r\n\r\n"},
	{"name that ends like a wildcard's", "CONNECT evilwild.test:%P HTTP/1.1\r\nHost: evilwild.test:%P\r\n\r\n"},
	{"the wildcard itself", "CONNECT *.wild.test:%P HTTP/1.1\r\nHost: *.wild.test:%P\r\n\r\n"},
	// Addresses as text.
	{"loopback literal", "CONNECT 127.0.0.1:%P HTTP/1.1\r\nHost: 127.0.0.1:%P\r\n\r\n"},
	{"listed literal that is loopback", "CONNECT 127.0.0.2:%P HTTP/1.1\r\nHost: 127.0.0.2:%P\r\n\r\n"},
	{"listed literal that is loopback, request", "GET http://127.0.0.2:%P/ HTTP/1.1\r\nHost: 127.0.0.2:%P\r\n\r\n"},
	{"listed IPv6 loopback literal", "CONNECT [::1]:%P HTTP/1.1\r\nHost: [::1]:%P\r\n\r\n"},
	{"mapped literal", "CONNECT [::ffff:127.0.0.2]:%P HTTP/1.1\r\nHost: [::ffff:127.0.0.2]:%P\r\n\r\n"},
	{"literal with a zone", "CONNECT [::1%25lo]:%P HTTP/1.1\r\nHost: [::1%25lo]:%P\r\n\r\n"},
	{"listed metadata literal", "GET http://169.254.169.254/latest/meta-data/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n"},
	{"short address", "CONNECT 127.2:%P HTTP/1.1\r\nHost: 127.2:%P\r\n\r\n"},
	{"decimal address", "CONNECT 2130706434:%P HTTP/1.1\r\nHost: 2130706434:%P\r\n\r\n"},
	{"hexadecimal address", "CONNECT 0x7f000002:%P HTTP/1.1\r\nHost: 0x7f000002:%P\r\n\r\n"},
	{"octal address", "CONNECT 0177.0.0.2:%P HTTP/1.1\r\nHost: 0177.0.0.2:%P\r\n\r\n"},
	{"hexadecimal last part", "CONNECT 127.0.0.0x2:%P HTTP/1.1\r\nHost: 127.0.0.0x2:%P\r\n\r\n"},
	{"address with a final dot", "CONNECT 127.0.0.2.:%P HTTP/1.1\r\nHost: 127.0.0.2.:%P\r\n\r\n"},
	{"unspecified literal", "CONNECT 0.0.0.0:%P HTTP/1.1\r\nHost: 0.0.0.0:%P\r\n\r\n"},
	{"localhost", "CONNECT localhost:%P HTTP/1.1\r\nHost: localhost:%P\r\n\r\n"},
	// Targets that can be read in two ways.
	{"user before the host", "CONNECT good.test@evil.test:%P HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"user before a listed host", "CONNECT u:p@good.test:%P HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"request with a user", "GET http://evil.test@good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"request with a user that looks like the host", "GET http://good.test:%P@evil.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"fragment before a user", "GET http://good.test:%P#@evil.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"backslash before a user", "GET http://good.test:%P\\@evil.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"backslash as a slash", "GET http:\\\\good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"escaped letter in the host", "GET http://%67ood.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"escaped dot in the host", "CONNECT good%2etest:%P HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"fullwidth letters", "CONNECT ｇood.test:%P HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"ideographic dot", "CONNECT good。test:%P HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"two final dots", "CONNECT good.test..:%P HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"empty label", "CONNECT good..test:%P HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"only a dot", "CONNECT .:%P HTTP/1.1\r\nHost: .:%P\r\n\r\n"},
	{"no host", "CONNECT :%P HTTP/1.1\r\nHost: :%P\r\n\r\n"},
	{"tunnel without a port", "CONNECT good.test HTTP/1.1\r\nHost: good.test\r\n\r\n"},
	{"port zero", "CONNECT good.test:0 HTTP/1.1\r\nHost: good.test:0\r\n\r\n"},
	{"port that wraps around", "CONNECT good.test:1%P HTTP/1.1\r\nHost: good.test:1%P\r\n\r\n"},
	{"port with a zero before it", "CONNECT good.test:0%P HTTP/1.1\r\nHost: good.test:0%P\r\n\r\n"},
	{"port with a sign", "CONNECT good.test:+%P HTTP/1.1\r\nHost: good.test:+%P\r\n\r\n"},
	{"port by name", "CONNECT good.test:http HTTP/1.1\r\nHost: good.test:http\r\n\r\n"},
	{"two ports", "CONNECT good.test:%P:22 HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"tunnel to an address with a path", "CONNECT good.test:%P/x HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"tunnel to a whole address", "CONNECT http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"tunnel to a path", "CONNECT /good.test:%P HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"request for a path, as to a server", "GET / HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"request for two slashes", "GET //good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"request for https", "GET https://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"request for ftp", "GET ftp://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"request for a file", "GET file:///etc/passwd HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"request without a host", "GET http:///x HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"opaque address", "GET http:good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"star", "OPTIONS * HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
	{"a long name", "CONNECT " + strings.Repeat("a.", 200) + "test:%P HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	// A Host header that says otherwise.
	{"other Host", "GET http://good.test:%P/ HTTP/1.1\r\nHost: evil.test:%P\r\n\r\n"},
	{"other Host, listed target of a tunnel", "CONNECT good.test:%P HTTP/1.1\r\nHost: evil.test:%P\r\n\r\n"},
	{"other port in Host", "GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:81\r\n\r\n"},
	{"no port in Host", "GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test\r\n\r\n"},
	{"empty Host", "GET http://good.test:%P/ HTTP/1.1\r\nHost:\r\n\r\n"},
	{"two Hosts", "GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nHost: evil.test:%P\r\n\r\n"},
	{"two equal Hosts", "GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nHost: good.test:%P\r\n\r\n"},
	{"no Host", "GET http://good.test:%P/ HTTP/1.1\r\n\r\n"},
	// Heads and lengths that can be read in two ways.
	{"line feed alone", "GET http://good.test:%P/ HTTP/1.1\nHost: good.test:%P\n\n"},
	{"one line feed alone", "GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\nX: y\r\n\r\n"},
	{"carriage return inside a header", "GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nX: a\rEvil: b\r\n\r\n"},
	{"NUL in a header", "GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nX: a\x00b\r\n\r\n"},
	{"folded header", "GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nX: a\r\n b\r\n\r\n"},
	{"header with a space before its colon", "GET http://good.test:%P/ HTTP/1.1\r\nHost : good.test:%P\r\n\r\n"},
	{"header without a colon", "GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nnonsense\r\n\r\n"},
	{"escape sequence in the target", "GET http://good.test:%P/\x1b[2J HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"tab in the first line", "GET\thttp://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"two spaces in the first line", "GET  http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	{"no version", "GET http://good.test:%P/\r\n\r\n"},
	{"length and chunks", "POST http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"two lengths", "POST http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"},
	{"two equal lengths", "POST http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd"},
	{"list of lengths", "POST http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nContent-Length: 4, 4\r\n\r\nabcd"},
	{"length with a sign", "POST http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nContent-Length: +4\r\n\r\nabcd"},
	{"negative length", "POST http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nContent-Length: -1\r\n\r\n"},
	{"chunks under another name", "POST http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
	{"chunks twice", "POST http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"chunks after another coding", "POST http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
	{"chunks in HTTP/1.0", "POST http://good.test:%P/ HTTP/1.0\r\nHost: good.test:%P\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"tunnel with a body", "CONNECT good.test:%P HTTP/1.1\r\nHost: good.test:%P\r\nContent-Length: 9\r\n\r\nsmuggled!"},
	{"tunnel with chunks", "CONNECT good.test:%P HTTP/1.1\r\nHost: good.test:%P\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"headers without end", "GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nX: y\r\n"},
	{"headers over the limit", "GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nX: " + strings.Repeat("y", 64<<10) + "\r\n\r\n"},
	{"many headers over the limit", "GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n" + strings.Repeat("X: y\r\n", 10<<10) + "\r\n"},
	{"first line over the limit", "GET http://good.test:%P/" + strings.Repeat("y", 64<<10) + " HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
	// Not HTTP.
	{"TLS to the proxy", "\x16\x03\x01\x00\x05hello"},
	{"SOCKS5", "\x05\x01\x00"},
	{"SOCKS4", "\x04\x01\x00\x50\x7f\x00\x00\x02x\x00"},
	{"noise", "\x00\xff\xfe\x80\r\n\r\n"},
	{"empty lines", "\r\n\r\n\r\n\r\n"},
	{"PROXY protocol", "PROXY TCP4 127.0.0.1 127.0.0.2 1 2\r\nGET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"},
}

func TestHostileRequestsReachNobody(t *testing.T) {
	w := newWorld(t)
	judge := func(t *testing.T, back string) {
		t.Helper()
		if strings.HasPrefix(back, "HTTP/1.1 2") || strings.Contains(back, "seen") {
			t.Errorf("it was let through: %.200q", back)
		}
		if n, s := w.good.saw(); n > 0 || s != "" {
			t.Errorf("the allowed upstream saw %d connections with %q", n, s)
		}
		w.untouched(t)
	}
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			judge(t, w.send(t, strings.ReplaceAll(c.raw, "%P", fmt.Sprint(w.port))))
		})
	}
	// Every listed name that leads astray, both ways.
	for name, turns := range traps {
		if len(turns) == 0 || turns[0] == good || name == "evil.test" {
			continue
		}
		at := fmt.Sprintf("%s:%d", name, w.port)
		t.Run("tunnel to "+name+", which is "+turns[0], func(t *testing.T) {
			judge(t, w.send(t, "CONNECT "+at+" HTTP/1.1\r\nHost: "+at+"\r\n\r\n"))
		})
		t.Run("request to "+name, func(t *testing.T) {
			judge(t, w.send(t, "GET http://"+at+"/ HTTP/1.1\r\nHost: "+at+"\r\n\r\n"))
		})
	}
	t.Run("a name that leads nowhere", func(t *testing.T) {
		back := w.send(t, fmt.Sprintf("CONNECT nowhere.test:%d HTTP/1.1\r\n\r\n", w.port))
		judge(t, back)
		if !strings.HasPrefix(back, "HTTP/1.1 502") {
			t.Errorf("answer %.100q", back)
		}
	})
	if len(hostile) < 60 {
		t.Errorf("only %d hostile requests are tried", len(hostile))
	}
}

// untouched fails when anybody saw anything who must not.
func (w *world) untouched(t testing.TB) {
	t.Helper()
	if n, s := w.evil.saw(); n > 0 {
		t.Errorf("what lies on %s saw %d connections with %q", evil, n, s)
	}
	if w.evil6 == nil {
		return
	}
	if n, s := w.evil6.saw(); n > 0 {
		t.Errorf("what lies on ::1 saw %d connections with %q", n, s)
	}
}

// A name whose answer changes between the judging and the dialling: what was judged is what is dialled.
func TestRebindingName(t *testing.T) {
	w := newWorld(t)
	r := &names{known: map[string][]string{"flip.test": {good, evil}}}
	at := fmt.Sprintf("flip.test:%d", w.port)
	p := start(t, egress.Config{Allow: []string{at}, AllowPrivate: []string{good}}, r)
	for i := range 6 {
		c := p.dial()
		fmt.Fprintf(c, "GET http://%s/ HTTP/1.1\r\nHost: %s\r\n\r\n", at, at)
		back, _ := io.ReadAll(c)
		if got := r.times("flip.test"); got != i+1 {
			t.Fatalf("request %d: the name was resolved %d times", i+1, got)
		}
		want := "200"
		if i%2 == 1 {
			want = "403"
		}
		if !strings.HasPrefix(string(back), "HTTP/1.1 "+want) {
			t.Errorf("request %d: %.60q", i, back)
		}
	}
	w.untouched(t)
}

// What comes through a tunnel must name the tunnel's host.
func TestTunnelsThatPretend(t *testing.T) {
	w := newWorld(t)
	at := fmt.Sprintf("good.test:%d", w.port)
	split := func(b []byte, n int) string { return string(b[:n]) }
	fragmented := func(b []byte) string { // the same greeting in two records
		body := b[5:]
		record := func(p []byte) string { return string([]byte{22, 3, 1, byte(len(p) >> 8), byte(len(p))}) + string(p) }
		return record(body[:40]) + record(body[40:])
	}
	for _, c := range []struct{ name, first, reason string }{
		{"another host's greeting", string(hello(t, "evil.test")), "another host: evil.test"},
		{"a host under it", string(hello(t, "sub.good.test")), "another host"},
		{"no name", string(hello(t, "")), "names no host"},
		{"another host's greeting, in two records", fragmented(hello(t, "evil.test")), "another host"},
		{"half a greeting", split(hello(t, "good.test"), 60), "can't be read"},
		{"no greeting in a TLS record", "\x16\x03\x01\x00\x05hello", "can't be read"},
		{"an endless greeting", "\x16\x03\x01\x40\x00\x01\x00\xff\xff" + strings.Repeat("\x00", 128<<10), "can't be read"},
	} {
		for _, early := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, early %v", c.name, early), func(t *testing.T) {
				seen := w.ear.Count(sidecars.EventTunnelEnd)
				back := ""
				conn := w.dial()
				r := bufio.NewReader(conn)
				connect := "CONNECT " + at + " HTTP/1.1\r\nHost: " + at + "\r\n\r\n"
				if early { // in one piece with the CONNECT
					io.WriteString(conn, connect+c.first)
				} else {
					io.WriteString(conn, connect)
				}
				status, err := r.ReadString('\n')
				if err != nil || !strings.Contains(status, "200") {
					t.Fatal(status, err)
				}
				if !early {
					io.WriteString(conn, c.first)
				}
				conn.(*net.TCPConn).CloseWrite()
				b, _ := io.ReadAll(r)
				back = string(b)
				if strings.Contains(back, "seen") {
					t.Errorf("it was let through: %q", back)
				}
				w.ear.Wait(t, sidecars.EventTunnelEnd, func(sidecars.Line) bool { return w.ear.Count(sidecars.EventTunnelEnd) > seen })
				if _, s := w.good.saw(); s != "" {
					t.Errorf("the upstream saw %q", s)
				}
				w.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool { return strings.Contains(l.Reason, c.reason) })
				w.untouched(t)
			})
		}
	}
	t.Run("its own greeting passes whole", func(t *testing.T) {
		for _, greeting := range []string{string(hello(t, "good.test")), string(hello(t, "GOOD.test")), fragmented(hello(t, "good.test"))} {
			all := greeting + "and what follows at once\r\n\r\n"
			if back := w.send(t, "CONNECT "+at+" HTTP/1.1\r\nHost: "+at+"\r\n\r\n"+all); !strings.Contains(back, "seen") {
				t.Errorf("answer %q", back)
			}
			if _, s := w.good.saw(); s != all {
				t.Errorf("the upstream saw %d bytes of %d", len(s), len(all))
			}
		}
	})
}

// On port 443 of an entry without a port only TLS is spoken.
func TestPort443IsForTLS(t *testing.T) {
	const addr = "127.0.0.43"
	up := record(t, addr, 443)
	r := &names{known: map[string][]string{"good.test": {addr}, "ssh.test": {addr}}}
	p := start(t, egress.Config{Allow: []string{"good.test", "*.test:443", "ssh.test:443"}, AllowPrivate: []string{addr}}, r)
	p.reload(egress.Config{Allow: []string{"good.test", "ssh.test:443"}, AllowPrivate: []string{addr}})
	for _, c := range []struct {
		host, first string
		passes      bool
	}{
		{"good.test", "SSH-2.0-x\r\n\r\n", false},
		{"good.test", "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", false},
		{"good.test", string(hello(t, "good.test")) + "\r\n\r\n", true},
		{"ssh.test", "SSH-2.0-x\r\n\r\n", true},
		{"ssh.test", string(hello(t, "good.test")), false},
	} {
		conn, br, status := p.tunnel(c.host + ":443")
		if !strings.Contains(status, "200") {
			t.Fatal(status)
		}
		io.WriteString(conn, c.first)
		conn.(*net.TCPConn).CloseWrite()
		back, _ := io.ReadAll(br)
		_, s := up.saw()
		if passed := s == c.first && bytes.Contains(back, []byte("seen")); passed != c.passes || !c.passes && s != "" {
			t.Errorf("%s %.20q: passed %v, the upstream saw %d bytes", c.host, c.first, passed, len(s))
		}
	}
}

func TestRefusalTellsTheWayOut(t *testing.T) {
	w := newWorld(t)
	back := w.send(t, "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n")
	for _, want := range []string{"HTTP/1.1 403 ", "evil.test is not on this bottle's allowlist", "egress-block", "operator"} {
		if !strings.Contains(back, want) {
			t.Errorf("the answer lacks %q:\n%s", want, back)
		}
	}
	l := w.ear.Wait(t, sidecars.EventRefuse)
	if l.Host != "evil.test" || l.Port != 443 || l.Via != "connect" || l.Reason == "" {
		t.Errorf("line %+v", l)
	}
	back = w.send(t, "CONNECT good.test:8443 HTTP/1.1\r\nHost: good.test:8443\r\n\r\n")
	if !strings.Contains(back, "port 8443 of good.test is not") {
		t.Errorf("the answer does not name the port:\n%s", back)
	}
	// No other allowlist would help here, so none is to be asked for.
	back = w.send(t, fmt.Sprintf("CONNECT metadata.test:%d HTTP/1.1\r\n\r\n", w.port))
	if !strings.HasPrefix(back, "HTTP/1.1 403 ") || !strings.Contains(back, "metadata.test leads to a cloud metadata address") ||
		!strings.Contains(back, "no rule of the allowlist changes that") || !strings.Contains(back, "say so in your answer") || strings.Contains(back, "egress-block") {
		t.Errorf("of a host that is listed and leads astray it says:\n%s", back)
	}
}

// A flood of refusals costs the operator's side a bounded number of lines, and none is forgotten.
func TestFloodIsSummarised(t *testing.T) {
	w := newWorld(t)
	deadline := time.Now().Add(heard.Patience)
	sent := 0
	for {
		w.send(t, "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n")
		sent++
		lines := w.ear.Lines()
		if last := lines[len(lines)-1]; last.Suppressed > 0 {
			told := 0
			for _, l := range lines {
				if l.Event == sidecars.EventRefuse {
					told += 1 + l.Suppressed
				}
			}
			if told > sent || w.ear.Count(sidecars.EventRefuse) >= sent {
				t.Errorf("%d refusals were told as %d in %d lines", sent, told, w.ear.Count(sidecars.EventRefuse))
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d refusals, and every one has its line", sent)
		}
	}
}

func TestSlowAndManyConnectionsAreBounded(t *testing.T) {
	w := newWorld(t)
	slow := w.dial()
	io.WriteString(slow, "GET http://good.test/ HTTP/1.1\r\n")
	start := time.Now()

	var held []net.Conn
	for range 1023 {
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	deadline := time.Now().Add(heard.Patience)
	for { // the last of them may not be accepted yet
		if back := w.send(t, "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n"); strings.Contains(back, "503 ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the bound on connections does not hold")
		}
	}
	for _, c := range held {
		c.Close()
	}
	for {
		if back := w.send(t, "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n"); strings.Contains(back, "403 ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("closed connections make no room")
		}
	}
	if _, err := io.ReadAll(slow); err != nil {
		t.Errorf("a head that does not come is waited for: %v", err)
	}
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("it was waited for %v", took)
	}
	if n, _ := w.good.saw(); n > 0 {
		t.Error("the upstream saw it")
	}
}

func TestNoStatusIsAMystery(t *testing.T) {
	w := newWorld(t)
	back := w.send(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if !strings.HasPrefix(back, fmt.Sprintf("HTTP/1.1 %d ", http.StatusForbidden)) || !strings.Contains(back, "this is a proxy") {
		t.Errorf("answer %q", back)
	}
	w.send(t, "\x00nonsense\r\n\r\n")
	w.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool { return strings.Contains(l.Reason, "not a request") })
}
