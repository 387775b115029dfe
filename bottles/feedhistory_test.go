package bottles_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/state"
)

// told is a root with a bottle's audit log, of entries that are a kind and its data each.
func told(t *testing.T, entries ...any) (*state.Root, string) {
	t.Helper()
	root, err := state.Open(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	enter(t, root, entries...)
	return root, "tester-00000"
}

func enter(t *testing.T, root *state.Root, entries ...any) {
	t.Helper()
	for pair := range slices.Chunk(entries, 2) {
		if err := root.Audit("tester-00000").Append(pair[0].(string), pair[1]); err != nil {
			t.Fatal(err)
		}
	}
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// words are passages in short, the minute of the last first.
func words(all []bottles.Passage) string {
	var out []string
	for _, p := range all {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%d %s %s %s", int(p.Last.Sub(noon).Minutes()), p.Verdict, p.What, map[bool]string{true: fmt.Sprintf("×%d", p.Count)}[p.Count > 1])))
	}
	return strings.Join(out, ", ")
}

// fact is a line of a summary: count alike, from one minute to another.
func fact(gate bottles.Role, what string, count, first, last int) bottles.Passage {
	at := func(m int) time.Time { return noon.Add(time.Duration(m) * time.Minute) }
	return bottles.Passage{Gate: gate, Verdict: bottles.Refused, What: what, Via: "connect", Why: "no", Count: count, First: at(first), Last: at(last)}
}

// spoken is the log of a gate that began at a minute and refused something at others.
func spoken(role bottles.Role, begins int, what string, minutes ...int) *bottles.GateLog {
	var l bottles.GateLog
	line := func(m int, rest string) {
		l.Add(role, fmt.Appendf(nil, `{"at":%q,%s}`, noon.Add(time.Duration(m)*time.Minute).Format(time.RFC3339), rest))
	}
	line(begins, `"event":"traffic"`)
	for _, m := range minutes {
		line(m, fmt.Sprintf(`"event":"refuse","host":%q,"port":443,"via":"connect","reason":"no"`, what))
	}
	return &l
}

// What a gate's log has lost is told by the audit log; nothing is told twice, and of another gate nothing is cut.
func TestTheAuditLogTellsWhatAContainersLogHasLost(t *testing.T) {
	egress, pipelock, cred := bottles.RoleEgress, bottles.RolePipelock, bottles.RoleCredProxy
	more := bottles.Passage{Verdict: bottles.More, Count: 9, First: noon.Add(5 * time.Minute), Last: noon.Add(6 * time.Minute)}
	for name, c := range map[string]struct {
		history []bottles.Passage
		logs    map[bottles.Role]*bottles.GateLog
		want    string
	}{
		"the log has all of it":       {[]bottles.Passage{fact(egress, "a:443", 2, 5, 6)}, map[bottles.Role]*bottles.GateLog{egress: spoken(egress, 1, "a", 5, 6)}, "5 refused a:443, 6 refused a:443"},
		"the log has none of it":      {[]bottles.Passage{fact(egress, "a:443", 7, 5, 6)}, map[bottles.Role]*bottles.GateLog{egress: spoken(egress, 8, "a", 9)}, "6 refused a:443 ×7, 9 refused a:443"},
		"the log has some of it":      {[]bottles.Passage{fact(egress, "a:443", 7, 5, 8)}, map[bottles.Role]*bottles.GateLog{egress: spoken(egress, 7, "a", 7, 8, 9)}, "8 refused a:443 ×7, 9 refused a:443"},
		"the other gate's log has":    {[]bottles.Passage{fact(cred, "a:443", 7, 5, 6)}, map[bottles.Role]*bottles.GateLog{egress: spoken(egress, 1, "a", 2), cred: spoken(cred, 8, "b")}, "2 refused a:443, 6 refused a:443 ×7"},
		"an empty log":                {[]bottles.Passage{fact(egress, "a:443", 7, 5, 6)}, map[bottles.Role]*bottles.GateLog{egress: {}}, "6 refused a:443 ×7"},
		"no log":                      {[]bottles.Passage{fact(egress, "a:443", 7, 5, 6)}, nil, "6 refused a:443 ×7"},
		"more, with whole logs":       {[]bottles.Passage{more}, map[bottles.Role]*bottles.GateLog{egress: spoken(egress, 1, "a", 9), cred: {}}, "9 refused a:443"},
		"more, where a log was cut":   {[]bottles.Passage{more}, map[bottles.Role]*bottles.GateLog{egress: spoken(egress, 1, "a", 9), cred: spoken(cred, 8, "b")}, "6 more  ×9, 9 refused a:443"},
		"more, without logs":          {[]bottles.Passage{more}, nil, "6 more  ×9"},
		"of pipelock, egress younger": {[]bottles.Passage{fact(egress, "a:443", 2, 5, 6)}, map[bottles.Role]*bottles.GateLog{egress: spoken(egress, 8, "d"), pipelock: spoken(egress, 1, "a", 5, 6)}, "5 refused a:443, 6 refused a:443"},
		"of pipelock, and cut":        {[]bottles.Passage{fact(egress, "a:443", 3, 5, 6)}, map[bottles.Role]*bottles.GateLog{egress: spoken(egress, 1, "d"), pipelock: spoken(egress, 6, "a", 6, 7)}, "6 refused a:443 ×3, 7 refused a:443"},
	} {
		if got := words(bottles.WithLogs(c.history, c.logs)); got != c.want {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
	}
}

// What a summary had no room for is told as a number.
func TestTheHistoryTellsHowManyAreLeftOut(t *testing.T) {
	root, id := told(t, "gates", bottles.GateFacts{Until: noon.Add(6 * time.Minute), Passages: []bottles.Passage{fact(bottles.RoleEgress, "a:443", 2, 4, 6)}, More: 12})
	history, err := bottles.GateHistory(root, id)
	if err != nil || len(history) != 2 || history[1].Verdict != bottles.More || history[1].Count != 12 || !history[1].First.Equal(noon.Add(4*time.Minute)) {
		t.Errorf("%+v, %v", history, err)
	}
}

// What the operator decided on a push, and what became of it, are two things.
func TestAPushIsGrantedWhenGitGateTookTheDecision(t *testing.T) {
	request := func(id string) map[string]any {
		return map[string]any{"id": id, "remote": "api", "push": map[string]any{"refs": []any{map[string]any{"ref": "refs/heads/" + id}}}}
	}
	approved := func(id string) map[string]any { return map[string]any{"request": id, "decision": "approved"} }
	end := func(id, decision string) map[string]any {
		return map[string]any{"request": id, "decision": decision, "at": noon}
	}
	root, id := told(t, "request", request("lost"), "decision", approved("lost"),
		"request", request("back"), "decision", approved("back"), "push ended", end("back", ""),
		"request", request("other"), "decision", approved("other"), "push ended", end("other", "denied"),
		"request", request("went"), "decision", approved("went"), "push ended", end("went", "approved"), "push ended", end("went", "approved"),
		"push ended", end("unasked", "approved"))
	history, err := bottles.GateHistory(root, id)
	if got := words(history); err != nil || got != "0 granted api refs/heads/went" {
		t.Errorf("%s, %v", got, err)
	}
}

// Who follows the audit log hears what comes into it, each once.
func TestTheAuditLogIsFollowed(t *testing.T) {
	grant := func(host string) map[string]any {
		return map[string]any{"tool": "egress-block", "scope": "bottle", "change": bottles.Change{Allow: []string{host}}}
	}
	root, id := told(t, "in force", grant("a.example"))
	h := bottles.NewHistory(root, id)
	if found, err := h.Next(); err != nil || len(found) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	enter(t, root, "in force", grant("b.example"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	heard, ended := make(chan bottles.Passage, 9), make(chan error, 1)
	go func() { ended <- h.Follow(ctx, func(p bottles.Passage) error { heard <- p; return nil }) }()
	wait := func(host string) {
		t.Helper()
		select {
		case p := <-heard:
			if p.Verdict != bottles.Granted || !strings.Contains(p.What, host) {
				t.Errorf("%+v, want %s", p, host)
			}
		case <-time.After(patience):
			t.Fatalf("%s was not heard of", host)
		}
	}
	wait("b.example")
	enter(t, root, "in force", grant("c.example"))
	wait("c.example")
	cancel()
	if err := <-ended; err != nil || len(heard) != 0 {
		t.Error(err, len(heard))
	}
}

// However much comes into the audit log between two looks, all of it is told.
func TestNothingIsLostBetweenTwoLooks(t *testing.T) {
	grant := map[string]any{"tool": "egress-block", "scope": "bottle", "change": bottles.Change{Allow: []string{"a.example"}}}
	root, id := told(t, "in force", grant)
	h := bottles.NewHistory(root, id)
	if found, err := h.Next(); err != nil || len(found) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	const between = 1200
	for range between {
		enter(t, root, "in force", grant)
	}
	if found, err := h.Next(); err != nil || len(found) != between {
		t.Errorf("%d of %d, %v", len(found), between, err)
	}
}
