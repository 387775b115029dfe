package manifest_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/bottles/manifest"
	"bottle-tui/state"
)

var (
	_ bottles.Catalog  = (*manifest.Catalog)(nil)
	_ bottles.Editor   = (*manifest.Catalog)(nil)
	_ bottles.Troubled = (*manifest.Catalog)(nil)
	_ bottles.Locator  = (*manifest.Catalog)(nil)
)

// rig is a home with a manifest, and a project.
type rig struct {
	*manifest.Catalog
	t             *testing.T
	home, project string // the manifests
}

const rigText = `{
  "bottles": {
    "web": {
      "supervise": true,
      "egress": {"allow": ["docs.example.com"]},
      "cred_proxy": {
        "routes": [{"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "x-api-key", "token_ref": "API_KEY", "role": "anthropic-base-url"}],
        "ca_file": "ca.pem",
      },
      "git": [{"name": "a", "upstream": "https://git.example.com/me/a.git", "allow_push_options": ["ci.skip"], "max_push": "64m", "max_object": "16MiB"}],
      "env": {"LANG": "de_DE.UTF-8", "EDITOR": "true"},
      "image": {"dockerfile": "web.Dockerfile"},
      "limits": {"memory": "1g", "pids": 100},
    },
    "plain": {"image": {"base": "registry.example.com/node:22"}},
    "ready": {"image": {"reference": "registry.example.com/agent:1"}},
  },
  "agents": {
    "coder": {"bottle": "web", "prompt": "Write.", "skills": ["review"], "args": ["--verbose"]},
    "plain": {"bottle": "plain"},
    "other": {"bottle": "ready", "command": ["/bin/agent"]},
  },
}
`

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	write(t, dir, map[string]string{
		manifest.Name: rigText, "ca.pem": "PEM", "web.Dockerfile": "FROM scratch\n",
		".claude/skills/review/SKILL.md":   "---\nname: review\n---\n",
		"src/" + manifest.Name:             `{"agents": {"tester": {"bottle": "plain"}}}`,
		"src/.claude/skills/test/SKILL.md": "x",
	})
	r := &rig{t: t, home: filepath.Join(dir, manifest.Name), project: filepath.Join(dir, "src", manifest.Name)}
	r.Catalog = manifest.NewCatalog(r.home, filepath.Dir(r.project))
	return r
}

func (r *rig) put(path, text string) {
	r.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) profile(meta state.Metadata) bottles.Profile {
	r.t.Helper()
	p, err := r.Profile(meta)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func (r *rig) refused(meta state.Metadata, want string) {
	r.t.Helper()
	_, err := r.Profile(meta)
	if !errors.Is(err, bottles.ErrNoProfile) || !strings.Contains(err.Error(), want) {
		r.t.Errorf("%+v: got %v, want %s", meta, err, want)
	}
}

func TestCatalogProfile(t *testing.T) {
	r := newRig(t)
	if got := r.Agents(); !slices.Equal(got, []string{"coder", "plain", "other", "tester"}) {
		t.Errorf("agents: %v", got)
	}
	p := r.profile(state.Metadata{AgentName: "coder"})
	if p.Agent != "coder" || p.Name != "web" || p.Manifest != r.home || string(p.Dockerfile) != "FROM scratch\n" || p.BuildNetwork != "default" ||
		!p.Supervise || !slices.Equal(p.Egress, []string{"docs.example.com"}) || p.EgressEngine != "builtin" || string(p.CA) != "PEM" ||
		p.Memory != 1<<30 || p.Pids != 100 {
		t.Errorf("got %+v", p)
	}
	routes := []bottles.Route{{Path: "/api/", Upstream: "https://api.example.com", AuthScheme: "x-api-key", TokenRef: "API_KEY", Roles: []string{bottles.RoleBaseURL}}}
	if !reflect.DeepEqual(p.Routes, routes) {
		t.Errorf("routes: %+v", p.Routes)
	}
	if want := []bottles.Remote{{Name: "a", Upstream: "https://git.example.com/me/a.git", AllowRefs: []string{"refs/heads/*"}, AllowPushOptions: []string{"ci.skip"}, MaxPush: 64 << 20, MaxObject: 16 << 20}}; !reflect.DeepEqual(p.Git, want) {
		t.Errorf("remotes: %+v", p.Git)
	}
	if !slices.Contains(p.Env, "LANG=de_DE.UTF-8") || !slices.Contains(p.Env, "EDITOR=true") || slices.Contains(p.Env, "LANG=C.UTF-8") {
		t.Errorf("environment: %v", p.Env)
	}
	if !slices.Contains(p.Program.Command, "claude") || !slices.Contains(p.Program.Command, "--verbose") {
		t.Errorf("command: %v", p.Program.Command)
	}
	if !slices.ContainsFunc(p.Files, func(f bottles.File) bool { return strings.HasSuffix(f.Path, "/skills/review/SKILL.md") }) {
		t.Errorf("the skill is not among %d files", len(p.Files))
	}
	if p := r.profile(state.Metadata{AgentName: "plain"}); !strings.Contains(string(p.Dockerfile), "FROM registry.example.com/node:22\n") || p.Memory != 0 {
		t.Errorf("got %+v", p)
	}
	if p := r.profile(state.Metadata{AgentName: "other"}); string(p.Dockerfile) != "FROM registry.example.com/agent:1\n" || p.Program.Command[0] != "/bin/agent" {
		t.Errorf("got %+v", p)
	}
}

func TestCatalogFindsTheManifest(t *testing.T) {
	r := newRig(t)
	if p := r.profile(state.Metadata{AgentName: "coder", CWD: "/elsewhere"}); p.Manifest != r.home { // a state of the predecessor
		t.Errorf("got %+v", p)
	}
	if p := r.profile(state.Metadata{AgentName: "coder", Manifest: r.home, Profile: "web"}); p.Manifest != r.home {
		t.Errorf("got %+v", p)
	}
	elsewhere := manifest.NewCatalog(r.home, t.TempDir())
	for _, meta := range []state.Metadata{{AgentName: "tester", CWD: filepath.Dir(r.project), StartedAt: time.Now()}, {AgentName: "tester", Manifest: r.project}} {
		p, err := elsewhere.Profile(meta)
		if err != nil || p.Manifest != r.project || p.Name != "plain" {
			t.Errorf("%+v: got %+v, %v", meta, p, err)
		}
	}
	r.refused(state.Metadata{AgentName: "codr"}, r.home+` has no agent "codr"; did you mean "coder"?`)
	r.refused(state.Metadata{AgentName: "coder", Manifest: r.project}, r.project+` has no agent "coder"`)
	r.refused(state.Metadata{AgentName: "coder", Manifest: "builtin:demo"}, "name that one with --manifest")
	other := filepath.Join(t.TempDir(), manifest.Name)
	r.put(other, rigText)
	r.refused(state.Metadata{AgentName: "coder", Manifest: other}, "name that one with --manifest")
	gone := manifest.NewCatalog(filepath.Join(t.TempDir(), manifest.Name), "")
	if _, err := gone.Profile(state.Metadata{AgentName: "coder"}); !errors.Is(err, bottles.ErrNoProfile) || !errors.Is(err, manifest.ErrNone) {
		t.Errorf("got %v", err)
	}
	if got := gone.Agents(); got != nil || gone.Problems() != nil {
		t.Errorf("got %v, %v", got, gone.Problems())
	}
}

// TestCatalogSeesEdits: a change holds at once, a fault is told and mended.
func TestCatalogSeesEdits(t *testing.T) {
	r := newRig(t)
	coder := state.Metadata{AgentName: "coder", Manifest: r.home}
	r.profile(coder)
	for _, age := range []time.Duration{0, time.Hour} { // a file that was just written, and one that rests
		r.put(r.home, strings.Replace(rigText, `"docs.example.com"`, `"fresh.example.com"`, 1))
		old := time.Now().Add(-age)
		if err := os.Chtimes(r.home, old, old); err != nil {
			t.Fatal(err)
		}
		if p := r.profile(coder); !slices.Equal(p.Egress, []string{"fresh.example.com"}) {
			t.Errorf("the old list: %v", p.Egress)
		}
		r.put(r.home, rigText)
		if p := r.profile(coder); !slices.Equal(p.Egress, []string{"docs.example.com"}) {
			t.Errorf("the old list: %v", p.Egress)
		}
	}
	r.put(r.home, strings.Replace(rigText, `"supervise"`, `"supervize"`, 1))
	r.refused(coder, `4:7: bottles.web: unknown key "supervize"; did you mean "supervise"?`)
	want := []bottles.Problem{{Path: r.home, Err: `4:7: bottles.web: unknown key "supervize"; did you mean "supervise"?`}}
	if got := r.Problems(); !reflect.DeepEqual(got, want) || r.Agents() != nil {
		t.Errorf("got %+v, %v", got, r.Agents())
	}
	r.put(r.home, rigText)
	if r.profile(coder); r.Problems() != nil {
		t.Errorf("still %v", r.Problems())
	}
	// A project's fault leaves the operator's own agents.
	r.put(r.project, `{"agents": []}`)
	if got := r.Agents(); len(got) != 3 || len(r.Problems()) != 1 || r.Problems()[0].Path != r.project {
		t.Errorf("got %v, %v", got, r.Problems())
	}
	r.profile(state.Metadata{AgentName: "coder"})
	r.refused(state.Metadata{AgentName: "tester"}, "1:12: agents: want an object, found a list")
}

// A new launch is of the agent that is listed, whatever else has its name where it is to work.
func TestCatalogLaunchesWhatIsListed(t *testing.T) {
	r := newRig(t)
	elsewhere := t.TempDir()
	write(t, elsewhere, map[string]string{manifest.Name: `{"agents": {"tester": {"bottle": "web"}, "stranger": {"bottle": "web"}}}`})
	if p := r.profile(state.Metadata{AgentName: "tester", CWD: elsewhere, CopyCWD: true}); p.Manifest != r.project || p.Name != "plain" {
		t.Errorf("got %s of %s", p.Name, p.Manifest)
	}
	r.refused(state.Metadata{AgentName: "stranger", CWD: elsewhere, CopyCWD: true}, `has no agent "stranger"`)
	// What was started there is what it was.
	if p := r.profile(state.Metadata{AgentName: "tester", Manifest: filepath.Join(elsewhere, manifest.Name), StartedAt: time.Now()}); p.Name != "web" {
		t.Errorf("got %s of %s", p.Name, p.Manifest)
	}
}

// The manifest in the home directory is the operator's: where another is named, it is nobody's project.
func TestCatalogInTheHomeDirectory(t *testing.T) {
	r := newRig(t)
	named := filepath.Join(t.TempDir(), "named.json")
	r.put(named, `{"bottles": {"dev": {}}, "agents": {"named": {"bottle": "dev"}}}`)
	c := manifest.NewCatalog(named, filepath.Dir(r.home))
	if got := c.Agents(); !slices.Equal(got, []string{"named"}) || c.Problems() != nil {
		t.Errorf("agents %v, %v", got, c.Problems())
	}
	if _, err := c.Profile(state.Metadata{AgentName: "coder", Manifest: r.home}); !errors.Is(err, bottles.ErrNoProfile) || !strings.Contains(err.Error(), "name that one with --manifest") {
		t.Errorf("got %v", err)
	}
}

func TestCatalogTellsWhatTheAgentIsTold(t *testing.T) {
	r := newRig(t)
	p := r.profile(state.Metadata{AgentName: "coder"})
	if p.Home != r.home || p.Prompt != "Write." || !slices.Equal(p.Skills, []string{"review"}) || p.Command != nil || !slices.Equal(p.Args, []string{"--verbose"}) {
		t.Errorf("got %+v", p)
	}
	if p := r.profile(state.Metadata{AgentName: "tester"}); p.Manifest != r.project || p.Home != r.home {
		t.Errorf("%s in %s", p.Manifest, p.Home)
	}
	r.put(r.home, strings.Replace(rigText, `["docs.example.com"]`, `["docs.example.com", "DOCS.example.com", "*.example.com", "docs.example.com:443", "docs.example.com"]`, 1))
	if got := r.profile(state.Metadata{AgentName: "coder"}).Egress; !slices.Equal(got, []string{"docs.example.com", "*.example.com", "docs.example.com:443"}) {
		t.Errorf("hosts %q", got)
	}
}

// All files that can't be had are told at once, each where it is named.
func TestCatalogNamesMissingFiles(t *testing.T) {
	r := newRig(t)
	dir := filepath.Dir(r.home)
	for _, file := range []string{"ca.pem", "web.Dockerfile", ".claude/skills/review/SKILL.md"} {
		if err := os.Remove(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir, map[string]string{".claude/skills/reviews/SKILL.md": "x"})
	r.put(r.home, strings.Replace(rigText, `["review"]`, `["review", "reviwes", "./mine/nothing"]`, 1))
	r.put(r.project, `{"agents": {"tester": {"bottle": "web", "skills": ["gone"]}}}`)
	want := []string{
		r.home + ":8:20: bottles.web.cred_proxy.ca_file: there is no file " + dir + "/ca.pem; put it there, or name another",
		r.home + ":12:31: bottles.web.image.dockerfile: there is no file " + dir + "/web.Dockerfile; put it there, or name another",
		r.home + ":19:63: agents.coder.skills[0]: skill " + dir + "/.claude/skills/review: there is no SKILL.md in it, which says what the skill is for",
		r.home + `:19:73: agents.coder.skills[1]: there is no skill "` + dir + `/.claude/skills/reviwes"; did you mean "reviews"?`,
		r.home + `:19:84: agents.coder.skills[2]: there is no skill "` + dir + `/mine/nothing"; put a directory with a SKILL.md there, or take it out`,
	}
	if _, err := r.Profile(state.Metadata{AgentName: "coder"}); err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("got\n%v", err)
	}
	want = append(want[:2], r.project+`:1:52: agents.tester.skills[0]: there is no skill "`+dir+`/.claude/skills/gone"; put a directory with a SKILL.md there, or take it out`)
	if _, err := r.Profile(state.Metadata{AgentName: "tester"}); err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("got\n%v", err)
	}
}

// What is too much of several skills together is no fault of one.
func TestCatalogTakesNotTooManySkills(t *testing.T) {
	r := newRig(t)
	large := strings.Repeat("x", 5<<20)
	write(t, filepath.Dir(r.home), map[string]string{".claude/skills/a/SKILL.md": large, ".claude/skills/b/SKILL.md": large})
	r.put(r.home, strings.Replace(rigText, `["review"]`, `["a", "b"]`, 1))
	if _, err := r.Profile(state.Metadata{AgentName: "coder"}); err == nil || !strings.HasPrefix(err.Error(), r.home+":19:62: agents.coder.skills: ") || !strings.Contains(err.Error(), "more than 8 MiB") {
		t.Errorf("got %v", err)
	}
}

func TestCatalogKnowsWhereACredentialIsNamed(t *testing.T) {
	r := newRig(t)
	r.put(r.home, `{"bottles": {
		"dev": {
			"cred_proxy": {"routes": [{"path": "/a/", "upstream": "https://a.example.com", "auth_scheme": "bearer", "token_ref": "A"},
				{"path": "/b/", "upstream": "https://a.example.com", "auth_scheme": "bearer", "token_ref": "cmd:pass show b"}]},
			"git": [{"name": "s", "upstream": "me@git.example.com:a.git", "identity_file": "/keys/s", "known_host": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"},
				{"name": "h", "upstream": "https://git.example.com/a.git", "token_ref": "cmd:pass show b"}]},
		"web": {"git": [{"name": "h", "upstream": "https://git.example.com/a.git", "token_ref": "cmd:pass show b"},
			{"name": "i", "upstream": "https://git.example.com/a.git", "token_ref": "cmd:pass show b"}]}}}`)
	for ref, want := range map[string]string{
		"cmd:pass show b": "bottles.dev.cred_proxy.routes[1].token_ref, bottles.dev.git[1].token_ref, bottles.web.git[0].token_ref and 1 more in " + r.home,
		"A":               "bottles.dev.cred_proxy.routes[0].token_ref in " + r.home,
		"file:/keys/s":    "bottles.dev.git[0].identity_file in " + r.home,
		"file:":           "", "": "", "cmd:other": "",
	} {
		if got := r.Where(ref); got != want {
			t.Errorf("%q: got %q", ref, got)
		}
	}
}

func TestCatalogEdit(t *testing.T) {
	r := newRig(t)
	for _, meta := range []state.Metadata{{AgentName: "plain"}, {AgentName: "tester", Manifest: r.project}} {
		edit, err := r.Edit(meta, bottles.Change{Allow: []string{"new.example.com"}})
		if err != nil {
			t.Fatal(err)
		}
		const was, is = `"plain": {"image": {"base": "registry.example.com/node:22"}},`, `"plain": {"image": {"base": "registry.example.com/node:22"}, "egress": {"allow": ["new.example.com"]}},`
		if edit.Path != r.home || string(edit.Before) != rigText || string(edit.After) != strings.Replace(rigText, was, is, 1) {
			t.Errorf("got %s:\n%s", edit.Path, edit.After)
		}
		if string(read(t, r.home)) != rigText {
			t.Error("it wrote the file")
		}
	}
	if _, err := r.Edit(state.Metadata{AgentName: "nobody"}, bottles.Change{}); !errors.Is(err, bottles.ErrNoProfile) {
		t.Errorf("got %v", err)
	}
}

func TestCatalogProfileWithPipelock(t *testing.T) {
	example, err := filepath.Abs("../../docs/examples/pipelock.json")
	if err != nil {
		t.Fatal(err)
	}
	p, err := manifest.NewCatalog(example, "").Profile(state.Metadata{AgentName: "researcher"})
	if err != nil || p.EgressEngine != "pipelock" || p.EgressImage != "registry.example.com/pipelock:2.3.0" {
		t.Errorf("%q from %q, %v", p.EgressEngine, p.EgressImage, err)
	}
}

// A bottle whose manifest was moved or renamed is offered what is declared here; one whose manifest is there is not, and
// nobody is offered what he gave.
func TestCatalogAfterTheManifestMoved(t *testing.T) {
	r := newRig(t)
	away := filepath.Join(t.TempDir(), "was", manifest.Name)
	for _, meta := range []state.Metadata{
		{AgentName: "coder", Manifest: away, StartedAt: time.Now()},
		{AgentName: "coder", Manifest: filepath.Join(filepath.Dir(r.home), "old-name.json"), StartedAt: time.Now()},
	} {
		if p := r.profile(meta); p.Manifest != r.home || p.Name != "web" {
			t.Errorf("%s: got %s of %s", meta.Manifest, p.Name, p.Manifest)
		}
	}
	if p := r.profile(state.Metadata{AgentName: "tester", Manifest: away, StartedAt: time.Now()}); p.Manifest != r.project {
		t.Errorf("a project that moved: %s", p.Manifest)
	}
	r.refused(state.Metadata{AgentName: "sh", Manifest: away, StartedAt: time.Now()}, "which is gone, and "+r.home+" does not declare it")
	r.put(r.project, `{"agents": {}}`)
	_, err := r.Profile(state.Metadata{AgentName: "coder", Manifest: r.project, StartedAt: time.Now()})
	if !errors.Is(err, bottles.ErrNoProfile) || strings.Contains(err.Error(), "did you mean") {
		t.Errorf("got %v", err)
	}
	// A grant for the profile is written into the one that the bottle lives in, though the agent is in another now.
	edit, err := r.Edit(state.Metadata{AgentName: "plain", Profile: "web", Manifest: r.home, StartedAt: time.Now()}, bottles.Change{Disallow: []string{"docs.example.com"}})
	if err != nil || strings.Contains(string(edit.After), "docs.example.com") {
		t.Errorf("got %s, %v", edit.After, err)
	}
}
