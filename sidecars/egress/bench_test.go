package egress_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/egress"

	"go.uber.org/goleak"
)

// childEnv makes this test's binary a process of its own: "egress", or "relay", the least that a CONNECT proxy can be.
const childEnv = "BOTTLE_EGRESS_CHILD"

// fewPorts is the part of a test that has a network of its own; set where there are such.
var fewPorts func() error

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "egress":
		err := egress.Serve(context.Background(), egress.Options{
			ConfigFile: os.Args[1], Listen: good + ":0", DNSListen: "off", Voice: sidecars.NewVoice(os.Stdout, nil),
			Resolver: &names{known: map[string][]string{local: {good}}},
		})
		if err != nil {
			os.Exit(1)
		}
		return
	case "relay":
		bareRelay()
		return
	case "few ports":
		if err := fewPorts(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// bareRelay opens every tunnel that it is asked for, on net/http and io.Copy alone: no rule, no name, no count.
func bareRelay() {
	l, err := net.Listen("tcp", good+":0")
	if err != nil {
		panic(err)
	}
	_ = sidecars.NewVoice(os.Stdout, nil).Say(sidecars.Line{Event: sidecars.EventReady, Address: l.Addr().String()})
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up, err := net.Dial("tcp", strings.Replace(r.Host, local, good, 1))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer up.Close()
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
			return
		}
		var both sync.WaitGroup
		both.Go(func() { io.Copy(up, c); up.(*net.TCPConn).CloseWrite() })
		io.Copy(c, up)
		c.(*net.TCPConn).CloseWrite()
		both.Wait()
	}))
}

// child is a proxy in a process of its own.
type child struct {
	addr string
	pid  int
}

func newChild(t testing.TB, kind string, c egress.Config) child {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.json")
	content, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, file)
	cmd.Env = append(os.Environ(), childEnv+"="+kind)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	first, err := lines.ReadBytes('\n')
	ready, ok := sidecars.ParseLine(first)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		io.Copy(io.Discard, lines)
	}()
	t.Cleanup(func() { cmd.Process.Kill(); <-drained; cmd.Wait() })
	if err != nil || !ok || ready.Event != sidecars.EventReady {
		t.Fatalf("%s said %q: %v", kind, first, err)
	}
	return child{addr: ready.Address, pid: cmd.Process.Pid}
}

// rss is the memory that the process holds, in bytes.
func (c child) rss(t testing.TB) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.pid))
	if err != nil {
		t.Skipf("no /proc here: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("the process has no VmRSS")
	return 0
}

// open opens a tunnel and sends first through it; it returns when that has come back.
func (c child) open(t testing.TB, at string, first []byte) net.Conn {
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		t.Error(err)
		return nil
	}
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", at, at)
	const established = "HTTP/1.1 200 Connection established\r\n\r\n"
	status := make([]byte, len(established))
	if _, err := io.ReadFull(conn, status); err != nil || string(status) != established {
		rest, _ := io.ReadAll(conn)
		t.Errorf("CONNECT: %q, %v", append(status, rest...), err)
		conn.Close()
		return nil
	}
	if _, err := conn.Write(first); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, len(first))); err != nil {
		t.Errorf("the echo: %v", err)
	}
	return conn
}

// local is the one name that an egress in a process of its own can resolve.
const local = "good.test"

// An open tunnel that nothing goes through costs little: 3,000 of them fit where one agent's program fits.
func TestIdleTunnelsAreSmall(t *testing.T) {
	const tunnels, most = 3000, 30_000
	at := fmt.Sprintf("%s:%d", local, echo(t, ""))
	c := newChild(t, "egress", egress.Config{Allow: []string{at}, AllowPrivate: []string{"127.0.0.0/8"}})
	first := append(hello(t, local), bytes.Repeat([]byte("x"), 64<<10)...) // a greeting, and what follows
	warm := c.open(t, at, first)
	if warm == nil {
		t.FailNow()
	}
	defer warm.Close()
	before := c.rss(t)
	conns := make(chan net.Conn, tunnels)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for range tunnels / 8 {
				conns <- c.open(t, at, first)
			}
		})
	}
	workers.Wait()
	close(conns)
	each := (c.rss(t) - before) / tunnels
	t.Logf("%d idle tunnels: %d bytes each", tunnels, each)
	if each > most && !raceEnabled {
		t.Errorf("an idle tunnel costs %d bytes, more than %d", each, most)
	}
	for conn := range conns { // every one is still open
		if conn == nil {
			continue
		}
		conn.Write([]byte("y"))
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Errorf("an idle tunnel was cut: %v", err)
		}
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
}

// An agent that asks for much and reads nothing does not fill egress's memory.
func TestReceiversThatDoNotRead(t *testing.T) {
	const tunnels, most = 800, 120 << 20
	l, err := net.Listen("tcp", good+":0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { // sends until it is cut
				defer c.Close()
				for block := make([]byte, 64<<10); ; {
					if _, err := c.Write(block); err != nil {
						return
					}
				}
			})
		}
	})
	at := fmt.Sprintf("%s:%d", local, l.Addr().(*net.TCPAddr).Port)
	c := newChild(t, "egress", egress.Config{Allow: []string{at}, AllowPrivate: []string{good}})
	var conns []net.Conn
	for range tunnels {
		if conn := c.open(t, at, nil); conn != nil {
			conns = append(conns, conn)
		}
	}
	held := c.rss(t)
	t.Logf("%d receivers that don't read: %d MiB", tunnels, held>>20)
	if held > most && !raceEnabled {
		t.Errorf("egress holds %d MiB for %d receivers that don't read", held>>20, tunnels)
	}
	for _, conn := range conns {
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	l.Close()
	open.Wait()
}

// BenchmarkTunnels compares egress with the bare relay, each in its own process, in turns within one run: MB/s of
// one and of four long streams, tunnels per second with eight clients, and the time to open one.
func BenchmarkTunnels(b *testing.B) {
	port := echo(b, "")
	sinkPort := sink(b)
	at, to := fmt.Sprintf("%s:%d", local, port), fmt.Sprintf("%s:%d", local, sinkPort)
	both := []child{newChild(b, "relay", egress.Config{}), newChild(b, "egress", egress.Config{Allow: []string{at, to}, AllowPrivate: []string{"127.0.0.0/8"}})}
	greeting := hello(b, local)
	const size, each, clients, turns = 512 << 20, 400, 8, 6
	stream := func(c child, streams int) time.Duration {
		var all sync.WaitGroup
		began := time.Now()
		for range streams {
			all.Go(func() {
				conn := c.open(b, to, nil)
				if conn == nil {
					return
				}
				defer conn.Close()
				conn.Write(append(greeting, make([]byte, 64<<10)...))
				block := make([]byte, 256<<10)
				for range size / streams / len(block) {
					if _, err := conn.Write(block); err != nil {
						b.Error(err)
						return
					}
				}
				conn.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, conn) // the sink's end
			})
		}
		all.Wait()
		return time.Since(began)
	}
	short := func(c child) time.Duration {
		var all sync.WaitGroup
		began := time.Now()
		for range clients {
			all.Go(func() {
				for range each / clients {
					if conn := c.open(b, at, greeting); conn != nil {
						conn.(*net.TCPConn).SetLinger(0)
						conn.Close()
					}
				}
			})
		}
		all.Wait()
		return time.Since(began)
	}
	var one, four, many [2]time.Duration
	rounds := 0
	for b.Loop() {
		rounds++
		for i := range both {
			i = (i + rounds) % 2 // neither is always the first
			one[i] += stream(both[i], 1)
			four[i] += stream(both[i], 4)
		}
		for turn := range 2 * turns {
			i := (turn + rounds) % 2
			many[i] += short(both[i])
		}
	}
	for i, name := range []string{"bare", "egress"} {
		b.ReportMetric(float64(rounds)*size/one[i].Seconds()/1e6, "MB/s-one-"+name)
		b.ReportMetric(float64(rounds)*size/four[i].Seconds()/1e6, "MB/s-four-"+name)
		b.ReportMetric(float64(rounds)*turns*each/many[i].Seconds(), "tunnels/s-"+name)
	}
	b.ReportMetric(one[0].Seconds()/one[1].Seconds(), "one-of-bare")
	b.ReportMetric(four[0].Seconds()/four[1].Seconds(), "four-of-bare")
	b.ReportMetric(many[0].Seconds()/many[1].Seconds(), "tunnels-of-bare")
}

// sink takes everything until its end, and ends then.
func sink(b *testing.B) int {
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
				io.Copy(io.Discard, struct{ io.Reader }{c})
			})
		}
	})
	b.Cleanup(func() { l.Close(); open.Wait() })
	return l.Addr().(*net.TCPAddr).Port
}
