package credproxy

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/egress"
	"bottle-tui/state"
)

// The auth schemes: how a route's token is put into a request.
const (
	SchemeBearer         = "bearer"          // Authorization: Bearer TOKEN
	SchemeToken          = "token"           // Authorization: token TOKEN
	SchemeBasic          = "basic"           // Authorization: Basic, of "user:password", or of the user x-access-token when the token has no ":"
	SchemeAPIKey         = "x-api-key"       // x-api-key: TOKEN
	SchemeAnthropicOAuth = "anthropic-oauth" // Authorization: Bearer TOKEN, and oauth-2025-04-20 in anthropic-beta
)

// Schemes are all auth schemes, in the order in which they are shown.
func Schemes() []string {
	return []string{SchemeBearer, SchemeToken, SchemeBasic, SchemeAPIKey, SchemeAnthropicOAuth}
}

// Config is cred-proxy's configuration file, as JSON. Unknown fields are refused. It holds no token, only the
// names under which tokens come.
type Config struct {
	Identity string  `json:"identity"` // the bottle
	Routes   []Route `json:"routes"`
	// CA are further certificates, as PEM, that upstreams may present or be signed by: a company's own
	// authority. The usual public ones hold as well.
	CA string `json:"ca,omitempty"`
	// Until ends routes, by their path: from that moment on a route leads nowhere and what is on its way over it is
	// cut, whether or not anybody is there to take it away.
	Until map[string]time.Time `json:"until,omitempty"`
	// Later are routes that come into force at a moment by themselves, such as one that a route of Routes stands in
	// for until its end. At no moment two routes have one path.
	Later []Later `json:"later,omitempty"`
}

// Later is a route for a span of time to come.
type Later struct {
	Route
	From  time.Time `json:"from"`
	Until time.Time `json:"until,omitzero"` // zero: no end
}

// Route is one path below which an upstream is served with a credential.
type Route struct {
	Path       string `json:"path"`        // see CheckPath
	Upstream   string `json:"upstream"`    // see CheckUpstream
	AuthScheme string `json:"auth_scheme"` // one of Schemes
	Token      string `json:"token"`       // public name of the token, see CheckToken
}

// Bounds on a configuration.
const (
	maxRoutes = 256
	maxPath   = 256     // bytes of a route's path
	maxCA     = 1 << 20 // bytes
)

// Encode is the configuration as the file that Run reads. It fails as Check does.
func (c Config) Encode() ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.Routes == nil {
		c.Routes = []Route{}
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode cred-proxy's configuration: %w", err)
	}
	return append(b, '\n'), nil
}

// Check reports the first thing that is wrong with the configuration, with what to write instead. Paths may
// lie below one another; only equal ones are refused.
func (c Config) Check() error {
	_, err := newTable(c)
	return err
}

var segmentForm = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// CheckPath says what is wrong with a route's path. It begins and ends with "/" and has one or more segments of
// letters, digits, ".", "_" and "-" between, none of them "." or "..".
func CheckPath(path string) error {
	wrong := func(format string, a ...any) error {
		return fmt.Errorf("path %q %s", path, fmt.Sprintf(format, a...))
	}
	if path == "" {
		return errors.New(`path is missing: write the path below which the agent finds the upstream, such as "/api/"`)
	}
	if len(path) > maxPath {
		return wrong("is longer than %d bytes", maxPath)
	}
	if strings.Trim(path, "/") == "" {
		return wrong(`names nothing: write a segment between the slashes, such as "/api/"`)
	}
	for segment := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		switch {
		case segment == "":
			return wrong(`has an empty segment: write one "/" between two segments`)
		case segment == "." || segment == "..":
			return wrong("must not hold %q", segment)
		case !segmentForm.MatchString(segment):
			return wrong("may hold only letters, digits, '.', '_' and '-' between its slashes")
		}
	}
	if right := "/" + strings.Trim(path, "/") + "/"; path != right {
		return wrong("must begin and end with one slash: write %q", right)
	}
	return nil
}

// CheckUpstream says what is wrong with a route's upstream. It is https://host[:port][/base], without user,
// query and fragment; http:// only when the host is an address of loopback or "localhost".
func CheckUpstream(upstream string) error {
	_, err := parseUpstream(upstream)
	return err
}

// CheckToken says what is wrong with a token's public name: it is an environment variable's name, or "file:" or
// "cmd:" and 12 hexadecimal digits. The error shows nothing of the name: a slip may have put a token there.
func CheckToken(name string) error { return sidecars.CheckToken(name) }

// origin is an upstream in the one form that everything here compares.
type origin struct {
	scheme   string // "https" or "http"
	host     string // lower case, without brackets
	port     int
	base     string // "" or "/segment…" without a slash at its end
	loopback bool   // it was declared as an address of loopback, or localhost
}

// authority is host and port, the port left out where it is the scheme's own.
func (o origin) authority() string {
	h := o.host
	if strings.Contains(h, ":") {
		h = "[" + h + "]"
	}
	if o.port == usualPort(o.scheme) {
		return h
	}
	return h + ":" + strconv.Itoa(o.port)
}

// dialName is how a transport names whom it wants to dial.
func dialName(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

func usualPort(scheme string) int {
	if scheme == "http" {
		return 80
	}
	return 443
}

func parseUpstream(upstream string) (origin, error) {
	wrong := func(format string, a ...any) (origin, error) {
		return origin{}, fmt.Errorf("upstream %q %s", withoutUser(upstream), fmt.Sprintf(format, a...))
	}
	if upstream == "" {
		return origin{}, errors.New(`upstream is missing: write the address of the service, such as "https://api.example.com"`)
	}
	if len(upstream) > 2048 {
		return origin{}, errors.New("upstream is longer than 2048 bytes")
	}
	scheme, rest, found := strings.Cut(upstream, "://")
	if !found {
		return wrong(`has no scheme: write "https://" in front of the host`)
	}
	if scheme != "https" && scheme != "http" {
		return wrong(`begins with %q: write "https://"`, scheme+"://")
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		return wrong("has a query or a fragment: write only host, port and base path")
	}
	authority, base, _ := strings.Cut(rest, "/")
	if strings.Contains(authority, "@") {
		return wrong("has a user in front of the host: the credential comes from token_ref")
	}
	if strings.Contains(authority, "*") {
		return wrong("has a wildcard: a route leads to one host")
	}
	rule, err := egress.ParseRule(authority)
	if err != nil {
		cause := err
		if inner := strings.SplitN(err.Error(), ": ", 2); len(inner) == 2 {
			cause = errors.New(inner[1])
		}
		return wrong("has no host that can be reached: %v", cause)
	}
	o := origin{scheme: scheme, host: rule.Host, port: rule.Port}
	if o.port == 0 {
		o.port = usualPort(scheme)
	}
	a, err := netip.ParseAddr(o.host)
	o.loopback = o.host == "localhost" || err == nil && a.IsLoopback()
	if scheme == "http" && !o.loopback {
		return wrong(`would carry its token unprotected: write "https://"`)
	}
	if base = strings.TrimSuffix(base, "/"); base != "" || strings.HasSuffix(upstream, "//") {
		for segment := range strings.SplitSeq(base, "/") {
			if segment == "" || segment == "." || segment == ".." {
				return wrong("has a base path with an empty or a dot segment")
			}
			if strings.Trim(segment, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~@:+,=!$&'()*") != "" {
				return wrong("has a base path that holds more than letters, digits and plain punctuation")
			}
		}
		o.base = "/" + base
	}
	return o, nil
}

// withoutUser hides what stands in front of the host or in a query: it may be a credential.
func withoutUser(upstream string) string {
	if i := strings.IndexAny(upstream, "?#"); i >= 0 {
		upstream = upstream[:i+1] + "…"
	}
	scheme, rest, found := strings.Cut(upstream, "://")
	if !found {
		scheme, rest = "", upstream
	} else {
		scheme += "://"
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	if i := strings.LastIndexByte(rest[:end], '@'); i >= 0 {
		rest = "…" + rest[i:]
	}
	return scheme + rest
}

// table is a Config made ready for questions. It is never changed.
type table struct {
	hash   string
	routes []*route // the longest path first
	ca     string
	roots  *x509.CertPool    // the certificates of ca; nil without
	hosts  map[string]origin // what may be dialled, by dialName
	over   []string          // paths of routes that have ended
}

// route is a Route made ready.
type route struct {
	Route
	to          origin
	from, until time.Time // when it holds; zero: from the beginning, without an end
}

// meets says whether there is a moment at which both hold.
func (r *route) meets(o *route) bool {
	return (r.until.IsZero() || o.from.Before(r.until)) && (o.until.IsZero() || r.from.Before(o.until))
}

func newTable(c Config) (*table, error) {
	if !state.ValidIdentity(c.Identity) {
		return nil, fmt.Errorf("cred-proxy's configuration: %q is not the identity of a bottle", c.Identity)
	}
	if len(c.Routes) > maxRoutes || len(c.Later) > maxRoutes {
		return nil, fmt.Errorf("cred-proxy's configuration has more than %d routes", maxRoutes)
	}
	for path := range c.Until {
		if !slices.ContainsFunc(c.Routes, func(r Route) bool { return r.Path == path }) {
			return nil, fmt.Errorf("until names the path %q, which is that of no route", path)
		}
	}
	t := &table{ca: c.CA, hosts: map[string]origin{}}
	for i, r := range c.Routes {
		if err := t.add(r, time.Time{}, c.Until[r.Path]); err != nil {
			return nil, fmt.Errorf("route %d: %w", i+1, err)
		}
	}
	for i, l := range c.Later {
		err := t.add(l.Route, l.From, l.Until)
		if l.From.IsZero() {
			err = errors.New("it has no from: write it into routes")
		}
		if err != nil {
			return nil, fmt.Errorf("later route %d: %w", i+1, err)
		}
	}
	slices.SortStableFunc(t.routes, func(a, b *route) int { return len(b.Path) - len(a.Path) })
	if len(c.CA) > maxCA {
		return nil, fmt.Errorf("ca is larger than %d bytes", maxCA)
	}
	if c.CA != "" {
		t.roots = x509.NewCertPool()
		if !t.roots.AppendCertsFromPEM([]byte(c.CA)) {
			return nil, errors.New("ca holds no certificate: write it as PEM, as the file that begins with -----BEGIN CERTIFICATE-----")
		}
	}
	return t, nil
}

// add takes in a route for a span of time.
func (t *table) add(r Route, from, until time.Time) error {
	if err := CheckPath(r.Path); err != nil {
		return err
	}
	to, err := parseUpstream(r.Upstream)
	if err != nil {
		return err
	}
	if !slices.Contains(Schemes(), r.AuthScheme) {
		return fmt.Errorf("auth_scheme %q is not known: write one of %s", r.AuthScheme, strings.Join(Schemes(), ", "))
	}
	if err := CheckToken(r.Token); err != nil {
		return err
	}
	n := &route{Route: r, to: to, from: from, until: until}
	if slices.ContainsFunc(t.routes, func(o *route) bool { return o.Path == r.Path && o.meets(n) }) {
		return fmt.Errorf("path %q is that of another route, too", r.Path)
	}
	t.routes = append(t.routes, n)
	t.hosts[dialName(to.host, to.port)] = to
	return nil
}

// at is the table with the routes that hold at a moment, and the next moment at which one begins or ends; zero: none
// does.
func (t *table) at(now time.Time) (*table, time.Time) {
	var next time.Time
	n := &table{hash: t.hash, ca: t.ca, roots: t.roots, hosts: map[string]origin{}}
	for _, r := range t.routes {
		change := r.until
		switch {
		case now.Before(r.from):
			change = r.from
		case !r.until.IsZero() && !now.Before(r.until):
			n.over = append(n.over, r.Path)
		default:
			n.routes = append(n.routes, r)
			n.hosts[dialName(r.to.host, r.to.port)] = r.to
		}
		if change.After(now) && (next.IsZero() || change.Before(next)) {
			next = change
		}
	}
	return n, next
}

// missing is what the routes that hold at a moment or later need and have denies; nil: nothing.
func (t *table) missing(have func(name string) bool, now time.Time) error {
	var names []string
	for _, r := range t.routes {
		if over := !r.until.IsZero() && !now.Before(r.until); !over && !have(r.Token) && !slices.Contains(names, r.Token) {
			names = append(names, r.Token)
		}
	}
	if names == nil {
		return nil
	}
	slices.Sort(names)
	return errors.New("no value has come yet for the token " + strings.Join(names, " and "))
}

// parseTable reads a configuration file.
func parseTable(content []byte) (*table, error) {
	var c Config
	if err := sidecars.DecodeConfig(content, &c); err != nil {
		return nil, err
	}
	t, err := newTable(c)
	if err != nil {
		return nil, err
	}
	t.hash = sidecars.Hash(content)
	return t, nil
}
