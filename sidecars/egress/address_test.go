package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

type edges struct {
	prefix, what, before, after string
	never                       bool // also when allow_private has it
}

// judged is every prefix that is special, with what is said of it, and what is said of the addresses just before and
// just after it; "" is a public one. "-" is where there is none.
var judged = []edges{
	{"0.0.0.0/8", "an unspecified address", "-", "", true},
	{"10.0.0.0/8", "a private address", "", "", false},
	{"100.64.0.0/10", "a carrier-grade NAT address", "", "", false},
	{"100.100.100.200/32", "a cloud metadata address", "a carrier-grade NAT address", "a carrier-grade NAT address", true},
	{"127.0.0.0/8", "a loopback address", "", "", false},
	{"168.63.129.16/32", "a cloud metadata address", "", "", true},
	{"169.254.0.0/16", "a link-local address", "", "", false},
	{"169.254.169.254/32", "a cloud metadata address", "a link-local address", "a link-local address", true},
	{"169.254.170.2/32", "a cloud metadata address", "a link-local address", "a link-local address", true},
	{"169.254.170.23/32", "a cloud metadata address", "a link-local address", "a link-local address", true},
	{"172.16.0.0/12", "a private address", "", "", false},
	{"192.0.0.0/24", "a special-purpose address", "", "", false},
	{"192.0.0.192/32", "a cloud metadata address", "a special-purpose address", "a special-purpose address", true},
	{"192.0.2.0/24", "a special-purpose address", "", "", false},
	{"192.88.99.0/24", "a special-purpose address", "", "", false},
	{"192.168.0.0/16", "a private address", "", "", false},
	{"198.18.0.0/15", "a special-purpose address", "", "", false},
	{"198.51.100.0/24", "a special-purpose address", "", "", false},
	{"203.0.113.0/24", "a special-purpose address", "", "", false},
	{"224.0.0.0/4", "a multicast address", "", "a reserved or broadcast address", true},
	{"240.0.0.0/4", "a reserved or broadcast address", "a multicast address", "-", true},

	{"::/128", "an unspecified address", "-", "a loopback address", true},
	{"::1/128", "a loopback address", "an unspecified address", "an IPv4 address in IPv6 form", false},
	{"::/96", "an IPv4 address in IPv6 form", "-", "an address that is not public", true},
	{"::ffff:0:0:0/96", "an IPv4 address in IPv6 form", "an address that is not public", "an address that is not public", true},
	{"64:ff9b::/96", "an IPv4 address in IPv6 form (NAT64)", "an address that is not public", "an address that is not public", true},
	{"64:ff9b:1::/48", "an IPv4 address in IPv6 form (NAT64)", "an address that is not public", "an address that is not public", true},
	{"2001::/32", "an IPv4 address in IPv6 form (Teredo)", "", "a special-purpose address", true},
	{"2001::/23", "a special-purpose address", "", "", false},
	{"2001:db8::/32", "a special-purpose address", "", "", false},
	{"2002::/16", "an IPv4 address in IPv6 form (6to4)", "", "", true},
	{"3fff::/20", "a special-purpose address", "", "", false},
	{"fc00::/7", "a private address", "an address that is not public", "an address that is not public", false},
	{"fd00:42::42/128", "a cloud metadata address", "a private address", "a private address", true},
	{"fd00:ec2::254/128", "a cloud metadata address", "a private address", "a private address", true},
	{"fd20:ce::254/128", "a cloud metadata address", "a private address", "a private address", true},
	{"fe80::/10", "a link-local address", "an address that is not public", "a private address", false},
	{"fec0::/10", "a private address", "a link-local address", "a multicast address", false},
	{"ff00::/8", "a multicast address", "a private address", "-", true},
}

// misjudged is what judge says otherwise than it should.
func misjudged(t *testing.T) (faults []string) {
	t.Helper()
	closed, err := Config{}.policy()
	if err != nil {
		t.Fatal(err)
	}
	open, err := Config{AllowPrivate: []string{"0.0.0.0/0", "::/0"}}.policy()
	if err != nil {
		t.Fatal(err)
	}
	check := func(p *policy, a netip.Addr, want string) {
		if got := p.judge(a); got != want {
			faults = append(faults, fmt.Sprintf("%s, with allow_private %v: %q, want %q", a, p == open, got, want))
		}
	}
	for _, c := range judged {
		p := netip.MustParsePrefix(c.prefix)
		first, last := p.Addr(), lastOf(p)
		nested := func(a netip.Addr) bool { // a narrower prefix has its own row
			return slices.ContainsFunc(judged, func(o edges) bool {
				q := netip.MustParsePrefix(o.prefix)
				return q.Bits() > p.Bits() && q.Contains(a)
			})
		}
		for _, a := range []netip.Addr{first, last} {
			if nested(a) {
				continue
			}
			check(closed, a, c.what)
			lifted := ""
			if c.never {
				lifted = c.what
			}
			check(open, a, lifted)
		}
		if c.before != "-" {
			check(closed, first.Prev(), c.before)
		}
		if c.after != "-" {
			check(closed, last.Next(), c.after)
		}
	}
	for a, want := range map[string]string{
		"1.1.1.1": "", "8.8.8.8": "", "2000::": "", "2606:4700::1111": "", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "",
		"1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "an address that is not public", "4000::": "an address that is not public", "100::1": "an address that is not public", "5f00::1": "an address that is not public",
		"::ffff:1.1.1.1": "an address in an odd form", "fe80::1%eth0": "an address in an odd form", "2606:4700::1111%eth0": "an address in an odd form",
	} {
		check(closed, netip.MustParseAddr(a), want)
	}
	check(closed, netip.Addr{}, "an address in an odd form")
	check(open, netip.Addr{}, "an address in an odd form")
	check(open, netip.MustParseAddr("::ffff:10.0.0.1"), "an address in an odd form")
	check(open, netip.MustParseAddr("4000::"), "")
	return faults
}

func TestJudge(t *testing.T) {
	for _, fault := range misjudged(t) {
		t.Error(fault)
	}
}

// A prefix that is gone, half as wide, twice as wide or lifted by allow_private is seen by TestJudge.
func TestJudgeIsHeldToEachPrefix(t *testing.T) {
	for _, list := range [][]special{special4, special6} {
		for i, was := range list {
			p := was.prefix
			gone, narrow, wide, lifted := was, was, was, was
			gone.prefix = netip.Prefix{}
			narrow.prefix = netip.PrefixFrom(p.Addr(), p.Bits()+1)
			wide.prefix = netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked()
			lifted.never = !was.never
			for how, other := range map[string]special{"gone": gone, "narrower": narrow, "wider": wide, "lifted": lifted} {
				if how == "narrower" && p.IsSingleIP() || how == "wider" && slices.ContainsFunc(list[:i], func(s special) bool {
					return s.prefix.Bits() <= p.Bits() && s.prefix.Overlaps(wide.prefix) && !s.prefix.Overlaps(p)
				}) {
					continue // what it would gain is an earlier one's
				}
				list[i] = other
				if len(misjudged(t)) == 0 {
					t.Errorf("%s (%s) could be %s, and no row of this test would see it", p, was.what, how)
				}
			}
			list[i] = was
		}
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
