package bottles

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/queue"
	"bottle-tui/sidecars"
	"bottle-tui/state"
)

// gateLogs is an engine that has the logs of gates alone; what is fed to git-gate is given to fed.
type gateLogs struct {
	Engine
	of  map[string]string
	fed func(line string) error
	end map[string]chan struct{} // a log ends with it; none: at its end
}

func (l *gateLogs) Logs(_ context.Context, name string, _ int, follow bool) (io.ReadCloser, error) {
	r := io.Reader(strings.NewReader(l.of[name]))
	if end := l.end[name]; end != nil && follow {
		r = io.MultiReader(r, until{end})
	}
	return io.NopCloser(r), nil
}

func (l *gateLogs) Feed(_ context.Context, _ string, content []byte) error {
	return l.fed(string(content))
}

type until struct{ end chan struct{} }

func (u until) Read([]byte) (int, error) { <-u.end; return 0, io.EOF }

// owner is a Supervisor of one bottle, of whose world nothing is but engine and the audit log.
func owner(t *testing.T, root *state.Root, engine Engine) (s *Supervisor, identity string, stop func()) {
	t.Helper()
	identity = "tester-00000"
	disk, err := root.Bottle(identity)
	if errors.Is(err, state.ErrUnknown) {
		disk, err = root.CreateAs(identity, state.Metadata{AgentName: "tester"})
	}
	if err != nil {
		t.Fatal(err)
	}
	s = New(Config{Root: root, Engine: engine})
	ctx, cancel := context.WithCancel(t.Context())
	s.ctx = ctx
	s.bottles[identity] = &record{identity: identity, disk: disk}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			select {
			case f := <-s.inbox:
				f()
			case <-ctx.Done():
				return
			}
		}
	}()
	return s, identity, func() { cancel(); <-over; s.workers.Wait() }
}

func openRoot(t *testing.T) *state.Root {
	t.Helper()
	root, err := state.Open(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func spoke(t *testing.T, lines ...sidecars.Line) string {
	t.Helper()
	var out strings.Builder
	for _, l := range lines {
		b, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(b, '\n'))
	}
	return out.String()
}

// entriesOf are the audit log's entries of a kind.
func entriesOf(t *testing.T, root *state.Root, identity, kind string) (out []string) {
	t.Helper()
	entries, err := root.Audit(identity).Entries(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Kind == kind {
			out = append(out, string(e.Data))
		}
	}
	return out
}

func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) { // between two looks
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// The operator's decision is written down before git-gate gets it. That the push went is only written down when git-gate
// says so, by whoever hears it: the program that decided, or after its death the next one.
func TestAPushIsNotGrantedBeforeGitGateTookIt(t *testing.T) {
	now := time.Now().UTC()
	waits := sidecars.Line{At: now, Event: sidecars.EventPushWaits, ID: "PUSH1", Remote: "api", Push: &sidecars.Push{Refs: []sidecars.PushRef{{Ref: "refs/heads/one"}}}}
	ends := func(event sidecars.Event, decision string) sidecars.Line {
		return sidecars.Line{At: now.Add(time.Second), Event: event, ID: "PUSH1", Remote: "api", Decision: decision, Reason: map[string]string{"": "the agent broke it off"}[decision]}
	}
	for name, c := range map[string]struct {
		end  []sidecars.Line
		want string // of the history
	}{
		"killed before git-gate took it": {nil, ""},
		"killed after git-gate took it":  {[]sidecars.Line{ends(sidecars.EventDelivered, "approved")}, "api refs/heads/one"},
		"taken back first":               {[]sidecars.Line{ends(sidecars.EventAbandoned, "")}, ""},
		"another program denied it":      {[]sidecars.Line{ends(sidecars.EventDelivered, "denied")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := openRoot(t)
			container := sidecarName(RoleGitGate, "tester-00000")
			hold := make(chan struct{})
			engine := &gateLogs{of: map[string]string{container: spoke(t, waits)}, end: map[string]chan struct{}{container: hold}}
			s, id, stop := owner(t, root, engine)
			engine.fed = func(string) error { return errors.New("the engine is gone") }
			v := s.follow(id, RoleGitGate, container)
			within(t, "it is asked about", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return len(v.held.waiting) == 1
			})
			q := v.held.requests(id)[0]
			if err := s.answerPush(t.Context(), &execution{sup: s, layout: layout{identity: id}}, q, queue.Approved, ""); err == nil {
				t.Fatal("it was fed")
			}
			close(hold)
			stop()
			if got := entriesOf(t, root, id, "decision"); len(got) != 1 {
				t.Errorf("decisions: %s", got)
			}

			for range 2 { // programs that come afterwards
				engine.of[container] = spoke(t, append([]sidecars.Line{waits}, c.end...)...)
				delete(engine.end, container)
				s, id, stop = owner(t, root, engine)
				v := s.follow(id, RoleGitGate, container)
				within(t, "the log is heard", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return v.ended })
				within(t, "its end is written down", func() bool { return len(entriesOf(t, root, id, auditPushEnded)) == len(c.end) })
				stop()
			}
			if got := entriesOf(t, root, id, auditPushEnded); len(got) != len(c.end) {
				t.Errorf("ends: %s", got)
			}
			history, err := GateHistory(root, id)
			if err != nil {
				t.Fatal(err)
			}
			granted := ""
			for _, p := range history {
				if p.Verdict == Granted {
					granted += p.What
				}
			}
			if granted != c.want {
				t.Errorf("granted: %q, want %q", granted, c.want)
			}
		})
	}
}

// The program that decides writes down what git-gate said before it says that it is done.
func TestAPushThatWentIsWrittenDown(t *testing.T) {
	root := openRoot(t)
	container := sidecarName(RoleGitGate, "tester-00000")
	r, w := io.Pipe()
	say := func(l sidecars.Line) { _, _ = io.WriteString(w, spoke(t, l)) }
	engine := &piped{r: r}
	engine.fed = func(string) error {
		say(sidecars.Line{At: time.Now(), Event: sidecars.EventDelivered, ID: "PUSH1", Remote: "api", Decision: "approved"})
		return nil
	}
	s, id, stop := owner(t, root, engine)
	defer stop()
	defer w.Close()
	v := s.follow(id, RoleGitGate, container)
	say(sidecars.Line{At: time.Now(), Event: sidecars.EventReady})
	say(sidecars.Line{At: time.Now(), Event: sidecars.EventPushWaits, ID: "PUSH1", Remote: "api", Push: &sidecars.Push{Refs: []sidecars.PushRef{{Ref: "refs/heads/one"}}}})
	within(t, "it is asked about", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(v.held.waiting) == 1 })
	s.mu.Lock()
	q := v.held.requests(id)[0]
	s.mu.Unlock()
	if err := s.answerPush(t.Context(), &execution{sup: s, layout: layout{identity: id}}, q, queue.Approved, ""); err != nil {
		t.Fatal(err)
	}
	if got := entriesOf(t, root, id, auditPushEnded); len(got) != 1 || !strings.Contains(got[0], `"decision":"approved"`) {
		t.Errorf("ends: %s", got)
	}
}

// piped is gateLogs with one log that grows.
type piped struct {
	gateLogs
	r *io.PipeReader
}

func (p *piped) Logs(context.Context, string, int, bool) (io.ReadCloser, error) { return p.r, nil }

// What the audit log has takes no room from what it does not have when a long log is heard anew; and what finds no room
// is counted.
func TestALongLogThatIsHeardAnewIsSummarised(t *testing.T) {
	root := openRoot(t)
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var lines []sidecars.Line
	for i := range 2 * maxUntold {
		lines = append(lines, sidecars.Line{At: begin.Add(time.Duration(i) * time.Second), Event: sidecars.EventRefuse, Host: fmt.Sprintf("h%d.example", i), Via: "connect", Reason: "no"})
	}
	const fresh = maxFeed + 50
	until := lines[len(lines)-fresh-1].At
	container := sidecarName(RoleEgress, "tester-00000")
	s, id, stop := owner(t, root, &gateLogs{of: map[string]string{container: spoke(t, lines...)}})
	defer stop()
	s.audit(id, auditGates, GateFacts{Until: until, Passages: []Passage{}})
	v := s.follow(id, RoleEgress, container)
	within(t, "the log is heard", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return v.ended })
	s.summarise(id)
	got := entriesOf(t, root, id, auditGates)
	var facts GateFacts
	if err := json.Unmarshal([]byte(got[len(got)-1]), &facts); err != nil {
		t.Fatal(err)
	}
	last := lines[len(lines)-1]
	if len(got) != 2 || len(facts.Passages) == 0 || len(facts.Passages)+facts.More != fresh || !facts.Until.Equal(last.At) ||
		!slices.ContainsFunc(facts.Passages, func(p Passage) bool { return p.What == last.Host }) {
		t.Errorf("%d summaries, the last of %d until %s, and %d more", len(got), len(facts.Passages), facts.Until, facts.More)
	}
}
