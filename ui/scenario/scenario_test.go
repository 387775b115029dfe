package scenario_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle-tui/ui/scenario"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(longWaits) != "" {
		// The test that waits for long does nothing meanwhile: it takes no other test's place.
		n, _ := strconv.Atoi(flag.Lookup("test.parallel").Value.String()) // it is a number
		_ = flag.Set("test.parallel", strconv.Itoa(n+1))
	}
	goleak.VerifyTestMain(m)
}

const soon = 20 * time.Second

func echo(t *testing.T, args ...string) *scenario.Term {
	t.Helper()
	path := scenario.Build(t, "ui/scenario/testdata/echo")
	return scenario.Start(t, scenario.Options{Args: append([]string{path}, args...), Env: []string{"EXTRA=given"}, Cols: 100, Rows: 30})
}

func TestTheProgramSeesATerminal(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	t.Setenv("TERM", "dumb")
	m := echo(t, "one")
	m.WaitText("echo 100×30 on #000000", soon) // its question for the background was answered
	m.WaitText(`TERM=xterm-256color COLORTERM=truecolor LANG=C.UTF-8 NO_COLOR="" EXTRA=given args=[one]`, soon)
	m.Resize(80, 24)
	m.WaitText("echo 80×24", soon)
}

func TestKeys(t *testing.T) {
	m := echo(t)
	m.WaitText("echo", soon)
	for _, key := range []string{"a", "A", "?", "é", "enter", "esc", "tab", "shift+tab", "space", "backspace", "up", "ctrl+up", "left", "home", "end",
		"pgup", "pgdown", "insert", "delete", "f1", "f12", `ctrl+\`, "ctrl+a", "ctrl+c", "alt+x", "shift+enter", "+", "ctrl+]"} {
		m.Press(key)
		m.WaitText(regexp.MustCompile(`(?m)^key `+regexp.QuoteMeta(key)+`$`), soon)
	}
	m.Type("hi\n")
	m.WaitText("key h\nkey i\nkey enter", soon)
	m.Paste("a line\nand \x1b[201~another")
	m.WaitText(`pasted "a line\rand another"`, soon)
	m.Click(4, 2)
	m.WaitText("clicked 4,2", soon)
}

func TestWaits(t *testing.T) {
	m := echo(t)
	m.WaitText("echo", soon)
	m.Press("n")
	m.WaitText("a notice", soon)
	m.Press("n")
	if screen := m.WaitGone("a notice", soon); strings.Contains(screen, "a notice") {
		t.Errorf("it gave the screen\n%s", screen)
	}
	m.Press("b")
	m.WaitBell(soon)
	m.Wait("to count keys in its title", soon, func(string) bool { return m.Title() == "echo: 3" })
}

func TestHowItEnds(t *testing.T) {
	t.Run("well", func(t *testing.T) {
		m := echo(t)
		m.WaitText("on #000000", soon) // else the answers to its questions come after its end
		m.Press("Q")
		if code := m.ExitCode(soon); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if got := m.Screen(); got != "goodbye" {
			t.Errorf("it left the screen\n%s", got)
		}
	})
	t.Run("badly", func(t *testing.T) {
		m := echo(t)
		m.WaitText("echo", soon)
		m.Press("X")
		if code := m.ExitCode(soon); code != 7 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("killed", func(t *testing.T) {
		m := echo(t)
		m.WaitText("echo", soon)
		m.Kill9()
		if err := syscall.Kill(m.Pid(), 0); err != syscall.ESRCH {
			t.Errorf("it is still there: %v", err)
		}
		if code := m.ExitCode(soon); code != -1 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("still running", func(t *testing.T) {
		var pid int
		t.Run("", func(t *testing.T) { m := echo(t); m.WaitText("echo", soon); pid = m.Pid() })
		if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
			t.Errorf("it outlived its test: %v", err)
		}
	})
}

// failing is a test that fails, for what the harness says then.
type failing struct {
	testing.TB
	dir     string
	said    strings.Builder
	failed  bool
	cleanup []func()
}

func (f *failing) Helper()                 {}
func (f *failing) Failed() bool            { return f.failed }
func (f *failing) ArtifactDir() string     { return f.dir }
func (f *failing) Cleanup(c func())        { f.cleanup = append(f.cleanup, c) }
func (f *failing) Logf(s string, a ...any) { fmt.Fprintf(&f.said, s+"\n", a...) }
func (f *failing) Fatalf(s string, a ...any) {
	f.Logf(s, a...)
	f.failed = true
	runtime.Goexit()
}

func (f *failing) run(body func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		body()
	}()
	<-done
	for _, c := range f.cleanup {
		c()
	}
}

func TestFailures(t *testing.T) {
	path := scenario.Build(t, "ui/scenario/testdata/echo")
	for _, c := range []struct {
		name string
		body func(m *scenario.Term)
		want string
	}{
		{"text that never comes", func(m *scenario.Term) { m.WaitText("echo", soon); m.WaitText("nowhere", 50*time.Millisecond) }, `to show "nowhere", in vain for 50ms`},
		{"text that stays", func(m *scenario.Term) { m.WaitText("echo", soon); m.WaitGone("echo", 50*time.Millisecond) }, `to show "echo" no more, in vain`},
		{"a program that has ended", func(m *scenario.Term) { m.WaitText("echo", soon); m.Press("X"); m.WaitText("nowhere", time.Hour) }, "has ended: exit status 7"},
		{"no such key", func(m *scenario.Term) { m.WaitText("echo", soon); m.Press("meta+z") }, `press "meta+z": there is no such key`},
		{"a program that does not end", func(m *scenario.Term) { m.WaitText("echo", soon); m.ExitCode(50 * time.Millisecond) }, "has not ended within 50ms"},
		{"a program that does not ring", func(m *scenario.Term) { m.WaitText("echo", soon); m.WaitBell(50 * time.Millisecond) }, "has not rung within 50ms"},
		{"nothing to look for", func(m *scenario.Term) { m.WaitText(7, soon) }, "wait for int"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &failing{TB: t, dir: t.TempDir()}
			f.run(func() { c.body(scenario.Start(f, scenario.Options{Args: []string{path}})) })
			said := f.said.String()
			if !f.failed || !strings.Contains(said, c.want) {
				t.Errorf("it said\n%s", said)
			}
			kept, err := filepath.Glob(filepath.Join(f.dir, "*.screens.txt"))
			if err != nil || len(kept) != 1 || !strings.Contains(said, kept[0]) {
				t.Fatalf("kept %q (%v), said\n%s", kept, err, said)
			}
			if text, err := os.ReadFile(kept[0]); err != nil || !strings.Contains(string(text), "── after ") {
				t.Errorf("kept %q: %v", text, err)
			}
		})
	}
}

func TestBuildOnce(t *testing.T) {
	a := scenario.Build(t, "ui/scenario/testdata/echo")
	before, err := os.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	b := scenario.Build(t, "ui/scenario/testdata/echo")
	after, err := os.Stat(b)
	if err != nil || a != b || !before.ModTime().Equal(after.ModTime()) {
		t.Errorf("it was built again: %s, %s, %v", a, b, err)
	}
	f := &failing{TB: t}
	f.run(func() { scenario.Build(f, "ui/scenario/testdata/nowhere") })
	if !strings.Contains(f.said.String(), "go build") {
		t.Errorf("a package that is not there: %q", f.said.String())
	}
}

func TestSVG(t *testing.T) {
	m := echo(t)
	m.WaitText("on #000000", soon)
	m.Press("n")
	m.WaitText("a notice", soon)
	svg := m.StyledSVG()
	for _, want := range []string{
		`<svg xmlns="http://www.w3.org/2000/svg" width="872" height="572"`,
		`fill="#8cc265" font-weight="bold">echo</text>`,
		`text-decoration="underline">#000000</text>`,
		`fill="#161616"> a notice &lt;&amp;&gt;</text>`,
		`textLength="16.8" fill="#d4d4d4">漢</text>`,
	} {
		if !strings.Contains(svg, want) {
			t.Errorf("it lacks %s", want)
		}
	}
	if strings.ContainsAny(svg, "\x1b\x00") {
		t.Error("it has control characters")
	}
	if t.Failed() {
		_ = os.WriteFile(filepath.Join(t.ArtifactDir(), "screen.svg"), []byte(svg), 0o600)
		t.Log(svg)
	}
}
