package bottles

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"bottle-tui/state"
)

// Each aspect of a profile in which it differs is a notice of its own, and a yes to one plan is not one to another.
func TestTheNoticesOfAProfileThatMovedOn(t *testing.T) {
	was := Profile{Name: "dev", Manifest: "/m", Dockerfile: []byte("FROM a\n"), Egress: []string{"a.example.com"}, Env: []string{"TOKEN_HINT=old"},
		Routes: []Route{{Path: "/api/", Upstream: "https://a.example.com", AuthScheme: "bearer", TokenRef: "A"}}, Args: []string{"--verbose"}}
	grants := []Grant{
		{Scope: Scope{Profile: true}, Change: Change{Allow: []string{"granted.example.com"}}},
		{Change: Change{Allow: []string{"bottle.example.com"}}},
	}
	for name, c := range map[string]struct {
		change func(*Profile)
		own    bool
		id     string // how the only notice's ID begins; "": there is none
		ask    bool
		says   string
	}{
		"nothing":              {func(*Profile) {}, false, "", false, ""},
		"moved":                {func(p *Profile) { p.Manifest, p.Home = "/n", "/n" }, false, "", false, ""},
		"defaults written out": {func(p *Profile) { p.EgressEngine, p.BuildNetwork = engineBuiltin, DefaultNetwork }, false, "", false, ""},
		"image":                {func(p *Profile) { p.Dockerfile = []byte("FROM b\n") }, false, "profile-image-", true, "+FROM b, -FROM a"},
		"image, with its own":  {func(p *Profile) { p.Dockerfile = []byte("FROM b\n") }, true, "profile-image-", false, "the bottle keeps the Dockerfile"},
		"allowlist":            {func(p *Profile) { p.Egress = nil }, false, "profile-egress-", true, "-a.example.com"},
		"route":                {func(p *Profile) { p.Routes = nil }, false, "profile-routes-", true, "-/api/"},
		"args":                 {func(p *Profile) { p.Args = nil }, false, "profile-args-", true, `it was ["--verbose"] and is none`},
		"environment":          {func(p *Profile) { p.Env = []string{"TOKEN_HINT=new"} }, false, "profile-env-", true, "+TOKEN_HINT"},
		"remotes":              {func(p *Profile) { p.Git = []Remote{{Name: "o", AllowForce: true}} }, false, "profile-git-", true, "git remotes"},
		"model":                {func(p *Profile) { p.Model = "opus" }, false, "profile-model-", true, "is opus"},
		"settings":             {func(p *Profile) { p.Settings = map[string]json.RawMessage{"style": []byte(`"new"`)} }, false, "profile-settings-", true, "+style"},
		"servers":              {func(p *Profile) { p.MCPServers = map[string]json.RawMessage{"notes": []byte(`{"new":1}`)} }, false, "profile-mcp-servers-", true, "+notes"},
		"limits":               {func(p *Profile) { p.Pids = 7 }, false, "profile-pids-", true, "is 7"},
		"the program's files":  {func(p *Profile) { p.Files = []File{{Path: "/etc/x"}} }, false, "program-files", false, "bottle-tui gives"},
	} {
		now := was
		now.Egress = []string{"a.example.com", "granted.example.com"}
		c.change(&now)
		got := profileNotices(was, now, grants, c.own)
		if c.id == "" {
			if len(got) != 0 {
				t.Errorf("%s: %+v", name, got)
			}
			continue
		}
		if len(got) != 1 || !strings.HasPrefix(got[0].ID, c.id) || got[0].Ask != c.ask || !strings.Contains(got[0].What, c.says) || strings.Contains(got[0].What, "new") {
			t.Errorf("%s: %+v", name, got)
			continue
		}
		now.Pids++
		if later := profileNotices(was, now, grants, c.own); c.ask && later[0].ID == got[0].ID {
			t.Errorf("%s: a yes to it would be one to a profile that changed since", name)
		}
	}
}

// A state whose profile can't be read is not one without: what it runs on is not made up.
func TestAProfileThatCannotBeReadIsNotMadeUp(t *testing.T) {
	s, b := owned(t, nil)
	if err := b.PutLaunched([]byte("{"), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.profileOf(b); err == nil || !strings.Contains(err.Error(), "launched.json") {
		t.Errorf("got %v", err)
	}
	if _, err := resumeNotices(b, state.Metadata{}, Profile{}, newParts()); err == nil {
		t.Error("the plan of a resume does not say so")
	}
}

// A bottle whose manifest is gone is torn down, and its conversation kept, with what it was launched with.
func TestABottleIsWhatItWasLaunchedWith(t *testing.T) {
	s, b := owned(t, nil) // whose catalog knows no profile
	if err := writeLaunched(b, Profile{Dockerfile: []byte("FROM a\n"), Program: Program{Home: "/root/.agent"}}); err != nil {
		t.Fatal(err)
	}
	x := &execution{sup: s, bottle: b}
	if x.findProfile(); x.layout.profile.Program.Home != "/root/.agent" {
		t.Errorf("its home is %q", x.layout.profile.Program.Home)
	}
	if got, err := s.dockerfileOf(b); err != nil || string(got) != "FROM a\n" {
		t.Errorf("it runs on %q, %v", got, err)
	}
	if err := b.PutConfig(fileDockerfile, []byte("FROM told\n")); err != nil { // as of an earlier version, too
		t.Fatal(err)
	}
	if got, err := s.dockerfileOf(b); err != nil || string(got) != "FROM told\n" {
		t.Errorf("it runs on %q, %v", got, err)
	}
}

// What the agent's files hold is kept beside the profile, which is read at each request, and found again for the next agent.
// A profile of an earlier version has it.
func TestTheFilesOfAProfileAreKeptApart(t *testing.T) {
	_, b := owned(t, nil)
	skill := File{Path: "/home/agent/.claude/skills/one", Content: bytes.Repeat([]byte("read me\n"), 1<<20), Mode: 0o644}
	now := Profile{Agent: "tester", Files: []File{skill, {Path: "/empty"}}}
	old, err := json.Marshal(now)
	if err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func() error{
		"of an earlier version": func() error { return b.PutLaunched(old, "") },
		"written":               func() error { return writeLaunched(b, now) },
		"written again":         func() error { return writeLaunched(b, now) },
	} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
		was, found, err := readLaunched(b)
		if err != nil || !found || len(profileNotices(was, now, nil, false)) > 0 {
			t.Errorf("%s: %v, %v: it differs from itself: %v", name, found, err, profileNotices(was, now, nil, false))
		}
		files, err := filesOf(b, was)
		if err != nil || len(files) != 2 || !bytes.Equal(files[0].Content, skill.Content) || len(files[1].Content) > 0 {
			t.Errorf("%s: %d files, %v", name, len(files), err)
		}
		changed := now
		changed.Files = []File{skill, {Path: "/empty", Content: []byte("no more")}}
		if len(profileNotices(was, changed, nil, false)) != 1 {
			t.Errorf("%s: a change is not told", name)
		}
	}
	if err := writeLaunched(b, now); err != nil {
		t.Fatal(err)
	}
	if text, err := b.Launched(); err != nil || len(text) > 4<<10 {
		t.Errorf("the profile has %d bytes, %v", len(text), err)
	}
	was, _, err := readLaunched(b)
	if err != nil {
		t.Fatal(err)
	}
	was.Memory = 1 // as an operation that has only what was kept writes it
	if err := writeLaunched(b, was); err != nil {
		t.Error(err)
	}
	kept := func() []string {
		found, _ := filepath.Glob(filepath.Join(b.Dir(), "launched.*.files.json"))
		return found
	}
	if len(kept()) != 1 {
		t.Errorf("kept is %q", kept())
	}
	if err := writeLaunched(b, Profile{}); err != nil || len(kept()) != 0 {
		t.Errorf("kept is %q, %v", kept(), err)
	}
	if _, err := filesOf(b, was); err == nil {
		t.Error("files that are gone are found")
	}
}
