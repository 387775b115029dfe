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
	for _, meta := range []state.Metadata{{AgentName: "tester", CWD: filepath.Dir(r.project)}, {AgentName: "tester", Manifest: r.project}} {
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

func TestCatalogNamesMissingFiles(t *testing.T) {
	r := newRig(t)
	dir := filepath.Dir(r.home)
	for _, c := range []struct{ file, want string }{
		{"ca.pem", r.home + ":3:5: bottles.web.cred_proxy.ca_file: there is no file " + dir + "/ca.pem; put it there, or name another"},
		{"web.Dockerfile", r.home + ":3:5: bottles.web.image.dockerfile: there is no file " + dir + "/web.Dockerfile; put it there, or name another"},
	} {
		if err := os.Remove(filepath.Join(dir, c.file)); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Profile(state.Metadata{AgentName: "coder"}); err == nil || err.Error() != c.want {
			t.Errorf("got %v", err)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, ".claude")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Profile(state.Metadata{AgentName: "coder"}); err == nil || !strings.HasPrefix(err.Error(), r.home+":19:5: agents.coder: skill ") {
		t.Errorf("got %v", err)
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
