package gitgate_test

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf16"

	"bottle-tui/sidecars"
)

// pat looks like a personal access token, and is none.
func pat(seed uint64) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	r := rand.New(rand.NewPCG(seed, 7))
	b := []byte("gh" + "p_")
	for range 36 {
		b = append(b, letters[r.IntN(len(letters))])
	}
	return string(b)
}

func TestSecretsAreRefused(t *testing.T) {
	secret := pat(1)
	filler := strings.Repeat("nothing to see in this line of text\n", 4000)
	encoded := base64.StdEncoding.EncodeToString([]byte("the credential is " + secret + " and no more"))
	wide := binary.LittleEndian.AppendUint16(nil, 0xfeff)
	for _, c := range utf16.Encode([]rune("a\nb " + secret + "\n")) {
		wide = binary.LittleEndian.AppendUint16(wide, c)
	}
	cases := []struct {
		name string
		make func(w *work)
		said []string
	}{
		{"in a file", func(w *work) { w.commit("dir/config.txt", "one\ntwo "+secret+"\n", "x") }, []string{"github-pat in dir/config.txt, line 2 of commit "}},
		{"deep in a long file", func(w *work) { w.commit("long", filler+"x "+secret+"\n"+filler, "x") }, []string{"github-pat in long, line 4001 of commit "}},
		{"where the text is cut", func(w *work) { w.commit("cut", strings.Repeat("x", 64<<10-20)+" "+secret+"\n", "x") }, []string{"github-pat in cut, line 1"}},
		{"removed by a later commit", func(w *work) {
			w.commit("config", secret+"\n", "x")
			w.commit("config", "nothing\n", "y")
		}, []string{"github-pat in config, line 1 of commit "}},
		{"in a small change of a long file", func(w *work) {
			w.commit("long", filler+filler, "x")
			w.commit("long", filler+secret+"\n"+filler, "y")
			w.git("repack", "-adfq", "--depth=50", "--window=50")
		}, []string{"github-pat in long, line 4001"}},
		{"base64", func(w *work) { w.commit("encoded", "data: "+encoded+"\n", "x") }, []string{"github-pat in encoded, line 1"}},
		{"base64 twice", func(w *work) {
			w.commit("encoded", "\ndata: "+base64.StdEncoding.EncodeToString([]byte(encoded))+"\n", "x")
		}, []string{"github-pat in encoded, line 2"}},
		{"in a commit's message", func(w *work) { w.commit("f", "x\n", "subject\n\nbody "+secret) }, []string{"github-pat in the message of commit ", ", line 3"}},
		{"in an author's name", func(w *work) {
			w.write("f", "x\n")
			w.git("add", "f")
			w.git("-c", "user.name=x", "commit", "-q", "--author", secret+" <a@example.com>", "-m", "x")
		}, []string{"github-pat in the message of commit "}},
		{"in a tag", func(w *work) { w.git("tag", "-a", "-m", "release "+secret, "v1") }, []string{"github-pat in the tag object "}},
		{"with an allow comment", func(w *work) { w.commit("f", secret+" # gitleaks:"+"allow\n", "x") }, []string{"github-pat in f, line 1"}},
		{"in a file that is usually full of keys", func(w *work) { w.commit("node_modules/x/package-lock.json", secret+"\n", "x") }, []string{"github-pat in node_modules/x/package-lock.json, line 1"}},
		{"in a file's name", func(w *work) { w.commit("dir/"+secret+".txt", "x\n", "x") }, []string{`github-pat in a file's name in the directory "/dir/"`}},
		{"in a branch's name", func(w *work) { w.git("branch", secret) }, []string{"github-pat in the name of a ref"}},
		{"in a binary file", func(w *work) { w.commit("bin", "\x00\x01\x02"+secret+"\n", "x") }, []string{"github-pat in bin, line 1"}},
		{"in UTF-16", func(w *work) { w.commit("wide", string(wide), "x") }, []string{"github-pat in wide, line 2"}},
		{"a private key", func(w *work) { w.commit("key", "a\n"+sshKeys().client, "x") }, []string{"private-key in key, line 2"}},
		{"a symbolic link", func(w *work) {
			run(t, w.dir, nil, "ln", "-s", secret, "link")
			w.git("add", "link")
			w.git("commit", "-q", "-m", "x")
		}, []string{"github-pat in link, line 1"}},
		{"a .gitleaks.toml that would allow it", func(w *work) {
			w.commit(".gitleaks.toml", "[allowlist]\npaths = [\".*\"]\n", "x")
			w.commit(".gitleaksignore", "f:github-pat:1\n", "x")
			w.commit("f", secret+"\n", "x")
		}, []string{"github-pat in f, line 1"}},
	}
	each(t, func(t *testing.T, up *served) {
		dir := up.seeded(t, "r", 3)
		g := start(t, up, nil, "r")
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				w := g.clone("r")
				c.make(w)
				before := run(t, dir, nil, "git", "for-each-ref")
				out := w.fails("push", "--all", "--follow-tags", "origin")
				if c.name == "in a tag" {
					out = w.fails("push", "origin", "v1:refs/heads/tag")
				}
				has(t, out, append(c.said, "remote rejected", "secret found", "remote: git-gate: Take it out of every commit")...)
				if strings.Contains(strings.ReplaceAll(out, "-> "+secret, ""), secret) && c.name != "in a branch's name" {
					t.Errorf("the secret was shown:\n%s", out)
				}
				if run(t, dir, nil, "git", "for-each-ref") != before {
					t.Error("it arrived")
				}
			})
		}
		l := g.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool { return l.Rule == "private-key" })
		if l.Remote != "r" || len(l.Refs) == 0 || !strings.Contains(l.Reason, "in key, line 2") {
			t.Errorf("%+v", l)
		}
		for _, l := range g.ear.Lines() {
			if said := fmt.Sprintf("%+v", l); strings.Contains(said, secret) {
				t.Errorf("the secret was said: %s", said)
			}
		}
	})
}

func TestOrdinaryFilesPass(t *testing.T) {
	up := overHTTPS(t)
	dir := up.seeded(t, "r", 1)
	g := start(t, up, nil, "r")
	w := g.clone("r")
	sums := ""
	for i := range 200 {
		r := rand.New(rand.NewPCG(uint64(i), 3))
		b := make([]byte, 32)
		for j := range b {
			b[j] = byte(r.Uint32())
		}
		sums += fmt.Sprintf("example.com/mod%d v1.2.%d h1:%s\n", i, i, base64.StdEncoding.EncodeToString(b))
	}
	w.commit("go.sum", sums, "sums")
	w.commit("package-lock.json", `{"integrity":"sha512-`+base64.StdEncoding.EncodeToString([]byte(sums[:48]))+`"}`, "lock")
	w.commit("main.go", "package main\n\nfunc main() { token := os.Getenv(\"TOKEN\"); use(token) }\n", "code")
	noise := make([]byte, 3<<20)
	r := rand.New(rand.NewPCG(9, 9))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	w.commit("noise.bin", string(noise), "noise")
	w.git("push", "-q")
	w.same(dir, "main", "HEAD")
}
