// Package supervise is the MCP server through which an agent asks its operator: it turns a tool call into a
// request file in the queue, keeps the call open, and turns the operator's answer file into the call's result.
//
// The queue is its only memory, so it may be restarted at any time: a call that comes again finds the request
// that it made before. It decides nothing, and must not import bottles or ui.
package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"bottle-tui/queue"
	"bottle-tui/sidecars"
	"bottle-tui/state"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
)

// Config is supervise's configuration file, as JSON. Unknown fields are refused.
type Config struct {
	Identity string `json:"identity"`        // the bottle
	Queue    string `json:"queue,omitempty"` // default sidecars.QueueDir

	// What is in force, whole, byte for byte as the agent reads it under sidecars.CurrentConfigDir.
	Dockerfile string `json:"dockerfile"`
	Allowlist  string `json:"allowlist"` // one rule a line; see NormalAllowlist
	Routes     string `json:"routes"`    // routes.json; see NormalRoutes. "" is no routes
}

// Encode is the configuration as the file that Run reads. It fails as Check does.
func (c Config) Encode() ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode supervise's configuration: %w", err)
	}
	return append(b, '\n'), nil
}

// Check reports what is wrong with the configuration, such as an allowlist or routes that can't be read.
func (c Config) Check() error {
	if !state.ValidIdentity(c.Identity) {
		return fmt.Errorf("supervise's configuration: %q is not the identity of a bottle", c.Identity)
	}
	if _, err := NormalAllowlist(c.Allowlist); err != nil {
		return fmt.Errorf("supervise's configuration: allowlist: %w", err)
	}
	if _, err := NormalRoutes(c.Routes); err != nil {
		return fmt.Errorf("supervise's configuration: routes: %w", err)
	}
	return nil
}

// Path is where the MCP endpoint is: http://supervise:9100/mcp.
const Path = "/mcp"

// Bounds on what one agent may hold.
const (
	maxOpen       = 8  // requests that wait for the operator
	maxCalls      = 64 // calls that wait, several may wait for one request
	maxConns      = 128
	maxBody       = 4 << 20 // bytes of one HTTP request
	maxHeader     = 64 << 10
	headerTimeout = 10 * time.Second
	bodyTimeout   = 60 * time.Second
	writeTimeout  = 30 * time.Second // for one event
	idleTimeout   = 5 * time.Minute
)

// MaxProgress is the longest that a waiting call stays without a sign of life.
const MaxProgress = 30 * time.Second

// Options say where to serve.
type Options struct {
	ConfigFile string        // default sidecars.ConfigFile
	Listen     string        // default ":9100"
	Progress   time.Duration // between two signs of life of a call that waits; default 25 s, at most MaxProgress
	Grace      time.Duration // for open calls to be answered when supervise is told to stop; default 0.2 s
	Voice      *sidecars.Voice
}

// Run is `bottle-tui sidecar supervise`: it serves until ctx ends or the process is told to stop (SIGTERM,
// SIGINT), and speaks on stdout. args are the flags -config and -listen.
func Run(ctx context.Context, args []string, stdout io.Writer) error {
	var o Options
	define := func(flags *flag.FlagSet) {
		flags.StringVar(&o.ConfigFile, "config", "", "configuration file")
		flags.StringVar(&o.Listen, "listen", "", "address of the MCP server")
	}
	return sidecars.Run(ctx, "supervise", args, stdout, define, func(ctx context.Context, voice *sidecars.Voice) error {
		o.Voice = voice
		return Serve(ctx, o)
	})
}

// server is supervise at work.
type server struct {
	voice    *sidecars.Voice
	config   atomic.Pointer[Config]
	box      *queue.Box // set by the first configuration
	desk     *desk
	progress time.Duration
	stopping context.Context
	mcp      http.Handler
}

// Serve serves until ctx ends, and ends within 0.3 s after. Calls that wait are told to call again.
func Serve(ctx context.Context, o Options) error {
	if o.ConfigFile == "" {
		o.ConfigFile = sidecars.ConfigFile
	}
	if o.Listen == "" {
		o.Listen = ":" + strconv.Itoa(sidecars.PortSupervise)
	}
	if o.Progress <= 0 || o.Progress > MaxProgress {
		o.Progress = 25 * time.Second
	}
	if o.Grace <= 0 {
		o.Grace = 200 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &server{voice: o.Voice, progress: o.Progress, stopping: ctx}
	s.mcp = s.newMCP()
	hash, waitConfig, err := sidecars.WatchConfig(ctx, o.ConfigFile, s.apply, o.Voice)
	if err != nil {
		return fmt.Errorf("supervise: %w", err)
	}
	defer waitConfig()
	defer cancel()
	// Ready means that a request gets to the operator: a queue that only looks like one is found out before an agent asks.
	if err := s.box.Probe(); err != nil {
		return fmt.Errorf("supervise: %w", err)
	}
	s.desk = newDesk(s.box)
	defer s.desk.close()

	lc := net.ListenConfig{}
	l, err := lc.Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("supervise: listen on %s: %w", o.Listen, err)
	}
	defer l.Close()
	front := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		MaxHeaderBytes:    maxHeader,
		IdleTimeout:       idleTimeout,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	// Whoever waited before the restart waits no more, until it calls again.
	pending, bad := s.box.Requests()
	for _, p := range bad {
		s.voice.Say(sidecars.Line{Event: sidecars.EventError, Reason: fmt.Sprintf("read the queue: %s: %s", p.Path, p.Err)}) //nolint:errcheck // nobody may listen
	}
	for _, p := range pending {
		s.voice.Say(sidecars.Line{Event: sidecars.EventAbandoned, ID: p.ID, Reason: "supervise was started anew; the call that waited has ended"})
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := front.Serve(netutil.LimitListener(l, maxConns)); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("supervise: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-gctx.Done()
		cancel() // the open calls see it and answer
		soon, done := context.WithTimeout(context.WithoutCancel(ctx), o.Grace)
		defer done()
		if front.Shutdown(soon) != nil {
			front.Close()
		}
		return nil
	})
	s.voice.Say(sidecars.Line{Event: sidecars.EventReady, Config: hash, Address: l.Addr().String()})
	return g.Wait()
}

// apply puts a configuration in force.
func (s *server) apply(content []byte) error {
	var c Config
	if err := sidecars.DecodeConfig(content, &c); err != nil {
		return err
	}
	if err := c.Check(); err != nil {
		return err
	}
	if c.Queue == "" {
		c.Queue = sidecars.QueueDir
	}
	if old := s.config.Load(); old == nil {
		s.box = queue.Open(c.Queue)
	} else if old.Identity != c.Identity || old.Queue != c.Queue {
		return errors.New("the identity and the queue can't change while supervise runs")
	}
	s.config.Store(&c)
	return nil
}
