// Command pipelock stands in for the real pipelock, whose image can't be had where the tests run, as far as a bottle
// relies on it: it reads a configuration strictly, again when a file in its directory changes, says what it does in
// the lines that were recorded of pipelock 2.3.0, and lets through what its allowlist names. It reaches nothing: what
// it lets through it answers itself.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
	"gopkg.in/yaml.v3"
)

// config is what is written for pipelock; any other key aborts.
type config struct {
	Version    int      `yaml:"version"`
	Mode       string   `yaml:"mode"`
	Allow      []string `yaml:"api_allowlist"`
	FetchProxy struct {
		Listen     string         `yaml:"listen"`
		Monitoring map[string]any `yaml:"monitoring"`
	} `yaml:"fetch_proxy"`
	ForwardProxy struct {
		Enabled bool `yaml:"enabled"`
		Idle    int  `yaml:"idle_timeout_seconds"`
		Tunnel  int  `yaml:"max_tunnel_seconds"`
	} `yaml:"forward_proxy"`
	RequestBody map[string]any `yaml:"request_body_scanning"`
	Response    map[string]any `yaml:"response_scanning"`
	Metrics     string         `yaml:"metrics_listen"`
	Sentry      map[string]any `yaml:"sentry"`

	hash string
}

func load(path string) (*config, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading config: %w", err)
	}
	c := &config{}
	d := yaml.NewDecoder(bytes.NewReader(content))
	d.KnownFields(true)
	if err := d.Decode(c); err != nil {
		return nil, fmt.Errorf("parsing config: %w", err)
	}
	if c.Version != 1 || c.Mode != "strict" || len(c.Allow) == 0 || !c.ForwardProxy.Enabled {
		return nil, errors.New("validating config: a strict forward proxy needs an api_allowlist")
	}
	sum := sha256.Sum256(content)
	c.hash = hex.EncodeToString(sum[:])
	return c, nil
}

// allows says whether the allowlist names a host; "*.x" is x, too, and everything below it.
func (c *config) allows(host string) bool {
	for _, entry := range c.Allow {
		base, any := strings.CutPrefix(entry, "*.")
		if host == base || any && strings.HasSuffix(host, "."+base) {
			return true
		}
	}
	return false
}

type proxy struct {
	mu   sync.Mutex
	now  *config
	asks int
}

func (p *proxy) config() *config {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// say is one line of the log; fields are names and values in turn.
func (p *proxy) say(level, event string, fields ...any) {
	line := map[string]any{"level": level, "component": "pipelock", "event": event, "time": time.Now().UTC().Format(time.RFC3339), "message": event}
	for i := 0; i < len(fields); i += 2 {
		line[fields[i].(string)] = fields[i+1]
	}
	b, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Printf("%s\n", b)
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect && !r.URL.IsAbs() {
		http.NotFound(w, r)
		return
	}
	host := strings.ToLower(r.URL.Hostname())
	p.mu.Lock()
	p.asks++
	id := fmt.Sprintf("req-%d", p.asks)
	p.mu.Unlock()
	who := []any{"method", r.Method, "client_ip", r.RemoteAddr, "request_id", id}
	if r.Method == http.MethodConnect {
		who = append(who, "target", r.Host)
	} else {
		who = append(who, "url", r.URL.String())
	}
	if !p.config().allows(host) {
		reason := "domain not in allowlist: " + host
		p.say("warn", "blocked", append(who, "scanner", "allowlist", "reason", reason)...)
		http.Error(w, "blocked: "+reason, http.StatusForbidden)
		return
	}
	if r.Method != http.MethodConnect {
		n, _ := fmt.Fprintf(w, "the page of %s", host)
		p.say("info", "forward_http", append(who, "status_code", 200, "size_bytes", n, "duration_ms", 0.5)...)
		return
	}
	conn, early, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	p.say("info", "tunnel_open", who...)
	_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection Established\r\n\r\n")
	n, _ := io.Copy(conn, early) // nobody is behind the tunnel; it goes on until its client ends it, whatever the configuration becomes
	p.say("info", "tunnel_close", append(who, "total_bytes", 2*n, "duration_ms", 0.5)...)
}

// watch reads the configuration again a while after its directory changed.
func (p *proxy) watch(ctx context.Context, path string) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.Add(filepath.Dir(path)); err != nil {
		return err
	}
	var quiet <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.Events:
			if filepath.Base(e.Name) == filepath.Base(path) && (e.Has(fsnotify.Write) || e.Has(fsnotify.Create) || e.Has(fsnotify.Rename)) {
				quiet = time.After(100 * time.Millisecond)
			}
		case <-quiet:
			quiet = nil
			next, err := load(path)
			if err != nil {
				fmt.Fprintf(os.Stderr, "pipelock: config reload failed: %v\n", err)
				continue
			}
			p.mu.Lock()
			p.now = next
			p.mu.Unlock()
			p.say("info", "config_reload", "status", "success", "detail", "mode=strict", "config_hash", next.hash)
		}
	}
}

func main() {
	if len(os.Args) != 4 || os.Args[1] != "run" || os.Args[2] != "--config" {
		fmt.Fprintf(os.Stderr, "unknown arguments: %q\n", os.Args[1:])
		os.Exit(1)
	}
	first, err := load(os.Args[3])
	if err != nil {
		fmt.Fprintf(os.Stderr, "Error: loading config: %v\n", err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	p := &proxy{now: first}
	fmt.Fprintf(os.Stderr, "Pipelock v2.3.0 starting\n  Mode:   strict\n")
	go func() {
		if err := p.watch(ctx, os.Args[3]); err != nil {
			p.say("error", "error", "method", "CONFIG_RELOAD", "url", os.Args[3], "error", err.Error())
		}
	}()
	p.say("info", "startup", "listen", first.FetchProxy.Listen, "mode", first.Mode, "version", "2.3.0", "config_hash", first.hash)
	front := &http.Server{Addr: first.FetchProxy.Listen, Handler: p}
	go func() {
		figures := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "pipelock_up 1\n") }
		if err := http.ListenAndServe(first.Metrics, http.HandlerFunc(figures)); err != nil {
			p.say("error", "error", "method", "METRICS", "url", first.Metrics, "error", err.Error())
		}
	}()
	go func() {
		<-ctx.Done()
		p.say("info", "shutdown", "reason", "context cancelled")
		front.Close()
	}()
	if err := front.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintf(os.Stderr, "Error: %v\n", err)
		os.Exit(1)
	}
}
