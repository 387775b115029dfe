package gitgate_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"bottle-tui/sidecars/gitgate"
	"bottle-tui/sidecars/internal/heard"
)

// longWaits says that tests may take many minutes.
const longWaits = "BOTTLE_LONG_WAITS"

// maxResident is how much memory git-gate may hold, whatever is pushed, in bytes.
const maxResident = 256 << 20

// program is the product's own, without the race detector, as it is in a container.
type program struct {
	t    testing.TB
	http string
	pid  int
}

// runProgram runs it for the remote r of up until the test's end.
func runProgram(t testing.TB, up *served) *program {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bottle-tui")
	goEnv := []string{"CGO_ENABLED=0"}
	for _, name := range []string{"GOPATH", "GOCACHE", "GOMODCACHE"} {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Skip("no Go toolchain here: ", err)
		}
		goEnv = append(goEnv, name+"="+strings.TrimSpace(string(out)))
	}
	run(t, "../..", goEnv, "go", "build", "-o", binary, ".")
	c := gitgate.Config{Identity: identity, Remotes: []gitgate.Remote{up.remote("r")}}
	up.config(&c)
	content, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "config.json")
	write(t, config, string(content))
	ear := heard.New()
	cmd := exec.Command(binary, "sidecar", "git-gate", "-config", config, "-spool", t.TempDir(), "-listen-git", "127.0.0.1:0", "-listen-http", "127.0.0.1:0")
	cmd.Stdout = ear
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, _ := json.Marshal(map[string]any{"id": "n", "tokens": map[string]string{tokenVar: token}})
	io.WriteString(in, string(line)+"\n")
	_, http, _ := strings.Cut(ear.Wait(t, "ready").Address, " ")
	return &program{t, http, cmd.Process.Pid}
}

func (p *program) url() string { return "http://" + p.http + "/r" }

// resident is the most memory that it held so far, in bytes.
func (p *program) resident() int64 {
	p.t.Helper()
	f, err := os.Open("/proc/" + strconv.Itoa(p.pid) + "/status")
	if err != nil {
		p.t.Skip(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if kb, ok := strings.CutPrefix(s.Text(), "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(kb)[0], 10, 64)
			return n << 10
		}
	}
	p.t.Skip("this system does not say how much memory a process held")
	return 0
}

// twoHundred makes a working directory whose one new commit has 200 MB that can't be packed: four files, each of
// what a command makes of random bytes.
func twoHundred(t testing.TB, dir string, kinds ...string) *work {
	t.Helper()
	w := newWork(t, nil)
	w.git("clone", "-q", dir, ".")
	for i, kind := range kinds {
		run(t, w.dir, nil, "sh", "-c", "head -c 50000000 /dev/urandom | "+kind+" | head -c 50000000 >large"+strconv.Itoa(i))
	}
	w.git("add", ".")
	w.git("commit", "-q", "-m", "large")
	return w
}

// A pack of 200 MB goes through the program itself both ways, in a bounded memory.
func TestLargePack(t *testing.T) {
	if os.Getenv(longWaits) != "1" {
		t.Skip(longWaits + "=1 has it pushed, which takes a minute")
	}
	up := overHTTPS(t)
	dir := up.seeded(t, "r", 1)
	p := runProgram(t, up)
	w := twoHundred(t, dir, "cat", "cat", "cat", "cat") // text takes the scan much longer, and no more memory
	began := time.Now()
	w.git("push", "-q", p.url(), "HEAD:main")
	w.same(dir, "main", "HEAD")
	pushed, most := time.Since(began), p.resident()
	began = time.Now()
	c := newWork(t, nil)
	c.git("clone", "-q", p.url(), ".")
	c.same(dir, "main", "HEAD")
	t.Logf("push %v, clone %v, %d and then %d MiB", pushed, time.Since(began), most>>20, p.resident()>>20)
	if n := p.resident(); n > maxResident {
		t.Errorf("it held %d MiB", n>>20)
	}
}

// A push of 200 MB, and the most memory that git-gate held.
func BenchmarkLargePush(b *testing.B) {
	up := overHTTPS(b)
	dir := up.seeded(b, "r", 1)
	p := runProgram(b, up)
	w := twoHundred(b, dir, "cat", "cat", "cat", "base64 -w 80")
	b.SetBytes(200e6)
	for b.Loop() {
		began := time.Now()
		w.git("push", "-q", p.url(), "HEAD:main")
		b.ReportMetric(time.Since(began).Seconds(), "s")
	}
	w.same(dir, "main", "HEAD")
	n := p.resident()
	b.ReportMetric(float64(n)/(1<<20), "MiB-RSS")
	if n > maxResident {
		b.Errorf("it held %d MiB", n>>20)
	}
}
