package credproxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle-tui/sidecars/credproxy"
	"bottle-tui/sidecars/internal/heard"
)

// recorder is an upstream that remembers what it was asked.
type recorder struct {
	mu  sync.Mutex
	got []*http.Request
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	r.got = append(r.got, q)
	r.mu.Unlock()
	io.WriteString(w, "seen")
}

// take is what came since the last time.
func (r *recorder) take() []*http.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

func twoRoutes(t testing.TB) (*proxy, *recorder, *recorder) {
	base, deep := &recorder{}, &recorder{}
	return start(t, config(
		route("/api/", plain(t, base.ServeHTTP).URL+"/base/v1"),
		route("/api/deep/", plain(t, deep.ServeHTTP).URL),
	)), base, deep
}

// Requests that go through, and how the upstream sees them.
var mapped = []struct{ target, seen string }{
	{"/api/", "/base/v1/"},
	{"/api", "/base/v1"},
	{"/api?a=b", "/base/v1?a=b"},
	{"/api/x", "/base/v1/x"},
	{"/api/x/", "/base/v1/x/"},
	{"/api/@scope%2fpack", "/base/v1/@scope%2Fpack"},
	{"/api/a%20b", "/base/v1/a%20b"},
	{"/api/%41%2d%7e", "/base/v1/A-~"},
	{"/api/caf%C3%A9", "/base/v1/caf%C3%A9"},
	{"/api/100%25", "/base/v1/100%25"},
	{"/api/a%2525b", "/base/v1/a%2525b"},
	{"/api/https%3A%2F%2Fexample.com", "/base/v1/https%3A%2F%2Fexample.com"},
	{"/api/a;b=c", "/base/v1/a;b=c"},
	{"/api/...", "/base/v1/..."},
	{"/api/..a/b..", "/base/v1/..a/b.."},
	{"/api/.well-known/x", "/base/v1/.well-known/x"},
	{"/api/a:b@c,d!$&'()*+=", "/base/v1/a:b@c,d!$&'()*+="},
	{`/api/{a}|"b"`, "/base/v1/%7Ba%7D%7C%22b%22"},
	{"/api/x?q=a%2Fb&r=..%2f&s", "/base/v1/x?q=a%2Fb&r=..%2f&s"},
	{"/api/x?access_token=1", "/base/v1/x"},
	{"/api/x?a=1&access_token=1&b=2", "/base/v1/x?a=1&b=2"},
	{"/api/x?a=1;Access%5Ftoken=1;b", "/base/v1/x?a=1;b"},
	{"/api/x?access_token[]=1&private_token=2", "/base/v1/x"},
	{"/api/x?page=1&key=2", "/base/v1/x?page=1&key=2"},
	{"/api/deeper", "/base/v1/deeper"},
	{"/api/deep%2Fx", "/base/v1/deep%2Fx"},
}

func TestMappedPaths(t *testing.T) {
	p, base, _ := twoRoutes(t)
	for _, c := range mapped {
		if f := p.raw("GET " + c.target + " HTTP/1.1\r\nHost: cred-proxy\r\n\r\n"); f.status != http.StatusOK {
			t.Errorf("%s: %d %s", c.target, f.status, f.body)
		}
		if got := base.take(); len(got) != 1 || got[0].RequestURI != c.seen {
			t.Errorf("%s: the upstream saw %v, not %s", c.target, uris(got), c.seen)
		}
	}
}

func uris(rs []*http.Request) (all []string) {
	for _, r := range rs {
		all = append(all, r.Method+" "+r.RequestURI)
	}
	return all
}

func TestLongestPathWins(t *testing.T) {
	p, base, deep := twoRoutes(t)
	for target, want := range map[string]string{"/api/deep/x": "/x", "/api/deep": "/", "/api/deep/": "/", "/api/deep/api/y": "/api/y"} {
		if f := get(t, p.url+target); f.status != http.StatusOK {
			t.Errorf("%s: %+v", target, f)
		}
		if got := deep.take(); len(got) != 1 || got[0].RequestURI != want || len(base.take()) > 0 {
			t.Errorf("%s: %v", target, uris(got))
		}
	}
}

// Requests that go nowhere. Most are ways to say ".." so that one reader sees it and another doesn't.
var hostile = []string{
	"/api/..", "/api/../", "/api/../secret", "/api/./x", "/api/.", "/api/x/../../y", "/api/x/..", "/../api/x",
	"/api/%2e%2e", "/api/%2e%2e/secret", "/api/%2E%2E/", "/api/.%2e/x", "/api/%2e./x", "/api/%2e", "/api/%2e/x",
	"/api/..%2fsecret", "/api/..%2Fsecret", "/api/x%2f..%2f..%2fsecret", "/api/%2e%2e%2fsecret", "/api/x%2F..", "/api/%2F..%2F",
	"/api/..%5csecret", "/api/..\\secret", "/api/x\\y", "/api/%5c", "/api/%5C..%5C", "/api\\..\\x",
	"/api/%252e%252e/secret", "/api/%252e%252e%252fsecret", "/api/%25252e%25252e/", "/api/..%252fsecret", "/api/%25%32%65%25%32%65/",
	"/api/%255c", "/api/..;/secret", "/api/..;a=b/secret", "/api/.;/x", "/api/%2e%2e;/x", "/api/..%3b/x", "/api/..%20/x", "/api/%20../x",
	"//api/x", "/api//x", "/api//../x", "/api///", "//evil.example/x", "/api/x//",
	"/api/%00", "/api/x%00.txt", "/api/%0d%0aHost:%20evil", "/api/%0a", "/api/%1f", "/api/%7f", "/api/%2500",
	"/api/%", "/api/%2", "/api/%zz", "/api/%u002e%u002e/", "/api/%c0%ae%c0%ae/", "/api/%ff", "/api/%ed%a0%80",
	"/api/x#y", "/api/caf\xc3\xa9", "/api/\xff", "*", "api/x", "",
	"http://cred-proxy:8080/api/../x", "http://evil.example/api/x", "https://evil.example/", "/api/%25252525252e",
}

func TestHostilePaths(t *testing.T) {
	p, base, deep := twoRoutes(t)
	for _, target := range hostile {
		f := p.raw("GET " + target + " HTTP/1.1\r\nHost: cred-proxy\r\n\r\n")
		if f.status != http.StatusBadRequest {
			t.Errorf("%q: %d %s", target, f.status, f.body)
		} else if f.header.Get(credproxy.ErrorHeader) != "" { // else net/http itself could not read it
			f.own(t, http.StatusBadRequest, "its ")
		}
		if got := append(base.take(), deep.take()...); len(got) > 0 {
			t.Errorf("%q reached an upstream as %v", target, uris(got))
		}
	}
	for _, target := range []string{"/", "/apix", "/ap", "/API/x", "/other/x", "/deep/x", "/ap%69x/"} {
		f := p.raw("GET " + target + " HTTP/1.1\r\nHost: cred-proxy\r\n\r\n")
		f.own(t, http.StatusNotFound, "/api/, /api/deep/")
	}
	for _, method := range []string{"TRACE", "CONNECT", "TRACK", "DEBUG"} {
		p.raw(method+" /api/x HTTP/1.1\r\nHost: cred-proxy\r\n\r\n").own(t, http.StatusMethodNotAllowed, "")
	}
	if got := append(base.take(), deep.take()...); len(got) > 0 {
		t.Errorf("%v", uris(got))
	}
}

// Whatever is asked, the upstream sees only paths below its base, read in every way that is known.
func FuzzPath(f *testing.F) {
	for _, h := range hostile {
		f.Add(h)
	}
	for _, m := range mapped {
		f.Add(m.target)
	}
	p, base, deep := twoRoutes(f)
	f.Fuzz(func(t *testing.T, target string) {
		if strings.ContainsAny(target, "\r\n") || len(target) > 4<<10 {
			return
		}
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(heard.Patience))
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: cred-proxy\r\nConnection: close\r\n\r\n", target)
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		for _, r := range deep.take() {
			if !strings.HasPrefix(r.RequestURI, "/") || strings.HasPrefix(r.RequestURI, "//") {
				t.Errorf("%q went to %q", target, r.RequestURI)
			}
		}
		for _, r := range base.take() {
			path, _, _ := strings.Cut(r.RequestURI, "?")
			for range 5 {
				clean := strings.ReplaceAll(path, "\\", "/")
				u := (&url.URL{Path: "/"}).ResolveReference(&url.URL{Path: clean})
				if u.Path != "/base/v1" && !strings.HasPrefix(u.Path, "/base/v1/") {
					t.Errorf("%q went to %q, which may be read as %q", target, r.RequestURI, u.Path)
				}
				if next, err := url.PathUnescape(path); err == nil {
					path = next
				}
			}
			if r.Header.Get("Authorization") != "Bearer "+secret {
				t.Errorf("%q: %v", target, r.Header)
			}
		}
	})
}
