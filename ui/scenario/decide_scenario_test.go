package scenario_test

import (
	"strings"
	"testing"

	"bottle-tui/queue"
)

// The operator changes the Dockerfile in the dialog before approving it: the agent is told the difference.
func TestEditInPlace(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	op := s.demo("counter")
	op.reviews()
	id := s.identities("counter")[0]
	asked := s.request(id)

	// Below the first line goes one of the operator's own.
	op.answers("e", func(screen string) bool { return strings.Contains(screen, "check what you wrote") })
	op.Press("down", "home")
	op.Paste("LABEL looked-at=\"yes\"\n")
	op.sees(`LABEL looked-at="yes"`)
	op.Press("ctrl+s")
	op.sees("Your version, as it would be put in force")
	op.sees(`+ LABEL looked-at="yes"`)
	op.approves()
	op.seesDone(id, "is live on its new image", "your version is in force: "+id+" goes on")
	s.wasAnsweredOnce(id, asked, queue.Edited)

	first, rest, _ := strings.Cut(asked.Proposed, "\n")
	want := first + "\nLABEL looked-at=\"yes\"\n" + rest
	if got := s.facts(id).dockerfile; got != want {
		t.Errorf("in force is %q, not %q", got, want)
	}

	// The agent's terminal shows what it got in the place of what it asked for, and the agent goes on with it.
	op.sees("Approved with edits.")
	op.sees(`+LABEL looked-at="yes"`)
	op.sees("tally works now")
	op.quits()
	if kept := s.says("audit", "verify", id); !strings.Contains(kept, "whole") {
		t.Errorf("audit verify says %q", kept)
	}
}

// The operator says no: the agent shows the reason, and nothing else has changed.
func TestDenyWithReason(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	op := s.demo("reckless")
	op.reviews()
	id := s.identities("reckless")[0]
	asked, before := s.request(id), s.facts(id)

	// What is unwise about it is said in the dialog.
	screen := op.sees("Look at")
	for _, want := range []string{`the base image becomes "ubuntu:latest"`, "the last USER is root", `ENV "DEPLOY_TOKEN" looks like a secret`, "a download is run"} {
		if !strings.Contains(screen, want) {
			t.Errorf("the dialog lacks %q:\n%s", want, screen)
		}
	}
	op.denies("use the base that is there, without the vendor's installer")
	op.seesDone(id, "was told no", "denied: "+id+" was told why")
	op.sees(words("The operator's reason: use the base that is there, without the vendor's installer"))
	op.sees("I leave the deployment alone")
	s.wasAnsweredOnce(id, asked, queue.Denied)

	after := s.facts(id)
	if after.agent() == "" || after.agent() != before.agent() || after.egress() != before.egress() || after.supervise() != before.supervise() {
		t.Errorf("the containers were %+v and are %+v", before.parts, after.parts)
	}
	if after.dockerfile != "" || !sameMeta(after.meta, before.meta) {
		t.Errorf("the state was %+v and is %+v", before, after)
	}
	if history, err := s.bottle(id).DockerfileHistory(); err != nil || len(history) > 0 {
		t.Errorf("the history is %+v (%v)", history, err)
	}
}
