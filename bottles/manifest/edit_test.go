package manifest_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/bottles/manifest"
)

var granted = bottles.Route{Path: "/npm/", Upstream: "https://npm.example.com", AuthScheme: "bearer", TokenRef: "NPM_TOKEN", Roles: []string{"npm-registry"}}

const grantedText = `{"path": "/npm/", "upstream": "https://npm.example.com", "auth_scheme": "bearer", "token_ref": "NPM_TOKEN", "role": "npm-registry"}`

// edits are texts before and after a change of the profile dev.
var edits = []struct {
	name          string
	change        bottles.Change
	before, after string
}{
	{"a host on a line of its own", bottles.Change{Allow: []string{"new.example.com"}},
		`{
	"bottles": {
		"dev": {
			"egress": {
				"allow": [ // what it may reach
					"a.example.com", // the first
					"b.example.com"  // the second
					// and no more
				]
			}
		}
	}
}
`,
		`{
	"bottles": {
		"dev": {
			"egress": {
				"allow": [ // what it may reach
					"a.example.com", // the first
					"b.example.com",  // the second
					// and no more
					"new.example.com"
				]
			}
		}
	}
}
`},
	{"behind a comma", bottles.Change{Allow: []string{"new.example.com", "*.new.example.com:8443"}},
		`{"bottles": {"dev": {"egress": {"allow": [
    "a.example.com",
    "b.example.com", // the second
]}}}}`,
		`{"bottles": {"dev": {"egress": {"allow": [
    "a.example.com",
    "b.example.com", // the second
    "new.example.com",
    "*.new.example.com:8443",
]}}}}`},
	{"on one line", bottles.Change{Allow: []string{"new.example.com"}},
		`{"bottles": {"dev": {"egress": {"allow": [ "a.example.com" ] } } } } // end`,
		`{"bottles": {"dev": {"egress": {"allow": [ "a.example.com", "new.example.com" ] } } } } // end`},
	{"into an empty list", bottles.Change{Allow: []string{"new.example.com"}},
		`{"bottles": {"dev": {"egress": {"allow": []}}}}`,
		`{"bottles": {"dev": {"egress": {"allow": ["new.example.com"]}}}}`},
	{"into an empty profile", bottles.Change{Allow: []string{"new.example.com"}, Routes: []bottles.Route{granted}},
		`{"bottles": {"dev": {}}}`,
		`{"bottles": {"dev": {"egress": {"allow": ["new.example.com"]}, "cred_proxy": {"routes": [` + grantedText + `]}}}}`},
	{"into a profile with other keys", bottles.Change{Allow: []string{"new.example.com"}, Routes: []bottles.Route{granted}},
		`{
  "bottles": {
    "other": {},
    "dev": {
      "supervise": true
    }, // dev
    "third": {}
  }
}
`,
		`{
  "bottles": {
    "other": {},
    "dev": {
      "supervise": true,
      "egress": {"allow": ["new.example.com"]},
      "cred_proxy": {"routes": [` + grantedText + `]}
    }, // dev
    "third": {}
  }
}
`},
	{"with the line ends of another system", bottles.Change{Allow: []string{"new.example.com"}, Disallow: []string{"a.example.com"}},
		"{\"bottles\": {\"dev\": {\"egress\": {\"allow\": [\r\n  \"a.example.com\", // one\r\n  \"b.example.com\" // two\r\n]}}}}\r\n",
		"{\"bottles\": {\"dev\": {\"egress\": {\"allow\": [\r\n  \"b.example.com\", // two\r\n  \"new.example.com\"\r\n]}}}}\r\n"},
	{"what is there already", bottles.Change{Allow: []string{"A.example.com."}},
		`{"bottles": {"dev": {"egress": {"allow": ["a.example.com"]}}}}`,
		`{"bottles": {"dev": {"egress": {"allow": ["a.example.com"]}}}}`},
	{"take the first", bottles.Change{Disallow: []string{"a.example.com"}},
		`{"bottles": {"dev": {"egress": {"allow": ["a.example.com", "b.example.com"]}}}}`,
		`{"bottles": {"dev": {"egress": {"allow": ["b.example.com"]}}}}`},
	{"take the last", bottles.Change{Disallow: []string{"b.example.com"}},
		`{"bottles": {"dev": {"egress": {"allow": ["a.example.com", "b.example.com"]}}}}`,
		`{"bottles": {"dev": {"egress": {"allow": ["a.example.com"]}}}}`},
	{"take all", bottles.Change{Disallow: []string{"b.example.com", "a.example.com"}},
		`{"bottles": {"dev": {"egress": {"allow": [ "a.example.com", "b.example.com" ]}}}}`,
		`{"bottles": {"dev": {"egress": {"allow": []}}}}`},
	{"take one with its comments", bottles.Change{Disallow: []string{"b.example.com", "d.example.com"}},
		`{"bottles": {"dev": {"egress": {"allow": [
  // all of these are ours

  "a.example.com", // one
  // why two
  "b.example.com", // two
  // the others

  "c.example.com",
  /* four */ "d.example.com", // four
]}}}}`,
		`{"bottles": {"dev": {"egress": {"allow": [
  // all of these are ours

  "a.example.com", // one
  // the others

  "c.example.com",
]}}}}`},
	{"take a host that is not there", bottles.Change{Disallow: []string{"x.example.com"}, Unroute: []string{"/x/"}},
		`{"bottles": {"dev": {}}}`,
		`{"bottles": {"dev": {}}}`},
	{"a route beside others", bottles.Change{Routes: []bottles.Route{granted}},
		`{"bottles": {"dev": {"cred_proxy": {
  "routes": [
    // the model
    {
      "path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API"
    }
  ],
  "ca_file": "ca.pem"
}}}}`,
		`{"bottles": {"dev": {"cred_proxy": {
  "routes": [
    // the model
    {
      "path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "API"
    },
    ` + grantedText + `
  ],
  "ca_file": "ca.pem"
}}}}`},
	{"another upstream and token of a route", bottles.Change{Routes: []bottles.Route{granted}},
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {
    "path": "/npm/", // as it is
    "role": ["npm-registry"], // as it is
    "upstream": /* old */ "https://old.example.com", // changed
    "auth_scheme": "bearer",
    "token_ref": "OLD",
  },
]}}}}`,
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {
    "path": "/npm/", // as it is
    "role": ["npm-registry"], // as it is
    "upstream": /* old */ "https://npm.example.com", // changed
    "auth_scheme": "bearer",
    "token_ref": "NPM_TOKEN",
  },
]}}}}`},
	{"other roles of a route", bottles.Change{Routes: []bottles.Route{
		{Path: "/a/", Upstream: "https://a.example.com", AuthScheme: "bearer", TokenRef: "A"},
		{Path: "/b/", Upstream: "https://b.example.com", AuthScheme: "bearer", TokenRef: "B", Roles: []string{"git-insteadof", "tea-login"}}}},
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/a/", "role": "tea-login", "upstream": "https://a.example.com", "auth_scheme": "bearer", "token_ref": "A"},
  {"path": "/b/", "upstream": "https://b.example.com", "auth_scheme": "bearer", "token_ref": "B"},
]}}}}`,
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/a/", "upstream": "https://a.example.com", "auth_scheme": "bearer", "token_ref": "A"},
  {"path": "/b/", "upstream": "https://b.example.com", "auth_scheme": "bearer", "token_ref": "B", "role": ["git-insteadof", "tea-login"]},
]}}}}`},
	{"take a route", bottles.Change{Unroute: []string{"/a/"}},
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/a/", "upstream": "https://a.example.com", "auth_scheme": "bearer", "token_ref": "A"},
  {"path": "/b/", "upstream": "https://b.example.com", "auth_scheme": "bearer", "token_ref": "B"}
]}}}}`,
		`{"bottles": {"dev": {"cred_proxy": {"routes": [
  {"path": "/b/", "upstream": "https://b.example.com", "auth_scheme": "bearer", "token_ref": "B"}
]}}}}`},
}

// TestEdit: nothing but the change changes, byte for byte.
func TestEdit(t *testing.T) {
	for _, e := range edits {
		t.Run(e.name, func(t *testing.T) {
			got, err := manifest.Edit("/m.json", []byte(e.before), "dev", e.change)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != e.after {
				t.Errorf("got\n%s\nwant\n%s", got, e.after)
			}
			again, err := manifest.Edit("/m.json", got, "dev", e.change)
			if err != nil || string(again) != string(got) {
				t.Errorf("the same change once more: %v\n%s", err, again)
			}
		})
	}
}

func TestEditRefuses(t *testing.T) {
	for _, c := range []struct {
		name, text string
		change     bottles.Change
		want       string
		faults     bool
	}{
		{"a manifest with faults", `{"bottles": {"dev": {"x": 1}}}`, bottles.Change{Allow: []string{"a.example.com"}},
			"the manifest has faults; mend them first:\n/m.json:1:22: ", true},
		{"a profile that is gone", `{"bottles": {"prod": {}}}`, bottles.Change{}, `/m.json has no profile "dev" any more`, false},
		{"a route within another", `{"bottles": {"dev": {"cred_proxy": {"routes": [{"path": "/npm/x/", "upstream": "https://a.example.com", "auth_scheme": "bearer", "token_ref": "A"}]}}}}`,
			bottles.Change{Routes: []bottles.Route{granted}}, "the change would bring faults into the manifest:\n/m.json:1:158: bottles.dev.cred_proxy.routes[1].path: the path \"/npm/\" overlaps", true},
		{"a variable that would hold the token", `{"bottles": {"dev": {"env": {"NPM_TOKEN": "x"}}}}`,
			bottles.Change{Routes: []bottles.Route{granted}}, "the change would bring faults into the manifest:\n/m.json:1:30: ", true},
		{"a host that is none", `{"bottles": {"dev": {}}}`, bottles.Change{Allow: []string{"https://a.example.com"}}, "allowlist entry ", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := manifest.Edit("/m.json", []byte(c.text), "dev", c.change)
			var all manifest.Errors
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || errors.As(err, &all) != c.faults {
				t.Errorf("got %v", err)
			}
		})
	}
}

// FuzzEdit: whatever a manifest looks like, a change makes a manifest of it that differs in that profile alone, and
// taking the change back gives the same profile again.
func FuzzEdit(f *testing.F) {
	for _, e := range edits {
		f.Add([]byte(e.before))
	}
	f.Add([]byte(strings.Replace(homeText, `"web": {`, `"dev": {`, 1)))
	f.Setenv("HOME", "/home/me")
	change := bottles.Change{Allow: []string{"fresh.example.net"}, Routes: []bottles.Route{granted}}
	back := bottles.Change{Disallow: change.Allow, Unroute: []string{granted.Path}}
	f.Fuzz(func(t *testing.T, text []byte) {
		before, err := manifest.Parse("/m.json", text)
		if err != nil {
			return
		}
		there, err := manifest.Edit("/m.json", text, "dev", change)
		if err != nil {
			return // the change does not fit in there
		}
		after, err := manifest.Parse("/m.json", there)
		if err != nil {
			t.Fatalf("%v\n%s", err, there)
		}
		dev, _ := after.Profile("dev")
		if n := len(dev.CredProxy.Routes); n == 0 || !contains(dev.Egress.Allow, "fresh.example.net") {
			t.Fatalf("the change is not in\n%s", there)
		}
		if one, two := without(before), without(after); !reflect.DeepEqual(one, two) {
			t.Fatalf("something else changed:\n%s\n%s", one, two)
		}
		again, err := manifest.Edit("/m.json", there, "dev", back)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := manifest.Parse("/m.json", again); err != nil || without(m) != without(before) {
			t.Fatalf("taken back: %v\n%s", err, again)
		}
	})
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// without is a manifest as text, without what the change of FuzzEdit is about.
func without(m *manifest.Manifest) string {
	f := file(m)
	for i := range f.Bottles {
		if p := &f.Bottles[i].Value; p.Name == "dev" {
			var allow []string
			for _, h := range p.Egress.Allow {
				if !strings.HasPrefix(strings.ToLower(h), "fresh.example.net") {
					allow = append(allow, h)
				}
			}
			var routes []manifest.Route
			for _, r := range p.CredProxy.Routes {
				if r.Path != granted.Path {
					routes = append(routes, r)
				}
			}
			p.Egress.Allow, p.CredProxy.Routes = allow, routes
		}
	}
	text, err := json.Marshal(f)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
