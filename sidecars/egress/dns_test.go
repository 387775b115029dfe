package egress_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/egress"
	"bottle-tui/sidecars/internal/heard"

	"golang.org/x/net/dns/dnsmessage"
)

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
	told := map[string]int{}
	for _, l := range p.ear.Lines() {
		if l.Event == sidecars.EventRefuse {
			told[l.Host]++
		}
	}
	if n := p.ear.Count(sidecars.EventRefuse); len(told) != 3 || n > 12 { // of 24 questions: one soon after the same is not told
		t.Errorf("%d lines for three names: %v", n, told)
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
	p.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool {
		return l.Via == "dns" && strings.HasPrefix(l.Reason, "a DNS message other than")
	})
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

// Where another proxy stands in egress's place, it is the resolver alone.
func TestResolverAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(`{"allow":["good.test"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ear := heard.New()
	done := make(chan error, 1)
	go func() {
		done <- egress.Run(ctx, []string{"-config", file, "-listen", "off", "-dns", "127.0.0.1:0"}, ear)
	}()
	ready := ear.Wait(t, sidecars.EventReady)
	if ready.Address != "" || ready.Resolver == "" {
		t.Errorf("%+v", ready)
	}
	c, err := net.Dial("udp", ready.Resolver)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(heard.Patience))
	c.Write(question(t, 7, "evil.test.", dnsmessage.TypeA))
	if n, err := c.Read(make([]byte, 512)); n == 0 || err != nil {
		t.Errorf("no answer: %v", err)
	}
	ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool { return l.Host == "evil.test" && l.Via == "dns" })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := egress.Run(t.Context(), []string{"-config", file, "-listen", "off", "-dns", "off"}, ear); err == nil {
		t.Error("an egress that serves nothing starts")
	}
}
