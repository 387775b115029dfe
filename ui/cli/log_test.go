package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/state"
)

// logs is an engine that has gates' containers and their logs alone, by their names.
type logs struct {
	bottles.Engine
	have  bottles.Observed
	of    map[string]string
	later map[string]io.Reader // what a log that is followed has besides
}

func (l logs) Observe(context.Context, string) (bottles.Observed, error) { return l.have, nil }

func (l logs) Logs(_ context.Context, name string, _ int, follow bool) (io.ReadCloser, error) {
	r := io.Reader(strings.NewReader(l.of[name]))
	if later := l.later[name]; later != nil && follow {
		r = io.MultiReader(r, later)
	}
	return io.NopCloser(r), nil
}

const coder = "coder-00000"

// gatesOf is the log of a bottle that has those containers.
func gatesOf(t *testing.T, roles ...bottles.Role) (g gateLog, engine logs, out *shared) {
	t.Helper()
	root, err := state.Open(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	engine = logs{of: map[string]string{}, later: map[string]io.Reader{}}
	for _, role := range roles {
		engine.have.Containers = append(engine.have.Containers, bottles.Container{
			Name: "c-" + string(role), State: bottles.StateRunning, CreatedAt: time.Date(2026, 11, 24, 1, 0, 0, 0, time.UTC),
			Labels: map[string]string{bottles.LabelIdentity: coder, bottles.LabelRole: string(role), bottles.LabelRoot: root.ID()},
		})
	}
	out = &shared{}
	g = gateLog{out: out, note: out, engine: engine, root: root, identity: coder, json: true}
	enter(t, root, "launched", map[string]string{})
	return g, engine, out
}

func enter(t *testing.T, root *state.Root, kind string, data any) {
	t.Helper()
	if err := root.Audit(coder).Append(kind, data); err != nil {
		t.Fatal(err)
	}
}

// shared is a buffer that is read while it is written.
type shared struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// shown are the lines of a log in JSON, in short.
func shown(t *testing.T, out *shared) string {
	t.Helper()
	var all []string
	for line := range strings.Lines(out.String()) {
		var p bottles.Passage
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s ×%d", p.Verdict, p.What, p.Count)))
	}
	return strings.Join(all, ", ")
}

func at(minute int) time.Time { return time.Date(2026, 11, 24, 3, minute, 0, 0, time.UTC) }

// refusal is a line of egress or cred-proxy.
func refusal(minute int, host string) string {
	return fmt.Sprintf(`{"at":%q,"event":"refuse","host":%q,"port":443,"via":"connect","reason":"no"}`+"\n", at(minute).Format(time.RFC3339Nano), host)
}

func refused(minute, count int, host string) bottles.Passage {
	return bottles.Passage{Gate: bottles.RoleEgress, Verdict: bottles.Refused, What: host + ":443", Via: "connect", Why: "no", Count: count, First: at(minute), Last: at(minute)}
}

// Where pipelock is the proxy, it tells of egress's passages, and egress of the names that were looked up.
func TestTheLogOfEgressHasPipelocks(t *testing.T) {
	g, engine, out := gatesOf(t, bottles.RoleAgent, bottles.RoleEgress, bottles.RolePipelock, bottles.RoleCredProxy, bottles.RoleSupervise)
	g.only = bottles.RoleEgress
	long := strings.Repeat("a", 70<<10)
	engine.of["c-cred-proxy"] = refusal(1, "c.example")
	engine.of["c-egress"] = `{"at":"2026-11-24T03:00:01Z","event":"refuse","host":"a.example","via":"dns","reason":"no"}` + "\n"
	engine.of["c-pipelock"] = "Pipelock v2.3.0 starting\n" +
		`{"event":"blocked","method":"CONNECT","target":"b.example:443","scanner":"allowlist","reason":"no","time":"2026-11-24T03:00:02Z"}` + "\n" +
		`{"event":"blocked","url":"http://` + long + `"}{"event":"blocked","url":"http://forged.example/"}` + "\n"
	if err := g.tell(t.Context(), false); err != nil || shown(t, out) != "refused a.example ×1, refused b.example:443 ×1" {
		t.Errorf("%s, %v", out, err)
	}
}

// A container's log goes as it grows: what it has no more is told by the audit log, with the number of what that left out.
func TestTheLogHasWhatAContainersLogHasLost(t *testing.T) {
	g, engine, out := gatesOf(t, bottles.RoleEgress, bottles.RoleCredProxy)
	enter(t, g.root, "gates", bottles.GateFacts{Until: at(2), Passages: []bottles.Passage{refused(2, 7, "rotated-away.example")}, More: 3})
	enter(t, g.root, "gates", bottles.GateFacts{Until: at(9), Passages: []bottles.Passage{refused(9, 1, "kept.example")}})
	engine.of["c-egress"] = refusal(8, "kept.example") + refusal(9, "kept.example")
	for _, g.json = range []bool{true, false} {
		out.text.Reset()
		if err := g.tell(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if g.json {
			for _, want := range []string{"refused rotated-away.example:443 ×7", "more  ×3", "refused kept.example:443 ×1, refused kept.example:443 ×1"} {
				if got := shown(t, out); strings.Count(got, want) != 1 || strings.Count(got, "×") != 4 {
					t.Errorf("%s\nlacks %s", got, want)
				}
			}
		} else if got := out.String(); strings.Count(got, "\n") != 4 || !strings.Contains(got, "3 more, too many to be told apart\n") || !strings.Contains(got, "rotated-away.example:443  ×7") {
			t.Error(got)
		}
	}
}

// A gate that a bottle does not have is not a bottle that is down.
func TestTheLogOfAGateThatIsNotThere(t *testing.T) {
	g, _, out := gatesOf(t, bottles.RoleAgent, bottles.RoleEgress)
	g.only = bottles.RoleGitGate
	if err := g.tell(t.Context(), true); err == nil || err.Error() != "this bottle has no git-gate" {
		t.Error(err)
	}
	if out.String() != "" {
		t.Error(out)
	}
	if err := g.tell(t.Context(), false); err != nil || out.String() != "bottle-tui: this bottle has no git-gate\n" {
		t.Errorf("%v, %s", err, out)
	}
	g, _, out = gatesOf(t)
	g.only = bottles.RoleGitGate
	if err := g.tell(t.Context(), true); err == nil || err.Error() != "the bottle is down: there is nothing to follow" {
		t.Error(err)
	}
	if err := g.tell(t.Context(), false); err != nil || out.String() != "" {
		t.Errorf("%v, %s", err, out)
	}
}

// What the containers of a bottle that has ended tell is listed; to follow them is an error, and no silent end.
func TestTheLogOfGatesThatHaveEnded(t *testing.T) {
	g, engine, out := gatesOf(t, bottles.RoleEgress, bottles.RoleCredProxy)
	for i := range engine.have.Containers {
		engine.have.Containers[i].State = bottles.StateExited
	}
	g.engine = engine
	engine.of["c-egress"] = refusal(8, "a.example")
	for follow, want := range map[bool]string{false: "<nil>", true: "the bottle is down: there is nothing to follow"} {
		out.text.Reset()
		if err := g.tell(t.Context(), follow); fmt.Sprint(err) != want || shown(t, out) != "refused a.example:443 ×1" {
			t.Errorf("%v, %s", err, shown(t, out))
		}
	}
}

// Whoever follows hears each line once: those too that are as old as the last one that was read, or older than another
// gate's; and what is granted, and what ends.
func TestTheLogIsFollowed(t *testing.T) {
	g, engine, out := gatesOf(t, bottles.RoleEgress, bottles.RoleCredProxy)
	grant := map[string]any{"tool": "egress-block", "scope": "bottle", "why": "taken back", "change": bottles.Change{Allow: []string{"granted.example"}, Disallow: []string{"granted.example"}}}
	enter(t, g.root, "in force", grant)
	engine.of["c-egress"] = refusal(5, "a.example") + refusal(9, "b.example")
	engine.of["c-cred-proxy"] = refusal(5, "c.example")
	egress, more := io.Pipe()
	engine.later["c-egress"] = egress
	engine.later["c-cred-proxy"] = strings.NewReader(refusal(4, "old.example") + refusal(5, "c.example") + refusal(5, "tie.example"))
	ended := make(chan error, 1)
	go func() { ended <- g.tell(t.Context(), true) }()
	wait := func(what string, times int) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); strings.Count(out.String(), what) != times; time.Sleep(5 * time.Millisecond) { // between two looks
			if time.Now().After(deadline) {
				t.Fatalf("waited in vain for %s, %d times:\n%s", what, times, out)
			}
		}
	}
	wait("c.example", 2)
	wait("old.example", 1)
	wait("tie.example", 1)
	enter(t, g.root, "gates", bottles.GateFacts{Until: at(9), Passages: []bottles.Passage{refused(9, 1, "b.example")}, More: 3})
	enter(t, g.root, "grant ended", grant)
	wait(`"closed"`, 1)
	_, _ = io.WriteString(more, refusal(9, "b.example"))
	wait("b.example", 2)
	enter(t, g.root, "in force", grant)
	wait("granted.example", 3)
	more.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := strings.Count(out.String(), "\n"); got != 10 {
		t.Errorf("%d lines:\n%s", got, out)
	}
}

// What an agent named does nothing to a terminal in JSON either, and is what it was to whoever reads it.
func TestTheLogInJSONIsPlain(t *testing.T) {
	g, _, out := gatesOf(t, bottles.RoleEgress)
	host := "a\u202eb\u009bc\u007fd\U000e0041e\u0301é漢\"<\n"
	enter(t, g.root, "gates", bottles.GateFacts{Until: at(1), Passages: []bottles.Passage{refused(1, 1, host)}})
	if err := g.tell(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	if want := `a\u202eb\u009bc\u007fd\udb40\udc41e\u0301é漢\"\u003c\n:443`; !strings.Contains(got, want) {
		t.Errorf("%q lacks %s", got, want)
	}
	if shown(t, out) != "refused "+host+":443 ×1" {
		t.Errorf("%q", shown(t, out))
	}
}
