// Package gitgate is a bottle's way to its git remotes: it passes fetches on and lets a push through when it
// keeps the operator's rules and holds no secret, with a key or token that it alone has.
//
// Its client is hostile. The upstream is the git server for it: nothing is served from here and no git is run.
// A push is held in a file without a name until every object of it was looked at, in memory that does not grow
// with it; what is refused never reaches the upstream, and the agent is told why without being shown the secret.
//
// Keys and tokens come on its standard input and live in its memory alone, as do the operator's decisions on
// pushes. It must not write a secret anywhere, dial what is not a remote's upstream, follow a redirect, offer
// the agent any control over itself, or import bottles or ui.
package gitgate

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/internal/outward"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// Bounds on what one agent may hold, and on how long one may keep the other waiting.
const (
	maxConns      = 64 // at each of the two doors
	maxPushes     = 4  // that are received, wait to be looked at, or are sent on
	maxHeld       = 8  // that wait for the operator
	maxHeader     = 32 << 10
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	stallTimeout  = 5 * time.Minute  // without a byte from the agent where one is due
	answerTimeout = 10 * time.Minute // for an upstream's first byte
	tlsTimeout    = 10 * time.Second
	grace         = 100 * time.Millisecond
	secretOverdue = 5 * time.Second // then it says what it waits for
	copyBuffer    = 64 << 10
	askWithin     = time.Minute
	heldAtOnce    = 10 // pushes that come to wait for the operator one after the other; then it is one in each holdEvery
	holdEvery     = time.Minute
	progressEvery = 5 * time.Second
)

// ApproveWithin is how long a push waits for the operator.
const ApproveWithin = time.Hour

// softMemory is where the garbage collector begins to work harder, in bytes; a container with 256 MiB is enough.
const softMemory = 160 << 20

// Options say where to serve.
type Options struct {
	ConfigFile string // default sidecars.ConfigFile
	ListenGit  string // default ":9418"
	ListenHTTP string // default ":8081"
	SpoolDir   string // where pushes are held while they are looked at; default SpoolDir
	SpoolRoom  int64  // bytes that they take there together; default: twice the largest max_push, and 2 GiB at least
	// Input are the lines in which secrets and decisions come; none: nothing ever comes. Its end is no end of
	// serving. When it is an io.Closer, Serve closes it at its own end and waits until no one reads from it.
	Input         io.Reader
	Resolver      outward.Resolver // default: the container's own resolver
	ApproveWithin time.Duration    // how long a push waits for the operator, default 1 h
	HoldEvery     time.Duration    // how often one more push may come to wait for the operator when ten have, default 1 min
	AskWithin     time.Duration    // how long an upstream has to say what it has, default 1 min
	ProgressEvery time.Duration    // how often a waiting git is told so, default 5 s
	AllowLoopback bool             // names may lead to loopback and this machine's own addresses; for tests
	Voice         *sidecars.Voice
}

// SpoolDir is where pushes are held while they are looked at. It must be writable by the sidecar's user and have
// room for the pushes that come at once: a volume, because a tmpfs would count as memory.
const SpoolDir = "/spool"

// Run is `bottle-tui sidecar git-gate`: it serves until ctx ends or the process is told to stop (SIGTERM,
// SIGINT), reads secrets and decisions from standard input and speaks on stdout. args are the flags -config,
// -listen-git, -listen-http and -spool.
func Run(ctx context.Context, args []string, stdout io.Writer) error {
	var o Options
	define := func(flags *flag.FlagSet) {
		flags.StringVar(&o.ConfigFile, "config", "", "configuration file")
		flags.StringVar(&o.ListenGit, "listen-git", "", "address for the git protocol")
		flags.StringVar(&o.ListenHTTP, "listen-http", "", "address for smart HTTP")
		flags.StringVar(&o.SpoolDir, "spool", "", "directory for pushes while they are looked at")
	}
	return sidecars.Run(ctx, "git-gate", args, stdout, define, func(ctx context.Context, voice *sidecars.Voice) error {
		debug.SetMemoryLimit(softMemory)
		o.Voice = voice
		o.Input = sidecars.StandardInput()
		return Serve(ctx, o)
	})
}

// server is git-gate at work.
type server struct {
	voice   *teller
	traffic traffic
	outward outward.Dialer
	keys    sshPool
	scanner *scanner
	approvals
	spool    *spool
	progress time.Duration
	// askWithin is how long an upstream has for all that is asked of it about one push.
	askWithin time.Duration
	pushes    chan struct{}       // a place for each push that is received or looked at
	looking   chan struct{}       // the place of the one that is looked at
	objects   *semaphore.Weighted // those of the packs of all pushes, of which something is known
	conns     conns               // of the git protocol

	mu      sync.Mutex // configurations and secrets come one at a time
	secrets sidecars.Vault
	waiting *table // the first configuration, as long as secrets of its remotes are missing
	address string
	ready   chan struct{} // closed when ready was said
}

var discardLog = log.New(io.Discard, "", 0)

func (o *Options) fill() {
	if o.ConfigFile == "" {
		o.ConfigFile = sidecars.ConfigFile
	}
	if o.ListenGit == "" {
		o.ListenGit = ":" + strconv.Itoa(sidecars.PortGitGate)
	}
	if o.ListenHTTP == "" {
		o.ListenHTTP = ":" + strconv.Itoa(sidecars.PortGitGateHTTP)
	}
	if o.SpoolDir == "" {
		o.SpoolDir = SpoolDir
	}
	if o.Resolver == nil {
		o.Resolver = &net.Resolver{PreferGo: true} // the C library reads "127.1" as an address
	}
	if o.Input == nil {
		o.Input = strings.NewReader("")
	}
	if o.ApproveWithin <= 0 {
		o.ApproveWithin = ApproveWithin
	}
	if o.HoldEvery <= 0 {
		o.HoldEvery = holdEvery
	}
	if o.AskWithin <= 0 {
		o.AskWithin = askWithin
	}
	if o.ProgressEvery <= 0 {
		o.ProgressEvery = progressEvery
	}
}

// Serve serves until ctx ends, and ends within 0.3 s after. It says ready, with both addresses in Address,
// separated by a space, when the configuration was read and every secret that its remotes need has come; what
// comes before that is told to wait.
func Serve(ctx context.Context, o Options) error {
	o.fill()
	if f, err := os.CreateTemp(o.SpoolDir, "try"); err != nil {
		return fmt.Errorf("git-gate: pushes can't be held in %s: %w", o.SpoolDir, err)
	} else {
		f.Close()
		os.Remove(f.Name())
	}
	scan, err := newScanner()
	if err != nil {
		return fmt.Errorf("git-gate: %w", err)
	}
	s := &server{
		voice: newTeller(o.Voice, scan), outward: outward.Dialer{Resolver: o.Resolver, AllowLoopback: o.AllowLoopback},
		scanner: scan, spool: &spool{dir: o.SpoolDir, limit: o.SpoolRoom}, progress: o.ProgressEvery, pushes: make(chan struct{}, maxPushes),
		looking: make(chan struct{}, 1), objects: semaphore.NewWeighted(maxObjects),
		secrets: sidecars.Vault{Check: checkSecret}, ready: make(chan struct{}),
		approvals: approvals{within: o.ApproveWithin, every: o.HoldEvery, brought: rate.NewLimiter(rate.Every(o.HoldEvery), heldAtOnce)}, askWithin: o.AskWithin,
	}
	defer s.voice.End()
	s.keys.dial = s.outward.Dial
	defer s.keys.close()
	defer s.traffic.closeIdle()

	// Everything below ends with this context, whatever ends first.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lc := net.ListenConfig{}
	overGit, err := lc.Listen(ctx, "tcp", o.ListenGit)
	if err != nil {
		return fmt.Errorf("git-gate: listen on %s: %w", o.ListenGit, err)
	}
	defer overGit.Close()
	overHTTP, err := lc.Listen(ctx, "tcp", o.ListenHTTP)
	if err != nil {
		return fmt.Errorf("git-gate: listen on %s: %w", o.ListenHTTP, err)
	}
	defer overHTTP.Close()
	s.address = overGit.Addr().String() + " " + overHTTP.Addr().String()
	_, waitConfig, err := sidecars.WatchConfig(ctx, o.ConfigFile, s.apply, o.Voice)
	if err != nil {
		return fmt.Errorf("git-gate: %w", err)
	}
	defer waitConfig()
	defer cancel()
	waitInput := sidecars.Hear(o.Input, s.takeLine, func(err error) { s.refuseSecrets("", err) })
	defer waitInput()

	front := &http.Server{
		Handler:                      s,
		ReadHeaderTimeout:            headerTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeader,
		ErrorLog:                     discardLog,
		DisableGeneralOptionsHandler: true,
		BaseContext:                  func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := front.Serve(&gate{Listener: overHTTP, free: make(chan struct{}, maxConns), full: s.tooManyHTTP})
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("git-gate: %w", err)
	})
	g.Go(func() error {
		return s.serveGit(ctx, &gate{Listener: overGit, free: make(chan struct{}, maxConns), full: s.tooManyGit})
	})
	g.Go(func() error {
		s.sayWhatIsMissing(ctx)
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		overGit.Close()
		soon, done := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer done()
		front.Shutdown(soon) //nolint:errcheck // Close follows
		s.traffic.cutAll("git-gate stops")
		front.Close()
		s.conns.closeAll()
		return nil
	})
	err = g.Wait()
	s.conns.inside.Wait()
	s.traffic.inside.Wait()
	return err
}

// sayWhatIsMissing says after a while which secrets have not come yet.
func (s *server) sayWhatIsMissing(ctx context.Context) {
	overdue := time.NewTimer(secretOverdue)
	defer overdue.Stop()
	select {
	case <-ctx.Done():
	case <-s.ready:
	case <-overdue.C:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.waiting != nil {
			if missing := s.waiting.missing(s.secrets.Have); missing != nil {
				s.voice.say(sidecars.Line{Event: sidecars.EventError, Reason: missing.Error() + "; git-gate serves nothing before"})
			}
		}
	}
}

// apply puts a configuration in force. The very first one may wait for its secrets.
func (s *server) apply(content []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := parseTable(content)
	if err != nil {
		return err
	}
	if missing := t.missing(s.secrets.Have); missing != nil {
		if s.waiting == nil && s.traffic.table() == nil {
			s.waiting = t
			return nil
		}
		return missing
	}
	return s.force(t)
}

// force puts t in force, under mu, and says ready the first time.
func (s *server) force(t *table) error {
	signers, err := signersOf(t, s.secrets.All())
	if err != nil {
		return err
	}
	s.waiting = nil
	s.spool.fit(t)
	s.traffic.swap(t, s.secrets.All(), signers, s.newTransport)
	s.keys.keep(t)
	select {
	case <-s.ready:
	default:
		close(s.ready)
		s.voice.voice.Say(sidecars.Line{Event: sidecars.EventReady, Config: t.hash, Address: s.address}) //nolint:errcheck // nobody may listen
	}
	return nil
}
