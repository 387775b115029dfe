package ui

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/ui/request"
)

const allowBefore = "docs.example.com\nold.example.com\n"
const allowAfter = "docs.example.com\napi.example.com\n*.cdn.example.com:443\n"

const routesBefore = `[
  {
    "path": "/npm/",
    "upstream": "https://npm.example.com",
    "auth_scheme": "bearer",
    "token_ref": "NPM_TOKEN",
    "role": [
      "npm-registry"
    ]
  }
]
`

const routesAfter = `[
  {
    "path": "/npm/",
    "upstream": "https://npm.example.com",
    "auth_scheme": "bearer",
    "token_ref": "NPM_TOKEN",
    "role": [
      "npm-registry"
    ]
  },
  {
    "path": "/gitea/",
    "upstream": "https://gitea.example.com",
    "auth_scheme": "bearer",
    "token_ref": "GITEA_TOKEN",
    "role": [
      "git-insteadof",
      "tea-login"
    ]
  }
]
`

const manifestBefore = `{
  "bottles": {
    "dev": {
      "supervise": true,
      "egress": {"allow": ["docs.example.com", "old.example.com"]},
    },
  },
  "agents": {"implementer": {"bottle": "dev"}},
}
`

var manifestAfter = strings.Replace(manifestBefore, `"old.example.com"`, `"api.example.com", "*.cdn.example.com:443"`, 1)

// asking is a bottle whose agent asks for something of a gate.
func asking(tool, words, before, after, effect string) bottles.Bottle {
	b := live("implementer-k3x9q", 2*time.Hour)
	b.Requests = []bottles.Request{{
		Request: queue.Request{ID: "r1", Tool: tool, Identity: b.Identity, Justification: words, Proposed: after, ArrivedAt: start.Add(-25 * time.Second)},
		State:   bottles.Waiting, Hash: "sha256:r1", Current: []byte(before), Effect: effect,
	}}
	return b
}

func askingEgress() bottles.Bottle {
	return asking(queue.ToolEgress, "The tests fetch fixtures from the API and its CDN; the old mirror is gone.", allowBefore, allowAfter,
		"Makes this the bottle's allowlist at once, while the agent runs. Open connections go on, except those to a host that is taken away.")
}

func askingRoutes() bottles.Bottle {
	b := asking(queue.ToolCredProxy, "I have to open a pull request on Gitea.", routesBefore, routesAfter,
		"Makes these the bottle's routes at once, while the agent runs. The agent uses the credentials through cred-proxy and never sees them.")
	b.Requests[0].Tokens = []string{"GITEA_TOKEN"}
	b.Routes = []bottles.Route{{Path: "/npm/", Upstream: "https://npm.example.com", AuthScheme: "bearer", TokenRef: "NPM_TOKEN", Roles: []string{"npm-registry"}}}
	return b
}

// granted is a bottle with grants of each scope.
func granted() bottles.Bottle {
	b := live("implementer-k3x9q", 2*time.Hour)
	b.Allow = []string{"docs.example.com", "api.example.com", "*.cdn.example.com:443"}
	b.Routes = []bottles.Route{
		{Path: "/anthropic/", Upstream: "https://api.anthropic.example.com", AuthScheme: "anthropic-oauth", TokenRef: "cmd:9f86d081884c", Roles: []string{"anthropic-base-url"}},
		{Path: "/gitea/", Upstream: "https://gitea.example.com", AuthScheme: "bearer", TokenRef: "GITEA_TOKEN", Roles: []string{"git-insteadof", "tea-login"}},
	}
	b.Grants = []bottles.Grant{
		{ID: "g1", Tool: queue.ToolCredProxy, At: start.Add(-26 * time.Hour), Change: bottles.Change{Routes: b.Routes[1:]}},
		{ID: "g2", Tool: queue.ToolEgress, Scope: bottles.Scope{For: time.Hour}, At: start.Add(-18 * time.Minute), Until: start.Add(42 * time.Minute),
			Change: bottles.Change{Allow: []string{"api.example.com", "*.cdn.example.com:443"}, Disallow: []string{"old.example.com"}}},
	}
	return b
}

// open shows a bottle and opens its request, with a quiet keyboard.
func open(t *testing.T, w, h int, b bottles.Bottle) *stage {
	t.Helper()
	s := newStage(t, w, h)
	s.show(b)
	s.press("a")
	s.quiet()
	return s
}

func TestAWayOutIsGrantedForAnHourUnlessChosenOtherwise(t *testing.T) {
	s := open(t, 120, 36, askingEgress())
	s.sees("asks for a way out", "+ api.example.com, *.cdn.example.com:443", "− old.example.com", "For 1 h, until 13:00")
	s.press("y")
	want := bottles.Approve{Identity: "implementer-k3x9q", Request: "r1", Shown: "sha256:r1", Terms: bottles.Terms{Scope: bottles.Scope{For: time.Hour}}}
	if got := s.last(); !reflect.DeepEqual(got, want) {
		t.Errorf("asked for %#v, want %#v", got, want)
	}
	s.send(doneMsg{identity: want.Identity, action: want, kind: "grant"})
	s.sees("in force for 1 h")
}

func TestTheScopeIsChosen(t *testing.T) {
	s := open(t, 120, 36, askingEgress())
	for i, want := range []string{"For 8 h, until 20:00", "For this bottle, also after a resume", "For the profile, for good", "For 15 min, until 12:15", "For 1 h, until 13:00", "For 8 h"} {
		s.press("s")
		s.sees(want)
		s.press("y") // what it means is something else now
		if got := s.sup.asked(); len(got) != 0 {
			t.Fatalf("after %d changes of the scope: asked for %v", i+1, got)
		}
	}
	s.quiet()
	s.press("y")
	if got := s.last().(bottles.Approve).Terms; !reflect.DeepEqual(got, bottles.Terms{Scope: bottles.Scope{For: 8 * time.Hour}}) {
		t.Errorf("the terms are %+v", got)
	}
}

func TestACapabilityHasNoScope(t *testing.T) {
	s := newStage(t, 120, 36)
	asks(s, after)
	s.quiet()
	s.press("s")
	s.sees("a capability has no scope")
	s.lacks("For 1 h")
	s.quiet()
	s.press("y")
	if got := s.last().(bottles.Approve).Terms; !reflect.DeepEqual(got, bottles.Terms{}) {
		t.Errorf("the terms are %+v", got)
	}
}

// What the profile's scope writes is shown, and has to be seen to its end; its hash goes with the approval.
func TestTheManifestsChangeIsSeenBeforeItIsApproved(t *testing.T) {
	s := open(t, 80, 24, askingEgress())
	long := manifestAfter + strings.Repeat("// more\n", 40) + "// the very end\n"
	var asked string
	s.sup.edit = func(_ context.Context, identity, id string, content []byte, _ map[string]string) (*bottles.Edit, error) {
		asked = identity + " " + id + " " + string(content)
		return &bottles.Edit{Path: "/home/ada/claude-bottle.json", Before: []byte(manifestBefore), After: []byte(long)}, nil
	}
	s.press("G", "s", "s", "s")
	if want := "implementer-k3x9q r1 " + allowAfter; asked != want {
		t.Fatalf("previewed %q, want %q", asked, want)
	}
	s.quiet()
	s.sees("read to the end first")
	s.press("y")
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("approved unseen: %v", got)
	}
	s.press("G")
	s.sees("the very end")
	s.quiet()
	s.press("y")
	want := bottles.Terms{Scope: bottles.Scope{Profile: true}, Edit: queue.Hash([]byte(long))}
	if got := s.last().(bottles.Approve).Terms; !reflect.DeepEqual(got, want) {
		t.Errorf("the terms are %+v, want %+v", got, want)
	}
}

func TestAManifestThatCanNotBeChanged(t *testing.T) {
	s := open(t, 120, 36, askingEgress())
	s.sup.edit = func(context.Context, string, string, []byte, map[string]string) (*bottles.Edit, error) {
		return nil, errors.New("the profile \x1b[2Jdev is a link")
	}
	s.press("s", "s", "s")
	s.quiet()
	s.press("G", "y")
	s.sees("the profile ␛[2Jdev is a link", "s chooses another scope")
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("asked for %v", got)
	}
	s.press("s")
	s.quiet()
	s.press("y")
	if got := s.last().(bottles.Approve).Terms.Scope; got.For != 15*time.Minute {
		t.Errorf("the scope is %v", got)
	}
}

// While the manifest is looked at nothing can be approved; after half a second it shows that it goes on, and an
// outcome that comes for a scope that was left is dropped.
func TestASlowManifest(t *testing.T) {
	s := open(t, 120, 36, askingEgress())
	release := make(chan struct{})
	s.sup.edit = func(ctx context.Context, _, _ string, _ []byte, _ map[string]string) (*bottles.Edit, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return &bottles.Edit{Path: "/m", Before: []byte("a\n"), After: []byte("overdue\n")}, nil
	}
	defer close(release)
	s.press("s", "s", "s")
	s.lacks("working out")
	s.clock.add(600 * time.Millisecond)
	s.send(armMsg{})
	s.sees("working out what would be written")
	s.press("y")
	s.sees("not known yet")
	if wait := s.m.dialog.(*request.Dialog).Next(); wait <= 0 || wait > 200*time.Millisecond {
		t.Errorf("the sign turns in %v", wait)
	}
	s.press("s")
	s.lacks("working out", "overdue")
	if got := s.sup.asked(); len(got) != 0 {
		t.Errorf("asked for %v", got)
	}
}

func TestACredentialsSourceIsAskedFor(t *testing.T) {
	s := open(t, 120, 36, askingRoutes())
	s.sees("asks for a route", "+ /gitea/ → https://gitea.example.com with GITEA_TOKEN (bearer) for git-insteadof, tea-login")
	s.press("G", "y")
	s.sees("Where does the credential for /gitea/ come from?", "https://gitea.example.com")
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("asked for %v", got)
	}
	s.press("enter")
	s.sees("a source is needed")
	for _, secret := range []string{"ghp_16C7e42F292c6912E7710c838347Ae178B4a", "sk-ant-api03-abc", strings.Repeat("x", 65), "AKIAIOSFODNN7EXAMPLE", "d41d8cd98f00b204e9800998ecf8427e"} {
		s.typeText(secret)
		s.press("enter")
		s.sees("looks like the credential itself")
		s.lacks(secret[:12])
		s.send(tea.PasteMsg{Content: secret + "\r"})
		s.sees("looks like the credential itself")
		s.lacks(secret[:12])
	}
	s.typeText("two words")
	s.press("enter")
	s.sees("letters, digits and _ only")
	s.press("ctrl+u")
	s.send(tea.PasteMsg{Content: "  cmd:cat '/a/two  blanks'\r\n| tail -1\n"}) // what is pasted keeps its blanks
	s.press("enter")
	want := bottles.Approve{Identity: "implementer-k3x9q", Request: "r1", Shown: "sha256:r1",
		Terms: bottles.Terms{Scope: bottles.Scope{For: time.Hour}, Tokens: map[string]string{"GITEA_TOKEN": "cmd:cat '/a/two  blanks' | tail -1"}}}
	if got := s.last(); !reflect.DeepEqual(got, want) {
		t.Errorf("asked for %#v, want %#v", got, want)
	}
}

func TestOrdinaryNamesAreNoSecrets(t *testing.T) {
	for _, name := range []string{"GITEA_TOKEN", "npm_config_token", "NPM_TOKEN_2", "file:/run/secrets/a-very-long-path-that-has-more-than-sixty-four-characters-in-it/token", "cmd:pass show gitea", "MY_COMPANY_INTERNAL_ARTIFACTORY_READ_TOKEN_V2", "sk_token"} {
		if request.LooksSecret(name) {
			t.Errorf("%s looks like a secret", name)
		}
	}
}

// For the profile, what would be written is known only with the credentials' sources: it is shown then.
func TestSourcesComeBeforeTheManifest(t *testing.T) {
	s := open(t, 120, 50, askingRoutes())
	var given map[string]string
	s.sup.edit = func(_ context.Context, _, _ string, _ []byte, tokens map[string]string) (*bottles.Edit, error) {
		given = tokens
		return &bottles.Edit{Path: "/home/ada/claude-bottle.json", Before: []byte(manifestBefore), After: []byte(manifestAfter)}, nil
	}
	s.press("s", "s", "s", "G")
	s.quiet()
	if given != nil {
		t.Fatalf("previewed with %v", given)
	}
	s.press("y")
	s.typeText("MY_GITEA")
	s.press("enter")
	if want := (map[string]string{"GITEA_TOKEN": "MY_GITEA"}); !reflect.DeepEqual(given, want) {
		t.Fatalf("previewed with %v, want %v", given, want)
	}
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("approved unseen: %v", got)
	}
	s.quiet()
	s.press("G")
	s.sees("GITEA_TOKEN comes from MY_GITEA", "~/claude-bottle.json")
	s.quiet()
	s.press("y")
	want := bottles.Terms{Scope: bottles.Scope{Profile: true}, Tokens: given, Edit: queue.Hash([]byte(manifestAfter))}
	if got := s.last().(bottles.Approve).Terms; !reflect.DeepEqual(got, want) {
		t.Errorf("the terms are %+v, want %+v", got, want)
	}
}

// A list or routes that can't be read are not approved; the Supervisor's own refusal opens the edit again.
func TestEditingGates(t *testing.T) {
	s := open(t, 120, 36, askingEgress())
	s.press("e")
	s.typeText("https://x/")
	s.press("ctrl+s")
	s.quiet()
	s.press("y")
	s.sees("line 1 is no rule of an allowlist", "without scheme")
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("asked for %v", got)
	}
	s.press("esc")
	for range len("https://x/") {
		s.press("ctrl+d")
	}
	s.typeText("www.")
	s.press("ctrl+s")
	s.quiet()
	s.sup.refuse = errors.New("refused: www.docs.example.com leads to the host's own network")
	s.press("y")
	s.sees("Your answer was not taken", "leads to the host's own network", "Your version")
	s.sup.refuse = nil
	s.quiet()
	s.press("G", "y")
	got, ok := s.last().(bottles.ApproveEdited)
	if !ok || !strings.HasPrefix(string(got.Content), "www.docs.example.com\n") || got.Terms.Scope.For != time.Hour {
		t.Errorf("asked for %#v", s.last())
	}

	s = open(t, 120, 36, askingRoutes())
	s.press("e", "ctrl+d", "ctrl+s")
	s.quiet()
	s.press("y")
	s.sees("can't be read as routes")
	if got := s.sup.asked(); len(got) != 0 {
		t.Fatalf("asked for %v", got)
	}
}

func TestRevoke(t *testing.T) {
	s := newStage(t, 120, 36)
	s.show(live("a-11111", 0))
	s.press("R")
	s.sees("no grant that could be revoked")
	s = newStage(t, 120, 36)
	s.show(granted())
	s.press("R") // several: choose first
	s.sees("Granted beyond the profile", "choose the grant")
	s.press("j", "R")
	s.sees("Take back api.example.com", "− old.example.com")
	s.quiet()
	s.press("y")
	if got := s.last(); got != (bottles.Revoke{Identity: "implementer-k3x9q", Grant: "g2"}) {
		t.Errorf("asked for %#v", got)
	}
	s.press("R")
	s.sees("still under way")

	s = newStage(t, 120, 36)
	s.show(granted())
	s.press("3", "R")
	b := granted()
	b.Grants = b.Grants[1:]
	s.show(b)
	s.sees("the grant has ended already")
	if s.m.dialog != nil {
		t.Error("still asks")
	}
}

// A countdown draws by the minute, and by the second only in its last minute and while it is looked at.
func TestCountdowns(t *testing.T) {
	s := newStage(t, 120, 36)
	b := granted()
	b.Grants[1].Until = start.Add(2*time.Minute + 300*time.Millisecond)
	other := live("b-22222", 2*time.Hour)
	other.Grants = b.Grants[1:]
	s.show(b, other)
	s.sees("⏱ 3m")
	s.press("3")
	s.sees("3 min left")
	for range 200 {
		s.send(terminalsMsg{})
	}
	ticks := 0
	next := func() time.Duration { ticks++; w := s.m.nextAge(); s.clock.add(w); s.send(ageMsg{s.m.ages}); return w }
	if w := next(); w != 300*time.Millisecond {
		t.Errorf("the first tick after %v", w)
	}
	s.sees("2 min left", "⏱ 2m")
	next()
	s.sees("60 s left", "⏱ 1m")
	if w := next(); w != time.Second {
		t.Errorf("in the last minute the next tick comes after %v", w)
	}
	s.sees("59 s left", "⏱ 1m")
	s.press("4")
	if w := s.m.nextAge(); w < 30*time.Second {
		t.Errorf("with nobody looking the next tick comes after %v", w)
	}
	s.press("3", "?")
	if w := s.m.nextAge(); w < 30*time.Second {
		t.Errorf("behind a dialog the next tick comes after %v", w)
	}
	s.press("esc")
	s.clock.add(time.Minute)
	s.sees("ends now", "⏱ now")
	if w := s.m.nextAge(); w < time.Minute {
		t.Errorf("after its end the next tick comes after %v", w)
	}
}

// The end of a grant is told, and rings no bell; a request for a way out does.
func TestAlertsOfGrants(t *testing.T) {
	s := newStage(t, 120, 36)
	s.show(live("implementer-k3x9q", 0))
	text := "implementer-k3x9q: api.example.com is closed again: its time is over"
	s.send(updateMsg{Alerts: []bottles.Alert{{Kind: bottles.AlertDone, Identity: "implementer-k3x9q", Operation: "grant", Text: text}}})
	s.sees(text)
	s.send(updateMsg{Alerts: []bottles.Alert{{Kind: bottles.AlertDone, Identity: "implementer-k3x9q", Operation: "revoke", Text: "has it no more"}}})
	s.sees(text) // what was closed is worth more than that something was
	if s.raw != "" {
		t.Errorf("written raw: %q", s.raw)
	}
	for _, b := range []bottles.Bottle{askingEgress(), askingRoutes()} {
		s.raw = ""
		s.send(updateMsg{Snapshot: s.snapshot(b), Alerts: []bottles.Alert{{Kind: bottles.AlertRequest, Identity: b.Identity, Request: "r1", Text: "asks"}}})
		if s.raw != "\a" {
			t.Errorf("written raw: %q, want a bell", s.raw)
		}
	}
	s.clock.add(noteTime)
	s.send(ageMsg{s.m.ages})
	s.sees("asks for a route")
}
