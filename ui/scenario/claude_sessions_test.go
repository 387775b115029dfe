package scenario_test

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/ui/scenario/messages"
)

// Claude Code changes its session at /clear, /branch and /resume. A capability that is asked for afterwards comes back to
// the conversation that asked for it, and after a crash the resume command brings back the one that it was in.
func TestClaudeChangesItsSession(t *testing.T) {
	t.Parallel()
	c := newClaude(t)
	c.api.When(says("hello ALPHA")).Says("I know ALPHA.")
	op := c.opens()
	id := c.launches(op, "", "hello ALPHA")
	c.turn("the first conversation", messages.User("hello ALPHA"))
	op.sees("I know ALPHA.")
	first := c.facts(id).meta.SessionID
	sessions := map[string]string{}
	for _, change := range []struct{ command, word, with, without string }{
		{"/clear", "BETA", "", "hello ALPHA"},
		{"/branch", "GAMMA", "BETA", "hello ALPHA"},
		{"/resume " + first, "DELTA", "hello ALPHA", "BETA"},
	} {
		told := "I have what " + change.word + " needs."
		c.api.When(messages.ResultOf(capabilityTool)).Once().Says("I wait for my new container.")
		c.api.When(messages.User("The operator approved your capability request")).Once().Says(told)
		c.asks(says("need "+change.word), "I ask for it.", capabilityTool, map[string]any{
			"justification": change.word, "dockerfile": "FROM " + messages.ClaudeCode(t) + "\nLABEL word=" + change.word + "\n"})
		c.command(op, id, change.command)
		op.tells(id, "need "+change.word)
		op.reads(id, "a capability")
		op.approves()
		op.seesDone(id, "is live on its new image", "approved and in force: "+id+" goes on")
		turn := c.turn("it is told of its capability", func(t messages.Turn) bool {
			return strings.Contains(t.Text, "The operator approved your capability request") && strings.Contains(t.History+t.Text, change.word)
		})
		if !strings.Contains(turn.History, change.with) || strings.Contains(turn.History, change.without) {
			t.Errorf("after %s it goes on with\n%s", change.command, turn.History)
		}
		op.sees(told)
		if pending, _ := queue.Open(c.root.QueueDir(id)).Requests(); len(pending) != 0 {
			t.Errorf("it still asks %+v", pending)
		}

		c.eventually("what it said is in its transcript", func() bool { // it writes every 0.1 s
			written, _ := c.inContainer(id, "/home/agent/.claude/projects/-workspace/"+c.sessionOf(id)+".jsonl")
			return strings.Contains(written, `"text":"`+told)
		})
		if said, err := exec.CommandContext(t.Context(), "docker", "kill", "claude-bottle-"+id).CombinedOutput(); err != nil {
			t.Fatalf("docker kill: %v\n%s", err, said)
		}
		op.sees(words("the agent ended by itself, exit code 137"))
		c.says("resume", id, "--manifest", c.manifest)
		screen := op.sees(told)
		if !strings.Contains(screen, change.word) {
			t.Errorf("after %s and a crash it shows:\n%s", change.command, screen)
		}
		sessions[change.word] = c.facts(id).meta.SessionID
	}
	// It had finished, so it waits, and is told why it ended with the operator's next words.
	if turns := c.api.Turns(); strings.Contains(turns[len(turns)-1].Turn.Text, "run again now") {
		t.Error("a turn was spent on telling it that it was run again")
	}
	c.api.When(says("Say what happened")).Says("I was killed.")
	op.tells(id, "Say what happened")
	if told := c.turn("the operator's next words", messages.User("Say what happened")); !strings.Contains(string(c.api.Turns()[len(c.api.Turns())-1].Body), "Your process ended by itself, exit code 137") {
		t.Errorf("it is not told why it ended: %s", told.History)
	}
	if sessions["BETA"] == first || sessions["GAMMA"] == first || sessions["GAMMA"] == sessions["BETA"] || sessions["DELTA"] != first {
		t.Errorf("the first session is %s, then they are %v", first, sessions)
	}
}

// sessionOf is the session that Claude Code says it is in.
func (c *claude) sessionOf(identity string) string {
	c.t.Helper()
	said, _ := c.inContainer(identity, "/home/agent/.claude/"+bottles.SessionFileName)
	var is struct {
		SessionID string `json:"session_id"`
	}
	c.must(json.Unmarshal([]byte(said), &is))
	return is.SessionID
}

// command gives Claude Code a command of its own, waits until it is in another session, and takes the keyboard back.
func (c *claude) command(o *operator, identity, command string) {
	c.t.Helper()
	before := c.sessionOf(identity)
	o.chooses(identity)
	o.Press("enter")
	o.sees(`ctrl+\ leaves`)
	o.Type(command)
	o.sees(regexp.MustCompile(`❯\W` + regexp.QuoteMeta(command)))
	o.Press("enter")
	c.eventually("it is in another session", func() bool { return c.sessionOf(identity) != before })
	o.Press(`ctrl+\`)
	o.seesNoMore(`ctrl+\ leaves`)
}
