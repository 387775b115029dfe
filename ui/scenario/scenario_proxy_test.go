package scenario_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/client"
)

// proxy stands between the program and the engine. It passes on everything as it is, hijacked connections
// too, and lets a test hold one request before the engine gets it or after the engine has answered, cut all
// connections, and play an engine that is gone or too old.
type proxy struct {
	t        testing.TB
	path     string
	upstream *httputil.ReverseProxy
	server   *http.Server
	served   sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	trap  *trap
	api   string // the version to play; "": the engine's own

	logs map[string][][]byte // lines that containers have told, as it seems, by their names
}

// moment is before or after the engine has seen to a request.
type moment int

const (
	before moment = iota
	after
)

func (m moment) String() string { return [...]string{"before", "after"}[m] }

// trap holds the first request that it is for until the program, or the proxy, is gone.
type trap struct {
	when   moment
	method string
	path   *regexp.Regexp // with the query, without the version
	sprung chan struct{}
}

// newProxy gives a proxy that does not listen yet.
func newProxy(t testing.TB) *proxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "bottle-tui-proxy-") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, path: filepath.Join(dir, "engine.sock"), conns: map[net.Conn]bool{}, logs: map[string][][]byte{}}
	network, address := engineAddress(t)
	dialer := net.Dialer{}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
		DisableKeepAlives: true,
	}
	p.upstream = &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine"
		},
		ModifyResponse: func(r *http.Response) error { return p.hold(after, r.Request) },
		// What can't be passed on is a broken connection, as it would be without the proxy.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	t.Cleanup(func() {
		p.leaves()
		transport.CloseIdleConnections()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return p
}

func engineAddress(t testing.TB) (network, address string) {
	t.Helper()
	host := os.Getenv(client.EnvOverrideHost)
	if host == "" {
		host = client.DefaultDockerHost
	}
	u, err := url.Parse(host)
	if err != nil || u.Scheme != "unix" && u.Scheme != "tcp" {
		t.Fatalf("DOCKER_HOST is %q: these tests need unix:// or tcp:// (%v)", host, err)
	}
	if u.Scheme == "unix" {
		return "unix", u.Path
	}
	return "tcp", u.Host
}

// env points a program at the proxy.
func (p *proxy) env() string { return "DOCKER_HOST=unix://" + p.path }

// comes begins to listen.
func (p *proxy) comes() {
	p.t.Helper()
	l, err := net.Listen("unix", p.path)
	if err != nil {
		p.t.Fatal(err)
	}
	p.server = &http.Server{Handler: p, ErrorLog: log.New(io.Discard, "", 0), ConnState: func(c net.Conn, s http.ConnState) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch s {
		case http.StateNew:
			p.conns[c] = true
		case http.StateClosed:
			delete(p.conns, c)
		}
	}}
	p.served.Go(func() { _ = p.server.Serve(l) }) // until leaves
}

// leaves stops to listen, and cuts every connection. What is held is not passed on.
func (p *proxy) leaves() {
	if p.server == nil {
		return
	}
	_ = p.server.Close()
	p.mu.Lock()
	for c := range p.conns { // the hijacked ones; the server has closed the others
		_ = c.Close()
	}
	clear(p.conns)
	p.mu.Unlock()
	p.served.Wait()
	p.server = nil
}

// plays makes the engine one that speaks API version api.
func (p *proxy) plays(api string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.api = api
}

// catches sets a trap for the next such request; path is a regular expression for path and query.
func (p *proxy) catches(when moment, method, path string) *trap {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trap = &trap{when: when, method: method, path: regexp.MustCompile(path), sprung: make(chan struct{})}
	return p.trap
}

// springs waits until the trap holds a request.
func (t *trap) springs(o *operator) {
	o.s.t.Helper()
	o.s.eventually(fmt.Sprintf("the program's %s %s", t.method, t.path), func() bool {
		select {
		case <-t.sprung:
			return true
		default:
			return false
		}
	})
}

var apiVersion = regexp.MustCompile(`^/v[0-9.]+`)

// hold holds a request, if a trap is set for it, until it is released or the client is gone.
func (p *proxy) hold(when moment, r *http.Request) error {
	p.mu.Lock()
	t := p.trap
	if t == nil || t.when != when || t.method != r.Method || !t.path.MatchString(apiVersion.ReplaceAllString(r.URL.RequestURI(), "")) {
		p.mu.Unlock()
		return nil
	}
	p.trap = nil
	p.mu.Unlock()
	if when == before {
		// A server hears of its client's end only once it has read the whole request.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	close(t.sprung)
	<-r.Context().Done()
	return errors.New("the program is gone")
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	api := p.api
	p.mu.Unlock()
	if api != "" {
		w.Header().Set("Api-Version", api)
		w.Header().Set("Ostype", "linux")
		if !strings.HasSuffix(r.URL.Path, "/_ping") {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"message":"client version is too new. Maximum supported API version is %s"}`, api)
		}
		return
	}
	if p.hold(before, r) != nil {
		panic(http.ErrAbortHandler)
	}
	if !p.serveLog(w, r) {
		p.upstream.ServeHTTP(w, r)
	}
}
