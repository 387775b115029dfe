package bottles

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"bottle-tui/queue"
	"bottle-tui/sidecars/credproxy"
	"bottle-tui/sidecars/egress"
	"bottle-tui/sidecars/pipelock"
	"bottle-tui/state"
)

// inForce is what a bottle's gates let through: the text of its allowlist and its routes, as the agent sees them.
type inForce struct {
	allow  string  // one rule a line
	routes []Route // TokenRef is the public name
}

// The names of the current three under the state's config/ and under sidecars.CurrentConfigDir.
const (
	fileAllow      = "allowlist"
	fileRoutes     = "routes.json"
	fileDockerfile = "Dockerfile"
)

// rulesOf are the rules in the text of an allowlist: a line each, blank ones and comments apart.
func rulesOf(text string) []string {
	var rules []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			rules = append(rules, line)
		}
	}
	return rules
}

func allowText(rules []string) string {
	if len(rules) == 0 {
		return ""
	}
	return strings.Join(rules, "\n") + "\n"
}

// routesText is the text of routes.json.
func routesText(routes []Route) string {
	if len(routes) == 0 {
		return "[]\n"
	}
	out := slices.Clone(routes)
	for i := range out {
		if out[i].Roles == nil {
			out[i].Roles = []string{}
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(out) // strings alone
	return b.String()
}

// parseRoutes reads the text of routes.json, strictly.
func parseRoutes(text string) ([]Route, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	var routes []Route
	if err := d.Decode(&routes); err != nil {
		return nil, fmt.Errorf("read the routes: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read the routes: something follows after their end")
	}
	return routes, nil
}

// public is a route as the agent may see it.
func (r Route) public() Route {
	r.TokenRef = TokenName(r.TokenRef)
	return r
}

// checkRule refuses a rule that the engine of egress can't keep.
func checkRule(rule, engine string) error {
	if engine == enginePipelock {
		return pipelock.Check(rule)
	}
	_, err := egress.ParseRule(rule)
	return err
}

// check refuses what no gate could put in force, with that engine of egress. It does not look at tokens.
func (f inForce) check(engine string) error {
	for i, rule := range rulesOf(f.allow) {
		if err := checkRule(rule, engine); err != nil {
			return fmt.Errorf("the allowlist, rule %d: %w", i+1, err)
		}
	}
	single := map[string]string{}
	for i, r := range f.routes {
		if err := errors.Join(credproxy.CheckPath(r.Path), credproxy.CheckUpstream(r.Upstream)); err != nil {
			return fmt.Errorf("route %d: %w", i+1, err)
		}
		if !slices.Contains(credproxy.Schemes(), r.AuthScheme) {
			return fmt.Errorf("route %s: no auth_scheme %q; there are: %s", r.Path, r.AuthScheme, strings.Join(credproxy.Schemes(), ", "))
		}
		if strings.TrimSpace(r.TokenRef) == "" {
			return fmt.Errorf("route %s: it has no token_ref", r.Path)
		}
		for _, other := range f.routes[:i] {
			if strings.HasPrefix(r.Path, other.Path) || strings.HasPrefix(other.Path, r.Path) {
				return fmt.Errorf("routes %s and %s overlap", other.Path, r.Path)
			}
		}
		for _, role := range r.Roles {
			switch role {
			case RoleBaseURL, RoleNPM:
				if first := single[role]; first != "" {
					return fmt.Errorf("the role %s is on %s and on %s; it can be on one", role, first, r.Path)
				}
				single[role] = r.Path
			case RoleInsteadOf, RoleTea:
			default:
				return fmt.Errorf("route %s: no role %q; there are: %s, %s, %s, %s", r.Path, role, RoleBaseURL, RoleNPM, RoleInsteadOf, RoleTea)
			}
		}
	}
	return nil
}

// declared is what a profile alone lets through.
func declared(p Profile) inForce {
	f := inForce{allow: allowText(p.Egress)}
	for _, r := range p.Routes {
		f.routes = append(f.routes, r.public())
	}
	return f
}

// with is f with a change made.
func (f inForce) with(c Change) inForce {
	rules := rulesOf(f.allow)
	had := slices.Clone(rules)
	rules = slices.DeleteFunc(rules, func(r string) bool { return slices.Contains(c.Disallow, r) })
	for _, r := range c.Allow {
		if !slices.Contains(rules, r) {
			rules = append(rules, r)
		}
	}
	out := inForce{allow: f.allow}
	if !slices.Equal(had, rules) {
		out.allow = allowText(rules)
	}
	for _, r := range f.routes {
		if !slices.Contains(c.Unroute, r.Path) && !hasPath(c.Routes, r.Path) {
			out.routes = append(out.routes, r)
		}
	}
	out.routes = append(out.routes, c.Routes...)
	return out
}

func hasPath(routes []Route, path string) bool {
	return slices.ContainsFunc(routes, func(r Route) bool { return r.Path == path })
}

// difference is the change that makes b of a.
func difference(a, b inForce) (do Change) {
	was, is := rulesOf(a.allow), rulesOf(b.allow)
	do.Allow, do.Disallow = missing(is, was), missing(was, is)
	do.Routes = changed(a.routes, b.routes)
	for _, r := range a.routes {
		if !hasPath(b.routes, r.Path) {
			do.Unroute = append(do.Unroute, r.Path)
		}
	}
	return do
}

// missing are the strings of list that other does not have.
func missing(list, other []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(other, s) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// changed are the routes of b that a does not have as they are.
func changed(a, b []Route) []Route {
	var out []Route
	for _, r := range b {
		if !slices.ContainsFunc(a, func(o Route) bool { return sameRoute(o, r) }) {
			out = append(out, r)
		}
	}
	return out
}

func sameRoute(a, b Route) bool {
	return a.Path == b.Path && a.Upstream == b.Upstream && a.AuthScheme == b.AuthScheme && a.TokenRef == b.TokenRef && slices.Equal(a.Roles, b.Roles)
}

// tokensOf maps the public names of every token that a bottle may use to the references they come from.
func tokensOf(p Profile, grants []Grant) map[string]string {
	tokens := map[string]string{}
	for _, g := range grants {
		maps.Copy(tokens, g.Tokens)
	}
	for _, r := range p.Routes {
		tokens[TokenName(r.TokenRef)] = r.TokenRef
	}
	return tokens
}

// readGrants reads a bottle's grants.
func readGrants(b *state.Bottle) ([]Grant, error) {
	content, err := b.Grants()
	if err != nil || content == nil {
		return nil, err
	}
	var grants []Grant
	if err := json.Unmarshal(content, &grants); err != nil {
		return nil, fmt.Errorf("reading %s/grants.json: %w: mend it, or remove it to take every grant back; it was left as it is", b.Dir(), err)
	}
	return grants, nil
}

// writeGrants keeps a bottle's grants.
func writeGrants(b *state.Bottle, grants []Grant) error {
	if grants == nil {
		grants = []Grant{}
	}
	content, err := json.MarshalIndent(grants, "", "  ")
	if err != nil {
		return fmt.Errorf("writing %s/grants.json: %w", b.Dir(), err)
	}
	return b.PutGrants(append(content, '\n'))
}

// readInForce reads what is in force from a bottle's state; ok is false when nothing was written down yet.
func readInForce(b *state.Bottle) (f inForce, ok bool, err error) {
	allow, err := b.Config(fileAllow)
	if err != nil {
		return f, false, err
	}
	routes, err := b.Config(fileRoutes)
	if err != nil || routes == nil || allow == nil {
		return f, false, err
	}
	f.allow = string(allow)
	f.routes, err = parseRoutes(string(routes))
	return f, err == nil, err
}

// proposal is what would be in force if a request were granted as content.
func (f inForce) proposal(tool, content string) (inForce, error) {
	switch tool {
	case queue.ToolEgress:
		return inForce{allow: content, routes: f.routes}, nil
	case queue.ToolCredProxy:
		routes, err := parseRoutes(content)
		return inForce{allow: f.allow, routes: routes}, err
	}
	return f, fmt.Errorf("no such request: %q", tool)
}

// text is the part of f that requests of a tool are about.
func (f inForce) text(tool string) string {
	if tool == queue.ToolCredProxy {
		return routesText(f.routes)
	}
	return f.allow
}
