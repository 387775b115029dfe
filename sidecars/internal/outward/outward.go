// Package outward is how sidecars that hold a secret reach the upstreams that the operator wrote: which
// authorities they trust, and which addresses a name must not lead to. It must not know what is sent there, and
// no agent's word may choose whom it dials.
package outward

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// Bounds on one connection's making.
const (
	dialTimeout = 30 * time.Second // to resolve and connect, all addresses together
	oneDial     = 10 * time.Second
	maxAddrs    = 8
)

// Resolver finds the addresses of a name, which ends in a dot; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Dialer connects to upstreams.
type Dialer struct {
	Resolver Resolver
	// AllowLoopback lets names lead to loopback and to this machine's own addresses; for tests.
	AllowLoopback bool
}

// NotDialled is an address that must not be reached, as against one that can't.
type NotDialled struct{ Reason string }

func (e *NotDialled) Error() string { return e.Reason }

// Dial connects to a host as the operator wrote it. loopback says that the operator meant this machine. The
// address that was checked is the one that is dialled.
func (d *Dialer) Dial(ctx context.Context, host string, port int, loopback bool) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var addrs []netip.Addr
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = []netip.Addr{a}
	} else if addrs, err = d.Resolver.LookupNetIP(ctx, "ip", host+"."); err != nil {
		return nil, fmt.Errorf("resolve %s: %w", host, err)
	}
	own := d.ownAddresses(loopback)
	var good4, good6 []netip.Addr
	bad := ""
	for _, a := range addrs {
		a = a.Unmap()
		if what := judge(a, host, own); what != "" {
			bad = what
		} else if a.Is4() {
			good4 = append(good4, a)
		} else {
			good6 = append(good6, a)
		}
	}
	good := append(good4, good6...)
	if len(good) == 0 {
		if bad == "" {
			return nil, fmt.Errorf("resolve %s: it has no address", host)
		}
		return nil, &NotDialled{host + " leads to " + bad}
	}
	var failed error
	for _, a := range good[:min(len(good), maxAddrs)] {
		d := net.Dialer{Timeout: oneDial}
		conn, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(a, uint16(port)).String())
		if err == nil {
			return conn, nil
		}
		failed = errors.Join(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("connect to %s: %w", host, failed)
}

// ownAddresses are those of the container, which all sidecars share; nil when they may be reached.
func (d *Dialer) ownAddresses(loopback bool) map[netip.Addr]bool {
	if d.AllowLoopback || loopback {
		return nil
	}
	own := map[netip.Addr]bool{}
	found, err := net.InterfaceAddrs()
	if err != nil {
		return own // loopback is refused even so
	}
	for _, f := range found {
		if p, err := netip.ParsePrefix(f.String()); err == nil {
			own[p.Addr().Unmap().WithZone("")] = true
		}
	}
	return own
}

// judge says why a, which host leads to, must not be dialled; "" when it may. own is nil when the container
// itself may be reached. A private address is fine: the operator wrote the upstream.
func judge(a netip.Addr, host string, own map[netip.Addr]bool) string {
	literal := a.String() == host
	switch {
	case !a.IsValid() || a.Zone() != "":
		return "an address in an odd form"
	case a.IsUnspecified():
		return "an unspecified address"
	case a.IsMulticast():
		return "a multicast address"
	case a.IsLinkLocalUnicast() && !literal:
		return "a link-local address, where metadata services are"
	case own == nil:
		return ""
	case a.IsLoopback():
		return "a loopback address, where the sidecars are"
	case own[a]:
		return "an address of this container, where the sidecars are"
	}
	return ""
}

// PublicRoots are the system's certificates, or, in an image without any, Mozilla's as this program brings them.
var PublicRoots = sync.OnceValue(func() *x509.CertPool {
	pool, err := x509.SystemCertPool()
	if err == nil && !pool.Equal(x509.NewCertPool()) {
		return pool
	}
	pool = x509.NewCertPool()
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		switch {
		case err != nil:
		case root.Constraint != nil:
			pool.AddCertWithConstraint(cert, root.Constraint)
		default:
			pool.AddCert(cert)
		}
	}
	return pool
})
