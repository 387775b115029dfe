package bottles_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/sidecars"
)

// What the gates refuse is shown while the bottle lives, and is in the audit log once, however often the program
// was started anew.
func TestRefusalsAreShownAndAuditedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("")
	ask := func(which ...int) {
		for _, i := range which {
			w.sup.Type(id, fmt.Appendf(nil, "get http://refused.invalid/%d\n", i)) // once: they are counted
			w.awaitText(id, fmt.Sprintf("http://refused.invalid/%d 403", i))
		}
	}
	ask(0, 1, 2)
	refused := func(s *bottles.Snapshot) bottles.Passage {
		b, _ := find(s, id)
		i := slices.IndexFunc(b.Feed, func(p bottles.Passage) bool {
			return p.Gate == bottles.RoleEgress && p.Verdict == bottles.Refused && p.What == "refused.invalid:80"
		})
		if i < 0 {
			return bottles.Passage{}
		}
		return b.Feed[i]
	}
	s := w.await("three refusals are shown as one", func(s *bottles.Snapshot) bool { return refused(s).Count == 3 })
	if p := refused(s); p.Via != "http" || !strings.Contains(p.Why, "allowlist") || !p.First.Before(p.Last) {
		t.Errorf("shown: %+v", p)
	}
	w.end()
	w.run(nil)
	w.await("they are shown again after a new start", func(s *bottles.Snapshot) bool { return refused(s).Count == 3 })
	w.must(bottles.TearDown{Identity: id})
	w.must(bottles.Resume{Identity: id})
	ask(3)
	w.await("the last is told", func(s *bottles.Snapshot) bool { return refused(s).Count == 4 })
	w.must(bottles.TearDown{Identity: id})
	count := 0
	history, err := bottles.GateHistory(w.root, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range history {
		if p.What == "refused.invalid:80" && p.Verdict == bottles.Refused {
			count += p.Count
		}
	}
	if count != 4 {
		t.Errorf("the audit log tells of %d refusals, want 4: %+v", count, history)
	}
	if _, err := w.root.Audit(id).Verify(); err != nil {
		t.Error(err)
	}
}

func TestPassagesOfLines(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		gate bottles.Role
		line sidecars.Line
		want string
	}{
		{bottles.RoleEgress, sidecars.Line{At: at, Event: sidecars.EventAllow, Host: "a.example", Port: 443, Via: "connect"}, "egress allowed a.example:443 connect  1"},
		{bottles.RoleEgress, sidecars.Line{At: at, Event: sidecars.EventRefuse, Host: "a.example", Via: "dns", Reason: "no", Suppressed: 4}, "egress refused a.example dns no 5"},
		{bottles.RoleCredProxy, sidecars.Line{At: at, Event: sidecars.EventDenied, Host: "a.example", Route: "/a/", Via: "route", Status: 401}, "cred-proxy denied /a/ route the upstream answered 401 1"},
		{bottles.RoleEgress, sidecars.Line{At: at, Event: sidecars.EventReady}, ""},
		{bottles.RoleSupervise, sidecars.Line{At: at, Event: sidecars.EventRefuse}, ""},
	} {
		got := ""
		if p, ok := bottles.PassageOf(c.gate, c.line); ok {
			got = fmt.Sprintf("%s %s %s %s %s %d", p.Gate, p.Verdict, p.What, p.Via, p.Why, p.Count)
			if _, err := json.Marshal(p); err != nil {
				t.Error(err)
			}
		}
		if got != c.want {
			t.Errorf("%+v:\n%s\nwant\n%s", c.line, got, c.want)
		}
	}
}

// The operator opens what was refused before the agent asks.
func TestTheOperatorOpensAHostThatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("")
	w.insist(id, "get http://refused.invalid/1", "http://refused.invalid/1 403")
	for name, a := range map[string]bottles.Allow{
		"nothing":         {Identity: id},
		"no rule":         {Identity: id, Rules: []string{"http://refused.invalid/"}},
		"for the profile": {Identity: id, Rules: []string{"refused.invalid"}, Scope: bottles.Scope{Profile: true}},
	} {
		if err := w.do(a); !errors.Is(err, bottles.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.must(bottles.Allow{Identity: id, Rules: []string{"refused.invalid"}, Scope: bottles.Scope{For: time.Hour}})
	w.insist(id, "get http://refused.invalid/2", "http://refused.invalid/2 50")
	b := w.awaitStatus(id, bottles.Live)
	if len(b.Grants) != 1 || !slices.Equal(b.Allow, []string{"refused.invalid"}) {
		t.Fatalf("grants %v, allows %v", b.Grants, b.Allow)
	}
	if err := w.do(bottles.Allow{Identity: id, Rules: []string{"refused.invalid"}}); !errors.Is(err, bottles.ErrRefused) {
		t.Errorf("opened twice: %v", err)
	}
	w.must(bottles.Revoke{Identity: id, Grant: b.Grants[0].ID})
	w.insist(id, "get http://refused.invalid/3", "http://refused.invalid/3 403")
}
