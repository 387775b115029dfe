// Package credproxy is a bottle's way to the services that want a credential: a reverse proxy that puts an
// upstream's token into the agent's requests, so that the agent never holds one.
//
// Its client is hostile. A request goes to the upstream of the route with the longest matching path and nowhere else;
// headers and query parameters whose names are those of credentials are taken out, whatever they hold (a body passes
// as it is); a path that could be read as leading out of the upstream's base is refused. Bodies, events and upgraded
// connections pass as they come, except for the last bytes of a body in which the credential is looked for (see
// redaction), and what was let through is never cut for being slow, long or silent.
//
// Tokens come on its standard input and live in its memory alone. It must not write one anywhere, follow a
// redirect, dial what is not a route's upstream, offer any control over itself, or import bottles or ui.
package credproxy

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/internal/outward"

	"golang.org/x/sync/errgroup"
)

// Bounds on what one agent may hold, and on how long one may keep the other waiting.
const (
	maxConns       = 256
	maxHeader      = 64 << 10  // bytes of a request's head
	maxAnswerHead  = 256 << 10 // bytes of an upstream's
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute  // of a connection without a request
	answerTimeout  = 15 * time.Minute // for an upstream's first byte after the whole request; a model may think for long
	oneDial        = 10 * time.Second
	grace          = 100 * time.Millisecond // for what is open when cred-proxy is told to stop
	tokensOverdue  = 5 * time.Second        // then it says what it waits for
	lookAgain      = 30 * time.Second       // at the clock, while a route is to end: a machine that sleeps counts no time
	copyBuffer     = 128 << 10
	connBuffer     = 32 << 10 // of a connection to an upstream, each way
	streamsWindow  = 64 << 20 // bytes that an HTTP/2 connection may hold for an agent that doesn't read
	upstreamSilent = 30 * time.Second
)

// Resolver finds the addresses of a name, which ends in a dot; *net.Resolver is one.
type Resolver = outward.Resolver

// Options say where to serve.
type Options struct {
	ConfigFile string // default sidecars.ConfigFile
	Listen     string // default ":8080"
	// Tokens are the lines in which tokens come; none: no token ever comes. Its end is no end of serving.
	// When it is an io.Closer, Serve closes it at its own end and waits until no one reads from it.
	Tokens        io.Reader
	Resolver      Resolver      // default: the container's own resolver
	AnswerTimeout time.Duration // for an upstream's first byte, default 15 min
	// AllowLoopback lets names lead to loopback and to this machine's own addresses; for tests.
	AllowLoopback bool
	Voice         *sidecars.Voice
}

// Run is `bottle-tui sidecar cred-proxy`: it serves until ctx ends or the process is told to stop (SIGTERM,
// SIGINT), reads tokens from standard input and speaks on stdout. args are the flags -config and -listen.
func Run(ctx context.Context, args []string, stdout io.Writer) error {
	var o Options
	define := func(flags *flag.FlagSet) {
		flags.StringVar(&o.ConfigFile, "config", "", "configuration file")
		flags.StringVar(&o.Listen, "listen", "", "address of the proxy")
	}
	return sidecars.Run(ctx, "cred-proxy", args, stdout, define, func(ctx context.Context, voice *sidecars.Voice) error {
		o.Voice = voice
		o.Tokens = sidecars.StandardInput()
		return Serve(ctx, o)
	})
}

// server is cred-proxy at work.
type server struct {
	voice   teller
	traffic traffic
	proxy   *httputil.ReverseProxy
	buffers buffers
	outward outward.Dialer
	timeout time.Duration
	doors   doors

	mu      sync.Mutex // configurations and tokens come one at a time
	tokens  sidecars.Vault
	waiting *table // the first configuration, as long as tokens of its routes are missing
	whole   *table // what is in force, with what ends in it; nil before and after serving
	ending  *time.Timer
	address string
	ready   chan struct{} // closed when ready was said
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

var discardLog = log.New(io.Discard, "", 0)

// Serve serves until ctx ends, and ends within 0.3 s after. It says ready when the configuration was read and a
// token has come for each of its routes; requests before that are answered with 503.
func Serve(ctx context.Context, o Options) error {
	if o.ConfigFile == "" {
		o.ConfigFile = sidecars.ConfigFile
	}
	if o.Listen == "" {
		o.Listen = ":" + strconv.Itoa(sidecars.PortCredProxy)
	}
	if o.Resolver == nil {
		o.Resolver = &net.Resolver{PreferGo: true} // the C library reads "127.1" as an address
	}
	if o.AnswerTimeout <= 0 {
		o.AnswerTimeout = answerTimeout
	}
	if o.Tokens == nil {
		o.Tokens = strings.NewReader("")
	}
	s := &server{
		voice: newTeller(o.Voice), outward: outward.Dialer{Resolver: o.Resolver, AllowLoopback: o.AllowLoopback}, timeout: o.AnswerTimeout,
		tokens: sidecars.Vault{Check: checkValue}, ready: make(chan struct{}),
	}
	defer s.voice.End()
	s.proxy = s.newProxy()
	defer s.traffic.closeIdle()

	// Everything below ends with this context, whatever ends first.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lc := net.ListenConfig{}
	l, err := lc.Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("cred-proxy: listen on %s: %w", o.Listen, err)
	}
	defer l.Close()
	s.address = l.Addr().String()
	_, waitConfig, err := sidecars.WatchConfig(ctx, o.ConfigFile, s.apply, o.Voice)
	if err != nil {
		return fmt.Errorf("cred-proxy: %w", err)
	}
	defer waitConfig()
	defer cancel()
	waitTokens := s.hear(o.Tokens)
	defer waitTokens()

	front := &http.Server{
		Handler:                      s,
		ReadHeaderTimeout:            headerTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeader,
		ErrorLog:                     discardLog,
		DisableGeneralOptionsHandler: true,
		// What is open gets its grace: it is cut by cutAll, not by ctx.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := front.Serve(&gate{Listener: l, server: s, free: make(chan struct{}, maxConns)})
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("cred-proxy: %w", err)
	})
	g.Go(func() error {
		s.sayWhatIsMissing(ctx)
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		soon, done := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer done()
		front.Shutdown(soon) //nolint:errcheck // Close follows
		s.traffic.cutAll("cred-proxy stops")
		front.Close()
		return nil
	})
	err = g.Wait()
	s.doors.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.whole = nil
	if s.ending != nil {
		s.ending.Stop()
	}
	return err
}

// sayWhatIsMissing says after a while which tokens have not come yet.
func (s *server) sayWhatIsMissing(ctx context.Context) {
	overdue := time.NewTimer(tokensOverdue)
	defer overdue.Stop()
	select {
	case <-ctx.Done():
	case <-s.ready:
	case <-overdue.C:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.waiting != nil {
			if missing := s.missing(s.waiting); missing != nil {
				s.voice.say(sidecars.Line{Event: sidecars.EventError, Reason: missing.Error() + "; cred-proxy serves nothing before"})
			}
		}
	}
}

// apply puts a configuration in force. The very first one may wait for its tokens.
func (s *server) apply(content []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := parseTable(content)
	if err != nil {
		return err
	}
	if missing := s.missing(t); missing != nil {
		if s.waiting == nil && s.traffic.table() == nil {
			s.waiting = t
			return nil
		}
		return missing
	}
	s.force(t)
	return nil
}

// missing is what t needs from now on and has not got, under mu; nil: nothing.
func (s *server) missing(t *table) error { return t.missing(s.tokens.Have, time.Now()) }

// enforce puts in force what holds now, and sees to it that it is done again when a route ends. Under mu.
func (s *server) enforce() {
	if s.whole == nil {
		return
	}
	now, next := s.whole.at(time.Now())
	s.traffic.swap(now, s.newTransport)
	if s.ending != nil {
		s.ending.Stop()
		s.ending = nil
	}
	if !next.IsZero() {
		s.ending = time.AfterFunc(min(time.Until(next), lookAgain), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.enforce()
		})
	}
}

// force puts t in force, under mu, and says ready the first time.
func (s *server) force(t *table) {
	s.waiting, s.whole = nil, t
	s.enforce()
	select {
	case <-s.ready:
	default:
		close(s.ready)
		s.voice.voice.Say(sidecars.Line{Event: sidecars.EventReady, Config: t.hash, Address: s.address}) //nolint:errcheck // nobody may listen
	}
}
