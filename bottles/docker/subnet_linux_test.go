package docker

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func prefixes(s ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestChooseSubnetKeepsAwayFromWhatIsInUse(t *testing.T) {
	all := prefixes("10.213.0.0/16", "172.30.0.0/16", "192.168.208.0/20")
	for _, c := range []struct {
		name string
		held inUse
		in   string // where the subnet shall be; "" when none is left
	}{
		{"nothing in use", inUse{}, "10.213.0.0/16"},
		{"a network over the first range", inUse{fixed: prefixes("10.0.0.0/8")}, "172.30.0.0/16"},
		{"a route over the first range", inUse{routes: prefixes("10.0.0.0/8")}, "172.30.0.0/16"},
		{"two ranges in use", inUse{fixed: all[:1], routes: all[1:2]}, "192.168.208.0/20"},
		{"all but one", inUse{fixed: append(prefixes("10.213.0.0/17", "10.213.128.0/18", "10.213.192.0/28"), all[1:]...)}, "10.213.192.0/18"},
		{"the default route and the halves of everything", inUse{routes: prefixes("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1")}, "10.213.0.0/16"},
		{"everything private routed into an office", inUse{routes: prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")}, "10.213.0.0/16"},
		{"everything taken", inUse{fixed: all}, ""},
		{"everything taken by near routes", inUse{routes: all}, ""},
	} {
		for range 50 {
			p, ok := chooseSubnet(c.held)
			switch {
			case !ok && c.in == "":
			case !ok:
				t.Errorf("%s: no subnet", c.name)
			case c.in == "" || !netip.MustParsePrefix(c.in).Overlaps(p) || p.Bits() != 28 || touches(p, c.held.fixed) || p != p.Masked():
				t.Errorf("%s: %v", c.name, p)
			}
		}
	}
}

func TestReadRoutes(t *testing.T) {
	got := readRoutes(strings.NewReader(`Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
docker0	000011AC	00000000	0001	0	0	0	0000FFFF	0	0	0
nonsense
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
`))
	if want := prefixes("0.0.0.0/0", "172.17.0.0/16", "192.0.2.0/24"); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
