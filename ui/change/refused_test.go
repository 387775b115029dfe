package change_test

import (
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/sidecars"
	"bottle-tui/ui/change"
)

func refusal(what, via, why string) bottles.Passage {
	p := bottles.Passage{Gate: bottles.RoleEgress, Verdict: bottles.Refused, What: what, Via: via, Why: why}
	switch {
	case strings.HasSuffix(why, "is not on this bottle's allowlist"):
		p.Cause = sidecars.CauseUnlisted
	case strings.Contains(why, " leads to "):
		p.Cause = sidecars.CauseInward
	}
	return p
}

// The rule that would be added is as narrow as egress's notation allows, and there is none where it would not help.
func TestRule(t *testing.T) {
	const no = " is not on this bottle's allowlist"
	feed := []bottles.Passage{refusal("inside.example.com:443", "connect", "inside.example.com leads to a loopback address")}
	inward := change.Inwards(feed)
	for _, c := range []struct {
		p         bottles.Passage
		rule, why string
	}{
		{refusal("api.example.com:443", "connect", "api.example.com"+no), "api.example.com", ""},
		{refusal("api.example.com:80", "http", "api.example.com"+no), "api.example.com", ""},
		{refusal("api.example.com:8443", "connect", "port 8443 of api.example.com"+no), "api.example.com:8443", ""},
		{refusal("[2606:4700::1111]:443", "connect", "2606:4700::1111"+no), "[2606:4700::1111]", ""},
		{refusal("[2606:4700::1111]:853", "connect", "2606:4700::1111"+no), "[2606:4700::1111]:853", ""},
		{refusal("9.9.9.9:443", "connect", "9.9.9.9"+no), "9.9.9.9", ""},
		{refusal("10.0.0.7:443", "connect", "10.0.0.7"+no), "", "no public address"},
		{refusal("169.254.169.254:80", "http", "169.254.169.254"+no), "", "no public address"},
		{refusal("[::1]:443", "connect", "::1"+no), "", "no public address"},
		{refusal("cred-proxy:8080", "http", "cred-proxy"+no), "", "no public name"},
		{refusal("inside.example.com:443", "connect", "inside.example.com"+no), "", "it leads to a loopback address"},
		{feed[0], "", "it leads to a loopback address"},
		{refusal("api.example.com:53", "dns", "no names are resolved here; the proxy resolves those that it allows"), "", "looked up"},
		{refusal("api.example.com:443", "connect", "its TLS greeting names another host: x"), "", "not refused for want of a rule"},
		{refusal("*.example.com:443", "connect", "*.example.com"+no), "", "can't be written"},
		{refusal("a b:443", "connect", "a b"+no), "", "can't be written"},
		{refusal("\x1b[2J.example.com:443", "connect", "x"+no), "", "can't be written"},
		{refusal("api.example.com", "connect", "api.example.com"+no), "", "can't be written"},
		{refusal("api.example.com:99999", "connect", "api.example.com"+no), "", "can't be written"},
		{refusal("", "", "not a request that a proxy can read"), "", "not refused for want"},
		{bottles.Passage{Gate: bottles.RoleCredProxy, Verdict: bottles.Refused, What: "/x/", Why: "x" + no}, "", "cred-proxy has no allowlist"},
		{bottles.Passage{Gate: bottles.RoleEgress, Verdict: bottles.Faulty, What: "x.example.com:443", Why: "x" + no}, "", "failed further out"},
	} {
		rule, why := change.Rule(&c.p, inward)
		if rule != c.rule || (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%q by %s, %q: %q, %q; want %q, %q", c.p.What, c.p.Via, c.p.Why, rule, why, c.rule, c.why)
		}
	}
}

func TestRulebook(t *testing.T) {
	book := change.Read([]string{"api.example.com", "*.cdn.example.com:8443", "://broken", "9.9.9.9", "[2606:4700::1111]:853"})
	for what, want := range map[string]bool{
		"api.example.com:443": true, "api.example.com:80": true, "api.example.com:8443": false, "www.api.example.com:443": false,
		"a.b.cdn.example.com:8443": true, "cdn.example.com:8443": true, "a.cdn.example.com:443": false, "xcdn.example.com:8443": false,
		"9.9.9.9:443": true, "[2606:4700::1111]:853": true, "[2606:4700::1111]:443": false, "": false,
	} {
		p := refusal(what, "connect", "")
		if got := book.Has(&p); got != want {
			t.Errorf("%q: %v, want %v", what, got, want)
		}
	}
}

func TestWhyInFewWords(t *testing.T) {
	routes := []bottles.Route{{Path: "/gitea/", TokenRef: "GITEA_TOKEN"}}
	denied := func(path, why string) bottles.Passage {
		return bottles.Passage{Gate: bottles.RoleCredProxy, Verdict: bottles.Denied, What: path, Why: why}
	}
	for _, c := range []struct {
		p    bottles.Passage
		want string
	}{
		{refusal("x.example.com:443", "connect", "x.example.com is not on this bottle's allowlist"), "not on the allowlist"},
		{refusal("x.example.com:22", "connect", "port 22 of x.example.com is not on this bottle's allowlist"), "port 22 is not on the allowlist"},
		{refusal("x.example.com:443", "connect", "x.example.com leads to a private address"), "leads to a private address"},
		{refusal("x.example.com:443", "connect", ""), "refused"},
		{denied("/gitea/", "the upstream answered 401"), "the upstream answered 401: is GITEA_TOKEN good?"},
		{denied("/gitea/", "the upstream answered 403"), "the upstream answered 403: may GITEA_TOKEN do this?"},
		{denied("/gone/", "the upstream answered 401"), "the upstream answered 401"},
		{refusal("x", "connect", "\x1b[2J"), "␛[2J"},
	} {
		if got := change.Why(&c.p, routes); got != c.want {
			t.Errorf("%q: %q, want %q", c.p.Why, got, c.want)
		}
	}
}
