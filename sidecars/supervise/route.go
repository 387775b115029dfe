package supervise

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

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
	authSchemes = []string{"bearer", "token", "basic", "x-api-key", "anthropic-oauth"}
	roles       = []string{"anthropic-base-url", "npm-registry", "git-insteadof", "tea-login"}
	singletons  = []string{"anthropic-base-url", "npm-registry"} // on at most one route
)

// maxRoutes bounds routes.json.
const maxRoutes = 500

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
	b, _ := json.MarshalIndent(routes, "", "  ") // strings can't fail
	return string(b) + "\n"
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
	if s := text("path", `what stands after http://cred-proxy:8080, as in "/npm/"`); s != "" {
		if err := checkPath(s); err != nil {
			wrong.add("path: %v", err)
		} else {
			r.Path = s
		}
	}
	if s := text("upstream", `where the requests go, as in "https://api.example.com"`); s != "" {
		if normal, err := normalUpstream(s); err != nil {
			wrong.add("upstream: %v", err)
		} else {
			r.Upstream = normal
		}
	}
	if s := text("auth_scheme", "one of "+list(authSchemes)); s != "" {
		if !slices.Contains(authSchemes, s) {
			wrong.add("auth_scheme: there is no %.64q%s; write one of %s", s, didYouMean(s, authSchemes), list(authSchemes))
		}
		r.AuthScheme = s
	}
	if s := text("token_ref", "the name of the credential, as routes.json shows it"); s != "" {
		if !tokenName.MatchString(s) && !hiddenName.MatchString(s) {
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

var (
	tokenName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	hiddenName = regexp.MustCompile(`^(file|cmd):[0-9a-f]{12}$`) // of a credential that is no environment variable
	pathForm   = regexp.MustCompile(`^/([A-Za-z0-9._-]+/)+$`)
	baseForm   = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)*/?$`)
)

func checkPath(s string) error {
	for segment := range strings.SplitSeq(s, "/") {
		if segment == "." || segment == ".." {
			return fmt.Errorf("%.64q has a segment %s, which has no meaning here", s, segment)
		}
	}
	if !pathForm.MatchString(s) {
		return fmt.Errorf("%.64q must begin and end with /, with letters, digits, '.', '_' and '-' between, as in /npm/", s)
	}
	return nil
}

// normalUpstream checks an upstream and writes its host in lower case.
func normalUpstream(s string) (string, error) {
	const form = "write https://host, with :port and /base where they are needed"
	u, err := url.Parse(s)
	switch {
	case err != nil || len(s) > 1024:
		return "", errors.New("it is not an address: " + form)
	case u.User != nil || strings.Contains(s, "@"): // not repeated: it may hold a password
		return "", errors.New("it has a user in front of the host: leave that out; the credential is what token_ref names")
	case u.RawQuery != "" || u.ForceQuery || strings.ContainsAny(s, "?#"):
		return "", errors.New("it has a query or a fragment: " + form)
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Opaque != "":
		return "", fmt.Errorf("%.128q is not such an address: %s", s, form)
	case !baseForm.MatchString(u.EscapedPath()) || strings.Contains(u.Path+"/", "/../") || strings.Contains(u.Path+"/", "/./"):
		return "", fmt.Errorf("%.128q has a path that can be read in more than one way: use letters, digits, '.', '_', '~' and '-'", s)
	}
	host, err := egress.ParseRule(u.Host)
	if err != nil || host.Any {
		return "", fmt.Errorf("%.128q does not name one host: %s", s, form)
	}
	if u.Scheme == "http" && !isLoopback(host.Host) {
		return "", fmt.Errorf("%.128q is not encrypted: write https:// (http:// is for a loopback address alone)", s)
	}
	base := u.EscapedPath()
	if base == "/" {
		base = ""
	}
	return u.Scheme + "://" + host.String() + base, nil
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
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
