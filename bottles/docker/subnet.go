package docker

import (
	"math/rand/v2"
	"net"
	"net/netip"
)

// subnetBits is the size of a bottle's network: 16 addresses, 13 of them for containers.
const subnetBits = 28

// ranges are the private ranges that subnets are taken from, the first one first. They are away from
// where engines (172.17.0.0/16 and up), home routers (192.168.0.0/23) and most offices begin.
var ranges = []netip.Prefix{
	netip.MustParsePrefix("10.213.0.0/16"),
	netip.MustParsePrefix("172.30.0.0/16"),
	netip.MustParsePrefix("192.168.208.0/20"),
}

// minRouteBits is the length from which on a route is taken for a network: shorter ones (the default
// route, the halves of everything that VPNs set) say where the rest goes.
const minRouteBits = 8

// broadRouteBits is the length up to which a route is crossed when nothing else is left: who routes
// all private addresses into an office hardly misses 16 of them.
const broadRouteBits = 15

// inUse is what a new subnet must not touch.
type inUse struct {
	fixed  []netip.Prefix // other networks, addresses of this machine
	routes []netip.Prefix
}

// chooseSubnet is a free subnet, at random so that processes that choose at once seldom meet.
func chooseSubnet(held inUse) (netip.Prefix, bool) {
	for _, shortest := range []int{minRouteBits, broadRouteBits + 1} {
		blocked := held.fixed
		for _, r := range held.routes {
			if r.Bits() >= shortest {
				blocked = append(blocked[:len(blocked):len(blocked)], r)
			}
		}
		for _, in := range ranges {
			count := 1 << (subnetBits - in.Bits())
			first := rand.IntN(count)
			for i := range count {
				p := subnetAt(in, (first+i)%count)
				if !touches(p, blocked) {
					return p, true
				}
			}
		}
	}
	return netip.Prefix{}, false
}

// subnetAt is the n-th subnet of in.
func subnetAt(in netip.Prefix, n int) netip.Prefix {
	a := in.Addr().As4()
	v := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
	v += uint32(n) << (32 - subnetBits)
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), subnetBits)
}

func touches(p netip.Prefix, others []netip.Prefix) bool {
	for _, o := range others {
		if p.Overlaps(o) {
			return true
		}
	}
	return false
}

// hostAddresses are the networks that this machine has an address in.
func hostAddresses() []netip.Prefix {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil // the engine still refuses what overlaps its own
	}
	var out []netip.Prefix
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				ones, _ := n.Mask.Size()
				ip = ip.Unmap()
				if p, err := ip.Prefix(ones); err == nil && ip.Is4() && ones >= minRouteBits {
					out = append(out, p)
				}
			}
		}
	}
	return out
}
