package egress_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/egress"
	"bottle-tui/sidecars/internal/heard"
)

// Tunnels to hosts that stay are not touched by any number of reloads, those of removed hosts are ended, and
// once a reload is confirmed nothing gets through to what it removed.
func TestReloadUnderLoad(t *testing.T) {
	port := echo(t, "")
	keep, drop := fmt.Sprintf("keep.test:%d", port), fmt.Sprintf("drop.test:%d", port)
	next := make(chan string) // what the long answers say
	web := newUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/long" {
			io.Copy(w, r.Body)
			return
		}
		words := next
		if strings.HasPrefix(r.Host, "drop.") {
			words = nil
		}
		w.WriteHeader(http.StatusOK)
		for flush := http.NewResponseController(w).Flush; flush() == nil; {
			select {
			case word, more := <-words:
				if !more {
					return
				}
				io.WriteString(w, word)
			case <-r.Context().Done():
				return
			}
		}
	}))
	t.Cleanup(func() { close(next) })
	keepWeb, dropWeb := fmt.Sprintf("keep.test:%d", web), fmt.Sprintf("drop.test:%d", web)
	both := egress.Config{Allow: []string{keep, drop, keepWeb, dropWeb}, AllowPrivate: []string{good}}
	one := egress.Config{Allow: []string{keep, keepWeb}, AllowPrivate: []string{good}}
	p := start(t, both, &names{known: map[string][]string{"keep.test": {good}, "drop.test": {good}}})

	type end struct {
		net.Conn
		r io.Reader
	}
	ping := func(e end) error {
		if _, err := io.WriteString(e, "ping"); err != nil {
			return err
		}
		_, err := io.ReadFull(e.r, make([]byte, 4))
		return err
	}
	open := func(at string, n int) (ends []end) {
		for range n {
			c, r, status := p.tunnel(at)
			if !strings.Contains(status, " 200 ") {
				t.Fatal(status)
			}
			e := end{c, r}
			if err := ping(e); err != nil {
				t.Fatal(err)
			}
			ends = append(ends, e)
		}
		return ends
	}
	kept, dropped := open(keep, 25), open(drop, 25)
	long := func(at string) *http.Response {
		c := p.dial()
		fmt.Fprintf(c, "GET http://%s/long HTTP/1.1\r\nHost: %[1]s\r\n\r\n", at)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		return resp
	}
	keptAnswer, droppedAnswer := long(keepWeb), long(dropWeb)

	// Meanwhile new tunnels are asked for all the time. window is odd while a reload without drop is confirmed: it
	// becomes so after that, and even before the next change.
	var window atomic.Int64
	removed := func(since int64) bool { return since%2 == 1 && window.Load() == since } // all the while
	var load sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := net.Dial("tcp", p.addr)
				if err != nil {
					t.Error(err)
					return
				}
				c.SetDeadline(time.Now().Add(heard.Patience))
				was := window.Load()
				fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", drop, drop)
				status := make([]byte, 12)
				if _, err := io.ReadFull(c, status); err != nil {
					if removed(was) {
						t.Errorf("no answer: %v", err)
					}
				} else if removed(was) && string(status) != "HTTP/1.1 403" {
					t.Errorf("after its removal: %q", status)
				}
				c.Close()
			}
		})
	}
	for range 2 { // and to the host that stays: none of them is refused
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := net.Dial("tcp", p.addr)
				if err != nil {
					t.Error(err)
					return
				}
				c.SetDeadline(time.Now().Add(heard.Patience))
				fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", keep, keep)
				r := bufio.NewReader(c)
				status, err := r.ReadString('\n')
				if err == nil {
					_, err = r.ReadString('\n')
				}
				if err == nil {
					err = ping(end{c, r})
				}
				if err != nil || !strings.Contains(status, " 200 ") {
					t.Errorf("a tunnel to a host that stays: %q, %v", status, err)
				}
				c.Close()
			}
		})
	}
	for range 2 { // plain requests to both
		load.Go(func() {
			for {
				for _, at := range []string{keepWeb, dropWeb} {
					select {
					case <-stop:
						return
					default:
					}
					c, err := net.Dial("tcp", p.addr)
					if err != nil {
						t.Error(err)
						return
					}
					c.SetDeadline(time.Now().Add(heard.Patience))
					was := window.Load()
					fmt.Fprintf(c, "POST http://%s/ HTTP/1.1\r\nHost: %[1]s\r\nContent-Length: 4\r\n\r\nping", at)
					b, err := io.ReadAll(c)
					c.Close()
					back := string(b)
					switch {
					case at == keepWeb && (err != nil || !strings.HasPrefix(back, "HTTP/1.1 200 ") || !strings.HasSuffix(back, "\r\n\r\nping")):
						t.Errorf("a request to a host that stays: %q, %v", back, err)
					case at == dropWeb && removed(was) && !strings.HasPrefix(back, "HTTP/1.1 403 "):
						t.Errorf("a request to a host that was removed: %q, %v", back, err)
					}
				}
			}
		})
	}
	for i := range 10 {
		p.reload(withMark(one, i))
		window.Add(1)
		if i == 0 {
			if b, err := io.ReadAll(droppedAnswer.Body); err == nil || errors.Is(err, os.ErrDeadlineExceeded) || len(b) > 0 {
				t.Errorf("a long answer of a removed host ended with %q, %v", b, err)
			}
			for _, e := range dropped {
				if _, err := io.ReadAll(e.r); err != nil && !strings.Contains(err.Error(), "reset") {
					t.Errorf("a tunnel of a removed host goes on: %v", err)
				}
			}
		}
		for _, e := range kept {
			if err := ping(e); err != nil {
				t.Fatalf("reload %d broke a tunnel that stays: %v", i, err)
			}
		}
		next <- "ping"
		if _, err := io.ReadFull(keptAnswer.Body, make([]byte, 4)); err != nil {
			t.Fatalf("reload %d broke a long answer that stays: %v", i, err)
		}
		window.Add(1)
		p.reload(withMark(both, i))
	}
	close(stop)
	load.Wait()
	p.ear.Wait(t, sidecars.EventTunnelEnd, func(l sidecars.Line) bool {
		return l.Host == "drop.test" && l.Reason == "it is no longer on the allowlist"
	})
}

// withMark makes configurations that mean the same differ in their hash.
func withMark(c egress.Config, i int) egress.Config {
	c.Allow = append(append([]string{}, c.Allow...), fmt.Sprintf("mark%d.test", i))
	return c
}

func TestReloadThatTakesAnAddressAway(t *testing.T) {
	port := echo(t, "")
	at := fmt.Sprintf("keep.test:%d", port)
	p := start(t, egress.Config{Allow: []string{at}, AllowPrivate: []string{good}}, &names{known: map[string][]string{"keep.test": {good}}})
	_, r, _ := p.tunnel(at)
	p.reload(egress.Config{Allow: []string{at}})
	io.ReadAll(r)
	p.ear.Wait(t, sidecars.EventTunnelEnd, func(l sidecars.Line) bool { return l.Reason == "its address is no longer allowed" })
}

func TestBadConfigurationKeepsTheOld(t *testing.T) {
	up := record(t, good, 0)
	at := fmt.Sprintf("good.test:%d", up.port())
	p := start(t, egress.Config{Allow: []string{at}, AllowPrivate: []string{good}}, &names{known: map[string][]string{"good.test": {good}}})
	w := &world{proxy: p}
	old := p.ear.Wait(t, sidecars.EventReady).Config
	for _, bad := range []string{"", "{", "[]", `{"allow":["a"]}{}`, `{"allow":["http://x/"]}`, `{"alow":["x.test"]}`, `{"allow":["x"],"allow_private":["y"]}`} {
		before := p.ear.Count(sidecars.EventConfigError)
		if err := os.WriteFile(p.configFile, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		l := p.ear.Wait(t, sidecars.EventConfigError, func(sidecars.Line) bool { return p.ear.Count(sidecars.EventConfigError) > before })
		if l.Config != old || l.Reason == "" {
			t.Errorf("%q: %+v", bad, l)
		}
		if back := w.send(t, "GET http://"+at+"/ HTTP/1.1\r\nHost: "+at+"\r\n\r\n"); !strings.HasSuffix(back, "seen") {
			t.Errorf("%q: %q", bad, back)
		}
	}
}

func TestRunWithoutConfiguration(t *testing.T) {
	for _, bad := range [][]string{{"-config", filepath.Join(t.TempDir(), "none.json"), "-listen", "127.0.0.1:0", "-dns", "off"}, {"-nonsense"}, {"word"}} {
		ear := heard.New()
		if err := egress.Run(t.Context(), bad, ear); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestRunReadsItsFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(`{"allow":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ear := heard.New()
	done := make(chan error, 1)
	go func() {
		done <- egress.Run(ctx, []string{"-config", file, "-listen", "127.0.0.1:0", "-dns", "off"}, ear)
	}()
	if l := ear.Wait(t, sidecars.EventReady); l.Resolver != "" || l.Config != sidecars.Hash([]byte(`{"allow":[]}`)) {
		t.Errorf("%+v", l)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A rule that was given a time ends at that time by itself: nobody has to be there to take it away.
func TestRuleEndsByItself(t *testing.T) {
	port := echo(t, "")
	keep, brief := fmt.Sprintf("keep.test:%d", port), fmt.Sprintf("brief.test:%d", port)
	c := egress.Config{Allow: []string{keep, brief}, AllowPrivate: []string{good}}
	p := start(t, c, &names{known: map[string][]string{"keep.test": {good}, "brief.test": {good}}})
	kept, keptReader, status := p.tunnel(keep)
	if !strings.Contains(status, " 200 ") {
		t.Fatal(status)
	}
	gone, goneReader, status := p.tunnel(brief)
	if !strings.Contains(status, " 200 ") {
		t.Fatal(status)
	}
	end := time.Now().Add(time.Second)
	c.Until = map[string]time.Time{brief: end}
	p.reload(c)
	gone.SetReadDeadline(time.Now().Add(heard.Patience)) //nolint:errcheck
	if _, err := goneReader.ReadByte(); err == nil {
		t.Fatal("the tunnel goes on")
	}
	if time.Now().Before(end) {
		t.Error("it ended early")
	}
	if _, _, status := p.tunnel(brief); !strings.Contains(status, " 403 ") {
		t.Errorf("after its end: %s", status)
	}
	if _, err := io.WriteString(kept, "ping"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(keptReader, make([]byte, 4)); err != nil {
		t.Errorf("the other rule's tunnel: %v", err)
	}
	if _, err := (egress.Config{Allow: []string{keep}, Until: map[string]time.Time{brief: end}}).Encode(); err == nil {
		t.Error("an end of a rule that is not there is taken")
	}
}

// A rule to come opens by itself at its time, and ends by itself, too: here the one that another stood in for.
func TestRuleBeginsByItself(t *testing.T) {
	port := echo(t, "")
	first, second := fmt.Sprintf("first.test:%d", port), fmt.Sprintf("second.test:%d", port)
	from := time.Now().Add(time.Hour)
	c := egress.Config{
		Allow: []string{first}, AllowPrivate: []string{good}, Until: map[string]time.Time{first: from},
		Later: []egress.Later{{Rule: second, From: from}},
	}
	p := start(t, c, &names{known: map[string][]string{"first.test": {good}, "second.test": {good}}})
	if _, _, status := p.tunnel(second); !strings.Contains(status, " 403 ") {
		t.Errorf("before its time: %s", status)
	}
	gone, goneReader, status := p.tunnel(first)
	if !strings.Contains(status, " 200 ") {
		t.Fatal(status)
	}
	from = time.Now().Add(time.Second)
	c.Until[first], c.Later[0].From = from, from
	p.reload(c)
	gone.SetReadDeadline(time.Now().Add(heard.Patience)) //nolint:errcheck
	if _, err := goneReader.ReadByte(); err == nil || time.Now().Before(from) {
		t.Fatal("the first rule's tunnel goes on")
	}
	next, nextReader, status := p.tunnel(second)
	if !strings.Contains(status, " 200 ") {
		t.Fatalf("at its time: %s", status)
	}
	end := time.Now().Add(time.Second)
	c.Later[0].Until = end
	p.reload(c)
	next.SetReadDeadline(time.Now().Add(heard.Patience)) //nolint:errcheck
	if _, err := nextReader.ReadByte(); err == nil || time.Now().Before(end) {
		t.Errorf("its tunnel: %v", err)
	}
	for _, bad := range []egress.Later{{Rule: second}, {Rule: "no rule", From: from}} {
		if _, err := (egress.Config{Later: []egress.Later{bad}}).Encode(); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
