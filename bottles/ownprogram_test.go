package bottles_test

import (
	"slices"
	"strings"
	"testing"

	"bottle-tui/bottles"
)

// A program of the manifest's own is given what the manifest says and nothing else: its task once, and what happened when it
// comes back.
func TestAProgramOfItsOwnIsGivenWhatIsDeclared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cat.tune = func(p *bottles.Profile) {
		p.Program.Own, p.Program.Command, p.Program.Again = true, []string{"run", "--task={task}"}, []string{"again", "{session}", "{task}", "{message}"}
	}
	w.run(nil)
	id := w.launch("count the files")
	w.awaitText(id, "agent started: run --task=count the files")
	session := w.awaitStatus(id, bottles.Live).SessionID
	w.must(bottles.TearDown{Identity: id})
	w.awaitStatus(id, bottles.Down)
	plan, err := w.sup.Preflight(t.Context(), bottles.Resume{Identity: id})
	if err != nil || plan.Task != "" || len(plan.Conflicts) != 0 {
		t.Errorf("the plan of its resume is %+v, %v", plan, err)
	}
	w.must(bottles.Resume{Identity: id})
	w.awaitText(id, "agent started: again "+session+" ")
	if b := w.awaitStatus(id, bottles.Live); b.SessionID != session {
		t.Errorf("it is in %s, and was in %s", b.SessionID, session)
	}
	if text := w.screen(id).String(); strings.Contains(text, "--resume") || strings.Contains(text, "--session-id") || strings.Contains(text, "{") {
		t.Errorf("it was given:\n%s", text)
	}
}

// A task that no argument takes is a conflict, and a program without arguments of its own for it is started again as it was.
func TestATaskNeedsItsPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cat.tune = func(p *bottles.Profile) { p.Program.Own, p.Program.Command = true, []string{"run"} }
	w.run(nil)
	for task, conflict := range map[string]bool{"": false, "count the files": true} {
		plan, err := w.sup.Preflight(t.Context(), bottles.Launch{Agent: "tester", Task: task})
		if err != nil {
			t.Fatal(err)
		}
		if told := slices.ContainsFunc(plan.Conflicts, func(c bottles.Conflict) bool { return strings.Contains(c.Fix, bottles.PlaceTask) }); told != conflict {
			t.Errorf("with the task %q the conflicts are %v", task, plan.Conflicts)
		}
	}
}
