package credproxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// publicRoots are the system's certificates, or, in an image without any, Mozilla's as this program brings them.
var publicRoots = sync.OnceValue(func() *x509.CertPool {
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

// newTransport makes the connections to upstreams.
func (s *server) newTransport(t *table) *http.Transport {
	roots := publicRoots()
	if t.ca != "" {
		roots = roots.Clone()
		roots.AppendCertsFromPEM([]byte(t.ca))
	}
	return &http.Transport{
		Proxy:                  nil, // never a proxy that the environment names
		DialContext:            s.dial,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    oneDial,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // what the agent asked for is what it gets
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        idleTimeout,
		ResponseHeaderTimeout:  s.timeout,
		ExpectContinueTimeout:  oneDial,
		MaxResponseHeaderBytes: maxAnswerHead,
		ReadBufferSize:         connBuffer,
		WriteBufferSize:        connBuffer,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:               upstreamSilent,
			PingTimeout:                   upstreamSilent,
			MaxReceiveBufferPerConnection: streamsWindow,
		},
	}
}

// notDialled is an address that must not be reached, as against one that can't.
type notDialled struct{ reason string }

func (e *notDialled) Error() string { return e.reason }

// dial connects to a route's upstream, and to nothing else.
func (s *server) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	to, ok := s.traffic.dialable(addr)
	if !ok {
		return nil, &notDialled{"it is not the upstream of a route"}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var addrs []netip.Addr
	if a, err := netip.ParseAddr(to.host); err == nil {
		addrs = []netip.Addr{a}
	} else if addrs, err = s.resolver.LookupNetIP(ctx, "ip", to.host+"."); err != nil {
		return nil, fmt.Errorf("resolve %s: %w", to.host, err)
	}
	own := s.ownAddresses(to)
	var good4, good6 []netip.Addr
	bad := ""
	for _, a := range addrs {
		a = a.Unmap()
		if what := judge(a, to, own); what != "" {
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
			return nil, fmt.Errorf("resolve %s: it has no address", to.host)
		}
		return nil, &notDialled{to.host + " leads to " + bad}
	}
	var failed error
	for _, a := range good[:min(len(good), maxAddrs)] {
		d := net.Dialer{Timeout: oneDial}
		conn, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(a, uint16(to.port)).String())
		if err == nil {
			return conn, nil
		}
		failed = errors.Join(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("connect to %s: %w", to.host, failed)
}

// ownAddresses are those of the container, which all sidecars share; none when they may be reached.
func (s *server) ownAddresses(to origin) map[netip.Addr]bool {
	if s.loopback || to.loopback {
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

// judge says why a, which upstream to leads to, must not be dialled; "" when it may. own is nil when the
// container itself may be reached. A private address is fine: the operator wrote the upstream.
func judge(a netip.Addr, to origin, own map[netip.Addr]bool) string {
	literal := a.String() == to.host
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
