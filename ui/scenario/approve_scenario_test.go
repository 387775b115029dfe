package scenario_test

import (
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/queue"
)

// An agent asks for a tool; the operator reads, approves, and the agent goes on with it.
func TestApprove(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	op := s.demo("counter")

	// The request comes onto the screen; BenchmarkRequestDrawn measures how soon.
	op.Wait("to show the request", patience, func(screen string) bool {
		return strings.Contains(screen, "⚑ 1") && strings.Contains(screen, "a review")
	})
	id := op.seesLive(1, "counter")[0]
	asked := s.request(id)
	op.WaitBell(patience)
	op.Wait("to say it in the title", patience, func(string) bool { return op.Title() == "⚑ 1 bottle-tui" })
	before := s.facts(id)

	// The operator reads the agent's words and the change, and approves.
	op.reviews()
	screen := op.sees("demo-install")
	for _, want := range []string{
		id + " asks for a capability", "I need tally to count the workspace's files",
		`+ RUN ["/bin/bottle-tui", "demo-install", "tally"]`, "Approving",
	} {
		if !strings.Contains(screen, want) {
			t.Errorf("the dialog lacks %q:\n%s", want, screen)
		}
	}
	op.approves()

	// The bottle comes back by itself, and the tool works.
	op.seesDone(id, "is live on its new image", "approved and in force: "+id+" goes on")
	op.sees("tally works now")
	op.sees(" 1 live")
	op.Wait("to have a plain title again", patience, func(string) bool { return op.Title() == "bottle-tui" })
	s.wasAnsweredOnce(id, asked, queue.Approved)

	after := s.facts(id)
	switch {
	case after.agent() == "" || after.agent() == before.agent():
		t.Errorf("the agent was not replaced: %+v", after.parts)
	case after.egress() != before.egress() || after.supervise() != before.supervise():
		t.Errorf("the sidecars were not left alone: %+v, %+v", before.parts, after.parts)
	case after.meta.SessionID != before.meta.SessionID || after.meta.SessionID == "":
		t.Errorf("the session was %q and is %q", before.meta.SessionID, after.meta.SessionID)
	case !after.meta.StartedAt.Equal(before.meta.StartedAt):
		t.Errorf("it was started at %v, and now at %v", before.meta.StartedAt, after.meta.StartedAt)
	case after.meta.ImageDigest == before.meta.ImageDigest || after.containers[bottles.RoleAgent].ImageID != after.meta.ImageDigest:
		t.Errorf("the image was %s, is %s, and runs on %s", before.meta.ImageDigest, after.meta.ImageDigest, after.containers[bottles.RoleAgent].ImageID)
	case before.dockerfile != "" || after.dockerfile != asked.Proposed:
		t.Errorf("the Dockerfile was %q and is %q", before.dockerfile, after.dockerfile)
	}
	history, err := s.bottle(id).DockerfileHistory()
	if err != nil || len(history) != 1 || history[0].Request != asked.ID {
		t.Errorf("the history is %+v (%v)", history, err)
	}
	if op, err := s.bottle(id).Operation(); op != nil || err != nil {
		t.Errorf("the journal holds %+v (%v)", op, err)
	}
	for _, kind := range []string{"launch", "live", "request", "decision", "built", "in force"} {
		if n := s.audited(id, kind); n != 1 {
			t.Errorf("the audit log has %d facts %q", n, kind)
		}
	}

	// The agent says itself that it is the same one, with the same files.
	op.types(id, [2]string{"status", before.meta.SessionID}, [2]string{"ls report", "rows.go"})
}
