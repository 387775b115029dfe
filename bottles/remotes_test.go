package bottles_test

import (
	"crypto/subtle"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bottle-tui/bottles"
)

// repository is a bare repository behind TLS and a password, served by git itself.
func repository(t *testing.T) (u *upstream, dir string) {
	t.Helper()
	root := t.TempDir()
	dir = filepath.Join(root, "team", "api.git")
	git(t, root, "init", "-q", "--bare", "-b", "main", dir)
	git(t, dir, "config", "http.receivepack", "true")
	work := t.TempDir()
	git(t, work, "init", "-q", "-b", "main")
	if err := os.WriteFile(filepath.Join(work, "README"), []byte("the project\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	git(t, work, "add", ".")
	git(t, work, "commit", "-qm", "begin")
	git(t, work, "push", "-q", dir, "main")
	backend := &cgi.Handler{Path: strings.TrimSpace(git(t, root, "--exec-path")) + "/git-http-backend", Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=agent"}}
	u = newUpstream(t)
	u.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		if subtle.ConstantTimeCompare([]byte(password), []byte(secret)) != 1 {
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	})
	return u, dir
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return string(out)
}

// The agent's own git clones and pushes by the address that it knows, with a token that it never holds; what holds a
// secret, or goes to a ref that it may not push, does not get out.
func TestGitReachesItsRemoteThroughGitGate(t *testing.T) {
	w := newWorld(t)
	u, dir := repository(t)
	w.tokens["GIT_TOKEN"] = secret
	w.cat.dockerfile = "FROM bottle-tui-test-debian:bookworm\n" +
		"RUN apt-get update -q && apt-get install -y -q --no-install-recommends git ca-certificates && useradd -u 1000 -m agent\n" +
		"ENTRYPOINT [\"/bin/sh\", \"-c\", \"exec sleep 1000000\", \"agent\"]\n"
	remote := bottles.Remote{Name: "api", Upstream: u.URL + "/team/api.git", TokenRef: "GIT_TOKEN", AllowRefs: []string{"refs/heads/agent/*"}}
	w.cat.tune = func(p *bottles.Profile) {
		p.CA, p.BuildNetwork, p.Git = u.ca, "default", []bottles.Remote{remote}
	}
	w.run(nil)
	id := w.launch("")
	run := func(script string) (string, error) {
		out, err := exec.Command("docker", "exec", "-u", "1000:1000", "-w", "/workspace", "claude-bottle-"+id, "sh", "-ec", script).CombinedOutput()
		return string(out), err
	}
	must := func(script string) string {
		t.Helper()
		out, err := run(script)
		if err != nil {
			t.Fatalf("%s: %v: %s", script, err, out)
		}
		return out
	}
	must("git clone -q " + remote.Upstream + " api && grep -q 'the project' api/README")
	must("cd api && git config user.name agent && git config user.email agent@example.com && git checkout -q -b agent/one && echo more > more && git add more && git commit -qm more && git push -q origin agent/one")
	if got := git(t, dir, "log", "--format=%s", "agent/one"); got != "more\nbegin\n" {
		t.Errorf("the upstream has %q", got)
	}
	out, err := run("cd api && git push origin agent/one:main")
	if err == nil || !strings.Contains(out, "not among the refs") {
		t.Errorf("pushed to main: %v: %s", err, out)
	}
	// A key that nobody gave out; it is put together here, so that this file holds none.
	must("cd api && printf 'aws_access_key_id = AKIA%s\\n' QWERTYUIOPASDFGH > conf && git add conf && git commit -qm conf")
	out, err = run("cd api && git push origin agent/one")
	if err == nil || !strings.Contains(out, "conf") || strings.Contains(out, "QWERTYUIOPASDFGH") {
		t.Errorf("a secret was pushed: %v: %s", err, out)
	}
	refused := func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return slices.ContainsFunc(b.Feed, func(p bottles.Passage) bool {
			return p.Gate == bottles.RoleGitGate && p.Verdict == bottles.Refused && strings.Contains(p.Why, "rule ")
		})
	}
	w.await("the refusal is told", refused)
	w.noLeak(id, secret)
	w.must(bottles.TearDown{Identity: id})
	w.must(bottles.Resume{Identity: id})
	must("cd api && git fetch -q origin && git reset -q --hard origin/agent/one")
	w.noLeak(id, secret)
}
