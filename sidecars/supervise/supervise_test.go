package supervise_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/queue"
	"bottle-tui/sidecars"
	"bottle-tui/sidecars/internal/heard"
	"bottle-tui/sidecars/supervise"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	identity = "tester-ab3de"
	current  = "FROM debian:12\nRUN useradd agent\nUSER agent\n"
	wanted   = "FROM debian:12\nRUN apt-get update && apt-get install -y ripgrep\nRUN useradd agent\nUSER agent\n"
)

// bottle is a supervise with its queue, as it runs in one bottle.
type bottle struct {
	t          testing.TB
	box        *queue.Box
	configFile string
	ear        *heard.Ear
	url        string
	stop       func() // ends the server and waits for it
}

func newBottle(t testing.TB) *bottle {
	t.Helper()
	dir := t.TempDir()
	b := &bottle{t: t, configFile: filepath.Join(dir, "config.json"), box: queue.Open(filepath.Join(dir, identity))}
	if err := b.box.Make(0); err != nil {
		t.Fatal(err)
	}
	b.configure(current)
	b.start()
	return b
}

// configure delivers a configuration with another Dockerfile.
func (b *bottle) configure(dockerfile string) string {
	b.t.Helper()
	return b.deliver(supervise.Config{Dockerfile: dockerfile, Allowlist: allowlist, Routes: routes})
}

func (b *bottle) deliver(c supervise.Config) string {
	b.t.Helper()
	c.Identity, c.Queue = identity, b.box.Dir()
	content, err := c.Encode()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(b.configFile, content, 0o600); err != nil {
		b.t.Fatal(err)
	}
	return sidecars.Hash(content)
}

// start runs the server; progress, when given, is the interval of its signs of life.
func (b *bottle) start(progress ...time.Duration) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b.ear = heard.New()
	o := supervise.Options{ConfigFile: b.configFile, Listen: "127.0.0.1:0", Grace: heard.Patience / 4, Voice: sidecars.NewVoice(b.ear, nil)}
	for _, p := range progress {
		o.Progress = p
	}
	done := make(chan error, 1)
	go func() { done <- supervise.Serve(ctx, o) }()
	stopped := false
	b.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				b.t.Errorf("Serve: %v", err)
			}
		case <-time.After(heard.Patience):
			b.t.Error("Serve did not end")
		}
	}
	b.t.Cleanup(b.stop)
	ready := b.ear.Wait(b.t, sidecars.EventReady)
	b.url = "http://" + ready.Address + supervise.Path
}

// connect is an agent's MCP client.
func (b *bottle) connect() *mcp.ClientSession {
	b.t.Helper()
	return b.connectWith(nil)
}

func (b *bottle) connectWith(o *mcp.ClientOptions) *mcp.ClientSession {
	b.t.Helper()
	c := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, o)
	s, err := c.Connect(b.t.Context(), &mcp.StreamableClientTransport{Endpoint: b.url, DisableStandaloneSSE: true, MaxRetries: -1}, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { s.Close() })
	return s
}

type outcome struct {
	text    string
	isError bool
	err     error
}

type args struct {
	Justification string `json:"justification,omitempty"`
	Dockerfile    string `json:"dockerfile,omitempty"`
	CurrentHash   string `json:"current_hash,omitempty"`
}

// call calls capability-block, or the tool that a names.
func call(ctx context.Context, s *mcp.ClientSession, useID string, a any) outcome {
	p := &mcp.CallToolParams{Name: queue.ToolCapability, Arguments: a, Meta: mcp.Meta{}}
	if named, ok := a.(toolArgs); ok {
		p.Name, p.Arguments = named.tool, named.args
	}
	if useID != "" {
		p.Meta["claudecode/toolUseId"] = useID
	}
	p.SetProgressToken("token")
	r, err := s.CallTool(ctx, p)
	if err != nil {
		return outcome{err: err}
	}
	var text strings.Builder
	for _, c := range r.Content {
		text.WriteString(c.(*mcp.TextContent).Text)
	}
	return outcome{text: text.String(), isError: r.IsError}
}

// ask calls the tool in the background.
func (b *bottle) ask(ctx context.Context, s *mcp.ClientSession, useID string, a any) <-chan outcome {
	c := make(chan outcome, 1)
	go func() { c <- call(ctx, s, useID, a) }()
	return c
}

func get(t testing.TB, c <-chan outcome) outcome {
	t.Helper()
	select {
	case o := <-c:
		return o
	case <-time.After(heard.Patience):
		t.Fatal("the call did not end")
		return outcome{}
	}
}

func (b *bottle) requests() []queue.Pending {
	b.t.Helper()
	pending, problems := b.box.Requests()
	if len(problems) > 0 {
		b.t.Fatalf("problems in the queue: %v", problems)
	}
	return pending
}

func (b *bottle) answer(a queue.Answer) {
	b.t.Helper()
	a.DecidedAt = time.Now()
	if err := b.box.Answer(a); err != nil {
		b.t.Fatal(err)
	}
}

func request(id string) func(sidecars.Line) bool {
	return func(l sidecars.Line) bool { return l.ID == id }
}

func good() args { return args{Justification: "the tests need rg", Dockerfile: wanted} }

func TestAnswers(t *testing.T) {
	changed := strings.Replace(wanted, "ripgrep", "ripgrep fd-find", 1)
	for _, c := range []struct {
		name   string
		answer queue.Answer
		says   []string
		not    []string
	}{
		{"approved", queue.Answer{Decision: queue.Approved, Content: wanted, Note: "go on"}, []string{"Approved.", "go on", "replaced"}, []string{"@@"}},
		{"edited", queue.Answer{Decision: queue.Edited, Content: changed, Note: "fd too"},
			[]string{"Approved with edits", "fd too", "-RUN apt-get update && apt-get install -y ripgrep\n", "+RUN apt-get update && apt-get install -y ripgrep fd-find\n"}, nil},
		{"approved, but with other content", queue.Answer{Decision: queue.Approved, Content: changed}, []string{"with edits", "+RUN", "-RUN"}, nil},
		{"denied", queue.Answer{Decision: queue.Denied, Note: "use grep"}, []string{"Denied", "use grep", "Don't ask for the same again"}, []string{"replaced"}},
		{"denied without a reason", queue.Answer{Decision: queue.Denied}, []string{"Denied", "none was given"}, nil},
		{"withdrawn", queue.Answer{Decision: queue.Withdrawn}, []string{"Withdrawn", "call again"}, nil},
		{"expired", queue.Answer{Decision: queue.Expired}, []string{"Expired"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBottle(t)
			s := b.connect()
			result := b.ask(t.Context(), s, "toolu_1", good())
			id := b.ear.Wait(t, sidecars.EventRequest).ID
			pending := b.requests()
			if len(pending) != 1 {
				t.Fatalf("%d requests, want 1", len(pending))
			}
			r := pending[0].Request
			if r.ID != id || r.Tool != queue.ToolCapability || r.Identity != identity || r.Justification != "the tests need rg" ||
				r.Proposed != wanted || r.ToolUseID != "toolu_1" || r.CurrentHash != queue.Hash([]byte(current)) || r.ArrivedAt.IsZero() {
				t.Errorf("request %+v", r)
			}
			c.answer.Request = id
			b.answer(c.answer)
			o := get(t, result)
			if o.err != nil || o.isError {
				t.Fatalf("outcome %+v", o)
			}
			for _, want := range append(c.says, id) {
				if !strings.Contains(o.text, want) {
					t.Errorf("the answer lacks %q:\n%s", want, o.text)
				}
			}
			for _, not := range c.not {
				if strings.Contains(o.text, not) {
					t.Errorf("the answer has %q:\n%s", not, o.text)
				}
			}
			if d := b.ear.Wait(t, sidecars.EventDelivered, request(id)); d.Decision != string(c.answer.Decision) {
				t.Errorf("delivered %+v", d)
			}
			if n := b.ear.Count(sidecars.EventAbandoned); n != 0 {
				t.Errorf("%d times abandoned", n)
			}
		})
	}
}

func TestToolErrorsSayWhatToDo(t *testing.T) {
	b := newBottle(t)
	s := b.connect()
	for _, c := range []struct {
		name string
		args any
		says string
	}{
		{"nothing at all", args{}, "no justification"},
		{"no justification", args{Dockerfile: wanted}, "no justification"},
		{"blank justification", args{Justification: " \n", Dockerfile: wanted}, "no justification"},
		{"long justification", args{Justification: strings.Repeat("x", 20<<10), Dockerfile: wanted}, "Say it shorter"},
		{"no dockerfile", args{Justification: "why"}, "dockerfile is empty"},
		{"blank dockerfile", args{Justification: "why", Dockerfile: "\n \n"}, "dockerfile is empty"},
		{"over 256 KiB", args{Justification: "why", Dockerfile: wanted + strings.Repeat("# filler\n", 30000)}, "at most 256 KiB"},
		{"256 KiB only without its JSON", args{Justification: "why", Dockerfile: wanted + strings.Repeat("# \"\"\"\"\"\"\n", 25000)}, "256 KiB"},
		{"no instruction of that name", args{Justification: "why", Dockerfile: "FROM debian\nRUN true\nINSTALL ripgrep\n"}, "line 3"},
		{"no FROM", args{Justification: "why", Dockerfile: "RUN true\n"}, "can't be built"},
		{"comments only", args{Justification: "why", Dockerfile: "# FROM debian\n"}, "can't be built"},
		{"ARG only", args{Justification: "why", Dockerfile: "ARG A=1\n"}, "no FROM"},
		{"bad flag", args{Justification: "why", Dockerfile: "FROM debian\nCOPY --nonsense=1 a b\n"}, "line 2"},
		{"unterminated heredoc", args{Justification: "why", Dockerfile: "FROM debian\nRUN <<EOF\necho\n"}, "can't be built"},
		{"escape sequence", args{Justification: "why", Dockerfile: "FROM debian\nRUN echo \x1b[2J\n"}, "U+001B"},
		{"NUL", args{Justification: "why", Dockerfile: "FROM debian\nRUN echo \x00\n"}, "Line 2"},
		{"the one in force", args{Justification: "why", Dockerfile: current}, "in force already"},
		{"the one in force, but for line ends", args{Justification: "why", Dockerfile: strings.ReplaceAll(current, "\n", "\r\n") + "\n"}, "in force already"},
		{"stale hash", args{Justification: "why", Dockerfile: wanted, CurrentHash: queue.Hash([]byte("FROM old\n"))}, "Read /etc/claude-bottle/current-config/Dockerfile again"},
		{"hash that is none", args{Justification: "why", Dockerfile: wanted, CurrentHash: "latest"}, "again"},
		{"wrong type", map[string]any{"justification": 1, "dockerfile": []string{"FROM debian"}}, "as strings"},
		{"not an object", []string{"x"}, "as strings"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := call(t.Context(), s, "toolu_1", c.args)
			if o.err != nil || !o.isError || !strings.Contains(o.text, c.says) {
				t.Errorf("error %v, isError %v, text:\n%s\nwant %q", o.err, o.isError, o.text, c.says)
			}
		})
	}
	if r := b.requests(); len(r) != 0 {
		t.Errorf("requests were made: %v", r)
	}
}

func TestCurrentHashInEveryUsualForm(t *testing.T) {
	hash := queue.Hash([]byte(current))
	for _, h := range []string{hash, strings.TrimPrefix(hash, "sha256:"), strings.ToUpper(hash), " " + hash + "\n"} {
		t.Run(h, func(t *testing.T) {
			b := newBottle(t)
			a := good()
			a.CurrentHash = h
			result := b.ask(t.Context(), b.connect(), "", a)
			id := b.ear.Wait(t, sidecars.EventRequest).ID
			b.answer(queue.Answer{Request: id, Decision: queue.Denied})
			if o := get(t, result); o.isError || o.err != nil {
				t.Errorf("%+v", o)
			}
		})
	}
}

func TestNewConfigurationIsInForceAtOnce(t *testing.T) {
	b := newBottle(t)
	hash := b.configure(wanted)
	b.ear.Wait(t, sidecars.EventConfig, func(l sidecars.Line) bool { return l.Config == hash })
	s := b.connect()
	if o := call(t.Context(), s, "", good()); !o.isError || !strings.Contains(o.text, "in force already") {
		t.Errorf("%+v", o)
	}
	// What can't be read leaves the old one in force, as does another bottle's.
	for _, bad := range []string{"{", `{"identity":"other-00000","dockerfile":"x"}`, `{"identity":"` + identity + `","dockerfil":"x"}`} {
		seen := b.ear.Count(sidecars.EventConfigError)
		if err := os.WriteFile(b.configFile, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		b.ear.Wait(t, sidecars.EventConfigError, func(l sidecars.Line) bool {
			return l.Config == hash && b.ear.Count(sidecars.EventConfigError) > seen
		})
	}
	if o := call(t.Context(), s, "", good()); !strings.Contains(o.text, "in force already") {
		t.Errorf("%+v", o)
	}
}

func TestAtMostEightOpenRequests(t *testing.T) {
	b := newBottle(t)
	s := b.connect()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var calls []<-chan outcome
	for i := range 8 {
		a := good()
		a.Dockerfile += fmt.Sprintf("ENV N=%d\n", i)
		calls = append(calls, b.ask(ctx, s, fmt.Sprintf("toolu_%d", i), a))
	}
	for i := range 8 {
		n := i + 1
		b.ear.Wait(t, sidecars.EventRequest, func(sidecars.Line) bool { return b.ear.Count(sidecars.EventRequest) >= n })
	}
	if o := call(ctx, s, "toolu_9", good()); !o.isError || !strings.Contains(o.text, "8 of your requests") {
		t.Fatalf("%+v", o)
	}
	// An answer makes room.
	b.answer(queue.Answer{Request: b.requests()[0].ID, Decision: queue.Denied})
	b.ear.Wait(t, sidecars.EventDelivered)
	last := b.ask(ctx, s, "toolu_9", good())
	b.ear.Wait(t, sidecars.EventRequest, func(sidecars.Line) bool { return b.ear.Count(sidecars.EventRequest) >= 9 })
	cancel()
	for _, c := range append(calls, last) {
		get(t, c)
	}
}

func TestServerTellsTheModelWhenToAsk(t *testing.T) {
	b := newBottle(t)
	s := b.connect()
	const most = 2 << 10 // what Claude Code lets through
	text := s.InitializeResult().Instructions
	if len(text) > most {
		t.Errorf("the instructions have %d bytes", len(text))
	}
	tools, err := s.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	arguments := map[string]string{queue.ToolCapability: "dockerfile", queue.ToolEgress: "allowlist", queue.ToolCredProxy: "routes"}
	for _, tool := range tools.Tools {
		argument, ok := arguments[tool.Name]
		delete(arguments, tool.Name)
		if !ok || !strings.Contains(text, tool.Name) {
			t.Errorf("the tool %s is not in the instructions:\n%s", tool.Name, text)
		}
		if len(tool.Description) > most {
			t.Errorf("the description of %s has %d bytes", tool.Name, len(tool.Description))
		}
		var schema struct {
			Properties map[string]any
			Required   []string
		}
		raw, err := json.Marshal(tool.InputSchema)
		if err == nil {
			err = json.Unmarshal(raw, &schema)
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(schema.Properties) != 3 || schema.Properties["current_hash"] == nil || schema.Properties[argument] == nil ||
			!slices.Equal(schema.Required, []string{"justification", argument}) {
			t.Errorf("the schema of %s: %s", tool.Name, raw)
		}
	}
	if len(arguments) > 0 {
		t.Errorf("tools that are not there: %v", arguments)
	}
	for _, want := range []string{"answers 403", "needs a credential", "don't ask anybody to paste a token"} {
		if !strings.Contains(text, want) {
			t.Errorf("the instructions lack %q:\n%s", want, text)
		}
	}
}

func TestRunReadsItsFlags(t *testing.T) {
	b := newBottle(t)
	b.stop()
	ear := heard.New()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- supervise.Run(ctx, []string{"-config", b.configFile, "-listen", "127.0.0.1:0"}, ear) }()
	addr := ear.Wait(t, sidecars.EventReady).Address
	if c, err := net.Dial("tcp", addr); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, bad := range [][]string{{"-nonsense"}, {"word"}, {"-config", filepath.Join(t.TempDir(), "none.json")}} {
		if err := supervise.Run(t.Context(), bad, heard.New()); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
