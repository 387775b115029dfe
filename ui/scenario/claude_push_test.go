package scenario_test

import (
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bottle-tui/ui/scenario/messages"
)

const forgeToken = "tok-forge-b61d07"

// forge is a git server that knows one user by a password, with one repository; git's own program serves it.
func forge(t *testing.T) (url, ca, dir string) {
	t.Helper()
	root := t.TempDir()
	dir = filepath.Join(root, "team", "tally.git")
	gitIn(t, root, "init", "-q", "--bare", "-b", "main", dir)
	work := t.TempDir()
	gitIn(t, work, "init", "-q", "-b", "main")
	if err := os.WriteFile(filepath.Join(work, "notes.txt"), []byte("one note\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	gitIn(t, work, "add", ".")
	gitIn(t, work, "commit", "-q", "-m", "Begin")
	gitIn(t, work, "push", "-q", dir, "main")
	backend := &cgi.Handler{Path: filepath.Join(strings.TrimSpace(gitIn(t, root, "--exec-path")), "git-http-backend"),
		Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=agent"}}
	url, ca = overTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != forgeToken {
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	return url + "/team/tally.git", ca, dir
}

func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Claude Code pushes with git to a remote whose pushes wait for the operator, who reads what would be pushed. What is
// approved arrives; of what is denied the agent reads the reason in git's own words.
func TestClaudeAsksForAPush(t *testing.T) {
	t.Parallel()
	url, ca, dir := forge(t)
	roots := filepath.Join(t.TempDir(), "forge.pem")
	if err := os.WriteFile(roots, []byte(ca), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newClaude(t, roots)
	c.env = append(c.env, "FORGE_TOKEN="+forgeToken)
	manifest, err := os.ReadFile(c.manifest)
	c.must(err)
	c.writes(c.manifest, strings.Replace(string(manifest), `"image":`, `"git": [{"name": "tally", "upstream": "`+url+`", "token_ref": "FORGE_TOKEN",
      "allow_refs": ["refs/heads/agent/*"], "approve": true}],
    "image":`, 1))
	const push = "git add . && git -c user.name=coder -c user.email=coder@example.com commit -q -m "
	c.api.When(messages.Result("first ended with 0")).Says("The count is pushed.")
	c.api.When(messages.Result("second ended with 1")).Says("I keep the notes.")
	c.api.When(says("Push a count")).Runs("cd /workspace && git clone -q " + url + " tally && cd tally && git checkout -q -b agent/count && echo 'three notes' > count.txt && " +
		push + "'Count the notes'; git push origin agent/count 2>&1; echo first ended with $?")
	c.api.When(says("Push without notes")).Runs("cd /workspace/tally && git rm -q notes.txt && " + push + "'Drop the notes'; git push origin agent/count 2>&1; echo second ended with $?")
	tip := func() string {
		out, err := exec.Command("git", "-C", dir, "log", "-1", "--format=%s", "agent/count").Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}

	op := c.opens()
	id := c.launches(op, "", "Push a count.")
	op.sees(" 1 waits for you")
	op.WaitBell(patience)
	op.Wait("to say it in the title", patience, func(string) bool { return op.Title() == "⚑ 1 bottle-tui" })
	if said := c.says("info", id); !strings.Contains(said, "git-push") || !strings.Contains(said, "Count the notes") {
		t.Errorf("info tells of no push:\n%s", said)
	}
	op.reads(id, "a push")
	for _, want := range []string{
		"To the remote tally", "makes the branch agent/count at", "git-gate scanned all of it for secrets, and its rules found none.", "1 commit  by coder <coder@example.com>", "Count the notes",
		"added    +1  count.txt", "+ three notes", "Lets this push go on",
	} {
		op.sees(want)
	}
	op.Press("e")
	op.sees("a push can't be edited")
	if got := tip(); got != "" {
		t.Errorf("before it was approved the upstream has %q", got)
	}
	op.approves()
	op.seesDone(id, "its push goes on to the remote", "approved: git-gate lets the push of "+id+" go on")
	op.sees("The count is pushed.")
	if got := tip(); got != "Count the notes" {
		t.Errorf("the upstream has %q", got)
	}
	if told := c.turn("the first push", messages.Result("first ended with")); !strings.Contains(told.Result, "the operator approved this push") {
		t.Errorf("git says %q", told.Result)
	}

	op.tells(id, "Push without notes")
	screen := op.reads(id, "a push")
	for _, want := range []string{"changes the branch agent/count from", "Drop the notes", "removed  −1  notes.txt", "− one note"} {
		if !strings.Contains(screen, want) {
			t.Errorf("the dialog lacks %q:\n%s", want, screen)
		}
	}
	op.denies("the notes are still read; keep them")
	op.sees("I keep the notes.")
	told := c.turn("the second push", messages.Result("second ended with"))
	for _, want := range []string{"the operator denied this push: the notes are still read; keep them", "remote rejected"} {
		if !strings.Contains(told.Result, want) {
			t.Errorf("git lacks %q: %s", want, told.Result)
		}
	}
	if got := tip(); got != "Count the notes" {
		t.Errorf("what was denied arrived: the upstream has %q", got)
	}
	op.Wait("to have a plain title again", patience, func(string) bool { return op.Title() == "bottle-tui" })
	for kind, want := range map[string]int{"request": 2, "decision": 2} {
		if n := c.audited(id, kind); n != want {
			t.Errorf("the audit log has %d facts %q", n, kind)
		}
	}
	c.neverHeld(id, forgeToken, claudeToken)
}
