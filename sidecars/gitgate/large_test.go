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

// A push of 200 MB through the program itself, as it is in a container. It reports the most memory that it held.
func BenchmarkLargePush(b *testing.B) {
	up := overHTTPS(b)
	dir := up.seeded(b, "r", 1)
	w := newWork(b, nil)
	w.git("clone", "-q", dir, ".")
	for i, kind := range []string{"cat", "cat", "cat", "base64 -w 80"} {
		run(b, w.dir, nil, "sh", "-c", "head -c 48000000 /dev/urandom | "+kind+" | head -c 52000000 >large"+strconv.Itoa(i))
	}
	w.git("add", ".")
	w.git("commit", "-q", "-m", "large")
	program := filepath.Join(b.TempDir(), "bottle-tui")
	run(b, "../..", []string{"CGO_ENABLED=0", "GOPATH=" + os.Getenv("HOME") + "/go", "GOCACHE=" + os.Getenv("HOME") + "/.cache/go-build", "GOFLAGS=-mod=mod"}, "go", "build", "-o", program, ".")
	c := gitgate.Config{Identity: identity, Remotes: []gitgate.Remote{up.remote("r")}}
	up.config(&c)
	content, err := c.Encode()
	if err != nil {
		b.Fatal(err)
	}
	config, spool := filepath.Join(b.TempDir(), "config.json"), b.TempDir()
	write(b, config, string(content))
	ear := heard.New()
	cmd := exec.Command(program, "sidecar", "git-gate", "-config", config, "-spool", spool, "-listen-git", "127.0.0.1:0", "-listen-http", "127.0.0.1:0")
	cmd.Stdout = ear
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	line, _ := json.Marshal(map[string]any{"id": "n", "tokens": map[string]string{tokenVar: token}})
	io.WriteString(in, string(line)+"\n")
	_, http, _ := strings.Cut(ear.Wait(b, "ready").Address, " ")
	b.SetBytes(200e6)
	for b.Loop() {
		began := time.Now()
		w.git("push", "-q", "http://"+http+"/r", "HEAD:main")
		b.ReportMetric(time.Since(began).Seconds(), "s")
	}
	w.same(dir, "main", "HEAD")
	f, err := os.Open("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/status")
	if err != nil {
		b.Skip(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if kb, ok := strings.CutPrefix(s.Text(), "VmHWM:"); ok {
			n, _ := strconv.Atoi(strings.Fields(kb)[0])
			b.ReportMetric(float64(n)/1024, "MiB-RSS")
			if n > 256<<10 {
				b.Errorf("it held %d MiB", n>>10)
			}
		}
	}
}
