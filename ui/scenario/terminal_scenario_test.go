package scenario_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/ui/scenario"
)

// What is typed reaches the agent, the agent's terminal is as large as its pane, in small windows and large
// ones, and what has scrolled away can be looked at.
func TestTerminal(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	op := s.opensAt(size{80, 24}, "demo", "--agent", "quiet")
	id := op.seesLive(1, "quiet")[0]
	op.sees("waiting for you")
	op.Press("enter")
	op.sees(`ctrl+\ leaves`)

	// The agent shows as much of a long line as its terminal is wide, but for four cells.
	op.Type(strings.Repeat("x", 220))
	shows := func(cols int) {
		t.Helper()
		op.sees(regexp.MustCompile(fmt.Sprintf(`│❯ …x{%d} *│`, cols-5)))
	}
	shows(78)
	op.Resize(200, 50)
	shows(150)
	op.Resize(100, 30)
	shows(64)
	op.Resize(80, 24)
	shows(78)
	op.Press("ctrl+u")
	op.sees(regexp.MustCompile(`│❯ *│`))

	// Every key but the one that leaves goes to the agent: q does not quit.
	op.Type("first things first, q\n")
	op.sees("Noted.")
	op.Type("help\n")
	op.sees("ctrl-u empties the line")
	op.seesNoMore("first things first")
	op.Press("shift+pgup")
	op.sees("lines back")
	op.Press("shift+pgup", "shift+pgup")
	op.sees("first things first")
	op.Press("shift+pgdown", "shift+pgdown", "shift+pgdown", "shift+pgdown")
	op.seesNoMore("lines back")
	op.Press(`ctrl+\`)
	op.seesNoMore(`ctrl+\ leaves`)

	// A second program on the same root sees the same bottles, and both may type.
	two := s.opensAt(size{200, 50})
	two.sees(" 1 live")
	two.sees(id)
	two.sees("first things first")
	two.types(id, [2]string{"write two.txt from the second", "wrote 1 lines"})
	op.sees("write two.txt from the second")
	op.tearsDown(id)
	two.sees(regexp.MustCompile(id + `.*\s+down`))
	two.Press("r")
	two.seesDone(id, "is live again", id+" is back")
	op.sees(" 1 live")
	op.sees("resumed · ")
}

var (
	colour      = regexp.MustCompile(`\x1b\[(?:[0-9;:]*[;:])?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:[;:][0-9;:]*)?m`)
	privateMode = regexp.MustCompile(`\x1b\[\?([0-9;]+)([hl])`)
)

// NO_COLOR is obeyed, also for what the agents print, and leaving the program leaves the terminal as it was:
// whether by key or by signal. The bottles go on.
func TestLeaving(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.env = append(s.env, "NO_COLOR=1")
	op, printed := s.recorded("demo", "--agent", "quiet,steady")
	id := op.seesLive(2, "quiet")[0]
	op.chooses(id)
	op.sees("waiting for you")
	op.sees("▌● " + id)
	op.types(id, [2]string{"status", "role      quiet"})
	op.quits()
	if found := colour.FindString(printed()); found != "" {
		t.Errorf("in spite of NO_COLOR it printed %q", found)
	}
	op.isAsItWas(printed())
	for _, b := range append(s.identities("quiet"), s.identities("steady")...) {
		if have := s.onEngine(b); len(have.containers) != 4 || have.containers[bottles.RoleAgent].State != bottles.StateRunning {
			t.Errorf("of %s there is %+v", b, have)
		}
	}

	s.env = nil
	op, printed = s.recorded()
	op.seesLive(2, "quiet")
	op.chooses(id)
	op.sees("role      quiet")
	if !colour.MatchString(printed()) {
		t.Error("without NO_COLOR it is without colour, too")
	}
	op.Press("ctrl+c")
	if code := op.ExitCode(patience); code != 0 {
		t.Errorf("ctrl+c ended it with %d", code)
	}
	op.isAsItWas(printed())
}

// A signal, and a shell from which it was started, too.
func TestLeavingBySignal(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	term := scenario.Start(t, scenario.Options{
		Args: []string{"sh", "-c", `echo "a shell was here"; "$0" --home "$1"; echo "it ended with $?"`, s.binary, s.home},
		Cols: 100, Rows: 30,
	})
	op := &operator{term, s}
	op.sees("no bottles")
	if _, _, visible := op.Cursor(); visible {
		t.Error("the cursor is on while the screen is up")
	}
	s.eventually("the program's process", func() bool { return childOf(op.Pid()) != 0 })
	child, err := os.FindProcess(childOf(op.Pid()))
	s.must(err)
	s.must(child.Signal(os.Interrupt))
	op.ExitCode(patience)
	screen := op.Screen()
	if !strings.Contains(screen, "a shell was here") || !strings.Contains(screen, "it ended with") || strings.Contains(screen, "no bottles") {
		t.Errorf("it left the screen\n%s", screen)
	}
	if _, _, visible := op.Cursor(); !visible {
		t.Error("it left the cursor off")
	}
}

// childOf is a process's only child, 0 when it has none.
func childOf(pid int) int {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var child int
	if err == nil {
		_, _ = fmt.Sscan(string(content), &child) // 0 when there is none
	}
	return child
}

// isAsItWas checks that every mode that was set was reset, the cursor is on, and nothing of the screen is left.
func (o *operator) isAsItWas(printed string) {
	o.s.t.Helper()
	modes := map[string]bool{}
	for _, m := range privateMode.FindAllStringSubmatch(printed, -1) {
		for mode := range strings.SplitSeq(m[1], ";") {
			modes[mode] = m[2] == "h"
		}
	}
	if on, ok := modes["25"]; ok && !on {
		o.s.t.Error("it left the cursor off")
	}
	delete(modes, "25")
	if _, ok := modes["1049"]; !ok {
		o.s.t.Error("it was not on the alternate screen")
	}
	maps.DeleteFunc(modes, func(_ string, on bool) bool { return !on })
	if len(modes) > 0 {
		o.s.t.Errorf("it left the modes %v set", slices.Sorted(maps.Keys(modes)))
	}
	if screen := o.Screen(); strings.ContainsAny(screen, "╭╮│╰╯●") || strings.Contains(screen, "? help") {
		o.s.t.Errorf("it left the screen\n%s", o.Screen())
	}
	if _, _, visible := o.Cursor(); !visible {
		o.s.t.Error("the cursor is off")
	}
}
