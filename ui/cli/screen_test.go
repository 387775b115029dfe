package cli

import (
	"os"
	"strings"
	"testing"
)

// Where no screen can be shown, nothing is made for it, and the words say what can be used instead.
func TestAScreenNeedsATerminal(t *testing.T) {
	for _, args := range [][]string{nil, {"demo"}} {
		p := newProgram(t)
		p.name, p.noScreen = "./bt", "standard output"
		if code := p.run(t.Context(), append(args, "--home", p.home)); code != 1 || !strings.Contains(p.err.String(), "the screen needs a terminal, and standard output is none") || !strings.Contains(p.err.String(), "./bt --help") {
			t.Errorf("%v ended with %d: %s", args, code, &p.err)
		}
		if _, err := os.Lstat(p.home); !os.IsNotExist(err) {
			t.Errorf("%v: the state root: %v", args, err)
		}
	}
}

// A command that is suggested can be typed as it stands.
func TestHintsNameTheProgramAsItWasCalled(t *testing.T) {
	for name, want := range map[string]string{
		"":                    "bottle-tui resume a-12345 --home /r",
		"bottle-tui":          "bottle-tui resume a-12345 --home /r",
		"bin/bottle-tui":      "bin/bottle-tui resume a-12345 --home /r",
		"/opt/my tools/bt-v2": "'/opt/my tools/bt-v2' resume a-12345 --home /r",
	} {
		p := newProgram(t)
		p.name, p.home = name, "/r"
		if got := p.command("resume a-12345"); got != want {
			t.Errorf("called as %q: %s", name, got)
		}
	}
	p := newProgram(t)
	p.name = "./bt"
	if code := p.run(t.Context(), []string{"list", "--home", p.home}); code != 0 || !strings.Contains(p.out.String(), "To see some: ./bt demo\n") {
		t.Errorf("list ended with %d: %s%s", code, &p.out, &p.err)
	}
	if code := p.run(t.Context(), []string{"nonsense"}); code != 2 || !strings.Contains(p.err.String(), "See ./bt --help.") {
		t.Errorf("it ended with %d: %s", code, &p.err)
	}
}
