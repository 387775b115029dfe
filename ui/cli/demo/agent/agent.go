// Package agent is the demo agent: a small program that lives in a bottle as Claude Code does, without a
// model behind it. It takes Claude Code's flags, keeps its transcript where and as Claude Code does, shows
// its work on a terminal, answers what is typed to it, and is a real MCP client of the supervise sidecar.
//
// What it does is written down in its role (see Roles); it never decides anything and must not be taken for
// more than a way to see and to test what a bottle does. It runs inside containers: it must not import the
// lifecycle or the screen.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/muesli/cancelreader"
	"golang.org/x/term"
)

// The agent's environment, besides HOME, PATH and NO_COLOR.
const (
	EnvRole      = "BOTTLE_DEMO_ROLE"      // one of Roles; default "quiet"
	EnvDelay     = "BOTTLE_DEMO_DELAY"     // Go duration before it starts to work, and its pace; default 3s
	EnvSupervise = "BOTTLE_DEMO_SUPERVISE" // MCP endpoint; default DefaultSupervise
	EnvConfig    = "BOTTLE_DEMO_CONFIG"    // directory of the current configuration; default DefaultConfig
)

// Defaults of the environment.
const (
	DefaultSupervise = "http://supervise:9100/mcp"
	DefaultConfig    = "/etc/claude-bottle/current-config"
	defaultDelay     = 3 * time.Second
)

// maxShown is how many messages of an earlier conversation are shown again.
const maxShown = 120

// endGrace is how long a running step may take to end once the agent is told to end.
const endGrace = 120 * time.Millisecond

// invocation is what the command line asks for.
type invocation struct {
	session string
	resume  bool
	message string // after "--": the task of a first start, the message of a resumed one
}

func parseArgs(args []string) (invocation, error) {
	var inv invocation
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		switch {
		case args[i] == "--":
			inv.message = strings.TrimSpace(strings.Join(args[i+1:], " "))
			i = len(args)
		case name == "--session-id" || name == "--resume":
			if !joined {
				if i++; i == len(args) {
					return inv, fmt.Errorf("%s needs a session id", name)
				}
				value = args[i]
			}
			id, err := uuid.Parse(value)
			if err != nil {
				return inv, fmt.Errorf("%s %q is not a UUID: %w", name, value, err)
			}
			inv.session, inv.resume = id.String(), name == "--resume"
		case name == "--mcp-config" || name == "--settings" || name == "--model" || name == "--permission-mode":
			if !joined { // Claude Code's, of no use here
				i++
			}
		case strings.HasPrefix(name, "--"): // likewise, such as --dangerously-skip-permissions
		default:
			inv.message = strings.TrimSpace(strings.Join(args[i:], " "))
			i = len(args)
		}
	}
	if inv.session == "" {
		inv.session = uuid.NewString()
	}
	return inv, nil
}

// agent is one run of the program.
type agent struct {
	inv        invocation
	role       string
	delay      time.Duration
	supervise  string
	config     string
	workspace  string
	view       *view
	transcript *transcript
	line       line
	running    sync.WaitGroup // the role's script and typed commands that take time

	mu      sync.Mutex
	started time.Time
	request string // what the last request came to; "" when none was made
	asking  bool
}

// Run is `bottle-tui demo-agent [--session-id UUID | --resume UUID] [-- MESSAGE]`. It ends with ctx, with
// SIGTERM, with the command "exit", or with two ctrl-c, and gives the process's exit code. When stdin is a
// terminal it is put into raw mode until then.
func Run(ctx context.Context, args []string, stdin, stdout *os.File) int {
	inv, err := parseArgs(args)
	if err != nil {
		fmt.Fprintln(stdout, "demo-agent:", err)
		return 2
	}
	a, err := open(inv, stdout)
	if err != nil {
		fmt.Fprintln(stdout, "demo-agent:", err)
		return 1
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if fd := int(stdin.Fd()); term.IsTerminal(fd) {
		if old, err := term.MakeRaw(fd); err == nil {
			defer term.Restore(fd, old)
		}
	}
	return a.run(ctx, stdin, stdout)
}

func open(inv invocation, stdout *os.File) (*agent, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("find the home directory: %w", err)
	}
	workspace, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the working directory: %w", err)
	}
	a := &agent{inv: inv, workspace: workspace, started: time.Now(),
		role: envOr(EnvRole, "quiet"), supervise: envOr(EnvSupervise, DefaultSupervise), config: envOr(EnvConfig, DefaultConfig),
		delay: defaultDelay}
	if d, err := time.ParseDuration(os.Getenv(EnvDelay)); err == nil && d >= 0 {
		a.delay = d
	}
	dir := filepath.Join(home, ".claude", "projects", projectName(workspace))
	a.transcript, err = openTranscript(filepath.Join(dir, inv.session+".jsonl"), inv.session, workspace, inv.resume)
	if err != nil {
		return nil, err
	}
	a.view = newView(stdout, a.role, os.Getenv("NO_COLOR") == "")
	return a, nil
}

func envOr(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

// run shows the conversation so far, starts the role's script, and serves the keyboard until the end.
func (a *agent) run(ctx context.Context, stdin, stdout *os.File) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.view.resize(size(stdout))
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)

	keys := make(chan []byte)
	reader, err := cancelreader.NewReader(stdin)
	if err != nil {
		fmt.Fprintln(stdout, "demo-agent: read the keyboard:", err)
		return 1
	}
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		read(ctx, reader, keys)
	}()

	a.view.start()
	a.opening()
	a.running.Go(func() { a.play(ctx) })

	code, ended := 0, make(chan struct{})
	go func() {
		defer close(ended)
		code = a.serve(ctx, keys, resized, stdout)
		cancel()
		reader.Cancel()
		a.running.Wait()
		<-reading
		reader.Close()
		a.view.end()
	}()
	<-ctx.Done()
	select {
	case <-ended:
		a.transcript.close()
		return code
	case <-time.After(endGrace): // a terminal that nobody reads holds all back; the process ends anyway
		a.transcript.close()
		return 0
	}
}

// serve is the loop that the keyboard and the terminal's size are handled in.
func (a *agent) serve(ctx context.Context, keys <-chan []byte, resized <-chan os.Signal, stdout *os.File) int {
	for {
		select {
		case <-ctx.Done():
			return 0
		case <-resized:
			a.view.resize(size(stdout))
		case p, ok := <-keys:
			if !ok {
				keys = nil // no keyboard any more: the agent goes on without
				continue
			}
			for _, e := range a.line.feed(p) {
				switch e.kind {
				case lineEntered:
					a.view.prompt(a.line.text(), a.line.pos)
					if a.entered(ctx, e.text) {
						return 0
					}
				case lineEnd:
					return 0
				case lineHint:
					a.view.show(entry{kindNote, e.text})
				}
			}
			a.view.prompt(a.line.text(), a.line.pos)
		}
	}
}

func read(ctx context.Context, r io.Reader, keys chan<- []byte) {
	defer close(keys)
	for {
		buf := make([]byte, 1024)
		n, err := r.Read(buf)
		if n > 0 {
			select {
			case keys <- buf[:n]:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func size(f *os.File) (cols, rows int) {
	cols, rows, err := term.GetSize(int(f.Fd()))
	if err != nil || cols < 1 || rows < 1 {
		return 80, 24
	}
	return cols, rows
}

// opening shows who is there and, on resume, the conversation so far.
func (a *agent) opening() {
	a.view.show(entry{kindBanner, fmt.Sprintf("demo agent · %s\n%s · session %s", a.role, a.workspace, a.inv.session[:8])})
	history := a.transcript.history()
	if over := len(history) - maxShown; over > 0 {
		a.view.show(entry{kindNote, fmt.Sprintf("… %d earlier messages are in the transcript", over)})
		history = history[over:]
	}
	for _, m := range history {
		for _, e := range m.entries() {
			a.view.show(e)
		}
	}
	if a.inv.resume {
		a.view.show(entry{kindNote, "resumed · " + a.inv.session})
	}
}

// user, say, and use and result write one line each to the transcript, and show it.

func (a *agent) user(text string) {
	a.put(message{Role: "user", Blocks: []block{{Type: "text", Text: text}}})
}

func (a *agent) say(format string, operands ...any) {
	a.put(message{Role: "assistant", Blocks: []block{{Type: "text", Text: fmt.Sprintf(format, operands...)}}})
}

func (a *agent) use(name string, input map[string]string) (id string) {
	id = "toolu_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:24]
	a.put(message{Role: "assistant", Blocks: []block{{Type: "tool_use", ID: id, Name: name, Input: input}}})
	return id
}

func (a *agent) result(id, text string, failed bool) {
	a.put(message{Role: "user", Blocks: []block{{Type: "tool_result", ToolUseID: id, Content: text, IsError: failed}}})
}

func (a *agent) put(m message) {
	if err := a.transcript.append(m); err != nil && !errors.Is(err, os.ErrClosed) {
		a.view.show(entry{kindFail, "the transcript can't be written: " + err.Error()})
	}
	for _, e := range m.entries() {
		a.view.show(e)
	}
}

// pause waits for a step of the work's pace; false when the agent ends.
func (a *agent) pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
