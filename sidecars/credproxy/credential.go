package credproxy

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// What an agent may send as a credential, to pass for somebody else, or to make an upstream believe that it is reached
// otherwise than it is: headers of these names, and of names with these beginnings and ends. Names are compared
// without case and with "_" as "-", since some servers can't tell these apart.
var (
	agentHeaders = map[string]bool{
		"cookie": true, "cookie2": true, "set-cookie": true, "x-jfrog-art-api": true, "sudo": true,
		"forwarded": true, "x-forwarded": true, "x-real-ip": true, "x-client-ip": true, "true-client-ip": true,
		"x-host": true, "x-http-host-override": true, "via": true,
		"x-original-url": true, "x-original-uri": true, "x-original-host": true, "x-rewrite-url": true,
		"x-http-method": true, "x-http-method-override": true, "x-method-override": true,
	}
	agentPrefixes = []string{
		"proxy-", "x-forwarded-", "x-proxy-", "x-auth-", "x-webauth-", "x-remote-", "remote-",
		"x-ssl-", "ssl-client-", "x-client-cert", "client-cert",
	}
	agentSuffixes = []string{
		"authorization", "authentication", "-auth", "token", "secret", "password", "api-key", "apikey",
		"access-key", "app-key", "application-key", "auth-key", "functions-key", "secret-key", "subscription-key",
	}
)

// agentKeeps says of a name that ends in "token" that it is none of a credential: one against forgery is worth nothing
// without the cookie that it belongs to, the others name a lock (RFC 4918) or a page.
func agentKeeps(name string) bool {
	return name == "lock-token" || strings.Contains(name, "csrf") || strings.Contains(name, "xsrf") || strings.Contains(name, "continuation")
}

// Headers of an upstream that mean its own host, which the agent does not speak to, or that hand out what is to
// stay here.
var upstreamHeaders = []string{
	"Set-Cookie", "Set-Cookie2", "Alt-Svc", "Strict-Transport-Security", "Clear-Site-Data",
	"Proxy-Authenticate", "Proxy-Authentication-Info", ErrorHeader,
}

// Query parameters that are a credential whatever the service (RFC 6750 2.3 for access_token), or an order to act for
// another user. A name is compared without case and with "_" for "-" and ".".
var agentParams = []string{
	"access_token", "private_token", "oauth_token", "job_token", "auth_token",
	"api_key", "apikey", "x_api_key", "subscription_key", "client_secret", "sudo",
}

// schemeParams are those that the services of a scheme take as one. A service of another scheme may use the same word
// for something else.
var schemeParams = map[string]string{
	SchemeBearer: "token",
	SchemeToken:  "token",
	SchemeBasic:  "token",
	SchemeAPIKey: "key",
}

// stripAgent takes out of a request's header or trailer what an agent must not say.
func stripAgent(h http.Header) {
	for name := range h {
		if agentSays(name) {
			delete(h, name)
		}
	}
}

func agentSays(name string) bool {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	begins := func(p string) bool { return strings.HasPrefix(name, p) }
	ends := func(p string) bool { return strings.HasSuffix(name, p) }
	return agentHeaders[name] || slices.ContainsFunc(agentPrefixes, begins) || slices.ContainsFunc(agentSuffixes, ends) && !agentKeeps(name)
}

func stripUpstream(h http.Header) {
	for _, name := range upstreamHeaders {
		h.Del(name)
	}
}

// stripQuery is query without the parameters of scheme's credentials; all else stays as it was written.
func stripQuery(query, scheme string) string {
	if query == "" {
		return ""
	}
	var b strings.Builder
	for rest := query; rest != ""; {
		piece := rest
		end := strings.IndexAny(rest, "&;") // some servers take ";" for "&"
		if end >= 0 {
			piece = rest[:end+1]
		}
		rest = rest[len(piece):]
		if !isCredential(strings.TrimRight(piece, "&;"), scheme) {
			b.WriteString(piece)
		}
	}
	if out := b.String(); out != query {
		return strings.TrimRight(out, "&;")
	}
	return query
}

var plainParam = strings.NewReplacer("-", "_", ".", "_", " ", "_")

func isCredential(piece, scheme string) bool {
	key, _, _ := strings.Cut(piece, "=")
	key = strings.ToLower(strings.TrimSpace(decode(strings.ReplaceAll(key, "+", " "))))
	key, _, _ = strings.Cut(key, "[") // as some servers read lists
	key = plainParam.Replace(key)
	return slices.Contains(agentParams, key) || key != "" && key == schemeParams[scheme]
}

const oauthBeta = "oauth-2025-04-20"

// setCredential puts a token into a request's header. Anthropic's OAuth tokens count only together with a beta
// header; Claude Code sends both when it holds one itself.
func setCredential(h http.Header, scheme, token string) {
	switch scheme {
	case SchemeBearer:
		h.Set("Authorization", "Bearer "+token)
	case SchemeToken:
		h.Set("Authorization", "token "+token)
	case SchemeBasic:
		h.Set("Authorization", "Basic "+basic(token))
	case SchemeAPIKey:
		h.Set("X-Api-Key", token)
	case SchemeAnthropicOAuth:
		h.Set("Authorization", "Bearer "+token)
		for _, line := range h.Values("Anthropic-Beta") {
			for beta := range strings.SplitSeq(line, ",") {
				if strings.TrimSpace(beta) == oauthBeta {
					return
				}
			}
		}
		if have := strings.Join(h.Values("Anthropic-Beta"), ","); have != "" {
			h.Set("Anthropic-Beta", have+","+oauthBeta)
		} else {
			h.Set("Anthropic-Beta", oauthBeta)
		}
	}
}

func basic(token string) string {
	if !strings.Contains(token, ":") {
		token = "x-access-token:" + token
	}
	return base64.StdEncoding.EncodeToString([]byte(token))
}

// secrets are the texts of a token that an upstream may repeat.
func secrets(scheme, token string) []string {
	if scheme != SchemeBasic {
		return []string{token}
	}
	s := []string{token, basic(token)}
	user, password, pair := strings.Cut(token, ":")
	if pair && (password == "" || password == "x-oauth-basic") {
		return append(s, user) // services that take a token as the user
	}
	return append(s, password)
}

// shortSecret is the length in bytes up to which a token is only recognised where it stands alone.
const shortSecret = 8

// location is what the agent gets for a Location of the upstream: one that stays below the route's upstream
// leads back over the route, any other stays as it is. Neither holds a user or this route's token; "" is a
// Location that can't be had without. here says that it leads back, by a path alone.
func (f *flight) location(value string, asked *url.URL) (_ string, here bool) {
	u, err := url.Parse(value)
	if err != nil {
		if f.hidden.holds(value) || strings.Contains(value, "@") {
			return "", false
		}
		return value, false
	}
	relative := u.Scheme == ""
	u = asked.ResolveReference(u)
	query := f.hidden.query(u.RawQuery)
	changed := relative || u.User != nil || query != u.RawQuery
	u.User, u.RawQuery = nil, query
	out := value
	if changed {
		out = u.String()
	}
	if to, ok := sameOrigin(u, f.to); ok {
		if path, err := readPath(to); err != nil {
			if relative {
				return "", false // an agent would look for it here, where it means something else
			}
		} else if path, inside := f.back(path); inside {
			back := url.URL{RawQuery: u.RawQuery, ForceQuery: u.ForceQuery, Fragment: u.Fragment, RawFragment: u.RawFragment}
			if setPath(&back, path) == nil {
				out, here = back.String(), true
			}
		}
	}
	if f.hidden.holds(out) {
		return "", false
	}
	return out, here
}

// links is what the agent gets for a Link of the upstream (RFC 8288), such as those to the next page: each target as
// location has it, but with this proxy's own host in front, since clients take it as it stands. What is no link ends the
// list. A target that can't be had without the token is left out.
func (f *flight) links(value string, asked *url.URL) string {
	var kept []string
	for rest := value; ; {
		rest = strings.TrimLeft(rest, ", \t")
		target, after, found := strings.Cut(strings.TrimPrefix(rest, "<"), ">")
		if !found || !strings.HasPrefix(rest, "<") {
			break
		}
		params := after[:paramsEnd(after)]
		rest = after[len(params):]
		to, here := f.location(strings.TrimSpace(target), asked)
		if here && f.host != "" {
			to = "http://" + f.host + to
		}
		if to != "" && !f.hidden.holds(params) {
			kept = append(kept, "<"+to+">"+params)
		}
	}
	return strings.Join(kept, ", ")
}

// paramsEnd is where a link's parameters end: at a comma outside of quotes.
func paramsEnd(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '\\' && quoted:
			i++
		case s[i] == ',' && !quoted:
			return i
		}
	}
	return len(s)
}

// sameOrigin says whether u is on o's scheme, host and port, and gives its path.
func sameOrigin(u *url.URL, o origin) (string, bool) {
	if u.Opaque != "" || !strings.EqualFold(u.Scheme, o.scheme) {
		return "", false
	}
	to, err := parseUpstream(o.scheme + "://" + u.Host)
	if err != nil || to.host != o.host || to.port != o.port {
		return "", false
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return path, true
}

// query is query without the parameters in which the credential stands.
func (r *redaction) query(query string) string {
	pieces := strings.Split(query, "&")
	kept := slices.DeleteFunc(slices.Clone(pieces), func(piece string) bool {
		_, value, _ := strings.Cut(piece, "=")
		return r.holds(value) || r.holds(piece)
	})
	if len(kept) == len(pieces) {
		return query
	}
	return strings.Join(kept, "&")
}
