package egress_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
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

	"golang.org/x/net/dns/dnsmessage"
)

type netipAddr = netip.Addr

// Tunnels to hosts that stay are not touched by any number of reloads, those of removed hosts are ended, and
// once a reload is confirmed nothing gets through to what it removed.
func TestReloadUnderLoad(t *testing.T) {
	port := echo(t, "")
	keep, drop := fmt.Sprintf("keep.test:%d", port), fmt.Sprintf("drop.test:%d", port)
	both := egress.Config{Allow: []string{keep, drop}, AllowPrivate: []string{good}}
	one := egress.Config{Allow: []string{keep}, AllowPrivate: []string{good}}
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

	// Meanwhile new tunnels are asked for all the time. removed says that a reload without drop is
	// confirmed; it is set after that and unset before the next change.
	var removed atomic.Bool
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
				gone := removed.Load()
				fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", drop, drop)
				status := make([]byte, 12)
				if _, err := io.ReadFull(c, status); err != nil {
					if gone {
						t.Errorf("no answer: %v", err)
					}
				} else if gone && removed.Load() && string(status) != "HTTP/1.1 403" {
					t.Errorf("after its removal: %q", status)
				}
				c.Close()
			}
		})
	}
	for i := range 10 {
		p.reload(withMark(one, i))
		removed.Store(true)
		if i == 0 {
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
		removed.Store(false)
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

// question is a DNS message that asks for name.
func question(t testing.TB, id uint16, name string, kind dnsmessage.Type) []byte {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDNSAnswersNoSuchNameAtOnce(t *testing.T) {
	p := start(t, egress.Config{Allow: []string{"good.test"}}, &names{})
	check := func(t *testing.T, reply []byte, id uint16, name string) {
		t.Helper()
		var m dnsmessage.Message
		if err := m.Unpack(reply); err != nil {
			t.Fatal(err)
		}
		if m.ID != id || !m.Response || m.RCode != dnsmessage.RCodeNameError || len(m.Answers) != 0 || len(m.Questions) != 1 || m.Questions[0].Name.String() != name {
			t.Errorf("%+v", m)
		}
	}
	udp, err := net.Dial("udp", p.dns)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	udp.SetDeadline(time.Now().Add(heard.Patience))
	tcp, err := net.Dial("tcp", p.dns)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	tcp.SetDeadline(time.Now().Add(heard.Patience))
	buf := make([]byte, 4096)
	for i, name := range []string{"secret-data.attacker.test.", "good.test.", "x."} {
		for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeTXT, dnsmessage.TypePTR} {
			id := uint16(i*100) + uint16(kind)
			q := question(t, id, name, kind)
			udp.Write(q)
			n, err := udp.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			if n > len(q) {
				t.Errorf("the answer is longer than the question")
			}
			check(t, buf[:n], id, name)
			tcp.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...))
			if _, err := io.ReadFull(tcp, buf[:2]); err != nil {
				t.Fatal(err)
			}
			n = int(binary.BigEndian.Uint16(buf))
			if _, err := io.ReadFull(tcp, buf[:n]); err != nil {
				t.Fatal(err)
			}
			check(t, buf[:n], id, name)
		}
	}
	l := p.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool { return l.Host == "secret-data.attacker.test" })
	if l.Via != "dns" || l.Port != 53 {
		t.Errorf("%+v", l)
	}
	p.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool {
		return l.Host == "good.test" && strings.Contains(l.Reason, "HTTPS_PROXY")
	})
	if n := p.ear.Count(sidecars.EventRefuse); n != 3 {
		t.Errorf("%d lines for three names", n)
	}

	// What is no question gets no answer, or an error, and the server goes on.
	notify := question(t, 7, "x.", dnsmessage.TypeA)
	notify[2] |= 4 << 3 // opcode
	answer := question(t, 8, "x.", dnsmessage.TypeA)
	answer[2] |= 0x80
	two := question(t, 9, "x.", dnsmessage.TypeA)
	two[5] = 2
	for _, c := range []struct {
		name  string
		msg   []byte
		rcode int // -1: no answer
	}{
		{"empty", nil, -1}, {"short", []byte("abc"), -1}, {"an answer", answer, -1}, {"noise", []byte(strings.Repeat("\xff", 600)), -1},
		{"another operation", notify, int(dnsmessage.RCodeNotImplemented)}, {"two questions", two, int(dnsmessage.RCodeFormatError)},
		{"no question", make([]byte, 12), int(dnsmessage.RCodeFormatError)},
	} {
		udp.Write(c.msg)
		after := question(t, 4711, "after.test.", dnsmessage.TypeA)
		udp.Write(after)
		n, err := udp.Read(buf)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if c.rcode >= 0 {
			if got := int(buf[3] & 15); got != c.rcode || binary.BigEndian.Uint16(buf) == 4711 {
				t.Errorf("%s: answer %x", c.name, buf[:n])
			}
			if n, err = udp.Read(buf); err != nil {
				t.Fatal(err)
			}
		}
		check(t, buf[:n], 4711, "after.test.")
	}
}

func TestDNSConnectionsAreBounded(t *testing.T) {
	p := start(t, egress.Config{}, &names{})
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for range 40 {
		c, err := net.Dial("tcp", p.dns)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(heard.Patience))
		held = append(held, c)
	}
	closed := 0
	for _, c := range held[32:] {
		if _, err := c.Read(make([]byte, 1)); err != nil {
			closed++
		}
	}
	if closed != 8 {
		t.Errorf("%d connections over the bound were closed, not 8", closed)
	}
}

// An endless run of questions on one connection is not served.
func TestDNSQuestionsOnOneConnectionAreBounded(t *testing.T) {
	p := start(t, egress.Config{}, &names{})
	c, err := net.Dial("tcp", p.dns)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(heard.Patience))
	q := question(t, 1, "x.test.", dnsmessage.TypeA)
	q = append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)
	answered := 0
	for range 200 {
		if _, err := c.Write(q); err != nil {
			break
		}
		if _, err := io.ReadFull(c, make([]byte, len(q))); err != nil {
			break
		}
		answered++
	}
	if answered != 64 {
		t.Errorf("%d questions were answered, not 64", answered)
	}
}
