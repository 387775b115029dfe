package egress_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"bottle-tui/sidecars/egress"
)

// bare is a relay that does nothing but copy: the floor of what egress costs.
func bare(b *testing.B, to string) string {
	l, err := net.Listen("tcp", good+":0")
	if err != nil {
		b.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer c.Close()
				up, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer up.Close()
				var both sync.WaitGroup
				both.Go(func() { io.Copy(up, c); up.(*net.TCPConn).CloseWrite() })
				io.Copy(c, up)
				c.(*net.TCPConn).CloseWrite()
				both.Wait()
			})
		}
	})
	b.Cleanup(func() { l.Close(); open.Wait() })
	return l.Addr().String()
}

// BenchmarkTunnel compares egress with the bare relay, in turns within one run: MB/s of one long stream, and
// the time from dialling to the first byte back.
func BenchmarkTunnel(b *testing.B) {
	port := echo(b, "")
	at := fmt.Sprintf("good.test:%d", port)
	p := start(b, egress.Config{Allow: []string{at}, AllowPrivate: []string{good}}, &names{known: map[string][]string{"good.test": {good}}})
	floor := bare(b, fmt.Sprintf("%s:%d", good, port))
	connect := []byte("CONNECT " + at + " HTTP/1.1\r\nHost: " + at + "\r\n\r\n")
	const established = "HTTP/1.1 200 Connection established\r\n\r\n"

	open := func(egress bool) net.Conn {
		addr := floor
		if egress {
			addr = p.addr
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		if egress {
			c.Write(connect)
			if _, err := io.ReadFull(c, make([]byte, len(established))); err != nil {
				b.Fatal(err)
			}
		}
		return c
	}
	setUp := func(egress bool) time.Duration {
		began := time.Now()
		c := open(egress)
		c.Write([]byte("x"))
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			b.Fatal(err)
		}
		took := time.Since(began)
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
		return took
	}
	const size = 64 << 20
	block := bytes.Repeat([]byte("x"), 256<<10)
	stream := func(egress bool) time.Duration {
		c := open(egress)
		defer c.Close()
		began := time.Now()
		go func() {
			for range size / len(block) {
				if _, err := c.Write(block); err != nil {
					return
				}
			}
		}()
		if _, err := io.CopyN(io.Discard, c, size); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	var took [2]struct{ setUp, stream time.Duration }
	const tunnels = 50
	rounds := 0
	for b.Loop() {
		rounds++
		for i, egress := range []bool{false, true} {
			for range tunnels {
				took[i].setUp += setUp(egress)
			}
			took[i].stream += stream(egress)
		}
	}
	for i, name := range []string{"bare", "egress"} {
		b.ReportMetric(float64(took[i].setUp.Microseconds())/float64(rounds*tunnels), "µs-set-up-"+name)
		b.ReportMetric(float64(rounds)*size/took[i].stream.Seconds()/1e6, "MB/s-"+name)
	}
}
