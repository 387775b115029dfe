package egress_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/egress"
)

// longWaits says that tests may take many minutes.
const longWaits = "BOTTLE_LONG_WAITS"

// Silence ends nothing: a tunnel, one whose agent never spoke, a plain request whose answer takes its time, and an
// upgraded connection are open after it. Without BOTTLE_LONG_WAITS=1 the silence is short, and the deadlines that
// there are (of a head, of a greeting, of a dialling) all lie beyond it.
func TestSilentStreamsStayOpen(t *testing.T) {
	silence := 500 * time.Millisecond
	if os.Getenv(longWaits) == "1" {
		t.Parallel()
		silence = 10*time.Minute + 30*time.Second
	}
	port := echo(t, "")
	release := make(chan struct{})
	up := newUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/upgrade" {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			io.Copy(c, rw)
			return
		}
		if r.URL.Path == "/begun" {
			w.WriteHeader(http.StatusOK)
			http.NewResponseController(w).Flush()
		}
		<-release
		io.WriteString(w, "late\n")
	}))
	at, web := fmt.Sprintf("good.test:%d", port), fmt.Sprintf("good.test:%d", up)
	p := start(t, egress.Config{Allow: []string{at, web}, AllowPrivate: []string{good}}, &names{known: map[string][]string{"good.test": {good}}})
	plain := func(path, more string) *bufio.Reader {
		c := p.dial()
		c.SetDeadline(time.Time{})
		fmt.Fprintf(c, "GET http://%s%s HTTP/1.1\r\nHost: %s\r\n%s\r\n", web, path, web, more)
		return bufio.NewReader(c)
	}
	tunnel := func(first string) (io.Writer, *bufio.Reader) {
		c, r, _ := p.tunnel(at)
		c.SetDeadline(time.Time{})
		io.WriteString(c, first)
		if _, err := io.ReadFull(r, make([]byte, len(first))); err != nil {
			t.Error(err)
		}
		return c, r
	}
	ping := func(what string, w io.Writer, r *bufio.Reader) {
		t.Helper()
		io.WriteString(w, "ping\n")
		if back, err := r.ReadString('\n'); back != "ping\n" {
			t.Errorf("%s: %q, %v", what, back, err)
		}
	}
	used, usedBack := tunnel(string(hello(t, "good.test")))
	fresh, freshBack := tunnel("")
	upgrade := p.dial()
	upgrade.SetDeadline(time.Time{})
	fmt.Fprintf(upgrade, "GET http://%s/upgrade HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", web, web)
	upgraded := bufio.NewReader(upgrade)
	if resp, err := http.ReadResponse(upgraded, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp, err)
	}
	waiting, begun := plain("/waiting", ""), plain("/begun", "")

	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	<-quiet.C

	ping("a tunnel", used, usedBack)
	ping("a tunnel that nothing went through", fresh, freshBack)
	ping("an upgraded connection", upgrade, upgraded)
	close(release)
	for what, r := range map[string]*bufio.Reader{"an answer that had not begun": waiting, "an answer that had begun": begun} {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if body, err := io.ReadAll(resp.Body); string(body) != "late\n" {
			t.Errorf("%s: %q, %v", what, body, err)
		}
	}
	if n := p.ear.Count(sidecars.EventRefuse) + p.ear.Count(sidecars.EventError); n > 0 {
		t.Errorf("%d refusals or failures were told", n)
	}
}

// What went through is told while it goes on, and all of it in the end, however many lines were left out.
func TestAllBytesAreCounted(t *testing.T) {
	port := echo(t, "")
	at := fmt.Sprintf("good.test:%d", port)
	p := start(t, egress.Config{Allow: []string{at}, AllowPrivate: []string{good}}, &names{known: map[string][]string{"good.test": {good}}})
	const block = 100_000
	c, r, _ := p.tunnel(at)
	send := func() {
		t.Helper()
		if _, err := c.Write(make([]byte, block)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, make([]byte, block)); err != nil {
			t.Fatal(err)
		}
	}
	send()
	counted := func(n int64) func(sidecars.Line) bool {
		return func(l sidecars.Line) bool { return l.Sent == n && l.Received == n }
	}
	p.ear.Wait(t, sidecars.EventTraffic, counted(block)) // the tunnel is still open
	send()
	p.ear.Wait(t, sidecars.EventTraffic, counted(2*block))
	const short = 300 // more than have a line of their own
	for range short {
		c, r, _ := p.tunnel(at)
		io.WriteString(c, "ping")
		if _, err := io.ReadFull(r, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	p.ear.Wait(t, sidecars.EventTraffic, counted(2*block+4*short))
	if n := p.ear.Count(sidecars.EventTunnelEnd); n >= short {
		t.Logf("every one of %d tunnels had its line", n)
	}
	told := p.ear.Count(sidecars.EventTraffic)
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if n := p.ear.Count(sidecars.EventTraffic); n > told+1 {
		t.Errorf("%d more lines of the same", n-told)
	}
}
