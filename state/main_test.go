package state_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle-tui/state"
)

// This program stands for another one when it is started with roleEnv.
const roleEnv = "BOTTLE_TUI_STATE_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "hold":
		hold(os.Args[1], os.Args[2])
	case "full-disk":
		fullDisk(os.Args[1])
	case "append":
		appendMany(os.Args[1], os.Args[2])
	default:
		goleak.VerifyTestMain(m)
	}
}

func ended(err error) {
	fmt.Println(err)
	os.Exit(1)
}

// hold takes a bottle's lock, says so, and keeps it until it is killed.
func hold(root, identity string) {
	r, err := state.Open(root)
	if err != nil {
		ended(err)
	}
	b, err := r.Bottle(identity)
	if err != nil {
		ended(err)
	}
	if _, err := b.Lock(context.Background()); err != nil {
		ended(err)
	}
	fmt.Println("held")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// fullDisk replaces the file while no file may be longer than 4 KiB.
func fullDisk(path string) {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4096, Max: 4096}); err != nil {
		ended(err)
	}
	ended(state.WriteFile(path, make([]byte, 8192), 0o600))
}

func appendMany(root, identity string) {
	r, err := state.Open(root)
	if err != nil {
		ended(err)
	}
	for i := range 25 {
		if err := r.Audit(identity).Append("fact", i); err != nil {
			ended(err)
		}
	}
}

// another starts this program in a role; when says waits for its first line.
func another(t testing.TB, role string, args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, bufio.NewReader(out)
}

func open(t testing.TB) *state.Root {
	t.Helper()
	r, err := state.Open(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func create(t testing.TB, r *state.Root) *state.Bottle {
	t.Helper()
	b, err := r.Create(state.Metadata{AgentName: "coder", CWD: "/src/api", StartedAt: time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
