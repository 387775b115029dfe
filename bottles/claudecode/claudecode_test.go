package claudecode_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/bottles/claudecode"
	"bottle-tui/bottles/dockerfile"
)

func TestCommandLine(t *testing.T) {
	const always = "claude --dangerously-skip-permissions --settings /etc/claude-bottle/settings.json"
	for _, c := range []struct {
		o    claudecode.Options
		want string
	}{
		{claudecode.Options{}, always},
		{claudecode.Options{Supervise: true}, always + " --mcp-config /etc/claude-bottle/mcp.json"},
		{claudecode.Options{Prompt: "be brief", Args: []string{"--model", "opus"}}, always + " --append-system-prompt-file /etc/claude-bottle/prompt.md --model opus"},
		{claudecode.Options{Prompt: "be brief", Supervise: true, Command: []string{"my-agent", "-x"}, Args: []string{"-y"}}, "my-agent -x -y"},
	} {
		p := claudecode.Program(c.o)
		if got := strings.Join(p.Command, " "); got != c.want {
			t.Errorf("%+v:\n%s\nwant\n%s", c.o, got, c.want)
		}
		if p.UID != 1000 || p.GID != 1000 || p.Home != "/home/agent/.claude" || p.Grace == 0 {
			t.Errorf("it is %+v", p)
		}
	}
}

func TestFiles(t *testing.T) {
	paths := func(o claudecode.Options) (all []string) {
		files, err := claudecode.Files(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			all = append(all, fmt.Sprintf("%s %d %v", f.Path, f.UID, f.Mode))
			if strings.HasSuffix(f.Path, ".json") && !json.Valid(f.Content) {
				t.Errorf("%s is not JSON: %s", f.Path, f.Content)
			}
		}
		return all
	}
	few := []string{"/etc/claude-bottle/settings.json 0 -rw-r--r--", "/home/agent/.claude.json 1000 -rw-------"}
	if got := paths(claudecode.Options{}); !slices.Equal(got, few) {
		t.Errorf("%q", got)
	}
	more := append(few, "/etc/claude-bottle/prompt.md 0 -rw-r--r--", "/etc/claude-bottle/mcp.json 0 -rw-r--r--")
	if got := paths(claudecode.Options{Prompt: "p", Supervise: true}); !slices.Equal(got, more) {
		t.Errorf("%q", got)
	}
	files, err := claudecode.Files(claudecode.Options{Supervise: true})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
  "mcpServers": {
    "supervise": {
      "type": "http",
      "url": "http://supervise:9100/mcp",
      "timeout": 86400000,
      "alwaysLoad": true
    }
  }
}
`
	if got := string(files[len(files)-1].Content); got != want {
		t.Errorf("supervise is registered as %s", got)
	}
}

func TestDockerfile(t *testing.T) {
	own := claudecode.Dockerfile("")
	if !strings.HasPrefix(string(own), "FROM "+claudecode.DefaultBase+"\n") || !strings.Contains(string(own), "@anthropic-ai/claude-code@"+claudecode.Version+" ") {
		t.Errorf("it lacks the base or the version:\n%s", own)
	}
	digest := "node@sha256:" + strings.Repeat("0a", 32)
	pinned := claudecode.Dockerfile(digest)
	if !strings.HasPrefix(string(pinned), "FROM "+digest+"\n") || strings.Contains(string(pinned), claudecode.DefaultBase) {
		t.Errorf("pinned it is\n%s", pinned)
	}
	for _, f := range dockerfile.Check(nil, pinned) {
		if f.Severity == dockerfile.Error || f.Severity == dockerfile.Danger {
			t.Errorf("line %d: %s: %s", f.Line, f.Rule, f.Text)
		}
	}
	for _, ok := range []string{"node", "node:22-bookworm-slim", digest, "node:22@sha256:" + strings.Repeat("0a", 32), "images.example.com:5000/team/node:22"} {
		if err := claudecode.CheckBase(ok); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "node 22", "node\nRUN true", "--platform=x node", "node@sha256:12", "node:22 AS x", "$BASE", strings.Repeat("n", 513)} {
		if err := claudecode.CheckBase(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// skill makes a directory of a skill, and what else stands in files: path → content, "→" + target for a link.
func skill(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	for p, content := range files {
		p = filepath.Join(dir, p)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, link := strings.CutPrefix(content, "→"); link {
			err = os.Symlink(target, p)
		} else {
			mode := fs.FileMode(0o600)
			if strings.HasSuffix(p, ".sh") {
				mode = 0o700
			}
			err = os.WriteFile(p, []byte(content), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSkills(t *testing.T) {
	a := skill(t, "notes", map[string]string{"SKILL.md": "how to", "bin/run.sh": "#!/bin/sh"})
	b := skill(t, "other", map[string]string{"SKILL.md": "else"})
	files, err := claudecode.Files(claudecode.Options{Skills: []string{a + "/", b}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		if strings.HasPrefix(f.Path, claudecode.SkillsDir) {
			got = append(got, fmt.Sprintf("%s %d:%d %v %s", f.Path, f.UID, f.GID, f.Mode, f.Content))
		}
	}
	want := []string{
		"/home/agent/.claude/skills/notes/SKILL.md 1000:1000 -rw-r--r-- how to",
		"/home/agent/.claude/skills/notes/bin/run.sh 1000:1000 -rwxr-xr-x #!/bin/sh",
		"/home/agent/.claude/skills/other/SKILL.md 1000:1000 -rw-r--r-- else",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}

	many := map[string]string{"SKILL.md": ""}
	for i := range claudecode.MaxSkillFiles {
		many[fmt.Sprint("f", i)] = ""
	}
	half := map[string]string{"SKILL.md": strings.Repeat("x", claudecode.MaxSkillBytes/2+1)}
	for _, c := range []struct {
		dirs []string
		want string
	}{
		{[]string{filepath.Join(t.TempDir(), "nowhere")}, "no such file"},
		{[]string{skill(t, "empty", map[string]string{"README": ""})}, "there is no SKILL.md"},
		{[]string{skill(t, "linked", map[string]string{"SKILL.md": "→/etc/passwd"})}, "SKILL.md is not a file"},
		{[]string{skill(t, "inside", map[string]string{"SKILL.md": "", "d/x": "→/etc/passwd"})}, "d/x is a link"},
		{[]string{skill(t, "dirlink", map[string]string{"SKILL.md": "", "d": "→/etc"})}, "d is a link"},
		{[]string{skill(t, "a b", map[string]string{"SKILL.md": ""})}, `"a b" can't be the name of a skill`},
		{[]string{skill(t, ".hidden", map[string]string{"SKILL.md": ""})}, `".hidden" can't be the name`},
		{[]string{a, skill(t, "notes", map[string]string{"SKILL.md": ""})}, "is called notes, too"},
		{[]string{skill(t, "many", many)}, "more than 500 files"},
		{[]string{skill(t, "one", half), skill(t, "two", half)}, "more than 8 MiB"},
	} {
		_, err := claudecode.Files(claudecode.Options{Skills: c.dirs})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.dirs[len(c.dirs)-1]) {
			t.Errorf("%s: %v; want %q and the directory", c.dirs, err, c.want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	for _, e := range claudecode.Env() {
		if name, _, ok := strings.Cut(e, "="); !ok || strings.Contains(name, "TOKEN") || strings.Contains(name, "KEY") || strings.Contains(e, bottles.Placeholder) {
			t.Errorf("%q", e)
		}
	}
}
