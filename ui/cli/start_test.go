package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/bottles/manifest"
	"bottle-tui/state"
)

// said is a program and what it printed.
type said struct {
	*program
	out, err bytes.Buffer
}

func newProgram(t *testing.T) *said {
	t.Helper()
	s := &said{program: &program{}}
	s.program.in, s.program.out, s.program.err = strings.NewReader(""), &s.out, &s.err
	s.home = filepath.Join(t.TempDir(), "root")
	t.Setenv("HOME", t.TempDir())
	t.Chdir(t.TempDir())
	return s
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsNotUnderstood(t *testing.T) {
	for args, want := range map[string]string{
		"start":                           "accepts 1 arg(s), received 0",
		"start a b":                       "accepts 1 arg(s), received 2",
		"start a --format json":           "--format is for --dry-run",
		"start a --dry-run --format yaml": `--format is text or json, not "yaml"`,
		"start a --detach":                "unknown flag: --detach",
		"start a --cwd=":                  "--cwd names no directory",
		"resume a-12345 --format json":    "--format is for --dry-run",
		"info":                            "accepts 1 arg(s), received 0",
		"info a --format yaml":            `--format is text or json, not "yaml"`,
	} {
		p := newProgram(t)
		if code := p.run(t.Context(), strings.Fields(args)); code != 2 || !strings.Contains(p.err.String(), want) || !strings.Contains(p.err.String(), "--help") {
			t.Errorf("%s ended with %d: %s", args, code, &p.err)
		}
	}
}

// Without a manifest a start says where it looked, what one looks like, and what to do without.
func TestNoManifest(t *testing.T) {
	for _, args := range [][]string{{"start", "coder"}, {"start", "coder", "--dry-run"}, {"info", "coder"}} {
		p := newProgram(t)
		p.home = filepath.Join(t.TempDir(), "none")
		code := p.run(t.Context(), append(args, "--home", p.home))
		home, _ := os.UserHomeDir()
		here, _ := os.Getwd()
		for _, want := range []string{filepath.Join(home, manifest.Name), filepath.Join(here, manifest.Name), "--manifest", example, "bottle-tui demo"} {
			if code != 1 || !strings.Contains(p.err.String(), want) {
				t.Errorf("%q ended with %d and lacks %s:\n%s", args, code, want, &p.err)
			}
		}
		if _, err := os.Lstat(p.home); args[0] == "start" && err == nil {
			t.Errorf("%q made %s", args, p.home)
		}
	}
}

func TestTheExampleIsOne(t *testing.T) {
	if lines := strings.Count(example, "\n") + 1; lines != 6 {
		t.Errorf("it has %d lines", lines)
	}
	m, err := manifest.Parse("/example.json", []byte(example))
	if err != nil || len(m.Agents) != 1 || len(m.Profiles) != 1 {
		t.Errorf("it is %+v: %v", m, err)
	}
}

// A broken manifest fails the commands that need it with everything that is wrong, and no other.
func TestBrokenManifest(t *testing.T) {
	p := newProgram(t)
	path := filepath.Join(t.TempDir(), "broken.json")
	write(t, path, `{"bottles": {"dev": {"supervize": true}}, "agents": {"coder": {"bottle": "def"}}}`)
	for _, args := range [][]string{{"start", "coder", "--yes"}, {"start", "coder", "--dry-run", "--format", "json"}, {"info", "coder"}} {
		p.out.Reset()
		p.err.Reset()
		code := p.run(t.Context(), append(args, "--manifest", path))
		if said := p.err.String(); code != 1 || p.out.Len() > 0 || !strings.Contains(said, path+":1:") || !strings.Contains(said, "supervize") || !strings.Contains(said, "agents.coder.bottle") {
			t.Errorf("%q ended with %d: %s%s", args, code, &p.out, said)
		}
	}
	for _, args := range [][]string{{"audit", "verify"}, {"version"}} {
		if code := p.run(t.Context(), append(args, "--manifest", path)); code != 0 {
			t.Errorf("%q ended with %d: %s", args, code, &p.err)
		}
	}
}

func TestNoSuchAgent(t *testing.T) {
	p := newProgram(t)
	home, _ := os.UserHomeDir()
	write(t, filepath.Join(home, manifest.Name), `{"bottles": {"dev": {}}, "agents": {"coder": {"bottle": "dev"}}}`)
	dir := t.TempDir()
	write(t, filepath.Join(dir, manifest.Name), `{"agents": {"reviewer": {"bottle": "dev"}}}`)
	if code := p.run(t.Context(), []string{"start", "reviwer", "--cwd", dir}); code != 1 || !strings.Contains(p.err.String(), "did you mean reviewer? there are: coder, reviewer") {
		t.Errorf("it ended with %d: %s", code, &p.err)
	}
	p.err.Reset()
	code := p.run(t.Context(), []string{"start", "writer", "--cwd", dir})
	if said := p.err.String(); code != 1 || !strings.Contains(said, "there is no agent writer in "+filepath.Join(home, manifest.Name)) || !strings.Contains(said, "there are: coder, reviewer") {
		t.Errorf("it ended with %d: %s", code, said)
	}
	// Of a name that is neither an agent nor a bottle.
	p.err.Reset()
	code = p.run(t.Context(), []string{"info", "writer"})
	if said := p.err.String(); code != 1 || !strings.Contains(said, "there is no agent writer") || !strings.Contains(said, "Nor is it a bottle: there are no bottles in ") {
		t.Errorf("it ended with %d: %s", code, said)
	}
}

func TestAsk(t *testing.T) {
	answer := func(t *testing.T, p *said, answer string) *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		if answer != "" {
			if _, err := w.WriteString(answer); err != nil {
				t.Fatal(err)
			}
		}
		p.in, p.terminal = r, true
		return w
	}
	for typed, yes := range map[string]bool{"y\n": true, "Yes\n": true, " y \n": true, "\n": false, "n\n": false, "yep\n": false, "no\ny\n": false} {
		p := newProgram(t)
		answer(t, p, typed)
		if err := p.ask(t.Context(), "Start this bottle? [y/N] "); (err == nil) != yes {
			t.Errorf("%q: %v", typed, err)
		}
		if !strings.HasSuffix(p.err.String(), "Start this bottle? [y/N] ") {
			t.Errorf("it asks %q", &p.err)
		}
	}
	t.Run("end of input", func(t *testing.T) {
		p := newProgram(t)
		answer(t, p, "").Close()
		if err := p.ask(t.Context(), "?"); !errors.Is(err, errNo) {
			t.Errorf("it says %v", err)
		}
	})
	t.Run("ctrl+c", func(t *testing.T) {
		p := newProgram(t)
		answer(t, p, "")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.ask(ctx, "?"); !errors.Is(err, context.Canceled) {
			t.Errorf("it says %v", err)
		}
	})
	t.Run("no terminal", func(t *testing.T) {
		p := newProgram(t)
		if err := p.ask(t.Context(), "?"); err == nil || !strings.Contains(err.Error(), "give --yes") || p.err.Len() > 0 {
			t.Errorf("it says %v, and prints %q", err, &p.err)
		}
	})
}

// acts is a Supervisor that is told what to tell.
type acts struct {
	updates chan bottles.Update
	done    chan error
	refuse  error
	started []bottles.Action
}

func (a *acts) Updates() <-chan bottles.Update { return a.updates }

func (a *acts) Start(_ context.Context, action bottles.Action) (<-chan error, error) {
	a.started = append(a.started, action)
	if a.refuse != nil {
		a.done <- nil // it goes on, to its end
		return nil, a.refuse
	}
	a.done <- fmt.Errorf("stop it: %w", context.Canceled)
	return a.done, nil
}

func newActs(steps ...string) *acts {
	a := &acts{updates: make(chan bottles.Update, len(steps)), done: make(chan error, 1)}
	for _, step := range steps {
		a.updates <- bottles.Update{Snapshot: &bottles.Snapshot{Bottles: []bottles.Bottle{
			{Identity: "other-00000", Operation: &bottles.Operation{Step: "something else"}},
			{Identity: "coder-k3x9q", Status: bottles.Starting, Operation: &bottles.Operation{Step: step}},
		}}}
	}
	return a
}

func TestFollow(t *testing.T) {
	p := newProgram(t)
	a := newActs("copy 1,200 of 5,000 files", "copy 1,200 of 5,000 files", "start \x1b[2J")
	ended := make(chan error)
	go func() { ended <- p.follow(t.Context(), a, "coder-k3x9q", a.done) }()
	for len(a.updates) > 0 {
		select {
		case err := <-ended:
			t.Fatal(err)
		default:
		}
	}
	failed := errors.New("it failed")
	a.done <- failed
	if err := <-ended; !errors.Is(err, failed) {
		t.Errorf("it ends with %v", err)
	}
	if want := "coder-k3x9q: copy 1,200 of 5,000 files\ncoder-k3x9q: start ␛[2J\n"; p.err.String() != want {
		t.Errorf("it says %q", &p.err)
	}
}

// A count that grows is written over on a terminal, and told now and then elsewhere.
func TestFollowCounts(t *testing.T) {
	steps := []string{"make the networks", "copy 1 of 3 files, 0.1 MB", "copy 1 of 3 files, 1,000.2 MB", "copy 3 of 3 files, 1,000.3 MB", "start it"}
	for terminal, want := range map[bool]string{
		false: "c-k3x9q: make the networks\nc-k3x9q: copy 1 of 3 files, 0.1 MB\nc-k3x9q: start it\n",
		true: "\rc-k3x9q: make the networks\x1b[K\n\rc-k3x9q: copy 1 of 3 files, 0.1 MB\x1b[K\rc-k3x9q: copy 1 of 3 files, 1,000.2 MB\x1b[K" +
			"\rc-k3x9q: copy 3 of 3 files, 1,000.3 MB\x1b[K\n\rc-k3x9q: start it\x1b[K\n",
	} {
		var out bytes.Buffer
		tell := teller{out: &out, identity: "c-k3x9q", inPlace: terminal}
		for _, step := range steps {
			tell.tell(&bottles.Snapshot{Bottles: []bottles.Bottle{{Identity: "c-k3x9q", Operation: &bottles.Operation{Step: step}}}})
		}
		tell.end()
		if out.String() != want {
			t.Errorf("on a terminal (%v): %q", terminal, &out)
		}
	}
}

// Of a build that failed the end of its log is printed, which comes with the last snapshot.
func TestFollowBuildFailure(t *testing.T) {
	p, a := newProgram(t), &acts{updates: make(chan bottles.Update), done: make(chan error, 1)}
	a.done <- fmt.Errorf("build it: %w", bottles.ErrBuild)
	var log []string
	for i := range 100 {
		log = append(log, fmt.Sprintf("line %d\x1b[2J", i))
	}
	told := func(lines []string, err string) bottles.Update {
		return bottles.Update{Snapshot: &bottles.Snapshot{Bottles: []bottles.Bottle{
			{Identity: "coder-k3x9q", Status: bottles.Failed, Operation: &bottles.Operation{Step: "build", Log: lines, Err: err}}}}}
	}
	go func() {
		a.updates <- told(log[:10], "")
		a.updates <- told(log, "it failed")
	}()
	if err := p.follow(t.Context(), a, "coder-k3x9q", a.done); !errors.Is(err, bottles.ErrBuild) {
		t.Errorf("it ends with %v", err)
	}
	if said := p.err.String(); strings.Count(said, "\n") != logTail || !strings.HasPrefix(said, "  line 70␛[2J\n") || !strings.HasSuffix(said, "  line 99␛[2J\n") {
		t.Errorf("it says %q", said)
	}
}

func TestFollowIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p, a := newProgram(t), newActs()
	err := p.follow(ctx, a, "coder-k3x9q", a.done)
	if !errors.Is(err, context.Canceled) || len(a.started) != 1 || a.started[0] != (bottles.Cancel{Identity: "coder-k3x9q"}) {
		t.Errorf("it ends with %v, and asked for %v", err, a.started)
	}
	want := "coder-k3x9q: cancelling, and taking down what was made\n"
	if p.err.String() != want {
		t.Errorf("it says %q", &p.err)
	}
	if said := p.left("coder-k3x9q", bottles.Launch{}); said != "cancelled, nothing of it is left" {
		t.Errorf("of a start it says %q", said)
	}
	if said := p.left("coder-k3x9q", bottles.Resume{}); said != "cancelled, and taken down; its state is kept. To start it after all: bottle-tui resume coder-k3x9q --home "+p.home {
		t.Errorf("of a resume it says %q", said)
	}
	// Where it can't be cancelled, its end is waited for.
	p, a = newProgram(t), newActs()
	a.refuse = fmt.Errorf("%w: that can't be cancelled half-way", bottles.ErrRefused)
	if err := p.follow(ctx, a, "coder-k3x9q", a.done); err != nil || !strings.Contains(p.err.String(), "half-way; waiting for its end") {
		t.Errorf("it ends with %v, and says %q", err, &p.err)
	}
	// A cleanup has no bottle to cancel.
	if err := newProgram(t).follow(ctx, newActs(), "", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
	// The Supervisor ended by itself.
	a = newActs()
	close(a.updates)
	if err := newProgram(t).follow(t.Context(), a, "coder-k3x9q", a.done); err == nil || !strings.Contains(err.Error(), "the next bottle-tui") {
		t.Errorf("it ends with %v", err)
	}
}

// declares is a manifest.
type declares struct {
	agents   []string
	problems []bottles.Problem
}

func (d declares) Agents() []string            { return d.agents }
func (d declares) Problems() []bottles.Problem { return d.problems }
func (d declares) Profile(m state.Metadata) (bottles.Profile, error) {
	for _, a := range d.agents {
		if a == m.AgentName {
			return bottles.Profile{Agent: a, Manifest: "/m.json"}, nil
		}
	}
	return bottles.Profile{}, fmt.Errorf("%w for %s", bottles.ErrNoProfile, m.AgentName)
}
func (d declares) Where(ref string) string { return "" }
func (d declares) Edit(state.Metadata, bottles.Change) (bottles.Edit, error) {
	return bottles.Edit{Path: "/m.json"}, nil
}

func TestCatalog(t *testing.T) {
	demoAgents := strings.Join((&demoCatalog{}).Agents(), " ")
	broken := []bottles.Problem{{Path: "/m.json", Err: "broken"}}
	for _, c := range []struct {
		name   string
		has    declares
		agents string
	}{
		{"with agents", declares{agents: []string{"coder"}}, "coder"},
		{"without", declares{}, demoAgents},
		{"broken", declares{problems: broken}, ""},
		{"broken in part", declares{agents: []string{"coder"}, problems: broken}, "coder"},
	} {
		if got := strings.Join((&catalog{manifest: c.has, demo: &demoCatalog{}}).Agents(), " "); got != c.agents {
			t.Errorf("%s: the agents are %q", c.name, got)
		}
	}
	c := &catalog{manifest: declares{agents: []string{"coder"}}, demo: &demoCatalog{}}
	if p, err := c.Profile(state.Metadata{AgentName: "coder"}); err != nil || p.Agent != "coder" {
		t.Errorf("coder is %+v, %v", p, err)
	}
	if _, err := c.Profile(state.Metadata{AgentName: "quiet"}); !errors.Is(err, bottles.ErrNoProfile) {
		t.Errorf("an agent of the demo beside a manifest: %v", err)
	}
	if _, err := c.Profile(state.Metadata{AgentName: "nobody", Manifest: builtinDemo}); !errors.Is(err, bottles.ErrNoProfile) || !strings.Contains(err.Error(), "the demo has no such agent") {
		t.Errorf("what a demo left: %v", err)
	}
	if e, err := c.Edit(state.Metadata{AgentName: "coder", Manifest: "/m.json"}, bottles.Change{}); err != nil || e.Path != "/m.json" {
		t.Errorf("an edit is %+v, %v", e, err)
	}
	if _, err := c.Edit(state.Metadata{AgentName: "quiet", Manifest: builtinDemo}, bottles.Change{}); err == nil {
		t.Error("the demo's manifest was edited")
	}
}

// Of two demos that begin at once one launches the bottles.
func TestADemoIsClaimedOnce(t *testing.T) {
	home := filepath.Join(t.TempDir(), "root")
	claims := make(chan bool, 8)
	for range cap(claims) {
		go func() {
			root, err := state.Open(home)
			if err != nil {
				t.Error(err)
				claims <- false
				return
			}
			first, err := claimDemo(root)
			if err != nil {
				t.Error(err)
			}
			claims <- first
		}()
	}
	n := 0
	for range cap(claims) {
		if <-claims {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d of them launch it", n)
	}
}

// What another program makes of a new root while it is looked at stays there.
func TestLookingRemovesNothing(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(t.TempDir(), "none"))
	for i := range 30 {
		p := &program{out: io.Discard, err: io.Discard}
		home := filepath.Join(t.TempDir(), "root")
		looked := make(chan struct{})
		go func() { defer close(looked); p.run(t.Context(), []string{"list", "--home", home}) }()
		root, err := state.Open(home)
		if err != nil {
			t.Fatal(err)
		}
		<-looked
		if err := root.Check(); err != nil {
			t.Fatalf("time %d: %v", i, err)
		}
		for _, sub := range []string{"state", "queue", "audit"} {
			if _, err := os.Lstat(filepath.Join(home, sub)); err != nil {
				t.Fatalf("time %d: %v", i, err)
			}
		}
	}
}

func TestQuoted(t *testing.T) {
	for word, want := range map[string]string{"/a/b-c_1.json": "/a/b-c_1.json", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$HOME": "'$HOME'"} {
		if got := quoted(word); got != want {
			t.Errorf("%q is %s", word, got)
		}
	}
}

// What ends the Supervisor is told, and not that it ended what ran beside it.
func TestWhatEndsTheSupervisorIsTold(t *testing.T) {
	p := newProgram(t)
	root, err := state.Open(p.home)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(root.QueueRoot()); err != nil {
		t.Fatal(err)
	}
	err = p.supervise(t.Context(), bottles.Config{Root: root}, func(ctx context.Context, _ *bottles.Supervisor) error {
		<-ctx.Done()
		return ctx.Err()
	})
	if errors.Is(err, context.Canceled) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it ended with %v", err)
	}
}

// Who names a bottle that is not there is not told that there are none where they can't be looked at.
func TestWhichBottlesThereAreMayNotBeKnown(t *testing.T) {
	root, err := state.Open(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	if said := known(root); !strings.Contains(said, "there are no bottles") {
		t.Errorf("of an empty root it says %q", said)
	}
	if err := os.Remove(filepath.Join(root.Dir(), "state")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root.Dir(), "state"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if said := known(root); strings.Contains(said, "there are no bottles") {
		t.Errorf("of one that can't be read it says %q", said)
	}
}
