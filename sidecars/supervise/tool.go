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
	"unicode/utf8"

	"bottle-tui/queue"
	"bottle-tui/sidecars"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

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
	m.AddTool(&mcp.Tool{Name: queue.ToolCapability, Description: toolText, InputSchema: schema}, s.capability)
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return m }, &mcp.StreamableHTTPOptions{
		Stateless:                  true,
		DisableLocalhostProtection: true, // it is reached by the name "supervise"
		MaxRequestBodyBytes:        maxBody,
		Logger:                     slog.New(slog.DiscardHandler),
	})
}

var schema = map[string]any{
	"type": "object",
	"properties": map[string]any{
		"justification": map[string]any{
			"type":        "string",
			"description": "Why the work needs this, in a few sentences for the person who decides: what you tried, what failed, what the change adds.",
		},
		"dockerfile": map[string]any{
			"type":        "string",
			"description": "The whole new Dockerfile, not a part or a diff: take " + sidecars.CurrentConfigDir + "/Dockerfile and change what is needed.",
		},
		"current_hash": map[string]any{
			"type":        "string",
			"description": "Optional: \"sha256:\" and the SHA-256 of the " + sidecars.CurrentConfigDir + "/Dockerfile that you started from, so that a change made meanwhile is noticed.",
		},
	},
	"required": []string{"justification", "dockerfile"},
}

type arguments struct {
	Justification string `json:"justification"`
	Dockerfile    string `json:"dockerfile"`
	CurrentHash   string `json:"current_hash"`
}

// problem is an error that tells the agent what to do.
type problem struct{ text string }

func (p *problem) Error() string { return p.text }

func problemf(format string, a ...any) error { return &problem{fmt.Sprintf(format, a...)} }

// capability is the tool capability-block.
func (s *server) capability(ctx context.Context, call *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	x := exchangeOf(ctx)
	if x == nil {
		return nil, errors.New("supervise: a call came from nowhere")
	}
	var a arguments
	if err := readArguments(call.Params.Arguments, &a); err != nil {
		return failed(err), nil
	}
	config := s.config.Load()
	r := queue.Request{
		Tool: queue.ToolCapability, Identity: config.Identity, Justification: strings.TrimSpace(a.Justification),
		Proposed: a.Dockerfile, CurrentHash: queue.Hash([]byte(config.Dockerfile)), ToolUseID: useID(call.Params.Meta),
	}
	id, attached, err := s.desk.submit(r, func() error { return fresh(a, config.Dockerfile) })
	if err != nil {
		return failed(s.explain(err)), nil
	}
	s.voice.Say(sidecars.Line{Event: sidecars.EventRequest, ID: id, Attached: attached})
	w, err := s.desk.join(id)
	if err != nil {
		return failed(s.explain(err)), nil
	}
	if !x.hold(id) { // the client went away meanwhile
		s.abandon(id, 1, "the agent's connection ended before the answer")
		return nil, errGone
	}
	return s.await(ctx, x, call, id, w, a.Dockerfile)
}

var errGone = errors.New("supervise: the client has gone")

// await keeps the call alive until the operator has answered, the client has gone, or supervise stops.
func (s *server) await(ctx context.Context, x *exchange, call *mcp.CallToolRequest, id string, w *wait, asked string) (*mcp.CallToolResult, error) {
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
					return failed(errStopping), nil
				}
				return failed(s.explain(fmt.Errorf("wait for the answer to %s: %w", id, w.err))), nil
			}
			text := answerText(id, asked, w.answer)
			x.decided(id, string(w.answer.Decision))
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil
		case <-x.ctx.Done():
			return nil, errGone
		case <-s.stopping.Done():
			return failed(errStopping), nil
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
		return problemf("%d of your requests wait for the operator already. Wait for their answers, or put what you need into one Dockerfile; then call again.", maxOpen)
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

// readArguments reads and checks what can be checked without knowing what is in force.
func readArguments(raw json.RawMessage, a *arguments) error {
	if len(raw) == 0 {
		raw = json.RawMessage("{}")
	}
	if err := json.Unmarshal(raw, a); err != nil {
		return problemf("The arguments can't be read (%v). Give justification and dockerfile as strings, and optionally current_hash.", err)
	}
	switch {
	case strings.TrimSpace(a.Justification) == "":
		return problemf("There is no justification. Say in a few sentences why the work needs this and what you tried; a person decides on it. Then call again.")
	case len(a.Justification) > maxJustification:
		return problemf("The justification has %d bytes; at most %d are allowed. Say it shorter and call again.", len(a.Justification), maxJustification)
	case strings.TrimSpace(a.Dockerfile) == "":
		return problemf("The dockerfile is empty. Give the whole new Dockerfile: read %s/Dockerfile, change what is needed, and call again.", sidecars.CurrentConfigDir)
	case len(a.Dockerfile) > queue.MaxFile:
		return problemf("The dockerfile has %d bytes; at most 256 KiB are allowed. Fetch large content in a RUN instruction instead of writing it into the Dockerfile.", len(a.Dockerfile))
	}
	// It travels as JSON together with the justification: what is near the limit may grow over it.
	if b, err := json.Marshal(a); err != nil || len(b) > queue.MaxFile-2048 {
		return problemf("The dockerfile and the justification together are larger than the 256 KiB that a request may have. Make them shorter and call again.")
	}
	return checkDockerfile(a.Dockerfile)
}

// checkDockerfile refuses what can't be built or shown.
func checkDockerfile(text string) error {
	line := 1
	for i, c := range text {
		switch {
		case c == '\n':
			line++
		case c == utf8.RuneError:
			if _, n := utf8.DecodeRuneInString(text[i:]); n == 1 {
				return problemf("Line %d of the dockerfile is not UTF-8. Write it as plain text and call again.", line)
			}
		case c < ' ' && c != '\t' && c != '\r' || c == 0x7f:
			return problemf("Line %d of the dockerfile holds the control character U+%04X. Write it as an escape of the shell (as in printf '\\033'), and call again.", line, c)
		}
	}
	var stages []instructions.Stage
	tree, err := parser.Parse(strings.NewReader(text))
	if err == nil {
		stages, _, err = instructions.Parse(tree.AST, nil)
	}
	if err == nil && len(stages) == 0 {
		err = errors.New("it has no FROM instruction")
	}
	if err != nil {
		return problemf("The dockerfile can't be built%s: %v. Correct it and call again with the whole file.", where(err), err)
	}
	return nil
}

// where is the line that a parser's error is about, in words.
func where(err error) string {
	var at *parser.LocationError
	if errors.As(err, &at) {
		for _, ranges := range at.Locations {
			for _, r := range ranges {
				if r.Start.Line > 0 {
					return fmt.Sprintf(" (line %d)", r.Start.Line)
				}
			}
		}
	}
	return ""
}

// fresh refuses a new request that the Dockerfile in force makes pointless or out of date.
func fresh(a arguments, current string) error {
	hash := strings.ToLower(strings.TrimSpace(a.CurrentHash))
	if hash != "" && !strings.HasPrefix(hash, "sha256:") {
		hash = "sha256:" + hash
	}
	switch {
	case same(a.Dockerfile, current):
		return problemf("This is the Dockerfile that is in force already: there is nothing to ask for. If a tool is missing all the same, look at %s/Dockerfile, change it, and call with the whole changed file.", sidecars.CurrentConfigDir)
	case hash != "" && hash != queue.Hash([]byte(current)):
		return problemf("The Dockerfile has changed since you read it: current_hash is not the one in force (%s). Read %s/Dockerfile again, make your change in that, and call again.", queue.Hash([]byte(current)), sidecars.CurrentConfigDir)
	}
	return nil
}
