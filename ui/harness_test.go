package ui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/vt"
	"go.uber.org/goleak"

	"bottle-tui/bottles"
	"bottle-tui/bottles/dockerfile"
	"bottle-tui/queue"
	"bottle-tui/themes"
	"bottle-tui/ui/terminal"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC
	temp, err := os.MkdirTemp("", "ui-test-") // the files of editors that a test leaves open go with it
	if err == nil {
		err = os.Setenv("TMPDIR", temp)
	}
	if err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(temp)
		os.Exit(code)
	}))
}

var start = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// clock is a clock that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// supervisor records what it is asked for.
type supervisor struct {
	updates chan bottles.Update

	mu      sync.Mutex
	actions []bottles.Action
	refuse  error
	dones   []chan error
	plan    func(ctx context.Context, a bottles.Action) (*bottles.Preflight, error)
	edit    func(ctx context.Context, identity, request string, content []byte, tokens map[string]string) (*bottles.Edit, error)
	typed   map[string]string
	resized map[string]string

	terminals []string // what was asked for all of them
}

func newSupervisor() *supervisor {
	return &supervisor{updates: make(chan bottles.Update, 16), typed: map[string]string{}, resized: map[string]string{}}
}

func (s *supervisor) ReleaseTerminals() { s.told("release") }
func (s *supervisor) RetakeTerminals()  { s.told("retake") }

func (s *supervisor) told(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.terminals = append(s.terminals, what)
}

func (s *supervisor) Updates() <-chan bottles.Update { return s.updates }

func (s *supervisor) Start(_ context.Context, a bottles.Action) (<-chan error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return nil, s.refuse
	}
	s.actions = append(s.actions, a)
	done := make(chan error, 1)
	s.dones = append(s.dones, done)
	return done, nil
}

func (s *supervisor) Preflight(ctx context.Context, a bottles.Action) (*bottles.Preflight, error) {
	if s.plan != nil {
		return s.plan(ctx, a)
	}
	p := &bottles.Preflight{Identity: "new-00000", Shown: "of-the-plan"}
	switch a := a.(type) {
	case bottles.Launch:
		p.Agent, p.CWD = a.Agent, a.CWD
	case bottles.Resume:
		p.Identity, p.Resume = a.Identity, true
	}
	return p, nil
}

func (s *supervisor) PreviewEdit(ctx context.Context, identity, request string, content []byte, tokens map[string]string) (*bottles.Edit, error) {
	if s.edit == nil {
		return nil, errNope
	}
	return s.edit(ctx, identity, request, content, tokens)
}

func (s *supervisor) Type(identity string, p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.typed[identity] += string(p)
}

func (s *supervisor) Resize(identity string, cols, rows int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resized[identity] = fmt.Sprintf("%dx%d", cols, rows)
}

func (s *supervisor) asked() []bottles.Action {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]bottles.Action(nil), s.actions...)
}

func (s *supervisor) got(identity string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.typed[identity]
}

// stage is the root model without a program: what it is told is handled at once, its commands run
// when asked for.
type stage struct {
	shell   bool // there is one, which the program can be suspended to
	t       testing.TB
	m       *model
	sup     *supervisor
	clock   *clock
	screens *terminal.Set
	w, h    int
	raw     string // what went to the terminal raw
	quit    bool
	version uint64
	ticks   []tick // what was to come later
}

type tick struct {
	after time.Duration
	msg   tea.Msg
}

// newStage opens the screen at w×h; environ as for Options.
func newStage(t testing.TB, w, h int, environ ...string) *stage {
	t.Helper()
	p, err := themes.Load("")
	if err != nil {
		t.Fatal(err)
	}
	environ = append([]string{"HOME=/home/ada"}, environ...)
	s := &stage{t: t, sup: newSupervisor(), clock: &clock{t: start}, w: w, h: h}
	s.screens = terminal.NewSet(80, 24, 100, nil)
	t.Cleanup(s.screens.Close)
	life, end := context.WithCancel(context.Background())
	workers := new(sync.WaitGroup)
	t.Cleanup(func() { end(); workers.Wait() })
	o := Options{Supervisor: s.sup, Screens: s.screens, Version: "v0", Home: "/home/ada/.claude-bottle", Environ: environ, now: s.clock.now, suspendable: func() bool { return s.shell }}
	s.m = newModel(context.Background(), life, workers, o, themes.Build(p, !noColour(environ)))
	s.m.after = func(d time.Duration, msg tea.Msg) tea.Cmd {
		s.ticks = append(s.ticks, tick{d, msg})
		return nil
	}
	s.m.cwd = "/home/ada/src/api"
	s.send(tea.WindowSizeMsg{Width: w, Height: h})
	return s
}

// send gives the model a message and runs the commands that end soon.
func (s *stage) send(msg tea.Msg) {
	s.t.Helper()
	_, cmd := s.m.Update(msg)
	s.view()
	s.run(cmd)
}

// run runs a command as the program would; what waits (ticks, outcomes) is left alone.
func (s *stage) run(cmd tea.Cmd) {
	s.t.Helper()
	if cmd == nil {
		return
	}
	out, id := make(chan tea.Msg, 1), make(chan string, 1)
	go func() {
		id <- goroutine()
		out <- cmd()
	}()
	msg, ok := await(out, <-id)
	if !ok {
		go func() { <-out }() // it waits for the stage's end
		return
	}
	switch msg := msg.(type) {
	case nil:
	case tea.BatchMsg:
		for _, c := range msg {
			s.run(c)
		}
	case tea.RawMsg:
		s.raw += fmt.Sprint(msg.Msg)
	case tea.QuitMsg:
		s.quit = true
	default:
		s.send(msg)
	}
}

// await is what comes from a goroutine, or false when that waits for somebody else, however slow the machine is.
func await(out <-chan tea.Msg, id string) (tea.Msg, bool) {
	const still = 4 // looks in a row that find it waiting
	waiting := 0
	for waiting < still {
		select {
		case msg := <-out:
			return msg, true
		case <-time.After(5 * time.Millisecond):
		}
		if waits(id) {
			waiting++
		} else {
			waiting = 0
		}
	}
	return nil, false
}

// goroutine is the head of the calling goroutine's stack, as in "goroutine 7 ".
func goroutine() string {
	b := make([]byte, 64)
	b = b[:runtime.Stack(b, false)]
	return string(b[:bytes.IndexByte(b, '[')])
}

// waits says whether a goroutine waits for a channel.
func waits(id string) bool {
	b := make([]byte, 1<<20)
	_, rest, found := bytes.Cut(b[:runtime.Stack(b, true)], []byte(id+"["))
	return found && (bytes.HasPrefix(rest, []byte("chan receive")) || bytes.HasPrefix(rest, []byte("select")))
}

func (s *stage) snapshot(b ...bottles.Bottle) *bottles.Snapshot {
	s.version++
	return &bottles.Snapshot{Version: s.version, At: s.clock.now(), Engine: bottles.EngineView{Reachable: true}, Bottles: b, Agents: []string{"implementer", "researcher"}}
}

func (s *stage) show(b ...bottles.Bottle) {
	s.t.Helper()
	s.send(updateMsg{Snapshot: s.snapshot(b...)})
}

// press presses keys, named as tea.Key.String names them; a longer text is typed with type.
func (s *stage) press(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.send(press(name))
	}
}

func (s *stage) typeText(text string) {
	s.t.Helper()
	for _, r := range text {
		s.send(tea.KeyPressMsg{Code: r, Text: string(r)})
	}
}

// press is a key press by its name.
func press(name string) tea.KeyPressMsg {
	var k tea.Key
	rest := name
	for {
		head, tail, ok := strings.Cut(rest, "+")
		if !ok || tail == "" {
			break
		}
		switch head {
		case "ctrl":
			k.Mod |= tea.ModCtrl
		case "alt":
			k.Mod |= tea.ModAlt
		case "shift":
			k.Mod |= tea.ModShift
		}
		rest = tail
	}
	codes := map[string]rune{"up": tea.KeyUp, "down": tea.KeyDown, "left": tea.KeyLeft, "right": tea.KeyRight, "enter": tea.KeyEnter, "esc": tea.KeyEscape,
		"tab": tea.KeyTab, "space": tea.KeySpace, "backspace": tea.KeyBackspace, "pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown, "home": tea.KeyHome, "end": tea.KeyEnd}
	if code, ok := codes[rest]; ok {
		k.Code = code
		if rest == "space" {
			k.Text = " "
		}
		return tea.KeyPressMsg(k)
	}
	k.Code = []rune(rest)[0]
	if k.Mod&(tea.ModCtrl|tea.ModAlt) == 0 {
		k.Text = rest
	}
	return tea.KeyPressMsg(k)
}

func (s *stage) view() tea.View { return s.m.View() }

// grid is what a terminal shows of the view.
func (s *stage) grid() []string {
	s.t.Helper()
	e := s.emulate()
	defer e.Close()
	return text(e, s.w, s.h)
}

func (s *stage) emulate() *vt.Emulator {
	s.t.Helper()
	content := s.view().Content
	if lines := strings.Count(content, "\n") + 1; content != "" && lines != s.h {
		s.t.Errorf("the view has %d lines in a window of %d", lines, s.h)
	}
	e := vt.NewEmulator(s.w+1, s.h) // one more column, into which nothing may reach
	if _, err := e.Write([]byte(strings.ReplaceAll(content, "\n", "\r\n"))); err != nil {
		s.t.Fatal(err)
	}
	for y := range s.h {
		if c := e.CellAt(s.w, y); c != nil && c.Content != " " && c.Content != "" {
			s.t.Errorf("row %d is wider than the window", y)
		}
	}
	return e
}

func text(e *vt.Emulator, w, h int) []string {
	rows := make([]string, h)
	for y := range h {
		var b strings.Builder
		for x := 0; x < w; {
			c := e.CellAt(x, y)
			if c == nil || c.Content == "" {
				b.WriteByte(' ')
				x++
				continue
			}
			b.WriteString(c.Content)
			x += max(c.Width, 1)
		}
		rows[y] = strings.TrimRight(b.String(), " ")
	}
	return rows
}

func (s *stage) text() string { s.t.Helper(); return strings.Join(s.grid(), "\n") }

func (s *stage) sees(words ...string) {
	s.t.Helper()
	screen := s.text()
	for _, w := range words {
		if !strings.Contains(screen, w) {
			s.t.Errorf("the screen lacks %q:\n%s", w, screen)
		}
	}
}

func (s *stage) lacks(words ...string) {
	s.t.Helper()
	screen := s.text()
	for _, w := range words {
		if strings.Contains(screen, w) {
			s.t.Errorf("the screen has %q:\n%s", w, screen)
		}
	}
}

// quiet lets the keyboard be quiet for long enough.
func (s *stage) quiet() { s.view(); s.clock.add(500 * time.Millisecond); s.send(armMsg{}) }

// last is the action that was asked for last.
func (s *stage) last() bottles.Action {
	s.t.Helper()
	a := s.sup.asked()
	if len(a) == 0 {
		s.t.Fatalf("no action was asked for:\n%s", s.text())
	}
	return a[len(a)-1]
}

const before = `FROM claude-bottle-agent:1
RUN apt-get update && apt-get install -y git
WORKDIR /workspace
USER agent
CMD ["claude"]
`

const after = `FROM claude-bottle-agent:1
RUN apt-get update && apt-get install -y git ripgrep
RUN curl -fsSL https://example.org/install.sh | sh
WORKDIR /workspace
USER agent
CMD ["claude"]
`

// capability is a request for a change of the Dockerfile.
func capability(identity, id, words, proposed string, arrived time.Time) bottles.Request {
	return bottles.Request{
		Request: queue.Request{ID: id, Tool: queue.ToolCapability, Identity: identity, Justification: words, Proposed: proposed, ArrivedAt: arrived},
		State:   bottles.Waiting, Hash: "sha256:" + id, Current: []byte(before),
		Findings: []dockerfile.Finding{
			{Line: 3, Severity: dockerfile.Danger, Rule: "pipe-to-shell", Text: "It runs what a server sends at build time, which nobody has read."},
			{Line: 2, Severity: dockerfile.Note, Rule: "unpinned", Text: "The packages' versions are not pinned, so the next build may differ."},
		},
		Effect: "Builds a new image for " + identity + " while the agent waits, then restarts the agent on it with the same conversation and workspace.",
	}
}

func live(identity string, age time.Duration) bottles.Bottle {
	return bottles.Bottle{Identity: identity, Agent: "implementer", CWD: "/home/ada/src/api", StartedAt: start.Add(-age), Status: bottles.Live,
		Image: "claude-bottle-agent:1", ImageDigest: "sha256:8f2d7c1a9be4", SessionID: "3c9e6f0a-7d5b-4a53-9d6e-5f1c20c4e0aa"}
}

// world is a day's work: every status once.
func world() []bottles.Bottle {
	asks := live("implementer-k3x9q", 2*time.Hour)
	asks.Requests = []bottles.Request{capability(asks.Identity, "r1", "I need ripgrep for the test suite: grep takes four minutes over the fixtures, rg takes two seconds.", after, start.Add(-25*time.Second))}
	works := live("researcher-0p2aa", 5*time.Minute)
	works.CWD = "/home/ada/notes"
	builds := live("implementer-zz81c", 40*time.Minute)
	builds.Status, builds.Detail = bottles.Building, "build 3/7"
	builds.Operation = &bottles.Operation{Kind: "rebuild", Step: "building the new image", N: 3, Total: 7, StartedAt: start.Add(-9 * time.Second),
		Log: []string{"#1 [internal] load build definition", "#4 [2/4] RUN apt-get update", "#4 1.204 Get:1 http://mirror.example/debian bookworm InRelease [151 kB]", "\x1b[32m#4 DONE 3.1s\x1b[0m", "#5 [3/4] RUN apk add ripgrep"}}
	down := live("implementer-7hq2m", 80*time.Hour)
	down.Status, down.EndedAt, down.EndReason, down.CWD = bottles.Down, start.Add(-73*time.Hour), "torn down by the operator", "/home/ada/src/web"
	failed := live("reviewer-b44xd", 3*time.Hour)
	failed.Status, failed.Detail, failed.EndedAt = bottles.Failed, "agent exited 137", start.Add(-10*time.Minute)
	failed.Operation = &bottles.Operation{Kind: "resume", Err: "start container claude-bottle-reviewer-b44xd: Error response from daemon: OCI runtime create failed: exec: \"claude\": executable file not found in $PATH\nCheck the image, or resume it on the profile's image."}
	ghost := bottles.Bottle{Identity: "ghost-91kd2", Status: bottles.Orphan, Objects: []string{"container claude-bottle-ghost-91kd2", "network claude-bottle-net-ghost-91kd2", "volume claude-bottle-home-ghost-91kd2"}}
	return []bottles.Bottle{asks, works, builds, failed, down, ghost}
}

// agentOutput is what an agent's program might have printed.
const agentOutput = "\x1b]0;✳ Fix the flaky test\a\x1b[1m● I'll run the test suite first.\x1b[0m\r\n\r\n  \x1b[32m✓\x1b[0m 212 passed\r\n  \x1b[31m✗\x1b[0m 1 failed: TestUpload/large\r\n\r\n" +
	"\x1b[2m────────────────────────────────────────\x1b[0m\r\n> "

func (s *stage) print(identity, out string) {
	s.t.Helper()
	if _, err := s.screens.For(identity).Write([]byte(out)); err != nil {
		s.t.Fatal(err)
	}
	s.send(terminalsMsg{})
}

var errNope = errors.New("refused: the request was settled by another program a moment ago")
