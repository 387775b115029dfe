package scenario_test

import (
	"slices"
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/ui/scenario/messages"
)

// Claude Code needs a tool that its container lacks. It reads the Dockerfile in force, asks for one that installs the
// tool from Debian, waits, and goes on with the tool in a new container, in the same session.
func TestClaudeAsksForACapability(t *testing.T) {
	t.Parallel()
	c := newClaude(t)
	base := messages.ClaudeCode(t)
	dockerfile := "FROM " + base + "\nUSER 0:0\nRUN apt-get update && apt-get install --yes --no-install-recommends jq\nUSER 1000:1000\n"
	c.api.When(messages.Result("jq-1.")).Says("jq works in here.")
	c.api.When(messages.User("The operator approved your capability request")).Runs("jq --version")
	c.api.When(messages.ResultOf(capabilityTool)).Says("I wait for my new container.")
	c.asks(messages.Result("FROM "+base), "I ask the operator for jq.", capabilityTool,
		map[string]any{"justification": "The report is JSON, and jq reads it.", "dockerfile": dockerfile})
	c.api.When(says("The report needs jq")).Says("I read what is in force.").Runs("jq --version; cat /etc/claude-bottle/current-config/Dockerfile")

	op := c.opens()
	id := c.launches(op, "", "The report needs jq. Get it.")
	if read := c.turn("the Dockerfile in force", messages.Result("FROM "+base)); !strings.Contains(read.Result, "jq: command not found") {
		t.Errorf("before it asks, it is told %q", read.Result)
	}
	screen := op.reads(id, "a capability")
	for _, want := range []string{"The report is JSON, and jq reads it.", "+ RUN apt-get update && apt-get install --yes --no-install-recommends jq", "+ USER 1000:1000"} {
		if !strings.Contains(screen, want) {
			t.Errorf("the dialog lacks %q:\n%s", want, screen)
		}
	}
	asked, before := c.request(id), c.facts(id)
	if asked.Proposed != dockerfile || asked.ToolUseID == "" {
		t.Errorf("asked is %+v", asked)
	}
	op.approves()

	// It is the same conversation, from its beginning, on the screen and for the model.
	op.seesDone(id, "is live on its new image", "approved and in force: "+id+" goes on")
	op.sees("jq works in here.")
	screen = op.sees("The report needs jq. Get it.")
	for _, want := range []string{"I read what is in force.", "I ask the operator for jq.", "The operator approved your capability request"} {
		if !strings.Contains(screen, want) {
			t.Errorf("the screen lacks %q:\n%s", want, screen)
		}
	}
	last := c.turn("the tool at work", messages.Result("jq-1."))
	for _, want := range []string{"The report needs jq", "jq: command not found", "Approved. The operator has accepted your Dockerfile as it is."} {
		if !strings.Contains(last.History, want) {
			t.Errorf("the model is not told %q any more: %s", want, last.History)
		}
	}
	c.wasAnsweredOnce(id, asked, queue.Approved)
	after := c.facts(id)
	c.replaced(before, after)
	if after.dockerfile != dockerfile || after.containers[bottles.RoleAgent].ImageID != after.meta.ImageDigest || after.meta.ImageDigest == before.meta.ImageDigest {
		t.Errorf("it was %+v and is %+v", before, after)
	}
	if got, _ := c.inContainer(id, "/etc/claude-bottle/current-config/Dockerfile"); got != dockerfile {
		t.Errorf("what the agent reads as in force is %q", got)
	}
	c.neverHeld(id, claudeToken)

	op.tearsDown(id)
	transcript := c.transcript(id)
	for _, want := range []string{"The report needs jq", "Approved. The operator has accepted your Dockerfile", "jq-1.", "jq works in here."} {
		if !strings.Contains(transcript, want) {
			t.Errorf("the transcript of the one session lacks %q", want)
		}
	}
	if strings.Contains(transcript, claudeToken) {
		t.Error("the transcript has the token")
	}
}

// A bottle's Claude Code has its prompt and its skill, the manifest's model, settings and MCP server, works on the directory that it was started on, and shows in the
// list whether it works, waits at its prompt, or waits for the operator.
func TestClaudeFindsItsPlace(t *testing.T) {
	t.Parallel()
	c := newClaude(t)
	dir := c.project()
	c.api.When(messages.Result("package main")).Says("It is a program.")
	release := c.api.When(says("What is here?")).Runs("cat src/main.go; ls build").Held()
	c.asks(says("Ask for more"), "I ask for more.", capabilityTool, map[string]any{"justification": "more", "dockerfile": "FROM scratch\n"})
	c.api.When(messages.ResultOf(capabilityTool)).Says("So be it.")

	op := c.opens()
	id := c.launches(op, dir, "What is here?")
	first := c.api.Wait("the first message", patience, func(r messages.Request) bool { return r.Turn.Main() })
	if !strings.Contains(first.Turn.System, claudePrompt) {
		t.Error("the agent's prompt is not in the system prompt")
	}
	if !strings.Contains(string(first.Body), "tally-notes") || !strings.Contains(string(first.Body), claudeSkill) {
		t.Error("the model is not told of the skill")
	}
	if !strings.Contains(first.Turn.Model, claudeModel) {
		t.Errorf("the model is %s", first.Turn.Model)
	}
	if !strings.Contains(string(first.Body), claudeHook) {
		t.Errorf("the hook of the manifest's settings did not run:\n%s", first.Body)
	}
	if got := first.Header.Get("Authorization"); got != "Bearer "+claudeToken {
		t.Errorf("the API was asked with %q", got)
	}
	op.doing(id, "busy")
	release()
	op.sees("It is a program.")
	op.doing(id, "idle")
	told := c.turn("the file's content", messages.Result("package main"))
	if !strings.Contains(told.Result, "build") || strings.Contains(told.Result, "left out") {
		t.Errorf("of what .bottleignore leaves out it is told %q", told.Result)
	}

	op.tells(id, "Ask for more")
	op.sees(" 1 waits for you")
	op.doing(id, "waits")
	op.reads(id, "a capability")
	op.denies("there is enough here")
	op.sees("So be it.")
	op.doing(id, "idle")
	if told := c.turn("the answer", messages.ResultOf(capabilityTool)); !strings.Contains(told.Result, "there is enough here") {
		t.Errorf("it is told %q", told.Result)
	}
	tools := told.Tools
	for _, r := range c.api.Turns() {
		tools = r.Turn.Tools
	}
	c.eventually("the manifest's MCP server is asked for its tools", func() bool {
		_, err := c.engine.Stat(t.Context(), "claude-bottle-"+id, notesAsked)
		return err == nil
	})
	for _, tool := range []string{capabilityTool, egressTool, routesTool} {
		if !slices.Contains(tools, tool) {
			t.Errorf("the model has no tool %s: %q", tool, tools)
		}
	}
}
