package bottles

import (
	"fmt"
	"strings"
	"testing"
)

func TestFindingsOfTheGates(t *testing.T) {
	api := Route{Path: "/api/", Upstream: "https://api.example.com", AuthScheme: "bearer", TokenRef: "API_TOKEN"}
	now := inForce{allow: "kept.example.com\n", routes: []Route{api}}
	with := func(rules string, routes ...Route) inForce { return inForce{rules, routes} }
	for name, c := range map[string]struct {
		next inForce
		want string // severity and rule of each, in order
	}{
		"a plain host":                 {with("kept.example.com\nnew.example.com\n", api), ""},
		"nothing":                      {now, ""},
		"everything under a domain":    {with("kept.example.com\n*.cdn.example.com\n", api), "note wildcard"},
		"everything under a suffix":    {with("kept.example.com\n*.com\n", api), "danger whole-suffix, warning beside-the-proxy"},
		"under a suffix for rent":      {with("kept.example.com\n*.github.io\n", api), "danger whole-suffix"},
		"the upstream past cred-proxy": {with("kept.example.com\napi.example.com\n", api), "warning beside-the-proxy"},
		"an address with a port":       {with("kept.example.com\n203.0.113.7:22\n", api), "warning address, note any-protocol"},
		"a host on port 443":           {with("kept.example.com\nnew.example.com:443\n", api), ""},
		"a host on port 80":            {with("kept.example.com\nnew.example.com:80\n", api), ""},
		"a host on another port":       {with("kept.example.com\nnew.example.com:8443\n", api), "note any-protocol"},
		"a host less":                  {with("", api), "note host-closed"},
		"pipelock; a host less":        {with("", api), "warning host-closed"},
		"pipelock; a plain host":       {with("kept.example.com\nnew.example.com\n", api), "note any-port"},
		"a route less":                 {with(now.allow), "note route-gone"},
		"the credential elsewhere": {with(now.allow, api, Route{Path: "/evil/", Upstream: "https://evil.example.net", AuthScheme: "bearer", TokenRef: "API_TOKEN"}),
			"danger credential-elsewhere"},
		"the route elsewhere": {with(now.allow, Route{Path: "/api/", Upstream: "https://evil.example.net", AuthScheme: "bearer", TokenRef: "API_TOKEN"}),
			"danger credential-elsewhere"},
		"the model elsewhere": {with(now.allow, api, Route{Path: "/m/", Upstream: "https://evil.example.net", AuthScheme: "bearer", TokenRef: "NEW", Roles: []string{RoleBaseURL}}),
			"danger model-moved"},
		"the credential to another port": {with(now.allow, api, Route{Path: "/side/", Upstream: "https://api.example.com:8443", AuthScheme: "bearer", TokenRef: "API_TOKEN"}),
			"danger credential-elsewhere"},
		"the same server, written in another way": {with(now.allow, api, Route{Path: "/v2/", Upstream: "https://API.example.com:443/v2", AuthScheme: "bearer", TokenRef: "API_TOKEN"}), ""},
		"the same upstream, another path":         {with(now.allow, api, Route{Path: "/v2/", Upstream: "https://api.example.com/v2", AuthScheme: "bearer", TokenRef: "API_TOKEN"}), ""},
	} {
		var got []string
		engine, _, pipelock := strings.Cut(name, "; ")
		if !pipelock {
			engine = engineBuiltin
		}
		for _, f := range gateFindings(now, c.next, engine) {
			got = append(got, fmt.Sprintf("%s %s", f.Severity, f.Rule))
			if f.Text == "" || !strings.HasSuffix(f.Text, ".") {
				t.Errorf("%s: %q is no sentence", name, f.Text)
			}
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}
