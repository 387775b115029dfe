package manifest

import (
	"fmt"
	"slices"
	"strings"

	"bottle-tui/bottles"
	"bottle-tui/bottles/claudecode"
	"bottle-tui/sidecars/credproxy"
	"bottle-tui/sidecars/egress"
	"bottle-tui/sidecars/gitgate"
	"bottle-tui/sidecars/pipelock"
)

// reservedEnv are the variables that bottle-tui gives to every agent.
var reservedEnv = func() []string {
	names := []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "FTP_PROXY", "CLAUDE_BOTTLE_IDENTITY", "TERM", "COLORTERM"}
	for _, e := range claudecode.Env() {
		if name, _, _ := strings.Cut(e, "="); name != "LANG" { // which is a matter of taste
			names = append(names, name)
		}
	}
	return names
}()

// baseURLEnv are the variables that the role anthropic-base-url sets, and those that would be taken in their place.
var baseURLEnv = []string{"ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"}

// claudeEnv are the variables that take from Claude Code what bottle-tui gives it or keeps for it.
var claudeEnv = []string{"CLAUDE_CONFIG_DIR", "CLAUDE_CODE_SIMPLE"}

// singletons are the roles that one route of a profile at most may have.
var singletons = []string{bottles.RoleBaseURL, bottles.RoleNPM}

// Bounds on a profile.
const (
	maxRoutes  = 256 // as cred-proxy has them
	maxRemotes = gitgate.MaxRemotes
	maxRefs    = gitgate.MaxRefs
	maxHosts   = 10_000 // as egress has them
)

// profile checks what the keys of a profile say about each other.
func (r *reader) profile(p Profile, path string) {
	switch image := path + ".egress.image"; {
	case p.Egress.Engine == EnginePipelock && !r.has(image):
		r.fault(path+".egress.engine", `pipelock needs the key "image" beside it: the image that it runs from`)
	case p.Egress.Engine != EnginePipelock && r.has(image) && !r.bad[path+".egress.engine"]:
		r.add(r.names[image], image, `only the engine pipelock has an image; take it out, or add "engine": "pipelock"`)
	}
	if n := len(p.Egress.Allow); n > maxHosts {
		r.fault(path+".egress.allow", "there are %d hosts; an allowlist has %d at most", n, maxHosts)
	}
	for i, host := range p.Egress.Allow {
		rule, err := egress.ParseRule(host)
		if err != nil || p.Egress.Engine != EnginePipelock {
			continue
		}
		switch at := fmt.Sprintf("%s.egress.allow[%d]", path, i); {
		case rule.Port != 0 && pipelock.Check(rule.Host) == nil:
			rule.Port = 0
			r.fault(at, "pipelock knows no ports of hosts; write %s, which allows them all", quoted(rule.String()))
		case pipelock.Check(host) != nil:
			r.fault(at, `pipelock's allowlist is of names; write the name of %s, or take "engine" and "image" out for the built-in egress`, quoted(host))
		}
	}
	r.routes(p.CredProxy.Routes, path+".cred_proxy.routes")
	r.remotes(p.Git, path+".git")
	r.env(p, path)
	r.image(path + ".image")
}

// has says whether the file has a value at a path, whatever it is.
func (r *reader) has(path string) bool {
	_, ok := r.values[path]
	return ok
}

func (r *reader) routes(routes []Route, path string) {
	if len(routes) > maxRoutes {
		r.fault(path, "there are %d routes; a profile has %d at most", len(routes), maxRoutes)
		return
	}
	holder := map[string]string{} // role: path of the route that has it
	brokered := map[string]string{}
	for i, route := range routes {
		at := fmt.Sprintf("%s[%d]", path, i)
		for j, other := range routes[:i] {
			if route.Path == "" || other.Path == "" {
				continue
			}
			if !strings.HasPrefix(route.Path, other.Path) && !strings.HasPrefix(other.Path, route.Path) {
				continue
			}
			first := r.values[fmt.Sprintf("%s[%d].path", path, j)]
			switch {
			case route.Path == other.Path:
				r.fault(at+".path", "the path %s is that of another route, at %d:%d; write a different one", quoted(route.Path), first.Line, first.Column)
			default:
				r.fault(at+".path", "the path %s overlaps with %s at %d:%d; write paths of which none lies within another",
					quoted(route.Path), quoted(other.Path), first.Line, first.Column)
			}
		}
		for _, role := range route.Role {
			if slices.Contains(singletons, role) {
				if first, taken := holder[role]; taken {
					r.fault(at+".role", "the role %s is on the route %s already; one route has it at most", quoted(role), quoted(first))
				} else {
					holder[role] = route.Path
				}
			}
			switch {
			case role == bottles.RoleBaseURL && route.AuthScheme != "" &&
				!slices.Contains([]string{credproxy.SchemeAPIKey, credproxy.SchemeBearer, credproxy.SchemeAnthropicOAuth}, route.AuthScheme):
				r.fault(at+".auth_scheme", `the role "anthropic-base-url" goes with "x-api-key" for an API key, "anthropic-oauth" for an OAuth token, or "bearer"; not with %s`,
					quoted(route.AuthScheme))
			case role == bottles.RoleInsteadOf && route.Upstream != "":
				key := strings.ToLower(strings.TrimRight(route.Upstream, "/"))
				if first, taken := brokered[key]; taken {
					r.fault(at+".role", "git can put one route in the place of %s, and %s is that already; keep one git-insteadof", quoted(route.Upstream), quoted(first))
				} else {
					brokered[key] = route.Path
				}
			}
		}
	}
}

func (r *reader) remotes(remotes []Remote, path string) {
	if len(remotes) > maxRemotes {
		r.fault(path, "there are %d remotes; a profile has %d at most", len(remotes), maxRemotes)
		return
	}
	for i, remote := range remotes {
		at := fmt.Sprintf("%s[%d]", path, i)
		for j, other := range remotes[:i] {
			if remote.Name != "" && remote.Name == other.Name {
				first := r.values[fmt.Sprintf("%s[%d].name", path, j)]
				r.fault(at+".name", "the name %s is that of another remote, at %d:%d; write a different one", quoted(remote.Name), first.Line, first.Column)
				break
			}
		}
		if n := len(remote.AllowRefs); n > maxRefs {
			r.fault(at+".allow_refs", "there are %d patterns of refs; a remote has %d at most", n, maxRefs)
		}
		if n := len(remote.AllowOptions); n > gitgate.MaxOptions {
			r.fault(at+".allow_push_options", "there are %d patterns of push options; a remote has %d at most", n, gitgate.MaxOptions)
		}
		if remote.Upstream == "" {
			continue
		}
		if place := at + ".token_ref"; overSSH(remote.Upstream) && r.has(place) {
			r.add(r.names[place], place, "an ssh upstream has no use for %s; take it out, or write the upstream with https://", quoted("token_ref"))
		}
		for _, key := range []string{"identity_file", "known_host"} {
			place := at + "." + key
			switch {
			case overSSH(remote.Upstream) && !r.has(place):
				what := "the private key to log in with"
				if key == "known_host" {
					what = `what ssh-keyscan prints for the host, such as "ssh-ed25519 AAAA…"`
				}
				r.fault(at, "an ssh upstream needs %s: %s", quoted(key), what)
			case !overSSH(remote.Upstream) && r.has(place):
				r.add(r.names[place], place, "an https upstream has no use for %s; take it out, or write the upstream with ssh://", quoted(key))
			}
		}
	}
}

func (r *reader) env(p Profile, path string) {
	hasBaseURL := false
	refs := map[string]string{}
	for _, remote := range p.Git {
		if remote.TokenRef != "" {
			refs[remote.TokenRef] = "remote " + quoted(remote.Name)
		}
	}
	for _, route := range p.CredProxy.Routes {
		hasBaseURL = hasBaseURL || slices.Contains(route.Role, bottles.RoleBaseURL)
		refs[route.TokenRef] = "route " + quoted(route.Path)
	}
	for _, e := range p.Env {
		fault := func(format string, a ...any) { r.add(e.At, path+".env", format, a...) }
		route, isToken := refs[e.Name]
		switch {
		case e.Name == "":
		case isToken:
			fault("%s holds the credential of the %s; here it would hand it to the agent, so take it out", quoted(e.Name), route)
		case slices.Contains(reservedEnv, strings.ToUpper(e.Name)):
			fault("%s is set by bottle-tui in every bottle; take it out", quoted(e.Name))
		case slices.Contains(claudeEnv, e.Name):
			fault("with %s Claude Code would not use what bottle-tui gives it and keeps for it (its settings, the conversation); take it out", quoted(e.Name))
		case hasBaseURL && slices.Contains(baseURLEnv, e.Name):
			fault("%s is set, or kept away, by the route with the role anthropic-base-url; take it out", quoted(e.Name))
		case plainToken.MatchString(e.Value):
			r.fault(join(path+".env", e.Name), "this looks like a token, which the agent would read; take it out, and let the agent use it without having it: cred_proxy.routes")
		}
	}
}

func (r *reader) image(path string) {
	if !r.has(path) || r.bad[path] {
		return
	}
	var given []string
	for _, f := range imageKeys {
		if r.has(path + "." + f) {
			given = append(given, f)
		}
	}
	switch {
	case len(given) > 1:
		r.fault(path, "an image is made from one thing, and %s are given; keep one", list(given))
	case len(given) == 0:
		r.fault(path, "an image needs one of %s; or leave the key out for the built-in Dockerfile", list(imageKeys))
	}
}

var imageKeys = []string{"dockerfile", "reference", "base"}

// agent checks an agent against the profiles that there are, if that is known.
func (r *reader) agent(a Agent, path string, profiles []string, known bool) {
	if known && a.Bottle != "" && !slices.Contains(profiles, a.Bottle) {
		near := ""
		if len(r.list) < maxErrors { // there may be many of both
			near = nearest(a.Bottle, profiles[:min(len(profiles), 1000)])
		}
		switch {
		case near != "":
			r.fault(path+".bottle", "there is no profile %s; did you mean %s?", quoted(a.Bottle), quoted(near))
		case len(profiles) == 0:
			r.fault(path+".bottle", `there is no profile %s, nor any other; declare it under "bottles"`, quoted(a.Bottle))
		default:
			r.fault(path+".bottle", "there is no profile %s; the profiles are %s", quoted(a.Bottle), list(profiles))
		}
	}
	seen := map[string]bool{}
	for i, dir := range a.Skills {
		name := dir[strings.LastIndexByte(dir, '/')+1:]
		if seen[name] {
			r.fault(fmt.Sprintf("%s.skills[%d]", path, i), "another skill is called %s; keep one", quoted(name))
		}
		seen[name] = true
	}
	if command := path + ".command"; r.has(command) && !r.has(command+"[0]") && !r.bad[command] {
		r.fault(command, "an empty command can't be run; leave the key out for Claude Code")
	} else if len(a.Command) > 0 && strings.TrimSpace(a.Command[0]) == "" {
		r.fault(command+"[0]", "the command names no program; write it, or leave the key out for Claude Code")
	}
	r.claude(a, path)
}

// claude checks what is for Claude Code alone, with what bottle-tui gives it itself.
func (r *reader) claude(a Agent, path string) {
	if !r.has(path + ".command") {
		for _, key := range []string{"resume_args", "session"} {
			if at := path + "." + key; r.has(at) {
				r.add(r.names[at], at, "%s is for a program in the place of Claude Code, which is given its flags for a session anyway; take it out, or name the program in command", quoted(key))
			}
		}
	} else if at := path + ".resume_args"; r.has(at) && a.Session == SessionsOfClaude {
		r.add(r.names[at], at, "a program with the session %q goes on by Claude Code's flags; take one of the two out", SessionsOfClaude)
	}
	if r.has(path + ".command") {
		for _, key := range []string{"model", "settings", "mcp_servers"} {
			if at := path + "." + key; r.has(at) {
				r.add(r.names[at], at, "%s is for Claude Code, and another program is run in its place; take it out, and give the program its own arguments in args", quoted(key))
			}
		}
		return
	}
	for i, why := range claudecode.RefusedArgs(a.Args, r.has(path+".model"), r.has(path+".prompt")) {
		r.fault(fmt.Sprintf("%s.args[%d]", path, i), "%s", why)
	}
	for key, why := range claudecode.RefusedSettings(a.Settings) {
		at := path + ".settings." + key
		r.add(r.names[at], at, "%s", why)
	}
	for _, e := range a.MCPServers {
		if err := claudecode.CheckServer(e.Value); err != nil {
			r.fault(join(path+".mcp_servers", e.Name), "%v", err)
		}
	}
}
