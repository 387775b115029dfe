package bottles

import (
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/state"
)

// tested says that a container of a gate let something through or refused it, so many ms after base.
func (s *Supervisor) tested(identity string, role Role, base time.Time, ms int, what string) {
	at := base.Add(time.Duration(ms) * time.Millisecond)
	s.passed(identity, role, Passage{Gate: role.Gate(), Verdict: Refused, What: what, Count: 1, First: at, Last: at}, false)
}

// summariesOf is what the audit log tells of the gates, in the order of its entries.
func summariesOf(t *testing.T, root *state.Root, identity string) string {
	t.Helper()
	var all []string
	for _, e := range entriesOf(t, root, identity, auditGates) {
		var f GateFacts
		if err := json.Unmarshal([]byte(e), &f); err != nil {
			t.Fatal(err)
		}
		for _, p := range f.Passages {
			all = append(all, p.What)
		}
	}
	return strings.Join(all, " ")
}

// What one gate said before another, and was heard later, is in the audit log, too; and each once, whoever writes it.
func TestALateLineOfAnotherGateIsSummarised(t *testing.T) {
	root := openRoot(t)
	base := time.Now().UTC()
	s, id, stop := owner(t, root, &gateLogs{})
	defer stop()
	s.tested(id, RoleEgress, base, 300, "a")
	s.summarise(id)
	s.tested(id, RoleGitGate, base, 299, "late-of-git-gate")
	s.summarise(id)
	s.tested(id, RolePipelock, base, 200, "late-of-pipelock")
	s.summarise(id)
	s.tested(id, RoleEgress, base, 300, "again")
	s.tested(id, RoleGitGate, base, 299, "again")
	s.tested(id, RolePipelock, base, 200, "again")
	s.tested(id, RoleEgress, base, 301, "b")
	s.summarise(id)
	if got := summariesOf(t, root, id); got != "a late-of-git-gate late-of-pipelock b" {
		t.Error(got)
	}
}

// An entry that was written before there was an end for each gate has one for all.
func TestAnOldSummaryIsForAllGates(t *testing.T) {
	root := openRoot(t)
	base := time.Now().UTC()
	s, id, stop := owner(t, root, &gateLogs{})
	defer stop()
	s.audit(id, auditGates, map[string]any{"until": base.Add(300 * time.Millisecond), "passages": []any{}})
	s.tested(id, RoleEgress, base, 300, "written")
	s.tested(id, RoleEgress, base, 400, "a")
	s.summarise(id)
	s.tested(id, RoleGitGate, base, 300, "written")
	s.tested(id, RoleGitGate, base, 301, "b")
	s.summarise(id)
	if got := summariesOf(t, root, id); got != "a b" {
		t.Error(got)
	}
}

// What could not be written is not lost.
func TestASummaryThatFailsIsWrittenLater(t *testing.T) {
	root := openRoot(t)
	base := time.Now().UTC()
	s, id, stop := owner(t, root, &gateLogs{})
	defer stop()
	s.tested(id, RoleEgress, base, 1, "a")
	s.summarise(id)
	path := root.Audit(id).Path()
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	s.tested(id, RoleEgress, base, 2, "b")
	s.summarise(id)
	s.tested(id, RoleEgress, base, 3, "c")
	s.summarise(id)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	s.summarise(id)
	if got := summariesOf(t, root, id); got != "a b c" {
		t.Error(got)
	}
}

// Pushes that wait end with the git-gate that holds them, and one that starts anew in its container has none.
func TestANewGitGateHoldsNoPushes(t *testing.T) {
	root := openRoot(t)
	container := sidecarName(RoleGitGate, "tester-00000")
	r, w := io.Pipe()
	say := func(l sidecars.Line) { _, _ = io.WriteString(w, spoke(t, l)) }
	s, id, stop := owner(t, root, &piped{r: r})
	defer stop()
	defer w.Close()
	s.audit(id, "launched", map[string]string{})
	s.follow(id, RoleGitGate, container)
	waiting := func() (n int) { s.ask(func() { n = len(s.bottles[id].pushes) }); return n }
	say(sidecars.Line{At: time.Now(), Event: sidecars.EventReady})
	say(sidecars.Line{At: time.Now(), Event: sidecars.EventPushWaits, ID: "PUSH1", Remote: "api", Push: &sidecars.Push{Refs: []sidecars.PushRef{{Ref: "refs/heads/one"}}}})
	within(t, "it is asked about", func() bool { return waiting() == 1 })
	within(t, "it is written down", func() bool { return len(entriesOf(t, root, id, "request")) == 1 })
	say(sidecars.Line{At: time.Now(), Event: sidecars.EventReady})
	within(t, "it is asked about no more", func() bool { return waiting() == 0 })
	within(t, "its end is written down", func() bool {
		got := entriesOf(t, root, id, auditPushEnded)
		return len(got) == 1 && strings.Contains(got[0], "started anew")
	})
}
