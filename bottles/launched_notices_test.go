package bottles

import (
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
	if err := b.PutLaunched([]byte("{")); err != nil {
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
