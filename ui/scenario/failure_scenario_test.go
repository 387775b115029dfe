package scenario_test

import (
	"strings"
	"testing"

	"bottle-tui/queue"
	"bottle-tui/state"
)

// A build that fails changes nothing: the agent goes on waiting, the operator reads the log, edits again, and
// what then works goes through.
func TestBuildError(t *testing.T) {
	t.Parallel()
	s := newStage(t).withEditor()
	op := s.demo("counter")
	op.reviews()
	id := s.identities("counter")[0]
	asked, before := s.request(id), s.facts(id)
	op.edits(strings.Replace(asked.Proposed, `"--check", "tally"`, `"--check", "no-such-tool"`, 1))

	op.sees("✗ approving your version for " + id)
	op.Press("!")
	op.sees(words("executor failed running [/bin/bottle-tui demo-install --check no-such-tool]: exit code: 2"))
	op.Press("esc")
	after := s.facts(id)
	if after.agent() == "" || after.agent() != before.agent() || after.dockerfile != "" || !sameMeta(after.meta, before.meta) {
		t.Errorf("it was %+v and is %+v", before, after)
	}
	if left := s.request(id); left.ID != asked.ID {
		t.Errorf("the request that waits is %s, not %s", left.ID, asked.ID)
	}
	if n := s.audited(id, "build failed"); n != 1 {
		t.Errorf("the audit log has %d builds that failed", n)
	}

	// The log has what the step printed.
	op.Press("4")
	op.sees("usage: bottle-tui demo-install")

	// The request can still be answered; this time with what works.
	op.Press("1")
	op.sees("waiting for the operator")
	op.Press("2")
	op.sees("could not be applied")
	op.sees(" 1 waits for you")
	op.Press("a")
	op.sees("It was approved and could not be applied")
	op.edits(strings.Replace(asked.Proposed, "# tally counts", "# it counts", 1))
	op.seesDone(id, "is live on its new image", "your version is in force: "+id+" goes on")
	op.Press("1")
	op.sees("tally works now")
	if got := s.facts(id).dockerfile; !strings.Contains(got, "# it counts") {
		t.Errorf("in force is %q", got)
	}
	if n := s.audited(id, "decision"); n != 2 {
		t.Errorf("the audit log has %d decisions, not the one that failed and the one that did not", n)
	}
}

// An agent that does not come up on its new image is put back on the old one; the operator and the agent are
// told.
func TestRollBack(t *testing.T) {
	t.Parallel()
	s := newStage(t).withEditor()
	op := s.demo("counter")
	op.reviews()
	id := s.identities("counter")[0]
	asked, before := s.request(id), s.facts(id)
	op.edits(asked.Proposed + "ENTRYPOINT [\"/no/such/program\"]\n")

	op.sees("✗ approving your version for " + id)
	op.Press("!")
	op.sees("─ Messages ")
	screen := op.sees(words("is back on the old one"))
	if !strings.Contains(screen, "/no/such/program") {
		t.Errorf("the engine's own words are not shown:\n%s", screen)
	}
	op.Press("esc")
	op.sees(words("the new image did not come up, so you are back on the old one"))
	op.sees("tally is still not here")
	s.wasAnsweredOnce(id, asked, queue.Edited)

	after := s.facts(id)
	switch {
	case after.agent() == "" || after.agent() == before.agent():
		t.Errorf("its agent is %+v", after.parts)
	case after.meta.ImageDigest != before.meta.ImageDigest || after.meta.SessionID != before.meta.SessionID:
		t.Errorf("it was %+v and is %+v", before.meta, after.meta)
	case after.egress() != before.egress() || after.supervise() != before.supervise():
		t.Errorf("the sidecars were not left alone: %+v, %+v", before.parts, after.parts)
	case after.dockerfile != "":
		t.Errorf("it has the Dockerfile %q", after.dockerfile)
	}
	history, err := s.bottle(id).DockerfileHistory()
	if err != nil || len(history) != 2 || history[1].Change != state.DockerfileRemoved {
		t.Errorf("the history is %+v (%v)", history, err)
	}
	if n := s.audited(id, "rolled back"); n != 1 {
		t.Errorf("the audit log has %d facts that it was rolled back", n)
	}
	// What it was doing is not lost.
	op.types(id, [2]string{"cat notes.md", "Every file here was written by the demo agent"})
}
