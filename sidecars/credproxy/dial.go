package credproxy

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"

	"bottle-tui/sidecars/internal/outward"
)

// newTransport makes the connections to upstreams.
func (s *server) newTransport(t *table) *http.Transport {
	roots := outward.PublicRoots()
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

// dial connects to a route's upstream, and to nothing else.
func (s *server) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	to, ok := s.traffic.dialable(addr)
	if !ok {
		return nil, &outward.NotDialled{Reason: "it is not the upstream of a route"}
	}
	return s.outward.Dial(ctx, to.host, to.port, to.loopback)
}
