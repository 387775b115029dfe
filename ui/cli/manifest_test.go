package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"bottle-tui/bottles"
	"bottle-tui/bottles/manifest"
	"bottle-tui/state"
)

const manyThings = `{
  "bottles": {"dev": {
    "egress": {"engine": "pipelock", "image": "registry.example.com/pipelock:2", "allow": ["example.com"]},
    "cred_proxy": {"routes": [{"path": "/npm/", "upstream": "https://npm.example.com", "auth_scheme": "bearer", "token_ref": "cmd:pass show npm"}]},
    "git": [
      {"name": "api", "upstream": "https://git.example.com/a.git", "token_ref": "cmd:pass show git", "allow_refs": ["refs/heads/agent/*"], "allow_force": true, "approve": true, "allow_push_options": ["ci.skip"]},
      {"name": "lib", "upstream": "git@git.example.com:lib.git", "identity_file": "/keys/lib", "known_host": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"},
    ],
  }},
  "agents": {"coder": {"bottle": "dev", "prompt": "Write.\nAnd test.", "args": ["--effort", "high"], "model": "opus",
    "settings": {"outputStyle": "terse"}, "mcp_servers": {"notes": {"command": "notes-mcp"}}}, "shell": {"bottle": "dev", "command": ["/bin/sh", "a b"]}},
}`

// Of a profile all is told that it lets an agent do, and of a credential where it comes from by its name alone.
func TestInfoOfAnAgent(t *testing.T) {
	p := newProgram(t)
	path := filepath.Join(t.TempDir(), "m.json")
	write(t, path, manyThings)
	for format, wants := range map[string][]string{
		"text": {"dev, of " + path, "Write. (2 lines in all)", "--model opus", "--effort high", "outputStyle", "MCP servers", "notes", "egress (pipelock from registry.example.com/pipelock:2)",
			"api: https://git.example.com/a.git, with the token " + bottles.TokenName("cmd:pass show git"),
			"may push refs/heads/agent/*, with the push options ci.skip, and rewrite or delete what is there; each push waits for you",
			"lib: git@git.example.com:lib.git, with the key " + bottles.TokenName("file:/keys/lib")},
		"json": {`"image": "registry.example.com/pipelock:2"`, `"prompt": "Write.\nAnd test."`, `"claude_code": true`, `"model": "opus"`, `"profile_manifest": "` + path + `"`,
			`"token_ref": "` + bottles.TokenName("cmd:pass show git"), `"identity_file": "` + bottles.TokenName("file:/keys/lib"), `"allow_force": true`},
	} {
		p.out.Reset()
		if code := p.run(t.Context(), []string{"info", "coder", "--manifest", path, "--format", format}); code != 0 {
			t.Fatalf("%s: %d, %s", format, code, &p.err)
		}
		for _, want := range wants {
			if !strings.Contains(p.out.String(), want) {
				t.Errorf("it lacks %s:\n%s", want, &p.out)
			}
		}
		for _, hidden := range []string{"pass show", "/keys/"} {
			if strings.Contains(p.out.String(), hidden) {
				t.Errorf("it tells %s:\n%s", hidden, &p.out)
			}
		}
	}
	p.out.Reset()
	if code := p.run(t.Context(), []string{"info", "shell", "--manifest", path}); code != 0 || !strings.Contains(p.out.String(), `/bin/sh "a b", in the place of Claude Code`) {
		t.Errorf("%d: %s%s", code, &p.out, &p.err)
	}
}

// Another manifest than the one in the home directory can be used there, too.
func TestManifestInTheHomeDirectory(t *testing.T) {
	p := newProgram(t)
	home, _ := os.UserHomeDir()
	write(t, filepath.Join(home, manifest.Name), `{"bottles": {"dev": {}}, "agents": {"coder": {"bottle": "dev"}}}`)
	path := filepath.Join(t.TempDir(), "named.json")
	write(t, path, `{"bottles": {"web": {}}, "agents": {"coder": {"bottle": "web"}}}`)
	t.Chdir(home)
	if code := p.run(t.Context(), []string{"info", "coder", "--manifest", path}); code != 0 || !strings.Contains(p.out.String(), "web, of "+path) || p.err.Len() > 0 {
		t.Errorf("it ended with %d: %s%s", code, &p.out, &p.err)
	}
}

// What somebody's repository brings does not keep the operator from agents of their own.
func TestBrokenManifestOfAProject(t *testing.T) {
	p := newProgram(t)
	home, _ := os.UserHomeDir()
	write(t, filepath.Join(home, manifest.Name), `{"bottles": {"dev": {}}, "agents": {"coder": {"bottle": "dev"}}}`)
	dir := t.TempDir()
	write(t, filepath.Join(dir, manifest.Name), `{"agents": {"tester": {"bottle": "dv"}}}`)
	t.Chdir(dir)
	fault := filepath.Join(dir, manifest.Name) + `:1:34: agents.tester.bottle: there is no profile "dv"; did you mean "dev"?`
	if code := p.run(t.Context(), []string{"info", "coder"}); code != 0 || !strings.Contains(p.out.String(), "dev, of "+filepath.Join(home, manifest.Name)) || !strings.Contains(p.err.String(), fault) {
		t.Errorf("it ended with %d: %s%s", code, &p.out, &p.err)
	}
	p.err.Reset()
	if code := p.run(t.Context(), []string{"info", "tester"}); code != 1 || !strings.Contains(p.err.String(), fault) || strings.Contains(p.err.String(), "Nor is it a bottle") {
		t.Errorf("it ended with %d: %s", code, &p.err)
	}
}

// A command that is suggested does the same in another directory.
func TestFlagsToRepeat(t *testing.T) {
	p := newProgram(t)
	here, _ := os.Getwd()
	p.home, p.manifest = "roots/one", "./my manifest.json"
	if want := " --home " + here + "/roots/one --manifest '" + here + "/my manifest.json'"; p.flags() != want {
		t.Errorf("it is %s, not %s", p.flags(), want)
	}
}

// What only looks leaves nothing in a root, whatever is there.
func TestLookingMakesNothing(t *testing.T) {
	p := newProgram(t)
	home, _ := os.UserHomeDir()
	write(t, filepath.Join(home, manifest.Name), `{"bottles": {"dev": {}}, "agents": {"coder": {"bottle": "dev"}}}`)
	if err := os.MkdirAll(filepath.Join(p.home, "queue"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"list"}, {"info", "coder"}, {"start", "coder", "--dry-run"}, {"audit", "verify"}, {"log", "coder-00000"}} {
		p.run(t.Context(), append(args, "--home", p.home)) // the engine may answer, or not
		entries, err := os.ReadDir(p.home)
		if err != nil || len(entries) != 1 || entries[0].Name() != "queue" {
			t.Errorf("%q leaves %v, %v", args, entries, err)
		}
	}
	// What needs what is there makes no root either, also where one is to be mounted.
	p.home = filepath.Join(t.TempDir(), "root")
	for _, there := range []bool{false, true} {
		if there {
			if err := os.Mkdir(p.home, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for _, args := range [][]string{{"cleanup"}, {"cleanup", "--images"}, {"resume", "coder-00000"}} {
			p.run(t.Context(), append(args, "--home", p.home))
			entries, err := os.ReadDir(p.home)
			if len(entries) > 0 || errors.Is(err, os.ErrNotExist) == there {
				t.Errorf("there %v: %q leaves %v, %v", there, args, entries, err)
			}
		}
	}
}

// A current directory that was deleted has no manifest to add, and is in nobody's way; one that was named is missed.
func TestACurrentDirectoryThatIsGoneHasNoProject(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if got, err := project(""); got != dir || err != nil {
		t.Errorf("while it is there: %q, %v", got, err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := project(""); got != "" || err != nil {
		t.Errorf("once it is gone: %q, %v", got, err)
	}
	if got, err := project("sub"); err == nil {
		t.Errorf("a directory in it is taken for %q", got)
	}
}

// Paths that could not be written down are refused with what to do, before anything is made; a current directory that
// is one has no project.
func TestPathsThatAreNotUTF8(t *testing.T) {
	p := newProgram(t)
	odd := filepath.Join(t.TempDir(), "caf\xe9")
	if err := os.Mkdir(odd, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(odd, manifest.Name), `{"bottles": {"dev": {}}, "agents": {"coder": {"bottle": "dev"}}}`)
	refused := func(env string, args ...string) {
		t.Helper()
		t.Setenv("HOME", env)
		p.err.Reset()
		if code := p.run(t.Context(), args); code != 1 || !strings.Contains(p.err.String(), "is not UTF-8") || !utf8.ValidString(p.err.String()) || !strings.Contains(p.err.String(), "name another") && !strings.Contains(p.err.String(), "rename it") {
			t.Errorf("HOME=%q, %q ended with %d: %s", env, args, code, &p.err)
		}
	}
	home := os.Getenv("HOME")
	refused(odd, "start", "coder", "--dry-run")
	refused(home, "start", "coder", "--dry-run", "--manifest", filepath.Join(odd, manifest.Name))
	refused(home, "start", "coder", "--dry-run", "--cwd", odd)
	if _, err := os.Stat(p.home); !os.IsNotExist(err) {
		t.Errorf("the state root: %v", err)
	}
	t.Chdir(odd)
	if dir, err := project(""); dir != "" || err != nil {
		t.Errorf("the project is %q, %v", dir, err)
	}
}

// version, the plan and info name the engine, and that the docker command uses another one.
func TestTheEngineIsNamed(t *testing.T) {
	p := newProgram(t)
	home, _ := os.UserHomeDir()
	write(t, filepath.Join(home, manifest.Name), `{"bottles": {"dev": {}}, "agents": {"coder": {"bottle": "dev"}}}`)
	config := t.TempDir()
	write(t, filepath.Join(config, "config.json"), `{"currentContext": "gone"}`)
	t.Setenv("DOCKER_CONFIG", config)
	root, err := state.Open(p.home)
	if err != nil {
		t.Fatal(err)
	}
	b, err := root.Create(state.Metadata{AgentName: "coder"})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{"": `names the context "gone"`, "unix:///nowhere.sock": "unix:///nowhere.sock, DOCKER_HOST"} {
		t.Setenv("DOCKER_HOST", host)
		p.out.Reset()
		if code := p.run(t.Context(), []string{"version"}); code != 0 || !strings.HasPrefix(p.out.String(), "bottle-tui ") || !strings.Contains(p.out.String(), want) {
			t.Errorf("DOCKER_HOST=%q: version ended with %d: %s", host, code, &p.out)
		}
		p.out.Reset()
		p.run(t.Context(), []string{"info", b.Identity(), "--home", root.Dir()}) // the engine may answer, or not
		if !strings.Contains(p.out.String(), want) {
			t.Errorf("DOCKER_HOST=%q: info says %s%s", host, &p.out, &p.err)
		}
		p.out.Reset()
		p.run(t.Context(), []string{"start", "coder", "--dry-run", "--format", "json"}) // the engine may answer, or not
		if planned := strings.Contains(p.out.String(), bottles.NoticeEngine); planned != (host == "") {
			t.Errorf("DOCKER_HOST=%q: the plan is %s", host, &p.out)
		}
	}
}
