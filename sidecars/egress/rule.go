package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Rule is one entry of the allowlist. A name without a port stands for the ports 443 and 80.
type Rule struct {
	Host string // lower case, ASCII, no trailing dot; an IP address in its canonical form
	Any  bool   // written "*.host": host itself and everything under it, at any depth
	Port int    // 0: 443 and 80
}

// ParseRule reads an entry as people write it: "example.com", "*.example.com", "example.com:8443",
// "203.0.113.7", "[2001:db8::1]:443". Names with other than ASCII letters are turned into their punycode.
// On 443 only TLS is spoken and on 80 HTTP or TLS, also where an entry names these ports; on any other, any protocol.
func ParseRule(s string) (Rule, error) {
	text := strings.TrimSpace(s)
	var r Rule
	fail := func(format string, a ...any) (Rule, error) {
		return Rule{}, fmt.Errorf("allowlist entry %q: %s", s, fmt.Sprintf(format, a...))
	}
	if strings.Contains(text, "://") || strings.ContainsAny(text, "/@?#") {
		return fail("write the host alone, without scheme, user or path")
	}
	text, r.Any = strings.CutPrefix(text, "*.")
	if strings.Contains(text, "*") {
		return fail("a wildcard stands only in front: *.example.com")
	}
	if !isASCII(text) {
		name, port, found := strings.Cut(text, ":")
		ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(name, "."))
		if err != nil {
			return fail("not a host name: %v", err)
		}
		if text = ascii; found {
			text += ":" + port
		}
	}
	// A bare IPv6 address is clear enough in a list of hosts.
	if a, err := netip.ParseAddr(text); err == nil && a.Is6() {
		text = "[" + text + "]"
	}
	t, err := parseTarget(text, 0)
	if err != nil {
		return fail("%v", err)
	}
	if t.addr.IsValid() && r.Any {
		return fail("a wildcard can't stand in front of an address")
	}
	r.Host, r.Port = t.host, t.port
	return r, nil
}

// String is the rule as ParseRule reads it.
func (r Rule) String() string {
	s := r.Host
	if strings.Contains(s, ":") {
		s = "[" + s + "]"
	}
	if r.Any {
		s = "*." + s
	}
	if r.Port != 0 {
		s += ":" + strconv.Itoa(r.Port)
	}
	return s
}

// target is whom a request wants to reach, in the one form that everything here compares.
type target struct {
	host string // lower case, no trailing dot, no brackets
	addr netip.Addr
	port int
}

// authority is the target as it stands in a request, without the port when it is usual.
func (t target) authority(usual int) string {
	h := t.host
	if strings.Contains(h, ":") {
		h = "[" + h + "]"
	}
	if t.port == usual {
		return h
	}
	return h + ":" + strconv.Itoa(t.port)
}

var (
	errUserinfo = errors.New("it has a user in front of the host, which a proxy must not interpret")
	errOddIP    = errors.New("it ends in a number but is not a plain IP address; write four decimal numbers")
	errNotHost  = errors.New("it is not a host name: letters, digits, - and _ between dots")
)

// parseTarget reads "host" or "host:port" so strictly that no two readers can differ on what it means.
// usual is the port when none is written; 0 stays 0.
func parseTarget(s string, usual int) (target, error) {
	if s == "" {
		return target{}, errors.New("it names no host")
	}
	if len(s) > 300 {
		return target{}, errors.New("it is too long for a host")
	}
	if strings.Contains(s, "@") {
		return target{}, errUserinfo
	}
	if !isASCII(s) {
		return target{}, errNotHost // before a letter is lowered into ASCII
	}
	t := target{port: usual}
	host := s
	if strings.HasPrefix(s, "[") {
		inside, rest, ok := strings.Cut(s[1:], "]")
		if !ok || rest != "" && rest[0] != ':' {
			return target{}, errNotHost
		}
		a, err := netip.ParseAddr(inside)
		if err != nil || !a.Is6() {
			return target{}, errors.New("it is not an IPv6 address between brackets")
		}
		if a.Zone() != "" || a.Is4In6() {
			return target{}, errors.New("it is an address with a zone or a mapped one; write the plain address")
		}
		t.host, t.addr = a.String(), a
		if rest == "" {
			return t, nil
		}
		t.port, err = parsePort(rest[1:])
		return t, err
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		var err error
		if t.port, err = parsePort(s[i+1:]); err != nil {
			return target{}, err
		}
		host = s[:i]
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if err := checkName(host); err != nil {
		return target{}, err
	}
	t.host = host
	if endsInNumber(host) {
		a, err := netip.ParseAddr(host)
		if err != nil {
			return target{}, errOddIP
		}
		t.addr, t.host = a, a.String()
	}
	return t, nil
}

func parsePort(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '0' || s[0] == '+' {
		return 0, errors.New("its port is not a number from 1 to 65535")
	}
	return int(n), nil
}

func checkName(host string) error {
	if host == "" || len(host) > 253 {
		return errNotHost
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 {
			return errNotHost
		}
	}
	for i := range len(host) {
		c := host[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return errNotHost
		}
	}
	return nil
}

// endsInNumber says whether some reader might take host for an IPv4 address, as the WHATWG URL standard
// defines it: its last label is decimal, or hexadecimal after 0x.
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if rest, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(rest, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

// equalFold compares without regard to the case of ASCII letters; strings.EqualFold has letters beyond them that are
// equal to some, such as the Kelvin sign to k.
func equalFold(a, b string) bool { return isASCII(a) && isASCII(b) && strings.EqualFold(a, b) }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
