package gitgate_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/gitgate"
)

// An upstream whose connection breaks, wherever that is.
func TestConnectionToTheUpstreamBreaks(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		up.large(t, "large", 3<<20)
		dir := up.seeded(t, "r", 3)
		large, largeWire := up.wired(t, "large")
		r, wire := up.wired(t, "r")
		g := gated(t, up, nil, large, r)
		t.Run("while it is fetched from", func(t *testing.T) {
			largeWire.let(1<<20, unbounded)
			clone := newWork(t, nil).begin("clone", "-q", g.url("large"), ".")
			largeWire.held(t)
			largeWire.cut()
			out, err := clone.end()
			if err == nil {
				t.Error("half a clone is none")
			}
			has(t, out, "git-gate: the upstream broke off")
			g.ear.Wait(t, sidecars.EventFetch, func(l sidecars.Line) bool {
				return l.Remote == "large" && strings.HasPrefix(l.Reason, "broke off: ")
			})
			largeWire.let(unbounded, unbounded)
			g.clone("large")
		})
		t.Run("while it takes a push", func(t *testing.T) {
			w := g.clone("r")
			w.commit("large", randomBytes(3<<20), "large")
			wire.let(unbounded, 1<<20)
			push := w.begin("push", "origin", "HEAD:refs/heads/large")
			wire.held(t)
			wire.cut()
			out, err := push.end()
			if err == nil {
				t.Error("half a push is none")
			}
			has(t, out, "git-gate: ")
			g.ear.Wait(t, sidecars.EventError, func(l sidecars.Line) bool { return l.Remote == "r" })
			lacks(t, dir, "large")
			wire.let(unbounded, unbounded)
			w.git("push", "-q", "origin", "HEAD:refs/heads/large")
			w.same(dir, "large", "HEAD")
		})
	})
}

// An agent's git that is killed in the middle of a fetch ends what git-gate does for it.
func TestAgentThatHangsUpWhileItFetches(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		up.large(t, "r", 3<<20)
		r, wire := up.wired(t, "r")
		g := gated(t, up, nil, r)
		wire.let(1<<20, unbounded)
		clone := newWork(t, nil).begin("clone", "-q", g.url("r"), ".")
		wire.held(t)
		syscall.Kill(-clone.cmd.Process.Pid, syscall.SIGKILL)
		clone.end()
		wire.let(unbounded, unbounded)
		g.ear.Wait(t, sidecars.EventFetch, func(l sidecars.Line) bool { return strings.HasPrefix(l.Reason, "broke off: ") })
		g.clone("r")
	})
}

func TestAtomicPushOfWhichOneIsRefused(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		dir := up.seeded(t, "r", 3)
		write(t, dir+"/hooks/update", "#!/bin/sh\n[ $1 != refs/heads/bad ]\n")
		run(t, dir, nil, "chmod", "755", "hooks/update")
		g := start(t, up, nil, "r")
		w := g.clone("r")
		w.commit("x", "x\n", "x")
		has(t, w.fails("push", "--atomic", "origin", "HEAD:refs/heads/good", "HEAD:refs/heads/bad"), "hook declined", "atomic push fail")
		lacks(t, dir, "good")
		w.fails("push", "origin", "HEAD:refs/heads/good", "HEAD:refs/heads/bad")
		w.same(dir, "good", "HEAD")
		lacks(t, dir, "bad")
	})
}

func TestTags(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		dir := up.seeded(t, "r", 5)
		run(t, dir, nil, "git", "-c", "user.name=A", "-c", "user.email=a@example.com", "tag", "-a", "-m", "one", "v1", "main~1")
		g := start(t, up, func(r *gitgate.Remote) { r.AllowRefs = []string{"refs/tags/*"} }, "r")
		w := g.clone("r", "--no-tags")
		lacks(t, w.dir, "v1")
		w.git("fetch", "-q", "--tags")
		w.same(dir, "v1", "v1")
		w.git("tag", "light", "HEAD~2")
		w.git("tag", "-a", "-m", "two", "v2", "HEAD~2")
		w.git("push", "-q", "--tags")
		w.same(dir, "light", "light")
		w.same(dir, "v2", "v2")
		w.git("tag", "-f", "-a", "-m", "moved", "v2", "HEAD")
		has(t, w.fails("push", "-f", "origin", "v2"), "tags of this remote must not be moved")
		has(t, w.fails("push", "origin", ":v1"), "must not be deleted")
		has(t, w.fails("push", "origin", "HEAD:refs/heads/new"), "not among the refs")
	})
}

// Packs that git itself makes, small as they come and endless when they are unpacked.
func TestPackBombs(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		dir := up.seeded(t, "r", 1)
		g := start(t, up, func(r *gitgate.Remote) { r.MaxPush, r.MaxObject = 4<<20, 2<<20 }, "r")
		t.Run("one file", func(t *testing.T) {
			w := g.clone("r")
			w.commit("zeros", strings.Repeat("\x00", 64<<20), "zeros")
			has(t, w.fails("push", "origin", "HEAD:refs/heads/a"), "a file of 64 MiB is larger than 2048 KiB")
		})
		t.Run("many files", func(t *testing.T) {
			w := g.clone("r")
			for i := range 20 {
				w.write(fmt.Sprint("zeros", i), fmt.Sprint(i)+strings.Repeat("\x00", 1<<20))
			}
			w.git("add", ".")
			w.git("commit", "-q", "-m", "zeros")
			has(t, w.fails("push", "origin", "HEAD:refs/heads/b"), "unpacked, the push is more than 4 times")
		})
		lacks(t, dir, "a")
		lacks(t, dir, "b")
		t.Run("directories that hold one another", func(t *testing.T) {
			c := g.config
			c.Remotes[0].Approve = true
			g.reload(c)
			w := g.clone("r")
			tree := w.git("mktree", "--missing")
			for range 24 {
				var in strings.Builder
				for i := range 10 {
					fmt.Fprintf(&in, "040000 tree %s\td%d\n", tree, i)
				}
				w.write("in", in.String())
				tree = run(t, w.dir, nil, "sh", "-c", "git mktree <in")
			}
			commit := w.git("commit-tree", "-m", "bomb", "-p", "HEAD", tree)
			push := w.begin("push", "origin", commit+":refs/heads/c")
			l := g.ear.Wait(t, sidecars.EventPushWaits)
			if !l.Push.DiffCut {
				t.Error("the operator is not told that there is more")
			}
			g.say(fmt.Sprintf(`{"push":%q,"decision":"denied"}`, l.ID))
			push.end()
		})
	})
}

// What all pushes together take of the disk has an end, and it is told.
func TestSpoolIsBounded(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		dir := up.seeded(t, "r", 1)
		r := up.remote("r")
		r.Approve = true
		free := up.remote("r")
		free.Name = "free"
		g := gated(t, up, func(o *gitgate.Options) { o.SpoolRoom = 6 << 20 }, r, free)
		w := g.clone("r")
		w.commit("large", randomBytes(5<<20), "large")
		push := w.begin("push", "origin", "HEAD:refs/heads/first")
		l := g.ear.Wait(t, sidecars.EventPushWaits)
		w2 := g.clone("free")
		w2.commit("large", randomBytes(5<<20), "other")
		has(t, w2.fails("push", "origin", "HEAD:refs/heads/second"), "take all of the 6144 KiB that git-gate has for them", "Wait until the others are done")
		g.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool { return l.Remote == "free" && strings.Contains(l.Reason, "take all of") })
		lacks(t, dir, "second")
		small := g.clone("free")
		small.commit("small", "x\n", "small")
		small.git("push", "-q", "origin", "HEAD:refs/heads/small")
		g.say(fmt.Sprintf(`{"push":%q,"decision":"approved"}`, l.ID))
		if out, err := push.end(); err != nil {
			t.Error(out)
		}
		w2.git("push", "-q", "origin", "HEAD:refs/heads/second")
		w2.same(dir, "second", "HEAD")
	})
}

// A disk that is full, though git-gate would have taken more.
func TestSpoolOnAFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=4m,mode=700"); err != nil {
		t.Skip("no tmpfs can be made here: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	each(t, func(t *testing.T, up *served) {
		dir := up.seeded(t, "r", 1)
		g := gated(t, up, func(o *gitgate.Options) { o.SpoolDir = disk }, up.remote("r"))
		w := g.clone("r")
		w.commit("large", randomBytes(8<<20), "large")
		has(t, w.fails("push", "origin", "HEAD:refs/heads/large"), "git-gate can't hold the push: the disk of the sidecars' volumes is full", "tell the operator")
		g.ear.Wait(t, sidecars.EventError, func(l sidecars.Line) bool { return l.Remote == "r" && strings.Contains(l.Reason, "is full") })
		lacks(t, dir, "large")
		w = g.clone("r")
		w.commit("small", "x\n", "small")
		w.git("push", "-q", "origin", "HEAD:refs/heads/small")
		w.same(dir, "small", "HEAD")
		if left, _ := os.ReadDir(disk); len(left) > 0 {
			t.Error("left behind: ", left)
		}
	})
}

// git goes to the gate where people write a remote's usual address, and nowhere wrong where an address only begins
// like one.
func TestUsualAddresses(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		api := up.seeded(t, "api", 1)
		docs := up.seeded(t, "docs", 2)
		up.seeded(t, "api-docs", 3)
		// Its name is what would be left of another repository's address.
		other := up.remote("docs")
		other.Name = "api-docs"
		g := gated(t, up, nil, up.remote("api"), other)
		text, err := gitgate.GitConfig(g.config.Remotes)
		if err != nil {
			t.Fatal(err)
		}
		text = strings.NewReplacer("http://git-gate:8081", "http://"+g.http, "git://git-gate", "git://"+g.git).Replace(text)
		config := filepath.Join(t.TempDir(), "config")
		write(t, config, text)
		agent := func(t *testing.T) *work { return newWork(t, []string{"GIT_CONFIG_GLOBAL=" + config}) }
		upstream := up.remote("api").Upstream
		bare := strings.TrimSuffix(upstream, ".git")
		for _, url := range []string{upstream, bare, upstream + "/", bare + "/"} {
			t.Run(url, func(t *testing.T) {
				w := agent(t)
				w.git("clone", "-q", url, ".")
				w.same(api, "main", "HEAD")
				w.commit("a", url, "a")
				w.git("push", "-q")
				w.same(api, "main", "HEAD")
			})
		}
		w := agent(t)
		w.git("clone", "-q", up.remote("docs").Upstream, ".")
		w.same(docs, "main", "HEAD")
		for _, url := range []string{up.remote("api-docs").Upstream, strings.TrimSuffix(up.remote("api-docs").Upstream, ".git"), bare + ".github", bare + "/wiki.git", upstream + "-docs"} {
			t.Run(url, func(t *testing.T) {
				has(t, agent(t).fails("clone", url, "x"), "git-gate: ", "only begins as that of the remote api does", "The operator can declare it")
			})
		}
	})
}

// What git makes of addresses by ~/.gitconfig, without asking anybody.
func TestAddressesAsGitReadsThem(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
	text, err := gitgate.GitConfig([]gitgate.Remote{
		{Name: "api", Upstream: "git@git.example.com:team/api.git", Secret: keyVar, KnownHost: key},
		{Name: "web", Upstream: "https://git.example.com/team/web"},
		{Name: "again", Upstream: "https://git.example.com/team/api.git"},
		{Name: "deep", Upstream: "ssh://me@git.example.com:2222/srv/deep.git", Secret: keyVar, KnownHost: key},
	})
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "config")
	write(t, config, text)
	w := newWork(t, []string{"GIT_CONFIG_GLOBAL=" + config})
	for url, want := range map[string]string{
		"git@git.example.com:team/api.git":           "git://git-gate/api/",
		"git@git.example.com:team/api":               "git://git-gate/api/",
		"ssh://git@git.example.com/team/api.git":     "git://git-gate/api/",
		"https://git.example.com/team/api.git":       "http://git-gate:8081/again/", // declared with that address
		"https://git.example.com/team/web":           "http://git-gate:8081/web/",
		"https://git.example.com/team/web.git":       "http://git-gate:8081/web/",
		"git@git.example.com:team/web.git":           "http://git-gate:8081/web/",
		"ssh://git@git.example.com/team/web":         "http://git-gate:8081/web/",
		"https://git.example.com/team/website.git":   "http://git-gate:8081/web/site.git",
		"ssh://me@git.example.com:2222/srv/deep":     "git://git-gate/deep/",
		"ssh://me@git.example.com:2222/srv/deep.git": "git://git-gate/deep/",
		"https://git.example.com/srv/deep.git":       "https://git.example.com/srv/deep.git",
		"https://git.example.com/team/other.git":     "https://git.example.com/team/other.git",
	} {
		if got := w.git("ls-remote", "--get-url", url); got != want {
			t.Errorf("%s becomes %s, not %s", url, got, want)
		}
	}
}
