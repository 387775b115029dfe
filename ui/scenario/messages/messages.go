// Package messages is a stand-in for the Messages API, for tests that run a real client of it: it answers by a
// script that reads the conversation, and keeps what it was sent. It serves HTTPS with a root certificate of its
// own, at an address of this host that containers reach as well.
//
// It is for tests only; nothing of the product may import it. It knows no model: what no rule answers is echoed.
//
// The protocol is the public one: POST /v1/messages with its event stream, /v1/messages/count_tokens, GET /v1/models;
// errors are {"type":"error","error":{"type","message"}}. A conversation that the real service would refuse because a
// tool_use has no tool_result in the next message, or the other way round, is refused here, too.
package messages

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Bounds on what is read and kept.
const (
	maxBody = 32 << 20 // bytes of one request, as the real service has it
	maxKept = 500      // requests
)

// Options say who may ask, and where.
type Options struct {
	// Host is an address of this machine; "": HostAddress.
	Host string
	// APIKey, when it is not "", has to come as x-api-key.
	APIKey string
	// Bearer, when it is not "", has to come as "Authorization: Bearer …".
	Bearer string
	// OAuth says that Bearer is an OAuth token: the beta oauth-2025-04-20 has to be named in anthropic-beta.
	OAuth bool
}

// Server is the running stand-in. Its methods may be called from any goroutine.
type Server struct {
	t      testing.TB
	o      Options
	url    string
	caFile string
	stop   chan struct{} // closed at the test's end, for answers that are still held

	mu    sync.Mutex
	rules []*Rule
	calls int             // for the ids
	seen  []Request       // the last maxKept
	total int             // how many there were
	news  []chan struct{} // each gets told of the next request
}

// Request is one request as it came, and what became of it.
type Request struct {
	N      int // 1 for the first
	At     time.Time
	Method string
	Path   string // with the query
	Proto  string // "HTTP/2.0"
	Header http.Header
	Body   []byte
	Turn   Turn // of POST /v1/messages; else empty
	Status int  // what it was answered
	Rule   int  // 1 for the first rule of the script; 0 when none answered
}

// Start serves until the test's end.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Host == "" {
		o.Host = HostAddress(t)
	}
	root, leaf, err := certificates(o.Host)
	if err != nil {
		t.Fatalf("make the certificates of the Messages API's stand-in: %v", err)
	}
	caFile := filepath.Join(t.TempDir(), "messages-ca.pem")
	if err := os.WriteFile(caFile, root, 0o644); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(o.Host, "0"))
	if err != nil {
		t.Fatalf("listen for the Messages API: %v", err)
	}
	s := &Server{t: t, o: o, url: "https://" + listener.Addr().String(), caFile: caFile, stop: make(chan struct{})}
	server := &http.Server{
		Handler: http.HandlerFunc(s.serve), TLSConfig: leaf, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10,
		ErrorLog: log.New(io.Discard, "", 0), // a client that is killed breaks its connections
	}
	var running sync.WaitGroup
	running.Go(func() { _ = server.ServeTLS(listener, "", "") })
	t.Cleanup(func() {
		close(s.stop)
		_ = server.Close()
		running.Wait()
	})
	return s
}

// URL is where it serves: "https://172.17.0.1:34567".
func (s *Server) URL() string { return s.url }

// Address is the host and the port of URL.
func (s *Server) Address() string { return strings.TrimPrefix(s.url, "https://") }

// CAFile is a PEM file with the root that signed its certificate. It is gone after the test.
func (s *Server) CAFile() string { return s.caFile }

// Requests are those that came so far, at most the last 500.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.seen...)
}

// Turns are the requests that go on with a conversation: POST /v1/messages with tools. What a client asks beside
// that, such as a title for the session, has none.
func (s *Server) Turns() []Request {
	var turns []Request
	for _, r := range s.Requests() {
		if r.Turn.Main() {
			turns = append(turns, r)
		}
	}
	return turns
}

// Wait waits for a request that ok accepts, among those that came already, too, and gives it. It fails the test at
// the deadline; what says what was waited for.
func (s *Server) Wait(what string, deadline time.Duration, ok func(Request) bool) Request {
	s.t.Helper()
	limit := time.NewTimer(deadline)
	defer limit.Stop()
	for {
		s.mu.Lock()
		news := make(chan struct{}, 1)
		s.news = append(s.news, news)
		seen := append([]Request(nil), s.seen...)
		s.mu.Unlock()
		for _, r := range seen {
			if ok(r) {
				return r
			}
		}
		select {
		case <-news:
		case <-limit.C:
			s.t.Fatalf("waited in vain for %v for %s; what came:\n%s", deadline, what, Summary(seen))
		}
	}
}

// Summary is a line for each request, for the message of a test that fails.
func Summary(requests []Request) string {
	var b strings.Builder
	for _, r := range requests {
		fmt.Fprintf(&b, "%d %s %s %s → %d", r.N, r.At.Format("15:04:05.000"), r.Method, r.Path, r.Status)
		if r.Turn.Model != "" {
			fmt.Fprintf(&b, " (rule %d): %q, result %q, %d tools", r.Rule, cut(r.Turn.Text, 120), cut(r.Turn.Result, 120), len(r.Turn.Tools))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func cut(s string, most int) string {
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// keep notes a request before it is answered, so that a waiting test sees one whose answer is held.
func (s *Server) keep(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, r)
	if len(s.seen) > maxKept {
		s.seen = s.seen[len(s.seen)-maxKept:]
	}
	for _, c := range s.news {
		c <- struct{}{} // has room for one, and gets one
	}
	s.news = nil
}

func (s *Server) number() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	return s.total
}

// serve answers one request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	got := Request{N: s.number(), At: time.Now(), Method: r.Method, Path: r.URL.RequestURI(), Proto: r.Proto, Header: r.Header.Clone()}
	w.Header().Set("Request-Id", fmt.Sprintf("req_%06d", got.N))
	refuse := func(f failure) {
		got.Status = f.status
		s.keep(got)
		f.write(w)
	}
	var err error
	if got.Body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		refuse(failure{http.StatusRequestEntityTooLarge, "request_too_large", err.Error()})
		return
	}
	path := r.URL.Path
	if f := s.o.refuses(r.Header); f != nil && path != "/" {
		refuse(*f)
		return
	}
	got.Status = http.StatusOK
	switch {
	case r.Method == http.MethodPost && path == "/v1/messages":
		s.message(w, r, &got, refuse)
	case r.Method == http.MethodPost && path == "/v1/messages/count_tokens":
		s.keep(got)
		write(w, http.StatusOK, map[string]any{"input_tokens": 1 + len(got.Body)/4})
	case r.Method == http.MethodGet && path == "/v1/models":
		s.keep(got)
		write(w, http.StatusOK, map[string]any{"data": models, "has_more": false, "first_id": models[0].ID, "last_id": models[len(models)-1].ID})
	case r.Method == http.MethodGet && strings.HasPrefix(path, "/v1/models/"):
		m := model{Type: "model", ID: strings.TrimPrefix(path, "/v1/models/"), Name: "any", Created: "2026-01-01T00:00:00Z"}
		s.keep(got)
		write(w, http.StatusOK, m)
	case path == "/" && (r.Method == http.MethodHead || r.Method == http.MethodGet): // a client that warms its connection
		s.keep(got)
		w.WriteHeader(http.StatusOK)
	default:
		refuse(failure{http.StatusNotFound, "not_found_error", "the stand-in has no " + r.Method + " " + path})
	}
}

// message answers POST /v1/messages.
func (s *Server) message(w http.ResponseWriter, r *http.Request, got *Request, refuse func(failure)) {
	turn, err := readTurn(got.Body)
	if err != nil {
		refuse(failure{http.StatusBadRequest, "invalid_request_error", err.Error()})
		return
	}
	if r.Header.Get("Anthropic-Version") == "" {
		refuse(failure{http.StatusBadRequest, "invalid_request_error", "anthropic-version: header is required"})
		return
	}
	got.Turn = turn
	reply := s.reply(turn, got)
	if reply.failure != nil {
		refuse(*reply.failure)
		return
	}
	s.keep(*got)
	reply.send(w, r.Context(), turn, s.stop)
}

// refuses says why a request with these headers is refused; nil when it is not.
func (o Options) refuses(h http.Header) *failure {
	bearer, isBearer := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	switch {
	case o.APIKey == "" && o.Bearer == "":
		return nil
	case o.APIKey != "" && h.Get("X-Api-Key") == o.APIKey:
		return nil
	case o.Bearer == "" || !isBearer || bearer != o.Bearer:
		return &failure{http.StatusUnauthorized, "authentication_error", "invalid credential"}
	case o.OAuth && !strings.Contains(strings.Join(h.Values("Anthropic-Beta"), ","), "oauth-2025-04-20"):
		return &failure{http.StatusUnauthorized, "authentication_error", "OAuth authentication is currently not supported."}
	}
	return nil
}

// failure is an error as the API gives it.
type failure struct {
	status int
	kind   string
	text   string
}

func (f failure) write(w http.ResponseWriter) {
	write(w, f.status, map[string]any{"type": "error", "error": map[string]string{"type": f.kind, "message": f.text}, "request_id": w.Header().Get("Request-Id")})
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that went away
}

type model struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Name    string `json:"display_name"`
	Created string `json:"created_at"`
}

var models = []model{
	{"model", "claude-opus-5-5", "Claude Opus 5.5", "2026-06-01T00:00:00Z"},
	{"model", "claude-sonnet-5-5", "Claude Sonnet 5.5", "2026-06-01T00:00:00Z"},
}
