package egress_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/egress"
	"bottle-tui/sidecars/internal/heard"
)

// ordinary are requests that must arrive as they were meant. %P is the upstream's port; want is what the
// upstream sees, in this order.
var ordinary = []struct {
	name, raw string
	want      []string
}{
	{"GET", "GET http://good.test:%P/a?b=c HTTP/1.1\r\nHost: good.test:%P\r\n\r\n", []string{"GET /a?b=c HTTP/1.1\r\n", "Host: good.test:%P\r\n"}},
	{"HEAD", "HEAD http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n", []string{"HEAD / HTTP/1.1\r\n"}},
	{"DELETE", "DELETE http://good.test:%P/x HTTP/1.1\r\nHost: good.test:%P\r\n\r\n", []string{"DELETE /x HTTP/1.1\r\n"}},
	{"OPTIONS", "OPTIONS http://good.test:%P/x HTTP/1.1\r\nHost: good.test:%P\r\n\r\n", []string{"OPTIONS /x HTTP/1.1\r\n"}},
	{"no path", "GET http://good.test:%P HTTP/1.1\r\nHost: good.test:%P\r\n\r\n", []string{"GET / HTTP/1.1\r\n"}},
	{"query without path", "GET http://good.test:%P?q=1 HTTP/1.1\r\nHost: good.test:%P\r\n\r\n", []string{"GET /?q=1 HTTP/1.1\r\n"}},
	{"escapes stay as they are", "GET http://good.test:%P/a%%2Fb%%20c/%%C3%%A9?x=%%26;y=1&z HTTP/1.1\r\nHost: good.test:%P\r\n\r\n", []string{"GET /a%%2Fb%%20c/%%C3%%A9?x=%%26;y=1&z HTTP/1.1\r\n"}},
	{"dots in the path stay", "GET http://good.test:%P/a/../b/./c//d HTTP/1.1\r\nHost: good.test:%P\r\n\r\n", []string{"GET /a/../b/./c//d HTTP/1.1\r\n"}},
	{"an @ in the path", "GET http://good.test:%P/@scope/pkg@1.2.3 HTTP/1.1\r\nHost: good.test:%P\r\n\r\n", []string{"GET /@scope/pkg@1.2.3 HTTP/1.1\r\n"}},
	{"upper case", "GET HTTP://Good.TEST:%P/ HTTP/1.1\r\nHost: gOOd.test:%P\r\n\r\n", []string{"Host: good.test:%P\r\n"}},
	{"final dot", "GET http://good.test.:%P/ HTTP/1.1\r\nHost: good.test.:%P\r\n\r\n", []string{"Host: good.test:%P\r\n"}},
	{"under a wildcard", "GET http://deep.wild.test:%P/ HTTP/1.1\r\nHost: deep.wild.test:%P\r\n\r\n", []string{"Host: deep.wild.test:%P\r\n"}},
	{"the wildcard's own host", "GET http://wild.test:%P/ HTTP/1.1\r\nHost: wild.test:%P\r\n\r\n", []string{"Host: wild.test:%P\r\n"}},
	{"an underscore", "GET http://a_b.wild.test:%P/ HTTP/1.1\r\nHost: a_b.wild.test:%P\r\n\r\n", []string{"Host: a_b.wild.test:%P\r\n"}},
	{"punycode of a listed name", "GET http://xn--bcher-kva.test:%P/ HTTP/1.1\r\nHost: xn--bcher-kva.test:%P\r\n\r\n", []string{"Host: xn--bcher-kva.test:%P\r\n"}},
	{"a listed address", "GET http://127.0.0.1:%P/ HTTP/1.1\r\nHost: 127.0.0.1:%P\r\n\r\n", []string{"Host: 127.0.0.1:%P\r\n"}},
	{"a name with good and bad addresses", "GET http://mixed.test:%P/ HTTP/1.1\r\nHost: mixed.test:%P\r\n\r\n", []string{"Host: mixed.test:%P\r\n"}},
	{"HTTP/1.0", "GET http://good.test:%P/ HTTP/1.0\r\n\r\n", []string{"GET / HTTP/1.1\r\n", "Host: good.test:%P\r\n"}},
	{"proxy headers stay here", "GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nX-Own: 1\r\n\r\n", []string{"X-Own: 1\r\n"}},
	{"a client without a name", "GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n", []string{"GET"}},
	{"POST with a length", "POST http://good.test:%P/x HTTP/1.1\r\nHost: good.test:%P\r\nContent-Length: 4\r\n\r\nabcd", []string{"POST /x HTTP/1.1\r\n", "Content-Length: 4\r\n"}},
	{"POST of nothing", "POST http://good.test:%P/x HTTP/1.1\r\nHost: good.test:%P\r\nContent-Length: 0\r\n\r\n", []string{"POST /x HTTP/1.1\r\n", "Content-Length: 0\r\n"}},
	{"PUT in chunks", "PUT http://good.test:%P/x HTTP/1.1\r\nHost: good.test:%P\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n", []string{"PUT /x HTTP/1.1\r\n", "Transfer-Encoding: chunked\r\n"}},
	{"chunks in other case", "PUT http://good.test:%P/x HTTP/1.1\r\nHost: good.test:%P\r\nTransfer-Encoding: Chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n", []string{"PUT /x HTTP/1.1\r\n"}},
	{"PATCH", "PATCH http://good.test:%P/x HTTP/1.1\r\nHost: good.test:%P\r\nContent-Length: 2\r\n\r\n{}", []string{"PATCH /x HTTP/1.1\r\n"}},
	{"a method of its own", "PROPFIND http://good.test:%P/dav HTTP/1.1\r\nHost: good.test:%P\r\nDepth: 1\r\n\r\n", []string{"PROPFIND /dav HTTP/1.1\r\n", "Depth: 1\r\n"}},
	{"a header with any bytes over 0x7f", "GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nX-Name: é\xff\r\n\r\n", []string{"X-Name: é\xff\r\n"}},
	{"a header twice", "GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nX-A: 1\r\nX-A: 2\r\n\r\n", []string{"X-A: 1\r\n", "X-A: 2\r\n"}},
	{"an empty header", "GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nX-A:\r\n\r\n", []string{"X-A: \r\n"}},
	{"no space after the colon, and a tab", "GET http://good.test:%P/ HTTP/1.1\r\nHost:good.test:%P\r\nX-A:\t1\r\n\r\n", []string{"X-A: 1\r\n"}},
	{"credentials of the agent's own", "GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nAuthorization: Bearer own\r\nCookie: a=b\r\n\r\n", []string{"Authorization: Bearer own\r\n", "Cookie: a=b\r\n"}},
	{"a range", "GET http://good.test:%P/big HTTP/1.1\r\nHost: good.test:%P\r\nRange: bytes=1-2\r\n\r\n", []string{"Range: bytes=1-2\r\n"}},
	{"a long path and headers of 16 KiB", "GET http://good.test:%P/" + strings.Repeat("p", 8<<10) + " HTTP/1.1\r\nHost: good.test:%P\r\nX-A: " + strings.Repeat("v", 8<<10) + "\r\n\r\n", []string{"GET /ppp", "X-A: vvv"}},
	{"an address in the query", "GET http://good.test:%P/?to=http://evil.test@x/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n", []string{"GET /?to=http://evil.test@x/ HTTP/1.1\r\n"}},
	{"Host in other case", "GET http://good.test:%P/ HTTP/1.1\r\nhOsT: good.test:%P\r\n\r\n", []string{"Host: good.test:%P\r\n"}},
	{"a digit at the front of the last label", "GET http://4you.wild.test:%P/ HTTP/1.1\r\nHost: 4you.wild.test:%P\r\n\r\n", []string{"Host: 4you.wild.test:%P\r\n"}},
	{"a label of 63 letters", "GET http://" + strings.Repeat("l", 63) + ".wild.test:%P/ HTTP/1.1\r\nHost: " + strings.Repeat("l", 63) + ".wild.test:%P\r\n\r\n", []string{"GET"}},
	{"tunnel", "CONNECT good.test:%P HTTP/1.1\r\nHost: good.test:%P\r\n\r\nhello\r\n\r\n", []string{"hello\r\n\r\n"}},
	{"tunnel, HTTP/1.0 without Host", "CONNECT good.test:%P HTTP/1.0\r\n\r\nhello\r\n\r\n", []string{"hello\r\n\r\n"}},
	{"tunnel, Host without port", "CONNECT good.test:%P HTTP/1.1\r\nHost: good.test\r\n\r\nhello\r\n\r\n", []string{"hello\r\n\r\n"}},
	{"tunnel with an empty body", "CONNECT good.test:%P HTTP/1.1\r\nHost: good.test:%P\r\nContent-Length: 0\r\n\r\nhello\r\n\r\n", []string{"hello\r\n\r\n"}},
	{"tunnel with a final dot", "CONNECT GOOD.test.:%P HTTP/1.1\r\nHost: GOOD.test.:%P\r\n\r\nhello\r\n\r\n", []string{"hello\r\n\r\n"}},
	{"tunnel to a listed address, with any greeting", "CONNECT 127.0.0.1:%P HTTP/1.1\r\nHost: 127.0.0.1:%P\r\n\r\n\x16\x03hello\r\n\r\n", []string{"\x16\x03hello\r\n\r\n"}},
	{"tunnel under a wildcard", "CONNECT x.y.z.wild.test:%P HTTP/1.1\r\nHost: x.y.z.wild.test:%P\r\n\r\nhello\r\n\r\n", []string{"hello\r\n\r\n"}},
}

func TestOrdinaryRequestsArrive(t *testing.T) {
	up := record(t, good, 0)
	port := up.port()
	r := &names{known: map[string][]string{
		"good.test": {good}, "wild.test": {good}, "deep.wild.test": {good}, "a_b.wild.test": {good}, "x.y.z.wild.test": {good}, "4you.wild.test": {good}, strings.Repeat("l", 63) + ".wild.test": {good},
		"xn--bcher-kva.test": {good}, "mixed.test": {evil + " ::1 10.0.0.1 " + good},
	}}
	c := egress.Config{AllowPrivate: []string{good}}
	for _, name := range []string{"Good.test.", "*.wild.test", "bücher.test", good, "mixed.test"} {
		c.Allow = append(c.Allow, fmt.Sprintf("%s:%d", name, port))
	}
	w := &world{proxy: start(t, c, r), port: port}
	fill := func(s string) string {
		return strings.ReplaceAll(strings.ReplaceAll(s, "%P", fmt.Sprint(port)), "%%", "%")
	}
	for _, c := range ordinary {
		t.Run(c.name, func(t *testing.T) {
			back := w.send(t, fill(c.raw))
			if !strings.Contains(back, " 200 ") {
				t.Errorf("answer %.300q", back)
			}
			if !strings.HasPrefix(c.raw, "HEAD") && !strings.HasSuffix(back, "seen") {
				t.Errorf("the upstream's answer did not come back: %q", back)
			}
			_, s := up.saw()
			at := 0
			for _, want := range c.want {
				i := strings.Index(s[at:], fill(want))
				if i < 0 {
					t.Fatalf("the upstream saw %q, without %q", s, fill(want))
				}
				at += i
			}
			for _, not := range []string{"Proxy-", "User-Agent", "X-Forwarded", "Accept-Encoding"} {
				if strings.Contains(s, not) {
					t.Errorf("the upstream saw %q", s)
				}
			}
		})
	}
	if len(ordinary) < 40 {
		t.Errorf("only %d ordinary requests are tried", len(ordinary))
	}
}

// What HTTP lets stand between and behind a body's chunks stays here: a reader that takes it for headers never has it.
func TestChunksArriveBare(t *testing.T) {
	saw := make(chan string, 1)
	up := newUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		saw <- fmt.Sprint(r.Host, r.Header, string(body), r.Trailer, err)
	}))
	at := fmt.Sprintf("good.test:%d", up)
	w := &world{proxy: start(t, egress.Config{Allow: []string{at}, AllowPrivate: []string{good}}, &names{known: map[string][]string{"good.test": {good}}})}
	head := "PUT http://" + at + "/ HTTP/1.1\r\nHost: " + at + "\r\nTransfer-Encoding: chunked\r\n"
	for _, raw := range []string{
		head + "\r\n4;to=evil.test\r\nabcd\r\n0\r\n\r\n",
		head + "\r\n4\r\nabcd\r\n0\r\nHost: evil.test\r\n\r\n",
		head + "Trailer: Host\r\n\r\n4\r\nabcd\r\n0\r\nHost: evil.test\r\n\r\n",
		head + "Trailer: X-To\r\n\r\n4\r\nabcd\r\n0\r\nX-To: evil.test\r\nHost: evil.test\r\n\r\n",
	} {
		if back := w.send(t, raw); !strings.HasPrefix(back, "HTTP/1.1 200 ") {
			t.Errorf("%q: %q", raw, back)
			continue
		}
		if s := <-saw; !strings.Contains(s, "abcd") || !strings.HasSuffix(s, "<nil>") || strings.Contains(s, "evil.test") {
			t.Errorf("of %q the upstream saw %q", raw, s)
		}
	}
}

// client is an HTTP client behind the proxy.
func (p *proxy) client(t testing.TB, roots *x509.CertPool) *http.Client {
	tr := &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: p.addr}),
		TLSClientConfig: &tls.Config{RootCAs: roots},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: heard.Patience}
}

func TestRealClients(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 512<<10) // 8 MiB
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("/gzip", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		z.Write([]byte("packed"))
		z.Close()
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/echo", http.StatusFound) })
	mux.HandleFunc("/status", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	plain := httptest.NewServer(mux)
	defer plain.Close()
	secure := httptest.NewUnstartedServer(mux)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	defer secure.Close()
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())

	// httptest's certificate is for example.com.
	r := &names{known: map[string][]string{"example.com": {good}}}
	p := start(t, egress.Config{
		Allow:        []string{fmt.Sprintf("example.com:%d", portOf(plain)), fmt.Sprintf("example.com:%d", portOf(secure))},
		AllowPrivate: []string{good},
	}, r)
	client := p.client(t, roots)
	for _, base := range []string{fmt.Sprintf("http://example.com:%d", portOf(plain)), fmt.Sprintf("https://example.com:%d", portOf(secure))} {
		for _, body := range []io.Reader{bytes.NewReader(big), io.MultiReader(bytes.NewReader(big))} { // with length, and in chunks
			resp, err := client.Post(base+"/echo", "application/octet-stream", body)
			if err != nil {
				t.Fatal(err)
			}
			back, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Equal(back, big) {
				t.Errorf("%s: %d bytes came back of %d: %v", base, len(back), len(big), err)
			}
		}
		for path, want := range map[string]string{"/gzip": "packed", "/redirect": "", "/status": ""} {
			resp, err := client.Get(base + path)
			if err != nil {
				t.Fatal(err)
			}
			back, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(back) != want || path == "/status" && resp.StatusCode != http.StatusTeapot {
				t.Errorf("%s%s: %d %q", base, path, resp.StatusCode, back)
			}
		}
	}
	// A client that is refused reads why.
	resp, err := client.Get("http://other.test/")
	if err != nil {
		t.Fatal(err)
	}
	back, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden || !strings.Contains(string(back), "other.test is not on this bottle's allowlist") {
		t.Errorf("%d %s", resp.StatusCode, back)
	}
	// The bytes are counted.
	l := p.ear.Wait(t, sidecars.EventTunnelEnd, func(l sidecars.Line) bool { return l.Via == "http" && l.Sent > 0 })
	if l.Sent != int64(len(big)) || l.Received != int64(len(big)) {
		t.Errorf("counted %d and %d bytes, not %d", l.Sent, l.Received, len(big))
	}
	client.CloseIdleConnections()
	p.ear.Wait(t, sidecars.EventTunnelEnd, func(l sidecars.Line) bool {
		return l.Via == "connect" && l.Sent > 2*int64(len(big)) && l.Received > 2*int64(len(big))
	})
	p.ear.Wait(t, sidecars.EventAllow, func(l sidecars.Line) bool {
		return l.Via == "connect" && l.Host == "example.com" && l.Address == fmt.Sprintf("%s:%d", good, portOf(secure))
	})
}

// What an upstream sends comes at once, and its pauses end nothing.
func TestStreamsArePassedOnAsTheyCome(t *testing.T) {
	next := make(chan string)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(200)
		http.NewResponseController(w).Flush()
		for s := range next {
			io.WriteString(w, s+"\n")
			http.NewResponseController(w).Flush()
		}
	}))
	defer up.Close()
	at := fmt.Sprintf("good.test:%d", portOf(up))
	p := start(t, egress.Config{Allow: []string{at}, AllowPrivate: []string{good}}, &names{known: map[string][]string{"good.test": {good}}})
	resp, err := p.client(t, nil).Get("http://" + at + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for i := range 5 {
		next <- fmt.Sprint("event ", i) // the next is sent only when this one has arrived
		if !lines.Scan() || lines.Text() != fmt.Sprint("event ", i) {
			t.Fatalf("%q, %v", lines.Text(), lines.Err())
		}
	}
	close(next)
	if lines.Scan() {
		t.Errorf("%q after the end", lines.Text())
	}
}

func TestUpgradedConnection(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			t.Errorf("the upstream saw %v", r.Header)
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(c, rw)
	}))
	defer up.Close()
	at := fmt.Sprintf("good.test:%d", portOf(up))
	allowed := egress.Config{Allow: []string{at}, AllowPrivate: []string{good}}
	p := start(t, allowed, &names{known: map[string][]string{"good.test": {good}}})
	c := p.dial()
	fmt.Fprintf(c, "GET http://%s/ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", at, at)
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp, err)
	}
	io.WriteString(c, "ping\n")
	if back, err := r.ReadString('\n'); back != "ping\n" {
		t.Fatal(back, err)
	}
	// It ends with its rule, as a tunnel does.
	p.reload(egress.Config{})
	if _, err := r.ReadString('\n'); err == nil {
		t.Error("it is still open")
	}
}

func TestServerThatSpeaksFirstAndHalfClosedTunnel(t *testing.T) {
	port := echo(t, "220 ready\r\n")
	at := fmt.Sprintf("good.test:%d", port)
	p := start(t, egress.Config{Allow: []string{at}, AllowPrivate: []string{good}}, &names{known: map[string][]string{"good.test": {good}}})
	conn, r, status := p.tunnel(at)
	if !strings.HasPrefix(status, "HTTP/1.1 200 ") {
		t.Fatal(status)
	}
	if greeting, err := r.ReadString('\n'); greeting != "220 ready\r\n" {
		t.Fatal(greeting, err)
	}
	const size = 1 << 20
	go func() {
		conn.Write(bytes.Repeat([]byte("x"), size))
		conn.(*net.TCPConn).CloseWrite()
	}()
	back, err := io.ReadAll(r) // the echo goes on after the client's end
	if err != nil || len(back) != size {
		t.Errorf("%d bytes came back of %d: %v", len(back), size, err)
	}
	l := p.ear.Wait(t, sidecars.EventTunnelEnd)
	if l.Sent != size || l.Received != size+11 || l.Reason != "" {
		t.Errorf("%+v", l)
	}
}

func TestUpstreamThatIsNotThere(t *testing.T) {
	l, err := net.Listen("tcp", good+":0")
	if err != nil {
		t.Fatal(err)
	}
	at := fmt.Sprintf("good.test:%d", l.Addr().(*net.TCPAddr).Port)
	l.Close()
	w := &world{proxy: start(t, egress.Config{Allow: []string{at}, AllowPrivate: []string{good}}, &names{known: map[string][]string{"good.test": {good}}})}
	for _, raw := range []string{"CONNECT " + at + " HTTP/1.1\r\nHost: " + at + "\r\n\r\n", "GET http://" + at + "/ HTTP/1.1\r\nHost: " + at + "\r\n\r\n"} {
		back := w.send(t, raw)
		if !strings.HasPrefix(back, "HTTP/1.1 502 ") || !strings.Contains(back, "refused") || strings.Contains(back, "egress-block") {
			t.Errorf("answer %q", back)
		}
	}
	w.ear.Wait(t, sidecars.EventError, func(l sidecars.Line) bool { return l.Host == "good.test" })
}

func TestClientThatGoesAwayEndsItsUpstream(t *testing.T) {
	port := echo(t, "")
	at := fmt.Sprintf("good.test:%d", port)
	p := start(t, egress.Config{Allow: []string{at}, AllowPrivate: []string{good}}, &names{known: map[string][]string{"good.test": {good}}})
	conn, _, _ := p.tunnel(at)
	conn.(*net.TCPConn).SetLinger(0) // a reset, as of a killed process
	conn.Close()
	p.ear.Wait(t, sidecars.EventTunnelEnd)
}

// hungry resolves nothing until it is let go.
type hungry struct{ asked, free chan struct{} }

func (h hungry) LookupNetIP(ctx context.Context, _, _ string) (a []netip.Addr, err error) {
	close(h.asked)
	select {
	case <-h.free:
	case <-ctx.Done():
	}
	return nil, ctx.Err()
}

func TestStopsSoonWithOpenTunnelsAndSlowResolver(t *testing.T) {
	port := echo(t, "")
	at := fmt.Sprintf("%s:%d", good, port)
	h := hungry{make(chan struct{}), make(chan struct{})}
	defer close(h.free)
	p := start(t, egress.Config{Allow: []string{at, "slow.test"}, AllowPrivate: []string{good}}, h)
	for range 20 {
		p.tunnel(at)
	}
	c := p.dial()
	io.WriteString(c, "CONNECT slow.test:443 HTTP/1.1\r\nHost: slow.test:443\r\n\r\n")
	<-h.asked
	began := time.Now()
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > heard.Patience/2 { // the promise is 0.3 s; tests share their cores
		t.Errorf("it took %v", took)
	}
}
