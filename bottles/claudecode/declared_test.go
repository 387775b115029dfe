package claudecode_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"bottle-tui/bottles/claudecode"
)

func TestArgumentsThatClash(t *testing.T) {
	for _, c := range []struct {
		args          []string
		model, prompt bool
		want          map[int]string // the beginning and the key or the end of why
	}{
		{args: nil},
		{args: []string{"--model", "opus", "--verbose", "--allowedTools", "Bash", "Read", "-d", "mcp", "--append-system-prompt", "x", "--strict-mcp-config", "-n", "crest"}},
		{args: []string{"--settings", "x.json"}, want: map[int]string{0: `--settings: …"settings"`}},
		{args: []string{`--settings={"a": "=1"}`}, want: map[int]string{0: `--settings: …"settings"`}},
		{args: []string{"--allowedTools", "Bash", "--mcp-config", "a.json", "b.json", "--session-id=1"}, want: map[int]string{2: `--mcp-config: …"mcp_servers"`, 5: "--session-id: …take it out"}},
		{args: []string{"-c", "-r", "-rabc", "-pc", "-vr=1", "-dc", "-nrc", "-p", "-"}, want: map[int]string{0: "-c (--continue): …", 1: "-r (--resume): …", 2: "-r (--resume): …", 3: "-c (--continue): …", 4: "-r (--resume): …"}},
		{args: []string{"--resume", "--continue", "--fork-session", "--dangerously-skip-permissions", "--permission-mode=plan", "--permission-mode", "plan", "--bare"},
			want: map[int]string{0: "--resume: …", 1: "--continue: …", 2: "--fork-session: …", 3: "--dangerously-skip-permissions: bottle-tui passes it…", 4: "--permission-mode: …", 5: "--permission-mode: …", 7: "--bare: …"}},
		{args: []string{"--verbose", "--", "Mend the tests."}, want: map[int]string{1: "--: …--task"}},
		{args: []string{"Mend the tests."}, want: map[int]string{0: `"Mend the tests.": …--task`}},
		{args: []string{"--model=opus", "--append-system-prompt-file", "x"}, model: true, prompt: true, want: map[int]string{0: `--model: …"model"; keep one of them`, 1: `--append-system-prompt-file: …"prompt" with it; keep one of them`}},
	} {
		got := claudecode.RefusedArgs(c.args, c.model, c.prompt)
		if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(c.want))) {
			t.Errorf("of %q are refused %v", c.args, got)
			continue
		}
		for i, want := range c.want {
			begin, end, _ := strings.Cut(want, "…")
			if !strings.HasPrefix(got[i], begin) || !strings.Contains(got[i], end) {
				t.Errorf("of %q, %q is refused with %q", c.args, c.args[i], got[i])
			}
		}
	}
}

// Every flag that Program passes is refused among the arguments.
func TestWhatIsPassedIsRefused(t *testing.T) {
	p := claudecode.Program(claudecode.Options{Model: "opus", Prompt: "p", Supervise: true})
	for _, arg := range append(p.Command[1:], "--session-id", "--resume", "--") {
		if strings.HasPrefix(arg, "--") && len(claudecode.RefusedArgs([]string{arg}, true, true)) == 0 {
			t.Errorf("%s is passed, and taken as an argument", arg)
		}
	}
}

// object is JSON as a manifest reads it.
func object(t *testing.T, text string) (o map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestSettingsAreMerged(t *testing.T) {
	content := func(o claudecode.Options, path string) string {
		files, err := claudecode.Files(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if f.Path == path {
				return string(f.Content)
			}
		}
		return ""
	}
	plain := object(t, content(claudecode.Options{}, claudecode.SettingsFile))
	declared := object(t, `{"outputStyle": "terse", "permissions": {"deny": ["WebFetch"]}, "hooks": {
		"Stop": [{"hooks": [{"type": "command", "command": "true"}]}],
		"SessionStart": [{"matcher": "startup", "hooks": [{"type": "command", "command": "echo theirs"}]}]}}`)
	if refused := claudecode.RefusedSettings(declared); len(refused) > 0 {
		t.Fatalf("refused: %v", refused)
	}
	was, _ := json.Marshal(declared)
	merged := object(t, content(claudecode.Options{Settings: declared}, claudecode.SettingsFile))
	if is, _ := json.Marshal(declared); string(is) != string(was) {
		t.Errorf("what was declared became %s", is)
	}
	start := merged["hooks"].(map[string]any)["SessionStart"].([]any)
	own, _ := json.Marshal(plain["hooks"].(map[string]any)["SessionStart"].([]any)[0])
	if first, _ := json.Marshal(start[0]); len(start) != 2 || string(first) != string(own) {
		t.Errorf("the hooks of a session's start are %v", start)
	}
	if merged["hooks"].(map[string]any)["Stop"] == nil || merged["outputStyle"] != "terse" || merged["permissions"] == nil {
		t.Errorf("what was declared is lost: %v", merged)
	}
	for key, value := range plain {
		if merged[key] == nil || key != "hooks" && merged[key] != value {
			t.Errorf("%s is %v", key, merged[key])
		}
		if key != "hooks" && len(claudecode.RefusedSettings(map[string]any{key: value})) == 0 {
			t.Errorf("%s is bottle-tui's own, and can be declared", key)
		}
	}
	for _, bad := range []string{`{"hooks": null}`, `{"hooks": []}`, `{"hooks": {"SessionStart": {}}}`, `{"disableAllHooks": true}`, `{"permissions": {"defaultMode": "plan"}}`, `{"permissions": {"disableBypassPermissionsMode": "disable"}}`, `{"model": "opus"}`, `{"env": {}}`} {
		if len(claudecode.RefusedSettings(object(t, bad))) != 1 {
			t.Errorf("%s is taken", bad)
		}
	}

	servers := map[string]map[string]any{"notes": object(t, `{"command": "notes-mcp", "args": ["-x"]}`)}
	with := object(t, content(claudecode.Options{Supervise: true, MCPServers: servers}, claudecode.MCPFile))["mcpServers"].(map[string]any)
	if len(with) != 2 || with["supervise"] == nil || with["notes"].(map[string]any)["command"] != "notes-mcp" {
		t.Errorf("the servers are %v", with)
	}
	alone := claudecode.Options{MCPServers: servers}
	if got := content(alone, claudecode.MCPFile); !strings.Contains(got, "notes-mcp") || strings.Contains(got, "supervise") ||
		!slices.Contains(claudecode.Program(alone).Command, "--mcp-config") {
		t.Errorf("without supervise they are %s", got)
	}
	for _, name := range []string{"supervise", "Supervise", "", "a b", "a.b", strings.Repeat("a", 65)} {
		if claudecode.CheckServerName(name) == nil {
			t.Errorf("a server may be called %q", name)
		}
	}
	for text, ok := range map[string]bool{
		`{"command": "x"}`: true, `{"type": "stdio", "command": "x"}`: true, `{"type": "http", "url": "https://a.example.com"}`: true, `{"type": "sse", "url": "https://a.example.com", "headers": {}}`: true,
		`{}`: false, `{"command": ""}`: false, `{"command": 1}`: false, `{"url": "https://a.example.com"}`: false, `{"type": "http"}`: false, `{"type": "htpp", "url": "x"}`: false, `{"type": 1, "command": "x"}`: false,
	} {
		if err := claudecode.CheckServer(object(t, text)); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
