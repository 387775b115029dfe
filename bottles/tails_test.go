package bottles

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bottle-tui/queue"
	"bottle-tui/sidecars"
)

// hearing hears a log with more lines than are read of its end, and gives how many bytes were read of how many.
func hearing(t *testing.T, s *Supervisor, engine *tailed, id string, role Role) (v *voice, read, of int) {
	t.Helper()
	container := sidecarName(role, id)
	before := engine.read
	v = s.follow(id, role, container)
	within(t, "the log is heard", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return v.ended })
	return v, engine.read - before, len(engine.of[container])
}

// Of a long log of any sidecar the end alone is read when nothing before it is of interest.
func TestOnlyTheEndOfAnyLongLogIsRead(t *testing.T) {
	begin := time.Now().UTC().Add(-100 * time.Hour)
	for _, role := range []Role{RoleEgress, RoleCredProxy, RoleGitGate, RoleSupervise} {
		t.Run(string(role), func(t *testing.T) {
			container := sidecarName(role, "tester-00000")
			lines := []sidecars.Line{{At: begin, Event: sidecars.EventReady}}
			for i := range 3 * tailLines {
				l := sidecars.Line{At: begin.Add(time.Duration(i) * time.Second), Event: sidecars.EventRefuse, Reason: "no"}
				if role == RoleSupervise {
					l.Event, l.ID = sidecars.EventRequest, fmt.Sprint(i/10)
				}
				lines = append(lines, l)
			}
			engine := &tailed{gateLogs: gateLogs{of: map[string]string{container: spoke(t, lines...)}}}
			root := openRoot(t)
			s, id, stop := owner(t, root, engine)
			defer stop()
			hearing(t, s, engine, id, role)
			s.summarise(id)
			other, _, stop := owner(t, root, engine)
			defer stop()
			if _, read, of := hearing(t, other, engine, id, role); read > of/2 {
				t.Errorf("%d of %d bytes were read", read, of)
			}
		})
	}
}

// A push that waits is shown, however much git-gate has told since.
func TestAPushBehindALongLogIsShown(t *testing.T) {
	begin := time.Now().UTC().Add(-40 * time.Minute)
	container := sidecarName(RoleGitGate, "tester-00000")
	push := func(id string) sidecars.Line {
		return sidecars.Line{At: begin, Event: sidecars.EventPushWaits, ID: id, Remote: "docs", Push: &sidecars.Push{Refs: []sidecars.PushRef{{Ref: "refs/heads/main", New: "1"}}}}
	}
	lines := []sidecars.Line{{At: begin, Event: sidecars.EventReady}, push("old"), push("new"), {At: begin, Event: sidecars.EventAbandoned, ID: "old", Reason: "gone"}}
	for i := range 2 * tailLines {
		lines = append(lines, sidecars.Line{At: begin.Add(time.Duration(i) * time.Millisecond), Event: sidecars.EventFetch, Remote: "docs"})
	}
	hold := make(chan struct{})
	engine := &tailed{gateLogs: gateLogs{of: map[string]string{container: spoke(t, lines...)}, end: map[string]chan struct{}{container: hold}}}
	root := openRoot(t)
	var stops []func()
	for range 2 { // the second time the audit log has all that it told
		s, id, stop := owner(t, root, engine)
		s.follow(id, RoleGitGate, container)
		var shown []string
		within(t, "the push is shown", func() bool {
			s.ask(func() {
				shown = nil
				for _, q := range s.bottles[id].pushes {
					shown = append(shown, q.ID)
				}
			})
			return len(shown) > 0
		})
		if strings.Join(shown, " ") != "new" {
			t.Errorf("shown are %q", shown)
		}
		s.summarise(id)
		stops = append(stops, stop)
	}
	if held, err := pushesOf(t.Context(), engine, "tester-00000", time.Now()); err != nil || len(held) != 1 || held[0].ID != "new" {
		t.Errorf("to a command it holds %+v, %v", held, err)
	}
	before := engine.read
	if held, err := pushesOf(t.Context(), engine, "tester-00000", time.Now().Add(2*time.Hour)); err != nil || len(held) > 0 || engine.read-before > len(engine.of[container])/2 {
		t.Errorf("when no push can wait any more it holds %+v, %v; %d bytes were read", held, err, engine.read-before)
	}
	close(hold)
	for _, stop := range stops {
		stop()
	}
}

// A request in the queue is known to be waited for, however much supervise has told since.
func TestARequestBehindALongLogIsAwaited(t *testing.T) {
	begin := time.Now().UTC().Add(-10 * time.Hour)
	container := sidecarName(RoleSupervise, "tester-00000")
	root := openRoot(t)
	engine := &tailed{gateLogs: gateLogs{of: map[string]string{}}}
	s, id, stop := owner(t, root, engine)
	defer stop()
	s.cfg.Catalog = noCatalog{}
	box := s.box(id)
	if err := box.Make(0); err != nil {
		t.Fatal(err)
	}
	asked := queue.Request{ID: queue.NewID(begin), Tool: queue.ToolEgress, Identity: id, Proposed: "a.example", ArrivedAt: begin}
	if err := box.Put(asked); err != nil {
		t.Fatal(err)
	}
	lines := []sidecars.Line{{At: begin, Event: sidecars.EventReady}, {At: begin, Event: sidecars.EventRequest, ID: asked.ID}}
	for i := range 2 * tailLines {
		lines = append(lines, sidecars.Line{At: begin.Add(time.Duration(i+1) * time.Second), Event: sidecars.EventDelivered, ID: fmt.Sprint(i)})
	}
	engine.of[container] = spoke(t, lines...)
	v, _, _ := hearing(t, s, engine, id, RoleSupervise)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !v.waits[asked.ID] || !v.ready {
		t.Errorf("it is ready: %v, and waits for %v", v.ready, v.waits)
	}
}

// What went through pipelock is counted on, though only the end of its log is read again.
func TestWhatWentThroughPipelockIsCountedOn(t *testing.T) {
	container := sidecarName(RolePipelock, "tester-00000")
	begin := time.Now().UTC().Add(-10 * time.Hour)
	text := `{"event":"startup","time":"` + begin.Format(time.RFC3339) + `"}` + "\n"
	closed := func(i int) string {
		return fmt.Sprintf(`{"event":"tunnel_close","target":"a.example:443","total_bytes":10,"time":%q}`+"\n", begin.Add(time.Duration(i)*time.Second).Format(time.RFC3339))
	}
	for i := range tailLines - 10 {
		text += closed(i + 1)
	}
	engine := &tailed{gateLogs: gateLogs{of: map[string]string{container: text}}}
	s, id, stop := owner(t, openRoot(t), engine)
	defer stop()
	total := func() (n int64) { s.ask(func() { n = s.bottles[id].received }); return n }
	hearing(t, s, engine, id, RolePipelock)
	if got := total(); got != 10*(tailLines-10) {
		t.Fatalf("%d bytes", got)
	}
	for i := range 100 {
		engine.of[container] += closed(tailLines + i)
	}
	for range 2 {
		hearing(t, s, engine, id, RolePipelock)
		if got := total(); got != 10*(tailLines+90) {
			t.Errorf("%d bytes", got)
		}
	}
}
