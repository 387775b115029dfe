package credproxy_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/credproxy"
	"bottle-tui/sidecars/internal/heard"
)

// silent fails when a secret stands in what was said.
func (p *proxy) silent(secrets ...string) {
	p.t.Helper()
	for _, l := range p.ear.Lines() {
		for _, s := range secrets {
			if strings.Contains(fmt.Sprintf("%+v", l), s) {
				p.t.Errorf("%q was said: %+v", s, l)
			}
		}
	}
}

func TestTokensComeLate(t *testing.T) {
	up := &recorder{}
	at := freePort(t)
	p := launch(t, config(
		credproxy.Route{Path: "/a/", Upstream: plain(t, up.ServeHTTP).URL, AuthScheme: credproxy.SchemeBearer, Token: "FIRST"},
		credproxy.Route{Path: "/b/", Upstream: "https://b.example.com", AuthScheme: credproxy.SchemeBearer, Token: "cmd:0123456789ab"},
	), func(o *credproxy.Options) { o.Listen = at })
	p.give(map[string]string{"FIRST": "value-of-the-first", "UNUSED": "x"})
	if p.ear.Count(sidecars.EventReady) > 0 {
		t.Fatal("ready without the second token")
	}
	p.addr = at // it answers already, to say what it waits for
	p.raw("GET /a/ HTTP/1.1\r\nHost: x\r\n\r\n").own(t, http.StatusServiceUnavailable, "have not come")
	p.give(map[string]string{"cmd:0123456789ab": "value-of-the-second"})
	p.ready()
	get(t, p.url+"/a/")
	if got := up.take(); len(got) != 1 || got[0].Header.Get("Authorization") != "Bearer value-of-the-first" {
		t.Fatal(got)
	}
	// A token that comes again replaces the first.
	p.give(map[string]string{"FIRST": "another-value"})
	get(t, p.url+"/a/")
	if got := up.take(); got[0].Header.Get("Authorization") != "Bearer another-value" {
		t.Error(got[0].Header)
	}
	// The end of the tokens' way is no end of serving.
	p.tokens.Close()
	if f := get(t, p.url+"/a/"); f.status != http.StatusOK {
		t.Error(f)
	}
	if n := p.ear.Count(sidecars.EventReady); n != 1 {
		t.Errorf("ready was said %d times", n)
	}
	p.silent("value")
}

func TestTokensRefused(t *testing.T) {
	p := start(t, config())
	long := strings.Repeat("x", 16<<10+1)
	for i, c := range []struct{ line, want string }{
		{`{"id":"ID","tokens":{"T":"SECRET\u0000"}}`, "control character"},
		{`{"id":"ID","tokens":{"T":"SECRET\r\nX-Evil: 1"}}`, "control character"},
		{`{"id":"ID","tokens":{"T":"SECRET\u007f"}}`, "control character"},
		{`{"id":"ID","tokens":{"T":"SECRET\n"}}`, "white space"},
		{`{"id":"ID","tokens":{"T":" SECRET"}}`, "white space"},
		{`{"id":"ID","tokens":{"T":""}}`, "empty"},
		{`{"id":"ID","tokens":{"T":"` + long + `"}}`, "longer than"},
		{`{"id":"ID","tokens":{"GOOD":"fine","T":"SECRET\t\u0001SECRET"}}`, "control character"},
		{`{"id":"ID","tokens":{"SECRET value":"x"}}`, "name"},
		{`{"id":"ID","tokens":{"file:/etc/SECRET":"x"}}`, "name"},
		{`{"id":"","tokens":{"T":"SECRET"}}`, "no id"},
		{`{"id":"a b","tokens":{"T":"SECRET"}}`, "no id"},
		{`{"tokens":{"T":"SECRET"}}`, "no id"},
		{`{"id":"ID","tokens":{"T":SECRET}}`, "JSON"},
		{`{"id":"ID","tokens":{"T":"SECRET"}} SECRET`, "JSON"},
		{`{"id":"ID","tokens":"SECRET"}`, "JSON"},
		{`{"id":"ID","SECRET":{}}`, "JSON"},
		{`SECRET`, "JSON"},
		{`["SECRET"]`, "JSON"},
		{`{"id":"ID","tokens":{"T":"` + strings.Repeat("SECRET", 200_000) + `"}}`, "line is longer"},
	} {
		id := fmt.Sprintf("refused-%d", i)
		before := p.ear.Count(sidecars.EventError)
		p.write(strings.ReplaceAll(strings.ReplaceAll(c.line, "SECRET", "s3cr3t"), `"ID"`, `"`+id+`"`) + "\n")
		l := p.ear.Wait(t, sidecars.EventError, func(sidecars.Line) bool { return p.ear.Count(sidecars.EventError) > before })
		all := p.ear.Lines()
		l = all[len(all)-1]
		if !strings.Contains(l.Reason, c.want) || l.ID != "" && l.ID != id {
			t.Errorf("%.60s: %+v", c.line, l)
		}
	}
	// Nothing of a refused line was taken.
	if err := os.WriteFile(p.configFile, encode(t, config(credproxy.Route{Path: "/a/", Upstream: "https://a.example.com", AuthScheme: "bearer", Token: "GOOD"})), 0o600); err != nil {
		t.Fatal(err)
	}
	l := p.ear.Wait(t, sidecars.EventConfigError)
	if !strings.Contains(l.Reason, "the token GOOD") {
		t.Error(l)
	}
	p.write("\n\n") // is nothing
	p.give(map[string]string{"T": "fine"})
	p.silent("s3cr3t")
}

func encode(t *testing.T, c credproxy.Config) []byte {
	t.Helper()
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTooManyTokens(t *testing.T) {
	p := start(t, config())
	many := map[string]string{}
	for i := range 255 {
		many[fmt.Sprintf("T%d", i)] = "x"
	}
	p.give(many)
	p.write(`{"id":"more","tokens":{"ONE_MORE":"x"}}` + "\n")
	p.ear.Wait(t, sidecars.EventError, func(l sidecars.Line) bool { return l.ID == "more" && strings.Contains(l.Reason, "more than") })
}

// What is wrong with a configuration, in the words that an operator reads.
func TestCheck(t *testing.T) {
	for path, want := range map[string]string{
		"": "missing", "/": "names nothing", "//": "names nothing", "api": `write "/api/"`, "/api": `write "/api/"`, "api/": `write "/api/"`, "//api/": `write "/api/"`,
		"/a//b/": "empty segment", "/a/../b/": `".."`, "/./": `"."`, "/a b/": "only letters", "/a%20b/": "only letters", "/ä/": "only letters", "/" + strings.Repeat("x", 300) + "/": "longer",
		"/api/": "", "/a/b.c/d_e-F9/": "",
	} {
		check(t, path, credproxy.CheckPath(path), want)
	}
	for upstream, want := range map[string]string{
		"": "missing", "api.example.com": `write "https://"`, "ftp://x.example.com": `write "https://"`, "HTTPS://x.example.com": `write "https://"`, "http://api.example.com": `write "https://"`,
		"http://10.0.0.1": "unprotected", "https://": "names no host", "https://u:s3cr3t@x.example.com": "has a user", "https://x.example.com?token=s3cr3t": "query", "https://x.example.com/#s3cr3t": "fragment",
		"https://*.example.com": "wildcard", "https://127.1": "plain IP", "https://0x7f.1": "plain IP", "https://x.example.com:0": "port", "https://x.example.com:99999": "port",
		"https://x..example.com": "host", "https://x.example.com/a/../b": "base path", "https://x.example.com/a//b": "base path", "https://x.example.com/a%2fb": "base path", "https://x.example.com//": "base path",
		"https://x y.example.com": "host", "https://[::1": "host", `https://x.example.com\evil`: "host",
		"https://x.example.com": "", "https://X.example.com:8443/base/v1/": "", "http://127.0.0.1:3000": "", "http://localhost": "", "http://[::1]:80/x": "", "https://10.1.2.3": "", "https://bücher.example": "",
	} {
		check(t, upstream, credproxy.CheckUpstream(upstream), want)
	}
	for name, want := range map[string]string{"": "name", "A-B": "name", "1A": "name", "file:/etc/s3cr3t": "name", "cmd:0123": "name", "GITEA_TOKEN": "", "_x9": "", "file:0123456789ab": "", "cmd:ffffffffffff": ""} {
		check(t, name, credproxy.CheckToken(name), want)
	}
	good := route("/a/", "https://a.example.com")
	other := good
	other.AuthScheme = "Bearer"
	for want, c := range map[string]credproxy.Config{
		"identity":      {Identity: "X"},
		"auth_scheme":   config(other),
		"another route": config(good, good),
		"certificate":   {Identity: identity, CA: "-----BEGIN NOTHING-----"},
		"more than":     config(make([]credproxy.Route, 257)...),
		"":              config(good, route("/a/b/", "https://b.example.com")),
	} {
		check(t, want, c.Check(), want)
	}
}

func check(t *testing.T, what string, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr3t")) {
		t.Errorf("%q: %v, not %q", what, err, want)
	}
}

func TestRun(t *testing.T) {
	for _, bad := range [][]string{{"-config", filepath.Join(t.TempDir(), "none.json"), "-listen", "127.0.0.1:0"}, {"-nonsense"}, {"word"}} {
		if err := credproxy.Run(t.Context(), bad, heard.New()); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
