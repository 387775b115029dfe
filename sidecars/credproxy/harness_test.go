package credproxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/credproxy"
	"bottle-tui/sidecars/internal/heard"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	identity = "tester-00000"
	secret   = "s3cr3t-t0k3n-value"
	tokenVar = "TEST_TOKEN"
)

// names is a resolver that knows what it is told.
type names map[string][]string

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	name, absolute := strings.CutSuffix(host, ".")
	if !absolute {
		return nil, fmt.Errorf("the search list would be tried for %q", host)
	}
	var out []netip.Addr
	for _, a := range n[name] {
		out = append(out, netip.MustParseAddr(a))
	}
	if out == nil {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return out, nil
}

// proxy is a cred-proxy that serves.
type proxy struct {
	t          testing.TB
	addr, url  string
	configFile string
	tokens     *io.PipeWriter
	ear        *heard.Ear
	stop       func() error
	nonce      int
}

// launch starts a cred-proxy without waiting until it is ready.
func launch(t testing.TB, c credproxy.Config, change ...func(*credproxy.Options)) *proxy {
	t.Helper()
	p := &proxy{t: t, configFile: filepath.Join(t.TempDir(), "config.json"), ear: heard.New()}
	p.configure(c)
	r, w := io.Pipe()
	p.tokens = w
	o := credproxy.Options{ConfigFile: p.configFile, Listen: "127.0.0.1:0", Tokens: r, Voice: sidecars.NewVoice(p.ear, nil)}
	for _, f := range change {
		f(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- credproxy.Serve(ctx, o) }()
	p.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(heard.Patience):
			return errors.New("cred-proxy did not end")
		}
	})
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// start starts a cred-proxy with the token secret under tokenVar, and waits until it is ready.
func start(t testing.TB, c credproxy.Config, change ...func(*credproxy.Options)) *proxy {
	t.Helper()
	p := launch(t, c, change...)
	p.give(map[string]string{tokenVar: secret})
	p.ready()
	return p
}

func (p *proxy) ready() sidecars.Line {
	p.t.Helper()
	l := p.ear.Wait(p.t, sidecars.EventReady)
	p.addr, p.url = l.Address, "http://"+l.Address
	return l
}

// give hands over tokens and waits until they were taken.
func (p *proxy) give(tokens map[string]string) {
	p.t.Helper()
	p.nonce++
	id := fmt.Sprintf("n%d", p.nonce)
	b, err := json.Marshal(map[string]any{"id": id, "tokens": tokens})
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(string(b) + "\n")
	p.ear.Wait(p.t, sidecars.EventTokens, func(l sidecars.Line) bool { return l.ID == id })
}

func (p *proxy) write(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.tokens, line); err != nil {
		p.t.Fatal(err)
	}
}

// configure writes the configuration file, and gives its hash.
func (p *proxy) configure(c credproxy.Config) string {
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
func (p *proxy) reload(c credproxy.Config) {
	p.t.Helper()
	hash := p.configure(c)
	p.ear.Wait(p.t, sidecars.EventConfig, func(l sidecars.Line) bool { return l.Config == hash })
}

// config is a configuration of these routes.
func config(routes ...credproxy.Route) credproxy.Config {
	return credproxy.Config{Identity: identity, Routes: routes}
}

// route is a bearer route from path to upstream.
func route(path, upstream string) credproxy.Route {
	return credproxy.Route{Path: path, Upstream: upstream, AuthScheme: credproxy.SchemeBearer, Token: tokenVar}
}

// agent is an HTTP client as an agent has: it follows no redirect, so that a test sees it.
func agent(t testing.TB) *http.Client {
	tr := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 32}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport: tr, Timeout: 2 * heard.Patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// fetched is an answer read whole.
type fetched struct {
	status int
	header http.Header
	body   string
}

func do(t testing.TB, c *http.Client, r *http.Request) fetched {
	t.Helper()
	res, err := c.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return fetched{res.StatusCode, res.Header, string(b)}
}

func get(t testing.TB, url string) fetched {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, agent(t), r)
}

// raw sends a request as it is and reads the whole answer to it.
func (p *proxy) raw(request string) fetched {
	p.t.Helper()
	c := p.dial()
	io.WriteString(c, request)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return fetched{body: err.Error()}
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return fetched{res.StatusCode, res.Header, string(b)}
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

// own says whether an answer is cred-proxy's, with that status and a word in it.
func (f fetched) own(t testing.TB, status int, word string) {
	t.Helper()
	var said struct{ Error, Hint string }
	err := json.Unmarshal([]byte(f.body), &said)
	if f.status != status || f.header.Get(credproxy.ErrorHeader) != credproxy.ErrorMark || err != nil || said.Hint == "" || !strings.Contains(said.Error+said.Hint, word) {
		t.Errorf("%d %v %q: not cred-proxy's own %d with %q", f.status, f.header, f.body, status, word)
	}
}

// plain is an upstream of plain HTTP on loopback.
func plain(t testing.TB, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// secure is an upstream with TLS, over HTTP/2 when h2, and its authority as PEM.
func secure(t testing.TB, h2 bool, h http.HandlerFunc) (s *httptest.Server, ca string) {
	s = httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = h2
	s.Config.ErrorLog = discard
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, pemOf(s.Certificate())
}

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// direct is a client that trusts the authority ca.
func direct(t testing.TB, ca string, h2 bool) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca))
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: h2, DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

var discard = log.New(io.Discard, "", 0)

// freePort is an address on loopback where nothing listens, for what must be known before it is said.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
