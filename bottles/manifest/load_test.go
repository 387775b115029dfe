package manifest_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bottle-tui/bottles/manifest"
)

const homeText = `// everything that a manifest can say
{
  "bottles": {
    "web": {
      "supervise": true,
      "egress": {"allow": ["example.com", "*.example.org:8443", "[2001:db8::1]:443"]},
      "cred_proxy": {
        "routes": [
          {"path": "/api/", "upstream": "https://api.example.com/v1", "auth_scheme": "x-api-key", "token_ref": "API_KEY", "role": "anthropic-base-url"},
          {"path": "/git/", "upstream": "https://git.example.com", "auth_scheme": "token", "token_ref": "file:~/token", "role": ["git-insteadof", "tea-login"]},
          {"path": "/local/", "upstream": "http://127.0.0.1:8000", "auth_scheme": "basic", "token_ref": "cmd:pass show x"},
        ],
        "ca_file": "ca.pem",
      },
      "git": [
        {"name": "ssh", "upstream": "git@git.example.com:me/a.git", "identity_file": "~/.ssh/id", "known_host": "git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl", "allow_refs": ["refs/heads/a/*"], "allow_force": true},
        {"name": "https", "upstream": "https://git.example.com/me/b.git", "allow_push_options": ["ci.skip", "ci.variable=*"], "max_push": "1.5GiB", "max_object": 5000},
      ],
      "env": {"ZED": "last letter first", "ALPHA": ""},
      "image": {"dockerfile": "images/../Dockerfile"},
      "build_network": "host",
      "limits": {"memory": "1.5g", "pids": 256},
    },
    "empty": {},
  },
  "agents": {
    "zoe": {"bottle": "web", "prompt": "Hello.\nWorld.", "skills": ["review", "./skills/a", "/abs/b"], "command": ["my-agent", "-x"], "args": ["--verbose", "{task}"], "resume_args": ["again", "{message}"]},
    "adam": {"bottle": "empty", "model": "opus", "settings": {"outputStyle": "terse", "n": 1.50}, "mcp_servers": {"notes": {"command": "notes-mcp"}}},
  },
}
`

func TestLoadReadsEverything(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", "/home/me")
	home := filepath.Join(dir, manifest.Name)
	write(t, dir, map[string]string{manifest.Name: homeText})
	m := load(t, home, "")
	if len(m.Profiles) != 2 || m.Profiles[0].Name != "web" || m.Profiles[1].Name != "empty" {
		t.Fatalf("the profiles are not in order of declaration: %+v", m.Profiles)
	}
	at := func(line, column int) manifest.Position {
		return manifest.Position{File: home, Line: line, Column: column}
	}
	want := manifest.Profile{Name: "web", At: at(4, 5), Supervise: true,
		Egress: manifest.Egress{Allow: []string{"example.com", "*.example.org:8443", "[2001:db8::1]:443"}},
		CredProxy: manifest.CredProxy{CAFile: filepath.Join(dir, "ca.pem"), Routes: []manifest.Route{
			{At: at(9, 11), Path: "/api/", Upstream: "https://api.example.com/v1", AuthScheme: "x-api-key", TokenRef: "API_KEY", Role: manifest.Roles{"anthropic-base-url"}},
			{At: at(10, 11), Path: "/git/", Upstream: "https://git.example.com", AuthScheme: "token", TokenRef: "file:~/token", Role: manifest.Roles{"git-insteadof", "tea-login"}},
			{At: at(11, 11), Path: "/local/", Upstream: "http://127.0.0.1:8000", AuthScheme: "basic", TokenRef: "cmd:pass show x"},
		}},
		Git: []manifest.Remote{
			{At: at(16, 9), Name: "ssh", Upstream: "git@git.example.com:me/a.git", IdentityFile: "/home/me/.ssh/id",
				KnownHost: "git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
				AllowRefs: []string{"refs/heads/a/*"}, AllowForce: true},
			{At: at(17, 9), Name: "https", Upstream: "https://git.example.com/me/b.git", AllowOptions: []string{"ci.skip", "ci.variable=*"}, MaxPush: 3 << 29, MaxObject: 5000},
		},
		Env: manifest.Entries[string]{
			{Name: "ZED", Value: "last letter first", At: at(19, 15)},
			{Name: "ALPHA", At: at(19, 43)},
		},
		Image:        manifest.Image{Dockerfile: filepath.Join(dir, "Dockerfile")},
		BuildNetwork: "host",
		Limits:       manifest.Limits{Memory: 3 << 29, Pids: 256},
	}
	if got, _ := m.Profile("web"); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	agents := []manifest.Agent{
		{Name: "zoe", At: at(27, 5), Bottle: "web", Prompt: "Hello.\nWorld.", Command: []string{"my-agent", "-x"}, Args: []string{"--verbose", "{task}"}, ResumeArgs: []string{"again", "{message}"},
			Skills: []string{"/home/me/.claude/skills/review", filepath.Join(dir, "skills/a"), "/abs/b"}},
		{Name: "adam", At: at(28, 5), Bottle: "empty", Model: "opus", Settings: manifest.Object{"outputStyle": "terse", "n": json.Number("1.50")},
			MCPServers: manifest.Entries[manifest.Object]{{Name: "notes", Value: manifest.Object{"command": "notes-mcp"}, At: at(28, 115)}}},
	}
	if !reflect.DeepEqual(m.Agents, agents) {
		t.Errorf("got\n%+v\nwant\n%+v", m.Agents, agents)
	}
	if _, ok := m.Agent("eve"); ok {
		t.Error("an agent was found that nobody declared")
	}
}

func TestColumnsAreCharacters(t *testing.T) {
	_, err := manifest.Parse("/m.json", []byte(`{"bottles": {"dev": {"env": {"A": "äöü€𝄞"}, "x": 1}}}`))
	if err == nil || !strings.HasPrefix(err.Error(), "/m.json:1:45: ") {
		t.Errorf("got %v", err)
	}
}

func TestErrorsShowWhatIsInThem(t *testing.T) {
	_, err := manifest.Parse("/m.json", []byte("{\"bottles\": {\"dev\": {\"\u202ekey\x1b[31m\": 1}}}"))
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\u202e") {
		t.Errorf("got %q", err)
	}
	_, err = manifest.Parse("/m.json", []byte(`{"bottles": {"dev": {"\u202ekey\u001b": 1, "egress": {"allow": ["`+strings.Repeat("x", 10_000)+`"]}}}}`))
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\u202e") || len(err.Error()) > 2000 || !strings.Contains(err.Error(), "⟨U+202E⟩key␛") {
		t.Errorf("got %q", err)
	}
}

func TestErrorsAreBounded(t *testing.T) {
	var text strings.Builder
	text.WriteString(`{"bottles": {`)
	for range 5000 {
		text.WriteString(`"!": {},`)
	}
	text.WriteString(`}}`)
	_, err := manifest.Parse("/m.json", []byte(text.String()))
	var all manifest.Errors
	if !errors.As(err, &all) || len(all) > 300 || !strings.HasSuffix(err.Error(), "/m.json: and 4800 more; mend these first") {
		t.Errorf("%d errors, of which the last is %v", len(all), all[len(all)-1])
	}
}

func TestErrorsHavePlaces(t *testing.T) {
	_, err := manifest.Parse("/m.json", []byte(`{"agents": {"a": {"bottle": "x"}}, "bottles": {"b": {"supervise": 1}}}`))
	var all manifest.Errors
	if !errors.As(err, &all) || len(all) != 2 {
		t.Fatalf("got %v", err)
	}
	want := manifest.Error{Position: manifest.Position{File: "/m.json", Line: 1, Column: 29}, Path: "agents.a.bottle", Text: `there is no profile "x"; the profiles are "b"`}
	if all[0] != want {
		t.Errorf("got %+v, want %+v", all[0], want)
	}
}

func TestNoManifest(t *testing.T) {
	path := filepath.Join(t.TempDir(), manifest.Name)
	m, err := manifest.Load(path, t.TempDir())
	want := `no manifest: there is no ` + path + `; write one with "bottles" and "agents", or name another with --manifest`
	if m != nil || !errors.Is(err, manifest.ErrNone) || err.Error() != want {
		t.Errorf("got %v, %v", m, err)
	}
}

// TestUnreadableFiles: each is told with its path, none is waited for.
func TestUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"large.json": strings.Repeat(" ", 1<<20) + "{}", "ok.json": "{}"})
	fifo := filepath.Join(dir, "fifo.json")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("ok.json", filepath.Join(dir, "link.json")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"large.json": ": it has more than 1 MiB, which no manifest needs",
		"fifo.json":  ": it is not a file; a manifest is one",
		"":           ": it is not a file; a manifest is one",
		"link.json":  "", // dotfiles are often links
	} {
		path := filepath.Join(dir, name)
		_, err := manifest.Load(path, "")
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != path+want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// projectCase is a project's manifest beside an own one with the profile dev and the agent coder.
func projectCase(t *testing.T, files map[string]string) (dir string, m *manifest.Manifest, err error) {
	t.Helper()
	dir = t.TempDir()
	write(t, dir, map[string]string{"home/" + manifest.Name: `{"bottles": {"dev": {}}, "agents": {"coder": {"bottle": "dev"}}}`, "project/README": ""})
	write(t, filepath.Join(dir, "project"), files)
	m, err = manifest.Load(filepath.Join(dir, "home", manifest.Name), filepath.Join(dir, "project"))
	return dir, m, err
}

func TestProjectAddsAgents(t *testing.T) {
	dir, m, err := projectCase(t, map[string]string{manifest.Name: `{"agents": {"tester": {"bottle": "dev", "skills": ["skills/t"]}}}`})
	if err != nil {
		t.Fatal(err)
	}
	project := filepath.Join(dir, "project", manifest.Name)
	a, ok := m.Agent("tester")
	if !ok || len(m.Agents) != 2 || m.Project != project || a.At.File != project || a.Skills[0] != filepath.Join(dir, "project", "skills/t") {
		t.Errorf("got %+v", m)
	}
	if _, m, err := projectCase(t, nil); err != nil || m.Project != "" || len(m.Agents) != 1 {
		t.Errorf("without a project's manifest: %+v, %v", m, err)
	}
}

func TestProjectIsTheHome(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{manifest.Name: `{"bottles": {"dev": {}}, "agents": {"coder": {"bottle": "dev"}}}`})
	if m := load(t, filepath.Join(dir, manifest.Name), dir); m.Project != "" || len(m.Agents) != 1 {
		t.Errorf("read twice: %+v", m)
	}
	other := t.TempDir() // the same file by another name
	if err := os.Symlink(filepath.Join(dir, manifest.Name), filepath.Join(other, manifest.Name)); err != nil {
		t.Fatal(err)
	}
	if m := load(t, filepath.Join(other, manifest.Name), dir); m.Project != "" || len(m.Agents) != 1 {
		t.Errorf("read twice: %+v", m)
	}
}

// TestProjectMayNot: what somebody else's repository must not do. The own agents stay.
func TestProjectMayNot(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"declare profiles": {`{"bottles": {"dev": {"egress": {"allow": ["example.com"]}}}}`,
			`PROJECT:1:2: bottles: a project's manifest has no profiles: a checked-out repository must not draw the boundary around its agent; move them to HOME`},
		"change an agent": {`{"agents": {"coder": {"bottle": "dev"}}}`,
			`PROJECT:1:13: agents: the agent "coder" is declared at HOME:1:37, too, and a project must not change what a name means; write another name here`},
		"name a missing profile": {`{"agents": {"tester": {"bottle": "dv"}}}`,
			`PROJECT:1:34: agents.tester.bottle: there is no profile "dv"; did you mean "dev"?`},
		"take a directory above": {`{"agents": {"tester": {"bottle": "dev", "skills": ["../../.ssh"]}}}`,
			`PROJECT:1:52: agents.tester.skills[0]: "../../.ssh" is outside the project: a project's manifest may name skills within the project alone; write a path below it, or a name of one in ~/.claude/skills`},
		"take a directory of the home": {`{"agents": {"tester": {"bottle": "dev", "skills": ["~/.ssh", "/etc/ssl"]}}}`,
			`PROJECT:1:52: agents.tester.skills[0]: "~/.ssh" is outside the project: a project's manifest may name skills within the project alone; write a path below it, or a name of one in ~/.claude/skills
PROJECT:1:62: agents.tester.skills[1]: "/etc/ssl" is outside the project: a project's manifest may name skills within the project alone; write a path below it, or a name of one in ~/.claude/skills`},
	} {
		t.Run(name, func(t *testing.T) {
			dir, m, err := projectCase(t, map[string]string{manifest.Name: c.text})
			want := strings.NewReplacer("PROJECT", filepath.Join(dir, "project", manifest.Name), "HOME", filepath.Join(dir, "home", manifest.Name)).Replace(c.want)
			if err == nil || err.Error() != want {
				t.Errorf("got\n%v\nwant\n%s", err, want)
			}
			if m == nil || len(m.Agents) != 1 || m.Project != "" {
				t.Errorf("the own manifest is lost: %+v", m)
			}
		})
	}
}

func TestProjectLeadsOutByALink(t *testing.T) {
	dir, _, err := projectCase(t, map[string]string{"x": ""})
	if err != nil {
		t.Fatal(err)
	}
	project := filepath.Join(dir, "project")
	if err := os.Symlink("../home", filepath.Join(project, "skills")); err != nil {
		t.Fatal(err)
	}
	write(t, project, map[string]string{manifest.Name: `{"agents": {"tester": {"bottle": "dev", "skills": ["./skills"]}}}`})
	_, err = manifest.Load(filepath.Join(dir, "home", manifest.Name), project)
	if err == nil || !strings.Contains(err.Error(), `"./skills" leads out of the project by a link`) {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(filepath.Join(project, manifest.Name)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../home/"+manifest.Name, filepath.Join(project, manifest.Name)); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"other.json": "{}"})
	_, err = manifest.Load(filepath.Join(dir, "other.json"), project)
	if err == nil || !strings.HasSuffix(err.Error(), ": it is a link; a project's manifest must be a file of the project") {
		t.Errorf("got %v", err)
	}
}

// TestFaultsOfBothFiles are told together, the own ones first.
func TestFaultsOfBothFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"home.json":                `{"bottles": {"dev": {"supervise": 1}}}`,
		"project/" + manifest.Name: `{"agents": {"a": {"bottle": "dve"}}, "x": 1}`,
		"syntax.json":              `{"bottles": `,
	})
	lines := func(home string) []string {
		_, err := manifest.Load(filepath.Join(dir, home), filepath.Join(dir, "project"))
		return strings.Split(strings.ReplaceAll(err.Error(), dir+"/", ""), "\n")
	}
	want := []string{
		`home.json:1:35: bottles.dev.supervise: want true or false, found the number 1`,
		`project/claude-bottle.json:1:29: agents.a.bottle: there is no profile "dve"; did you mean "dev"?`,
		`project/claude-bottle.json:1:38: unknown key "x"; the keys here are "$schema", "bottles", "agents"`,
	}
	if got := lines("home.json"); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	// What the profiles are can't be said when the own manifest can't be read.
	if got := lines("syntax.json"); len(got) != 2 || got[1] != want[2] {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

// TestHugeFiles: what somebody else's repository brings does not hold up the program.
func TestHugeFiles(t *testing.T) {
	fill := func(begin, each, end string) string {
		var b strings.Builder
		b.WriteString(begin)
		for i := 0; b.Len() < 1<<19; i++ {
			b.WriteString(strings.ReplaceAll(each, "#", strconv.Itoa(i)))
		}
		return b.String() + end
	}
	for name, text := range map[string]string{
		"agents":   fill(`{"agents": {`, `"a#":{"bottle":"p#"},`, `}}`),
		"routes":   fill(`{"bottles": {"dev": {"cred_proxy": {"routes": [`, `{"path":"/a#/"},`, `]}}}}`),
		"hosts":    fill(`{"bottles": {"dev": {"egress": {"allow": [`, `"a#.example.com",`, `]}}}}`),
		"profiles": fill(`{"bottles": {`, `"a#":{},`, `}}`),
		"brackets": fill(`{"bottles": `, `[`, ``),
		"keys":     fill(`{`, `"k#":1,`, `}`),
		"quotes":   fill(`{"bottles": {"dev": {"env": {"A": "`, `\"`, `"}}}}`),
		"comments": fill(``, `/**/`, `{}`),
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			_, err := manifest.Parse("/m.json", []byte(text))
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
			if err != nil && len(err.Error()) > 1<<20 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}
