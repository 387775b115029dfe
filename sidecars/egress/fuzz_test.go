package egress_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"bottle-tui/sidecars/egress"
	"bottle-tui/sidecars/internal/heard"
)

// FuzzRequest sends anything to the proxy. Nobody may be reached but the allowed upstream, and what reaches
// that must be a request for it.
func FuzzRequest(f *testing.F) {
	for _, c := range hostile {
		if len(c.raw) < 4<<10 {
			f.Add([]byte(c.raw))
		}
	}
	f.Add([]byte("GET http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\n\r\n"))
	f.Add([]byte("CONNECT good.test:%P HTTP/1.1\r\nHost: good.test:%P\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Add([]byte("POST http://good.test:%P/ HTTP/1.1\r\nHost: good.test:%P\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"))
	f.Add([]byte("GET http://deep.wild.test:%P/ HTTP/1.0\r\n\r\n"))
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 64<<10 {
			return
		}
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(heard.Patience))
		raw = bytes.ReplaceAll(raw, []byte("%P"), fmt.Append(nil, w.port))
		c.Write(raw)
		first := make([]byte, 1) // a whole request is answered before its client goes
		if !bytes.Contains(raw, []byte("\r\n\r\n")) {
			c.(*net.TCPConn).CloseWrite()
		} else {
			c.SetReadDeadline(time.Now().Add(time.Second))
			c.Read(first)
			c.SetReadDeadline(time.Now().Add(heard.Patience))
			c.(*net.TCPConn).CloseWrite()
		}
		if _, err := io.ReadAll(c); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Errorf("no end after %v", heard.Patience)
			}
		}
		w.untouched(t)
		_, s := w.good.saw()
		tunnelled := bytes.HasPrefix(raw, []byte("CONNECT "))
		if s == "" || tunnelled {
			return
		}
		head, _, _ := strings.Cut(s, "\r\n\r\n")
		for line := range strings.SplitSeq(head, "\r\n") {
			if host, ok := strings.CutPrefix(line, "Host: "); ok {
				name, _, _ := strings.Cut(host, ":")
				if _, listed := traps[name]; !listed && !strings.HasSuffix(name, ".wild.test") {
					t.Errorf("the upstream got a request for %q", host)
				}
			}
		}
		if strings.Count(head, "\r\nHost: ") != 1 {
			t.Errorf("the upstream got %q", s)
		}
	})
}

func FuzzParseRule(f *testing.F) {
	for _, s := range []string{"example.com", "*.example.com:8443", "[2001:db8::1]:443", "2001:db8::1", "bücher.de", "127.1", "a..b", "*", "*.*", "x:", "http://x/", "1.2.3.4:5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := egress.ParseRule(s)
		if err != nil {
			return
		}
		again, err := egress.ParseRule(r.String())
		if err != nil || again != r {
			t.Errorf("%q is %+v, whose text %q is %+v, %v", s, r, r.String(), again, err)
		}
		if strings.ContainsAny(r.Host, " \t\r\n@/\\#?%") {
			t.Errorf("%q is %+v", s, r)
		}
	})
}
