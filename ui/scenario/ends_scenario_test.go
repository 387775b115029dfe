package scenario_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"bottle-tui/ui/scenario"
)

// inShell opens the screen on an empty state root, from a shell with job control, and gives its process.
func inShell(t *testing.T) (term *scenario.Term, pid int) {
	t.Helper()
	heard := make(chan os.Signal, 1) // so that a SIGHUP that was ignored here, as with nohup, is not ignored there
	signal.Notify(heard, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(heard) })
	term = scenario.Start(t, scenario.Options{Args: []string{"bash", "--norc", "--noprofile", "-i"}, Env: []string{"PS1=shell> "}})
	term.WaitText("shell>", patience)
	term.Type("echo was here before\n")
	term.WaitText("\nwas here before", patience)
	term.Type(scenario.BuildBinary(t) + " --home " + filepath.Join(t.TempDir(), "root") + "; echo left with $?\n")
	term.WaitText("? help", patience)
	term.WaitText("no bottles", patience)
	answered(term)
	children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", term.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(string(children))); err != nil {
		t.Fatalf("the shell's processes are %q", children)
	}
	return term, pid
}

// answered waits until the program has read the answers to what it asks the terminal when it takes it.
func answered(term *scenario.Term) {
	term.Press("?")
	term.WaitText("On the screen", patience)
	term.Press("?")
	term.WaitGone("On the screen", patience)
}

// atShell checks that the terminal is the shell's again, as it was.
func atShell(t *testing.T, term *scenario.Term) {
	t.Helper()
	term.WaitText(regexp.MustCompile(`(?m)^was here before(?s:.*)shell>\s*\z`), patience)
	term.Type("stty -a; echo looked\n")
	modes := term.WaitText("\nlooked", patience)
	for _, mode := range []string{"icanon", "echo", "isig", "icrnl", "opost"} {
		if !slices.Contains(strings.Fields(modes), mode) {
			t.Errorf("the terminal has not %s any more:\n%s", mode, modes)
		}
	}
	if _, _, visible := term.Cursor(); !visible {
		t.Error("the cursor is hidden")
	}
}

// The program can be suspended by its key and by a signal, and goes on where it was.
func TestSuspendAndGoOn(t *testing.T) {
	t.Parallel()
	term, pid := inShell(t)
	for name, stop := range map[string]func(){
		"ctrl+z":  func() { term.Press("ctrl+z") },
		"SIGTSTP": func() { _ = syscall.Kill(pid, syscall.SIGTSTP) },
	} {
		stop()
		term.WaitText("Stopped", patience)
		atShell(t, term)
		term.Type("clear; echo was here before; fg\n")
		term.WaitText("? help", patience)
		if screen := term.WaitText("no bottles", patience); strings.Contains(screen, "shell>") {
			t.Errorf("%s: it did not draw itself anew:\n%s", name, screen)
		}
		answered(term)
	}
	term.Press("q")
	atShell(t, term)
}

// Whatever ends the program leaves the terminal as it was.
func TestSignalsLeaveTheTerminalAsItWas(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGINT} {
		term, pid := inShell(t)
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
		if screen := term.WaitText(regexp.MustCompile(`\nleft with \d`), patience); strings.Contains(screen, "goroutine ") {
			t.Errorf("%v: it left a trace of its stack:\n%s", sig, screen)
		}
		atShell(t, term)
		term.Type("exit\n")
		term.ExitCode(patience)
	}
}

// Where the terminal goes away and nothing tells of it, the program ends all the same.
func TestTheProgramEndsWithItsTerminal(t *testing.T) {
	t.Parallel()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(master, &pty.Winsize{Rows: 30, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(scenario.BuildBinary(t), "--home", filepath.Join(t.TempDir(), "root"))
	cmd.Env = append(os.Environ(), "TERM=xterm-256color")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // and no controlling terminal, so that no SIGHUP comes
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var drawn strings.Builder
	for buf := make([]byte, 4096); !strings.Contains(drawn.String(), "help"); {
		n, err := master.Read(buf)
		if err != nil {
			t.Fatalf("%v; it drew %q", err, drawn.String())
		}
		drawn.Write(buf[:n])
	}
	master.Close()
	select {
	case <-ended:
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		t.Fatal("it still runs without a terminal")
	}
}
