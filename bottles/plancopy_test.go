package bottles

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bottle-tui/bottles/workspace"
)

// planted is a git repository with files that git tracks; ignored ones are made as large as given.
func planted(t *testing.T, files map[string]string, large map[string]int64) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, content string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		write(name, content)
	}
	for _, args := range [][]string{{"init", "-q", "."}, {"add", "."}} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	for name, size := range large {
		write(name, "")
		if err := os.Truncate(filepath.Join(dir, name), size); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The plan of a directory as most repositories have it: a .dockerignore that names the repository and the documents, and
// dependencies beside the code.
func TestThePlanSaysWhatOfADirectoryIsCopied(t *testing.T) {
	files := map[string]string{"a.go": ".", "README.md": ".", ".dockerignore": ".git\nnode_modules\n*.md\n", ".gitignore": "node_modules/\n"}
	large := map[string]int64{"node_modules/p/x": 300 << 20}
	dir := planted(t, files, large)
	plan := func(skip bool) *Preflight {
		var p Preflight
		planCopy(t.Context(), dir, workspace.Options{SkipIgnored: skip}, &p)
		if p.Copy == nil || len(p.Conflicts) != 0 {
			t.Fatalf("the plan is %+v", p)
		}
		return &p
	}
	ids := func(p *Preflight) string {
		var ids []string
		for _, n := range p.Notices {
			ids = append(ids, n.ID)
		}
		return strings.Join(ids, " ")
	}
	p := plan(false)
	if got := ids(p); got != NoticeDockerignore+" "+NoticeLargeIgnored+" "+NoticeNotAsItIs || p.Copy.Bytes < 300<<20 || p.Copy.Ignored != 0 {
		t.Errorf("notices %s of %+v", got, p.Copy)
	}
	if n := p.Notices[1]; !strings.Contains(n.What, `"node_modules" (300 MiB)`) || !strings.Contains(n.Fix, "--skip-ignored") {
		t.Errorf("of large directories it says %+v", n)
	}
	p = plan(true)
	if got := ids(p); got != NoticeDockerignore || p.Copy.Bytes > 1<<20 || p.Copy.GitIgnored != 1 || !p.Copy.SkipIgnored {
		t.Errorf("notices %s of %+v", got, p.Copy)
	}
	// What .bottleignore leaves out of the repository is named.
	if err := os.WriteFile(filepath.Join(dir, ".bottleignore"), []byte(".git\n*.md\nnode_modules\n.dockerignore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p = plan(false)
	if got := ids(p); got != strings.Join([]string{NoticeLeftGit, NoticeLeftTracked, NoticeDockerignore}, " ") {
		t.Errorf("notices %s", got)
	}
	if n := p.Notices[1]; !strings.Contains(n.What, `".dockerignore", "README.md"`) {
		t.Errorf("of tracked files it says %+v", n)
	}
}

// The state root lies beneath the directory: no other bottle's conversation gets into this one.
func TestTheStateRootIsNeverCopied(t *testing.T) {
	dir := planted(t, map[string]string{"a.go": "."}, map[string]int64{"bottles/state/x-1/transcript/t": 10})
	root := filepath.Join(dir, "bottles")
	o := workspace.Options{Never: []string{root}}
	var p Preflight
	planCopy(t.Context(), dir, o, &p)
	if p.Copy == nil || len(p.Notices) != 1 || p.Notices[0].ID != NoticeStateRoot || !strings.Contains(p.Notices[0].What, `"bottles"`) {
		t.Errorf("the plan is %+v, %v", p.Copy, p.Notices)
	}
	for _, in := range []string{root, filepath.Join(root, "state")} {
		p = Preflight{}
		if planCopy(t.Context(), in, o, &p); p.Copy != nil || len(p.Conflicts) != 1 || !strings.Contains(p.Conflicts[0].What, "in the state root "+root) {
			t.Errorf("of %s the plan is %+v, %v", in, p.Copy, p.Conflicts)
		}
	}
}

func TestWhoDecidesAboutWhatGitIgnores(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		launch  *bool
		profile bool
		want    bool
	}{{nil, false, false}, {nil, true, true}, {&yes, false, true}, {&no, true, false}} {
		if got := (Launch{SkipIgnored: c.launch}).skipsIgnored(Profile{SkipIgnored: c.profile}); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if _, err := workspace.Scan(t.Context(), t.TempDir(), workspace.Options{SkipIgnored: true}); err != nil {
		t.Errorf("without a repository: %v", err)
	}
}
