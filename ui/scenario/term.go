// Package scenario drives the real program in a pseudo-terminal, as an operator does, and reads its screen
// through a terminal emulator. It is for tests only; nothing of the product may import it.
//
// A wait looks again whenever the screen changed, never after a sleep. When a test fails, the last screens that
// its waits saw are in its artifact directory (go test -artifacts; else a temporary one, which the log names).
package scenario

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"bottle-tui/ui/terminal"
)

// Options say how a program is started.
type Options struct {
	// Args is the program and its arguments, the program's path first.
	Args []string
	// Env is NAME=value, beside the environment of the test without NO_COLOR and the like, with TERM, COLORTERM
	// and LANG fixed; what is given here wins.
	Env []string
	// Cols and Rows are the terminal's size in cells; 0: 120 and 40.
	Cols, Rows int
	// Dir is the working directory; "": the test's own.
	Dir string
}

// Term is a program that runs in a terminal. Its methods are for the goroutine of the test.
type Term struct {
	t       testing.TB
	name    string
	cmd     *exec.Cmd
	pty     *os.File
	screen  *terminal.Screen
	changed chan struct{} // a value after the screen changed or the program ended
	bells   chan struct{}
	replies chan []byte
	exited  chan struct{} // closed when the program has ended
	drained chan struct{} // closed when all that it printed is on the screen
	keep    sync.WaitGroup
	seen    seen
}

// Start starts the program. At the test's end it is killed, if it still runs, and waited for.
func Start(t testing.TB, o Options) *Term {
	t.Helper()
	if o.Cols == 0 {
		o.Cols = 120
	}
	if o.Rows == 0 {
		o.Rows = 40
	}
	m := &Term{
		t: t, name: filepath.Base(o.Args[0]), cmd: exec.Command(o.Args[0], o.Args[1:]...),
		changed: make(chan struct{}, 1), bells: make(chan struct{}, 100), replies: make(chan []byte, 64),
		exited: make(chan struct{}), drained: make(chan struct{}),
	}
	m.screen = terminal.New(o.Cols, o.Rows, terminal.MaxScrollback, m.reply)
	m.screen.SetDirty(m.signal)
	m.screen.Bell(func() {
		select {
		case m.bells <- struct{}{}:
		default:
		}
	})
	m.cmd.Dir, m.cmd.Env = o.Dir, environment(o.Env)
	f, err := pty.StartWithSize(m.cmd, winsize(o.Cols, o.Rows))
	if err != nil {
		t.Fatalf("start %s in a terminal: %v", strings.Join(o.Args, " "), err)
	}
	m.pty = f
	m.keep.Go(m.drain)
	m.keep.Go(m.answer)
	m.keep.Go(func() {
		_ = m.cmd.Wait() // the state says how it ended
		close(m.exited)
		m.signal()
	})
	t.Cleanup(m.end)
	return m
}

func winsize(cols, rows int) *pty.Winsize {
	return &pty.Winsize{Cols: uint16(cols), Rows: uint16(rows)}
}

// fixed is in every program's environment, so that its screen is the same on every machine.
var fixed = []string{"TERM=xterm-256color", "COLORTERM=truecolor", "LANG=C.UTF-8", "LC_ALL=C.UTF-8"}

// dropped would change how a program draws, or tell it of another terminal.
var dropped = regexp.MustCompile(`^(NO_COLOR|CLICOLOR|CLICOLOR_FORCE|FORCE_COLOR|TERM_PROGRAM|TERM_PROGRAM_VERSION|` +
	`TMUX|TMUX_PANE|STY|SSH_TTY|SSH_CONNECTION|SSH_CLIENT|WT_SESSION|COLUMNS|LINES|LANG|LANGUAGE|LC_[A-Z]+)=`)

func environment(extra []string) []string {
	env := slices.DeleteFunc(os.Environ(), dropped.MatchString)
	return append(append(env, fixed...), extra...) // of two with one name the last counts
}

// drain brings what the program prints to the screen, until nobody has the terminal open any more.
func (m *Term) drain() {
	buf := make([]byte, 32<<10)
	for {
		n, err := m.pty.Read(buf)
		_, _ = m.screen.Write(buf[:n])
		if err != nil {
			close(m.drained)
			m.signal()
			return
		}
	}
}

// reply takes the screen's answers to the program's questions; those that it does not read are dropped.
func (m *Term) reply(p []byte) {
	select {
	case m.replies <- slices.Clone(p):
	default:
	}
}

func (m *Term) answer() {
	for {
		select {
		case p := <-m.replies:
			_, _ = m.pty.Write(p)
		case <-m.exited:
			return
		}
	}
}

func (m *Term) signal() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// end is the test's cleanup.
func (m *Term) end() {
	if m.t.Failed() {
		m.see()
		m.seen.write(m.t, m.name)
	}
	select {
	case <-m.exited:
	default:
		_ = syscall.Kill(-m.cmd.Process.Pid, syscall.SIGKILL) // and what it started: the pty made it a group
	}
	<-m.exited
	select {
	case <-m.drained:
	case <-time.After(5 * time.Second):
		m.t.Errorf("%s has ended, but something that it started still holds its terminal open", m.name)
		return // its reader cannot be ended
	}
	m.keep.Wait()
	_ = m.pty.Close()
	m.screen.Close()
}

// Screen is the screen as text: a line for each row, trailing blanks and trailing empty rows cut.
func (m *Term) Screen() string {
	return strings.TrimRight(strings.Join(m.screen.Plain(), "\n"), "\n")
}

// Rows is the screen as styled rows, each ending with its styles reset.
func (m *Term) Rows() []string { return slices.Clone(m.screen.Rows(0)) }

// Title is the window title that the program set.
func (m *Term) Title() string { return m.screen.Title() }

// Cursor is the cursor's cell and whether it is shown.
func (m *Term) Cursor() (x, y int, visible bool) { return m.screen.Cursor() }

// Pid is the program's process id.
func (m *Term) Pid() int { return m.cmd.Process.Pid }

// Resize changes the terminal's size in cells, as when the operator drags the window.
func (m *Term) Resize(cols, rows int) {
	m.t.Helper()
	m.screen.Resize(cols, rows)
	if err := pty.Setsize(m.pty, winsize(cols, rows)); err != nil {
		m.t.Fatalf("resize the terminal of %s to %d×%d: %v", m.name, cols, rows, err)
	}
}

// Signal sends the program a signal.
func (m *Term) Signal(sig os.Signal) {
	m.t.Helper()
	if err := m.cmd.Process.Signal(sig); err != nil {
		m.t.Fatalf("send %v to %s: %v", sig, m.name, err)
	}
}

// Kill9 kills the program, and not what it started, with SIGKILL, and waits for its end.
func (m *Term) Kill9() {
	m.t.Helper()
	m.Signal(syscall.SIGKILL)
	<-m.exited
}

// ExitCode waits for the program's end and gives its code, or -1 when a signal ended it. The screen then has
// all that it printed.
func (m *Term) ExitCode(deadline time.Duration) int {
	m.t.Helper()
	limit := time.NewTimer(deadline)
	defer limit.Stop()
	for _, c := range []chan struct{}{m.exited, m.drained} {
		select {
		case <-c:
		case <-limit.C:
			m.fail("%s has not ended within %v", m.name, deadline)
		}
	}
	return m.cmd.ProcessState.ExitCode()
}
