package cli

import (
	"strings"
	"testing"

	"bottle-tui/state"
)

// A name that is no identity, or has no log, is answered with those that there are.
func TestAuditOfAnUnknownIdentity(t *testing.T) {
	p := newProgram(t)
	root, err := state.Open(p.home)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name, want string) {
		t.Helper()
		p.err.Reset()
		if code := p.run(t.Context(), []string{"audit", "verify", "--home", p.home, "--", name}); code != 1 || !strings.Contains(p.err.String(), want) || strings.Contains(p.err.String(), "\x1b") {
			t.Errorf("%q: exit code %d, %s", name, code, p.err.String())
		}
	}
	refused("nosuch", "there are none yet")
	if err := root.Audit("coder-1a2b3").Append("launch", nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nosuch", "../coder-1a2b3", "", "coder-00000", "\x1b[2J"} {
		refused(name, "there are coder-1a2b3")
	}
	p.out.Reset()
	if code := p.run(t.Context(), []string{"audit", "verify", "--home", p.home, "coder-1a2b3"}); code != 0 || !strings.Contains(p.out.String(), "1 lines, whole") {
		t.Errorf("exit code %d, %s%s", code, p.out.String(), p.err.String())
	}
}
