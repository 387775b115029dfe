package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tailscale/hujson"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/sidecars/credproxy"
)

// maxRewritten bounds how many entries of an old form are rewritten in an error.
const maxRewritten = 8

// oldForm is what to say of a key that profiles of the predecessor had: the same in today's form, made from
// its values where they can be read. "" when the key is none of these.
func oldForm(name string, v hujson.Value) string {
	switch name {
	case "tokens":
		return rewriteTokens(v)
	case "ssh":
		return rewriteSSH(v)
	}
	return ""
}

// kindRoutes are the routes that the predecessor made of a token's kind.
var kindRoutes = map[string]Route{
	"anthropic": {Path: "/anthropic/", Upstream: "https://api.anthropic.com", AuthScheme: credproxy.SchemeAnthropicOAuth, Role: Roles{bottles.RoleBaseURL}},
	"github":    {Path: "/github/", Upstream: "https://api.github.com", AuthScheme: credproxy.SchemeBearer},
	"npm":       {Path: "/npm/", Upstream: "https://YOUR-REGISTRY", AuthScheme: credproxy.SchemeBearer, Role: Roles{bottles.RoleNPM}},
	"gitea":     {Path: "/gitea/", Upstream: "https://YOUR-GITEA", AuthScheme: credproxy.SchemeToken, Role: Roles{bottles.RoleInsteadOf, bottles.RoleTea}},
}

func rewriteTokens(v hujson.Value) string {
	var routes []Route
	for i, entry := range oldEntries(v) {
		kind := strings.ToLower(entry["kind"])
		route, ok := kindRoutes[kind]
		if !ok {
			route = Route{Path: fmt.Sprintf("/service-%d/", i+1), Upstream: "https://YOUR-HOST", AuthScheme: credproxy.SchemeBearer}
			if kind != "" && segmentForm.MatchString(kind) {
				route.Path = "/" + kind + "/"
			}
		}
		for _, key := range []string{"upstream", "url", "host"} {
			if host := entry[key]; host != "" {
				if !strings.Contains(host, "://") {
					host = "https://" + host
				}
				route.Upstream = host
				break
			}
		}
		if route.TokenRef = entry["tokenref"]; checkRef(route.TokenRef) != "" {
			route.TokenRef = "YOUR_TOKEN"
		}
		routes = append(routes, route)
	}
	if routes == nil {
		routes = []Route{kindRoutes["anthropic"]}
		routes[0].TokenRef = "YOUR_TOKEN"
	}
	return "tokens is the old form; write instead: " + snippet("cred_proxy", map[string]any{"routes": routes})
}

func rewriteSSH(v hujson.Value) string {
	var remotes []Remote
	for i, entry := range oldEntries(v) {
		host := firstOf(entry["hostname"], entry["host"], "YOUR-HOST")
		if port := entry["port"]; port != "" && port != "22" {
			host += ":" + port
		}
		name := firstOf(entry["name"], entry["host"])
		if checkRemote(name) != "" {
			name = fmt.Sprintf("remote-%d", i+1)
		}
		remotes = append(remotes, Remote{Name: name, Upstream: "ssh://" + firstOf(entry["user"], "git") + "@" + host + "/OWNER/NAME.git",
			IdentityFile: firstOf(entry["identityfile"], entry["key"], "~/.ssh/YOUR-KEY"),
			KnownHost:    firstOf(entry["knownhostkey"], entry["knownhost"], "ssh-ed25519 AAAA…")})
	}
	if remotes == nil {
		remotes = []Remote{{Name: "YOUR-NAME", Upstream: "ssh://git@YOUR-HOST/OWNER/NAME.git", IdentityFile: "~/.ssh/YOUR-KEY", KnownHost: "ssh-ed25519 AAAA…"}}
	}
	return "ssh is the old form; write instead: " + snippet("git", remotes)
}

// oldEntries are the objects of a list, with their keys in lower case and without underscores; texts and
// numbers alone.
func oldEntries(v hujson.Value) []map[string]string {
	array, ok := v.Value.(*hujson.Array)
	if !ok {
		return nil
	}
	var all []map[string]string
	for _, e := range array.Elements[:min(len(array.Elements), maxRewritten)] {
		obj, ok := e.Value.(*hujson.Object)
		if !ok {
			continue
		}
		entry := map[string]string{}
		for _, m := range obj.Members {
			if text, ok := m.Value.Value.(hujson.Literal); ok && (text.Kind() == '"' || text.Kind() == '0') {
				entry[plainWord(m.Name.Value.(hujson.Literal).String())] = text.String()
			}
		}
		all = append(all, entry)
	}
	return all
}

func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// snippet is a member of an object as JSON on one line.
func snippet(key string, value any) string {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return quoted(key)
	}
	return quoted(key) + ": " + queue.Visible(strings.TrimSpace(out.String()))
}
