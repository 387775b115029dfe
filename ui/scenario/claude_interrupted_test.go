package scenario_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/ui/scenario/messages"
)

// longWaits, in the environment, lets the operator take more than six minutes, over which each of Claude Code's own
// limits on a call would have ended it.
const longWaits = "BOTTLE_LONG_WAITS"

// An operator who is away does not break a call: the answer comes to the model as its result, however late. What
// takes long is begun before this test stands back for others, so that they pass the time.
func TestClaudeWaitsForItsAnswer(t *testing.T) {
	c := newClaude(t)
	c.wants("It must wait.", "go on with what there is")
	op := c.opens()
	id := c.launches(op, "", "It must wait.")
	op.sees(" 1 waits for you")
	asked, before := c.request(id), c.facts(id)
	away := 5 * time.Second
	if os.Getenv(longWaits) != "" {
		away = 6*time.Minute + 20*time.Second
	}
	t.Parallel()
	<-time.After(time.Until(asked.ArrivedAt.Add(away)))

	op.sees(words("waiting for the operator"))
	op.doing(id, "waits")
	op.reads(id, "a capability")
	op.denies("go on with what there is")
	op.sees("I have my answer.")
	told := c.turn("the answer", messages.ResultOf(capabilityTool))
	if took := time.Since(asked.ArrivedAt); took < away || told.Failed || !strings.Contains(told.Result, "go on with what there is") || strings.Contains(told.Result, "background") {
		t.Errorf("after %v it was told %q", took, told.Result)
	}
	c.wasAnsweredOnce(id, asked, queue.Denied)
	c.same(before, c.facts(id))
}

// wants lets Claude Code ask for a capability when it is told task, and take an answer that has this in it.
func (c *claude) wants(task, answer string) {
	c.api.When(messages.All(messages.ResultOf(capabilityTool), messages.Result(answer))).Says("I have my answer.")
	c.asks(says(task), "I ask the operator.", capabilityTool, map[string]any{"justification": "It needs more.", "dockerfile": "FROM " + messages.ClaudeCode(c.t) + "\nLABEL more=1\n"})
}

// Its container is killed while it waits for the operator. The request goes with it, for nobody waits any more; the
// bottle comes back with the conversation, the model knows that the call was cut, and may ask again.
func TestClaudeIsKilledInACallAndResumed(t *testing.T) {
	t.Parallel()
	c := newClaude(t)
	c.wants("It needs more.", "not today")
	c.asks(says("run again now"), "I ask once more.", capabilityTool, map[string]any{"justification": "It still does.", "dockerfile": "FROM " + messages.ClaudeCode(t) + "\nLABEL more=1\n"})
	op := c.opens()
	id := c.launches(op, "", "It needs more.")
	op.sees(" 1 waits for you")
	first, before := c.request(id), c.facts(id)
	c.eventually("the call is in its transcript", func() bool {
		out, err := c.engine.CopyOut(t.Context(), "claude-bottle-"+id, "/home/agent/.claude/projects/-workspace/"+before.meta.SessionID+".jsonl")
		if errors.Is(err, bottles.ErrNotFound) {
			return false // it writes every 0.1 s
		}
		c.must(err)
		defer out.Close()
		written, err := io.ReadAll(io.LimitReader(out, 1<<20))
		c.must(err)
		return strings.Contains(string(written), first.ToolUseID)
	})
	if said, err := exec.CommandContext(t.Context(), "docker", "kill", "claude-bottle-"+id).CombinedOutput(); err != nil {
		t.Fatalf("docker kill: %v\n%s", err, said)
	}
	op.sees(words("the agent ended by itself, exit code 137"))
	op.seesNoMore("waits for you")
	c.eventually("the request is withdrawn", func() bool { return c.audited(id, "withdrawn") == 1 })
	if transcript := c.transcript(id); !strings.Contains(transcript, "It needs more.") || !strings.Contains(transcript, first.ToolUseID) {
		t.Errorf("what is kept of its conversation is %s", transcript)
	}

	op.chooses(id)
	op.sees("r resume")
	op.Press("r")
	op.sees("I ask once more.")
	op.sees(" 1 live · 1 waits for you")
	screen := op.sees("❯ It needs more.")
	for _, want := range []string{"I ask the operator.", "Your process ended by itself, exit code 137"} {
		if !strings.Contains(screen, want) {
			t.Errorf("the screen lacks %q:\n%s", want, screen)
		}
	}
	again := c.turn("it goes on", messages.User("run again now"))
	if !strings.Contains(again.History, "It needs more.") || !strings.Contains(again.History, "its outcome is unknown") {
		t.Errorf("the model is told\n%s", again.History)
	}
	second := c.request(id)
	if second.ID == first.ID || second.Justification != "It still does." {
		t.Errorf("first it asked %+v, then %+v", first, second)
	}
	op.reads(id, "a capability")
	op.denies("not today")
	op.sees("I have my answer.")
	after := c.facts(id)
	if after.agent() == "" || after.agent() == before.agent() || after.meta.SessionID != before.meta.SessionID || after.meta.EndReason != "" {
		t.Errorf("it was %+v and is %+v", before, after)
	}
}

// The program is killed while Claude Code waits for the operator. The bottle goes on; the next program shows its
// conversation and the request, and the answer comes as the result of the call that was made before.
func TestClaudeWaitsWhileTheProgramIsKilled(t *testing.T) {
	t.Parallel()
	c := newClaude(t)
	c.wants("It needs more.", "not today")
	op := c.opens()
	id := c.launches(op, "", "It needs more.")
	op.sees(" 1 waits for you")
	asked, before := c.request(id), c.facts(id)
	op.Kill9()

	op = c.opens()
	op.seesLive(1, "coder")
	op.sees(" 1 waits for you")
	op.sees(regexp.MustCompile(`(?s)❯\W+It needs more\..*I ask the operator\..*waiting for the operator`))
	if now := c.request(id); now.ID != asked.ID {
		t.Errorf("it asked %+v and asks %+v", asked, now)
	}
	op.reads(id, "a capability")
	op.denies("not today")
	op.sees("I have my answer.")
	c.wasAnsweredOnce(id, asked, queue.Denied)
	c.same(before, c.facts(id))
	asking := 0
	for _, r := range c.api.Turns() {
		if strings.Contains(r.Turn.Result, "not today") {
			asking++
		}
	}
	if asking != 1 {
		t.Errorf("the model got the answer %d times:\n%s", asking, messages.Summary(c.api.Turns()))
	}
}
