package manifest_test

import (
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/creack/pty"

	"bottle-tui/bottles/manifest"
)

// terminal is a program of this test in a terminal of its own, which resolves a token_ref there.
type terminal struct {
	mu    sync.Mutex
	shown strings.Builder
	keys  io.Writer
	ended chan error
	value string // the file with what it resolved
}

func (s *terminal) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.Write(p)
}

func (s *terminal) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

func inTerminal(t *testing.T, ref, asking string) *terminal {
	t.Helper()
	s := &terminal{value: filepath.Join(t.TempDir(), "value"), ended: make(chan error, 1)}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTheProgramInTheTerminal$")
	cmd.Env = append(os.Environ(), "RESOLVE="+ref, "ASKING="+asking, "VALUE="+s.value, "GPG_TTY=/dev/tty")
	master, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	s.keys = master
	read := make(chan struct{})
	go func() { defer close(read); _, _ = io.Copy(s, master) }()
	go func() { s.ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = master.Close(); <-read })
	return s
}

// resolves waits for the end of the program, and gives what it resolved.
func (s *terminal) resolves(t *testing.T) string {
	t.Helper()
	if err := <-s.ended; err != nil {
		t.Fatalf("%v\n%s", err, s)
	}
	return string(read(t, s.value))
}

func TestTheProgramInTheTerminal(t *testing.T) {
	ref, resolve := os.Getenv("RESOLVE"), manifest.Resolve
	if ref == "" {
		return // it is for the tests below to run
	}
	if os.Getenv("ASKING") != "" {
		resolve = manifest.ResolveAsking
	}
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt)
	defer stop()
	value, err := resolve(ctx, ref)
	if err != nil {
		value = err.Error()
	}
	if err := os.WriteFile(os.Getenv("VALUE"), []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A password manager that wants to ask would draw over the screen, and take its keys.
func TestACommandIsKeptOffTheTerminal(t *testing.T) {
	s := inTerminal(t, "cmd:(echo drawn >/dev/tty) 2>/dev/null; (read key </dev/tty) 2>/dev/null || echo \"no terminal, gpg=$GPG_TTY\"", "")
	if got := s.resolves(t); got != "no terminal, gpg=" || strings.Contains(s.String(), "drawn") {
		t.Errorf("it had %q, and the terminal shows:\n%s", got, s)
	}
}

func TestACommandAsksWhereItMay(t *testing.T) {
	s := inTerminal(t, "cmd:printf 'password? ' >&2; read word; printf 'again? ' >/dev/tty; read again </dev/tty; echo \"$word-$again-$GPG_TTY\"", "yes")
	for _, ask := range []string{"password? ", "again? "} {
		until(t, "the question "+ask, func() bool { return strings.Contains(s.String(), ask) })
		if _, err := io.WriteString(s.keys, "open\n"); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.resolves(t); got != "open-open-/dev/tty" {
		t.Errorf("it had %q, and the terminal shows:\n%s", got, s)
	}
}

// ctrl+c at the question ends the command as it cancels what the program does.
func TestACommandThatAsksIsCancelled(t *testing.T) {
	s := inTerminal(t, "cmd:printf 'password? ' >&2; read word; echo late", "yes")
	until(t, "the question", func() bool { return strings.Contains(s.String(), "password? ") })
	if _, err := io.WriteString(s.keys, "\x03"); err != nil {
		t.Fatal(err)
	}
	if got := s.resolves(t); !strings.HasSuffix(got, ": its command was ended: context canceled") {
		t.Errorf("it had %q, and the terminal shows:\n%s", got, s)
	}
}
