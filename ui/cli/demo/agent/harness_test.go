package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"bottle-tui/ui/cli/demo/agent"
	"bottle-tui/ui/cli/demo/tally"
)

const patience = 30 * time.Second

// The test binary is the agent, too, and the tool that it asks for: real processes on a real terminal.
func TestMain(m *testing.M) {
	switch {
	case filepath.Base(os.Args[0]) == "tally":
		os.Exit(tally.Run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	case os.Getenv("BOTTLE_DEMO_TEST_AGENT") != "":
		code := agent.Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout)
		if err := goleak.Find(goleak.IgnoreTopFunction("os/signal.loop"), goleak.IgnoreTopFunction("os/signal.signal_recv")); err != nil {
			fmt.Println("LEAK", err)
			code = 99
		}
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

// bottle is what the agent finds around it.
type bottle struct {
	t                       *testing.T
	home, work, config, bin string
	server                  *stub
	session                 string
	proxy                   string // of the agent; "": none
}

const session = "5e550000-0000-4000-8000-000000000001"

const rulesInForce = "docs.example.com\n"

const inForce = "FROM bottle-tui-demo:0123456789ab\nLABEL a=b\nUSER 1000:1000\n"

func newBottle(t *testing.T) *bottle {
	t.Helper()
	dir := t.TempDir()
	b := &bottle{t: t, home: filepath.Join(dir, "home"), work: filepath.Join(dir, "work"), config: filepath.Join(dir, "config"), bin: filepath.Join(dir, "bin"), session: session}
	for _, d := range []string{b.home, b.work, b.config, b.bin} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{"Dockerfile": inForce, "allowlist": rulesInForce} {
		if err := os.WriteFile(filepath.Join(b.config, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.server = newStub(t)
	return b
}

// bring installs the tool, as the new image would.
func (b *bottle) bring() {
	b.t.Helper()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(b.bin, "tally")); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bottle) transcript() string {
	b.t.Helper()
	found, err := filepath.Glob(filepath.Join(b.home, ".claude/projects/*/"+b.session+".jsonl"))
	if err != nil || len(found) != 1 {
		b.t.Fatalf("transcripts %q, %v", found, err)
	}
	return found[0]
}

// lines reads the transcript; each line must be a whole JSON object in Claude Code's shape. A file is written page by
// page, so that a line that is being written may be seen by halves: it is waited for.
func (b *bottle) lines() (all []transcriptLine) {
	b.t.Helper()
	var content []byte
	eventually(b.t, "the transcript's last line is whole", func() bool {
		var err error
		if content, err = os.ReadFile(b.transcript()); err != nil {
			b.t.Fatal(err)
		}
		return bytes.HasSuffix(content, []byte("\n"))
	})
	for line := range bytes.Lines(content) {
		var l transcriptLine
		if err := json.Unmarshal(line, &l); err != nil {
			b.t.Fatalf("line %q: %v", line, err)
		}
		if l.SessionID != b.session || l.UUID == "" || l.Type != l.Message.Role {
			b.t.Errorf("line %q", line)
		}
		_ = json.Unmarshal(l.Message.Content, &l.blocks)
		all = append(all, l)
	}
	return all
}

type transcriptLine struct {
	Type      string
	UUID      string
	SessionID string
	Message   struct {
		Role    string
		Content json.RawMessage
	}
	blocks []struct {
		Type, Text, ID, Name string
		Input                map[string]string
		ToolUseID            string `json:"tool_use_id"`
		Content              string
		IsError              bool `json:"is_error"`
	}
}

// uses lists the uses of a tool in the transcript and, for each, its result or "".
func (b *bottle) uses(tool string) (inputs []map[string]string, results []string) {
	b.t.Helper()
	at := map[string]int{}
	for _, l := range b.lines() {
		for _, block := range l.blocks {
			if block.Type == "tool_use" && block.Name == tool {
				at[block.ID] = len(inputs)
				inputs, results = append(inputs, block.Input), append(results, "")
			}
			if i, ok := at[block.ToolUseID]; ok && block.Type == "tool_result" {
				results[i] = block.Content
			}
		}
	}
	return inputs, results
}

// process is an agent that runs on a terminal.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	tty  *os.File
	done chan struct{}
	err  error

	mu     sync.Mutex
	screen *vt.Emulator
	titles []string
	bytes  int
}

func (b *bottle) start(role string, args ...string) *process {
	return b.startSized(role, 100, 70, args...)
}

func (b *bottle) startSized(role string, cols, rows uint16, args ...string) *process {
	b.t.Helper()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	p := &process{t: b.t, cmd: exec.Command(self, args...), done: make(chan struct{}), screen: vt.NewEmulator(int(cols), int(rows))}
	p.cmd.Dir = b.work
	p.cmd.Env = []string{"BOTTLE_DEMO_TEST_AGENT=1", "GORACE=atexit_sleep_ms=0", "HOME=" + b.home, "PATH=" + b.bin, "TERM=xterm-256color",
		agent.EnvRole + "=" + role, agent.EnvDelay + "=20ms", agent.EnvSupervise + "=" + b.server.url, agent.EnvConfig + "=" + b.config}
	if b.proxy != "" {
		p.cmd.Env = append(p.cmd.Env, "HTTP_PROXY="+b.proxy)
	}
	p.tty, err = pty.StartWithSize(p.cmd, &pty.Winsize{Cols: cols, Rows: rows})
	if err != nil {
		b.t.Fatal(err)
	}
	go p.read()
	b.t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
		if b.t.Failed() {
			b.t.Logf("the screen of the %s:\n%s", role, p.text())
		}
		p.tty.Close()
	})
	return p
}

var osc = regexp.MustCompile(`\x1b\]0;([^\x07]*)\x07`)

// read feeds the emulator until the terminal closes. Titles are taken out on the way.
func (p *process) read() {
	defer close(p.done)
	var pending []byte
	buf := make([]byte, 4096)
	for {
		n, err := p.tty.Read(buf)
		pending = append(pending, buf[:n]...)
		p.mu.Lock()
		p.bytes += n
		for _, m := range osc.FindAllSubmatch(pending, -1) {
			p.titles = append(p.titles, string(m[1]))
		}
		pending = osc.ReplaceAll(pending, nil)
		if !bytes.Contains(pending, []byte("\x1b]")) && !bytes.HasSuffix(pending, []byte("\x1b")) || err != nil {
			p.screen.Write(pending)
			pending = nil
		}
		p.mu.Unlock()
		if err != nil {
			break
		}
	}
	p.err = p.cmd.Wait()
}

// text is the screen as rows.
func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var rows []string
	for _, row := range strings.Split(p.screen.String(), "\n") {
		rows = append(rows, strings.TrimRight(row, " \r"))
	}
	return strings.TrimRight(strings.Join(rows, "\n"), "\n")
}

func (p *process) title() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.titles) == 0 {
		return ""
	}
	return p.titles[len(p.titles)-1]
}

func (p *process) printed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// sees waits until the screen shows all of texts.
func (p *process) sees(texts ...string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("the screen shows %q", texts), func() bool {
		got := p.text()
		for _, text := range texts {
			if !strings.Contains(got, text) {
				return false
			}
		}
		return true
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond) // between two looks
	}
}

func (p *process) types(keys string) {
	p.t.Helper()
	if _, err := p.tty.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// ends waits for the process's end and gives its exit code.
func (p *process) ends() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatal("it does not end")
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// terminate sends SIGTERM and wants a clean end.
func (p *process) terminate() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if code := p.ends(); code != 0 {
		p.t.Errorf("exit code %d after SIGTERM", code)
	}
}

// stub is a stand-in of the sidecar: a real MCP server whose answers the test gives.
type stub struct {
	t       *testing.T
	url     string
	address string
	calls   chan *call

	mu   sync.Mutex
	http *http.Server
	done chan struct{}
}

type call struct {
	Justification string `json:"justification"`
	Dockerfile    string `json:"dockerfile,omitempty"`
	Allowlist     string `json:"allowlist,omitempty"`
	CurrentHash   string `json:"current_hash,omitempty"`

	toolUse  string
	answer   chan reply
	progress func(string)
}

type reply struct {
	text    string
	isError bool
}

func newStub(t *testing.T) *stub {
	t.Helper()
	s := &stub{t: t, calls: make(chan *call, 10), address: "127.0.0.1:0"}
	s.listen()
	s.url = "http://" + s.address + "/mcp"
	t.Cleanup(s.cut)
	return s
}

func (s *stub) listen() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = l.Addr().String()
	server := mcp.NewServer(&mcp.Implementation{Name: "supervise", Version: "0"}, nil)
	for _, name := range []string{"capability-block", "egress-block"} {
		mcp.AddTool(server, &mcp.Tool{Name: name}, s.asked)
	}
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.http, s.done = &http.Server{Handler: handler}, make(chan struct{})
	go func(h *http.Server, done chan struct{}) {
		defer close(done)
		h.Serve(l)
	}(s.http, s.done)
}

// cut ends the server with all its connections, in the middle of whatever they carry.
func (s *stub) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.http.Close()
	<-s.done
}

func (s *stub) asked(ctx context.Context, req *mcp.CallToolRequest, c call) (*mcp.CallToolResult, any, error) {
	c.answer = make(chan reply, 1)
	c.toolUse, _ = req.Params.Meta["claudecode/toolUseId"].(string)
	c.progress = func(text string) {
		if err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: req.Params.GetProgressToken(), Message: text}); err != nil {
			s.t.Logf("progress: %v", err)
		}
	}
	c.progress("the operator was asked")
	s.calls <- &c
	select {
	case r := <-c.answer:
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: r.text}}, IsError: r.isError}, nil, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	case <-s.t.Context().Done():
		return nil, nil, s.t.Context().Err()
	}
}

// called waits for the next call.
func (s *stub) called() *call {
	s.t.Helper()
	select {
	case c := <-s.calls:
		return c
	case <-time.After(patience):
		s.t.Fatal("nothing was asked")
		return nil
	}
}
