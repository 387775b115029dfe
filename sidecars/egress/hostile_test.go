package egress_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/egress"
	"bottle-tui/sidecars/internal/heard"
)

// world is what the hostile requests run against: one host that is allowed, and around it everything that an
// agent might want to reach and must not.
type world struct {
	*proxy
	good, evil, evil6 *recorder
	port              int
	names             *names
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{names: &names{known: traps}}
	w.good, w.evil = recordBoth(t, good, evil)
	w.port = w.good.port()
	if l, err := net.Listen("tcp", fmt.Sprintf("[::1]:%d", w.port)); err == nil { // where there is IPv6
		w.evil6 = recordOn(t, l)
	}
	c := egress.Config{AllowPrivate: []string{good}}
	for name := range traps {
		if name != "evil.test" && name != "wild.test" && name != "deep.wild.test" {
			c.Allow = append(c.Allow, fmt.Sprintf("%s:%d", name, w.port))
		}
	}
	for _, literal := range literals() { // listed, so that it is the address which is judged
		c.Allow = append(c.Allow, fmt.Sprintf("%s:%d", literal, w.port))
	}
	c.Allow = append(c.Allow, fmt.Sprintf("*.wild.test:%d", w.port), "good.test", "169.254.169.254")
	w.proxy = start(t, c, w.names)
	return w
}

// send sends raw bytes and reads all that comes back until egress has closed the connection. A request that
// does not end is ended by the end of what is sent; a whole one is not, for net/http takes that for a client
// that has gone, and the request would fail for that reason alone.
func (w *world) send(t testing.TB, raw string) string {
	t.Helper()
	c := w.dial()
	if _, err := io.WriteString(c, raw); err != nil {
		t.Logf("sending: %v", err) // egress may answer before it has read all
	}
	if !strings.Contains(raw, "\r\n\r\n") && !strings.Contains(raw, "\n\n") {
		c.(*net.TCPConn).CloseWrite()
	}
	back, err := io.ReadAll(c)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Errorf("egress did not end the connection; it said %.100q", back)
	}
	return string(back)
}

func TestHostileRequestsReachNobody(t *testing.T) {
	w := newWorld(t)
	// judge goes by what others saw: the upstreams, and the resolver, which must not even be asked for a name that the
	// allowlist does not have. asked is the one that it may be asked for.
	judge := func(t *testing.T, back, asked string) {
		t.Helper()
		for _, name := range w.names.saw() {
			if name != asked {
				t.Errorf("the resolver was asked for %q", name)
			}
		}
		// Of what is only not to be had the answer is 502: that somebody was tried.
		if strings.HasPrefix(back, "HTTP/1.1 2") || strings.Contains(back, "seen") || asked == "" && strings.HasPrefix(back, "HTTP/1.1 502") {
			t.Errorf("it was let through: %.200q", back)
		}
		if n, s := w.good.saw(); n > 0 || s != "" {
			t.Errorf("the allowed upstream saw %d connections with %q", n, s)
		}
		w.untouched(t)
	}
	// told is how many refusals and failures were told of.
	told := func() (n int) {
		for _, l := range w.ear.Lines() {
			if l.Event == sidecars.EventRefuse || l.Event == sidecars.EventError {
				n += 1 + l.Suppressed
			}
		}
		return n
	}
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			before := told()
			defer func() {
				for deadline := time.Now().Add(heard.Patience); told() == before; {
					if time.Now().After(deadline) {
						t.Error("nothing was told of it")
						return
					}
					time.Sleep(time.Millisecond) // between two looks, up to the deadline
				}
			}()
			judge(t, w.send(t, strings.ReplaceAll(c.raw, "%P", fmt.Sprint(w.port))), "")
		})
	}
	t.Run("a name that leads nowhere", func(t *testing.T) {
		back := w.send(t, fmt.Sprintf("CONNECT nowhere.test:%d HTTP/1.1\r\n\r\n", w.port))
		judge(t, back, "nowhere.test")
		if !strings.HasPrefix(back, "HTTP/1.1 502") {
			t.Errorf("answer %.100q", back)
		}
	})
	if len(hostile) < 150 {
		t.Errorf("only %d hostile requests are tried", len(hostile))
	}
}

// astray are the names that are listed and lead to where nobody may go.
func astray() (all []string) {
	for name, turns := range traps {
		if len(turns) > 0 && turns[0] != good && name != "evil.test" {
			all = append(all, name)
		}
	}
	return all
}

// literals are the addresses that traps lead to, as far as one can stand in a rule, which is not in a mapped form or
// with a zone.
func literals() (all []string) {
	for _, name := range astray() {
		for _, a := range strings.Fields(traps[name][0]) {
			if r, err := egress.ParseRule(a); err == nil {
				all = append(all, r.String())
			}
		}
	}
	slices.Sort(all)
	return append(slices.Compact(all), "[fe80::1]")
}

// What is listed, by name or as an address, and leads astray is refused for that reason alone, both ways.
func TestListedHostsThatLeadAstray(t *testing.T) {
	w := newWorld(t)
	if n, a := len(astray()), len(literals()); n < 32 || a < 30 {
		t.Errorf("only %d names and %d addresses are tried", n, a)
	}
	for _, host := range append(astray(), literals()...) {
		at := fmt.Sprintf("%s:%d", host, w.port)
		bare := strings.Trim(host, "[]")
		for via, raw := range map[string]string{
			"connect": "CONNECT " + at + " HTTP/1.1\r\nHost: " + at + "\r\n\r\n",
			"http":    "GET http://" + at + "/ HTTP/1.1\r\nHost: " + at + "\r\n\r\n",
		} {
			t.Run(host+" by "+via, func(t *testing.T) {
				back := w.send(t, raw)
				if !strings.HasPrefix(back, "HTTP/1.1 403 ") || !strings.Contains(back, bare+" leads to a") {
					t.Errorf("answer %.300q", back)
				}
				w.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool {
					return l.Host == bare && l.Via == via && l.Cause == sidecars.CauseInward && strings.Contains(l.Reason, " leads to a")
				})
				w.untouched(t)
			})
		}
	}
	if n, s := w.good.saw(); n > 0 || s != "" {
		t.Errorf("the allowed upstream saw %d connections with %q", n, s)
	}
}

// untouched fails when anybody saw anything who must not.
func (w *world) untouched(t testing.TB) {
	t.Helper()
	if n, s := w.evil.saw(); n > 0 {
		t.Errorf("what lies on %s saw %d connections with %q", evil, n, s)
	}
	if w.evil6 == nil {
		return
	}
	if n, s := w.evil6.saw(); n > 0 {
		t.Errorf("what lies on ::1 saw %d connections with %q", n, s)
	}
}

// A name whose answer changes between the judging and the dialling: what was judged is what is dialled.
func TestRebindingName(t *testing.T) {
	w := newWorld(t)
	r := &names{known: map[string][]string{"flip.test": {good, evil}}}
	at := fmt.Sprintf("flip.test:%d", w.port)
	p := start(t, egress.Config{Allow: []string{at}, AllowPrivate: []string{good}}, r)
	for i := range 6 {
		c := p.dial()
		fmt.Fprintf(c, "GET http://%s/ HTTP/1.1\r\nHost: %s\r\n\r\n", at, at)
		back, _ := io.ReadAll(c)
		if got := r.times("flip.test"); got != i+1 {
			t.Fatalf("request %d: the name was resolved %d times", i+1, got)
		}
		want := "200"
		if i%2 == 1 {
			want = "403"
		}
		if !strings.HasPrefix(string(back), "HTTP/1.1 "+want) {
			t.Errorf("request %d: %.60q", i, back)
		}
	}
	w.untouched(t)
}

// What comes through a tunnel must name the tunnel's host.
func TestTunnelsThatPretend(t *testing.T) {
	w := newWorld(t)
	at := fmt.Sprintf("good.test:%d", w.port)
	split := func(b []byte, n int) string { return string(b[:n]) }
	fragmented := func(b []byte) string { // the same greeting in two records
		body := b[5:]
		record := func(p []byte) string { return string([]byte{22, 3, 1, byte(len(p) >> 8), byte(len(p))}) + string(p) }
		return record(body[:40]) + record(body[40:])
	}
	for _, c := range []struct{ name, first, reason string }{
		{"another host's greeting", string(hello(t, "evil.test")), "another host: evil.test"},
		{"a host under it", string(hello(t, "sub.good.test")), "another host"},
		{"no name", string(hello(t, "")), "names no host"},
		{"a name that folds to the host's", folded(t), "another host"},
		{"another host's greeting, in two records", fragmented(hello(t, "evil.test")), "another host"},
		{"half a greeting", split(hello(t, "good.test"), 60), "can't be read"},
		{"no greeting in a TLS record", "\x16\x03\x01\x00\x05hello", "can't be read"},
		{"an endless greeting", "\x16\x03\x01\x40\x00\x01\x00\xff\xff" + strings.Repeat("\x00", 128<<10), "can't be read"},
	} {
		for _, early := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, early %v", c.name, early), func(t *testing.T) {
				seen := w.ear.Count(sidecars.EventTunnelEnd)
				back := ""
				conn := w.dial()
				r := bufio.NewReader(conn)
				connect := "CONNECT " + at + " HTTP/1.1\r\nHost: " + at + "\r\n\r\n"
				if early { // in one piece with the CONNECT
					io.WriteString(conn, connect+c.first)
				} else {
					io.WriteString(conn, connect)
				}
				status, err := r.ReadString('\n')
				if err != nil || !strings.Contains(status, "200") {
					t.Fatal(status, err)
				}
				if !early {
					io.WriteString(conn, c.first)
				}
				conn.(*net.TCPConn).CloseWrite()
				b, _ := io.ReadAll(r)
				back = string(b)
				if strings.Contains(back, "seen") {
					t.Errorf("it was let through: %q", back)
				}
				w.ear.Wait(t, sidecars.EventTunnelEnd, func(sidecars.Line) bool { return w.ear.Count(sidecars.EventTunnelEnd) > seen })
				if _, s := w.good.saw(); s != "" {
					t.Errorf("the upstream saw %q", s)
				}
				w.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool { return strings.Contains(l.Reason, c.reason) })
				w.untouched(t)
			})
		}
	}
	t.Run("its own greeting passes whole", func(t *testing.T) {
		for _, greeting := range []string{string(hello(t, "good.test")), string(hello(t, "GOOD.test")), fragmented(hello(t, "good.test"))} {
			all := greeting + "and what follows at once\r\n\r\n"
			if back := w.send(t, "CONNECT "+at+" HTTP/1.1\r\nHost: "+at+"\r\n\r\n"+all); !strings.Contains(back, "seen") {
				t.Errorf("answer %q", back)
			}
			if _, s := w.good.saw(); s != all {
				t.Errorf("the upstream saw %d bytes of %d", len(s), len(all))
			}
		}
	})
}

// folded is a greeting for good.test with a letter that only Unicode takes for its s.
func folded(t testing.TB) string {
	return strings.Replace(string(hello(t, "good.place")), "good.place", "good.te\u017ft", 1)
}

// On port 443 only TLS is spoken, also where an entry names the port.
func TestPort443IsForTLS(t *testing.T) {
	const addr = "127.0.0.43"
	up := record(t, addr, 443)
	r := &names{known: map[string][]string{"good.test": {addr}, "ssh.test": {addr}}}
	p := start(t, egress.Config{Allow: []string{"good.test", "*.test:443", "ssh.test:443"}, AllowPrivate: []string{addr}}, r)
	p.reload(egress.Config{Allow: []string{"good.test", "ssh.test:443"}, AllowPrivate: []string{addr}})
	for _, c := range []struct {
		host, first string
		passes      bool
	}{
		{"good.test", "SSH-2.0-x\r\n\r\n", false},
		{"good.test", "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", false},
		{"good.test", string(hello(t, "good.test")) + "\r\n\r\n", true},
		{"ssh.test", "SSH-2.0-x\r\n\r\n", false},
		{"ssh.test", string(hello(t, "good.test")), false},
		{"ssh.test", string(hello(t, "ssh.test")) + "\r\n\r\n", true},
	} {
		conn, br, status := p.tunnel(c.host + ":443")
		if !strings.Contains(status, "200") {
			t.Fatal(status)
		}
		io.WriteString(conn, c.first)
		conn.(*net.TCPConn).CloseWrite()
		back, _ := io.ReadAll(br)
		_, s := up.saw()
		if passed := s == c.first && bytes.Contains(back, []byte("seen")); passed != c.passes || !c.passes && s != "" {
			t.Errorf("%s %.20q: passed %v, the upstream saw %d bytes", c.host, c.first, passed, len(s))
		}
	}
}

func TestRefusalTellsTheWayOut(t *testing.T) {
	w := newWorld(t)
	back := w.send(t, "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n")
	for _, want := range []string{"HTTP/1.1 403 ", "evil.test is not on this bottle's allowlist", "egress-block", "operator"} {
		if !strings.Contains(back, want) {
			t.Errorf("the answer lacks %q:\n%s", want, back)
		}
	}
	l := w.ear.Wait(t, sidecars.EventRefuse)
	if l.Host != "evil.test" || l.Port != 443 || l.Via != "connect" || l.Reason == "" || l.Cause != sidecars.CauseUnlisted {
		t.Errorf("line %+v", l)
	}
	back = w.send(t, "CONNECT good.test:8443 HTTP/1.1\r\nHost: good.test:8443\r\n\r\n")
	if !strings.Contains(back, "port 8443 of good.test is not") {
		t.Errorf("the answer does not name the port:\n%s", back)
	}
	// No other allowlist would help here, so none is to be asked for.
	back = w.send(t, fmt.Sprintf("CONNECT metadata.test:%d HTTP/1.1\r\n\r\n", w.port))
	if !strings.HasPrefix(back, "HTTP/1.1 403 ") || !strings.Contains(back, "metadata.test leads to a cloud metadata address") ||
		!strings.Contains(back, "no rule of the allowlist changes that") || !strings.Contains(back, "say so in your answer") || strings.Contains(back, "egress-block") {
		t.Errorf("of a host that is listed and leads astray it says:\n%s", back)
	}
	w.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool { return l.Host == "metadata.test" && l.Cause == sidecars.CauseInward })
}

// A flood of refusals costs the operator's side a bounded number of lines, and none is forgotten.
func TestFloodIsSummarised(t *testing.T) {
	w := newWorld(t)
	deadline := time.Now().Add(heard.Patience)
	sent := 0
	for {
		w.send(t, "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n")
		sent++
		lines := w.ear.Lines()
		if last := lines[len(lines)-1]; last.Suppressed > 0 {
			told := 0
			for _, l := range lines {
				if l.Event == sidecars.EventRefuse {
					told += 1 + l.Suppressed
				}
			}
			if told > sent || w.ear.Count(sidecars.EventRefuse) >= sent {
				t.Errorf("%d refusals were told as %d in %d lines", sent, told, w.ear.Count(sidecars.EventRefuse))
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d refusals, and every one has its line", sent)
		}
	}
}

func TestSlowAndManyConnectionsAreBounded(t *testing.T) {
	w := newWorld(t)
	slow := w.dial()
	io.WriteString(slow, "GET http://good.test/ HTTP/1.1\r\n")
	start := time.Now()

	var held []net.Conn
	for range 1023 {
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	deadline := time.Now().Add(heard.Patience)
	for { // the last of them may not be accepted yet
		if back := w.send(t, "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n"); strings.Contains(back, "503 ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the bound on connections does not hold")
		}
	}
	for _, c := range held {
		c.Close()
	}
	for {
		if back := w.send(t, "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n"); strings.Contains(back, "403 ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("closed connections make no room")
		}
	}
	if _, err := io.ReadAll(slow); err != nil {
		t.Errorf("a head that does not come is waited for: %v", err)
	}
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("it was waited for %v", took)
	}
	if n, _ := w.good.saw(); n > 0 {
		t.Error("the upstream saw it")
	}
}

func TestNoStatusIsAMystery(t *testing.T) {
	w := newWorld(t)
	back := w.send(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if !strings.HasPrefix(back, fmt.Sprintf("HTTP/1.1 %d ", http.StatusForbidden)) || !strings.Contains(back, "this is a proxy") {
		t.Errorf("answer %q", back)
	}
	w.send(t, "\x00nonsense\r\n\r\n")
	w.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool { return strings.Contains(l.Reason, "not a request") })
}

// The machine's own addresses are refused although they are allowed in every other way, by name and as they are, and
// what is open to one that becomes its own is cut.
func TestDeniedAddresses(t *testing.T) {
	up := record(t, good, 0)
	named, bare := fmt.Sprintf("own.test:%d", up.port()), fmt.Sprintf("%s:%d", good, up.port())
	c := egress.Config{Allow: []string{named, bare}, AllowPrivate: []string{good}}
	p := start(t, c, &names{known: map[string][]string{"own.test": {"::ffff:" + good}}})
	w := &world{proxy: p}
	_, r, status := p.tunnel(named)
	if !strings.Contains(status, " 200 ") {
		t.Fatal(status)
	}
	c.Deny = []string{good, "2001:db8::1"}
	p.reload(c)
	io.ReadAll(r) // ends
	p.ear.Wait(t, sidecars.EventTunnelEnd, func(l sidecars.Line) bool { return l.Reason == "its address is no longer allowed" })
	up.saw()
	for host, at := range map[string]string{"own.test": named, good: bare} {
		for via, raw := range map[string]string{
			"connect": "CONNECT " + at + " HTTP/1.1\r\nHost: " + at + "\r\n\r\n",
			"http":    "GET http://" + at + "/ HTTP/1.1\r\nHost: " + at + "\r\n\r\n",
		} {
			if back := w.send(t, raw); !strings.HasPrefix(back, "HTTP/1.1 403 ") || !strings.Contains(back, host+" leads to an address of the host itself") {
				t.Errorf("%s by %s: %.200q", host, via, back)
			}
			p.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool {
				return l.Host == host && l.Via == via && l.Cause == sidecars.CauseInward
			})
		}
	}
	if n, s := up.saw(); n > 0 {
		t.Errorf("it saw %d connections with %q", n, s)
	}
	for _, bad := range []string{"own.test", "192.0.2.0/24", "::ffff:192.0.2.1", "fe80::1%lo", ""} {
		if err := (egress.Config{Deny: []string{bad}}).Check(); err == nil {
			t.Errorf("deny %q is taken", bad)
		}
	}
}
