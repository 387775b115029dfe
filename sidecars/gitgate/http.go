package gitgate

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/internal/outward"
)

// Smart HTTP: gitprotocol-http(5).
const (
	uploadPack  = "git-upload-pack"
	receivePack = "git-receive-pack"
	viaHTTP     = "http"
)

// newTransport makes the connections to https upstreams.
func (s *server) newTransport(t *table) *http.Transport {
	roots := outward.PublicRoots()
	if t.ca != "" {
		roots = roots.Clone()
		roots.AppendCertsFromPEM([]byte(t.ca))
	}
	return &http.Transport{
		Proxy: nil, // never a proxy that the environment names
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			to, ok := s.traffic.dialable(addr)
			if !ok {
				return nil, &outward.NotDialled{Reason: "it is not the upstream of a remote"}
			}
			return s.outward.Dial(ctx, to.host, to.port, to.loopback)
		},
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    tlsTimeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // what git asked for is what it gets
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        idleTimeout,
		ResponseHeaderTimeout:  answerTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		ReadBufferSize:         copyBuffer,
		WriteBufferSize:        copyBuffer,
	}
}

var (
	addressForm  = regexp.MustCompile(`^/([A-Za-z0-9][A-Za-z0-9._-]*?)(?:\.git)?/+(info/refs|git-upload-pack|git-receive-pack)$`)
	protocolForm = regexp.MustCompile(`^[a-z0-9=:.-]{1,64}$`)
)

// ServeHTTP answers one request of the agent's git.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m := addressForm.FindStringSubmatch(r.URL.Path)
	if m == nil || r.URL.RawPath != "" {
		reason, hint := s.nowhere(r.URL.Path, "http://git-gate:8081/NAME")
		s.turnAway(w, http.StatusNotFound, "", reason, hint)
		return
	}
	name, what := m[1], m[2]
	service := what
	switch {
	case what == "info/refs" && r.Method == http.MethodGet:
		service = r.URL.RawQuery
		if service, _ = strings.CutPrefix(service, "service="); service != uploadPack && service != receivePack {
			s.turnAway(w, http.StatusForbidden, name, "only git's smart protocol is spoken here", "Update git.")
			return
		}
	case what != "info/refs" && r.Method == http.MethodPost && r.URL.RawQuery == "":
	default:
		s.turnAway(w, http.StatusMethodNotAllowed, name, "git does not ask like that", "Use git.")
		return
	}
	f, err := s.traffic.admit(r.Context(), name, false)
	if err != nil {
		s.notAdmitted(w, r, name, service, err)
		return
	}
	defer s.traffic.remove(f)
	control := http.NewResponseController(w)
	defer hurry(f.ctx, control.SetReadDeadline, control.SetWriteDeadline)()
	switch {
	case service == uploadPack:
		s.fetchHTTP(w, r, f, what)
	case what == "info/refs":
		a, err := s.advertHTTP(f.ctx, f)
		if err != nil {
			s.failHTTP(w, r, f, service, err)
			return
		}
		w.Header().Set("Content-Type", "application/x-git-receive-pack-advertisement")
		w.Header().Set("Cache-Control", "no-cache")
		w.Write(append(appendPkt(nil, "# service="+receivePack+"\n"), flushPkt...)) //nolint:errcheck // the agent may have gone
		w.Write(a.raw)                                                              //nolint:errcheck // the agent may have gone
	default:
		s.pushHTTP(w, r, f)
	}
}

// ask makes a request to f's upstream.
func (f *flight) ask(ctx context.Context, method, what string, body io.Reader) (*http.Request, error) {
	q, err := http.NewRequestWithContext(ctx, method, f.to.url()+"/"+what, body)
	if err != nil {
		return nil, fmt.Errorf("make a request to %s: %w", f.to.authority(), err)
	}
	q.Header.Set("User-Agent", "git/2.39.5 (git-gate)") // some servers answer git alone
	if f.secret != "" {
		user := f.secret
		if !strings.Contains(user, ":") {
			user = "x-access-token:" + user
		}
		q.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user)))
	}
	return q, nil
}

// badStatus is an answer of an upstream that is none of git's.
type badStatus struct {
	status int
	to     string // Location
	text   string
}

func (e *badStatus) Error() string {
	switch {
	case e.status == http.StatusUnauthorized || e.status == http.StatusForbidden:
		return fmt.Sprintf("the upstream answered %d: it does not take git-gate's credential for this", e.status)
	case e.status == http.StatusNotFound:
		return "the upstream answered 404: there is no such repository, or git-gate's credential may not see it"
	case e.to != "":
		return fmt.Sprintf("the upstream answered %d and points to %s; the operator must write that as the upstream", e.status, e.to)
	case e.text != "":
		return fmt.Sprintf("the upstream answered %d: %s", e.status, e.text)
	}
	return fmt.Sprintf("the upstream answered %d", e.status)
}

// do sends q and takes nothing for an answer but one of that content type.
func (f *flight) do(q *http.Request, contentType string) (*http.Response, error) {
	res, err := f.transport.RoundTrip(q)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", f.to.authority(), err)
	}
	got, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	if res.StatusCode == http.StatusOK && got == contentType {
		return res, nil
	}
	defer res.Body.Close()
	bad := &badStatus{status: res.StatusCode}
	if res.StatusCode/100 == 3 {
		if to, err := res.Location(); err == nil { // which may hold a credential
			bad.to = plain(to.Scheme+"://"+to.Host+to.EscapedPath(), 300)
		}
	}
	if got == "text/plain" {
		b, _ := io.ReadAll(io.LimitReader(res.Body, 1000))
		bad.text = plain(strings.TrimSpace(string(b)), 300)
	} else if res.StatusCode == http.StatusOK {
		bad.text = "it is no git server of the smart protocol"
	}
	return nil, bad
}

// fetchHTTP passes a fetch on as it is.
func (s *server) fetchHTTP(w http.ResponseWriter, r *http.Request, f *flight, what string) {
	began := time.Now()
	target, kind := what, "application/x-git-upload-pack-result"
	var body io.Reader
	quiet := what == "info/refs" // only asks what there is
	if quiet {
		target, kind = "info/refs?service="+uploadPack, "application/x-git-upload-pack-advertisement"
	} else {
		in := bufio.NewReader(r.Body)
		first, _ := in.Peek(len("0014command=ls-refs"))
		quiet = strings.HasSuffix(string(first), "command=ls-refs")
		body = in
	}
	q, err := f.ask(f.ctx, r.Method, target, body)
	if err != nil {
		s.failHTTP(w, r, f, uploadPack, err)
		return
	}
	if body != nil {
		q.ContentLength = r.ContentLength
	}
	for _, h := range []string{"Content-Type", "Content-Encoding", "Accept", "Accept-Encoding"} {
		if v := r.Header.Get(h); v != "" {
			q.Header.Set(h, v)
		}
	}
	if v := r.Header.Get("Git-Protocol"); protocolForm.MatchString(v) {
		q.Header.Set("Git-Protocol", v)
	}
	res, err := f.do(q, kind)
	if err != nil {
		s.failHTTP(w, r, f, uploadPack, err)
		return
	}
	defer res.Body.Close()
	for _, h := range []string{"Content-Type", "Content-Encoding", "Cache-Control"} {
		if v := res.Header.Get(h); v != "" {
			w.Header().Set(h, v)
		}
	}
	w.WriteHeader(res.StatusCode)
	out := &tail{to: flushing(w), foreign: res.Header.Get("Content-Encoding") != ""}
	n, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{res.Body}, make([]byte, copyBuffer))
	why := brokeOff
	var cut *errCut
	switch cause := context.Cause(f.ctx); {
	case errors.As(cause, &cut):
		err, why = cause, cut.reason
	case cause != nil && err != nil:
		err = cause
	case err == nil && !out.ended && !out.foreign:
		err = io.ErrUnexpectedEOF
	}
	if quiet && err == nil {
		return
	}
	line := sidecars.Line{Event: sidecars.EventFetch, Remote: f.Name, Via: viaHTTP, Received: n, Millis: time.Since(began).Milliseconds()}
	if err != nil {
		line.Reason = "broke off: " + err.Error()
	}
	s.voice.say(line)
	if err != nil && !out.say(why) {
		panic(http.ErrAbortHandler) // git must not take what it has for the whole
	}
}

// flusher writes through.
type flusher struct {
	w http.ResponseWriter
	c *http.ResponseController
}

func flushing(w http.ResponseWriter) io.Writer { return &flusher{w, http.NewResponseController(w)} }

func (f *flusher) Write(b []byte) (int, error) {
	n, err := f.w.Write(b)
	if err == nil {
		err = f.c.Flush()
	}
	return n, err
}

// advertHTTP is what the upstream's receive-pack says that it has.
func (s *server) advertHTTP(ctx context.Context, f *flight) (*advert, error) {
	q, err := f.ask(ctx, http.MethodGet, "info/refs?service="+receivePack, nil)
	if err != nil {
		return nil, err
	}
	res, err := f.do(q, "application/x-git-receive-pack-advertisement")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	in := bufio.NewReader(res.Body)
	p, err := readPkt(in)
	if err != nil || p.line() != "# service="+receivePack {
		return nil, errPkt
	}
	if p, err = readPkt(in); err != nil || p.special != 0 {
		return nil, errPkt
	}
	return readAdvert(in)
}

// stallReader gives the agent a time for each of its bytes.
type stallReader struct {
	ctx   context.Context
	from  io.Reader
	until func(time.Time) error
}

func (r *stallReader) Read(b []byte) (int, error) {
	r.until(time.Now().Add(stallTimeout)) //nolint:errcheck // then it has none
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.from.Read(b)
}

func (s *server) pushHTTP(w http.ResponseWriter, r *http.Request, f *flight) {
	control := http.NewResponseController(w)
	drain := func() { drainHTTP(f.ctx, r, control) }
	var body io.Reader = &stallReader{f.ctx, r.Body, control.SetReadDeadline}
	switch r.Header.Get("Content-Encoding") {
	case "":
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			s.turnAway(w, http.StatusBadRequest, f.Name, "the push could not be read", "Try again.")
			return
		}
		body = z
	default:
		s.turnAway(w, http.StatusUnsupportedMediaType, f.Name, "the push is packed in a way that git-gate does not know", "Use git.")
		return
	}
	in := bufio.NewReaderSize(body, copyBuffer)
	q, err := readRequest(in)
	if err != nil {
		var no *refusal
		if errors.As(err, &no) {
			s.voice.say(sidecars.Line{Event: sidecars.EventRefuse, Remote: f.Name, Via: viaHTTP, Reason: no.reason})
			lastWord(f.ctx, w, r, receivePack, no.reason+". "+no.hint)
			return
		}
		s.turnAway(w, http.StatusBadRequest, f.Name, "the push could not be read", "Try again.")
		return
	}
	w.Header().Set("Content-Type", "application/x-git-receive-pack-result")
	w.Header().Set("Cache-Control", "no-cache")
	if q == nil { // git tries whether it is let in
		return
	}
	to := f.deliver()
	defer to.end()
	rested := false
	p := &pushing{
		flight: f, via: viaHTTP, in: in, out: flushing(w), to: to,
		tips: func(ctx context.Context) (map[string]oid, error) {
			a, err := s.advertHTTP(ctx, f)
			if err != nil {
				return nil, err
			}
			return a.tips, nil
		},
		rest: func() { rested = true },
		forward: func(ctx context.Context, body func() io.Reader, size int64) (io.ReadCloser, error) {
			if rested {
				f.transport.CloseIdleConnections() // they may have died meanwhile
			}
			u, err := f.ask(ctx, http.MethodPost, receivePack, body())
			if err != nil {
				return nil, err
			}
			u.ContentLength = size
			// The server may just have closed a connection that was kept.
			u.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(body()), nil }
			u.Header.Set("Content-Type", "application/x-git-receive-pack-request")
			u.Header.Set("Accept", "application/x-git-receive-pack-result")
			res, err := f.do(u, "application/x-git-receive-pack-result")
			if err != nil {
				return nil, err
			}
			return res.Body, nil
		},
		converse: func(ctx context.Context) (*upload, error) { return s.converseHTTP(ctx, f) },
		drain:    drain,
		received: func() {
			io.CopyN(io.Discard, in, 1<<10)      //nolint:errcheck // so that the end of the body is seen
			control.SetReadDeadline(time.Time{}) //nolint:errcheck // then it has none
		},
	}
	s.push(p, q)
}

func (s *server) converseHTTP(ctx context.Context, f *flight) (*upload, error) {
	q, err := f.ask(ctx, http.MethodGet, "info/refs?service="+uploadPack, nil)
	if err != nil {
		return nil, err
	}
	q.Header.Set("Git-Protocol", "version=2")
	res, err := f.do(q, "application/x-git-upload-pack-advertisement")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	u, err := readUploadAdvert(bufio.NewReader(res.Body))
	if err != nil {
		return nil, err
	}
	u.close = func() {}
	u.ask = func(ctx context.Context, body []byte) (io.ReadCloser, error) {
		q, err := f.ask(ctx, http.MethodPost, uploadPack, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		if u.v2 {
			q.Header.Set("Git-Protocol", "version=2")
		}
		q.Header.Set("Content-Type", "application/x-git-upload-pack-request")
		res, err := f.do(q, "application/x-git-upload-pack-result")
		if err != nil {
			return nil, err
		}
		return res.Body, nil
	}
	return u, nil
}
