package bottles_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bottle-tui/bottles"
)

// digest is everything under a directory, by path and content.
func digest(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		content := []byte(nil)
		if info.Mode().IsRegular() {
			content, err = os.ReadFile(path)
		}
		b.WriteString(path + " " + info.Mode().String() + " " + string(content) + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPreflightTellsEverythingAndMakesNothing(t *testing.T) {
	t.Parallel()
	w, u := newWorld(t), newUpstream(t)
	project := t.TempDir()
	for name, content := range map[string]string{"main.go": "package main", "skip.log": "long", ".bottleignore": "*.log\n"} {
		if err := os.WriteFile(filepath.Join(project, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.tokens["cmd:pass show api"] = secret
	w.cat.tune = func(p *bottles.Profile) {
		p.CA, p.Egress, p.Env = u.ca, []string{"example.com"}, []string{"EDITOR=vi"}
		p.Routes = []bottles.Route{
			u.route("/one/", "cmd:pass show api", bottles.RoleBaseURL), u.route("/two/", "OTHER"), u.route("/three/", "cmd:pass show api"),
		}
		p.Git = []bottles.Remote{{Name: "origin", Upstream: "ssh://git@git.example.com/a.git"}}
	}
	w.run(nil)
	before := digest(t, w.root.Dir())
	p, err := w.sup.Preflight(t.Context(), bottles.Launch{Agent: "tester", CWD: project, CopyCWD: true})
	if err != nil {
		t.Fatal(err)
	}
	if after := digest(t, w.root.Dir()); after != before {
		t.Errorf("the state root changed:\n%s\nwas:\n%s", after, before)
	}
	if have, err := w.engine.Observe(t.Context(), w.root.ID()); err != nil || len(have.Containers)+len(have.Networks)+len(have.Volumes) != 0 {
		t.Errorf("made: %+v, %v", have, err)
	}
	out, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), secret) || strings.Contains(string(out), "pass show") {
		t.Errorf("the plan tells too much: %s", out)
	}
	name := bottles.TokenName("cmd:pass show api")
	if p.Copy == nil || p.Copy.Files != 2 || p.Copy.Ignored != 1 {
		t.Errorf("to be copied: %+v", p.Copy)
	}
	if got := p.Routes; len(got) != 3 || got[0].Slot != 0 || got[1].Slot != 1 || got[2].Slot != 0 || got[0].TokenRef != name || got[1].TokenRef != "OTHER" {
		t.Errorf("routes: %+v", got)
	}
	if want := []string{"ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "EDITOR"}; !slices.Equal(p.EnvNames, want) {
		t.Errorf("env names %v, want %v", p.EnvNames, want)
	}
	if !p.Image.Build || p.Image.Rebuilt || p.Image.Reference == "" || !p.Supervise || p.Egress.Engine != "builtin" || !slices.Equal(p.Egress.Allow, []string{"example.com"}) {
		t.Errorf("the plan is %s", out)
	}
	if len(p.GitGate) != 1 || p.GitGate[0].To != "git://git-gate/origin" {
		t.Errorf("forwards: %v", p.GitGate)
	}
	// What stands in the way: a token and a key that are not there.
	if len(p.Conflicts) != 2 || !strings.Contains(p.Conflicts[0].What, "OTHER") || p.Conflicts[0].Fix == "" || !strings.Contains(p.Conflicts[1].What, "git remote origin") {
		t.Errorf("conflicts: %v", p.Conflicts)
	}
	if _, err := w.sup.Preflight(t.Context(), bottles.Launch{Agent: "nobody"}); err == nil || !strings.Contains(err.Error(), "tester") {
		t.Errorf("an agent that is not there: %v", err)
	}
}

// A launch is of what was shown, and of nothing else.
func TestAChangedProfileIsNotLaunchedUnseen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host := "one.example.com"
	w.cat.tune = func(p *bottles.Profile) { p.Egress = []string{host} }
	w.run(nil)
	p, err := w.sup.Preflight(t.Context(), bottles.Launch{Agent: "tester"})
	if err != nil || p.Shown == "" {
		t.Fatalf("%+v, %v", p, err)
	}
	host = "*.com"
	launch := bottles.Launch{Agent: "tester", Identity: p.Identity, Shown: p.Shown}
	if err := w.do(launch); !errors.Is(err, bottles.ErrRefused) || !strings.Contains(err.Error(), "look at the plan again") {
		t.Fatalf("it is launched: %v", err)
	}
	host = "one.example.com"
	w.must(launch)
}

// located is a catalog that knows where credentials are named.
type located struct{ catalog }

func (located) Where(string) string { return "bottles.dev.cred_proxy.routes[3].token_ref in /m.json" }

// What a plan shows as a hash is not in its conflicts either, nor in what is told of a launch that fails; where it is
// named is.
func TestCommandsAndPathsOfCredentialsAreNotTold(t *testing.T) {
	t.Parallel()
	w, u := newWorld(t), newUpstream(t)
	w.cat.tune = func(p *bottles.Profile) {
		p.CA, p.Home, p.Prompt, p.Memory, p.BuildNetwork = u.ca, "/m.json", "Write.", 128<<20, ""
		p.Routes = []bottles.Route{u.route("/one/", "cmd:pass show api"), u.route("/two/", "file:/keys/two")}
		p.Git = []bottles.Remote{{Name: "ssh", Upstream: "ssh://git@git.example.com/a.git", IdentityFile: "/keys/ssh"}, {Name: "https", Upstream: "https://git.example.com/a.git", TokenRef: "cmd:pass show git"}}
	}
	w.whole = located{w.cat}
	w.run(nil)
	p, err := w.sup.Preflight(t.Context(), bottles.Launch{Agent: "tester", Task: "Say hello."})
	if err != nil {
		t.Fatal(err)
	}
	hidden := func(where, text string) {
		t.Helper()
		for _, part := range []string{"pass show", "/keys"} {
			if strings.Contains(text, part) {
				t.Errorf("%q is in %s: %s", part, where, text)
			}
		}
	}
	out, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	hidden("the plan", string(out))
	if len(p.Conflicts) != 4 {
		t.Fatalf("conflicts: %v", p.Conflicts)
	}
	for i, want := range []string{"route /one/ can't have its token cmd:", "route /two/ can't have its token file:", "git remote ssh can't have its key: its file is not there", "git remote https can't have its token cmd:"} {
		if c := p.Conflicts[i]; !strings.HasPrefix(c.What, want) || !strings.Contains(c.Fix, "bottles.dev.cred_proxy.routes[3].token_ref in /m.json") {
			t.Errorf("conflict %v, want %s", c, want)
		}
	}
	if p.Manifest != "builtin:tests" || p.Home != "/m.json" || p.Prompt != "Write." || p.Task != "Say hello." || p.Memory != 128<<20 || p.Pids != bottles.DefaultPids || p.Network != "default" ||
		p.Remotes[0].IdentityFile != bottles.TokenName("file:/keys/ssh") || p.Remotes[1].TokenRef != bottles.TokenName("cmd:pass show git") {
		t.Errorf("the plan is %s", out)
	}
	if err := w.do(bottles.Launch{Agent: "tester"}); err == nil {
		t.Error("it was launched")
	} else {
		hidden("the error", err.Error())
	}
	b := w.await("the failure is told", func(s *bottles.Snapshot) bool { return len(s.Bottles) == 1 && s.Bottles[0].Detail != "" }).Bottles[0]
	hidden("the detail", b.Detail)
	if b.Operation != nil {
		hidden("the operation", b.Operation.Err)
	}
	// What it was launched with is kept whole, in the operator's own directory.
	if err := os.RemoveAll(filepath.Join(w.root.Dir(), "state", b.Identity, "launched.json")); err != nil {
		t.Fatal(err)
	}
	hidden("the rest of the state", digest(t, w.root.Dir()))
}

func TestNamesInUseAreFoundBeforeAnythingIsMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	p, err := w.sup.Preflight(t.Context(), bottles.Launch{Agent: "tester"})
	if err != nil || len(p.Conflicts) != 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	container, network, volume := "claude-bottle-egress-"+p.Identity, "claude-bottle-out-"+p.Identity, "claude-bottle-work-"+p.Identity
	docker := func(args ...string) { engineSays(t, args...) }
	docker("create", "--name", container, baseRef)
	docker("network", "create", "--subnet", "198.18.77.0/28", network)
	docker("volume", "create", volume)
	t.Cleanup(func() {
		docker("rm", "-f", container)
		docker("network", "rm", network)
		docker("volume", "rm", volume)
	})
	p, err = w.sup.Preflight(t.Context(), bottles.Launch{Agent: "tester", Identity: p.Identity})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"docker container inspect " + container, "docker network inspect " + network, "docker volume inspect " + volume}
	for i, fix := range want {
		if i >= len(p.Conflicts) || !strings.Contains(p.Conflicts[i].Fix, fix) || strings.Contains(p.Conflicts[i].Fix, " rm ") || !strings.Contains(p.Conflicts[i].What, "did not make") {
			t.Errorf("conflicts %v lack %q", p.Conflicts, fix)
		}
	}
	err = w.do(bottles.Launch{Agent: "tester", Identity: p.Identity})
	for _, fix := range want {
		if err == nil || !strings.Contains(err.Error(), fix) {
			t.Errorf("launched in spite of it: %v lacks %q", err, fix)
		}
	}
	if have, err := w.engine.Observe(t.Context(), w.root.ID()); err != nil || len(have.Containers)+len(have.Networks)+len(have.Volumes) != 0 {
		t.Errorf("made: %+v, %v", have, err)
	}
}

func TestAnOrphanOfTheSameNameIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("")
	w.end()
	if err := os.RemoveAll(filepath.Join(w.root.Dir(), "state", id)); err != nil {
		t.Fatal(err)
	}
	w.run(nil)
	p, err := w.sup.Preflight(t.Context(), bottles.Launch{Agent: "tester", Identity: id})
	if err != nil || len(p.Conflicts) == 0 || p.Conflicts[0].Fix != "bottle-tui cleanup --home "+w.root.Dir() {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestTheWorkspaceIsFilledOnceFromTheDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	project := t.TempDir()
	for name, content := range map[string]string{"work": "from the project", "big.log": "noise", ".bottleignore": "*.log\n", ".dockerignore": "work\n"} {
		if err := os.WriteFile(filepath.Join(project, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Links that lead out of the directory are links in the bottle, too.
	err := os.Mkdir(filepath.Join(project, "sub"), 0o700)
	for link, to := range map[string]string{"out": "../workspace/work", "sub/up": "../../workspace/work", "gone": "../../../etc/none"} {
		err = errors.Join(err, os.Symlink(to, filepath.Join(project, link)))
	}
	if err != nil {
		t.Fatal(err)
	}
	w.run(nil)
	w.must(bottles.Launch{Agent: "tester", CWD: project, CopyCWD: true})
	id := w.await("it is live", func(s *bottles.Snapshot) bool { return len(s.Bottles) == 1 && s.Bottles[0].Status == bottles.Live }).Bottles[0].Identity
	w.awaitText(id, "work: from the project")
	w.sup.Type(id, []byte("cat /workspace/out\ncat /workspace/sub/up\n"))
	w.awaitText(id, "cat /workspace/out: \"from the project\"")
	w.awaitText(id, "cat /workspace/sub/up: \"from the project\"")
	w.sup.Type(id, []byte("cat /workspace/big.log\nwrite precious\n"))
	w.awaitText(id, "big.log: \"\" open /workspace/big.log: no such file")
	w.awaitText(id, "wrote <nil>")
	w.must(bottles.TearDown{Identity: id})
	w.must(bottles.Resume{Identity: id})
	w.awaitText(id, "work: precious")
}

// The directory is a part of a linked worktree, and its repository's configuration says who commits: the plan shows what is
// copied from elsewhere and who it is, and the agent works in that part of a repository of its own, with git that knows the
// name; so it does when it is resumed.
func TestAWorktreeBecomesARepository(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=x", "-c", "user.email=x"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	git("init", "-q", "-b", "main", "main")
	if err := errors.Join(os.MkdirAll(dir+"/main/pkg/api", 0o755), os.WriteFile(dir+"/main/pkg/api/tracked", []byte("by git"), 0o600)); err != nil {
		t.Fatal(err)
	}
	git("-C", "main", "add", ".")
	git("-C", "main", "commit", "-q", "-m", "one")
	git("-C", "main", "worktree", "add", "-q", "../wt", "-b", "feature")
	git("-C", "main", "config", "user.name", `Ann "O'Neil"`)
	git("-C", "main", "config", "user.email", "ann@example.com")
	git("-C", "main", "config", "commit.gpgSign", "true")
	w.cat.tune = func(p *bottles.Profile) { p.GitUser.Email = "agent@example.com" }
	w.run(nil)
	launch := bottles.Launch{Agent: "tester", CWD: dir + "/wt/pkg/api", CopyCWD: true}
	p, err := w.sup.Preflight(t.Context(), launch)
	if err != nil {
		t.Fatal(err)
	}
	if want := (bottles.GitUser{Name: `Ann "O'Neil"`, Email: "agent@example.com"}); p.GitUser != want || p.Copy == nil || !p.Copy.Git {
		t.Errorf("commits are by %+v, the copy is %+v", p.GitUser, p.Copy)
	}
	if len(p.Notices) != 3 || !strings.Contains(p.Notices[0].What, "is a part of the repository in "+dir+"/wt") ||
		!strings.Contains(p.Notices[1].What, dir+"/main/.git") || !strings.Contains(p.Notices[2].What, "commit.gpgsign") {
		t.Errorf("the notices are %+v", p.Notices)
	}
	w.must(launch)
	id := w.await("it is live", func(s *bottles.Snapshot) bool { return len(s.Bottles) == 1 && s.Bottles[0].Status == bottles.Live }).Bottles[0].Identity
	w.sup.Type(id, []byte("cat tracked\n"))
	w.awaitText(id, `cat tracked: "by git"`)
	w.sup.Type(id, []byte("cat /workspace/.git/HEAD\n"))
	w.awaitText(id, `"ref: refs/heads/feature`)
	w.sup.Type(id, []byte("cat /home/agent/.config/git/config\n"))
	w.awaitText(id, "email = ")
	w.awaitText(id, "agent@example.com")
	w.awaitText(id, "Ann ")
	w.must(bottles.TearDown{Identity: id})
	w.must(bottles.Resume{Identity: id})
	w.sup.Type(id, []byte("cat ../api/tracked\n"))
	w.awaitText(id, `cat ../api/tracked: "by git"`)
}

// Killed while it copies, a launch copies again; killed later, it does not.
func TestAKilledCopyIsCopiedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	project := t.TempDir()
	if err := os.WriteFile(filepath.Join(project, "work"), []byte("from the project"), 0o600); err != nil {
		t.Fatal(err)
	}
	dead := make(chan struct{})
	w.run(func(e bottles.Engine, kill func()) bottles.Engine {
		return &copyKiller{Engine: e, kill: kill, dead: dead}
	})
	if _, err := w.sup.Start(t.Context(), bottles.Launch{Agent: "tester", CWD: project, CopyCWD: true}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-dead:
	case <-time.After(patience):
		t.Fatal("it never came to the copy")
	}
	w.end()
	w.run(nil)
	id := w.await("it is live", func(s *bottles.Snapshot) bool { return len(s.Bottles) == 1 && s.Bottles[0].Status == bottles.Live }).Bottles[0].Identity
	w.awaitText(id, "work: from the project")
}

// copyKiller is an engine under which the program dies while it fills a workspace.
type copyKiller struct {
	bottles.Engine
	kill   func()
	dead   chan struct{}
	copies atomic.Int32 // into the agent's container; the first brings its files, the second its workspace
}

func (k *copyKiller) CopyIn(ctx context.Context, name, dir string, archive io.Reader) error {
	if strings.HasPrefix(name, "claude-bottle-tester-") && k.copies.Add(1) == 2 {
		k.kill()
		close(k.dead)
		return errKilled
	}
	return k.Engine.CopyIn(ctx, name, dir, archive)
}

// Another profile than the one that a bottle lived in is not taken without the operator's word.
func TestAResumeInAnotherProfileNeedsAYes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("")
	w.must(bottles.TearDown{Identity: id})
	w.end()
	w.cat.tune = func(p *bottles.Profile) { p.Name, p.Egress = "prod", []string{"prod.example.com"} }
	w.run(nil)
	p, err := w.sup.Preflight(t.Context(), bottles.Resume{Identity: id})
	if err != nil || p.Was != "tests" || p.Profile != "prod" || len(p.Conflicts) != 0 {
		t.Fatalf("the plan is %+v, %v", p, err)
	}
	for _, agreed := range []string{"", "tests", "other"} {
		err := w.do(bottles.Resume{Identity: id, Profile: agreed})
		if !errors.Is(err, bottles.ErrRefused) || !strings.Contains(err.Error(), "prod") {
			t.Errorf("resumed with a yes to %q: %v", agreed, err)
		}
	}
	if have, err := w.engine.Observe(t.Context(), w.root.ID()); err != nil || len(have.Containers) != 0 {
		t.Errorf("made: %+v, %v", have.Containers, err)
	}
	w.must(bottles.Resume{Identity: id, Profile: "prod"})
	if b := w.awaitStatus(id, bottles.Live); !slices.Equal(b.Allow, []string{"prod.example.com"}) {
		t.Errorf("it lets through %v", b.Allow)
	}
	// It is the bottle's own now.
	w.must(bottles.TearDown{Identity: id})
	if p, err := w.sup.Preflight(t.Context(), bottles.Resume{Identity: id}); err != nil || p.Was != "" {
		t.Errorf("the plan is %+v, %v", p, err)
	}
	w.must(bottles.Resume{Identity: id})
}

// A workspace volume that is gone is told before the resume, which needs a yes then, and to the agent.
func TestAResumeWithoutItsWorkspaceNeedsAYes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	project := t.TempDir()
	if err := os.WriteFile(filepath.Join(project, "copied"), []byte("from the project"), 0o644); err != nil {
		t.Fatal(err)
	}
	w.must(bottles.Launch{Agent: "tester", CWD: project, CopyCWD: true})
	id := w.await("it is live", func(s *bottles.Snapshot) bool { return len(s.Bottles) == 1 && s.Bottles[0].Status == bottles.Live }).Bottles[0].Identity
	w.must(bottles.TearDown{Identity: id})
	if err := w.engine.RemoveVolume(t.Context(), "claude-bottle-work-"+id); err != nil {
		t.Fatal(err)
	}
	p, err := w.sup.Preflight(t.Context(), bottles.Resume{Identity: id})
	if err != nil || p.Asks() != bottles.NoticeWorkspace || p.Copy == nil || p.Copy.Files != 1 {
		t.Fatalf("the plan is %+v, %v", p, err)
	}
	if err := w.do(bottles.Resume{Identity: id}); !errors.Is(err, bottles.ErrRefused) || !strings.Contains(err.Error(), "claude-bottle-work-"+id) {
		t.Errorf("resumed without a yes: %v", err)
	}
	w.must(bottles.Resume{Identity: id, Agreed: p.Asks()})
	w.sup.Type(id, []byte("cat /workspace/copied\n"))
	w.awaitText(id, "copied: \"from the project\"")
	c, err := w.engine.Container(t.Context(), "claude-bottle-"+id)
	if err != nil || c.State != bottles.StateRunning {
		t.Errorf("the agent is %+v, %v", c, err)
	}
	if p, err := w.sup.Preflight(t.Context(), bottles.Resume{Identity: id}); err != nil || p.Asks() != "" {
		t.Errorf("afterwards it is still missing: %+v, %v", p, err)
	}
}

// imageless is an engine that can't look for images.
type imageless struct{ bottles.Engine }

func (imageless) Image(context.Context, string) (bottles.Image, error) {
	return bottles.Image{}, errors.New("the image store is being repaired")
}

// An image that could not be looked for is not one that is to be built.
func TestAnImageThatCannotBeLookedForIsAConflict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(func(e bottles.Engine, _ func()) bottles.Engine { return imageless{e} })
	p, err := w.sup.Preflight(t.Context(), bottles.Launch{Agent: "tester"})
	if err != nil || p.Image.Build || len(p.Conflicts) == 0 || !strings.Contains(p.Conflicts[0].What, "being repaired") {
		t.Errorf("the plan is %+v, %v", p, err)
	}
}
