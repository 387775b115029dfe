package scenario_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker"
	"bottle-tui/queue"
	"bottle-tui/state"
	"bottle-tui/ui/scenario"
)

// patience is how long a step may take on a machine that does other things, too.
const patience = 90 * time.Second

// hurry is within which a key that acts is not taken behind another one, and some more.
const hurry = 450 * time.Millisecond

// stage is where one scenario plays: a state root of its own on the real engine. What is left on either
// when the scenario is over fails the test.
type stage struct {
	t      testing.TB
	binary string
	home   string
	log    string
	root   *state.Root
	engine *docker.Engine
	env    []string // of every program that is started, beside the test's own
}

func newStage(t testing.TB) *stage {
	t.Helper()
	s := &stage{t: t, binary: scenario.BuildBinary(t), home: filepath.Join(t.TempDir(), "home"), log: filepath.Join(t.TempDir(), "log")}
	engine, err := docker.Open(t.Context())
	s.must(err)
	s.engine = engine
	keepImages(t, s)
	s.root, err = state.Open(s.home)
	s.must(err)
	t.Cleanup(s.strike)
	return s
}

// in is the same stage within a part of the scenario.
func (s *stage) in(t testing.TB) *stage {
	part := *s
	part.t = t
	return &part
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// strike is the end: `demo --clean` removes every trace of a demo's bottles, which is looked for; what a scenario launched
// besides goes without it.
func (s *stage) strike() {
	t := s.t
	if t.Failed() {
		s.keep()
	}
	s.env = nil // the engine itself, whatever the scenario put before it
	id := s.root.ID()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	if said := s.runs("demo", "--clean", "--yes", "--home", s.home); said.code != 0 {
		t.Errorf("demo --clean failed: %s%s", said.out, said.err)
	}
	if _, err := bottles.Raze(ctx, s.root, s.engine); err != nil {
		t.Error(err)
	}
	if _, err := bottles.RazeShared(ctx, s.engine); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(s.home, ".demo")); err == nil {
		t.Error("demo --clean left its mark")
	}
	s.must(os.RemoveAll(s.home))
	have, err := s.engine.Observe(ctx, id)
	if err != nil || len(have.Containers)+len(have.Networks)+len(have.Volumes) > 0 {
		t.Errorf("left on the engine: %+v (%v)", have, err)
	}
	if images, err := s.engine.Images(ctx, id); err != nil || len(images) > 0 {
		t.Errorf("images left on the engine: %v (%v)", images, err)
	}
	s.engine.Close()
}

// keep puts what the programs wrote among the test's artifacts.
func (s *stage) keep() {
	files := []string{s.log}
	for _, pattern := range []string{"audit/*.jsonl", "state/*/*.json", "queue/*/*.json", "queue/*/done/*.json"} {
		found, _ := filepath.Glob(filepath.Join(s.home, pattern)) // the patterns are well-formed
		files = append(files, found...)
	}
	dir := s.t.ArtifactDir()
	for _, path := range files {
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() || info.Size() > 8<<20 {
			continue
		}
		if content, err := os.ReadFile(path); err == nil {
			name, inside := strings.CutPrefix(path, s.home+"/")
			if !inside {
				name = filepath.Base(path)
			}
			_ = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, "/", "_")), content, 0o600)
		}
	}
	s.t.Logf("what the programs wrote is in %s", dir)
}

// outcome is what a plain command printed, and how it ended.
type outcome struct {
	out, err string
	code     int
}

// runs runs the program to its end, without a terminal.
func (s *stage) runs(args ...string) outcome {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), patience)
	defer cancel()
	var out, err bytes.Buffer
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &err, append(os.Environ(), s.env...)
	runErr := cmd.Run()
	var exit *exec.ExitError
	if runErr != nil && !errors.As(runErr, &exit) {
		s.t.Fatalf("run %s: %v", strings.Join(args, " "), runErr)
	}
	return outcome{out.String(), err.String(), cmd.ProcessState.ExitCode()}
}

// says runs a command that has to end well, with this stage's home.
func (s *stage) says(args ...string) string {
	s.t.Helper()
	got := s.runs(append(args, "--home", s.home)...)
	if got.code != 0 {
		s.t.Fatalf("%s ended with %d: %s%s", strings.Join(args, " "), got.code, got.out, got.err)
	}
	return got.out
}

// operator sits before one running program.
type operator struct {
	*scenario.Term
	s *stage
}

// Press presses keys as a person does: one that acts is not taken right behind another, nor before a dialog was there for
// a moment.
func (o *operator) Press(keys ...string) {
	o.s.t.Helper()
	for _, key := range keys {
		switch key {
		case "y", "enter":
			o.WaitGone("is off: waiting for a quiet keyboard", patience)
		case "r", "x", "C":
			<-time.After(hurry)
		}
		o.Term.Press(key)
	}
}

// size is the terminal's; it is high enough for what the scenarios look at.
type size struct{ cols, rows int }

var usual = size{160, 60}

// opens starts the program in a terminal.
func (s *stage) opens(args ...string) *operator { s.t.Helper(); return s.opensAt(usual, args...) }

func (s *stage) opensAt(at size, args ...string) *operator {
	s.t.Helper()
	args = append([]string{s.binary}, append(args, "--home", s.home, "--log", s.log)...)
	return &operator{scenario.Start(s.t, scenario.Options{Args: args, Env: s.env, Cols: at.cols, Rows: at.rows}), s}
}

// demo starts the demo with these agents.
func (s *stage) demo(agents ...string) *operator {
	s.t.Helper()
	return s.opens("demo", "--agent", strings.Join(agents, ","))
}

// sees waits until the screen shows what, a string or a *regexp.Regexp.
func (o *operator) sees(what any) string { o.s.t.Helper(); return o.WaitText(what, patience) }

// seesNoMore waits until the screen does not show what.
func (o *operator) seesNoMore(what any) string { o.s.t.Helper(); return o.WaitGone(what, patience) }

// seesDone waits until the footer says that an operation is complete. The Supervisor tells it, and the action's own
// outcome, at the same time; which of the two is said last, and stays, is open. It stays for seconds only: wait for it
// before what stays longer.
func (o *operator) seesDone(identity, told, outcome string) {
	o.s.t.Helper()
	o.sees(regexp.MustCompile(regexp.QuoteMeta(identity+": "+told) + "|" + regexp.QuoteMeta(outcome)))
}

// words is a text that may be broken over several rows of a pane.
func words(text string) *regexp.Regexp {
	parts := strings.Fields(text)
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile(strings.Join(parts, `[\s│▏▎]+`))
}

// seesLive waits until n bottles live, and gives the identities of an agent's, in the order of their names.
func (o *operator) seesLive(n int, agent string) []string {
	o.s.t.Helper()
	o.sees(fmt.Sprintf(" %d live", n))
	return o.s.identities(agent)
}

func (s *stage) identities(agent string) []string {
	s.t.Helper()
	var ids []string
	all, _ := s.root.List()
	for _, b := range all {
		if meta, err := b.Metadata(); err == nil && meta.AgentName == agent {
			ids = append(ids, b.Identity())
		}
	}
	slices.Sort(ids)
	return ids
}

// chooses moves the list's cursor to a bottle.
func (o *operator) chooses(identity string) {
	o.s.t.Helper()
	chosen := regexp.MustCompile(`▌\S+ ` + regexp.QuoteMeta(identity))
	if chosen.MatchString(o.Screen()) {
		return
	}
	o.Press("/")
	o.Type(identity)
	o.Press("enter")
	o.sees(chosen)
	o.Press("esc")
	o.sees(chosen)
}

// types types lines to the agent of a bottle, each with enter, and takes the keyboard back. It waits until
// the terminal shows what after each line.
func (o *operator) types(identity string, lines ...[2]string) {
	o.s.t.Helper()
	o.chooses(identity)
	o.Press("enter")
	o.sees(`ctrl+\ leaves`)
	for _, l := range lines {
		o.Type(l[0])
		o.sees("❯ " + l[0])
		o.Press("enter")
		o.sees(l[1])
	}
	o.Press(`ctrl+\`)
	o.seesNoMore(`ctrl+\ leaves`)
}

// reviews opens the oldest request that waits.
func (o *operator) reviews() {
	o.s.t.Helper()
	o.sees("a review")
	o.Press("a")
	o.sees("── end of the change")
}

// reviewsThatOf opens the request of a bottle that waits.
func (o *operator) reviewsThatOf(identity string) {
	o.s.t.Helper()
	o.chooses(identity)
	o.Press("2", "enter")
	o.sees("── end of the change")
}

// answers presses a key that answers the request on the screen: with the end of it shown and a quiet keyboard,
// and again when the program did not take it, as an operator does. It waits until the screen is as done wants it.
func (o *operator) answers(key string, done func(screen string) bool) {
	o.s.t.Helper()
	refused := regexp.MustCompile(`not taken: |not approved: |read it again`)
	for range 20 {
		o.Press("G") // which also takes away what was said to an earlier key
		quiet := func() bool {
			screen := o.Screen()
			return !strings.Contains(screen, "y is off") && !refused.MatchString(screen)
		}
		if !within(o.s.t, 2*time.Second, quiet) {
			continue
		}
		o.Press(key)
		if screen := o.Wait("to take "+key, patience, func(screen string) bool { return done(screen) || refused.MatchString(screen) }); done(screen) {
			return
		}
	}
	o.s.t.Fatalf("%s was never taken; the screen:\n%s", key, o.Screen())
}

// approves approves what is shown. After an editor the screen is drawn anew: one that is not drawn to its last line shows
// nothing yet, and not that the dialog is gone.
func (o *operator) approves() {
	o.s.t.Helper()
	o.answers("y", func(screen string) bool {
		return !strings.Contains(screen, "n deny") && strings.Count(screen, "\n")+1 == len(o.Rows())
	})
}

// denies says no to what is shown.
func (o *operator) denies(reason string) {
	o.s.t.Helper()
	o.answers("n", func(screen string) bool { return strings.Contains(screen, "Why not?") })
	o.Type(reason)
	o.sees(reason)
	o.Press("enter")
	o.seesNoMore("Why not?")
}

// edits puts another Dockerfile in the place of what is asked for, in the operator's own editor, and approves
// that. The program has to be one that was opened with an editor: see withEditor.
func (o *operator) edits(content string) {
	o.s.t.Helper()
	o.s.must(os.WriteFile(o.s.editorInput(), []byte(content), 0o600))
	o.answers("E", func(screen string) bool { return strings.Contains(screen, "Your version, as it would be put in force") })
	o.approves()
}

func (s *stage) editorInput() string { return filepath.Join(filepath.Dir(s.log), "edited.Dockerfile") }

// withEditor gives the programs an editor that knows what to write.
func (s *stage) withEditor() *stage {
	s.env = append(s.env, "VISUAL=", "EDITOR=cp '"+s.editorInput()+"'")
	return s
}

// quits leaves the program.
func (o *operator) quits() {
	o.s.t.Helper()
	o.Press("q")
	if code := o.ExitCode(patience); code != 0 {
		o.s.t.Errorf("the program ended with %d", code)
	}
}

// eventually waits for something that no screen shows.
func (s *stage) eventually(what string, ok func() bool) {
	s.t.Helper()
	if !within(s.t, patience, ok) {
		s.t.Fatalf("waited in vain for %v: %s", patience, what)
	}
}

// within waits until ok, and says whether that came about in time.
func within(t testing.TB, most time.Duration, ok func() bool) bool {
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// parts are the containers of a bottle by role, and whether it has networks and volumes.
type parts struct {
	containers map[bottles.Role]bottles.Container
	networks   int
	volumes    int
}

// onEngine looks at what the engine has of a bottle.
func (s *stage) onEngine(identity string) parts {
	s.t.Helper()
	have, err := s.engine.Observe(s.t.Context(), "")
	s.must(err)
	p := parts{containers: map[bottles.Role]bottles.Container{}}
	mine := func(labels map[string]string) bool {
		return labels[bottles.LabelIdentity] == identity && s.root.Owns(identity, labels[bottles.LabelRoot])
	}
	for _, c := range have.Containers {
		if mine(c.Labels) {
			p.containers[bottles.Role(c.Labels[bottles.LabelRole])] = c
		}
	}
	for _, n := range have.Networks {
		if mine(n.Labels) {
			p.networks++
		}
	}
	for _, v := range have.Volumes {
		if mine(v.Labels) {
			p.volumes++
		}
	}
	return p
}

// facts are what must stay, or change, over what is done to a bottle.
type facts struct {
	meta       state.Metadata
	dockerfile string
	parts
}

func (s *stage) facts(identity string) facts {
	s.t.Helper()
	b := s.bottle(identity)
	meta, err := b.Metadata()
	s.must(err)
	file, err := b.Dockerfile()
	s.must(err)
	return facts{meta, string(file), s.onEngine(identity)}
}

func (s *stage) bottle(identity string) *state.Bottle {
	s.t.Helper()
	b, err := s.root.Bottle(identity)
	s.must(err)
	return b
}

// agent, egress and supervise are the IDs of a bottle's running containers, "" of what does not run.
func (f facts) agent() string     { return f.running(bottles.RoleAgent) }
func (f facts) egress() string    { return f.running(bottles.RoleEgress) }
func (f facts) supervise() string { return f.running(bottles.RoleSupervise) }

func (f facts) running(role bottles.Role) string {
	if c := f.containers[role]; c.State == bottles.StateRunning {
		return c.ID
	}
	return ""
}

// request is the one open request of a bottle.
func (s *stage) request(identity string) queue.Request {
	s.t.Helper()
	pending, problems := queue.Open(s.root.QueueDir(identity)).Requests()
	if len(pending) != 1 || len(problems) > 0 {
		s.t.Fatalf("the queue of %s holds %+v; %+v", identity, pending, problems)
	}
	return pending[0].Request
}

// wasAnsweredOnce checks that a request has left the queue with one answer, that the audit log knows one
// decision, and that it is whole.
func (s *stage) wasAnsweredOnce(identity string, r queue.Request, want queue.Decision) {
	s.t.Helper()
	box := queue.Open(s.root.QueueDir(identity))
	archived := filepath.Join(box.Dir(), "done", r.ID+".answer.json")
	s.eventually("the request "+r.ID+" leaves the queue, and its answer after it", func() bool {
		pending, _ := box.Requests()
		_, err := os.Stat(archived)
		return len(pending) == 0 && err == nil
	})
	done, err := filepath.Glob(filepath.Join(box.Dir(), "done", "*"))
	s.must(err)
	if len(done) != 2 {
		s.t.Errorf("done holds %q", done)
	}
	if n := s.audited(identity, "decision"); n != 1 {
		s.t.Errorf("the audit log has %d decisions", n)
	}
	answer, err := os.ReadFile(archived)
	if err != nil || !strings.Contains(string(answer), `"`+string(want)+`"`) {
		s.t.Errorf("the answer is %s (%v), not %s", answer, err, want)
	}
	if said := s.says("audit", "verify", identity); !strings.Contains(said, "whole") {
		s.t.Errorf("audit verify says %q", said)
	}
}

// audited counts the facts of a kind in a bottle's audit log.
func (s *stage) audited(identity, kind string) int {
	s.t.Helper()
	entries, err := s.root.Audit(identity).Entries(1000)
	s.must(err)
	n := 0
	for _, e := range entries {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// sameMeta says whether a bottle's metadata are the same but for what is noted each minute of a conversation.
func sameMeta(a, b state.Metadata) bool {
	a.Sessions, b.Sessions, a.TaskGiven, b.TaskGiven = nil, nil, false, false
	return reflect.DeepEqual(a, b)
}

// transcript is what the state directory keeps of a bottle's conversation.
func (s *stage) transcript(identity string) string {
	s.t.Helper()
	meta, err := s.bottle(identity).Metadata()
	s.must(err)
	found, err := filepath.Glob(filepath.Join(s.bottle(identity).Dir(), "transcript", "*", meta.SessionID+".jsonl"))
	s.must(err)
	if len(found) != 1 {
		s.t.Fatalf("the transcript of %s is %q", identity, found)
	}
	content, err := os.ReadFile(found[0])
	s.must(err)
	return string(content)
}
