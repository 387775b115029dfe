package credproxy_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/credproxy"
)

// echoed are ways in which a server may repeat a credential that it was sent.
func echoed(token, authorization string) map[string]string {
	every := func(format string) string {
		var b strings.Builder
		for i := range len(token) {
			fmt.Fprintf(&b, format, token[i])
		}
		return b.String()
	}
	return map[string]string{
		"plain":          token,
		"header":         authorization,
		"in a sentence":  "the token " + token + " is not valid",
		"query":          "https://example.com/?t=" + url.QueryEscape(token) + "&x=1",
		"lower escapes":  strings.NewReplacer("%2F", "%2f", "%2B", "%2b", "%3D", "%3d").Replace(url.QueryEscape(token)),
		"upper":          every("%%%02X"),
		"lower":          every("%%%02x"),
		"base64":         base64.StdEncoding.EncodeToString([]byte(token)),
		"base64 in text": base64.StdEncoding.EncodeToString([]byte("x" + authorization + "y")),
		"base64 of URL":  base64.RawURLEncoding.EncodeToString([]byte("me:" + token)),
		"JSON":           `{"a":"` + strings.ReplaceAll(authorization, "/", `\/`) + `"}`,
		"HTML":           strings.ReplaceAll(token, "+", "&#43;"),
	}
}

// leaks says whether text still has a form of token, of 8 bytes and more, in it.
func leaks(text, token string) bool {
	for _, form := range echoed(token, token) {
		if strings.Contains(text, form) {
			return true
		}
	}
	return strings.Contains(text, token[:len(token)-2]) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(token))[4:12])
}

// What an upstream repeats of the credential does not reach the agent: not in a header, nor in a trailer, nor in a body
// of known length. All else is as it was, byte for byte.
func TestCredentialDoesNotComeBack(t *testing.T) {
	const slashed = "a+b/c=d-t0k3n/of+the=test"
	text := strings.Repeat("an ordinary answer, s3cr3t but no token; ", 4000)
	up, ca := secure(t, true, func(w http.ResponseWriter, r *http.Request) {
		form := echoed(r.Header.Get("X-Kind"), r.Header.Get("Authorization")+r.Header.Get("X-Api-Key"))[r.Header.Get("X-Form")]
		h := w.Header()
		h.Set("X-Kept", "s3cr3t, a+b and nothing more")
		h.Set("X-Echo", form)
		h.Add("X-Echo", "kept")
		h.Set("Www-Authenticate", `Bearer error="`+form+`"`)
		h.Set("Location", "https://example.com/"+form)
		h.Set("Trailer", "X-End")
		size, _ := strconv.Atoi(r.URL.Query().Get("at"))
		h.Set("Content-Length", strconv.Itoa(len(text)+len(form)))
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, text[:size]+form+text[size:])
		h.Set("X-End", form)
		h.Set(http.TrailerPrefix+"X-Late", form)
	})
	c := config()
	c.CA = ca
	tokens := map[string]string{}
	routes := []struct{ scheme, name, token, whole string }{
		{credproxy.SchemeBearer, tokenVar, secret, secret},
		{credproxy.SchemeToken, "SLASHED", slashed, slashed},
		{credproxy.SchemeBasic, "PAIR", slashed, "me:" + slashed},
		{credproxy.SchemeBasic, "USER", slashed, slashed + ":x-oauth-basic"},
		{credproxy.SchemeBasic, "BARE", slashed, slashed},
		{credproxy.SchemeAPIKey, "KEY", slashed, slashed},
	}
	for _, r := range routes {
		tokens[r.name] = r.whole
		c.Routes = append(c.Routes, credproxy.Route{Path: "/" + r.name + "/", Upstream: up.URL, AuthScheme: r.scheme, Token: r.name})
	}
	p := launch(t, c)
	p.give(tokens)
	p.ready()
	client := agent(t)
	for _, r := range routes {
		for form := range echoed(r.token, "") {
			at := []int{0, 1000, 128 << 10, len(text)}[len(form)%4]
			q, _ := http.NewRequest(http.MethodGet, p.url+"/"+r.name+"/?at="+strconv.Itoa(at), nil)
			q.Header.Set("X-Form", form)
			q.Header.Set("X-Kind", r.token)
			res, err := client.Do(q)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || int64(len(b)) != res.ContentLength && res.ContentLength >= 0 {
				t.Errorf("%s, %s: %d bytes of %d, %v", r.name, form, len(b), res.ContentLength, err)
			}
			all := fmt.Sprint(res.Header, res.Trailer, string(b))
			if leaks(all, r.token) {
				t.Errorf("%s, %s: it came back", r.name, form)
			}
			if !strings.HasPrefix(string(b), text[:at]) || !strings.HasSuffix(string(b), text[at:]) {
				t.Errorf("%s, %s: the rest of the body changed", r.name, form)
			}
			if res.StatusCode != http.StatusForbidden || res.Header.Get("X-Kept") != "s3cr3t, a+b and nothing more" || !strings.Contains(fmt.Sprint(res.Header["X-Echo"]), "kept") {
				t.Errorf("%s, %s: %d %v", r.name, form, res.StatusCode, res.Header)
			}
		}
	}
	l := p.ear.Wait(t, sidecars.EventError, func(l sidecars.Line) bool { return strings.Contains(l.Reason, "header") })
	if l.Route == "" || leaks(fmt.Sprint(l), secret) || leaks(fmt.Sprint(l), slashed) {
		t.Errorf("%+v", l)
	}
}
