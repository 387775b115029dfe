package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"time"

	"bottle-tui/sidecars"
)

type flightKey struct{}

// newPool is the connections to upstreams of plain HTTP. They are dialled like a tunnel's.
func (s *server) newPool() *http.Transport {
	return &http.Transport{
		Proxy:                  nil, // never another proxy that the environment names
		DisableCompression:     true,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        10 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			t, err := parseTarget(addr, 0)
			if err != nil {
				return nil, &refusal{reason: err.Error()}
			}
			conn, err := s.dial(ctx, t)
			if err != nil {
				return nil, err // not a connection that is nil
			}
			return conn, nil
		},
	}
}

func (s *server) newForward() http.Handler {
	return &httputil.ReverseProxy{
		Transport:     s.pool,
		FlushInterval: -1,
		ErrorLog:      discardLog,
		Rewrite: func(p *httputil.ProxyRequest) {
			f := p.In.Context().Value(flightKey{}).(*flight)
			p.Out.Host = f.authority(80)
			p.Out.URL.Host = p.Out.Host
			p.Out.URL.Scheme = "http"
			p.Out.URL.User = nil
			p.Out.URL.RawQuery = p.In.URL.RawQuery // as it was sent: it is not ours to correct
		},
		ModifyResponse: func(r *http.Response) error {
			f := r.Request.Context().Value(flightKey{}).(*flight)
			if rw, ok := r.Body.(io.ReadWriteCloser); ok { // of another protocol, after 101
				r.Body = &countedBoth{counted{rw, &f.received}, rw, &f.sent}
			} else {
				r.Body = &counted{r.Body, &f.received}
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			s.fail(w, r.Context().Value(flightKey{}).(*flight), err)
		},
	}
}

var errStale = errors.New("the allowlist changed while it was dialled")

// plain forwards a request of plain HTTP. A client that ends its side of the connection before it has the answer is
// taken for one that has gone, as net/http does: the request is broken off. The two look the same until something is
// written, and a client that was killed must not hold an upstream for as long as that is silent.
func (s *server) plain(w http.ResponseWriter, r *http.Request, f *flight) {
	ctx := context.WithValue(f.ctx, flightKey{}, f)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		a := i.Conn.RemoteAddr()
		if !s.traffic.reached(f, a) {
			f.cancel(&errCut{errStale.Error()})
			return
		}
		if f.told.CompareAndSwap(false, true) {
			l := f.line(sidecars.EventAllow)
			l.Address = a.String()
			s.voice.say(l)
		}
	}})
	// An upstream may answer before it has read all; without this the server drops what is left to send.
	http.NewResponseController(w).EnableFullDuplex() //nolint:errcheck // HTTP/1 has it
	r = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &counted{r.Body, &f.sent}
	}
	s.forward.ServeHTTP(w, r)
}

// counted counts what is read.
type counted struct {
	io.ReadCloser
	n *counter
}

// countedBoth counts what is written, too.
type countedBoth struct {
	counted
	to io.Writer
	w  *counter
}

func (c *countedBoth) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.w.add(n)
	return n, err
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.add(n)
	return n, err
}
