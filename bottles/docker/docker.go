// Package docker is bottles.Engine on a Docker Engine, 20.10 (API 1.41) to 29. It is the only importer of
// github.com/docker/docker in this program.
//
// It knows how an engine is talked to, and what every container of this program must be like (no
// capabilities, no new privileges, a bounded log, never restarted, never removed by the engine
// itself); it must not know what a bottle is: no names, no roles, no order of steps.
//
// The engine's own words reach the caller whole: an error says what was tried and on what, then what
// the engine said, then what to do, and wraps one of the errors of package bottles where it is one.
package docker

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker/watchdog"
)

// minAPI is the oldest API that has what this package needs; Docker Engine 20.10 speaks it.
const minAPI = "1.41"

// dialTimeout bounds how long opening a connection to the engine may take.
const dialTimeout = 10 * time.Second

// Engine is a bottles.Engine. Its methods may be called from several goroutines.
type Engine struct {
	host  string
	local bool
	opts  []client.Opt
	// session is the client whose API version was agreed with the engine that answers now; nil
	// before the first call and after the engine went away, for another one may come back.
	current atomic.Pointer[client.Client]
	gate    chan struct{} // held while a session is being agreed on

	patience time.Duration // endWithin; shorter in a test
	watchdog atomic.Pointer[watchdog.Watchdog]
}

var (
	_ bottles.Engine  = (*Engine)(nil)
	_ bottles.Chooser = (*Engine)(nil)
)

// Open makes an Engine for the address in DOCKER_HOST or, when that is not set, for the default
// socket (/var/run/docker.sock). DOCKER_TLS_VERIFY, DOCKER_CERT_PATH and DOCKER_API_VERSION count as
// they do for the docker command; its contexts do not: who uses one sets DOCKER_HOST to its endpoint, and Choice tells
// of it.
//
// Open asks nothing of the engine and does not fail when none answers: Info tells. It fails when the
// environment names an engine in a way that can't be used.
func Open(ctx context.Context) (*Engine, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open the container engine: %w", err)
	}
	host := os.Getenv(client.EnvOverrideHost)
	if host == "" {
		host = client.DefaultDockerHost
	}
	url, err := client.ParseHostURL(host)
	if err != nil {
		return nil, fmt.Errorf("open the container engine: DOCKER_HOST is %q: %w; set it to unix:///path/to/docker.sock or tcp://host:port, or unset it", host, err)
	}
	e := &Engine{host: host, gate: make(chan struct{}, 1), patience: endWithin}
	switch url.Scheme {
	case "unix", "npipe":
		e.local = true
	case "tcp", "http", "https":
	case "ssh":
		return nil, fmt.Errorf("open the container engine: DOCKER_HOST is %q, and this program does not speak ssh; forward the socket (ssh -N -L /tmp/engine.sock:/var/run/docker.sock HOST) and set DOCKER_HOST=unix:///tmp/engine.sock", host)
	default:
		return nil, fmt.Errorf("open the container engine: DOCKER_HOST is %q, and %q is no way to reach an engine; use unix:// or tcp://", host, url.Scheme)
	}
	e.opts = []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation(), client.WithUserAgent("bottle-tui")}
	if runtime.GOOS != "windows" {
		e.opts = append(e.opts, client.WithDialContext(dialer(url.Scheme, url.Host)))
	}
	c, err := client.NewClientWithOpts(e.opts...)
	if err != nil {
		return nil, fmt.Errorf("open the container engine %s: %w; check DOCKER_HOST, DOCKER_CERT_PATH and DOCKER_API_VERSION", host, err)
	}
	_ = c.Close()
	return e, nil
}

// hijacked is the context key under which a call asks, by a *dialed, for its connection, and for that to be closed when its
// context ends. The client does not do that for the connections that it takes over from HTTP.
type hijacked struct{}

type dialed struct {
	conn    net.Conn
	release func() bool // has the end of the context close it no more
}

// dialer opens connections to the engine at addr.
func dialer(scheme, addr string) func(context.Context, string, string) (net.Conn, error) {
	d := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	return func(ctx context.Context, _, to string) (net.Conn, error) {
		network := "tcp"
		if scheme == "unix" {
			network, to = "unix", addr
		}
		conn, err := d.DialContext(ctx, network, to)
		if err != nil {
			return nil, err
		}
		if d, ok := ctx.Value(hijacked{}).(*dialed); ok {
			d.conn, d.release = conn, context.AfterFunc(ctx, func() { _ = conn.Close() })
		}
		return conn, nil
	}
}

// session is a client whose API version the engine has agreed to.
func (e *Engine) session(ctx context.Context) (*client.Client, error) {
	if c := e.current.Load(); c != nil {
		return c, nil
	}
	select {
	case e.gate <- struct{}{}:
		defer func() { <-e.gate }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c := e.current.Load(); c != nil {
		return c, nil
	}
	c, err := client.NewClientWithOpts(e.opts...)
	if err != nil {
		return nil, err
	}
	ping, err := c.Ping(ctx)
	if err != nil {
		_ = c.Close()
		if ctx.Err() != nil {
			return nil, &silentError{cause: ctx.Err()}
		}
		return nil, err
	}
	c.NegotiateAPIVersionPing(ping)
	if v := c.ClientVersion(); versions.LessThan(v, minAPI) {
		_ = c.Close()
		return nil, &tooOldError{api: v}
	}
	e.current.Store(c)
	return c, nil
}

// forget drops the session, so that the next call agrees on a version again: with an engine that
// was restarted, perhaps as a newer one.
func (e *Engine) forget() {
	if c := e.current.Swap(nil); c != nil {
		_ = c.Close()
	}
}

// call runs f on a session and gives its error a caller's form. what says what is tried, on what.
func (e *Engine) call(ctx context.Context, what string, f func(*client.Client) error) error {
	c, err := e.session(ctx)
	if err == nil {
		err = f(c)
	}
	return e.explain(ctx, what, err)
}

// endWithin is how long an engine may take over one container's end: it waits there for whoever is attached to its
// terminal and does not read, such as a program that is stopped, and holds up every other call on the container.
const endWithin = 45 * time.Second

// within is call for an answer that must come within limit.
func (e *Engine) within(ctx context.Context, limit time.Duration, what string, f func(context.Context, *client.Client) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := e.call(limited, what, func(c *client.Client) error { return f(limited, c) })
	if err == nil || ctx.Err() != nil || limited.Err() == nil {
		return err
	}
	return &failure{what: what, cause: fmt.Errorf("the engine has not answered within %v", limit),
		hint: "it waits for every program that is attached to the container: continue or end one that is stopped (state T in: ps -eo pid,stat,args | grep -e bottle-tui -e docker), then try again"}
}

// Info asks the engine who it is.
func (e *Engine) Info(ctx context.Context) (bottles.EngineInfo, error) {
	info := bottles.EngineInfo{Address: e.host, Local: e.local}
	err := e.call(ctx, "ask the container engine at "+e.host+" who it is", func(c *client.Client) error {
		v, err := c.ServerVersion(ctx)
		if err != nil {
			return silence(ctx, err)
		}
		i, err := engineInfo(ctx, c)
		if err != nil {
			return silence(ctx, err)
		}
		info.ID, info.Version, info.API = i.ID, v.Version, c.ClientVersion()
		info.OS, info.Arch = v.Os, v.Arch
		// An engine that could not start its init says so in the place of its version; where it names none, it may have one.
		info.Init = i.InitBinary != "" && i.InitCommit.ID != "N/A"
		return nil
	})
	if err != nil {
		return bottles.EngineInfo{}, err
	}
	return info, nil
}

func engineInfo(ctx context.Context, c *client.Client) (system.Info, error) {
	i, err := c.Info(ctx)
	if says(err, "error reading remote info") {
		err = &brokenError{err}
	}
	return i, err
}

// Watch has w end the terminals that are attached to from now on, should this program be stopped: one that is attached to and
// not read stops its agent.
func (e *Engine) Watch(w *watchdog.Watchdog) { e.watchdog.Store(w) }

// Close gives back the connections that are idle. What still runs is ended by its context.
func (e *Engine) Close() error {
	e.forget()
	return nil
}

// socket is the path of the engine's unix socket, "" where it has none.
func (e *Engine) socket() string {
	path, ok := strings.CutPrefix(e.host, "unix://")
	if !ok {
		return ""
	}
	return path
}
