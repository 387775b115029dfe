package scenario_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/queue"
)

// point is a moment in a rebuild cycle.
type point struct {
	name         string
	when         moment
	method, path string // path is a format of a regular expression, for the agent's container
	runs         bool   // an agent runs at that moment
}

// The moments at which the program, or the engine's answer, is lost.
var points = []point{
	{"during the build", after, "POST", `^/build\?`, true},
	{"before the old agent is stopped", before, "POST", `^/containers/%s/stop`, true},
	{"when the old agent has stopped", after, "POST", `^/containers/%s/stop`, false},
	{"between stop and start", before, "POST", `^/containers/create\?.*name=%s$`, false},
	{"right after the start", after, "POST", `^/containers/%s/start`, true},
}

func (p point) of(identity string) string {
	if strings.Contains(p.path, "%s") {
		return fmt.Sprintf(p.path, regexp.QuoteMeta("claude-bottle-"+identity))
	}
	return p.path
}

// counters opens the demo, through a proxy, with a bottle for each of n points; all of them ask.
func counters(s *stage, n int) (*operator, *proxy) {
	p := newProxy(s.t)
	p.comes()
	s.env = append(s.env, p.env())
	op := s.demo(strings.Split(strings.Repeat(",counter", n), ",")[1:]...)
	op.sees(fmt.Sprintf(" %d live · %d wait", n, n))
	return op, p
}

// reviewed is the bottle whose request is on the screen.
func (o *operator) reviewed() string {
	o.s.t.Helper()
	title := regexp.MustCompile(`⚑ (counter-[0-9a-z]{5}) asks for a capability ─`)
	return title.FindStringSubmatch(o.sees(title))[1]
}

// approvesUpTo approves the request of the oldest bottle, and holds what the program asks of the engine at a
// point of the cycle.
func (o *operator) approvesUpTo(p *proxy, at point) (identity string, asked queue.Request, before facts) {
	o.s.t.Helper()
	o.reviews()
	identity = o.reviewed()
	asked, before = o.s.request(identity), o.s.facts(identity)
	held := p.catches(at.when, at.method, at.of(identity))
	o.approves()
	held.springs(o)
	if c := o.s.onEngine(identity).containers[bottles.RoleAgent]; (c.State == bottles.StateRunning) != at.runs {
		o.s.t.Errorf("%s, the agent's container is %+v", at.name, c)
	}
	return identity, asked, before
}

// isWhole checks that a cycle that was interrupted was finished, with nothing lost and nothing done twice.
func (o *operator) isWhole(identity string, asked queue.Request, before facts) {
	s := o.s
	s.t.Helper()
	o.chooses(identity)
	o.sees("tally works now")
	o.sees("I write a small report") // the conversation from its beginning
	s.wasAnsweredOnce(identity, asked, queue.Approved)
	now := s.facts(identity)
	switch {
	case now.agent() == "" || now.agent() == before.agent():
		s.t.Errorf("the agent was not replaced: %+v", now.parts)
	case now.egress() != before.egress() || now.supervise() != before.supervise():
		s.t.Errorf("the sidecars were not left alone: %+v, %+v", before.parts, now.parts)
	case now.dockerfile != asked.Proposed || now.meta.SessionID != before.meta.SessionID || now.meta.ImageDigest == before.meta.ImageDigest:
		s.t.Errorf("it was %+v and is %+v", before, now)
	}
	s.eventually("the journal is cleared", func() bool {
		op, err := s.bottle(identity).Operation()
		return op == nil && err == nil
	})
	if history, err := s.bottle(identity).DockerfileHistory(); err != nil || len(history) != 1 {
		s.t.Errorf("the history is %+v (%v)", history, err)
	}
	o.types(identity, [2]string{"cat notes.md", "Every file here was written by the demo agent"})
}

// bottle-tui is killed at each point of a rebuild cycle: the next one that is started finishes it.
func TestKilled(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	op, p := counters(s, len(points))
	for _, at := range points {
		t.Log(at.name)
		identity, asked, before := op.approvesUpTo(p, at)
		op.Kill9()
		op = s.opens()
		op.sees(identity + ": what was interrupted is finished")
		op.isWhole(identity, asked, before)
	}
	op.sees(fmt.Sprintf(" %d live", len(points)))
}

// The engine goes away at each point of a rebuild cycle, and comes back: the cycle is finished.
func TestEngineGoesAway(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	op, p := counters(s, len(points))
	for _, at := range points {
		t.Log(at.name)
		identity, asked, before := op.approvesUpTo(p, at)
		p.leaves()
		op.sees("✗ no engine")
		op.sees(words("start it (sudo systemctl start docker, or run dockerd as root)"))
		p.comes()
		op.seesNoMore("✗ no engine")
		op.isWhole(identity, asked, before)
		op.Press("!") // what went wrong meanwhile stays in the footer until it was looked at
		op.sees("✗ " + identity)
		op.Press("esc")
	}
	op.sees(fmt.Sprintf(" %d live", len(points)))
}
