package supervise

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"bottle-tui/queue"
	"bottle-tui/sidecars"
	"bottle-tui/sidecars/credproxy"
)

// maxTokenName bounds the name of a credential that an agent makes up, in bytes.
const maxTokenName = 64

// credProxyBlock asks for other routes.
var credProxyBlock = &tool{
	name: queue.ToolCredProxy, file: "routes.json", argument: "routes", noun: "list of routes",
	description: credProxyText,
	form:        "Give justification as a string and routes as a JSON array of objects (or the same as a string), and optionally current_hash.",
	schema: map[string]any{
		"anyOf": []any{
			map[string]any{"type": "array", "items": map[string]any{
				"type": "object",
				"properties": map[string]any{
					"path":        map[string]any{"type": "string", "description": "What stands after " + credProxy + "; begins and ends with /, as in /npm/. No two paths may overlap."},
					"upstream":    map[string]any{"type": "string", "description": "Where requests go: https://host[:port][/base]."},
					"auth_scheme": map[string]any{"type": "string", "enum": credproxy.Schemes(), "description": "How the credential is added."},
					"token_ref":   map[string]any{"type": "string", "description": "The credential's name: one that routes.json shows, or a new name as of an environment variable, for which the operator supplies the value. Never a value."},
					"role": map[string]any{
						"anyOf":       []any{map[string]any{"type": "string", "enum": roles}, map[string]any{"type": "array", "items": map[string]any{"type": "string", "enum": roles}}},
						"description": "Optional: what the bottle is set up for with this route.",
					},
				},
				"required": []string{"path", "upstream", "auth_scheme", "token_ref"},
			}},
			map[string]any{"type": "string"},
		},
		"description": "All routes, not only the new ones: take " + sidecars.CurrentConfigDir + "/routes.json and add or change what is needed.",
	},
	inForce:  func(c *Config) string { return c.Routes },
	read:     readRoutes,
	unwanted: unwantedTokens,
	same:     sameRoutes,
	settled:  sameRoutes,
	pointless: "These are the routes that are in force already: there is nothing to ask for. Use " + credProxy + " and the path of a route, without any credential of yours. " +
		"If an upstream refuses its credential all the same, call with the routes changed as the work needs it, or say in your answer what it refuses.",
	denied: "Go on without it, or, where the reason leaves room, call again with routes or a justification that meet it. Don't ask anybody for the credential itself.",
}

// readRoutes reads the argument and brings it into the order of what is in force, as readAllowlist does.
func readRoutes(raw json.RawMessage, inForce string) (string, error) {
	text := string(raw)
	var quoted string
	if json.Unmarshal(raw, &quoted) == nil {
		text = quoted
	}
	if len(text) > queue.MaxFile {
		return "", problemf("The routes have %d bytes; at most 256 KiB are allowed. Leave out what the work does not need, and call again.", len(text))
	}
	routes, err := ParseRoutes(text)
	now, _ := ParseRoutes(inForce) // it was checked
	known := map[string]bool{}
	for _, r := range now {
		known[r.TokenRef] = true
	}
	for i, r := range routes {
		if !known[r.TokenRef] && looksSecret(r.TokenRef) {
			return "", problemf("The token_ref of route %d looks like a credential itself. Never write one down: name it, as routes.json names those in force (EXAMPLE_TOKEN), "+
				"or make up such a name and describe in the justification which credential it stands for; the operator supplies the value, which you never see. Then call again.", i+1)
		}
	}
	switch {
	case err != nil:
		return "", problemf("The routes can't be read: %v.\nCorrect these and call again with all routes; %s/routes.json shows the form.", err, sidecars.CurrentConfigDir)
	case len(routes) == 0:
		return "", problemf("There are no routes in it. Give all routes: those of %s/routes.json and the ones that you need; then call again.", sidecars.CurrentConfigDir)
	}
	routes = arrange(routes, now, func(r Route) string { return r.Path })
	for i, r := range routes {
		at := slices.IndexFunc(now, func(o Route) bool { return o.key() == r.key() })
		if at >= 0 {
			routes[i] = now[at]
		}
	}
	return EncodeRoutes(routes), nil
}

// secretForm is how credentials of well-known makers begin, and what has the form of none that a person chose.
var secretForm = regexp.MustCompile(`^(sk-|sk_(live|test)_|rk_(live|test)_|gh[opsur]_|github_pat_|glpat-|gldt-|npm_[A-Za-z0-9]{30}|hf_[A-Za-z0-9]{30}|pypi-|xox[a-z]-|ya29\.|AIza[A-Za-z0-9_-]{30}|A[KS]IA[A-Z0-9]{16}$|eyJ[A-Za-z0-9_-]{10}|SG\.|-----BEGIN|[Bb]earer |[Bb]asic )|^[0-9a-fA-F]{32,}$`)

// looksSecret says whether a token_ref is likely a credential's value, written where its name should be.
func looksSecret(s string) bool {
	if len(s) > maxTokenName || secretForm.MatchString(s) {
		return true
	}
	return len(s) >= 32 && !strings.Contains(s, "_") && strings.ContainsAny(s, "0123456789") &&
		s != strings.ToLower(s) && s != strings.ToUpper(s)
}

// unwantedTokens refuses what only the operator may name: a file of his, or a command that he runs.
func unwantedTokens(proposed, inForce string) error {
	routes, _ := ParseRoutes(proposed)
	now, _ := ParseRoutes(inForce)
	for _, r := range routes {
		if hiddenName.MatchString(r.TokenRef) && !slices.ContainsFunc(now, func(o Route) bool { return o.TokenRef == r.TokenRef }) {
			return problemf("The token_ref %q of %s is not one of those in force. Name one that you see in %s/routes.json; or, for a credential that is not there, make up a name such as EXAMPLE_TOKEN "+
				"and describe in the justification which credential the work needs. Then call again.", r.TokenRef, r.Path, sidecars.CurrentConfigDir)
		}
	}
	return nil
}

// sameRoutes says whether two files have the same routes, in whatever order.
func sameRoutes(a, b string) bool {
	x, xerr := ParseRoutes(a)
	y, yerr := ParseRoutes(b)
	if xerr != nil || yerr != nil {
		return a == b
	}
	keys := func(routes []Route) (out []string) {
		for _, r := range routes {
			out = append(out, r.key())
		}
		slices.Sort(out)
		return out
	}
	return slices.Equal(keys(x), keys(y))
}
