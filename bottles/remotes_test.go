package bottles_test

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
)

// gitImage has git, and an agent that does nothing.
const gitImage = "FROM bottle-tui-test-debian:bookworm\n" +
	"RUN apt-get update -q && apt-get install -y -q --no-install-recommends git ca-certificates && useradd -u 1000 -m agent\n" +
	"ENTRYPOINT [\"/bin/sh\", \"-c\", \"exec sleep 1000000\", \"agent\"]\n"

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
	t.Parallel()
	w := newWorld(t)
	u, dir := repository(t)
	w.tokens["GIT_TOKEN"] = secret
	w.cat.dockerfile = gitImage
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

// A push that waits is a request: the operator reads what it would do, and only what was approved arrives.
func TestPushesWaitForTheOperator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, dir := repository(t)
	w.tokens["GIT_TOKEN"] = secret
	w.cat.dockerfile = gitImage
	w.cat.tune = func(p *bottles.Profile) {
		p.CA, p.BuildNetwork = u.ca, "default"
		p.Git = []bottles.Remote{{Name: "api", Upstream: u.URL + "/team/api.git", TokenRef: "GIT_TOKEN", AllowRefs: []string{"refs/heads/agent/*"}, Approve: true}}
	}
	w.run(nil)
	id := w.launch("")
	run := func(script string) (string, error) {
		out, err := exec.Command("docker", "exec", "-u", "1000:1000", "-w", "/workspace/api", "claude-bottle-"+id, "sh", "-ec", script).CombinedOutput()
		return string(out), err
	}
	if out, err := exec.Command("docker", "exec", "-u", "1000:1000", "-w", "/workspace", "claude-bottle-"+id, "git", "clone", "-q", u.URL+"/team/api.git", "api").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	push := func(branch string) (end chan string, q bottles.Request) {
		end = make(chan string, 1)
		go func() {
			out, err := run("git config user.name agent; git config user.email agent@example.com; git checkout -q -B " + branch + " origin/main; seq 12000 > " +
				"many; echo two >> README; git add .; git commit -qm 'what " + branch + " does'; git push origin " + branch)
			if err != nil {
				out += "\nfailed: " + err.Error()
			}
			end <- out
		}()
		w.await("the push is asked about", func(s *bottles.Snapshot) bool {
			b, _ := find(s, id)
			i := slices.IndexFunc(b.Requests, func(q bottles.Request) bool {
				return q.Tool == bottles.ToolPush && q.State == bottles.Waiting && strings.Contains(q.Justification, branch)
			})
			if i >= 0 {
				q = b.Requests[i]
			}
			return i >= 0
		})
		return end, q
	}
	none := func(s *bottles.Snapshot) bool { b, _ := find(s, id); return len(b.Requests) == 0 }
	has := func(branch string) bool {
		return exec.Command("git", "-C", dir, "rev-parse", "-q", "--verify", branch).Run() == nil
	}

	facts := func(kinds ...string) (told []string) {
		t.Helper()
		entries, err := w.root.Audit(id).Entries(0)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if slices.Contains(kinds, e.Kind) {
				told = append(told, e.Kind)
			}
		}
		return told
	}
	ended := func(n int) { // waits until the audit log tells of so many ends
		t.Helper()
		for late := time.Now().Add(patience); len(facts("push ended")) < n; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(late) {
				t.Fatalf("the audit log does not tell of %d ends", n)
			}
		}
	}

	end, q := push("agent/one")
	p := q.Push
	if p == nil || q.Remote != "api" || len(p.Commits) != 1 || p.Commits[0].Subject != "what agent/one does" || len(p.Files) != 2 || !p.DiffCut || !strings.Contains(p.Diff, "+two") {
		t.Fatalf("%+v", q)
	}
	if has("agent/one") {
		t.Error("it went on before it was approved")
	}
	if survey, err := bottles.Survey(t.Context(), w.root, w.engine, time.Now()); err != nil || survey.Bottles[0].Waiting() != 1 {
		t.Errorf("a survey has %+v, %v", survey.Bottles, err)
	}
	if _, err := w.sup.Start(t.Context(), bottles.Approve{Identity: id, Request: q.ID, Shown: "another"}); !errors.Is(err, bottles.ErrRefused) {
		t.Errorf("approved unseen: %v", err)
	}
	if _, err := w.sup.Start(t.Context(), bottles.ApproveEdited{Identity: id, Request: q.ID, Shown: q.Hash, Content: []byte("x")}); !errors.Is(err, bottles.ErrRefused) {
		t.Errorf("a push was edited: %v", err)
	}
	// Whoever supervised it is gone; the next program is told as well.
	w.end()
	w.run(nil)
	w.await("it is asked about again", func(s *bottles.Snapshot) bool { return !none(s) })
	w.must(bottles.Approve{Identity: id, Request: q.ID, Shown: q.Hash})
	if out := <-end; !strings.Contains(out, "the operator approved this push") || !has("agent/one") {
		t.Errorf("approved: %s", out)
	}
	w.await("nothing waits", none)
	ended(1)

	end, q = push("agent/two")
	w.must(bottles.Deny{Identity: id, Request: q.ID, Shown: q.Hash, Reason: "not on a Tuesday"})
	if out := <-end; !strings.Contains(out, "not on a Tuesday") || has("agent/two") {
		t.Errorf("denied: %s", out)
	}
	w.await("nothing waits", none)
	ended(2)

	_, _ = push("agent/three")
	if out, err := exec.Command("docker", "exec", "-u", "1000:1000", "claude-bottle-"+id, "sh", "-c", "for p in /proc/[0-9]*; do grep -q 'gi[t]' $p/cmdline 2>/dev/null && kill -9 ${p#/proc/}; done; true").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.await("what was taken back waits no more", none)
	ended(3)
	if has("agent/three") {
		t.Error("what was taken back arrived")
	}

	_, q = push("agent/four")
	w.must(bottles.TearDown{Identity: id})
	w.await("a bottle that is down asks nothing", none)
	if _, err := w.sup.Start(t.Context(), bottles.Approve{Identity: id, Request: q.ID, Shown: q.Hash}); !errors.Is(err, bottles.ErrRefused) {
		t.Errorf("approved after the end: %v", err)
	}
	history, err := bottles.GateHistory(w.root, id)
	if err != nil {
		t.Fatal(err)
	}
	for verdict, what := range map[bottles.Verdict]string{bottles.Granted: "api refs/heads/agent/one", bottles.Allowed: "api refs/heads/agent/one", bottles.Refused: "api refs/heads/agent/two"} {
		if !slices.ContainsFunc(history, func(p bottles.Passage) bool {
			return p.Gate == bottles.RoleGitGate && p.Verdict == verdict && p.What == what
		}) {
			t.Errorf("the history does not say that %s was %s: %+v", what, verdict, history)
		}
	}
	if n := len(slices.DeleteFunc(history, func(p bottles.Passage) bool { return p.Verdict != bottles.Granted })); n != 1 {
		t.Errorf("the history says of %d pushes that they were granted, want one", n)
	}
	if got := strings.Join(facts("request", "decision", "push ended"), " "); !strings.HasPrefix(got, "request decision push ended request decision push ended request push ended request") {
		t.Errorf("the audit log has: %s", got)
	}
}
