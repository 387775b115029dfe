package gitgate_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
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

// The bars: how many times as long as without git-gate it may take.
const (
	barClone = 1.6
	barPush  = 2.0
	minTurns = 9
)

// through measures each kind of upstream by turns, once directly and once through git-gate, and holds the ratio of
// the medians to a bar: a machine has other things to do, which an average would count.
func through(b *testing.B, bar float64, prepare func(b *testing.B, dir string) (turn func(env []string, url string) time.Duration)) {
	for _, kind := range []string{"https", "ssh"} {
		b.Run(kind, func(b *testing.B) {
			up := map[string]func(testing.TB) *served{"https": overHTTPS, "ssh": func(t testing.TB) *served { return overSSH(t) }}[kind](b)
			dir := up.big(b, "r")
			g := start(b, up, nil, "r")
			turn := prepare(b, dir)
			var direct, gate []time.Duration
			both := func() {
				if len(gate)%2 == 0 { // neither is always the first
					direct = append(direct, turn(up.env, up.direct("r")))
					gate = append(gate, turn(nil, g.url("r")))
				} else {
					gate = append(gate, turn(nil, g.url("r")))
					direct = append(direct, turn(up.env, up.direct("r")))
				}
			}
			both() // the first logs in, and compiles the rules
			direct, gate = nil, nil
			for b.Loop() {
				both()
			}
			for len(gate) < minTurns {
				both()
			}
			median := func(of []time.Duration) float64 {
				slices.Sort(of)
				return of[len(of)/2].Seconds()
			}
			ratio := median(gate) / median(direct)
			b.ReportMetric(0, "ns/op") // of both, and of what is between
			b.ReportMetric(1000*median(direct), "direct-ms")
			b.ReportMetric(1000*median(gate), "gate-ms")
			b.ReportMetric(ratio, "ratio")
			if ratio > bar {
				b.Errorf("it takes %.2f times as long as without git-gate, more than %.1f times", ratio, bar)
			}
		})
	}
}

func BenchmarkClone(b *testing.B) {
	through(b, barClone, func(b *testing.B, _ string) func([]string, string) time.Duration {
		return func(env []string, url string) time.Duration {
			w := newWork(b, env)
			defer os.RemoveAll(w.dir)
			began := time.Now()
			w.git("clone", "-q", "--bare", url, "c")
			return time.Since(began)
		}
	})
}

func BenchmarkPush50(b *testing.B) {
	through(b, barPush, func(b *testing.B, dir string) func([]string, string) time.Duration {
		w := newWork(b, nil)
		w.git("clone", "-q", dir, ".")
		for i := range 50 {
			name := fmt.Sprintf("dir%d/sub/file%d.go", i%20, i%500)
			old, _ := os.ReadFile(w.dir + "/" + name)
			w.commit(name, string(old)+fmt.Sprintf("func f%d() { token := read(%d) }\n", i, i), "change")
		}
		n := 0
		return func(env []string, url string) time.Duration {
			n++
			w.env = env
			began := time.Now()
			w.git("push", "-q", url, fmt.Sprintf("HEAD:refs/heads/n%d", n))
			took := time.Since(began)
			run(b, dir, nil, "git", "update-ref", "-d", fmt.Sprintf("refs/heads/n%d", n))
			run(b, dir, nil, "git", "gc", "-q", "--prune=now")
			return took
		}
	})
}
