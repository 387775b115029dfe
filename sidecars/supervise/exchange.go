package supervise

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"bottle-tui/sidecars"
)

// exchange is one HTTP request and its answer. The MCP library does not tell a tool that its client has gone,
// nor whether its result went out; the exchange does, because it stands between the library and the connection.
type exchange struct {
	w       http.ResponseWriter
	control *http.ResponseController
	server  *server
	ctx     context.Context // ends with the connection

	mu       sync.Mutex
	err      error
	over     bool
	held     map[string]*held // by request id
	buffered []*held          // written, not yet flushed
}

// held is a request whose answer this exchange is to carry.
type held struct {
	id       string
	calls    int    // of this exchange that wait for it
	decision string // once it is known
	done     bool   // it went to the connection
}

type exchangeKey struct{}

// ServeHTTP is the front of the MCP endpoint.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != Path {
		http.Error(w, "the MCP endpoint is "+Path, http.StatusNotFound)
		return
	}
	x := &exchange{w: w, control: http.NewResponseController(w), server: s, ctx: r.Context(), held: map[string]*held{}}
	if r.Method == http.MethodPost {
		body, err := x.body(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	defer x.finish()
	s.mcp.ServeHTTP(x, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
}

// body reads what the client sends, bounded in size and time. After it the connection is watched for its end.
func (x *exchange) body(r *http.Request) ([]byte, error) {
	x.control.SetReadDeadline(time.Now().Add(bodyTimeout)) //nolint:errcheck
	defer x.control.SetReadDeadline(time.Time{})           //nolint:errcheck
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, errors.New("the request could not be read to its end")
	}
	if len(body) > maxBody {
		return nil, errors.New("the request has more than 4 MiB; what a call proposes may have 256 KiB")
	}
	return body, nil
}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// hold notes that the answer to request id is to go out here; false when the exchange is over already.
func (x *exchange) hold(id string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return false
	}
	if x.held[id] == nil {
		x.held[id] = &held{id: id}
	}
	x.held[id].calls++
	return true
}

// decided notes that the next event naming request id carries its answer.
func (x *exchange) decided(id, decision string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if h := x.held[id]; h != nil {
		h.decision = decision
	}
}

// finish gives up what did not go out.
func (x *exchange) finish() {
	x.FlushError() //nolint:errcheck // remembered
	x.mu.Lock()
	x.over = true
	var lost []*held
	for _, h := range x.held {
		if !h.done {
			lost = append(lost, h)
		}
	}
	x.mu.Unlock()
	for _, h := range lost {
		x.server.abandon(h.id, h.calls, "the agent's connection ended before the answer")
	}
}

// abandon ends calls that waited for request id; it is said when nobody waits any more.
func (s *server) abandon(id string, calls int, reason string) {
	if s.desk.left(id, calls) == 0 {
		if s.stopping.Err() != nil {
			reason = "supervise stops"
		}
		s.voice.Say(sidecars.Line{Event: sidecars.EventAbandoned, ID: id, Reason: reason})
	}
}

// Header is the answer's header.
func (x *exchange) Header() http.Header { return x.w.Header() }

// WriteHeader sends the answer's status.
func (x *exchange) WriteHeader(status int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.over {
		x.w.WriteHeader(status)
	}
}

// Write sends one event; the library never cuts one in two.
func (x *exchange) Write(b []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return 0, http.ErrHandlerTimeout
	}
	if x.err == nil && x.ctx.Err() != nil {
		x.err = x.ctx.Err()
	}
	if x.err != nil {
		return 0, x.err
	}
	x.control.SetWriteDeadline(time.Now().Add(writeTimeout)) //nolint:errcheck
	n, err := x.w.Write(b)
	if err != nil {
		x.err = err
		return n, err
	}
	for _, h := range x.held {
		if h.decision != "" && !h.done && bytes.Contains(b, []byte(h.id)) {
			x.buffered = append(x.buffered, h)
		}
	}
	return n, nil
}

// FlushError sends what was written to the connection. When that holds an answer and went well, the answer
// is delivered.
func (x *exchange) FlushError() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over || x.err != nil {
		return x.err
	}
	if x.err = x.control.Flush(); x.err != nil {
		return x.err
	}
	for _, h := range x.buffered {
		if !h.done {
			h.done = true
			x.server.desk.delivered(h.id, h.calls)
			x.server.voice.Say(sidecars.Line{Event: sidecars.EventDelivered, ID: h.id, Decision: h.decision})
		}
	}
	x.buffered = nil
	return nil
}

// beat sends a comment, which every reader of events skips: a sign of life for a client that gave no
// progress token, and what makes the answer's headers go out.
func (x *exchange) beat() {
	x.Write([]byte(": waiting for the operator\n\n")) //nolint:errcheck // remembered
	x.FlushError()                                    //nolint:errcheck
}
