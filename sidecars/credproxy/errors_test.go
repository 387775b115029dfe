package credproxy_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/credproxy"
	"bottle-tui/sidecars/internal/heard"
)

func loopback(o *credproxy.Options) { o.AllowLoopback = true }

// at is the address of s under another name.
func at(s *httptest.Server, name string) string {
	return fmt.Sprintf("https://%s:%d", name, s.Listener.Addr().(*net.TCPAddr).Port)
}

func TestUpstreamThatFails(t *testing.T) {
	dead := "http://" + freePort(t)
	slow := plain(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	strange, _ := secure(t, false, (&recorder{}).ServeHTTP)
	noTLS := plain(t, (&recorder{}).ServeHTTP)
	garbage, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { garbage.Close() })
	go func() {
		for {
			c, err := garbage.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 4096))
			io.WriteString(c, "SSH-2.0-x\r\n\r\n")
			c.Close()
		}
	}()
	p := start(t, config(
		route("/dead/", dead), route("/unknown/", strange.URL), route("/name/", at(strange, "name.test")),
		route("/notls/", strings.Replace(noTLS.URL, "http:", "https:", 1)), route("/garbage/", "http://"+garbage.Addr().String()), route("/nowhere/", "https://nowhere.test"),
	), loopback, func(o *credproxy.Options) { o.Resolver = names{"name.test": {"127.0.0.1"}} })
	for path, want := range map[string]string{
		"/dead/": "refused", "/unknown/": "cred_proxy.ca_file", "/name/": "certificate", "/notls/": "TLS", "/garbage/": "malformed", "/nowhere/": "no such host",
	} {
		get(t, p.url+path+"x?q=hidden-in-the-query").own(t, http.StatusBadGateway, want)
		p.ear.Wait(t, sidecars.EventError, func(l sidecars.Line) bool { return l.Route == path && l.Status == http.StatusBadGateway })
	}
	p.silent(secret, "hidden")
	p = start(t, config(route("/slow/", slow.URL)), func(o *credproxy.Options) { o.AnswerTimeout = 50 * time.Millisecond })
	get(t, p.url+"/slow/x?q=hidden-in-the-query").own(t, http.StatusGatewayTimeout, "in time")
	p.silent(secret, "hidden")
}

// An upstream's own errors pass as they are, and a bad token is told to the operator.
func TestUpstreamsAnswersPass(t *testing.T) {
	up := plain(t, func(w http.ResponseWriter, r *http.Request) {
		status := 0
		fmt.Sscan(strings.TrimPrefix(r.URL.Path, "/"), &status)
		w.WriteHeader(status)
		io.WriteString(w, "upstream's own")
	})
	p := start(t, config(route("/up/", up.URL)))
	for _, status := range []int{200, 400, 401, 403, 404, 429, 500, 502, 503, 504} {
		f := get(t, fmt.Sprintf("%s/up/%d?hidden=hidden", p.url, status))
		if f.status != status || f.body != "upstream's own" || f.header.Get(credproxy.ErrorHeader) != "" {
			t.Errorf("%d: %+v", status, f)
		}
		is := func(l sidecars.Line) bool { return l.Status == status && l.Route == "/up/" && l.Host == "127.0.0.1" }
		p.ear.Wait(t, sidecars.EventAllow, is)
		if status == 401 || status == 403 {
			p.ear.Wait(t, sidecars.EventDenied, is)
		}
	}
	if n := p.ear.Count(sidecars.EventDenied); n != 2 {
		t.Errorf("%d lines of denied", n)
	}
	p.silent(secret, "hidden")
}

// A flood of the same makes few lines, and the next says how many were left out.
func TestFloodIsTold(t *testing.T) {
	p := start(t, config())
	c := agent(t)
	for range 300 {
		do(t, c, must(http.NewRequest(http.MethodGet, p.url+"/none", nil)))
	}
	if n := p.ear.Count(sidecars.EventRefuse); n == 0 || n > 30 {
		t.Errorf("%d lines for 300 refusals", n)
	}
	for late := time.Now().Add(heard.Patience); ; {
		do(t, c, must(http.NewRequest(http.MethodGet, p.url+"/none", nil)))
		lines := p.ear.Lines()
		if last := lines[len(lines)-1]; last.Suppressed > 200 {
			break
		}
		if time.Now().After(late) {
			t.Fatal("nothing says how many lines were left out")
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Where a name may not lead: to what listens beside cred-proxy, and to metadata services.
func TestNotDialled(t *testing.T) {
	trap := &recorder{}
	s, ca := secure(t, false, trap.ServeHTTP)
	own := ownAddress(t)
	c := config(
		route("/loop/", at(s, "loop.test")), route("/loop6/", at(s, "loop6.test")), route("/own/", at(s, "own.test")), route("/meta/", "https://meta.test"),
		route("/any/", at(s, "any.test")), route("/multi/", "https://multi.test"), route("/mapped/", at(s, "mapped.test")), route("/declared/", s.URL),
	)
	c.CA = ca
	p := start(t, c, func(o *credproxy.Options) {
		o.Resolver = names{
			"loop.test": {"127.0.0.1"}, "loop6.test": {"::1"}, "own.test": {own}, "meta.test": {"169.254.169.254"}, "any.test": {"0.0.0.0"},
			"multi.test": {"224.0.0.1"}, "mapped.test": {"::ffff:127.0.0.1"},
		}
	})
	for _, path := range []string{"/loop/", "/loop6/", "/own/", "/meta/", "/any/", "/multi/", "/mapped/"} {
		get(t, p.url+path).own(t, http.StatusBadGateway, "leads to")
	}
	if got := trap.take(); len(got) > 0 {
		t.Errorf("%v", uris(got))
	}
	if f := get(t, p.url+"/declared/"); f.status != http.StatusOK {
		t.Errorf("an upstream on loopback by its address: %+v", f)
	}
}

func ownAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && ip.IP.To4() != nil {
			return ip.IP.String()
		}
	}
	return "127.0.0.2"
}

// The proxies that the environment names are not used; and an authority that was not given is not trusted.
func TestCA(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	s, ca := secure(t, true, (&recorder{}).ServeHTTP)
	with := config(route("/up/", at(s, "example.com"))) // the name in httptest's certificate
	without := with
	with.CA = ca
	p := start(t, with, loopback, func(o *credproxy.Options) { o.Resolver = names{"example.com": {"127.0.0.1"}} })
	if f := get(t, p.url+"/up/"); f.status != http.StatusOK {
		t.Fatal(f)
	}
	p.reload(without)
	get(t, p.url+"/up/").own(t, http.StatusBadGateway, "ca_file")
	p.reload(with)
	if f := get(t, p.url+"/up/"); f.status != http.StatusOK {
		t.Fatal(f)
	}
}

func TestTooManyConnections(t *testing.T) {
	p := start(t, config())
	var held []net.Conn
	for range 256 {
		c := p.dial()
		held = append(held, c)
	}
	// Each is in before the next comes: the kernel's queue keeps their order.
	c := p.dial()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(res.Body)
	fetched{res.StatusCode, res.Header, string(b)}.own(t, http.StatusServiceUnavailable, "too many")
	for _, c := range held {
		c.Close()
	}
	late := time.Now().Add(heard.Patience)
	for {
		f := p.raw("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if f.status == http.StatusNotFound {
			break
		}
		if time.Now().After(late) {
			t.Fatal("the places of closed connections stay taken")
		}
	}
}

// What is no request ends without harm; a head that is too large, too.
func TestMalformedRequests(t *testing.T) {
	up := &recorder{}
	p := start(t, config(route("/up/", plain(t, up.ServeHTTP).URL)))
	for _, raw := range []string{
		"\x16\x03\x01\x02\x00\x01", "GET\r\n\r\n", "GET /up/ HTTP/9.9\r\n\r\n", "GET /up/ HTTP/1.1\r\n\r\n", "GET /up/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"GET /up/ HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 128<<10) + "\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /up/ HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n",
		"POST /up/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", "POST /up/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"GET /up/ HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
	} {
		f := p.raw(raw + "\r\n\r\n")
		if f.status == http.StatusOK {
			t.Errorf("%.60q: %d", raw, f.status)
		}
		if got := up.take(); len(got) > 0 {
			t.Errorf("%.60q reached the upstream: %v", raw, uris(got))
		}
	}
	// A body that is not what it says: the upstream may see its beginning, the agent sees why.
	p.raw("POST /up/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
	up.take()
	// Two ways to say a length are one request for the upstream, whole and framed anew.
	f := p.raw("POST /up/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /up/smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
	for _, r := range up.take() {
		if r.Method == http.MethodPost && (r.ContentLength != 0 && len(r.TransferEncoding) > 0 && r.Header.Get("Content-Length") != "") {
			t.Errorf("%+v %v", r, f)
		}
	}
}

// An upstream that the agent names in any header is not reached.
func TestHostHeaderLeadsNowhere(t *testing.T) {
	up, trap := &recorder{}, &recorder{}
	evil := plain(t, trap.ServeHTTP).Listener.Addr().String()
	good := plain(t, up.ServeHTTP)
	p := start(t, config(route("/up/", good.URL)))
	p.raw("GET http://"+evil+"/up/ HTTP/1.1\r\nHost: "+evil+"\r\n\r\n").own(t, http.StatusBadRequest, "its target")
	p.raw("GET /up/ HTTP/1.1\r\nHost: " + evil + "\r\n\r\n")
	if got := up.take(); len(got) != 1 || got[0].Host != good.Listener.Addr().String() {
		t.Errorf("%+v", got)
	}
	if got := trap.take(); len(got) > 0 {
		t.Errorf("%v", uris(got))
	}
}

// TLS below 1.2 is not spoken to an upstream.
func TestOldTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(&recorder{})
	s.Config.ErrorLog = discard
	s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	s.StartTLS()
	t.Cleanup(s.Close)
	c := config(route("/up/", s.URL))
	c.CA = pemOf(s.Certificate())
	p := start(t, c)
	get(t, p.url+"/up/").own(t, http.StatusBadGateway, "")
}
