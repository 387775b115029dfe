package gitgate_test

import (
	"fmt"
	"strings"
	"testing"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/gitgate"
)

func TestFetch(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		dir := up.seeded(t, "r", 30)
		run(t, dir, nil, "git", "tag", "v1", "main~3")
		g := start(t, up, nil, "r")
		for _, version := range []string{"0", "1", "2"} {
			t.Run("version "+version, func(t *testing.T) {
				w := newWork(t, nil)
				w.git("-c", "protocol.version="+version, "clone", "-q", g.url("r"), ".")
				w.same(dir, "main", "HEAD")
				w.same(dir, "v1", "v1")
				w.git("fsck")
			})
		}
		t.Run("with the ending", func(t *testing.T) {
			w := newWork(t, nil)
			w.git("clone", "-q", g.url("r")+".git", ".")
		})
		t.Run("shallow, then deeper", func(t *testing.T) {
			w := g.clone("r", "--depth=3")
			if n := w.git("rev-list", "--count", "HEAD"); n != "3" {
				t.Errorf("%s commits", n)
			}
			w.git("fetch", "-q", "--deepen=4")
			if n := w.git("rev-list", "--count", "HEAD"); n != "7" {
				t.Errorf("%s commits", n)
			}
			w.git("fetch", "-q", "--unshallow")
			if n := w.git("rev-list", "--count", "HEAD"); n != "30" {
				t.Errorf("%s commits", n)
			}
		})
		t.Run("partial", func(t *testing.T) {
			w := g.clone("r", "--filter=blob:none", "--no-checkout")
			if missing := w.git("rev-list", "--objects", "--missing=print", "HEAD"); !strings.Contains(missing, "\n?") {
				t.Error("nothing is missing")
			}
			w.git("checkout", "-q", "main")
			w.same(dir, "main", "HEAD")
		})
		t.Run("what is new", func(t *testing.T) {
			w := g.clone("r")
			o := newWork(t, nil)
			o.git("clone", "-q", dir, ".")
			o.commit("new", "x", "new")
			o.git("push", "-q")
			w.git("fetch", "-q")
			w.same(dir, "main", "origin/main")
		})
		l := g.ear.Wait(t, sidecars.EventFetch)
		if l.Remote != "r" || l.Received == 0 {
			t.Errorf("%+v", l)
		}
	})
}

func TestPush(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		dir := up.seeded(t, "r", 5)
		g := start(t, up, func(r *gitgate.Remote) { r.AllowPushOptions = []string{"ci.skip", "other=*"} }, "r")
		t.Run("a commit", func(t *testing.T) {
			w := g.clone("r")
			w.commit("a", "text\n", "one")
			w.git("push", "-q")
			w.same(dir, "main", "HEAD")
			g.ear.Wait(t, sidecars.EventPush, func(l sidecars.Line) bool { return l.Remote == "r" && l.Refs[0] == "refs/heads/main" && l.Reason == "" })
		})
		t.Run("nothing", func(t *testing.T) {
			has(t, g.clone("r").git("push"), "up-to-date")
		})
		t.Run("many commits, changed files, to a new branch", func(t *testing.T) {
			w := g.clone("r")
			w.git("checkout", "-q", "-b", "many")
			long := strings.Repeat("some text in a line that is the same\n", 500)
			for i := range 40 {
				w.commit("dir/long", long+strings.Repeat("x", i)+"\n"+long, "more")
			}
			w.git("repack", "-adfq")
			w.git("push", "-q", "origin", "many")
			w.same(dir, "many", "HEAD")
			run(t, dir, nil, "git", "fsck", "--strict")
		})
		t.Run("a branch at what is there", func(t *testing.T) {
			w := g.clone("r")
			w.git("push", "-q", "origin", "HEAD~2:refs/heads/old")
			w.same(dir, "old", "HEAD~2")
			w.git("push", "-q", "origin", "HEAD~1:refs/heads/old") // a fast-forward of which no object comes
			w.same(dir, "old", "HEAD~1")
		})
		t.Run("from a shallow clone", func(t *testing.T) {
			w := newWork(t, nil)
			w.git("clone", "-q", "--depth=1", g.url("r"), ".")
			w.commit("shallow", "x\n", "shallow")
			w.git("push", "-q", "origin", "HEAD:main")
			w.same(dir, "main", "HEAD")
		})
		t.Run("options", func(t *testing.T) {
			write(t, dir+"/hooks/pre-receive", "#!/bin/sh\necho \"option $GIT_PUSH_OPTION_0 $GIT_PUSH_OPTION_1\"\n")
			run(t, dir, nil, "chmod", "755", "hooks/pre-receive")
			defer run(t, dir, nil, "rm", "hooks/pre-receive")
			w := g.clone("r")
			w.commit("options", "x\n", "options")
			for _, bad := range []string{"merge_request.create", "ci.skip=1", "ci.skipped", "other=", "OTHER=1", " ci.skip", "\x1b[31mred", "\xff"} {
				said := w.fails("push", "-o", "ci.skip", "-o", bad, "origin", "HEAD:refs/heads/options")
				has(t, said, "push option", "Push ")
				if strings.Contains(said, "\x1b") || strings.Contains(said, "\xff") {
					t.Errorf("it says the option as it came: %q", said)
				}
				lacks(t, dir, "options")
			}
			has(t, w.fails("push", "-o", "merge_request.create"), `the push option "merge_request.create" is not among those that may go on to the upstream`,
				"Options that may be given: ci.skip, other=*", "allow_push_options of the remote r")
			has(t, w.git("push", "-o", "ci.skip", "-o", "other=1"), "remote: option ci.skip other=1")
		})
		t.Run("what the upstream's hook refuses, in its words", func(t *testing.T) {
			write(t, dir+"/hooks/update", "#!/bin/sh\necho not on a Monday\nexit 1\n")
			run(t, dir, nil, "chmod", "755", "hooks/update")
			defer run(t, dir, nil, "rm", "hooks/update")
			w := g.clone("r")
			w.commit("hook", "x\n", "hook")
			has(t, w.fails("push"), "remote: not on a Monday", "hook declined")
			g.ear.Wait(t, sidecars.EventPush, func(l sidecars.Line) bool { return strings.Contains(l.Reason, "hook declined") })
		})
		t.Run("atomic", func(t *testing.T) {
			w := g.clone("r")
			w.commit("atomic", "x\n", "atomic")
			w.git("push", "-q", "--atomic", "origin", "HEAD:refs/heads/at1", "HEAD:refs/heads/at2")
			w.same(dir, "at1", "HEAD")
			w.same(dir, "at2", "HEAD")
		})
		t.Run("to an empty repository", func(t *testing.T) {
			dir := up.bare(t, "empty")
			c := g.config
			c.Remotes = append(c.Remotes, up.remote("empty"))
			g.reload(c)
			w := newWork(t, nil)
			w.git("init", "-q", "-b", "main", ".")
			w.commit("first", "x\n", "first")
			w.git("push", "-q", g.url("empty"), "main")
			w.same(dir, "main", "HEAD")
		})
	})
}

func TestPushRules(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		dir := up.seeded(t, "r", 5)
		run(t, dir, nil, "git", "branch", "other", "main~2")
		run(t, dir, nil, "git", "tag", "v1", "main")
		g := start(t, up, nil, "r")
		refused := func(t *testing.T, out, why string) {
			t.Helper()
			has(t, out, "remote rejected", "git-gate: ", why, "remote: git-gate: ")
		}
		t.Run("a tag is not among the refs", func(t *testing.T) {
			w := g.clone("r")
			w.git("tag", "v2")
			refused(t, w.fails("push", "origin", "v2"), "not among the refs")
			lacks(t, dir, "v2")
			g.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool { return l.Remote == "r" && strings.Contains(l.Reason, "not among the refs") })
		})
		t.Run("with a good one, neither", func(t *testing.T) {
			w := g.clone("r")
			w.commit("both", "x\n", "both")
			w.git("tag", "v3")
			out := w.fails("push", "origin", "v3", "HEAD:refs/heads/good")
			refused(t, out, "not among the refs")
			has(t, out, "push this one by itself")
			lacks(t, dir, "good")
		})
		t.Run("delete", func(t *testing.T) {
			refused(t, g.clone("r").fails("push", "origin", ":other"), "must not be deleted")
			run(t, dir, nil, "git", "rev-parse", "--verify", "other")
		})
		t.Run("force", func(t *testing.T) {
			w := g.clone("r")
			w.git("reset", "-q", "--hard", "HEAD~2")
			w.commit("forced", "x\n", "forced")
			before := run(t, dir, nil, "git", "rev-parse", "main")
			refused(t, w.fails("push", "-f", "origin", "HEAD:main"), "not a fast-forward")
			if run(t, dir, nil, "git", "rev-parse", "main") != before {
				t.Error("main was rewritten")
			}
		})
		t.Run("back to what was there", func(t *testing.T) {
			refused(t, g.clone("r").fails("push", "-f", "origin", "HEAD~2:main"), "not a fast-forward")
		})
		t.Run("what git does not take for a parent", func(t *testing.T) {
			w := g.clone("r")
			before := w.git("rev-parse", "HEAD")
			c := w.object("commit", fmt.Sprintf("tree %s\nparent %s\n%sparent %s\n\nforced\n", w.git("rev-parse", "HEAD^{tree}"), w.git("rev-parse", "HEAD~3"), signed, before))
			refused(t, w.fails("push", "-f", "origin", c+":refs/heads/main"), "not a fast-forward")
			if run(t, dir, nil, "git", "rev-parse", "main") != before {
				t.Error("main was rewritten")
			}
		})
		t.Run("directories that are read in different ways", func(t *testing.T) {
			w := g.clone("r")
			w.write("x", "x\n")
			file := w.git("hash-object", "-w", "x")
			for name, why := range map[string]string{"file4.txt": `holds the name "file4.txt" twice`, "file0": "is not in git's order", ".git": `holds the name ".git"`, "x/y": `holds the name "x/y"`} {
				c := w.git("commit-tree", "-m", "x", "-p", "HEAD", w.grown("100644", name, file))
				refused(t, w.fails("push", "origin", c+":refs/heads/odd"), why)
				lacks(t, dir, "odd")
			}
			c := w.git("commit-tree", "-m", "x", "-p", "HEAD", w.grown("100664", "old", file)) // as git itself once wrote them
			w.git("push", "-q", "origin", c+":refs/heads/odd")
			w.same(dir, "odd", c)
		})
		t.Run("not a fast-forward", func(t *testing.T) {
			w := g.clone("r")
			o := newWork(t, nil)
			o.git("clone", "-q", dir, ".")
			o.commit("theirs", "x\n", "theirs")
			o.git("push", "-q")
			w.commit("ours", "x\n", "ours")
			has(t, w.fails("push"), "fetch first")
		})
		t.Run("a merge of what is there", func(t *testing.T) {
			w := g.clone("r")
			w.git("checkout", "-q", "-b", "mine", "origin/other")
			w.commit("mine", "x\n", "mine")
			w.git("merge", "-q", "-m", "merge", "origin/main")
			w.git("push", "-q", "origin", "mine:other")
			w.same(dir, "other", "mine")
		})
		t.Run("no pack to speak of, but a signature", func(t *testing.T) {
			w := g.clone("r")
			has(t, w.fails("push", "--signed", "origin", "HEAD:refs/heads/signed"), "signed")
		})
		c := g.config
		c.Remotes = []gitgate.Remote{up.remote("r")}
		c.Remotes[0].AllowForce, c.Remotes[0].AllowRefs = true, []string{"refs/heads/*", "refs/tags/*"}
		g.reload(c)
		t.Run("all of that where it is allowed", func(t *testing.T) {
			w := g.clone("r")
			w.git("tag", "-a", "-m", "a tag", "v4")
			w.git("push", "-q", "origin", "v4")
			w.same(dir, "v4", "v4")
			w.git("reset", "-q", "--hard", "HEAD~2")
			w.commit("forced", "x\n", "forced")
			w.git("push", "-q", "-f", "origin", "HEAD:main")
			w.same(dir, "main", "HEAD")
			w.git("push", "-q", "origin", ":refs/heads/other", ":refs/tags/v1")
			lacks(t, dir, "other")
			lacks(t, dir, "v1")
			w.git("push", "-q", "-f", "origin", "HEAD:refs/tags/v4")
		})
		c.Remotes = []gitgate.Remote{up.remote("r")}
		c.Remotes[0].AllowRefs = []string{}
		g.reload(c)
		t.Run("nothing may be pushed", func(t *testing.T) {
			w := g.clone("r")
			w.commit("nothing", "x\n", "nothing")
			refused(t, w.fails("push", "origin", "HEAD:refs/heads/n"), "nothing may be pushed")
		})
	})
}
