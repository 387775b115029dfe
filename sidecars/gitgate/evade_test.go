package gitgate_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle-tui/sidecars/gitgate"
)

// Rules go by the path of a file, too, and the agent chooses it.
func TestPathsExcuseNothing(t *testing.T) {
	nth := 0 // another text each time: what the upstream has is not sent again
	nuget := func() string {
		nth++
		return fmt.Sprintf("<add key=\"ClearTextPassword\" value=\"Zk3vQ%d"+"8rTw2\" />\n", nth)
	}
	guess := func() string {
		nth++
		return fmt.Sprintf("api_key = \"k3Jd8sLq0Zx%d"+"T7vBn2MwP5yRf\"\n", nth)
	}
	move := func(w *work, from, to string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(w.dir, to)), 0o755); err != nil {
			w.t.Fatal(err)
		}
		w.git("mv", from, to)
		w.git("commit", "-q", "-m", "move")
	}
	cases := []struct {
		name string
		make func(w *work)
		said string // "": it passes
	}{
		{"where a rule excuses a secret", func(w *work) { w.commit("@octokit/auth-token/README.md", pat(2)+"\n", "x") }, "github-pat in @octokit/auth-token/README.md, line 1"},
		{"a guess where such are usual", func(w *work) { w.commit("node_modules/x/conf.js", guess(), "x") }, ""},
		{"a guess elsewhere", func(w *work) { w.commit("conf.js", guess(), "x") }, "generic-api-key in conf.js, line 1"},
		{"a file that is copied from there", func(w *work) {
			text := guess()
			w.commit("node_modules/x/conf.js", text, "x")
			w.commit("conf.js", text, "y")
		}, "generic-api-key in node_modules/x/conf.js, line 1"},
		{"a directory that is moved from there", func(w *work) {
			w.commit("node_modules/x/conf.js", guess(), "x")
			move(w, "node_modules/x", "src/x")
		}, "generic-api-key in node_modules/x/conf.js, line 1"},
		{"a lock file that is moved", func(w *work) {
			w.commit("a/package-lock.json", guess(), "x")
			move(w, "a", "b")
		}, ""},
		{"a rule for certain files", func(w *work) { w.commit("nuget.config", nuget(), "x") }, "nuget-config-password in nuget.config, line 1"},
		{"not for others", func(w *work) { w.commit("notes", nuget(), "x") }, ""},
		{"a file that becomes such a one", func(w *work) {
			w.commit("notes", nuget(), "x")
			move(w, "notes", "nuget.config")
		}, "nuget-config-password in notes, line 1"},
		{"a file that becomes a key store", func(w *work) {
			w.commit("store", "x\n", "x")
			move(w, "store", "dir/store.p12")
		}, "pkcs12-file in dir/store.p12, line 1"},
		{"a key store where secrets are usual", func(w *work) { w.commit("node_modules/store.p12", "x\n", "x") }, "pkcs12-file in node_modules/store.p12, line 1"},
		{"a key store by another name", func(w *work) {
			w.commit("store", "\x30\x82\x09\xd7\x02\x01\x03\x30\x82\x09\x8d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01", "x")
		}, "pkcs12-file in store, line 1"},
		{"a key store that no commit has", func(w *work) {
			w.write("notes", "no commit has it\n")
			blob := w.git("hash-object", "-w", "notes")
			w.write("in", "100644 blob "+blob+"\tnotes.p12\n")
			w.git("tag", "-a", "-m", "a tree", "v1", run(w.t, w.dir, nil, "sh", "-c", "git mktree <in"))
		}, "pkcs12-file in notes.p12, line 1"},
		{"a directory that no commit has", func(w *work) {
			w.write("notes", nuget())
			blob := w.git("hash-object", "-w", "notes")
			w.write("in", "100644 blob "+blob+"\tnotes\n")
			w.git("tag", "-a", "-m", "a tree", "v1", run(w.t, w.dir, nil, "sh", "-c", "git mktree <in"))
		}, "nuget-config-password in object "},
	}
	up := overHTTPS(t)
	dir := up.seeded(t, "r", 1)
	g := start(t, up, nil, "r")
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := g.clone("r")
			w.t = t
			c.make(w)
			ref := "refs/heads/case" + string(rune('a'+i))
			from := "HEAD"
			if strings.Contains(c.name, "no commit") {
				from = "v1"
			}
			if c.said == "" {
				w.git("push", "-q", "origin", from+":"+ref)
				w.same(dir, ref, from)
				return
			}
			has(t, w.fails("push", "origin", from+":"+ref), "secret found: "+c.said)
			lacks(t, dir, ref)
		})
	}
}

// What of a push is in no object goes to the upstream as well.
func TestSecretsInTheRequest(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		dir := up.seeded(t, "r", 1)
		run(t, dir, nil, "git", "branch", "old")
		g := start(t, up, func(r *gitgate.Remote) { r.AllowForce, r.AllowPushOptions = true, []string{"note=*"} }, "r")
		w := g.clone("r")
		has(t, w.fails("push", "-o", "note="+pat(4), "origin", ":old"), "github-pat in a push option")
		w.same(dir, "old", "HEAD")
		w.commit("x", "x\n", "x")
		has(t, w.fails("push", "-o", "note="+pat(4), "origin", "HEAD:refs/heads/new"), "github-pat in a push option")
		lacks(t, dir, "new")
		w.git("push", "-q", "-o", "note=nothing", "origin", ":old")
		lacks(t, dir, "old")
	})
}
