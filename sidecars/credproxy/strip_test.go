package credproxy_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"bottle-tui/sidecars/credproxy"
)

// Whatever by its name is a credential of the agent's, or makes it pass for another, is gone; what is not stays.
func TestAgentsHeadersAreStripped(t *testing.T) {
	up := &recorder{}
	p := start(t, config(route("/api/", plain(t, up.ServeHTTP).URL)))
	const mine = "agents-own-value"
	bad := []string{
		"Authorization", "authorization", "AUTHORIZATION", "Proxy-Authorization", "Proxy-Anything", "x-api-key", "X_Api_Key", "Api-Key",
		"Cookie", "Cookie2", "Set-Cookie", "Private-Token", "PRIVATE_TOKEN", "Job-Token", "Deploy-Token", "X-Gitlab-Token", "X-Auth-Token", "X-Access-Token", "X-Goog-Api-Key",
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X_Forwarded_For", "Forwarded", "X-Real-Ip", "Via",
		"X-JFrog-Art-Api", "X-Vault-Token", "Dd-Api-Key", "Dd-Application-Key", "Circle-Token", "X-Figma-Token", "X-Authorization", "Authentication",
		"X-Api-Token", "X-Auth-Key", "X-Auth-Email", "X-Github-Token", "X-Gitlab-Job-Token", "X-Shopify-Access-Token", "Ocp-Apim-Subscription-Key", "X-Nuget-Apikey",
		"X-Anthropic-Api-Key", "X_Anthropic_Api_Key", "X-Functions-Key", "X-Registry-Auth", "Cf-Access-Client-Secret", "Token", "X-AuthToken",
		"X-Webauth-User", "Remote-User", "Remote_User", "X-Remote-User", "X-Remote-Groups", "X-Ssl-Client-S-Dn", "Client-Cert", "Sudo",
		"X-Http-Method-Override", "X-Http-Method", "X-Method-Override",
		"X-Original-Url", "X-Rewrite-Url", "X-Original-Host", "X-Host", "Keep-Alive", "Te", "Proxy-Connection",
	}
	good := []string{"X-Csrf-Token", "X-XSRF-Token", "Lock-Token", "X-Ms-Continuationtoken", "Idempotency-Key", "Npm-Otp", "Npm-Auth-Type", "X-Tokens-Used", "Secret-Level", "Authority", "X-Sudoku"}
	request := "GET /api/x HTTP/1.1\r\nHost: evil.example\r\nConnection: X-Named, Authorization, X-Kept-Not\r\nX-Named: " + mine + "\r\nAccept: text/x\r\nX-Other: kept\r\n"
	for _, name := range bad {
		request += name + ": " + mine + "\r\n"
	}
	for _, name := range good {
		request += name + ": kept\r\n"
	}
	if f := p.raw(request + "\r\n"); f.status != http.StatusOK {
		t.Fatal(f)
	}
	got := up.take()[0]
	for name, values := range got.Header {
		if strings.Contains(strings.Join(values, " "), mine) {
			t.Errorf("%s: %q", name, values)
		}
	}
	for _, name := range good {
		if got.Header.Get(name) != "kept" {
			t.Errorf("%s is gone", name)
		}
	}
	if got.Header.Get("Authorization") != "Bearer "+secret || got.Header.Get("Accept") != "text/x" || got.Header.Get("X-Other") != "kept" || strings.Contains(got.Host, "evil") {
		t.Errorf("%s %v", got.Host, got.Header)
	}
	if _, ok := got.Header["User-Agent"]; ok {
		t.Errorf("the proxy made a User-Agent: %v", got.Header)
	}
}

func TestSchemes(t *testing.T) {
	up := &recorder{}
	url := plain(t, up.ServeHTTP).URL
	c := config()
	for _, s := range credproxy.Schemes() {
		c.Routes = append(c.Routes, credproxy.Route{Path: "/" + s + "/", Upstream: url, AuthScheme: s, Token: tokenVar})
	}
	c.Routes = append(c.Routes, credproxy.Route{Path: "/pair/", Upstream: url, AuthScheme: credproxy.SchemeBasic, Token: "file:0123456789ab"})
	p := launch(t, c)
	p.give(map[string]string{tokenVar: secret, "file:0123456789ab": "me:pass:wörd"})
	p.ready()
	b64 := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	const never = "access_token=a&api_key=b&private_token=c&oauth_token=d&API-Key=e&apikey&job.token=f&access%5Ftoken[]=g&auth_token=h&client_secret=i&subscription-key=j&sudo=k"
	const both = never + "&token=b&key=c&page_token=d&tokens=e&kept=f"
	for _, c := range []struct{ path, authorization, key, beta, query string }{
		{"/bearer/", "Bearer " + secret, "", "a-1", "key=c&page_token=d&tokens=e&kept=f"},
		{"/token/", "token " + secret, "", "a-1", "key=c&page_token=d&tokens=e&kept=f"},
		{"/basic/", b64("x-access-token:" + secret), "", "a-1", "key=c&page_token=d&tokens=e&kept=f"},
		{"/pair/", b64("me:pass:wörd"), "", "a-1", "key=c&page_token=d&tokens=e&kept=f"},
		{"/x-api-key/", "", secret, "a-1", "token=b&page_token=d&tokens=e&kept=f"},
		{"/anthropic-oauth/", "Bearer " + secret, "", "a-1,oauth-2025-04-20", "token=b&key=c&page_token=d&tokens=e&kept=f"},
	} {
		f := p.raw("GET " + c.path + "x?" + both + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer placeholder\r\nX-Api-Key: placeholder\r\nAnthropic-Beta: a-1\r\n\r\n")
		got := up.take()
		if len(got) != 1 {
			t.Errorf("%s: %+v", c.path, f)
			continue
		}
		h := got[0].Header
		if h.Get("Authorization") != c.authorization || h.Get("X-Api-Key") != c.key || h.Get("Anthropic-Beta") != c.beta || got[0].URL.RawQuery != c.query || len(h["Authorization"]) > 1 {
			t.Errorf("%s: %v %s", c.path, h, got[0].URL.RawQuery)
		}
	}
	for have, want := range map[string]string{
		"": "oauth-2025-04-20",
		"Anthropic-Beta: x\r\nAnthropic-Beta: y\r\n":                 "x,y,oauth-2025-04-20",
		"Anthropic-Beta: x, oauth-2025-04-20 ,y\r\n":                 "x, oauth-2025-04-20 ,y",
		"Anthropic-Beta: x\r\nConnection: anthropic-beta, close\r\n": "oauth-2025-04-20",
	} {
		p.raw("GET /anthropic-oauth/ HTTP/1.1\r\nHost: x\r\n" + have + "\r\n")
		if got := up.take(); len(got) != 1 || strings.Join(got[0].Header.Values("Anthropic-Beta"), "|") != want {
			t.Errorf("%q: %v", have, got[0].Header)
		}
	}
}

func TestUpstreamsHeadersAreStripped(t *testing.T) {
	up := plain(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Trailer", "X-End, Set-Cookie")
		for _, name := range []string{"Set-Cookie", "Alt-Svc", "Strict-Transport-Security", credproxy.ErrorHeader, "Proxy-Authenticate"} {
			h.Set(name, "x=1")
		}
		h.Set("X-Kept", "yes")
		h.Set("Www-Authenticate", "Basic")
		w.WriteHeader(http.StatusUnauthorized)
		w.Write([]byte("no"))
		h.Set("X-End", "end")
		h.Set("Set-Cookie", "late=1")
	})
	p := start(t, config(route("/api/", up.URL)))
	res, err := agent(t).Get(p.url + "/api/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	buf := make([]byte, 100)
	for err == nil {
		_, err = res.Body.Read(buf)
	}
	for _, name := range []string{"Set-Cookie", "Alt-Svc", "Strict-Transport-Security", credproxy.ErrorHeader, "Proxy-Authenticate"} {
		if res.Header.Get(name) != "" || res.Trailer.Get(name) != "" {
			t.Errorf("%s passed", name)
		}
	}
	if res.StatusCode != 401 || res.Header.Get("X-Kept") != "yes" || res.Header.Get("Www-Authenticate") != "Basic" || res.Trailer.Get("X-End") != "end" {
		t.Errorf("%v %v", res.Header, res.Trailer)
	}
}

// A redirect is the agent's to follow. One that stays on the upstream leads back over the route; none holds the
// token.
func TestRedirects(t *testing.T) {
	other := &recorder{}
	elsewhere := plain(t, other.ServeHTTP).URL
	up := plain(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Location"] = []string{strings.ReplaceAll(r.Header.Get("X-To"), "SELF", "http://"+r.Host)}
		w.WriteHeader(http.StatusFound)
	})
	self := up.URL
	p := start(t, config(route("/api/", self+"/base")))
	for _, c := range []struct{ to, want string }{
		{"SELF/base/x?a=b#c", "/api/x?a=b#c"},
		{"SELF/base", "/api"},
		{"SELF/base/", "/api/"},
		{"/base/x", "/api/x"},
		{"y", "/api/dir/y"},
		{"../y", "/api/y"},
		{"?q=1", "/api/dir/asked?q=1"},
		{"SELF/base/a%2Fb", "/api/a%2Fb"},
		{"SELF/other", self + "/other"},
		{"/other?x=1", self + "/other?x=1"},
		{"SELF/base/../other", "SELF/base/../other"},
		{"SELF/basement", self + "/basement"},
		{elsewhere + "/base/x", elsewhere + "/base/x"},
		{elsewhere + "/x?sig=a%2fb&X=%7e", elsewhere + "/x?sig=a%2fb&X=%7e"},
		{"//evil.example/x", "http://evil.example/x"},
		{"https://user:pass@evil.example/x", "https://evil.example/x"},
		{"https://evil.example/x?t=" + secret + "&b=1", "https://evil.example/x?b=1"},
		{"https://evil.example/x?t=" + strings.ReplaceAll(secret, "-", "%2d"), "https://evil.example/x"},
		{"https://evil.example/" + secret, ""},
		{"https://evil.example/x#" + secret, ""},
		{"https://" + secret + "@evil.example/", "https://evil.example/"},
		{"SELF/base/x?access_token=" + secret, "/api/x"},
		{"mailto:x@example.com", "mailto:x@example.com"},
		{"ht tp://%zz", "ht tp://%zz"},
	} {
		f := p.raw("GET /api/dir/asked HTTP/1.1\r\nHost: x\r\nX-To: " + c.to + "\r\n\r\n")
		want := strings.ReplaceAll(c.want, "SELF", self)
		if got := f.header.Get("Location"); f.status != http.StatusFound || got != want {
			t.Errorf("%s: %d %q, not %q", c.to, f.status, got, want)
		}
	}
	if got := other.take(); len(got) > 0 {
		t.Errorf("a redirect was followed: %v", uris(got))
	}
}

// Links to other pages lead over the route, too, whole as clients take them; none holds the token.
func TestLinks(t *testing.T) {
	up := plain(t, func(w http.ResponseWriter, r *http.Request) {
		for _, line := range strings.Split(r.Header.Get("X-Links"), "|") {
			w.Header().Add("Link", strings.ReplaceAll(line, "SELF", "http://"+r.Host))
		}
	})
	p := start(t, config(route("/api/", up.URL+"/base")))
	for _, c := range []struct{ links, want string }{
		{`<SELF/base/x?page=2>; rel="next", <SELF/base/x?page=9&b=%2F>; rel="last"`, `<http://proxy:8080/api/x?page=2>; rel="next", <http://proxy:8080/api/x?page=9&b=%2F>; rel="last"`},
		{`<SELF/base/x?a=1,2;3>;rel=next;title="a, <b> \", c",<SELF/base>`, `<http://proxy:8080/api/x?a=1,2;3>;rel=next;title="a, <b> \", c", <http://proxy:8080/api>`},
		{`<?page=2>; rel=next|, ,<SELF/base/y>`, `<http://proxy:8080/api/asked?page=2>; rel=next|<http://proxy:8080/api/y>`},
		{`<SELF/other?page=2>; rel=next, <https://example.com/x>; rel=help, </other/s.css>; rel=preload`, `<SELF/other?page=2>; rel=next, <https://example.com/x>; rel=help, <SELF/other/s.css>; rel=preload`},
		{`<SELF/base/x?access_token=` + secret + `&page=2>; rel=next, <https://example.com/` + secret + `>, <SELF/base/z>; title="` + secret + `"`, `<http://proxy:8080/api/x?page=2>; rel=next`},
		{`no link|<SELF/base/x>; rel=next, and no other`, `<http://proxy:8080/api/x>; rel=next`},
	} {
		f := p.raw("GET /api/asked HTTP/1.1\r\nHost: proxy:8080\r\nX-Links: " + c.links + "\r\n\r\n")
		want := strings.ReplaceAll(c.want, "SELF", up.URL)
		if got := strings.Join(f.header.Values("Link"), "|"); got != want {
			t.Errorf("%s:\n%s, not\n%s", c.links, got, want)
		}
	}
}

// Of the hints before an answer only links pass, and lead over the route.
func TestHints(t *testing.T) {
	up := plain(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.Header().Set("Set-Cookie", "a=b")
		w.WriteHeader(http.StatusEarlyHints)
	})
	p := start(t, config(route("/api/", up.URL)))
	var hints []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
		hints = append(hints, fmt.Sprint(status, h))
		return nil
	}})
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/api/page", nil)
	do(t, agent(t), r)
	if want := "103 map[Link:[<" + p.url + "/api/style.css>; rel=preload]]"; len(hints) != 1 || hints[0] != want {
		t.Errorf("%q, not %q", hints, want)
	}
}
