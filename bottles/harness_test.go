package bottles_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker"
	"bottle-tui/queue"
	"bottle-tui/state"
)

// patience bounds every wait: generous, because it is only spent by a test that fails.
const patience = 90 * time.Second

// base is the image of the stand-in agent, imported once for all tests.
var base = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "bottle-agent")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "agent")
	build := exec.Command("go", "build", "-trimpath", "-o", path, "./testdata/agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the stand-in agent: %w\n%s", err, out)
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, d := range []string{"home/agent/.claude/", "workspace/", "etc/"} {
		owner := 1000
		if d == "etc/" {
			owner = 0
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: d, Mode: 0o755, Uid: owner, Gid: owner}); err != nil {
			return "", err
		}
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "agent", Mode: 0o755, Size: int64(len(binary))}); err != nil {
		return "", err
	}
	if _, err := w.Write(binary); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	engine, err := docker.Open(context.Background())
	if err != nil {
		return "", err
	}
	defer engine.Close()
	_, err = engine.Import(context.Background(), baseRef, &b, bottles.ImageConfig{Entrypoint: []string{"/agent"}})
	return baseRef, err
})

// baseRef is its name: one of its own for each process, because the end of the tests removes it.
var baseRef = "bottle-tui-test-agent:" + state.RandomBase36(8)

func TestMain(m *testing.M) {
	code := m.Run()
	if engine, err := docker.Open(context.Background()); err == nil {
		_ = engine.RemoveImage(context.Background(), baseRef)
		engine.Close()
	}
	os.Exit(code)
}

// catalog offers the stand-in agent under one name.
type catalog struct {
	dockerfile string
	tune       func(*bottles.Profile) // nil: as it is
}

func (c catalog) Agents() []string { return []string{"tester"} }

func (c catalog) Profile(meta state.Metadata) (bottles.Profile, error) {
	if meta.AgentName != "tester" {
		return bottles.Profile{}, fmt.Errorf("%w for %q", bottles.ErrNoProfile, meta.AgentName)
	}
	p := bottles.Profile{
		Agent: "tester", Name: "tests", Manifest: "builtin:tests",
		Dockerfile: []byte(c.dockerfile), BuildNetwork: "none", Supervise: true,
		Program: bottles.Program{UID: 1000, GID: 1000, Home: "/home/agent/.claude", Grace: 2 * time.Second},
	}
	if c.tune != nil {
		c.tune(&p)
	}
	return p, nil
}

// screen keeps what an agent printed.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}
func (s *screen) Size() (int, int) { return 80, 24 }
func (s *screen) Restarted()       {}
func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// world is one state root on the real engine, and the program that supervises it.
type world struct {
	t      testing.TB
	root   *state.Root
	engine bottles.Engine
	cat    catalog
	whole  bottles.Catalog   // instead of cat; nil: cat
	tokens map[string]string // what token_refs resolve to
	settle time.Duration     // 0: as usual

	mu      sync.Mutex
	cond    *sync.Cond
	snap    *bottles.Snapshot
	alerts  []bottles.Alert
	screens map[string]*screen
	sup     *bottles.Supervisor
	stop    func()
}

// newWorld opens a fresh state root; everything it makes is removed at the end of the test.
func newWorld(t testing.TB) *world {
	t.Helper()
	ref, err := base()
	if err != nil {
		t.Fatal(err)
	}
	root, err := state.Open(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	engine, err := docker.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, root: root, engine: engine, cat: catalog{dockerfile: "FROM " + ref + "\nLABEL test=\"" + root.ID() + "\"\n"}, tokens: map[string]string{}, screens: map[string]*screen{}}
	w.cond = sync.NewCond(&w.mu)
	t.Cleanup(func() {
		w.end()
		if _, err := bottles.Raze(context.Background(), root, engine); err != nil {
			t.Errorf("clean up: %v", err)
		}
		engine.Close()
	})
	return w
}

// another is a second program on the same state root and engine.
func (w *world) another() *world {
	o := &world{t: w.t, root: w.root, engine: w.engine, cat: w.cat, tokens: w.tokens, screens: map[string]*screen{}}
	o.cond = sync.NewCond(&o.mu)
	w.t.Cleanup(o.end)
	return o
}

// run starts a Supervisor on the world with the engine as wrap changes it.
func (w *world) run(wrap func(bottles.Engine, func()) bottles.Engine) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	engine := w.engine
	if wrap != nil {
		engine = wrap(engine, cancel)
	}
	var known bottles.Catalog = w.cat
	if w.whole != nil {
		known = w.whole
	}
	sup := bottles.New(bottles.Config{
		Root: w.root, Engine: engine, Catalog: known, Settle: w.settle, Command: func(args string) string { return "bottle-tui " + args + " --home " + w.root.Dir() }, Screens: func(id string) bottles.Screen { return w.screen(id) },
		Resolve: func(_ context.Context, ref string) (string, error) {
			if v, ok := w.tokens[ref]; ok {
				return v, nil
			}
			return "", errors.New("it is not set")
		},
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := sup.Run(ctx); err != nil {
			w.t.Errorf("run: %v", err)
		}
	}()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for u := range sup.Updates() {
			w.mu.Lock()
			w.snap, w.alerts = u.Snapshot, append(w.alerts, u.Alerts...)
			w.mu.Unlock()
			w.cond.Broadcast()
		}
	}()
	w.sup = sup
	w.stop = func() { cancel(); <-ended; <-heard }
	if err := sup.Ready(w.t.Context()); err != nil && ctx.Err() == nil {
		w.t.Fatalf("the engine: %v", err)
	}
}

// end ends the Supervisor as a crash would, except for the process.
func (w *world) end() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

func (w *world) screen(id string) *screen {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.screens[id] == nil {
		w.screens[id] = &screen{}
	}
	return w.screens[id]
}

// await waits until the snapshot fulfils what, and gives it.
func (w *world) await(what string, ok func(*bottles.Snapshot) bool) *bottles.Snapshot {
	w.t.Helper()
	timer := time.AfterFunc(patience, w.cond.Broadcast)
	defer timer.Stop()
	deadline := time.Now().Add(patience)
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.snap == nil || !ok(w.snap) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain until %s; the world is:\n%s", what, describe(w.snap))
		}
		w.cond.Wait()
	}
	return w.snap
}

func describe(s *bottles.Snapshot) string {
	if s == nil {
		return "(no snapshot)"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "engine %v %s\n", s.Engine.Reachable, s.Engine.Err)
	for _, v := range s.Bottles {
		fmt.Fprintf(&b, "%s %s %q requests %d", v.Identity, v.Status, v.Detail, len(v.Requests))
		for _, r := range v.Requests {
			fmt.Fprintf(&b, " [%s %s %s]", r.ID, r.State, r.Err)
		}
		if v.Operation != nil {
			fmt.Fprintf(&b, " operation %s %q %s\n%s", v.Operation.Kind, v.Operation.Step, v.Operation.Err, strings.Join(v.Operation.Log, "\n"))
		}
		b.WriteString("\n")
	}
	for _, p := range s.Problems {
		fmt.Fprintf(&b, "problem %s: %s\n", p.Path, p.Err)
	}
	return b.String()
}

func find(s *bottles.Snapshot, id string) (bottles.Bottle, bool) {
	i := slices.IndexFunc(s.Bottles, func(b bottles.Bottle) bool { return b.Identity == id })
	if i < 0 {
		return bottles.Bottle{}, false
	}
	return s.Bottles[i], true
}

// awaitStatus waits until a bottle has a status and nothing is being done to it.
func (w *world) awaitStatus(id string, want bottles.Status) bottles.Bottle {
	w.t.Helper()
	s := w.await(fmt.Sprintf("%s is %s", id, want), func(s *bottles.Snapshot) bool {
		b, ok := find(s, id)
		return ok && b.Status == want && (b.Operation == nil || b.Operation.Err != "")
	})
	b, _ := find(s, id)
	return b
}

// awaitText waits until an agent's screen shows a text.
func (w *world) awaitText(id, text string) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for !strings.Contains(w.screen(id).String(), text) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain for %q on the screen of %s, which shows:\n%s", text, id, w.screen(id))
		}
		time.Sleep(5 * time.Millisecond) // between two looks, up to the deadline
	}
}

// do has an action done and waits for its outcome.
func (w *world) do(a bottles.Action) error {
	w.t.Helper()
	done, err := w.sup.Start(w.t.Context(), a)
	if err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		w.t.Fatalf("%T did not end", a)
		return nil
	}
}

func (w *world) must(a bottles.Action) {
	w.t.Helper()
	if err := w.do(a); err != nil {
		w.t.Fatalf("%T: %v", a, err)
	}
}

// launch brings up one bottle and gives its identity.
func (w *world) launch(task string) string {
	w.t.Helper()
	w.must(bottles.Launch{Agent: "tester", Task: task})
	s := w.await("a bottle is live", func(s *bottles.Snapshot) bool {
		return slices.ContainsFunc(s.Bottles, func(b bottles.Bottle) bool { return b.Status == bottles.Live })
	})
	i := slices.IndexFunc(s.Bottles, func(b bottles.Bottle) bool { return b.Status == bottles.Live })
	return s.Bottles[i].Identity
}

// request puts a request into a bottle's queue as supervise does, and waits until it is shown.
func (w *world) request(id, dockerfile string) bottles.Request {
	w.t.Helper()
	return w.requestAs(id, dockerfile, queue.NewID(time.Now()))
}

func (w *world) requestAs(id, dockerfile, request string) bottles.Request {
	w.t.Helper()
	return w.ask(queue.Request{ID: request, Tool: queue.ToolCapability, Identity: id, Proposed: dockerfile})
}

// ask puts a request of any kind into a bottle's queue and waits until it is shown.
func (w *world) ask(q queue.Request) bottles.Request {
	w.t.Helper()
	id, request := q.Identity, q.ID
	q.Justification, q.ArrivedAt, q.ToolUseID = "the tests need it", time.Now(), "toolu_"+request
	err := queue.Open(w.root.QueueDir(id)).Put(q)
	if err != nil {
		w.t.Fatal(err)
	}
	var got bottles.Request
	w.await("the request is shown", func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		i := slices.IndexFunc(b.Requests, func(r bottles.Request) bool { return r.ID == request })
		if i >= 0 {
			got = b.Requests[i]
		}
		return i >= 0
	})
	return got
}

// agent inspects a bottle's agent container; ok is false when there is none.
func (w *world) agent(id string) (bottles.Container, bool) {
	w.t.Helper()
	c, err := w.engine.Container(w.t.Context(), "claude-bottle-"+id)
	if errors.Is(err, bottles.ErrNotFound) {
		return c, false
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return c, true
}

// history are the kinds of a bottle's audit log, after it was verified.
func (w *world) history(id string) []string {
	w.t.Helper()
	if _, err := w.root.Audit(id).Verify(); err != nil {
		w.t.Errorf("the audit log: %v", err)
	}
	entries, err := w.root.Audit(id).Entries(0)
	if err != nil {
		w.t.Fatal(err)
	}
	var kinds []string
	for _, e := range entries {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// awaitRequests waits until a program shows so many requests of a bottle: it reads them some time after its start.
func (w *world) awaitRequests(id string, n int) {
	w.t.Helper()
	w.await(fmt.Sprintf("%d requests of %s are shown", n, id), func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return len(b.Requests) == n
	})
}
