package pid1_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"bottle-tui/sidecars/pid1"
)

// under is the variable that makes the test's own executable the first process, as in a container.
const under = "PID1_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(under) != "" {
		os.Exit(pid1.Run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), under+"=1")
	return cmd
}

func TestExitCodesAreThePrograms(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--", "sh", "-c", "exit 3"}, 3, ""},
		{[]string{"sh", "-c", "kill -KILL $$"}, 137, ""},
		{[]string{"sh", "-c", "(sleep 0 & exit 0); echo said; exit 0"}, 0, "said\n"},
		{[]string{"/etc/passwd"}, 126, "permission denied"},
		{[]string{"no-such-program"}, 127, "no-such-program"},
		{nil, 126, "no program"},
	} {
		out, err := command(t, c.args...).CombinedOutput()
		var exit *exec.ExitError
		code := 0
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if code != c.code || !strings.Contains(string(out), c.says) {
			t.Errorf("%q ended with %d, said %q", c.args, code, out)
		}
	}
}

func TestSignalsAreHandedOn(t *testing.T) {
	cmd := command(t, "sh", "-c", "trap 'echo told; exit 7' TERM; echo ready; while :; do sleep 0.01; done")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("it said %q", lines.Text())
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if !lines.Scan() || lines.Text() != "told" {
		t.Errorf("it said %q", lines.Text())
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("it ended with %v", err)
	}
}
