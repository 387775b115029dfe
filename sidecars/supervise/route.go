package supervise

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"bottle-tui/sidecars/credproxy"
	"bottle-tui/sidecars/egress"

	"github.com/moby/buildkit/util/suggest"
)

// Route is one route of routes.json: what an agent reads of the routes in force, and what it proposes.
type Route struct {
	Path       string   `json:"path"`        // begins and ends with "/"
	Upstream   string   `json:"upstream"`    // https://host[:port][/base]
	AuthScheme string   `json:"auth_scheme"` // how cred-proxy adds the credential
	TokenRef   string   `json:"token_ref"`   // the public name of the credential, never its value
	Role       []string `json:"role"`        // what the agent is set up for with it
}

// What a route may say.
var (
	routeFields = []string{"path", "upstream", "auth_scheme", "token_ref", "role"}
	roles       = []string{"anthropic-base-url", "npm-registry", "git-insteadof", "tea-login"}
	singletons  = []string{"anthropic-base-url", "npm-registry"} // on at most one route
)

// maxRoutes bounds routes.json.
const maxRoutes = 256

// NormalRoutes is text, a JSON array of routes, as the file routes.json and as a request's proposal: the
// fields in the order of Route and each there, two spaces of indentation, a line end. The error names everything
// that is wrong, by route.
func NormalRoutes(text string) (string, error) {
	routes, err := ParseRoutes(text)
	if err != nil {
		return "", err
	}
	return EncodeRoutes(routes), nil
}

// EncodeRoutes is the file routes.json.
func EncodeRoutes(routes []Route) string {
	if len(routes) == 0 {
		return "[]\n"
	}
	routes = slices.Clone(routes)
	for i := range routes {
		if routes[i].Role == nil {
			routes[i].Role = []string{}
		}
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(routes) // strings can't fail
	return b.String()
}

// ParseRoutes reads routes.json; an empty text is no routes. The error names everything that is wrong, by route.
func ParseRoutes(text string) ([]Route, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(text), &list); err != nil || list == nil {
		if err == nil || errors.As(err, new(*json.UnmarshalTypeError)) {
			err = errors.New("it is not an array")
		}
		return nil, fmt.Errorf("the routes are not a JSON array of objects: %w", err)
	}
	if len(list) > maxRoutes {
		return nil, fmt.Errorf("there are %d routes; at most %d are allowed", len(list), maxRoutes)
	}
	var wrong problems
	routes := make([]Route, len(list))
	holder := map[string]int{} // of a singleton role
	for i, raw := range list {
		r := &routes[i]
		var said problems
		r.parse(raw, &said)
		name := fmt.Sprintf("route %d", i+1)
		if len(r.Path) > 0 && len(r.Path) <= 64 {
			name += fmt.Sprintf(" (%q)", r.Path)
		}
		for _, s := range said.said {
			wrong.add("%s: %s", name, s)
		}
		for _, role := range r.Role {
			if first, taken := holder[role]; taken {
				wrong.add("%s: the role %s is on route %d already, and only one may have it", name, role, first)
			} else if slices.Contains(singletons, role) {
				holder[role] = i + 1
			}
		}
		for j := range i {
			other := routes[j].Path
			if r.Path == "" || other == "" || !strings.HasPrefix(r.Path, other) && !strings.HasPrefix(other, r.Path) {
				continue
			}
			wrong.add("%s: its path overlaps with that of route %d (%.64q): neither may begin with the other", name, j+1, other)
			break
		}
	}
	return routes, wrong.err()
}

// parse reads one route. What is wrong with a field leaves it empty.
func (r *Route) parse(raw json.RawMessage, wrong *problems) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		wrong.add("it is not an object with %s", list(routeFields))
		return
	}
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !slices.Contains(routeFields, name) {
			wrong.add("there is no field %.64q%s; a route has %s", name, didYouMean(name, routeFields), list(routeFields))
		}
	}
	text := func(name, lack string) string {
		var s string
		if err := json.Unmarshal(fields[name], &s); fields[name] != nil && err != nil {
			wrong.add("%s is not a string", name)
			return ""
		}
		if s = strings.TrimSpace(s); s == "" {
			wrong.add("%s is missing: %s", name, lack)
		}
		return s
	}
	if s := text("path", "what stands after "+credProxy+`, as in "/npm/"`); s != "" {
		if err := credproxy.CheckPath(s); err != nil {
			wrong.add("%v", err)
		} else {
			r.Path = s
		}
	}
	if s := text("upstream", `where the requests go, as in "https://api.example.com"`); s != "" {
		if err := credproxy.CheckUpstream(s); err != nil {
			wrong.add("%v", err)
		}
		r.Upstream = s
	}
	if s := text("auth_scheme", "one of "+list(credproxy.Schemes())); s != "" {
		if schemes := credproxy.Schemes(); !slices.Contains(schemes, s) {
			wrong.add("auth_scheme: there is no %.64q%s; write one of %s", s, didYouMean(s, schemes), list(schemes))
		}
		r.AuthScheme = s
	}
	if s := text("token_ref", "the name of the credential, as routes.json shows it"); s != "" {
		if credproxy.CheckToken(s) != nil {
			// It may be a credential itself: it is not repeated.
			wrong.add("token_ref: it is not a name: write letters, digits and _, as in EXAMPLE_TOKEN, or a name as routes.json shows it; never a credential's value")
		}
		r.TokenRef = s
	}
	r.Role = readRole(fields["role"], wrong)
}

// readRole reads a role: a string, a list of them, or nothing.
func readRole(raw json.RawMessage, wrong *problems) []string {
	out := []string{}
	if raw == nil {
		return out
	}
	var one string
	var said []string
	if err := json.Unmarshal(raw, &said); err != nil {
		if err := json.Unmarshal(raw, &one); err != nil {
			wrong.add("role is neither a string nor a list of strings")
			return out
		}
		said = []string{one}
	}
	for _, s := range said {
		switch {
		case s == "":
		case !slices.Contains(roles, s):
			wrong.add("role: there is no %.64q%s; leave it out or write some of %s", s, didYouMean(s, roles), list(roles))
		case !slices.Contains(out, s):
			out = append(out, s)
		}
	}
	return out
}

// hiddenName is the public name of a credential that is no environment variable.
var hiddenName = regexp.MustCompile(`^(file|cmd):`)

// key is what a route does, as text: equal for routes that differ only in how they are written.
func (r Route) key() string {
	role := slices.Clone(r.Role)
	slices.Sort(role)
	scheme, rest, _ := strings.Cut(r.Upstream, "://")
	host, base, _ := strings.Cut(rest, "/")
	if h, err := egress.ParseRule(host); err == nil {
		if scheme == "https" && h.Port == 443 || scheme == "http" && h.Port == 80 {
			h.Port = 0
		}
		host = h.String()
	}
	upstream := scheme + "://" + host + "/" + strings.TrimSuffix(base, "/")
	return strings.Join(append([]string{r.Path, upstream, r.AuthScheme, r.TokenRef}, role...), " ")
}

func didYouMean(s string, options []string) string {
	if len(s) > 64 {
		return ""
	}
	if match, ok := suggest.Search(s, options, true); ok {
		return fmt.Sprintf(" (did you mean %q?)", match)
	}
	return ""
}

// list is names in words.
func list(names []string) string {
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
