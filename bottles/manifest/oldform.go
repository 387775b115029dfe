package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/tailscale/hujson"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/sidecars/credproxy"
)

// maxRewritten bounds how many entries of an old form are rewritten in an error.
const maxRewritten = 8

// oldForm is what to say of a key that profiles of the predecessor had: the same in today's form, made from its values
// where they can be read, and such that it is accepted beside what the profile, obj, has already. "" when the key
// is none of these.
func oldForm(name string, v hujson.Value, obj *hujson.Object) string {
	switch name {
	case "tokens":
		proxy, has := valueAt(obj, "cred_proxy")
		if inner, ok := proxy.Value.(*hujson.Object); ok {
			proxy, _ = valueAt(inner, "routes")
		}
		return "tokens is the old form; " + instructions("cred_proxy", "routes", rewriteTokens(v, entries(proxy, maxRoutes)), has)
	case "ssh":
		git, has := valueAt(obj, "git")
		return "ssh is the old form; " + instructions("git", "", rewriteSSH(v, entries(git, maxRoutes)), has)
	}
	return ""
}

// instructions say where what was rewritten belongs: into the key, or to what is there.
func instructions(key, inner string, all any, has bool) string {
	place := quoted(key)
	if inner != "" {
		place = quoted(inner) + " of " + place
	}
	switch {
	case has:
		return "add to " + place + " instead: " + strings.Trim(snippet(all), "[]")
	case inner != "":
		all = map[string]any{inner: all}
	}
	return "write instead: " + quoted(key) + ": " + snippet(all)
}

// kindRoutes are the routes that the predecessor made of a token's kind.
var kindRoutes = map[string]Route{
	"anthropic": {Path: "/anthropic/", Upstream: "https://api.anthropic.com", AuthScheme: credproxy.SchemeAnthropicOAuth, Role: Roles{bottles.RoleBaseURL}},
	"github":    {Path: "/github/", Upstream: "https://api.github.com", AuthScheme: credproxy.SchemeBearer},
	"npm":       {Path: "/npm/", Upstream: "https://YOUR-REGISTRY", AuthScheme: credproxy.SchemeBearer, Role: Roles{bottles.RoleNPM}},
	"gitea":     {Path: "/gitea/", Upstream: "https://YOUR-GITEA", AuthScheme: credproxy.SchemeToken, Role: Roles{bottles.RoleInsteadOf, bottles.RoleTea}},
}

func rewriteTokens(v hujson.Value, there []map[string]string) []Route {
	old := entries(v, maxRewritten)
	if old == nil {
		old = []map[string]string{{"kind": "anthropic"}}
	}
	var paths, taken []string // taken are roles that no second route may have, and those with an upstream
	for _, route := range there {
		paths = append(paths, route["path"])
		for _, role := range strings.Fields(route["role"]) {
			taken = append(taken, claims(role, route["upstream"])...)
		}
	}
	var routes []Route
	for _, entry := range old {
		kind := strings.ToLower(entry["kind"])
		route, ok := kindRoutes[kind]
		if !ok {
			route = Route{Path: "/" + kind + "/", Upstream: "https://YOUR-HOST", AuthScheme: credproxy.SchemeBearer}
			if checkPath(route.Path) != "" {
				route.Path = "/service/"
			}
		}
		route.Path = "/" + unique(strings.Trim(route.Path, "/"), func(name string) bool {
			path := "/" + name + "/"
			return !slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, path) || strings.HasPrefix(path, p) })
		}) + "/"
		paths = append(paths, route.Path)
		if host := firstOf(entry["upstream"], entry["url"], entry["host"]); host != "" {
			route.Upstream = firstOf(upstreamOf(host), route.Upstream)
		}
		var roles Roles
		for _, role := range route.Role {
			if claim := claims(role, route.Upstream); !slices.ContainsFunc(claim, func(c string) bool { return slices.Contains(taken, c) }) {
				roles, taken = append(roles, role), append(taken, claim...)
			}
		}
		route.Role = roles
		if route.TokenRef = entry["tokenref"]; checkRef(route.TokenRef) != "" {
			route.TokenRef = "YOUR_TOKEN"
		}
		routes = append(routes, route)
	}
	return routes
}

// claims are what a route with a role has for itself.
func claims(role, upstream string) []string {
	switch {
	case slices.Contains(singletons, role):
		return []string{role}
	case role == bottles.RoleInsteadOf:
		return []string{role + " " + strings.ToLower(strings.TrimRight(upstream, "/"))}
	}
	return nil
}

// upstreamOf is the upstream that a text of the old form means; "" when it is none. It has no credential.
func upstreamOf(s string) string {
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		u.Scheme = "https"
	}
	if checkUpstream(u.String()) != "" {
		return ""
	}
	return u.String()
}

// unique is a name with, where it is not free, a number behind it.
func unique(name string, free func(string) bool) string {
	for i := 1; ; i++ {
		one := name
		if i > 1 {
			one = fmt.Sprintf("%s-%d", name, i)
		}
		if free(one) {
			return one
		}
	}
}

// yourKey stands for a host key in a rewriting; the operator has to put the upstream's in its place.
const yourKey = "ssh-ed25519 AAAA…"

func rewriteSSH(v hujson.Value, there []map[string]string) []Remote {
	old := entries(v, maxRewritten)
	if old == nil {
		old = []map[string]string{{"name": "YOUR-NAME"}}
	}
	var names []string
	for _, remote := range there {
		names = append(names, remote["name"])
	}
	var remotes []Remote
	for _, entry := range old {
		name := firstOf(entry["name"], entry["host"])
		if checkRemote(name) != "" {
			name = "remote"
		}
		name = unique(name, func(s string) bool { return !slices.Contains(names, s) })
		names = append(names, name)
		host := firstOf(entry["hostname"], entry["host"], "YOUR-HOST")
		port := ""
		if p := entry["port"]; p != "" && p != "22" {
			port = ":" + p
		}
		remote := Remote{Name: name, IdentityFile: firstOf(entry["identityfile"], entry["key"]), KnownHost: firstOf(entry["knownhostkey"], entry["knownhost"])}
		user := firstOf(entry["user"], "git") + "@"
		for _, at := range []string{user + host + port, user + host, "git@" + host + port, "git@" + host, "git@YOUR-HOST"} {
			if remote.Upstream = "ssh://" + at + "/OWNER/NAME.git"; checkRemoteUpstream(remote.Upstream) == "" {
				break
			}
		}
		if checkFile(remote.IdentityFile) != "" {
			remote.IdentityFile = "~/.ssh/YOUR-KEY"
		}
		if checkKnownHost(remote.KnownHost) != "" {
			remote.KnownHost = yourKey
		}
		remotes = append(remotes, remote)
	}
	return remotes
}

// valueAt is the value of an object's key.
func valueAt(obj *hujson.Object, name string) (v hujson.Value, ok bool) {
	for _, m := range obj.Members {
		if m.Name.Value.(hujson.Literal).String() == name {
			return m.Value, true
		}
	}
	return v, false
}

// entries are the objects of a list, no more than most, with their keys as plainWord has them; texts and numbers
// alone, and of a list of texts these with blanks between them.
func entries(v hujson.Value, most int) []map[string]string {
	array, ok := v.Value.(*hujson.Array)
	if !ok {
		return nil
	}
	var all []map[string]string
	for _, e := range array.Elements[:min(len(array.Elements), most)] {
		obj, ok := e.Value.(*hujson.Object)
		if !ok {
			continue
		}
		entry := map[string]string{}
		for _, m := range obj.Members {
			entry[plainWord(m.Name.Value.(hujson.Literal).String())] = strings.Join(texts(m.Value), " ")
		}
		all = append(all, entry)
	}
	return all
}

// texts are the text or number that a value is, or those of the list that it is.
func texts(v hujson.Value) (all []string) {
	switch v := v.Value.(type) {
	case hujson.Literal:
		if v.Kind() == '"' || v.Kind() == '0' {
			return []string{v.String()}
		}
	case *hujson.Array:
		for _, e := range v.Elements {
			if literal, ok := e.Value.(hujson.Literal); ok {
				all = append(all, texts(hujson.Value{Value: literal})...)
			}
		}
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

// snippet is a value as JSON on one line.
func snippet(value any) string {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return "…" // only texts come here
	}
	return queue.Visible(strings.TrimSpace(out.String()))
}
