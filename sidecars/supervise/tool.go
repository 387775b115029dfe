package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"bottle-tui/queue"
	"bottle-tui/sidecars"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// tool is one way of asking: for another content of one of the three files in force.
type tool struct {
	name        string // of the MCP tool, and of the request's tool
	file        string // under sidecars.CurrentConfigDir
	noun        string // as in "your allowlist"
	argument    string // the one that holds what is proposed
	schema      map[string]any
	description string

	// What the model reads when its arguments have the wrong types, when it asks for what it has, and
	// after a denial.
	form, pointless, denied string

	inForce func(*Config) string
	// read checks the argument and brings it into the form in which a person decides on it.
	read func(raw json.RawMessage, inForce string) (proposed string, err error)
	// unwanted refuses a new request that what is in force rules out; nil: none.
	unwanted func(proposed, inForce string) error
	same     func(a, b string) bool // whether two proposals are one request
	settled  func(a, b string) bool // whether what is proposed is in force already
}

// tools are all, in the order in which the model sees them.
var tools = []*tool{capability, egressBlock, credProxyBlock}

// maxJustification bounds the agent's reason, in bytes.
const maxJustification = 16 << 10

// toolUseID is where Claude Code says which of the model's calls this is.
const toolUseID = "claudecode/toolUseId"

// newMCP is the MCP server. It is stateless: a client of a stateful one loses its call when the stream that
// it keeps open beside it goes idle.
func (s *server) newMCP() http.Handler {
	m := mcp.NewServer(&mcp.Implementation{Name: "supervise", Version: "1"}, &mcp.ServerOptions{
		Instructions: instructionsText,
		Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}},
		Logger:       slog.New(slog.DiscardHandler),
	})
	for _, t := range tools {
		m.AddTool(&mcp.Tool{Name: t.name, Description: t.description, InputSchema: t.inputs()},
			func(ctx context.Context, call *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				return s.ask(ctx, call, t)
			})
	}
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return m }, &mcp.StreamableHTTPOptions{
		Stateless:                  true,
		DisableLocalhostProtection: true, // it is reached by the name "supervise"
		MaxRequestBodyBytes:        maxBody,
		Logger:                     slog.New(slog.DiscardHandler),
	})
}

// inputs is the schema of the tool's arguments.
func (t *tool) inputs() map[string]any {
	return map[string]any{
		"type": "object",
		"properties": map[string]any{
			"justification": map[string]any{
				"type":        "string",
				"description": "Why the work needs this, in a few sentences for the person who decides: what you tried, what failed, what the change adds.",
			},
			t.argument: t.schema,
			"current_hash": map[string]any{
				"type":        "string",
				"description": "Optional: \"sha256:\" and the SHA-256 of the " + sidecars.CurrentConfigDir + "/" + t.file + " that you started from, so that a change made meanwhile is noticed.",
			},
		},
		"required": []string{"justification", t.argument},
	}
}

// asking is one call of a tool, checked as far as it can be without the queue.
type asking struct {
	*tool
	request queue.Request
	hash    string // of the file that the agent started from; "" when it did not say
	before  string // what was in force when the request was made; known says whether this is known
	known   bool
}

// problem is an error that tells the agent what to do.
type problem struct{ text string }

func (p *problem) Error() string { return p.text }

func problemf(format string, a ...any) error { return &problem{fmt.Sprintf(format, a...)} }

// ask is a call of one of the tools.
func (s *server) ask(ctx context.Context, call *mcp.CallToolRequest, t *tool) (*mcp.CallToolResult, error) {
	x := exchangeOf(ctx)
	if x == nil {
		return nil, errors.New("supervise: a call came from nowhere")
	}
	config := s.config.Load()
	a, err := t.readArguments(call.Params.Arguments, t.inForce(config))
	if err != nil {
		return failed(err), nil
	}
	a.request.Identity, a.request.ToolUseID = config.Identity, useID(call.Params.Meta)
	attached, err := s.desk.submit(&a)
	if err != nil {
		return failed(s.explain(err)), nil
	}
	id := a.request.ID
	s.voice.Say(sidecars.Line{Event: sidecars.EventRequest, ID: id, Attached: attached})
	w, err := s.desk.join(id)
	if err != nil {
		return failed(s.explain(err)), nil
	}
	if !x.hold(id) { // the client went away meanwhile
		s.abandon(id, 1, "the agent's connection ended before the answer")
		return nil, errGone
	}
	return s.await(ctx, x, call, &a, w)
}

var errGone = errors.New("supervise: the client has gone")

// await keeps the call alive until the operator has answered, the client has gone, or supervise stops.
func (s *server) await(ctx context.Context, x *exchange, call *mcp.CallToolRequest, a *asking, w *wait) (*mcp.CallToolResult, error) {
	id := a.request.ID
	since := time.Now()
	alive := time.NewTicker(s.progress)
	defer alive.Stop()
	token := call.Params.GetProgressToken()
	for n := 1; ; n++ {
		// The first sign comes at once: without it the library sends no headers, and the client gives
		// up on those after a minute.
		if token == nil {
			x.beat()
		} else {
			call.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ //nolint:errcheck // x remembers
				ProgressToken: token, Progress: float64(n), Message: waitingText(time.Since(since)),
			})
		}
		select {
		case <-w.done:
			if w.err != nil {
				if s.stopping.Err() != nil {
					return failed(a.stopping()), nil
				}
				return failed(s.explain(fmt.Errorf("wait for the answer to %s: %w", id, w.err))), nil
			}
			text := a.answered(w.answer)
			x.decided(id, string(w.answer.Decision))
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil
		case <-x.ctx.Done():
			return nil, errGone
		case <-s.stopping.Done():
			return failed(a.stopping()), nil
		case <-alive.C:
		}
	}
}

// explain makes an error of ours one that tells the agent what to do, and tells the operator too.
func (s *server) explain(err error) error {
	var p *problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, errTooManyOpen):
		return problemf("%d of your requests wait for the operator already. Wait for their answers, or put what you need into one request; then call again.", maxOpen)
	case errors.Is(err, errTooManyCalls):
		return problemf("Too many calls of yours wait at once. Let some of them end; then call again.")
	}
	s.voice.Say(sidecars.Line{Event: sidecars.EventError, Reason: err.Error()})
	if errors.Is(err, queue.ErrNoRequest) {
		return problemf("Your request was removed before the operator decided on it; nothing was changed. If the work still needs it, call again.")
	}
	return problemf("Your request could not be brought to the operator: %v. This is a fault of the bottle, not of your request. Try once more; if it fails again, say so in your answer and go on without.", err)
}

func failed(err error) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: err.Error()}}, IsError: true}
}

// useID is the client's name of the call; "" when it gave none that can be used.
func useID(meta mcp.Meta) string {
	id, _ := meta[toolUseID].(string)
	if len(id) > 128 {
		return ""
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c >= 0x7f {
			return ""
		}
	}
	return id
}

// readArguments reads a call's arguments and checks what can be checked without the queue.
func (t *tool) readArguments(raw json.RawMessage, inForce string) (asking, error) {
	var fields map[string]json.RawMessage
	var justification, hash string
	if len(raw) == 0 {
		raw = json.RawMessage("{}")
	}
	err := json.Unmarshal(raw, &fields)
	for name, to := range map[string]*string{"justification": &justification, "current_hash": &hash} {
		if err == nil && fields[name] != nil {
			err = json.Unmarshal(fields[name], to)
		}
	}
	switch {
	case err != nil:
		return asking{}, problemf("The arguments can't be read (%v). %s", err, t.form)
	case strings.TrimSpace(justification) == "":
		return asking{}, problemf("There is no justification. Say in a few sentences why the work needs this and what you tried; a person decides on it. Then call again.")
	case len(justification) > maxJustification:
		return asking{}, problemf("The justification has %d bytes; at most %d are allowed. Say it shorter and call again.", len(justification), maxJustification)
	}
	argument := fields[t.argument]
	if argument == nil {
		argument = json.RawMessage("null")
	}
	proposed, err := t.read(argument, inForce)
	var said *problem
	if err != nil && !errors.As(err, &said) {
		err = problemf("The arguments can't be read (%v). %s", err, t.form)
	}
	if err != nil {
		return asking{}, err
	}
	a := asking{tool: t, hash: hash, before: inForce, known: true, request: queue.Request{
		Tool: t.name, Justification: strings.TrimSpace(justification), Proposed: proposed, CurrentHash: queue.Hash([]byte(inForce)),
	}}
	// It travels as JSON together with the justification: what is near the limit may grow over it.
	if b, err := json.Marshal(a.request); err != nil || len(b) > queue.MaxFile-2048 {
		return asking{}, problemf("The %s and the justification together are larger than the 256 KiB that a request may have. Make them shorter and call again.", t.argument)
	}
	return a, nil
}

// fresh refuses a new request that what is in force makes pointless or out of date.
func (a *asking) fresh() error {
	hash := strings.ToLower(strings.TrimSpace(a.hash))
	if hash != "" && !strings.HasPrefix(hash, "sha256:") {
		hash = "sha256:" + hash
	}
	if a.settled(a.request.Proposed, a.before) {
		return problemf("%s", a.pointless)
	}
	if current := queue.Hash([]byte(a.before)); hash != "" && hash != current {
		return problemf("The %s has changed since you read it: current_hash is not the one in force (%s). Read %s/%s again, make your change in that, and call again.",
			a.noun, current, sidecars.CurrentConfigDir, a.file)
	}
	if a.unwanted != nil {
		return a.unwanted(a.request.Proposed, a.before)
	}
	return nil
}
