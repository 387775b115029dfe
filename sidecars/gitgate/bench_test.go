package gitgate_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// big makes a repository of some size: 2,000 commits on 500 files.
func (s *served) big(b testing.TB, name string) string {
	dir := s.bare(b, name)
	var script strings.Builder
	for i := range 2000 {
		text := strings.Repeat(fmt.Sprintf("line of file %d in its version %d, as code has them: key = value(%d)\n", i%500, i, i*i), 60)
		fmt.Fprintf(&script, "blob\nmark :%d\ndata %d\n%s\n", i+1, len(text), text)
	}
	for i := range 2000 {
		message := fmt.Sprintf("commit %d\n", i)
		fmt.Fprintf(&script, "commit refs/heads/main\nmark :%d\ncommitter A <a@example.com> %d +0000\ndata %d\n%s", 10001+i, 1700000000+i, len(message), message)
		if i > 0 {
			fmt.Fprintf(&script, "from :%d\n", 10000+i)
		}
		fmt.Fprintf(&script, "M 100644 :%d dir%d/sub/file%d.go\n\n", i+1, i%20, i%500)
	}
	w := newWork(b, nil)
	write(b, w.dir+"/in", script.String())
	run(b, dir, nil, "sh", "-c", "git fast-import --quiet <"+w.dir+"/in")
	run(b, dir, nil, "git", "repack", "-adq")
	return dir
}

// Compare "gate" with "direct" of the same kind.
func BenchmarkClone(b *testing.B) {
	for _, kind := range []string{"https", "ssh"} {
		up := map[string]func(testing.TB) *served{"https": overHTTPS, "ssh": func(t testing.TB) *served { return overSSH(t) }}[kind](b)
		up.big(b, "r")
		g := start(b, up, nil, "r")
		clone := func(b *testing.B, env []string, url string) {
			for b.Loop() {
				w := newWork(b, env)
				w.git("clone", "-q", "--bare", url, "c")
				b.StopTimer()
				os.RemoveAll(w.dir)
				b.StartTimer()
			}
		}
		b.Run(kind+"/direct", func(b *testing.B) { clone(b, up.env, up.direct("r")) })
		b.Run(kind+"/gate", func(b *testing.B) { clone(b, nil, g.url("r")) })
	}
}

func BenchmarkPush50(b *testing.B) {
	for _, kind := range []string{"https", "ssh"} {
		up := map[string]func(testing.TB) *served{"https": overHTTPS, "ssh": func(t testing.TB) *served { return overSSH(t) }}[kind](b)
		dir := up.big(b, "r")
		g := start(b, up, nil, "r")
		w := newWork(b, up.env)
		w.git("clone", "-q", dir, ".")
		for i := range 50 {
			name := fmt.Sprintf("dir%d/sub/file%d.go", i%20, i%500)
			old, _ := os.ReadFile(w.dir + "/" + name)
			w.commit(name, string(old)+fmt.Sprintf("func f%d() { token := read(%d) }\n", i, i), "change")
		}
		push := func(b *testing.B, url string) {
			n := 0
			for b.Loop() {
				n++
				w.git("push", "-q", url, fmt.Sprintf("HEAD:refs/heads/n%d", n))
				b.StopTimer()
				run(b, dir, nil, "git", "update-ref", "-d", fmt.Sprintf("refs/heads/n%d", n))
				run(b, dir, nil, "git", "gc", "-q", "--prune=now")
				b.StartTimer()
			}
		}
		b.Run(kind+"/direct", func(b *testing.B) { push(b, up.direct("r")) })
		b.Run(kind+"/gate", func(b *testing.B) { push(b, g.url("r")) })
	}
}
