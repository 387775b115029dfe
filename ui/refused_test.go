package ui

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/sidecars"
	"bottle-tui/ui/dialog"
)

func init() {
	scenes["refused"] = func(s *stage) { s.show(turnedAway()); s.press("3", "tab", "j", "j") }
	scenes["refused-title"] = func(s *stage) { s.show(turnedAway()); s.print("implementer-k3x9q", agentOutput) }
	scenes["refused-private"] = func(s *stage) { s.show(turnedAway()); s.press("3", "tab", "j", "j", "j", "j", "A") }
	scenes["refused-flood"] = func(s *stage) { s.show(flooded(60)); s.press("3", "tab", "j") }
	scenes["refused-hostile"] = func(s *stage) { s.show(evilFeed()); s.press("3", "tab", "j") }
	scenes["open-host"] = func(s *stage) { s.show(turnedAway()); s.press("3", "tab", "j", "j", "A"); s.quiet() }
	scenes["open-port"] = func(s *stage) { s.show(turnedAway()); s.press("3", "tab", "j", "j", "j", "A", "s", "s") }
	scenes["open-asked"] = func(s *stage) {
		b := askingEgress()
		b.Feed = turnedAway().Feed
		s.show(b)
		s.press("A", "A")
		s.quiet()
	}
	scenes["open-refused"] = func(s *stage) {
		s.show(turnedAway())
		s.press("3", "tab", "j", "j", "A")
		s.quiet()
		s.sup.refuse = errors.New("refused: its egress does not run, so nothing can be opened")
		s.press("y")
	}
}

// passage is something that egress refused for want of a rule.
func passage(what string, count int, age time.Duration) bottles.Passage {
	host := strings.TrimSuffix(what, ":443")
	why := host + " is not on this bottle's allowlist"
	return bottles.Passage{Gate: bottles.RoleEgress, Verdict: bottles.Refused, What: what, Via: "connect", Why: why, Cause: sidecars.CauseUnlisted, Count: count,
		First: start.Add(-age - time.Minute), Last: start.Add(-age)}
}

// turnedAway is a bottle whose gates held back something of each kind.
func turnedAway() bottles.Bottle {
	b := granted()
	egress := func(verdict bottles.Verdict, what, via, why string, count int, age time.Duration) bottles.Passage {
		p := bottles.Passage{Gate: bottles.RoleEgress, Verdict: verdict, What: what, Via: via, Why: why, Count: count, First: start.Add(-age), Last: start.Add(-age)}
		if strings.Contains(why, " leads to ") {
			p.Cause = sidecars.CauseInward
		}
		return p
	}
	denied := egress(bottles.Denied, "/gitea/", "route", "the upstream answered 401", 2, 3*time.Minute)
	denied.Gate = bottles.RoleCredProxy
	port := passage("db.example.org:8443", 1, 30*time.Second)
	port.Why = "port 8443 of db.example.org is not on this bottle's allowlist"
	b.Feed = []bottles.Passage{
		passage("old.api.example.com:443", 1, 50*time.Minute),
		passage("api.example.com:443", 4, 20*time.Minute), // opened since
		egress(bottles.Faulty, "docs.example.com:443", "connect", "resolve docs.example.com: no such host", 1, 6*time.Minute),
		denied,
		egress(bottles.Refused, "telemetry.example.net:53", "dns", "no names are resolved here; the proxy resolves those that it allows", 9, 2*time.Minute),
		egress(bottles.Refused, "intra.example.net:443", "connect", "intra.example.net leads to a private address", 1, 70*time.Second),
		port,
		egress(bottles.Allowed, "docs.example.com:443", "connect", "", 31, 15*time.Second),
		passage("registry.example.org:443", 3, 12*time.Second),
	}
	return b
}

func flooded(n int) bottles.Bottle {
	b := live("implementer-k3x9q", 2*time.Hour)
	b.Allow = []string{"docs.example.com"}
	for i := range n {
		b.Feed = append(b.Feed, passage(fmt.Sprintf("h%02d.example.org:443", i), 1, time.Duration(n-i)*time.Second))
	}
	return b
}

func evilFeed() bottles.Bottle {
	b := turnedAway()
	for _, gate := range []bottles.Role{bottles.RoleEgress, bottles.RoleCredProxy, bottles.Role(evil)} {
		for _, verdict := range []bottles.Verdict{bottles.Refused, bottles.Denied, bottles.Faulty} {
			b.Feed = append(b.Feed, bottles.Passage{Gate: gate, Verdict: verdict, What: evil + strings.Repeat("w日", 70), Via: evil, Why: evil + strings.Repeat(" 日本語", 20), Count: 1 << 40, First: start, Last: start})
		}
	}
	b.Feed = append(b.Feed, passage(evil+":443", 1, 0), passage(strings.Repeat("a", 250)+":443", 1, 0))
	return b
}

func TestWhatWasRefusedIsShown(t *testing.T) {
	s := newStage(t, 200, 50)
	s.show(turnedAway())
	s.press("3")
	s.sees("Refused lately  8", "registry.example.org:443  ×3", "10 s ago", "not on the allowlist", "port 8443 is not on the allowlist",
		"cred-proxy /gitea/", "looked up past the proxy", "the upstream answered 401: is GITEA_TOKEN good?", "leads to a private address", "open by now")
	s.lacks("×31")
	if text := s.text(); strings.Index(text, "registry.example.org") > strings.Index(text, "db.example.org") || strings.Index(text, "Granted") > strings.Index(text, "Refused") ||
		strings.Index(text, "Refused") > strings.Index(text, "Hosts in force") {
		t.Errorf("it is not in order:\n%s", text)
	}
	s.show(flooded(60))
	s.sees("Refused lately  60", "… 52 more; bottle-tui log implementer-k3x9q")
}

// How much went through egress stands beside the hosts that it may go to.
func TestTrafficIsShown(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {120, 36}, {200, 50}} {
		s := newStage(t, size[0], size[1])
		b := flooded(1)
		s.show(b)
		s.press("3")
		s.lacks(" out ·")
		b.Sent, b.Received = 900, 3_500_000_000
		s.show(b)
		s.sees("Hosts in force  1", "900 B out · 3.3 GiB in")
		b.Sent, b.Received = 1<<20-1, 1<<20
		s.show(b)
		s.sees("1.0 MiB out · 1.0 MiB in")
	}
}

// The tab's title counts the kinds that nobody has looked at, and rings nothing.
func TestTheCountGoesWhenTheTabIsLookedAt(t *testing.T) {
	s := newStage(t, 120, 36)
	b := flooded(3)
	s.show(b)
	s.sees("Egress ⊘3")
	s.press("3")
	s.lacks("⊘")
	s.press("1")
	s.lacks("⊘")
	b.Feed = append(b.Feed[1:], b.Feed[0]) // once more
	b.Feed[2].Last, b.Feed[2].Count = start, 2
	s.show(b)
	s.lacks("⊘")
	b.Feed = append(b.Feed, passage("new.example.org:443", 1, 0))
	b.Feed[3].First = start.Add(time.Second)
	b.Feed[3].Last = start.Add(time.Second)
	s.show(b)
	s.sees("Egress ⊘1")
	if s.raw != "" {
		t.Errorf("it rang: %q", s.raw)
	}
	s.show() // gone, and what is remembered of it
	s.show(b)
	s.sees("Egress ⊘4")
}

func TestAHostIsOpened(t *testing.T) {
	s := newStage(t, 120, 36)
	s.show(turnedAway())
	s.press("A") // shows first what there is
	s.sees("Refused lately", "choose what to open")
	s.press("A")
	s.sees("Open registry.example.org?", "For 1 h, until 13:00", "refused it 3 times", "443, for TLS alone, and 80")
	s.press("y")
	s.sees("waiting for a quiet keyboard")
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("opened by a key that was meant for something else: %v", got)
	}
	for _, want := range []string{"For 8 h", "For this bottle", "For 15 min", "For 1 h", "For 8 h"} {
		s.press("s")
		s.sees(want)
		s.lacks("profile,")
		s.press("y")
		if got := s.sup.asked(); len(got) != 0 {
			t.Fatalf("after the scope was changed: asked for %v", got)
		}
	}
	s.quiet()
	s.press("y")
	want := bottles.Allow{Identity: "implementer-k3x9q", Rules: []string{"registry.example.org"}, Scope: bottles.Scope{For: 8 * time.Hour}}
	if got := s.last(); !reflect.DeepEqual(got, want) {
		t.Errorf("asked for %#v, want %#v", got, want)
	}
	s.sees("opening registry.example.org …")
	s.send(doneMsg{identity: want.Identity, action: want, kind: "grant"})
	s.sees("registry.example.org is open for 8 h to implementer-k3x9q")
}

// What a rule opens is said as it is: by its port, and with pipelock, which knows none.
func TestWhatARuleOpensIsSaid(t *testing.T) {
	for rule, want := range map[string]string{
		"x.example.org": "on ports 443, for TLS alone, and 80,", "x.example.org:443": "on port 443, for TLS alone,",
		"x.example.org:80": "on port 80, for HTTP and TLS,", "x.example.org:22": "on port 22, whatever is spoken there,", "[2001:db8::1]": "on ports 443,",
	} {
		for pipelock, want := range map[bool]string{false: want, true: "on every port, whatever is spoken there,"} {
			s := newStage(t, 120, 36)
			b := turnedAway()
			s.show(b)
			s.press("A", "A")
			d := s.m.dialog.(*dialog.Open)
			d.Rule, d.AnyPort = rule, pipelock
			s.sees("The agent reaches this host " + want)
		}
	}
	s := newStage(t, 120, 36)
	b := turnedAway()
	b.Pipelock = true
	s.show(b)
	s.press("A", "A")
	s.sees("on every port, whatever is spoken there")
	s.press("esc", "k", "R")
	s.sees("pipelock keeps the tunnels")
}

// What is asked about stays what it was, whatever comes meanwhile; the mark stays on what it was on.
func TestAFloodDoesNotMoveTheMark(t *testing.T) {
	s := newStage(t, 120, 36)
	b := flooded(3)
	s.show(b)
	s.press("3", "tab", "j")
	for i := range 40 {
		b.Feed = append(b.Feed, passage(fmt.Sprintf("flood%d.example.org:443", i), 1, 0))
		s.show(b)
	}
	s.sees("▌ h01.example.org:443")
	s.press("A")
	s.sees("Open h01.example.org?")
	b.Feed = b.Feed[10:]
	s.show(b)
	s.quiet()
	s.press("y")
	if got := s.last().(bottles.Allow); !reflect.DeepEqual(got.Rules, []string{"h01.example.org"}) {
		t.Errorf("opened %v", got.Rules)
	}
}

func TestWhatNoRuleOpens(t *testing.T) {
	for _, c := range []struct {
		downs int
		why   string
	}{
		{4, "it leads to a private address"},
		{5, "a name was looked up past the proxy"},
		{6, "cred-proxy has no allowlist"},
		{7, "it failed further out"},
		{8, "it is open by now"},
	} {
		s := newStage(t, 120, 36)
		s.show(turnedAway())
		s.press("3", "tab")
		for range c.downs {
			s.press("j")
		}
		s.press("A")
		s.sees(c.why)
		if s.m.dialog != nil {
			t.Errorf("%d: a dialog opened", c.downs)
		}
	}
	s := newStage(t, 120, 36)
	s.show(live("a-11111", 0))
	s.press("A")
	s.sees("egress has refused nothing")
	down := turnedAway()
	down.Status = bottles.Down
	s.show(down)
	s.press("A")
	s.sees("is down and has no way out")
}

// It closes when somebody else has opened the host, and comes back when it was not taken.
func TestTheQuestionIsSettledElsewhere(t *testing.T) {
	s := newStage(t, 120, 36)
	b := turnedAway()
	s.show(b)
	s.press("A", "A")
	if _, ok := s.m.dialog.(*dialog.Open); !ok {
		t.Fatalf("open is %T", s.m.dialog)
	}
	b.Allow = append(b.Allow, "*.example.org")
	s.show(b)
	s.sees("registry.example.org is open already")
	if s.m.dialog != nil {
		t.Error("still asks")
	}

	s = newStage(t, 120, 36)
	s.show(turnedAway())
	s.press("A", "A")
	s.quiet()
	s.sup.refuse = errors.New("refused: \x1b[2Jno egress")
	s.press("y")
	s.sees("It was not opened", "␛[2Jno egress")
	s.sup.refuse = nil
	s.quiet()
	s.press("y")
	if _, ok := s.last().(bottles.Allow); !ok {
		t.Errorf("asked for %#v", s.last())
	}
}

// An agent that asks for a way out while the question stands is better answered; the question is read anew.
func TestARequestComesWhileTheQuestionStands(t *testing.T) {
	s := newStage(t, 120, 36)
	b := askingEgress()
	b.Feed = turnedAway().Feed
	asking := b.Requests
	b.Requests = nil
	s.show(b)
	s.press("A", "A")
	s.quiet()
	s.lacks("asks for a way out itself")
	b.Requests = asking
	s.show(b)
	s.press("y")
	s.sees("asks for a way out itself", "waiting for a quiet keyboard")
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("asked for %v", got)
	}
	s.quiet()
	s.press("y")
	if _, ok := s.last().(bottles.Allow); !ok {
		t.Errorf("asked for %#v", s.last())
	}
}

// With something refused under the mark, R takes back what it can be about, or asks to choose.
func TestRevokeBesideRefusals(t *testing.T) {
	s := newStage(t, 120, 36)
	s.show(turnedAway())
	s.press("3", "tab", "j", "j", "R")
	s.sees("choose the grant")
	if s.m.dialog != nil {
		t.Error("a dialog opened")
	}
	s.press("k", "R")
	s.sees("Take back api.example.com")
}

// The tab stays in sight of its mark in a small window, and the labels age.
func TestWalkingTheRefused(t *testing.T) {
	s := newStage(t, 80, 24)
	s.show(turnedAway())
	s.press("3", "tab")
	for range 9 {
		s.press("j")
		s.sees("▌ ")
	}
	s.sees("▌ old.api.example.com:443")
	for range 9 {
		s.press("k")
	}
	s.sees("▌ + /gitea/")

	s = newStage(t, 120, 36)
	s.show(flooded(1))
	s.press("3")
	s.sees("just now")
	w := s.m.nextAge()
	s.clock.add(w)
	s.send(ageMsg{s.m.ages})
	s.sees("10 s ago")
	if w != 9*time.Second {
		t.Errorf("it ages after %v", w)
	}
}

// However much is refused, the pane is drawn once for each snapshot.
func TestARefusalIsDrawnOnce(t *testing.T) {
	s := newStage(t, 120, 36)
	s.show(flooded(200))
	s.press("3")
	s.view()
	was := &s.m.detail.Lines(s.m.detailView(s.m.layout()), s.m.terminal())[0]
	for range 50 {
		s.send(terminalsMsg{})
	}
	if now := &s.m.detail.Lines(s.m.detailView(s.m.layout()), s.m.terminal())[0]; now != was {
		t.Error("it was drawn again without a snapshot")
	}
}

func TestHostileRefusalsAreDrawnAsCells(t *testing.T) {
	for _, size := range sizes {
		s := newStage(t, size[0], size[1])
		s.show(evilFeed())
		s.press("3", "tab")
		for range 12 {
			assertHarmless(t, s)
			s.text()
			s.press("A")
			s.press("esc", "j")
		}
	}
}

func TestRefusalsFillEveryWindowSize(t *testing.T) {
	long := turnedAway()
	long.Feed = append(long.Feed, passage(strings.Repeat(strings.Repeat("a", 60)+".", 4)+"example.org:443", 1, 0))
	for w := 40; w <= 130; w += 15 {
		for h := 10; h <= 40; h += 10 {
			s := newStage(t, w, h)
			s.show(long)
			s.press("A")
			s.text()
			s.press("A")
			s.text()
			if d, ok := s.m.dialog.(*dialog.Open); !ok {
				t.Fatalf("%d×%d: open is %T", w, h, s.m.dialog)
			} else if lines := d.Draw(w, s.m.layout().body.h).Lines; len(lines) > max(s.m.layout().body.h, 8) {
				t.Errorf("%d×%d: the dialog has %d lines", w, h, len(lines))
			}
			s.quiet()
			s.press("y")
			for range 40 {
				s.press("j")
			}
			s.quiet()
			s.press("y")
			if _, ok := s.last().(bottles.Allow); !ok {
				t.Errorf("%d×%d: asked for %#v", w, h, s.last())
			}
		}
	}
}
