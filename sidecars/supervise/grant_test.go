package supervise_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"bottle-tui/queue"
	"bottle-tui/sidecars"
	"bottle-tui/sidecars/supervise"
)

// What is in force in a bottle of these tests, and what its agent wants.
const (
	allowlist   = "api.example.com\n*.example.org\n"
	wantedRules = "api.example.com\n*.example.org\nfiles.example.net:8443\n"

	routes = `[
  {
    "path": "/anthropic/",
    "upstream": "https://api.example.com",
    "auth_scheme": "anthropic-oauth",
    "token_ref": "file:0123456789ab",
    "role": [
      "anthropic-base-url"
    ]
  },
  {
    "path": "/forge/",
    "upstream": "https://forge.example.com:3000/api",
    "auth_scheme": "token",
    "token_ref": "FORGE_TOKEN",
    "role": [
      "git-insteadof",
      "tea-login"
    ]
  }
]
`
	npmRoute = `,
  {
    "path": "/npm/",
    "upstream": "https://npm.example.com",
    "auth_scheme": "bearer",
    "token_ref": "NPM_TOKEN",
    "role": []
  }
]
`
)

var wantedRoutes = strings.TrimSuffix(routes, "\n]\n") + npmRoute

// toolArgs are the arguments of the tool that they name.
type toolArgs struct {
	tool string
	args any
}

type object map[string]any

func rulesArgs(allowlist any, more ...string) toolArgs {
	return withHash(toolArgs{queue.ToolEgress, object{"justification": "the tests need it", "allowlist": allowlist}}, more)
}

func routesArgs(routes any, more ...string) toolArgs {
	return withHash(toolArgs{queue.ToolCredProxy, object{"justification": "the tests need it", "routes": routes}}, more)
}

func withHash(a toolArgs, hash []string) toolArgs {
	for _, h := range hash {
		a.args.(object)["current_hash"] = h
	}
	return a
}

// each is one of the tools with what is in force, what is asked for and what else might be granted.
type each struct {
	tool                  string
	args                  any
	before, asked, edited string
}

func every() []each {
	return []each{
		{queue.ToolCapability, good(), current, wanted, wanted + "ENV A=1\n"},
		{queue.ToolEgress, rulesArgs(wantedRules), allowlist, wantedRules, allowlist + "files.example.net\n"},
		{queue.ToolCredProxy, routesArgs(wantedRoutes), routes, wantedRoutes, strings.Replace(wantedRoutes, `"NPM_TOKEN"`, `"file:ba9876543210"`, 1)},
	}
}

// config is the configuration in which content is in force for the tool.
func (e each) config(content string) supervise.Config {
	c := supervise.Config{Dockerfile: current, Allowlist: allowlist, Routes: routes}
	switch e.tool {
	case queue.ToolCapability:
		c.Dockerfile = content
	case queue.ToolEgress:
		c.Allowlist = content
	default:
		c.Routes = content
	}
	return c
}

func TestEachToolMakesItsRequest(t *testing.T) {
	for _, e := range every() {
		t.Run(e.tool, func(t *testing.T) {
			b := newBottle(t)
			result := b.ask(t.Context(), b.connect(), "toolu_1", e.args)
			id := b.ear.Wait(t, sidecars.EventRequest).ID
			r := b.requests()[0].Request
			if r.ID != id || r.Tool != e.tool || r.Identity != identity || r.ToolUseID != "toolu_1" || r.CurrentHash != queue.Hash([]byte(e.before)) {
				t.Errorf("request %+v", r)
			}
			if r.Proposed != e.asked {
				t.Errorf("proposed:\n%s\nwant:\n%s", r.Proposed, e.asked)
			}
			b.answer(queue.Answer{Request: id, Decision: queue.Denied, Note: "no"})
			if o := get(t, result); o.isError || !strings.Contains(o.text, "Denied") {
				t.Errorf("%+v", o)
			}
			b.ear.Wait(t, sidecars.EventDelivered, request(id))
		})
	}
}

func TestGrantsInWords(t *testing.T) {
	all := every()
	rules, routes := all[1], all[2]
	for _, c := range []struct {
		name   string
		each   each
		answer queue.Answer
		want   string
	}{
		{"allowlist", rules, queue.Answer{Decision: queue.Approved, Content: rules.asked, Scope: "for 1 hour, until 15:04 UTC", Note: "be quick"}, `Approved. The operator has accepted your allowlist as it is. It is in force now, for 1 hour, until 15:04 UTC. What has changed since you asked:

+ files.example.net:8443

Do again what egress had refused.

The operator's note: be quick

(request ID)`},
		{"allowlist without its content", rules, queue.Answer{Decision: queue.Approved}, `Approved. The operator has accepted your allowlist as it is. It is in force now. What has changed since you asked:

+ files.example.net:8443

Do again what egress had refused.

(request ID)`},
		{"allowlist in another order", rules, queue.Answer{Decision: queue.Approved, Content: "files.example.net:8443\n*.example.org\napi.example.com\n"}, `Approved. The operator has accepted your allowlist as it is. It is in force now. What has changed since you asked:

+ files.example.net:8443

Do again what egress had refused.

(request ID)`},
		{"allowlist, edited", rules, queue.Answer{Decision: queue.Edited, Content: "api.example.com\nfiles.example.net\n", Scope: "for this bottle"}, `Approved with edits. The operator has changed your allowlist and accepted the changed one. It is in force now, for this bottle. What has changed since you asked:

+ files.example.net
- *.example.org

Do again what egress had refused.

The difference between what you asked for (-) and what you get (+):

--- allowlist (asked)
+++ allowlist (approved)
@@ -1,3 +1,2 @@
 api.example.com
-*.example.org
-files.example.net:8443
+files.example.net


(request ID)`},
		{"allowlist, edited to nothing", rules, queue.Answer{Decision: queue.Edited}, `Approved with edits. The operator has changed your allowlist and accepted the changed one. It is in force now. What has changed since you asked:

- api.example.com
- *.example.org

The difference between what you asked for (-) and what you get (+):

--- allowlist (asked)
+++ allowlist (approved)
@@ -1,3 +0,0 @@
-api.example.com
-*.example.org
-files.example.net:8443


(request ID)`},
		{"routes", routes, queue.Answer{Decision: queue.Approved, Content: routes.asked, Scope: "for 15 minutes, until 15:04 UTC"}, `Approved. The operator has accepted your list of routes as it is. It is in force now, for 15 minutes, until 15:04 UTC. What has changed since you asked:

+ /npm/ to https://npm.example.com (bearer, NPM_TOKEN)

Use these addresses in place of the upstreams' own, without any credential of yours; cred-proxy adds it:
http://cred-proxy:8080/npm/ for https://npm.example.com

(request ID)`},
		{"routes, edited", routes, queue.Answer{Decision: queue.Edited, Content: routes.edited, Note: "mine"}, `Approved with edits. The operator has changed your list of routes and accepted the changed one. It is in force now. What has changed since you asked:

+ /npm/ to https://npm.example.com (bearer, file:ba9876543210)

Use these addresses in place of the upstreams' own, without any credential of yours; cred-proxy adds it:
http://cred-proxy:8080/npm/ for https://npm.example.com

The operator's note: mine

The difference between what you asked for (-) and what you get (+):

--- routes.json (asked)
+++ routes.json (approved)
@@ -22,7 +22,7 @@
     "path": "/npm/",
     "upstream": "https://npm.example.com",
     "auth_scheme": "bearer",
-    "token_ref": "NPM_TOKEN",
+    "token_ref": "file:ba9876543210",
     "role": []
   }
 ]


(request ID)`},
		{"routes, edited to what is in force", routes, queue.Answer{Decision: queue.Edited, Content: routes.before}, `It is in force now. Nothing in it differs from what was in force when you asked.`},
		{"routes, denied", routes, queue.Answer{Decision: queue.Denied, Note: "we have none"}, `Denied. The operator does not want this change; nothing was changed.

The operator's reason: we have none

Don't ask for the same again. Go on without it, or, where the reason leaves room, call again with routes or a justification that meet it. Don't ask anybody for the credential itself.

(request ID)`},
		{"allowlist, denied", rules, queue.Answer{Decision: queue.Denied}, `call again with rules or a justification that meet it.`},
		{"allowlist, withdrawn", rules, queue.Answer{Decision: queue.Withdrawn}, `Withdrawn. The request was taken back before it was decided; nothing was changed.`},
		{"routes, expired", routes, queue.Answer{Decision: queue.Expired}, `Expired. Nobody decided on the request in time; nothing was changed.`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBottle(t)
			result := b.ask(t.Context(), b.connect(), "", c.each.args)
			c.answer.Request = b.ear.Wait(t, sidecars.EventRequest).ID
			b.answer(c.answer)
			o := get(t, result)
			if o.err != nil || o.isError {
				t.Fatalf("%+v", o)
			}
			text := strings.ReplaceAll(o.text, c.answer.Request, "ID")
			whole := strings.HasSuffix(c.want, "(request ID)")
			if whole && text != c.want || !strings.Contains(text, c.want) {
				t.Errorf("the answer is\n%s\nwant\n%s", text, c.want)
			}
		})
	}
}

// The host delivers what was approved before it answers, and a call that comes again finds another file in
// force than the request was made against.
func TestAnApprovalThatWasMissedIsToldWhenItIsInForce(t *testing.T) {
	for _, e := range every()[1:] {
		for _, granted := range []string{e.asked, e.edited} {
			b := newBottle(t)
			first := b.ask(t.Context(), b.connect(), "toolu_1", e.args)
			id := b.ear.Wait(t, sidecars.EventRequest).ID
			b.stop()
			get(t, first)
			b.deliver(e.config(granted))
			b.answer(queue.Answer{Request: id, Decision: queue.Approved, Content: granted})
			b.start()
			o := call(t.Context(), b.connect(), "toolu_2", e.args)
			if o.isError || !strings.Contains(o.text, "It is in force now. Read /etc/claude-bottle/current-config/") || strings.Contains(o.text, "has changed since") {
				t.Errorf("%s: %+v", e.tool, o)
			}
			if e.tool == queue.ToolCredProxy && !strings.Contains(o.text, "http://cred-proxy:8080/npm/ for https://npm.example.com") {
				t.Errorf("%+v", o)
			}
			if n := len(b.requests()); n != 1 {
				t.Errorf("%d requests", n)
			}
		}
	}
}

func TestEachToolSurvivesARestart(t *testing.T) {
	b := newBottle(t)
	s := b.connect()
	waiting := map[string]<-chan outcome{}
	ids := map[string]string{}
	for _, e := range every() {
		waiting[e.tool] = b.ask(t.Context(), s, "", e.args)
		l := b.ear.Wait(t, sidecars.EventRequest, func(l sidecars.Line) bool { return b.toolOf(l.ID) == e.tool })
		ids[e.tool] = l.ID
	}
	b.stop()
	for tool, c := range waiting {
		if o := get(t, c); !o.isError || !strings.Contains(o.text, "Call "+tool+" again with the same") {
			t.Errorf("%s got %+v", tool, o)
		}
	}
	b.start()
	s = b.connect()
	for _, e := range every() {
		result := b.ask(t.Context(), s, "", e.args)
		b.ear.Wait(t, sidecars.EventRequest, func(l sidecars.Line) bool { return l.ID == ids[e.tool] && l.Attached })
		b.answer(queue.Answer{Request: ids[e.tool], Decision: queue.Approved, Content: e.asked})
		if o := get(t, result); o.isError || !strings.HasPrefix(o.text, "Approved. ") {
			t.Errorf("%s got %+v", e.tool, o)
		}
		b.ear.Wait(t, sidecars.EventDelivered, request(ids[e.tool]))
	}
	if n := len(b.requests()); n != 3 {
		t.Errorf("%d requests", n)
	}
}

// toolOf is the tool of a request in the queue.
func (b *bottle) toolOf(id string) string {
	for _, p := range b.requests() {
		if p.ID == id {
			return p.Tool
		}
	}
	return ""
}

func TestOneProposalInManyFormsIsOneRequest(t *testing.T) {
	for _, forms := range [][]toolArgs{
		{
			rulesArgs(wantedRules),
			rulesArgs([]string{"files.example.net:8443", "*.example.org", "api.example.com"}),
			rulesArgs("# mine\r\n\r\n  FILES.example.net.:8443 # for the tests\r\napi.example.com\napi.example.com\n*.EXAMPLE.org"),
		},
		{
			routesArgs(wantedRoutes),
			routesArgs([]object{
				{"role": nil, "token_ref": " NPM_TOKEN", "auth_scheme": "bearer", "upstream": "https://NPM.example.com/", "path": "/npm/"},
				{"path": "/forge/", "upstream": "https://forge.example.com:3000/api", "auth_scheme": "token", "token_ref": "FORGE_TOKEN", "role": []string{"tea-login", "git-insteadof", "tea-login"}},
				{"path": "/anthropic/", "upstream": "https://api.example.com", "auth_scheme": "anthropic-oauth", "token_ref": "file:0123456789ab", "role": "anthropic-base-url"},
			}),
		},
	} {
		b := newBottle(t)
		s := b.connect()
		var results []<-chan outcome
		for i, a := range forms {
			results = append(results, b.ask(t.Context(), s, fmt.Sprint("toolu_", i), a))
			b.ear.Wait(t, sidecars.EventRequest, func(sidecars.Line) bool { return b.ear.Count(sidecars.EventRequest) > i })
		}
		pending := b.requests()
		if len(pending) != 1 {
			t.Fatalf("%d requests: %+v", len(pending), pending)
		}
		b.answer(queue.Answer{Request: pending[0].ID, Decision: queue.Denied})
		for _, r := range results {
			get(t, r)
		}
	}
}

// Whatever form comes first, the operator sees what differs from what is in force, and nothing else.
func TestAProposalIsInTheOrderOfWhatIsInForce(t *testing.T) {
	const newcomer = `{"path":"/npm/","upstream":"https://npm.example.com","auth_scheme":"bearer","token_ref":"NPM_TOKEN"}`
	for _, c := range []struct {
		got  func() (string, error)
		want string
	}{
		{func() (string, error) {
			return supervise.ReadAllowlist([]byte(`["files.example.net:8443","*.example.org","api.example.com"]`), allowlist)
		}, wantedRules},
		{func() (string, error) {
			return supervise.ReadRoutes([]byte(`[`+newcomer+`,{"path":"/forge/","upstream":"https://forge.example.com:3000/api","auth_scheme":"token","token_ref":"FORGE_TOKEN","role":["tea-login","git-insteadof"]},`+
				`{"path":"/anthropic/","upstream":"https://api.example.com","auth_scheme":"anthropic-oauth","token_ref":"file:0123456789ab","role":"anthropic-base-url"}]`), routes)
		}, wantedRoutes},
	} {
		if got, err := c.got(); err != nil || got != c.want {
			t.Errorf("%v\n%s\nwant\n%s", err, got, c.want)
		}
	}
}

func TestEachPartOfTheConfigurationIsReloaded(t *testing.T) {
	for _, e := range every() {
		t.Run(e.tool, func(t *testing.T) {
			b := newBottle(t)
			s := b.connect()
			hash := b.deliver(e.config(e.asked))
			b.ear.Wait(t, sidecars.EventConfig, func(l sidecars.Line) bool { return l.Config == hash })
			if o := call(t.Context(), s, "", e.args); !o.isError || !strings.Contains(o.text, "in force already") {
				t.Errorf("%+v", o)
			}
			// The other two are as they were: they can be asked for.
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			n := 0
			var calls []<-chan outcome
			for _, other := range every() {
				if other.tool != e.tool {
					n++
					calls = append(calls, b.ask(ctx, s, "", other.args))
				}
			}
			b.ear.Wait(t, sidecars.EventRequest, func(sidecars.Line) bool { return b.ear.Count(sidecars.EventRequest) == n })
			cancel()
			for _, c := range calls {
				get(t, c)
			}
		})
	}
}

func TestAConfigurationThatCanNotBeReadIsRefused(t *testing.T) {
	for _, c := range []supervise.Config{
		{Identity: "nobody"},
		{Identity: identity, Allowlist: "example.com\nhttps://example.com/\n"},
		{Identity: identity, Routes: "{}"},
		{Identity: identity, Routes: `[{"path":"/a/","upstream":"https://example.com","auth_scheme":"none","token_ref":"A"}]`},
	} {
		if _, err := c.Encode(); err == nil || c.Check() == nil {
			t.Errorf("%+v: no error", c)
		}
	}
	// What an operator granted need not be what an agent may ask for.
	c := supervise.Config{Identity: identity, Routes: `[{"path":"/a/","upstream":"https://example.com","auth_scheme":"bearer","token_ref":"` + strings.Repeat("A", 100) + `"}]`}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
}

func TestEachHashIsOfItsOwnFile(t *testing.T) {
	b := newBottle(t)
	s := b.connect()
	hash := func(s string) string { return queue.Hash([]byte(s)) }
	for _, c := range []struct {
		args  func(hash string) any
		own   string
		other string
		says  string
	}{
		{func(h string) any { a := good(); a.CurrentHash = h; return a }, current, allowlist, "Read /etc/claude-bottle/current-config/Dockerfile again"},
		{func(h string) any { return rulesArgs(wantedRules, h) }, allowlist, routes, "Read /etc/claude-bottle/current-config/allowlist again"},
		{func(h string) any { return routesArgs(wantedRoutes, h) }, routes, current, "Read /etc/claude-bottle/current-config/routes.json again"},
	} {
		if o := call(t.Context(), s, "", c.args(hash(c.other))); !o.isError || !strings.Contains(o.text, c.says) || !strings.Contains(o.text, hash(c.own)) {
			t.Errorf("stale: %+v", o)
		}
		result := b.ask(t.Context(), s, "", c.args(hash(c.own)))
		var id string
		b.ear.Wait(t, sidecars.EventRequest, func(l sidecars.Line) bool {
			for _, p := range b.requests() {
				if p.ID == l.ID && p.CurrentHash == hash(c.own) {
					id = l.ID
				}
			}
			return id != ""
		})
		b.answer(queue.Answer{Request: id, Decision: queue.Denied})
		if o := get(t, result); o.isError {
			t.Errorf("%+v", o)
		}
	}
}

func TestMixedToolsShareTheBound(t *testing.T) {
	b := newBottle(t)
	s := b.connect()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	nth := func(i int) any {
		switch i % 3 {
		case 0:
			a := good()
			a.Dockerfile += fmt.Sprintf("ENV N=%d\n", i)
			return a
		case 1:
			return rulesArgs(fmt.Sprintf("%sh%d.example.net\n", allowlist, i))
		}
		return routesArgs(strings.ReplaceAll(wantedRoutes, "/npm/", fmt.Sprintf("/npm%d/", i)))
	}
	var calls []<-chan outcome
	for i := range 8 {
		calls = append(calls, b.ask(ctx, s, fmt.Sprint("toolu_", i), nth(i)))
	}
	b.ear.Wait(t, sidecars.EventRequest, func(sidecars.Line) bool { return b.ear.Count(sidecars.EventRequest) >= 8 })
	for i := 9; i < 12; i++ {
		if o := call(ctx, s, fmt.Sprint("toolu_", i), nth(i)); !o.isError || !strings.Contains(o.text, "8 of your requests") {
			t.Errorf("%+v", o)
		}
	}
	cancel()
	for _, c := range calls {
		get(t, c)
	}
}

// One call's id does not tie two tools together: the content does.
func TestTheSameIDOfTwoToolsIsTwoRequests(t *testing.T) {
	b := newBottle(t)
	s := b.connect()
	ctx, cancel := context.WithCancel(t.Context())
	var calls []<-chan outcome
	for _, e := range every() {
		calls = append(calls, b.ask(ctx, s, "toolu_1", e.args))
	}
	b.ear.Wait(t, sidecars.EventRequest, func(sidecars.Line) bool { return b.ear.Count(sidecars.EventRequest) >= 3 })
	if n := len(b.requests()); n != 3 {
		t.Errorf("%d requests", n)
	}
	cancel()
	for _, c := range calls {
		get(t, c)
	}
}
