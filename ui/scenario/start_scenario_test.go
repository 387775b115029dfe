package scenario_test

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bottle-tui/bottles"
)

const startToken = "tok-start-5e0f1c"

// declares writes a manifest whose agent "coder" is the demo's quiet one, in a profile with a way out and a route, and
// gives its path.
func (s *stage) declares() string {
	s.t.Helper()
	binary, err := os.Open(s.binary)
	s.must(err)
	defer binary.Close()
	images, err := sharedImages(binary)
	s.must(err)
	dir := s.t.TempDir()
	s.writes(filepath.Join(dir, "Dockerfile"), "FROM "+images[0].ref+"\nENTRYPOINT []\nUSER 1000:1000\n")
	path := filepath.Join(dir, "claude-bottle.json")
	s.writes(path, `{
  "bottles": {"dev": {
    "supervise": true,
    "egress": {"allow": ["api.example.com"]},
    "cred_proxy": {"routes": [{"path": "/api/", "upstream": "https://api.example.com", "auth_scheme": "bearer", "token_ref": "START_TOKEN"}]},
    "env": {"BOTTLE_DEMO_ROLE": "quiet"},
    "image": {"dockerfile": "./Dockerfile"},
    "build_network": "none"
  }},
  "agents": {
    "coder": {"bottle": "dev", "command": ["/bin/bottle-tui", "demo-agent"], "session": "claude-code"},
    "strict": {"bottle": "dev", "command": ["/bin/bottle-tui", "list", "--no-such-flag"]}
  }
}
`)
	return path
}

func (s *stage) writes(path, content string) {
	s.t.Helper()
	s.must(os.MkdirAll(filepath.Dir(path), 0o755))
	s.must(os.WriteFile(path, []byte(content), 0o644))
}

// project is a directory to start a bottle on.
func (s *stage) project() string {
	s.t.Helper()
	dir := s.t.TempDir()
	s.writes(filepath.Join(dir, "src", "main.go"), "package main\n")
	s.writes(filepath.Join(dir, "build", "large"), "left out")
	s.writes(filepath.Join(dir, ".bottleignore"), "build\n")
	return dir
}

// print is a fingerprint of every file of the state root.
func (s *stage) print() string {
	s.t.Helper()
	h := sha256.New()
	s.must(filepath.WalkDir(s.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(h, path, info.Mode(), info.ModTime().UnixNano(), info.Size())
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			h.Write(content)
		}
		return nil
	}))
	return fmt.Sprintf("%x", h.Sum(nil))
}

// inWorkspace is the content of a file of a bottle's workspace, and its owner.
func (s *stage) inWorkspace(identity, path string) (content string, uid int) {
	s.t.Helper()
	out, err := s.engine.CopyOut(s.t.Context(), "claude-bottle-"+identity, bottles.Workspace+"/"+path)
	s.must(err)
	defer out.Close()
	r := tar.NewReader(out)
	h, err := r.Next()
	s.must(err)
	text, err := io.ReadAll(r)
	s.must(err)
	return string(text), h.Uid
}

// A dry run shows the plan and leaves no trace, also while another program runs on the same state root.
func TestDryRun(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	manifest, dir := s.declares(), s.project()
	other := s.opens()
	other.sees("bottle-tui demo")
	before := s.print()
	args := []string{"start", "coder", "--dry-run", "--cwd", dir, "--manifest", manifest, "--home", s.home}

	got := s.runs(args...)
	if got.code != 1 || !strings.Contains(got.out, "conflict") || !strings.Contains(got.out, "START_TOKEN") || !strings.Contains(got.err, "nothing was created") {
		t.Errorf("without the token it ended with %d: %s%s", got.code, got.out, got.err)
	}
	got = s.runs(append(args, "--format", "json")...)
	var plan bottles.Preflight
	if err := json.Unmarshal([]byte(got.out), &plan); err != nil || got.code != 1 || len(plan.Conflicts) != 1 {
		t.Errorf("without the token it ended with %d, %v: %s%s", got.code, err, got.out, got.err)
	}

	s.env = append(s.env, "START_TOKEN="+startToken)
	got = s.runs(args...)
	for _, want := range []string{`coder-[a-z0-9]{5}, a new bottle`, `2 files, 19 bytes, copied into the workspace; \.bottleignore\s+leaves 1 out`, `api\.example\.com`, `slot 0: START_TOKEN as bearer`} {
		if got.code != 0 || !regexp.MustCompile(want).MatchString(got.out) {
			t.Errorf("it ended with %d and lacks %s: %s%s", got.code, want, got.out, got.err)
		}
	}
	got = s.runs(append(args, "--format", "json")...)
	d := json.NewDecoder(strings.NewReader(got.out))
	plan = bottles.Preflight{}
	if err := d.Decode(&plan); err != nil || d.More() || got.code != 0 || got.err != "" {
		t.Fatalf("it ended with %d, %v: %s%s", got.code, err, got.out, got.err)
	}
	if plan.Agent != "coder" || plan.CWD != dir || plan.Copy == nil || *plan.Copy != (bottles.PlannedCopy{Files: 2, Bytes: 19, Ignored: 1}) || !plan.Supervise || !plan.Image.Build {
		t.Errorf("the plan is %+v", plan)
	}
	if strings.Contains(got.out, startToken) {
		t.Error("the plan has the token")
	}
	if s.print() != before {
		t.Error("the state root is not what it was")
	}
	have, err := s.engine.Observe(t.Context(), s.root.ID())
	images, imagesErr := s.engine.Images(t.Context(), s.root.ID())
	if err != nil || imagesErr != nil || len(have.Containers)+len(have.Networks)+len(have.Volumes)+len(images) > 0 {
		t.Errorf("on the engine there is %+v, %v (%v, %v)", have, images, err, imagesErr)
	}
	other.quits()
}

// An operator starts a bottle by a plain command, looks at it, and brings it back.
func TestStart(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	manifest, dir := s.declares(), s.project()
	flags := []string{"--manifest", manifest, "--home", s.home}
	start := append([]string{"start", "coder", "--cwd", dir, "--task", "Say hello."}, flags...)

	got := s.runs(append(start, "--yes")...)
	if got.code != 1 || !strings.Contains(got.out, "START_TOKEN") || len(s.identities("coder")) > 0 {
		t.Errorf("without the token it ended with %d: %s%s", got.code, got.out, got.err)
	}
	s.env = append(s.env, "START_TOKEN="+startToken)
	got = s.runs(start...)
	if got.code != 1 || !strings.Contains(got.err, "give --yes") || !strings.Contains(got.out, "slot 0") || len(s.identities("coder")) > 0 {
		t.Errorf("without a terminal it ended with %d: %s%s", got.code, got.out, got.err)
	}
	op := s.opens(append(start[:len(start):len(start)], "--manifest", manifest)...)
	op.sees("Start this bottle? [y/N]")
	op.Type("n\n")
	op.sees("you said no; nothing was created")
	if code := op.ExitCode(patience); code != 1 || len(s.identities("coder")) > 0 {
		t.Errorf("after a no it ended with %d, and there are %v", code, s.identities("coder"))
	}

	got = s.runs(append(start, "--yes")...)
	ids := s.identities("coder")
	if got.code != 0 || len(ids) != 1 {
		t.Fatalf("it ended with %d, and there are %v: %s%s", got.code, ids, got.out, got.err)
	}
	coder := ids[0]
	if !strings.HasSuffix(got.out, "\n"+s.binary+" resume "+coder+" --home "+s.home+" --manifest "+manifest+"\n") || !strings.Contains(got.out, coder+" is live. See it: "+s.binary) {
		t.Errorf("it says %s", got.out)
	}
	if strings.Contains(got.out+got.err, startToken) {
		t.Error("it printed the token")
	}
	if content, uid := s.inWorkspace(coder, "src/main.go"); content != "package main\n" || uid != 1000 {
		t.Errorf("the workspace has %q of %d", content, uid)
	}
	if _, err := s.engine.CopyOut(t.Context(), "claude-bottle-"+coder, bottles.Workspace+"/build"); err == nil {
		t.Error("what .bottleignore leaves out is in the workspace")
	}

	var facts map[string]any
	if err := json.Unmarshal([]byte(s.says("info", coder, "--format", "json")), &facts); err != nil || facts["status"] != "live" || facts["cwd"] != dir || facts["profile"] != "dev" ||
		fmt.Sprint(facts["allowlist"]) != "[api.example.com]" || fmt.Sprint(facts["grants"], facts["requests"]) != "[] []" || !strings.HasPrefix(facts["dockerfile"].(string), "FROM ") {
		t.Errorf("info says %v (%v)", facts, err)
	}
	if said := s.says("info", coder); !regexp.MustCompile(`(?m)^egress +api\.example\.com$`).MatchString(said) || !strings.Contains(said, "START_TOKEN as bearer") {
		t.Errorf("info says %s", said)
	}
	if said := s.says("info", "coder", "--manifest", manifest); !strings.Contains(said, "START_TOKEN as bearer") || !strings.Contains(said, "/bin/bottle-tui demo-agent") {
		t.Errorf("info says %s", said)
	}
	got = s.runs(append([]string{"resume", coder, "--dry-run"}, flags...)...)
	if got.code != 1 || !strings.Contains(got.err, coder+" is live already") {
		t.Errorf("resume of a live bottle ended with %d: %s%s", got.code, got.out, got.err)
	}

	op = s.opens("--manifest", manifest)
	op.sees(" 1 live")
	op.tearsDown(coder)
	op.quits()
	s.env = nil
	got = s.runs(append([]string{"resume", coder}, flags...)...)
	if got.code != 1 || !strings.Contains(got.err, "START_TOKEN") || len(s.onEngine(coder).containers) > 0 {
		t.Errorf("resume without the token ended with %d: %s%s", got.code, got.out, got.err)
	}
	s.env = append(s.env, "START_TOKEN="+startToken)
	got = s.runs(append([]string{"resume", coder, "--dry-run", "--format", "json"}, flags...)...)
	var plan bottles.Preflight
	if err := json.Unmarshal([]byte(got.out), &plan); err != nil || got.code != 0 || !plan.Resume || plan.Identity != coder || plan.Copy != nil || len(s.onEngine(coder).containers) > 0 {
		t.Errorf("resume --dry-run ended with %d: %s%s", got.code, got.out, got.err)
	}
	got = s.runs(append([]string{"resume", coder}, flags...)...)
	if got.code != 0 || s.facts(coder).agent() == "" {
		t.Errorf("resume ended with %d: %s%s", got.code, got.out, got.err)
	}
	if content, _ := s.inWorkspace(coder, "src/main.go"); content != "package main\n" {
		t.Errorf("the workspace has %q", content)
	}

	// Of an agent that does not take its arguments nobody is told that it is live.
	got = s.runs(append([]string{"start", "strict", "--yes"}, flags...)...)
	if got.code != 1 || strings.Contains(got.out, "is live") || !strings.Contains(got.err, "exit code 2") || !strings.Contains(got.err, "unknown flag: --no-such-flag") {
		t.Errorf("start of one that ends at once ended with %d: %s%s", got.code, got.out, got.err)
	}
	if left := s.onEngine(s.identities("strict")[0]); len(left.containers) > 1 {
		t.Errorf("of one that ended there are %v", left.containers)
	}
}

// ctrl+c in the middle of a start takes back what was made, and says so.
func TestStartIsCancelled(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	manifest, dir := s.declares(), s.project()
	large := filepath.Join(dir, "large")
	s.writes(large, "")
	s.must(os.Truncate(large, 4<<30)) // it takes no room here, and some time to copy
	s.env = append(s.env, "START_TOKEN="+startToken)
	op := s.opens("start", "coder", "--yes", "--cwd", dir, "--manifest", manifest)
	op.sees(regexp.MustCompile(`copy \d of 3 files`))
	op.Press("ctrl+c")
	op.sees("cancelling, and taking down what was made")
	op.sees("cancelled, nothing of it is left")
	if code := op.ExitCode(patience); code != 1 {
		t.Errorf("it ended with %d", code)
	}
	left, err := s.engine.Observe(t.Context(), s.root.ID())
	if err != nil || len(left.Containers)+len(left.Networks)+len(left.Volumes) > 0 {
		t.Errorf("left on the engine: %+v, %v", left, err)
	}
	if said := s.says("list"); strings.Contains(said, "coder-") {
		t.Errorf("list says %s", said)
	}
}
