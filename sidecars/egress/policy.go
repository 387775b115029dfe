package egress

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"bottle-tui/sidecars"
)

// Config is egress's configuration file, as JSON. Unknown fields are refused.
type Config struct {
	// Allow are the rules, as in the manifest; see ParseRule. None: everything is refused.
	Allow []string `json:"allow"`
	// AllowPrivate are addresses or prefixes, such as "192.168.7.20" or "127.0.0.0/8", which are
	// dialled although they are not public, when a rule allows the host. Metadata services,
	// multicast and the unspecified address are refused even so.
	AllowPrivate []string `json:"allow_private,omitempty"`
	// Deny are addresses that are never dialled, whatever else allows them: those of the machine that egress runs on, whose
	// own services are reached by them from the inside, past what guards it towards the network.
	Deny []string `json:"deny,omitempty"`
	// Until ends rules of Allow, by their text: from that moment on a rule lets nothing through and what goes
	// through it is cut, whether or not anybody is there to take it away.
	Until map[string]time.Time `json:"until,omitempty"`
	// Later are rules that come into force at a moment by themselves, such as one that a rule of Allow stands in for
	// until its end.
	Later []Later `json:"later,omitempty"`
}

// Later is a rule for a span of time to come.
type Later struct {
	Rule  string    `json:"rule"`
	From  time.Time `json:"from"`
	Until time.Time `json:"until,omitzero"` // zero: no end
}

// at is the configuration with the rules that hold at a moment, and the next moment at which one begins or ends;
// zero: none does.
func (c Config) at(now time.Time) (Config, time.Time) {
	var next time.Time
	var allow []string
	span := func(rule string, from, until time.Time) {
		change := until
		if now.Before(from) {
			change = from
		} else if until.IsZero() || now.Before(until) {
			allow = append(allow, rule)
		}
		if change.After(now) && (next.IsZero() || change.Before(next)) {
			next = change
		}
	}
	for _, rule := range c.Allow {
		span(rule, time.Time{}, c.Until[rule])
	}
	for _, l := range c.Later {
		span(l.Rule, l.From, l.Until)
	}
	c.Allow, c.Until, c.Later = allow, nil, nil
	return c, next
}

// maxRules bounds the allowlist.
const maxRules = 10_000

// Encode is the configuration as the file that Run reads. It fails as Check does.
func (c Config) Encode() ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.Allow == nil {
		c.Allow = []string{}
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode egress's configuration: %w", err)
	}
	return append(b, '\n'), nil
}

// Check reports the first rule or prefix that can't be read, with what to write instead.
func (c Config) Check() error {
	_, err := c.policy()
	return err
}

// ports are where a rule's host may be reached.
type ports struct {
	usual  bool // 443 and 80
	listed map[int]bool
}

// policy is a Config made ready for questions. It is never changed.
type policy struct {
	exact   map[string]*ports
	under   map[string]*ports // host of a wildcard
	private []netip.Prefix
	deny    map[netip.Addr]bool
}

func (c Config) policy() (*policy, error) {
	if len(c.Allow) > maxRules || len(c.Later) > maxRules || len(c.AllowPrivate) > maxRules || len(c.Deny) > maxRules {
		return nil, fmt.Errorf("the allowlist, later, allow_private or deny has more than %d entries", maxRules)
	}
	for rule := range c.Until {
		if !slices.Contains(c.Allow, rule) {
			return nil, fmt.Errorf("until names the rule %q, which is not in allow", rule)
		}
	}
	for _, l := range c.Later {
		if _, err := ParseRule(l.Rule); err != nil {
			return nil, err
		}
		if l.From.IsZero() {
			return nil, fmt.Errorf("later names the rule %q without from: write it into allow", l.Rule)
		}
	}
	p := &policy{exact: map[string]*ports{}, under: map[string]*ports{}, deny: map[netip.Addr]bool{}}
	for _, s := range c.Allow {
		r, err := ParseRule(s)
		if err != nil {
			return nil, err
		}
		m := p.exact
		if r.Any {
			m = p.under
		}
		ps := m[r.Host]
		if ps == nil {
			ps = &ports{listed: map[int]bool{}}
			m[r.Host] = ps
		}
		if r.Port == 0 {
			ps.usual = true
		} else {
			ps.listed[r.Port] = true
		}
	}
	for _, s := range c.AllowPrivate {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			a, aerr := netip.ParseAddr(s)
			if aerr != nil {
				return nil, fmt.Errorf("allow_private entry %q: write an address or a prefix such as 192.168.7.0/24", s)
			}
			prefix = netip.PrefixFrom(a, a.BitLen())
		}
		if a := prefix.Addr(); a.Is4In6() || a.Zone() != "" {
			return nil, fmt.Errorf("allow_private entry %q: write a plain IPv4 or IPv6 address", s)
		}
		p.private = append(p.private, prefix.Masked())
	}
	for _, s := range c.Deny {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Is4In6() || a.Zone() != "" {
			return nil, fmt.Errorf("deny entry %q: write a plain IPv4 or IPv6 address", s)
		}
		p.deny[a] = true
	}
	return p, nil
}

// usualPort says whether a port is one that a rule without a port means. A tunnel to 443 carries TLS alone and one to
// 80 TLS or HTTP, which egress reads, however the rule is written; one to another port carries anything.
func usualPort(port int) bool { return port == 443 || port == 80 }

// allows says whether a rule names host and port.
func (p *policy) allows(host string, port int) bool {
	names := func(ps *ports) bool { return ps != nil && (ps.listed[port] || ps.usual && usualPort(port)) }
	if names(p.exact[host]) {
		return true
	}
	for name, more := host, true; more; _, name, more = strings.Cut(name, ".") {
		if names(p.under[name]) {
			return true
		}
	}
	return false
}

// why says why no rule lets host and port through.
func (p *policy) why(host string, port int) string {
	if p.allows(host, 443) {
		return fmt.Sprintf("port %d of %s is not on this bottle's allowlist", port, host)
	}
	return host + " is not on this bottle's allowlist"
}

// parseConfig reads a configuration file.
func parseConfig(content []byte) (Config, error) {
	var c Config
	if err := sidecars.DecodeConfig(content, &c); err != nil {
		return c, err
	}
	return c, c.Check()
}
