package bottles

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"bottle-tui/queue"
	"bottle-tui/sidecars"
	"bottle-tui/state"
)

// unwritable makes a bottle's audit log one that can't be written to.
func unwritable(t *testing.T, root *state.Root, identity string) {
	t.Helper()
	if err := os.Mkdir(root.Audit(identity).Path(), 0o700); err != nil {
		t.Fatal(err)
	}
}

// What the operator decides is not applied where it can't be written down, whatever it is about, and also when another
// program finishes it.
func TestADecisionThatCanNotBeWrittenDownIsNotApplied(t *testing.T) {
	logs := &gateLogs{fed: func(string) error { t.Error("git-gate was given the decision"); return nil }}
	s, b := owned(t, logs)
	id := b.Identity()
	end := make(chan struct{}) // git-gate's log goes on as long as the test: what it holds goes with it
	defer close(end)
	logs.end = map[string]chan struct{}{sidecarName(RoleGitGate, id): end}
	q := put(t, s, id, queue.ToolCapability, "FROM scratch\n")
	unwritable(t, s.cfg.Root, id)
	x := &execution{sup: s, bottle: b, layout: layout{identity: id}, report: func(string, int, int) {}}
	j := journal{ID: "d1", Request: q.ID, Decision: queue.Denied, Note: "no", Shown: queue.Hash([]byte(q.Proposed))}
	check := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "audit log") {
			t.Errorf("%s: %v", what, err)
		}
		if a, err := s.box(id).AnswerTo(q.ID); a != nil || err != nil {
			t.Errorf("%s: the agent has the answer %+v, %v", what, a, err)
		}
	}
	check("deny", s.deny(t.Context(), x, j))
	if op, err := b.Operation(); op != nil || err != nil {
		t.Errorf("the journal has %+v, %v", op, err)
	}
	for _, kind := range []string{"deny", "grant", "allow", "rebuild"} {
		j.Grant.Tool = queue.ToolEgress
		if err := j.write(b, kind, "apply", time.Now()); err != nil {
			t.Fatal(err)
		}
		op, err := b.Operation()
		if err != nil {
			t.Fatal(err)
		}
		check("an interrupted "+kind, s.goOn(t.Context(), x, op, j))
		if op, err := b.Operation(); op == nil || err != nil {
			t.Errorf("the journal of the interrupted %s is gone: %v", kind, err)
		}
	}
	v := s.follow(id, RoleGitGate, sidecarName(RoleGitGate, id))
	s.mu.Lock()
	v.held.waiting = map[string]sidecars.Line{"p1": {}}
	s.mu.Unlock()
	push := Request{Request: queue.Request{ID: "p1"}, Push: &sidecars.Push{}}
	check("push", s.answerPush(t.Context(), x, push, queue.Approved, ""))
}

// A denial that was interrupted is finished, and is in the audit log once. One that another answer came before is not made,
// and the log says so.
func TestADenialIsMadeOnceOrNot(t *testing.T) {
	s, b := owned(t, &gateLogs{})
	id := b.Identity()
	x := &execution{sup: s, bottle: b, layout: layout{identity: id}}
	q := put(t, s, id, queue.ToolEgress, "x.example.com\n")
	j := journal{ID: "d1", Request: q.ID, Decision: queue.Denied, Note: "no"}
	for range 2 { // killed before the journal was cleared, and again
		if err := j.write(b, "deny", "answer", time.Now()); err != nil {
			t.Fatal(err)
		}
		op, err := b.Operation()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.goOn(t.Context(), x, op, j); err != nil {
			t.Fatal(err)
		}
	}
	if a, err := s.box(id).AnswerTo(q.ID); err != nil || a == nil || a.Decision != queue.Denied || a.Note != "no" {
		t.Errorf("the answer is %+v, %v", a, err)
	}
	second := put(t, s, id, queue.ToolEgress, "y.example.com\n")
	if err := s.box(id).Answer(queue.Answer{Request: second.ID, Decision: queue.Withdrawn, Note: "it is gone", DecidedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	j.ID, j.Request = "d2", second.ID
	if err := s.finishDenial(x, j); !errors.Is(err, ErrRefused) {
		t.Errorf("a denial after another answer: %v", err)
	}
	if op, err := b.Operation(); op != nil || err != nil {
		t.Errorf("the journal has %+v, %v", op, err)
	}
	if got := entriesOf(t, s.cfg.Root, id, "decision"); len(got) != 2 {
		t.Errorf("decisions: %v", got)
	}
	if got := entriesOf(t, s.cfg.Root, id, auditNotApplied); len(got) != 1 || !strings.Contains(got[0], "d2") {
		t.Errorf("not applied: %v", got)
	}
}

// Several programs that tell of the same refusals at the same time write them down once.
func TestSummariesOfSeveralProgramsTellEachOnce(t *testing.T) {
	root := openRoot(t)
	base := time.Now().UTC()
	id, done := "", make(chan struct{}, 3)
	for range 3 {
		s, identity, stop := owner(t, root, &gateLogs{})
		defer stop()
		id = identity
		for i := range 5 {
			s.tested(id, RoleEgress, base, i, string(rune('a'+i)))
		}
		go func() { s.summarise(identity); done <- struct{}{} }()
	}
	for range 3 {
		<-done
	}
	if got := summariesOf(t, root, id); got != "a b c d e" {
		t.Error(got)
	}
}

// An agent that asks and runs away without end does not fill the audit log: a day's requests are bounded, and it is told.
func TestTheRequestsOfADayAreBounded(t *testing.T) {
	s, id, stop := owner(t, openRoot(t), &gateLogs{})
	defer stop()
	now := s.cfg.Now()
	s.cfg.Now = func() time.Time { return now }
	ask := func(q string) {
		t.Helper()
		if err := s.auditAsked(id, "request", "id", map[string]any{"id": q}); err != nil {
			t.Fatal(err)
		}
	}
	ask("first")
	s.mu.Lock()
	c := s.asked[id+" request"]
	c.n = maxFacts - 1
	s.asked[id+" request"] = c
	s.mu.Unlock()
	for _, q := range []string{"last", "over", "more"} {
		ask(q)
	}
	now = now.Add(24 * time.Hour)
	ask("tomorrow")
	requests := strings.Join(entriesOf(t, s.cfg.Root, id, "request"), " ")
	if requests != `{"id":"first"} {"id":"last"} {"id":"tomorrow"}` || len(entriesOf(t, s.cfg.Root, id, auditMore)) != 1 {
		t.Errorf("written: %s", requests)
	}
	within(t, "it is told", func() (told bool) { s.ask(func() { told = len(s.problems["asked "+id]) > 0 }); return told })
}
