package credproxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/internal/plain"
)

type flightKey struct{}

func flightOf(ctx context.Context) *flight { return ctx.Value(flightKey{}).(*flight) }

// ServeHTTP judges one request and sends it on. It is the only door.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.doors.enter() {
		panic(http.ErrAbortHandler) // cred-proxy stops
	}
	defer s.doors.inside.Done()
	switch r.Method {
	case http.MethodConnect, http.MethodTrace, "TRACK", "DEBUG":
		// The latter answer with the request that they got, credential and all.
		s.refuse(w, http.StatusMethodNotAllowed, "", "its method "+plain.Printable(r.Method)+" is not for a service with a credential", "Use another method; there is no tunnel here.")
		return
	}
	raw, _, _ := strings.Cut(r.RequestURI, "?")
	path, err := readPath(raw)
	if err != nil {
		s.refuse(w, http.StatusBadRequest, "", err.Error(), "Send the path plainly, without empty or dot segments, and encode what is not a letter, a digit or plain punctuation.")
		return
	}
	f, err := s.traffic.admit(r.Context(), path)
	var none *noRoute
	switch {
	case errors.As(err, &none):
		s.refuse(w, http.StatusNotFound, "", none.Error(), routesHint(none.paths))
		return
	case err != nil:
		w.Header().Set("Retry-After", "1")
		answer(w, http.StatusServiceUnavailable, err.Error(), "Try again in a second.")
		return
	}
	defer s.traffic.remove(f)
	f.host = r.Host
	// An upstream may answer before it has read all; without this the server drops what is left to send.
	conn := http.NewResponseController(w)
	conn.EnableFullDuplex() //nolint:errcheck // HTTP/1 has it
	r = r.WithContext(f.ctx)
	if r.Body != nil && r.Body != http.NoBody {
		f.body = &body{ReadCloser: r.Body, from: r}
		r.Body = f.body
	}
	// Whoever waits for the rest of the agent's body holds the connection open: a cut must wake it, and so must
	// a panic, which is how ReverseProxy breaks off.
	stop := context.AfterFunc(f.ctx, func() {
		conn.SetReadDeadline(time.Now()) //nolint:errcheck // the connection is to end
	})
	s.proxy.ServeHTTP(w, r)
	stop()
}

func (s *server) newProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport:      roundTripper{},
		FlushInterval:  -1,
		BufferPool:     &s.buffers,
		ErrorLog:       discardLog,
		Rewrite:        rewrite,
		ModifyResponse: s.modify,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			s.fail(w, flightOf(r.Context()), err)
		},
	}
}

// rewrite makes of the agent's request the one for the upstream. ReverseProxy has taken out the hop-by-hop
// headers before, so that none of these can name a header that is set here.
func rewrite(p *httputil.ProxyRequest) {
	f := flightOf(p.In.Context())
	out := p.Out
	out.URL.Scheme, out.URL.Host, out.Host = f.to.scheme, f.to.authority(), f.to.authority()
	out.URL.User, out.URL.Fragment, out.URL.RawFragment = nil, "", ""
	if err := setPath(out.URL, f.path); err != nil { // readPath's form always fits; an empty host is never dialled
		out.URL.Host = ""
	}
	_, query, _ := strings.Cut(p.In.RequestURI, "?")
	out.URL.RawQuery = stripQuery(query, f.AuthScheme)
	out.URL.ForceQuery = false
	stripAgent(out.Header)
	if up := out.Header.Get("Upgrade"); up != "" && !strings.EqualFold(up, "websocket") {
		// Another protocol (h2c) would carry requests that nobody here sees. A server may ignore an Upgrade.
		out.Header.Del("Upgrade")
		out.Header.Del("Connection")
	}
	setCredential(out.Header, f.AuthScheme, f.token)
	out.Trailer = nil
	if f.body != nil && len(p.In.Trailer) > 0 {
		f.body.trailer = http.Header{}
		for name := range p.In.Trailer {
			if !agentSays(name) {
				f.body.trailer[name] = nil
			}
		}
		out.Trailer = f.body.trailer
	}
}

// body is the agent's body: it remembers that reading it failed, and hands over its trailers at its end.
type body struct {
	io.ReadCloser
	from    *http.Request
	trailer http.Header // names announced; values at the end
	failed  atomic.Pointer[error]
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		for name := range b.trailer {
			b.trailer[name] = b.from.Trailer[name]
		}
	} else if err != nil {
		b.failed.Store(&err)
	}
	return n, err
}

// modify makes of the upstream's answer the one for the agent.
func (s *server) modify(r *http.Response) error {
	f := flightOf(r.Request.Context())
	l := f.line(sidecars.EventAllow)
	l.Status = r.StatusCode
	s.voice.say(l)
	if r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusForbidden {
		l.Event = sidecars.EventDenied
		s.voice.say(l)
	}
	stripUpstream(r.Header)
	stripUpstream(r.Trailer)
	if len(r.Trailer) > 0 { // which HTTP/1 has only after chunks
		r.Header.Del("Content-Length")
	}
	for _, name := range []string{"Location", "Content-Location"} {
		lead(r.Header, name, func(value string) string {
			to, _ := f.location(value, r.Request.URL)
			return to
		})
	}
	lead(r.Header, "Link", func(value string) string { return f.links(value, r.Request.URL) })
	if r.StatusCode == http.StatusSwitchingProtocols {
		s.redact(r, f)
		return nil
	}
	r.Body = pumped(r)
	s.redact(r, f)
	r.Body = &answerBody{r.Body, r, f}
	return nil
}

// lead has a header's values say where the agent finds what they name; "" takes one out.
func lead(h http.Header, name string, to func(string) string) {
	if len(h[name]) == 0 {
		return
	}
	var kept []string
	for _, value := range h[name] {
		if value = to(value); value != "" {
			kept = append(kept, value)
		}
	}
	if h.Del(name); kept != nil {
		h[name] = kept
	}
}

// answerBody takes out of the trailers, which are there at its end, what has no place in a header either. When it
// breaks off, so does the flight: whoever still waits for the agent's body must not keep the rest waiting.
type answerBody struct {
	io.ReadCloser
	r *http.Response
	f *flight
}

func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && len(b.r.Trailer) > 0 {
		stripUpstream(b.r.Trailer)
		b.f.hidden.header(b.r.Trailer)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.f.cancel(err)
	}
	return n, err
}

// roundTripper sends over the flight's own connections. Nothing in it follows a redirect.
type roundTripper struct{}

func (roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	f := flightOf(r.Context())
	// Of what comes before the answer only hints to links pass.
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
			for name := range h {
				if name != "Link" {
					delete(h, name)
				}
			}
			lead(http.Header(h), "Link", func(value string) string { return f.links(value, r.URL) })
			return nil
		},
	})
	return f.transport.RoundTrip(r.WithContext(ctx))
}

// buffers are those through which bodies are copied.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, copyBuffer)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
