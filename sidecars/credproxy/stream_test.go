package credproxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"bottle-tui/sidecars/internal/heard"

	"github.com/coder/websocket"
)

// upstreams runs a test against an upstream in each of the ways in which one is reached.
func upstreams(t *testing.T, h http.HandlerFunc, test func(t *testing.T, p *proxy, url string)) {
	for _, name := range []string{"http", "https", "h2"} {
		t.Run(name, func(t *testing.T) {
			proto := 1
			if name == "h2" {
				proto = 2
			}
			check := func(w http.ResponseWriter, r *http.Request) {
				if r.ProtoMajor != proto && r.Header.Get("Upgrade") == "" {
					t.Errorf("the upstream was spoken to in %s", r.Proto)
				}
				if r.Header.Get("Authorization") != "Bearer "+secret {
					t.Errorf("without the token: %v", r.Header)
				}
				h(w, r)
			}
			var c = config()
			if name == "http" {
				c.Routes = append(c.Routes, route("/up/", plain(t, check).URL))
			} else {
				s, ca := secure(t, proto == 2, check)
				c.CA = ca
				c.Routes = append(c.Routes, route("/up/", s.URL))
			}
			p := start(t, c)
			test(t, p, p.url+"/up/")
		})
	}
}

// await fails the test when c gives nothing for long.
func await[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(heard.Patience):
		t.Fatalf("%s did not happen", what)
	}
	return v
}

// Each event is made only after the one before has come: nothing waits for a buffer to fill.
func TestEventsPassOneByOne(t *testing.T) {
	next := make(chan string)
	upstreams(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for e := range next {
			if e == "" {
				return
			}
			io.WriteString(w, e)
			w.(http.Flusher).Flush()
		}
	}, func(t *testing.T, p *proxy, url string) {
		res, err := agent(t).Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		for i := range 100 {
			e := fmt.Sprintf("data: %d\n\n", i)
			if i%10 == 0 {
				e = "x" // not even a line
			}
			next <- e
			got := make([]byte, len(e))
			if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != e {
				t.Fatalf("%q %v", got, err)
			}
		}
		next <- ""
		if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
			t.Errorf("%q %v", rest, err)
		}
	})
}

// A stream without a known length that has become large, and is read ahead, still passes as it comes.
func TestPiecesPassOneByOneInALargeStream(t *testing.T) {
	next := make(chan string)
	upstreams(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, 6<<20))
		w.(http.Flusher).Flush()
		for piece := range next {
			if piece == "" {
				return
			}
			io.WriteString(w, piece)
			w.(http.Flusher).Flush()
		}
	}, func(t *testing.T, p *proxy, url string) {
		res, err := agent(t).Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if n, err := io.CopyN(io.Discard, res.Body, 6<<20); err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
		for i := range 20 {
			piece := fmt.Sprintf("piece %d", i)
			next <- piece
			got := make([]byte, len(piece))
			if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != piece {
				t.Fatalf("%q %v", got, err)
			}
		}
		next <- ""
		if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
			t.Errorf("%q %v", rest, err)
		}
	})
}

// Both directions at once, in lock-step: the upstream answers each piece before the next is sent.
func TestBodiesStreamBothWays(t *testing.T) {
	upstreams(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.(http.Flusher).Flush()
		piece := make([]byte, 4)
		for {
			if _, err := io.ReadFull(r.Body, piece); err != nil {
				return
			}
			w.Write(bytes.ToUpper(piece))
			w.(http.Flusher).Flush()
		}
	}, func(t *testing.T, p *proxy, url string) {
		c := p.dial()
		fmt.Fprintf(c, "POST /up/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
		answers := bufio.NewReader(c)
		res, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			io.WriteString(c, "4\r\nping\r\n")
			got := make([]byte, 4)
			if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != "PING" {
				t.Fatalf("%q %v", got, err)
			}
		}
		io.WriteString(c, "0\r\n\r\n")
		if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
			t.Errorf("%q %v", rest, err)
		}
	})
}

func TestBigBodies(t *testing.T) {
	const size = 24 << 20
	source := func() io.Reader {
		return io.LimitReader(rand.NewChaCha8([32]byte{1}), size)
	}
	sum := sha256.New()
	io.Copy(sum, source())
	want := sum.Sum(nil)
	upstreams(t, func(w http.ResponseWriter, r *http.Request) {
		got := sha256.New()
		if n, err := io.Copy(got, r.Body); err != nil || n != size || !bytes.Equal(got.Sum(nil), want) {
			t.Errorf("the upstream got %d bytes, %v", n, err)
		}
		if r.URL.RawQuery == "sized" {
			w.Header().Set("Content-Length", fmt.Sprint(size))
		}
		io.Copy(w, source())
	}, func(t *testing.T, p *proxy, url string) {
		for _, how := range []string{"sized", "chunked"} {
			r, _ := http.NewRequest(http.MethodPut, url+"?"+how, source())
			if how == "sized" {
				r.ContentLength = size
			}
			res, err := agent(t).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			got := sha256.New()
			n, err := io.Copy(got, res.Body)
			res.Body.Close()
			if err != nil || n != size || !bytes.Equal(got.Sum(nil), want) {
				t.Errorf("%s: %d bytes, %v", how, n, err)
			}
		}
	})
}

// An agent that waits for 100 Continue sends its body only after the upstream asked for it, and not at all when
// the upstream answers at once.
func TestContinue(t *testing.T) {
	upstreams(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "no" {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		b, _ := io.ReadAll(r.Body)
		w.Write(b)
	}, func(t *testing.T, p *proxy, url string) {
		for query, want := range map[string]int{"yes": http.StatusOK, "no": http.StatusRequestEntityTooLarge} {
			tr := agent(t)
			tr.Transport.(*http.Transport).ExpectContinueTimeout = heard.Patience
			asked := false
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { asked = true }})
			body := &counter{r: strings.NewReader("the body")}
			r, _ := http.NewRequestWithContext(ctx, http.MethodPost, url+"?"+query, body)
			r.ContentLength = 8
			r.Header.Set("Expect", "100-continue")
			f := do(t, tr, r)
			if f.status != want || asked != (want == 200) || (body.n > 0) != (want == 200) || want == 200 && f.body != "the body" {
				t.Errorf("%s: %+v, asked %v, sent %d", query, f, asked, body.n)
			}
		}
	})
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func TestTrailers(t *testing.T) {
	upstreams(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.Copy(w, r.Body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Mine"))
		for name, v := range r.Trailer {
			if name != "X-Mine" {
				t.Errorf("trailer %s: %q", name, v)
			}
		}
	}, func(t *testing.T, p *proxy, url string) {
		r, _ := http.NewRequest(http.MethodPost, url, io.MultiReader(strings.NewReader("body")))
		r.Trailer = http.Header{"X-Mine": {"sum"}, "X-Api-Key": {"mine"}}
		res, err := agent(t).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if string(b) != "body" || res.Trailer.Get("X-Sum") != "sum" {
			t.Errorf("%q %v", b, res.Trailer)
		}
	})
}

// When the agent goes, so does the upstream's request; whether it waits for the head or reads the body.
func TestAgentGone(t *testing.T) {
	begun, ended := make(chan bool, 1), make(chan error, 1)
	upstreams(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "body" {
			io.WriteString(w, "first")
			w.(http.Flusher).Flush()
		}
		begun <- true
		<-r.Context().Done()
		ended <- r.Context().Err()
	}, func(t *testing.T, p *proxy, url string) {
		for _, when := range []string{"head", "body"} {
			ctx, cancel := context.WithCancel(t.Context())
			r, _ := http.NewRequestWithContext(ctx, http.MethodGet, url+"?"+when, nil)
			client := agent(t)
			done := make(chan error, 1)
			go func() {
				res, err := client.Do(r)
				if err == nil {
					_, err = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				done <- err
			}()
			await(t, begun, "the request")
			cancel()
			await(t, ended, "the end of the upstream's request")
			if err := await(t, done, "the end of the agent's request"); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	})
}

// An upstream that breaks off is not taken for one that ended.
func TestUpstreamGone(t *testing.T) {
	upstreams(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}, func(t *testing.T, p *proxy, url string) {
		res, err := agent(t).Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if b, err := io.ReadAll(res.Body); err == nil || string(b) != "half" {
			t.Errorf("%q, %v", b, err)
		}
	})
}

func TestWebSocket(t *testing.T) {
	upstreams(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "a=b")
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(8 << 20)
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil {
				return
			}
			c.Write(r.Context(), kind, bytes.ToUpper(b))
		}
	}, func(t *testing.T, p *proxy, url string) {
		ctx, cancel := context.WithTimeout(t.Context(), 6*heard.Patience) // for megabytes
		defer cancel()
		c, res, err := websocket.Dial(ctx, url+"socket", &websocket.DialOptions{HTTPClient: agent(t)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		if res.Header.Get("Set-Cookie") != "" {
			t.Error("a cookie passed")
		}
		c.SetReadLimit(8 << 20)
		for _, n := range []int{1, 100, 4 << 20} {
			if err := c.Write(ctx, websocket.MessageText, bytes.Repeat([]byte("a"), n)); err != nil {
				t.Fatal(err)
			}
			if _, b, err := c.Read(ctx); err != nil || len(b) != n || b[0] != 'A' {
				t.Fatalf("%d bytes, %v", len(b), err)
			}
		}
		// The route's end is the socket's.
		p.reload(config())
		if _, _, err := c.Read(ctx); err == nil || ctx.Err() != nil {
			t.Errorf("the socket goes on: %v", err)
		}
	})
}

// Only a WebSocket may take a connection over: in another protocol the agent would speak past the proxy.
func TestOtherUpgradesAreNotPassed(t *testing.T) {
	up := &recorder{}
	p := start(t, config(route("/up/", plain(t, up.ServeHTTP).URL)))
	for _, proto := range []string{"h2c", "TLS/1.0", "SPDY/3.1", "websocket, h2c"} {
		f := p.raw("GET /up/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: " + proto + "\r\nHTTP2-Settings: AAA\r\n\r\n")
		got := up.take()
		if f.status != http.StatusOK || len(got) != 1 || got[0].Header.Get("Upgrade") != "" || got[0].Header.Get("Connection") != "" || got[0].Header.Get("Http2-Settings") != "" {
			t.Errorf("%s: %d, %v", proto, f.status, got)
		}
	}
	// Nor may an upstream do so unasked.
	odd := plain(t, func(w http.ResponseWriter, r *http.Request) {
		c, _, _ := http.NewResponseController(w).Hijack()
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
	})
	p.reload(config(route("/odd/", odd.URL)))
	p.raw("GET /odd/ HTTP/1.1\r\nHost: x\r\n\r\n").own(t, http.StatusBadGateway, "")
}

// An upstream that breaks off ends the agent's request, also while the agent has more to send and is silent.
func TestUpstreamGoneWhileTheAgentSends(t *testing.T) {
	upstreams(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 { // else net/http waits for the rest of the body, too
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
			c.Close()
			return
		}
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}, func(t *testing.T, p *proxy, url string) {
		c := p.dial()
		fmt.Fprintf(c, "POST /up/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
		b, err := io.ReadAll(c)
		if err != nil || !bytes.Contains(b, []byte("half")) || bytes.Contains(b, []byte("\r\n0\r\n")) {
			t.Errorf("%q %v", b, err)
		}
	})
}
