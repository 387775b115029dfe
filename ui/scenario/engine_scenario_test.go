package scenario_test

import (
	"strings"
	"testing"

	"bottle-tui/ui/scenario"
)

// Without an engine the screen opens, lists what the disk knows and says what to do; when one comes, be it one
// that is too old first, everything comes to life.
func TestEngineAbsent(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	op := s.demo("quiet")
	id := op.seesLive(1, "quiet")[0]
	op.sees("waiting for you")
	op.quits()

	p := newProxy(t)
	s.env = append(s.env, p.env())
	op = s.opens()
	op.sees("✗ no engine")
	op.sees(id)
	op.sees(words("there is no socket"))
	op.sees(words("start it (sudo systemctl start docker, or run dockerd as root), or set DOCKER_HOST to the engine to use"))
	op.Press("r")
	op.sees("the engine does not answer")
	said := s.runs("list", "--home", s.home)
	if said.code != 1 || !strings.Contains(said.out, id) || !strings.Contains(said.err, "there is no socket "+p.path) {
		t.Errorf("list ended with %d: %s%s", said.code, said.out, said.err)
	}
	demo := scenario.Start(t, scenario.Options{Args: []string{s.binary, "demo", "--home", s.home + "-other"}, Env: s.env, Cols: 100, Rows: 30})
	demo.WaitText("start it", patience)
	if code := demo.ExitCode(patience); code != 1 {
		t.Errorf("demo ended with %d", code)
	}

	p.plays("1.38")
	p.comes()
	op.sees(words("it speaks API 1.38 at most"))
	op.sees(words("Docker Engine 20.10 (API 1.41) or newer is needed"))
	if said := s.runs("list", "--home", s.home); said.code != 1 || !strings.Contains(said.err, "or newer is needed") {
		t.Errorf("list ended with %d: %s%s", said.code, said.out, said.err)
	}

	p.plays("")
	op.sees(" 1 live")
	op.seesNoMore("no engine")
	op.types(id, [2]string{"write back.txt it is back", "wrote 1 lines"})

	// What needs to know how a bottle is made works too.
	op.tearsDown(id)
	op.Press("r")
	op.seesDone(id, "is live again", id+" is back")
	op.types(id, [2]string{"cat back.txt", "● it is back"})
}
