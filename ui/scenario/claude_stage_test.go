package scenario_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/ui/scenario/messages"
)

// What the scenarios with real Claude Code share: its prompt, a skill, and a credential that it never holds.
const (
	claudePrompt = "You are the coder of the tally, and of nothing else."
	claudeSkill  = "Counts the notes of a tally."
	claudeModel  = "sonnet" // and not what it begins with of itself
	claudeHook   = "A hook of the manifest was run."
	claudeToken  = "tok-messages-7c1e94"

	capabilityTool = "mcp__supervise__" + queue.ToolCapability
	egressTool     = "mcp__supervise__" + queue.ToolEgress
	routesTool     = "mcp__supervise__" + queue.ToolCredProxy

	// atPrompt is on Claude Code's screen when it waits at its prompt or works, and on no question of a first start.
	atPrompt = "bypass permissions on"
)

// notesServer is an MCP server of the operator's, for bash; it makes notesAsked when it is asked for its tools.
const (
	notesServer = `while read -r line; do
  id=$(sed -n 's/.*"id":\([0-9]*\).*/\1/p' <<<"$line")
  case $line in
  *'"initialize"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"notes","version":"1"}}}' ;;
  *'"tools/list"'*) touch ` + notesAsked + `; echo '{"jsonrpc":"2.0","id":'$id',"result":{"tools":[{"name":"count","description":"Counts.","inputSchema":{"type":"object"}}]}}' ;;
  *'"id":'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{}}' ;;
  esac
done`
	notesAsked = "/home/agent/notes-asked"
)

// claude is a stage on which the agent is real Claude Code, which reaches a stand-in for the Messages API by a route of
// cred-proxy, and by nothing else.
type claude struct {
	*stage
	api      *messages.Server
	manifest string
}

// newClaude declares the agent "coder". Whoever needs another route or more trusted roots gives them.
func newClaude(t *testing.T, roots ...string) *claude {
	t.Helper()
	s := newStage(t)
	c := &claude{stage: s, api: messages.Start(t, messages.Options{Bearer: claudeToken, OAuth: true})}
	t.Cleanup(func() {
		if t.Failed() {
			_ = os.WriteFile(filepath.Join(t.ArtifactDir(), "messages.txt"), []byte(messages.Summary(c.api.Requests())), 0o600)
		}
	})
	c.manifest = declareClaude(t, c.api, roots...)
	s.env = append(s.env, "MESSAGES_TOKEN="+claudeToken)
	return c
}

// declareClaude writes the manifest and what it names, and gives its path.
func declareClaude(t testing.TB, api *messages.Server, roots ...string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, content []byte) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var pem []byte
	for _, file := range append([]string{api.CAFile()}, roots...) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pem = append(pem, content...)
	}
	write("roots.pem", pem)
	write("skills/tally-notes/SKILL.md", []byte("---\nname: tally-notes\ndescription: "+claudeSkill+"\n---\nCount them.\n"))
	write("claude-bottle.json", fmt.Appendf(nil, `{
  "bottles": {"dev": {
    "supervise": true,
    "egress": {"allow": ["docs.example.com"]},
    "cred_proxy": {"ca_file": "./roots.pem", "routes": [
      {"path": "/anthropic/", "upstream": %q, "auth_scheme": "anthropic-oauth", "token_ref": "MESSAGES_TOKEN", "role": "anthropic-base-url"}
    ]},
    "image": {"reference": %q}
  }},
  "agents": {"coder": {"bottle": "dev", "prompt": %q, "skills": ["./skills/tally-notes"], "model": %q,
    "settings": {"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": %q}]}]}},
    "mcp_servers": {"notes": {"command": "bash", "args": ["-c", %q]}}}}
}
`, api.URL(), messages.ClaudeCode(t), claudePrompt, claudeModel, "echo '"+claudeHook+"'", notesServer))
	return filepath.Join(dir, "claude-bottle.json")
}

// opens starts the program with the manifest.
func (c *claude) opens() *operator {
	c.t.Helper()
	return c.stage.opens("--manifest", c.manifest)
}

// launches starts a bottle by the screen's own form: the agent, the directory, the first message, the plan, go.
func (c *claude) launches(op *operator, dir, task string) (identity string) {
	c.t.Helper()
	op.sees("n new") // the engine answers
	op.Press("n")
	op.sees("First task")
	op.Press("tab", "ctrl+u")
	op.Paste(dir)
	op.Press("tab")
	op.Paste(task)
	op.Press("enter")
	op.sees("New bottle: the plan")
	op.sees("MESSAGES_TOKEN as anthropic-oauth")
	op.Press("y")
	return op.seesLive(1, "coder")[0]
}

// asks lets Claude Code call a tool of supervise when a condition holds. As a model has to, it looks for the tool
// first, which waits for the connection to supervise; a call of a tool that is not there yet would be an error.
func (c *claude) asks(when messages.Condition, words, tool string, input map[string]any) {
	c.api.When(messages.ResultOf("ToolSearch")).Once().Says(words).Calls(tool, input)
	c.api.When(when).Once().Calls("ToolSearch", map[string]any{"query": "select:" + tool, "max_results": 5})
}

// says is the condition that the last message is the user's own, with this in it.
func says(text string) messages.Condition {
	return func(t messages.Turn) bool { return !t.Results() && strings.Contains(t.Text, text) }
}

// turn waits for a request of the conversation that ok accepts.
func (c *claude) turn(what string, ok messages.Condition) messages.Turn {
	c.t.Helper()
	return c.api.Wait(what, patience, func(r messages.Request) bool { return r.Turn.Main() && ok(r.Turn) }).Turn
}

// reads opens the request that waits and reads it to its end.
func (o *operator) reads(identity, subject string) string {
	o.s.t.Helper()
	o.sees("a review")
	o.Press("a")
	o.sees(identity + " asks for " + subject)
	o.Press("G")
	return o.sees("── end of the change")
}

// tells types a message to Claude Code, and takes the keyboard back.
func (o *operator) tells(identity, message string) {
	o.s.t.Helper()
	o.chooses(identity)
	o.Press("enter")
	o.sees(`ctrl+\ leaves`)
	o.Type(message)
	o.sees(message)
	o.Press("enter")
	o.sees(regexp.MustCompile(`(?s)❯\W` + regexp.QuoteMeta(message) + `\b.*❯`)) // above the prompt, which is empty again
	o.Press(`ctrl+\`)
	o.seesNoMore(`ctrl+\ leaves`)
}

// doing waits until the list says, in a bottle's two lines, what its agent does.
func (o *operator) doing(identity, word string) {
	o.s.t.Helper()
	o.sees(regexp.MustCompile(regexp.QuoteMeta(identity) + `[^│]*(│[^\n]*\n│[^│]*)?\b` + word + `\b`))
}

// tearsDown ends a bottle and keeps its state.
func (o *operator) tearsDown(identity string) {
	o.s.t.Helper()
	o.chooses(identity)
	o.Press("x")
	screen := o.sees(regexp.MustCompile("Tear down " + identity + `\?|` + identity + ":? is down, its state is kept"))
	if strings.Contains(screen, "Tear down "+identity) { // it has just printed something
		o.Press("enter")
	}
	o.seesDone(identity, "is down, its state is kept", identity+" is down, its state is kept")
}

// inContainer is the content of a file of a bottle's agent, and its owner.
func (s *stage) inContainer(identity, path string) (content string, uid int) {
	s.t.Helper()
	out, err := s.engine.CopyOut(s.t.Context(), "claude-bottle-"+identity, path)
	s.must(err)
	defer out.Close()
	r := tar.NewReader(out)
	h, err := r.Next()
	s.must(err)
	text, err := io.ReadAll(io.LimitReader(r, 1<<20))
	s.must(err)
	return string(text), h.Uid
}

// neverHeld checks that no token, in whatever form, is in what Claude Code sent, in the bottle's containers as the engine
// describes them, in their logs and processes, in the agent's files and volumes, in the state directory with its
// transcript, or in the program's log. TestNothingSecret looks at the rest, too.
func (c *claude) neverHeld(identity string, tokens ...string) {
	c.t.Helper()
	named := map[string]string{}
	for _, token := range tokens {
		named[token] = token
	}
	h := c.searching(named)
	for _, r := range c.api.Turns() {
		h.look("the conversation", fmt.Sprint("request ", r.N), r.Body)
	}
	h.containers(identity)
	for _, dir := range []string{"/home/agent", "/workspace", "/etc/claude-bottle", "/tmp"} {
		h.files(identity, "claude-bottle-"+identity, dir)
	}
	if err := h.walk("a file of the program", c.log); !errors.Is(err, fs.ErrNotExist) { // it may have said nothing
		c.must(err)
	}
	h.tree("a file of the program", c.home)
}

// replaced checks that an agent runs in another container, and that the bottle is otherwise what it was.
func (c *claude) replaced(before, after facts) {
	c.t.Helper()
	switch {
	case after.agent() == "" || after.agent() == before.agent():
		c.t.Errorf("the agent was not replaced: %+v", after.parts)
	case after.egress() != before.egress() || after.supervise() != before.supervise() || after.credProxy() != before.credProxy():
		c.t.Errorf("the sidecars were not left alone: %+v, %+v", before.parts, after.parts)
	case after.meta.SessionID != before.meta.SessionID || after.meta.SessionID == "":
		c.t.Errorf("the session was %q and is %q", before.meta.SessionID, after.meta.SessionID)
	}
}

func (f facts) credProxy() string { return f.running(bottles.RoleCredProxy) }
