package egress

import "net/netip"

// An address is dialled only when it is plainly a public one. Source: the IANA special-purpose registries of
// IPv4 and IPv6 (RFC 6890 and its successors), and what cloud providers document of their metadata services.

type special struct {
	prefix netip.Prefix
	what   string
	never  bool // refused even when allow_private lists it
}

func must(what string, never bool, prefixes ...string) []special {
	var s []special
	for _, p := range prefixes {
		s = append(s, special{netip.MustParsePrefix(p), what, never})
	}
	return s
}

func join(lists ...[]special) (all []special) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// The first match counts.
var special4 = join(
	must("a cloud metadata address", true, "169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"),
	must("an unspecified address", true, "0.0.0.0/8"),
	must("a multicast address", true, "224.0.0.0/4"),
	must("a reserved or broadcast address", true, "240.0.0.0/4"),
	must("a loopback address", false, "127.0.0.0/8"),
	must("a private address", false, "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
	must("a carrier-grade NAT address", false, "100.64.0.0/10"),
	must("a link-local address", false, "169.254.0.0/16"),
	must("a special-purpose address", false, "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
)

// Of IPv6 only 2000::/3 is public at all; these are its exceptions and the names of what lies outside.
var special6 = join(
	must("a cloud metadata address", true, "fd00:ec2::254/128", "fd20:ce::254/128", "fd00:42::42/128"),
	must("an unspecified address", true, "::/128"),
	must("a multicast address", true, "ff00::/8"),
	must("an IPv4 address in IPv6 form (NAT64)", true, "64:ff9b::/96", "64:ff9b:1::/48"),
	must("an IPv4 address in IPv6 form (6to4)", true, "2002::/16"),
	must("an IPv4 address in IPv6 form (Teredo)", true, "2001::/32"),
	must("a loopback address", false, "::1/128"),
	must("an IPv4 address in IPv6 form", true, "::/96", "::ffff:0:0:0/96"),
	must("a link-local address", false, "fe80::/10"),
	must("a private address", false, "fc00::/7", "fec0::/10"),
	must("a special-purpose address", false, "2001::/23", "2001:db8::/32", "3fff::/20"),
)

var public6 = netip.MustParsePrefix("2000::/3")

// judge says why a must not be dialled; "" when it may. A mapped address must have been unmapped.
func (p *policy) judge(a netip.Addr) string {
	if !a.IsValid() || a.Zone() != "" || a.Is4In6() {
		return "an address in an odd form"
	}
	if p.deny[a] {
		return "an address of the host itself"
	}
	list := special4
	if a.Is6() {
		list = special6
	}
	for _, s := range list {
		if s.prefix.Contains(a) {
			if s.never || !p.allowsPrivate(a) {
				return s.what
			}
			return ""
		}
	}
	if a.Is6() && !public6.Contains(a) && !p.allowsPrivate(a) {
		return "an address that is not public"
	}
	return ""
}

// Public says whether egress dials an address when nothing is said of it but that a rule allows its host.
func Public(a netip.Addr) bool { return (&policy{}).judge(a) == "" }

func (p *policy) allowsPrivate(a netip.Addr) bool {
	for _, prefix := range p.private {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}
