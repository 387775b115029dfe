package crowd_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bottle-tui/bottles/docker/watchdog"
)

// A program that is stopped stops no agent: what the agent prints is dropped, and drawn anew when the program goes on.
func TestAStoppedProgramStopsNoAgent(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	if out, err := exec.Command(c.binary, "start", agent, "--yes", "--home", c.root.Dir(), "--manifest", c.manifest).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	all, _ := c.root.List()
	container := "claude-bottle-" + all[0].Identity()
	c.open()
	c.screen.WaitText("agent started", patience)

	other, err := c.engine.Attach(t.Context(), container)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	stop := func(s syscall.Signal) {
		if err := syscall.Kill(c.screen.Pid(), s); err != nil {
			t.Fatal(err)
		}
	}
	stop(syscall.SIGSTOP)
	if _, err := io.WriteString(other, "flood 5000\n"); err != nil {
		t.Fatal(err)
	}
	began, printed := time.Now(), make(chan error, 1)
	go func() {
		text, p := "", make([]byte, 64<<10)
		for !strings.Contains(text, "flooded 5000") {
			n, err := other.Read(p)
			if err != nil {
				printed <- err
				return
			}
			text = text[max(0, len(text)-32):] + string(p[:n])
		}
		printed <- nil
	}()
	select {
	case err := <-printed:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Error("the agent stands still")
	}
	t.Logf("it printed 5 MB in %v", time.Since(began).Round(time.Millisecond))
	stop(syscall.SIGCONT)
	c.screen.WaitText("flooded 5000", patience)
	if _, err := io.WriteString(other, "after\n"); err != nil {
		t.Fatal(err)
	}
	c.screen.WaitText("heard: after", patience)

	// The process that saw to it ends with the program, however that ends.
	dog := watchdogOf(t, c.screen.Pid())
	c.screen.Kill9()
	for deadline := time.Now().Add(patience); ; <-time.After(5 * time.Millisecond) { // between two looks, up to the deadline
		if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", dog)); err != nil || len(name) == 0 { // or a zombie
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the watchdog outlives its program")
		}
	}
}

// watchdogOf is the process of a program's watchdog.
func watchdogOf(t *testing.T, program int) int {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well-formed
	for _, path := range all {
		dir := filepath.Dir(path)
		name, _ := os.ReadFile(path) // of a process that may have ended
		status, _ := os.ReadFile(filepath.Join(dir, "status"))
		if strings.TrimRight(string(name), "\x00") == watchdog.Name && strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", program)) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			return pid
		}
	}
	t.Fatal("the program has no watchdog")
	return 0
}
