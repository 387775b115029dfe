// Package egress is a bottle's only way out: an HTTP proxy (CONNECT and plain HTTP) with an allowlist, and a
// resolver that answers the agent's DNS questions with "no such name" at once.
//
// Its client is hostile. Everything is refused unless the allowlist names it; a name is resolved here, each of
// its addresses judged, and the very address that was judged is dialled; a form that two readers may read
// differently is refused, not interpreted. What was let through is never cut for being slow, long or silent.
// It must not hold secrets, offer any control over itself, or import bottles or ui.
package egress

import (
	"context"
	"errors"
	"io"
	"net/netip"

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
}

// Encode is the configuration as the file that Run reads.
func (c Config) Encode() ([]byte, error) { return nil, errors.New("not written yet") }

// Check reports the first rule or prefix that can't be read, with what to write instead.
func (c Config) Check() error { return errors.New("not written yet") }

// Resolver finds the addresses of a name, which ends in a dot; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options say where to serve.
type Options struct {
	ConfigFile string   // default sidecars.ConfigFile
	Listen     string   // the proxy's address, default ":8888"
	DNSListen  string   // the resolver's address, udp and tcp, default ":53"; "off": none
	Resolver   Resolver // default: the container's own resolver
	Voice      *sidecars.Voice
}

// Run is `bottle-tui sidecar egress`: it serves until ctx ends or the process is told to stop (SIGTERM,
// SIGINT), and speaks on stdout. args are the flags -config, -listen and -dns.
func Run(ctx context.Context, args []string, stdout io.Writer) error {
	return errors.New("not written yet")
}

// Serve serves until ctx ends, and ends within 0.3 s after.
func Serve(ctx context.Context, o Options) error { return errors.New("not written yet") }
