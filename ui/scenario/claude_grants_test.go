package scenario_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/ui/scenario/messages"
)

// Claude Code is refused by egress, asks for the host, is granted it for a time, and is let through: the same process
// in the same container all the while. Nobody is at the other end here, which egress tells otherwise than a refusal.
func TestClaudeIsGrantedAWayOut(t *testing.T) {
	t.Parallel()
	c := newClaude(t)
	const fetch = "git ls-remote https://files.example.net/tally.git 2>&1"
	c.api.When(messages.ResultOf(egressTool)).Says("I try again.").Runs(fetch)
	c.api.When(messages.Result("response 50")).Says("The way is open.")
	c.asks(messages.Result("response 403"), "I ask the operator for the host.", egressTool,
		map[string]any{"justification": "The tally's files are there.", "allowlist": "docs.example.com\nfiles.example.net\n"})
	c.api.When(says("Fetch the tally")).Runs(fetch)

	op := c.opens()
	id := c.launches(op, "", "Fetch the tally.")
	screen := op.reads(id, "a way out")
	for _, want := range []string{"The tally's files are there.", "files.example.net"} {
		if !strings.Contains(screen, want) {
			t.Errorf("the dialog lacks %q:\n%s", want, screen)
		}
	}
	asked, before := c.request(id), c.facts(id)
	op.scoped("For 8 h")
	op.approves()
	op.sees("The way is open.")
	op.sees(regexp.MustCompile(regexp.QuoteMeta(id) + `[^│]*(│[^\n]*\n│[^│]*)?⏱ 7h`)) // the countdown
	c.wasAnsweredOnce(id, asked, queue.Approved)
	told := c.turn("the answer", messages.ResultOf(egressTool))
	if !strings.Contains(told.Result, "It is in force now, for 8") || !strings.Contains(told.Result, "+ files.example.net") {
		t.Errorf("the model is told %q", told.Result)
	}
	c.same(before, c.facts(id))
	if got, uid := c.inContainer(id, "/etc/claude-bottle/current-config/allowlist"); got != "docs.example.com\nfiles.example.net\n" || uid != 0 {
		t.Errorf("what the agent reads as in force is %q of %d", got, uid)
	}
	if n := c.audited(id, "in force"); n != 1 {
		t.Errorf("the audit log has %d grants in force", n)
	}
}

// Claude Code asks for a route whose credential the bottle does not have. The operator names where it comes from, and
// the agent reaches the upstream with it, and never has it.
func TestClaudeIsGrantedARoute(t *testing.T) {
	t.Parallel()
	const token = "tok-forge-93ab20"
	forge := messages.Start(t, messages.Options{APIKey: token})
	c := newClaude(t, forge.CAFile())
	c.env = append(c.env, "OPERATORS_FORGE="+token)
	route := func(path, upstream, scheme, ref string, role ...string) map[string]any {
		return map[string]any{"path": path, "upstream": upstream, "auth_scheme": scheme, "token_ref": ref, "role": role}
	}
	// What the image has to speak HTTP with is the shell.
	const get = `exec 3<>/dev/tcp/cred-proxy/8080; printf 'GET /forge/v1/models HTTP/1.0\r\nHost: cred-proxy:8080\r\nx-api-key: mine\r\n\r\n' >&3; cat <&3; echo "that was $SHLVL"`
	c.api.When(messages.ResultOf(routesTool)).Says("I try again.").Runs(get)
	c.api.When(messages.Result("claude-opus-5-5")).Says("The forge answers.")
	c.asks(messages.Result("that was"), "I ask the operator for the route.", routesTool, map[string]any{
		"justification": "The forge wants a login: a key that may read.",
		"routes": []any{
			route("/anthropic/", c.api.URL(), "anthropic-oauth", "MESSAGES_TOKEN", bottles.RoleBaseURL),
			route("/forge/", forge.URL(), "x-api-key", "FORGE_KEY"),
		},
	})
	c.api.When(says("Read the forge")).Runs(get)

	op := c.opens()
	id := c.launches(op, "", "Read the forge.")
	op.reads(id, "a route")
	for _, want := range []string{"The forge wants a login", "/forge/", forge.URL(), "FORGE_KEY is not known to this bottle: y asks where it comes from"} {
		op.sees(want)
	}
	asked, before := c.request(id), c.facts(id)
	if n := len(forge.Requests()); n > 0 {
		t.Errorf("before the grant %d requests came through", n)
	}
	op.answers("y", func(screen string) bool { return strings.Contains(screen, "Where does the credential for") })
	op.Type("OPERATORS_FORGE")
	op.sees("❯ OPERATORS_FORGE")
	op.Press("enter")
	op.sees("The forge answers.")
	c.wasAnsweredOnce(id, asked, queue.Approved)
	c.same(before, c.facts(id))

	came := forge.Requests()
	if len(came) != 1 || came[0].Path != "/v1/models" || came[0].Header.Get("X-Api-Key") != token || came[0].Status != 200 {
		t.Errorf("the forge was asked\n%s", messages.Summary(came))
	}
	content, _ := c.inContainer(id, "/etc/claude-bottle/current-config/routes.json")
	var routes []bottles.Route
	if err := json.Unmarshal([]byte(content), &routes); err != nil || len(routes) != 2 || routes[1].TokenRef != "FORGE_KEY" {
		t.Errorf("what the agent reads as in force is %s (%v)", content, err)
	}
	c.neverHeld(id, token, claudeToken)
	if printed := fmt.Sprint(op.Screen(), c.says("info", id), c.says("info", id, "--format", "json")); strings.Contains(printed, token) {
		t.Errorf("the token is shown:\n%s", printed)
	}
}

// scoped chooses the scope of the request on the screen, as the dialog words it.
func (o *operator) scoped(words string) {
	o.s.t.Helper()
	scope := regexp.MustCompile(`⏱ For [^,]*,`)
	for range bottles.Scopes {
		shown := scope.FindString(o.sees(scope))
		if shown == "⏱ "+words+"," {
			return
		}
		o.Press("s")
		o.Wait("to change the scope", patience, func(screen string) bool { return scope.FindString(screen) != shown })
	}
	o.s.t.Fatalf("there is no scope %q", words)
}

// same checks that a bottle runs in the containers that it ran in.
func (c *claude) same(before, after facts) {
	c.t.Helper()
	if after.agent() == "" || after.agent() != before.agent() || after.egress() != before.egress() ||
		after.supervise() != before.supervise() || after.credProxy() != before.credProxy() || !sameMeta(after.meta, before.meta) {
		c.t.Errorf("it was %+v and is %+v", before, after)
	}
}
