// Package egress is a bottle's only way out: an HTTP proxy (CONNECT and plain HTTP) with an allowlist, and a
// resolver that answers the agent's DNS questions with "no such name" at once.
//
// Its client is hostile. Everything is refused unless the allowlist names it; a name is resolved here, each of
// its addresses judged, and the very address that was judged is dialled; a form that two readers may read
// differently is refused, not interpreted; TLS in a tunnel must name the host that the tunnel was opened to.
// What was let through is never cut for being slow, long or silent: it ends with its ends, with the rule that
// allowed it, or with egress.
//
// What it can't see: a second host behind the same address whose name travels encrypted (a Host header inside TLS, an
// encrypted ClientHello) or in a second greeting after a HelloRetryRequest. It must not hold secrets, offer any control
// over itself, or import bottles or ui.
package egress

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/internal/plain"

	"golang.org/x/sync/errgroup"
)

// Bounds on what one agent may hold, and on how long it may keep egress waiting before a request is whole.
const (
	maxConns      = 4096             // tunnels and requests
	maxRequests   = 1024             // those that are not tunnels yet
	maxHeader     = 32 << 10         // bytes of one request's head
	headerTimeout = 10 * time.Second // to send it
	helloTimeout  = 15 * time.Second // to send the rest of a ClientHello after its first byte
	maxHello      = 64 << 10
	dialTimeout   = 30 * time.Second // to resolve and connect, all addresses together
	oneDial       = 10 * time.Second // to connect to one of several addresses
	maxAddrs      = 8
	grace         = 100 * time.Millisecond // for what is open when egress is told to stop
	tellEvery     = 10 * time.Second       // how often what went through is told, while it changes
)

// Resolver finds the addresses of a name, which ends in a dot; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options say where to serve.
type Options struct {
	ConfigFile string   // default sidecars.ConfigFile
	Listen     string   // the proxy's address, default ":8888"; "off": none, when another proxy stands in this one's place
	DNSListen  string   // the resolver's address, udp and tcp, default ":53"; "off": none
	Resolver   Resolver // default: the container's own resolver
	Voice      *sidecars.Voice
	TellEvery  time.Duration // how often the bytes that went through are told; default 10 s
}

// Run is `bottle-tui sidecar egress`: it serves until ctx ends or the process is told to stop (SIGTERM,
// SIGINT), and speaks on stdout. args are the flags -config, -listen and -dns.
func Run(ctx context.Context, args []string, stdout io.Writer) error {
	var o Options
	define := func(flags *flag.FlagSet) {
		flags.StringVar(&o.ConfigFile, "config", "", "configuration file")
		flags.StringVar(&o.Listen, "listen", "", "address of the proxy; off: none")
		flags.StringVar(&o.DNSListen, "dns", "", "address of the resolver; off: none")
	}
	return sidecars.Run(ctx, "egress", args, stdout, define, func(ctx context.Context, voice *sidecars.Voice) error {
		o.Voice = voice
		return Serve(ctx, o)
	})
}

// server is egress at work.
type server struct {
	voice    teller
	resolver Resolver
	forward  http.Handler
	pool     *http.Transport
	traffic  traffic
	doors    doors
	gate     *gate
	inside   *inside

	rules  sync.Mutex
	config Config      // as it was written, with what ends in it
	ending *time.Timer // of the next rule that ends
}

// doors counts the requests in hand, so that Serve ends after the last of them.
type doors struct {
	mu     sync.Mutex
	closed bool
	inside sync.WaitGroup
}

func (d *doors) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.inside.Add(1)
	}
	return !d.closed
}

func (d *doors) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.inside.Wait()
}

// Serve serves until ctx ends, and ends within 0.3 s after.
func Serve(ctx context.Context, o Options) error {
	if o.ConfigFile == "" {
		o.ConfigFile = sidecars.ConfigFile
	}
	if o.Listen == "" {
		o.Listen = ":" + strconv.Itoa(sidecars.PortEgress)
	}
	if o.DNSListen == "" {
		o.DNSListen = ":" + strconv.Itoa(sidecars.PortDNS)
	}
	if o.TellEvery == 0 {
		o.TellEvery = tellEvery
	}
	if o.Resolver == nil {
		o.Resolver = &net.Resolver{PreferGo: true} // the C library reads "127.1" as an address
	}
	s := &server{voice: newTeller(o.Voice), resolver: o.Resolver, inside: newInside()}
	defer s.voice.End()
	s.pool = s.newPool()
	s.forward = s.newForward()
	defer s.pool.CloseIdleConnections()

	// Everything below ends with this context, whatever ends first.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lc := net.ListenConfig{}
	if o.Listen == "off" && o.DNSListen == "off" {
		return errors.New("egress: neither the proxy nor the resolver is to be served")
	}
	ready := sidecars.Line{Event: sidecars.EventReady}
	var l net.Listener
	var err error
	if o.Listen != "off" {
		if l, err = lc.Listen(ctx, "tcp", o.Listen); err != nil {
			return fmt.Errorf("egress: listen for the proxy on %s: %w", o.Listen, err)
		}
		defer l.Close()
		ready.Address = l.Addr().String()
	}
	var dns *resolverServer
	if o.DNSListen != "off" {
		if dns, err = listenDNS(ctx, o.DNSListen, s); err != nil {
			return fmt.Errorf("egress: listen for DNS on %s: %w", o.DNSListen, err)
		}
		defer dns.close()
		ready.Resolver = dns.udp.LocalAddr().String()
	}
	hash, waitConfig, err := sidecars.WatchConfig(ctx, o.ConfigFile, s.apply, o.Voice)
	if err != nil {
		return fmt.Errorf("egress: %w", err)
	}
	defer waitConfig()
	defer cancel()

	front := &http.Server{
		Handler:                      s,
		ReadHeaderTimeout:            headerTimeout,
		MaxHeaderBytes:               maxHeader,
		ErrorLog:                     discardLog,
		DisableGeneralOptionsHandler: true,
		// What is open gets its grace: it is cut by cutAll, not by ctx.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ConnContext: rememberConn,
	}
	// One request on a connection: what was judged is then all that the connection carries, and the
	// agent's next request can't hide in the body of this one.
	front.SetKeepAlivesEnabled(false)

	s.gate = &gate{Listener: l, server: s, free: make(chan struct{}, maxConns), busy: make(chan struct{}, maxRequests)}

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if l == nil {
			return nil
		}
		err := front.Serve(s.gate)
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("egress: proxy: %w", err)
	})
	g.Go(func() error {
		if err := front.Serve(s.inside); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("egress: requests in tunnels: %w", err)
		}
		return nil
	})
	if dns != nil {
		g.Go(func() error { return dns.serveUDP(ctx) })
		g.Go(func() error { return dns.serveTCP(ctx) })
	}
	g.Go(func() error { s.tellTotals(ctx, o); return nil })
	g.Go(func() error {
		<-ctx.Done()
		soon, done := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer done()
		front.Shutdown(soon) //nolint:errcheck // Close follows
		s.traffic.cutAll("egress stops")
		front.Close()
		if dns != nil {
			dns.close()
		}
		return nil
	})
	o.Voice.Say(withConfig(ready, hash))
	err = g.Wait()
	s.doors.close()
	s.traffic.tell(o.Voice)
	s.rules.Lock()
	defer s.rules.Unlock()
	if s.ending != nil {
		s.ending.Stop()
	}
	return err
}

func withConfig(l sidecars.Line, hash string) sidecars.Line {
	l.Config = hash
	return l
}

// tellTotals tells what went through, as long as it changes, until ctx ends.
func (s *server) tellTotals(ctx context.Context, o Options) {
	t := time.NewTicker(o.TellEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			s.traffic.tell(o.Voice)
		}
	}
}

// apply puts a configuration in force.
func (s *server) apply(content []byte) error {
	c, err := parseConfig(content)
	if err != nil {
		return err
	}
	s.rules.Lock()
	defer s.rules.Unlock()
	s.config = c
	return s.enforce()
}

// enforce puts in force what holds now, and sees to it that it is done again when a rule ends. Under rules.
func (s *server) enforce() error {
	now, next := s.config.at(time.Now())
	p, err := now.policy()
	if err != nil {
		return err
	}
	s.traffic.swap(p)
	s.pool.CloseIdleConnections()
	if s.ending != nil {
		s.ending.Stop()
		s.ending = nil
	}
	if !next.IsZero() {
		s.ending = time.AfterFunc(time.Until(next), func() {
			s.rules.Lock()
			defer s.rules.Unlock()
			_ = s.enforce() // the configuration was checked
		})
	}
	return nil
}

// ServeHTTP judges one request. It is the only door: what it does not hand on is refused.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.doors.enter() {
		panic(http.ErrAbortHandler) // egress stops
	}
	kept := false // a tunnel goes on after this call
	defer func() {
		if !kept {
			s.doors.inside.Done()
		}
	}()
	head := takeHead(r.Context())
	via := "http"
	if r.Method == http.MethodConnect {
		via = "connect"
	}
	t, err := readTarget(r)
	if err == nil {
		err = checkHead(head, t, r)
	}
	if err != nil {
		s.refuse(w, sidecars.Line{Host: plain.Printable(r.Host), Via: via, Port: t.port}, err.Error(), oddForm)
		return
	}
	f, err := s.traffic.admit(r.Context(), t, via)
	if err != nil {
		s.refuse(w, sidecars.Line{Host: t.host, Port: t.port, Via: via, Cause: sidecars.CauseUnlisted}, err.Error(), notAllowed)
		return
	}
	defer func() {
		if !kept {
			s.end(f)
		}
	}()
	if via == "connect" {
		kept = s.connect(w, r, f)
	} else {
		s.plain(w, r, f)
	}
}

// end closes the books on what was let through.
func (s *server) end(f *flight) {
	reason := s.traffic.remove(f)
	if f.told.Load() {
		s.voice.say(sidecars.Line{
			Event: sidecars.EventTunnelEnd, Host: f.host, Port: f.port, Via: f.via, Reason: reason,
			Sent: f.sent.Load(), Received: f.received.Load(), Millis: time.Since(f.since).Milliseconds(),
		})
	}
}

// refusal is a policy's no, as against a network's.
type refusal struct {
	reason string
	cause  sidecars.Cause
}

func (r *refusal) Error() string { return r.reason }

// dial resolves f's host, judges what it found and connects to the first judged address that answers.
func (s *server) dial(ctx context.Context, t target) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	addrs := []netip.Addr{t.addr}
	if !t.addr.IsValid() {
		var err error
		// With its final dot the name is whole: no search list is tried.
		if addrs, err = s.resolver.LookupNetIP(ctx, "ip", t.host+"."); err != nil {
			return nil, fmt.Errorf("resolve %s: %w", t.host, err)
		}
	}
	p := s.traffic.policy()
	var good4, good6 []netip.Addr
	bad := ""
	for _, a := range addrs {
		a = a.Unmap()
		if what := p.judge(a); what != "" {
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
			return nil, fmt.Errorf("resolve %s: it has no address", t.host)
		}
		return nil, &refusal{t.host + " leads to " + bad, sidecars.CauseInward}
	}
	good = good[:min(len(good), maxAddrs)]
	var d net.Dialer
	if len(good) > 1 {
		d.Timeout = oneDial
	}
	var failed error
	for _, a := range good {
		// Not DialTCP: that binds the socket first, and one bound so has its local port for itself, of some 28,000.
		conn, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(a, uint16(t.port)).String())
		if err == nil {
			return conn.(*net.TCPConn), nil
		}
		failed = errors.Join(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("connect to %s: %w", t.host, failed)
}
