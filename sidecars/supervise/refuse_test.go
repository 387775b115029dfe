package supervise_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"bottle-tui/queue"
	"bottle-tui/sidecars/supervise"
)

// changedRoute is a list of the routes in force and one more, changed by change.
func changedRoute(change func(r object)) toolArgs {
	r := object{"path": "/npm/", "upstream": "https://npm.example.com", "auth_scheme": "bearer", "token_ref": "NPM_TOKEN"}
	change(r)
	var all []any
	if err := json.Unmarshal([]byte(routes), &all); err != nil {
		panic(err)
	}
	return routesArgs(append(all, r))
}

func field(name string, value any) toolArgs {
	return changedRoute(func(r object) {
		if delete(r, name); value != nil {
			r[name] = value
		}
	})
}

func TestRefusalsOfAllowlists(t *testing.T) {
	b := newBottle(t)
	s := b.connect()
	var many strings.Builder
	for i := range 501 {
		fmt.Fprintf(&many, "h%d.example.com\n", i)
	}
	for _, c := range []struct {
		name string
		args any
		says []string
	}{
		{"nothing at all", toolArgs{queue.ToolEgress, object{}}, []string{"no justification"}},
		{"no justification", toolArgs{queue.ToolEgress, object{"allowlist": wantedRules}}, []string{"no justification", "what you tried"}},
		{"no allowlist", toolArgs{queue.ToolEgress, object{"justification": "why"}}, []string{"The allowlist is empty", "current-config/allowlist"}},
		{"blank", rulesArgs(" \n\n"), []string{"The allowlist is empty"}},
		{"comments alone", rulesArgs("# example.com\n  # and more"), []string{"The allowlist is empty"}},
		{"an empty list", rulesArgs([]string{}), []string{"The allowlist is empty"}},
		{"another type", rulesArgs(7), []string{"allowlist as text with one rule a line"}},
		{"a list of others", rulesArgs([]any{"example.com", 7}), []string{"allowlist as text with one rule a line"}},
		{"the justification's type", toolArgs{queue.ToolEgress, object{"justification": 1, "allowlist": "a"}}, []string{"Give justification as a string"}},
		{"a scheme", rulesArgs(allowlist + "\nhttps://x.example.com/\n"), []string{"line 4", `"https://x.example.com/"`, "write the host alone", "Correct these"}},
		{"several", rulesArgs("*\nexample.com\nuser@x\n1.2.3\n"), []string{"line 1", "line 3", "line 4"}},
		{"many wrong", rulesArgs(strings.Repeat("a b\n", 50)), []string{"line 10:", "and 40 more"}},
		{"in a list", rulesArgs([]string{"example.com", "exa mple.com"}), []string{"line 2"}},
		{"a wildcard inside", rulesArgs("a.*.example.com"), []string{"line 1", "a wildcard stands only in front"}},
		{"a port that is none", rulesArgs("example.com:https"), []string{"line 1", "port"}},
		{"two on a line", rulesArgs("a.example.com, b.example.com"), []string{"line 1", "A rule is a host"}},
		{"a comment without a space", rulesArgs("example.com#x"), []string{"line 1"}},
		{"an escape sequence", rulesArgs("example.com\n\x1b[2Jx.example.com"), []string{"line 2", `\x1b`}},
		{"a hidden character", rulesArgs("exa\u202emple.com"), []string{"line 1", `\u202e`}},
		{"a long line", rulesArgs(strings.Repeat("a", 5000)), []string{"line 1 has 5000 bytes"}},
		{"too many", rulesArgs(many.String()), []string{"501 rules", "at most 500"}},
		{"too large", rulesArgs(strings.Repeat("# filler\n", 30000) + wantedRules), []string{"at most 256 KiB"}},
		{"what is in force", rulesArgs(allowlist), []string{"in force already", "current-config/allowlist"}},
		{"what is in force, in another form", rulesArgs("*.Example.org # all\n\napi.example.com.\napi.example.com"), []string{"in force already"}},
		{"stale", rulesArgs(wantedRules, queue.Hash([]byte(wantedRules))), []string{"The allowlist has changed", "Read /etc/claude-bottle/current-config/allowlist again"}},
		{"a hash that is none", rulesArgs(wantedRules, "latest"), []string{"again"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := call(t.Context(), s, "toolu_1", c.args)
			for _, want := range c.says {
				if o.err != nil || !o.isError || !strings.Contains(o.text, want) {
					t.Errorf("error %v, isError %v, text:\n%s\nwant %q", o.err, o.isError, o.text, want)
				}
			}
			if len(o.text) > 4<<10 {
				t.Errorf("the text has %d bytes", len(o.text))
			}
		})
	}
	if r := b.requests(); len(r) != 0 {
		t.Errorf("requests were made: %v", r)
	}
}

func TestRefusalsOfRoutes(t *testing.T) {
	b := newBottle(t)
	s := b.connect()
	many := make([]object, 257)
	for i := range many {
		many[i] = object{"path": fmt.Sprintf("/%d/", i)}
	}
	for _, c := range []struct {
		name string
		args any
		says []string
	}{
		{"no justification", toolArgs{queue.ToolCredProxy, object{"routes": wantedRoutes}}, []string{"no justification"}},
		{"no routes", toolArgs{queue.ToolCredProxy, object{"justification": "why"}}, []string{"no routes in it"}},
		{"an empty list", routesArgs([]any{}), []string{"no routes in it", "current-config/routes.json"}},
		{"an empty text", routesArgs(" "), []string{"no routes in it"}},
		{"an object", routesArgs(object{"routes": []any{}}), []string{"not a JSON array of objects"}},
		{"not JSON", routesArgs("[{]"), []string{"not a JSON array of objects", "invalid character"}},
		{"more after it", routesArgs("[] []"), []string{"not a JSON array of objects"}},
		{"not objects", routesArgs([]any{"/npm/"}), []string{"route 1", "not an object with path, upstream, auth_scheme, token_ref and role"}},
		{"too many", routesArgs(many), []string{"257 routes", "at most 256"}},
		{"too large", routesArgs(wantedRoutes + strings.Repeat(" ", 256<<10)), []string{"at most 256 KiB"}},

		{"an unknown field", changedRoute(func(r object) { r["tokenref"] = "X" }), []string{`route 3 ("/npm/")`, `no field "tokenref" (did you mean "token_ref"?)`}},
		{"a field in capitals", changedRoute(func(r object) { r["Path"] = "/x/" }), []string{`no field "Path" (did you mean "path"?)`}},
		{"a field like none", changedRoute(func(r object) { r["headers"] = "X" }), []string{`no field "headers"; a route has path`}},
		{"no path", field("path", nil), []string{"route 3: path is missing"}},
		{"a path of another type", field("path", 7), []string{"path is not a string"}},
		{"a path without its slashes", field("path", "npm"), []string{`path "npm" must begin and end with one slash: write "/npm/"`}},
		{"a path without its end", field("path", "/npm"), []string{`write "/npm/"`}},
		{"the root", field("path", "/"), []string{"names nothing"}},
		{"a path with an empty segment", field("path", "/a//b/"), []string{"empty segment"}},
		{"a path that climbs", field("path", "/a/../b/"), []string{`must not hold ".."`}},
		{"an encoded path", field("path", "/a%2fb/"), []string{"may hold only letters"}},
		{"a path twice", field("path", "/forge/"), []string{"overlaps with that of route 2"}},
		{"a nested path", field("path", "/forge/npm/"), []string{`route 3 ("/forge/npm/")`, `overlaps with that of route 2 ("/forge/")`}},

		{"no upstream", field("upstream", nil), []string{"upstream is missing"}},
		{"an upstream without scheme", field("upstream", "npm.example.com"), []string{"has no scheme"}},
		{"an unencrypted upstream", field("upstream", "http://npm.example.com"), []string{"unprotected"}},
		{"a name that looks like loopback", field("upstream", "http://localhost.example.com"), []string{"unprotected"}},
		{"an upstream with a user", field("upstream", "https://me:secret@npm.example.com"), []string{"a user in front of the host"}},
		{"an upstream with a query", field("upstream", "https://npm.example.com/?token=x"), []string{"a query or a fragment"}},
		{"an upstream with a fragment", field("upstream", "https://npm.example.com/#x"), []string{"a query or a fragment"}},
		{"an upstream for many", field("upstream", "https://*.example.com"), []string{"leads to one host"}},
		{"an upstream that climbs", field("upstream", "https://npm.example.com/a/../b"), []string{"dot segment"}},
		{"an upstream with an odd number", field("upstream", "https://127.1"), []string{"no host that can be reached"}},
		{"another protocol", field("upstream", "ssh://npm.example.com"), []string{`write "https://"`}},
		{"an upstream with a bad port", field("upstream", "https://npm.example.com:99999"), []string{"no host that can be reached"}},

		{"no scheme", field("auth_scheme", nil), []string{"auth_scheme is missing: one of bearer, token, basic, x-api-key and anthropic-oauth"}},
		{"an unknown scheme", field("auth_scheme", "Bearer"), []string{`there is no "Bearer" (did you mean "bearer"?)`}},
		{"a scheme like none", field("auth_scheme", "digest"), []string{`there is no "digest"; write one of bearer`}},

		{"an unknown role", field("role", "npm-regsitry"), []string{`there is no "npm-regsitry" (did you mean "npm-registry"?)`}},
		{"a role of another type", field("role", 7), []string{"role is neither a string nor a list"}},
		{"a singleton twice", field("role", []string{"anthropic-base-url"}), []string{"the role anthropic-base-url is on route 1 already"}},

		{"no token", field("token_ref", nil), []string{"token_ref is missing"}},
		{"a token that is no name", field("token_ref", "my token"), []string{"it is not a name"}},
		{"a file of the operator", field("token_ref", "file:~/.npmrc"), []string{"it is not a name"}},
		{"a command", field("token_ref", "cmd:cat /etc/passwd"), []string{"it is not a name"}},
		{"a file not in force", field("token_ref", "file:ffffffffffff"), []string{"not one of those in force", "describe in the justification"}},

		{"all at once", routesArgs([]object{{"path": "x", "upstream": "y", "auth_scheme": "z", "token_ref": "?"}}), []string{`path "x"`, `upstream "y"`, "auth_scheme:", "token_ref:", "Correct these"}},
		{"what is in force", routesArgs(routes), []string{"in force already", "http://cred-proxy:8080"}},
		{"what is in force, as JSON", routesArgs(json.RawMessage(routes)), []string{"in force already"}},
		{"stale", routesArgs(wantedRoutes, queue.Hash([]byte("[]\n"))), []string{"The list of routes has changed", "Read /etc/claude-bottle/current-config/routes.json again"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := call(t.Context(), s, "toolu_1", c.args)
			for _, want := range c.says {
				if o.err != nil || !o.isError || !strings.Contains(o.text, want) {
					t.Errorf("error %v, isError %v, text:\n%s\nwant %q", o.err, o.isError, o.text, want)
				}
			}
			if strings.Contains(o.text, "secret") || len(o.text) > 4<<10 {
				t.Errorf("the text:\n%.4096s", o.text)
			}
		})
	}
	if r := b.requests(); len(r) != 0 {
		t.Errorf("requests were made: %v", r)
	}
}

func TestACredentialInPlaceOfItsNameIsRefusedAndNotRepeated(t *testing.T) {
	for _, secret := range []string{
		"sk-ant-oat01-abcdef", "sk_live_0123", "ghp_abcdefgh", "gho_abcdefgh", "ghu_a", "ghs_a", "ghr_a", "github_pat_11AAAA", "glpat-abc",
		"npm_" + strings.Repeat("aB3d", 9), "hf_" + strings.Repeat("aB3d", 9), "xoxb-123", "AKIAABCDEFGHIJKLMNOP", "AIza" + strings.Repeat("aB3d", 9),
		"eyJhbGciOiJIUzI1NiJ9.e30.x", "Bearer abc", "pypi-abc", "deadbeef" + strings.Repeat("0a", 16), strings.Repeat("A", 65),
		"Zq8vT2mLx0Rk4WcN7yBd1HsJ5uPfE9gA", "-----BEGIN RSA PRIVATE KEY-----",
	} {
		raw, err := json.Marshal(field("token_ref", secret).args.(object)["routes"])
		if err != nil {
			t.Fatal(err)
		}
		_, err = supervise.ReadRoutes(raw, routes)
		if err == nil || !strings.Contains(err.Error(), "The token_ref of route 3 looks like a credential itself") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", secret, err)
		}
		// Who gave it that name may go on using it.
		if _, err := supervise.NormalRoutes(string(raw)); err == nil {
			if _, err = supervise.ReadRoutes(raw, string(raw)); err != nil {
				t.Errorf("%s, in force: %v", secret, err)
			}
		}
	}
	for _, name := range []string{"NPM_TOKEN", "npm_token", "FORGE_API_TOKEN_2", "_x", "MyCompanyToken2", "CLAUDE_CODE_OAUTH_TOKEN", "AWS_ACCESS_KEY_ID_PRODUCTION_EU", "file:0123456789ab", "beefbeef"} {
		raw, err := json.Marshal(field("token_ref", name).args.(object)["routes"])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := supervise.ReadRoutes(raw, routes); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The file in force may be written in the operator's own way: what the agent leaves as it is stays as it is.
func TestWhatIsInForceKeepsItsWords(t *testing.T) {
	const rules = "API.Example.com  # ours\n\nb\u00fccher.example\n"
	got, err := supervise.ReadAllowlist([]byte(`["new.example.com","xn--bcher-kva.example","api.example.com"]`), rules)
	if want := "API.Example.com\nb\u00fccher.example\nnew.example.com\n"; err != nil || got != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	route := func(upstream, role string) string {
		return `{"path":"/a/","upstream":"` + upstream + `","auth_scheme":"basic","token_ref":"A","role":` + role + `}`
	}
	for _, c := range []struct {
		inForce, asked string
		same           bool
	}{
		{"https://Example.COM", "https://example.com/", true},
		{"https://example.com:443/v1/", "https://example.com/v1", true},
		{"http://[::1]:80", "http://[0::1]", true},
		{"https://b\u00fccher.example", "https://xn--bcher-kva.example", true},
		{"https://example.com/v1", "https://example.com/V1", false},
		{"https://example.com", "https://example.com:444", false},
		{"https://localhost", "http://localhost", false},
	} {
		inForce := "[" + route(c.inForce, `["tea-login","git-insteadof"]`) + "]"
		got, err := supervise.ReadRoutes([]byte("["+route(c.asked, `["git-insteadof","tea-login"]`)+"]"), inForce)
		if err != nil {
			t.Fatal(err)
		}
		if kept := strings.Contains(got, `"`+c.inForce+`"`); kept != c.same {
			t.Errorf("%s for %s: %s", c.asked, c.inForce, got)
		}
	}
}

func FuzzAllowlistArgument(f *testing.F) {
	for _, s := range []string{`"a.example.com\n*.b.example"`, `["a.example.com","# x",""]`, `"api.example.com # x\r\n\n"`, `null`, `7`, `["\n\n*"]`, `"[2001:db8::1]:443\n2001:db8::1\n1.2.3"`} {
		f.Add([]byte(s), allowlist)
	}
	f.Fuzz(func(t *testing.T, raw []byte, inForce string) {
		if _, err := supervise.NormalAllowlist(inForce); err != nil {
			inForce = allowlist
		}
		got, err := supervise.ReadAllowlist(raw, inForce)
		if err != nil {
			return
		}
		normal, err := supervise.NormalAllowlist(got)
		if again, aerr := supervise.NormalAllowlist(normal); err != nil || aerr != nil || again != normal {
			t.Errorf("%q is %q, which is %q, %v, and %q, %v", raw, got, normal, err, again, aerr)
		}
		if strings.Count(got, "\n") != strings.Count(normal, "\n") || !strings.HasSuffix(got, "\n") {
			t.Errorf("%q is %q", raw, got)
		}
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := supervise.ReadAllowlist(again, inForce); err != nil || same != got {
			t.Errorf("%q again is %q, %v", got, same, err)
		}
	})
}

func FuzzRoutesArgument(f *testing.F) {
	quoted, err := json.Marshal(wantedRoutes)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{routes, wantedRoutes, string(quoted), `[]`, `null`, `[null]`, `[{}]`, `"[{\"path\":\"/a/\"}]"`, `[{"role":["",""]}]`} {
		f.Add([]byte(s), routes)
	}
	f.Fuzz(func(t *testing.T, raw []byte, inForce string) {
		if normal, err := supervise.NormalRoutes(inForce); err != nil {
			inForce = routes
		} else {
			inForce = normal
		}
		got, err := supervise.ReadRoutes(raw, inForce)
		if err != nil {
			return
		}
		normal, err := supervise.NormalRoutes(got)
		if err != nil || normal != got {
			t.Errorf("%q is %q, which is %q, %v", raw, got, normal, err)
		}
		if same, err := supervise.ReadRoutes([]byte(got), inForce); err != nil || same != got {
			t.Errorf("%q again is %q, %v", got, same, err)
		}
	})
}
