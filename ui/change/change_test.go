package change_test

import (
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/ui/change"
)

func said(lines []change.Line) string {
	var out []string
	for _, l := range lines {
		out = append(out, l.Sign()+" "+l.Text)
	}
	return strings.Join(out, "\n")
}

func TestAChangeInWords(t *testing.T) {
	gitea := bottles.Route{Path: "/gitea/", Upstream: "https://gitea.example.com", AuthScheme: "bearer", TokenRef: "GITEA_TOKEN", Roles: []string{"git-insteadof", "tea-login"}}
	npm := bottles.Route{Path: "/npm/", Upstream: "https://npm.example.com", AuthScheme: "token", TokenRef: "NPM"}
	moved := npm
	moved.Upstream = "https://other.example.com"
	for _, c := range []struct {
		lines []change.Line
		want  string
	}{
		{change.Hosts([]string{"a.example.com", "b.example.com"}, []string{"b.example.com", "api.example.com", "*.cdn.example.com:443"}), "+ api.example.com, *.cdn.example.com:443\n− a.example.com"},
		{change.Hosts([]string{"a"}, []string{"a"}), ""},
		{change.Ways(nil, []bottles.Route{gitea}), "+ /gitea/ → https://gitea.example.com with GITEA_TOKEN (bearer) for git-insteadof, tea-login"},
		{change.Ways([]bottles.Route{gitea, npm}, []bottles.Route{gitea, moved}), "+ /npm/ → https://other.example.com with NPM (token)\n− /npm/ → https://npm.example.com with NPM (token)"},
		{change.Granted(bottles.Change{Allow: []string{"x"}, Unroute: []string{"/npm/"}}), "+ x\n− /npm/"},
		{change.Hosts(nil, []string{"evil\u202e.example.com\x1b[2J"}), "+ evil⟨U+202E⟩.example.com␛[2J"},
	} {
		if got := said(c.lines); got != c.want {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
	}
	if got := change.Name(bottles.Change{Allow: []string{"x"}, Routes: []bottles.Route{npm}}); got != "x and 1 more" {
		t.Errorf("a grant's name is %q", got)
	}
}

func TestRoutesAreReadStrictly(t *testing.T) {
	for in, want := range map[string]string{
		"":              "",
		"[]":            "",
		"{}":            "line 1: a list of routes is needed, and this is a JSON object",
		"[\n{\"path\":": "line 2: the JSON ends too early",
		"[\n{\"path\": \"/x/\",\n \"token\": \"y\"}]": `line 3: unknown field "token"`,
		"[\n{\"path\": 7}]":                           "line 2: path can't be a JSON number",
		"[] []":                                       "something follows behind the list of routes",
		"[\n{\"path\" \"\"}]":                         "line 2: invalid character '\"' after object key",
	} {
		_, err := change.Routes([]byte(in))
		if got := ""; err != nil {
			got = err.Error()
			if got != want {
				t.Errorf("%q: %q, want %q", in, got, want)
			}
		} else if want != "" {
			t.Errorf("%q was read, want %q", in, want)
		}
	}
}
