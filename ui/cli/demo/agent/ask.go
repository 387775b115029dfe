package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// tool is one of supervise's tools.
type tool struct {
	name     string
	argument string // the one that holds what is proposed
	file     string // what it changes, as it is called among what is in force
}

// The tools that the roles use.
var (
	capabilityBlock = tool{"capability-block", "dockerfile", "Dockerfile"}
	egressBlock     = tool{"egress-block", "allowlist", "allowlist"}
)

// use is the tool's name in a transcript, as Claude Code has it.
func (t tool) use() string { return "mcp__supervise__" + t.name }

// request is what is asked of the operator.
type request struct {
	tool          tool
	justification string
	proposed      []byte
	currentHash   string // "" on asking again after a restart: supervise then compares nothing
}

// Verdicts, as far as the answer's words tell them.
const (
	undecided = ""
	approved  = "approved"
	edited    = "approved with edits"
	denied    = "denied"
	withdrawn = "withdrawn"
	expired   = "expired"
	refused   = "refused" // by supervise, with what to do
)

// Bounds of asking again when the call was cut.
const (
	firstRetry = 300 * time.Millisecond
	lastRetry  = 10 * time.Second
	maxRetries = 60
)

// ask calls the tool and waits for the operator, for as long as that takes. A call that is cut is
// made again with the same proposal; supervise recognises it.
func (a *agent) ask(ctx context.Context, r request) {
	a.mu.Lock()
	if a.asking {
		a.mu.Unlock()
		a.view.show(entry{kindNote, "a request waits already"})
		return
	}
	a.asking = true
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.asking = false
		a.mu.Unlock()
	}()
	input := map[string]string{"justification": r.justification, r.tool.argument: string(r.proposed)}
	if r.currentHash != "" {
		input["current_hash"] = r.currentHash
	}
	wait := firstRetry
	for try := 1; ; try++ {
		a.view.at(true, "waiting for the operator")
		a.noted("waiting")
		id := a.use(r.tool.use(), input)
		began := time.Now()
		text, isError, err := a.call(ctx, r.tool, id, input)
		if ctx.Err() != nil {
			return // ended in mid-call: the use stays without a result, as Claude Code's does
		}
		if err != nil {
			text, isError = "the call was cut: "+err.Error(), true
		}
		a.result(id, text, isError)
		if v := verdict(text, isError); err == nil && v != undecided {
			a.answered(ctx, r.tool, v)
			return
		}
		if try == maxRetries {
			a.noted("cut")
			a.say("I can't reach the operator. Type ask to make me try again.")
			return
		}
		if time.Since(began) > lastRetry {
			wait = firstRetry
		}
		a.view.at(true, "the call was cut, asking again")
		if !a.pause(ctx, wait) {
			return
		}
		wait = min(2*wait, lastRetry)
		a.say("The call was cut before I had an answer. I ask again, with the same proposal.")
	}
}

// call makes one call with a connection of its own.
func (a *agent) call(ctx context.Context, t tool, id string, input map[string]string) (text string, isError bool, err error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	session, err := a.connect(ctx, &http.Client{Transport: transport}) // no timeout: a human answers
	if err != nil {
		return "", false, err
	}
	defer session.Close()
	arguments := make(map[string]any, len(input))
	for k, v := range input {
		arguments[k] = v
	}
	params := &mcp.CallToolParams{Meta: mcp.Meta{"claudecode/toolUseId": id}, Name: t.name, Arguments: arguments}
	params.SetProgressToken(id)
	result, err := session.CallTool(ctx, params)
	if err != nil {
		return "", false, err
	}
	var parts []string
	for _, c := range result.Content {
		if t, ok := c.(*mcp.TextContent); ok {
			parts = append(parts, t.Text)
		}
	}
	if len(parts) == 0 {
		return "", false, errors.New("the answer holds no text")
	}
	return bounded(strings.Join(parts, "\n")), result.IsError, nil
}

// connect dials supervise. Right after the start it may not listen yet, so a first failure is not told.
func (a *agent) connect(ctx context.Context, web *http.Client) (*mcp.ClientSession, error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "bottle-tui-demo-agent", Version: "1"}, &mcp.ClientOptions{
		Capabilities: &mcp.ClientCapabilities{},
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
			if m := r.Params.Message; m != "" {
				a.view.at(true, m)
			}
		},
	})
	const tries = 3
	for try := 1; ; try++ {
		session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: a.supervise, HTTPClient: web, MaxRetries: -1, DisableStandaloneSSE: true}, nil)
		if err == nil || try == tries || ctx.Err() != nil {
			return session, err
		}
		if !a.pause(ctx, firstRetry) {
			return nil, ctx.Err()
		}
	}
}

// answered goes on according to the operator's decision.
func (a *agent) answered(ctx context.Context, t tool, v string) {
	a.noted(v)
	if t == egressBlock && (v == approved || v == edited) {
		a.say("The operator approved it. I stay as I am, and do again what was refused.")
		a.retrace(ctx)
		return
	}
	switch v {
	case approved:
		a.say("The operator approved it. I will be restarted on the new image and go on there.")
	case edited:
		a.say("The operator approved it with changes of their own, shown above. I take what I got and go on with it on the new image.")
	case denied:
		a.say("The operator said no, for the reason above. I accept that and do without.")
		a.without(ctx)
	case refused:
		a.say("supervise refused the request, for the reason above. Type ask to make me read the %s again and ask again.", t.file)
	default:
		a.say("There was no decision: the request is %s. Type ask to make me ask again.", v)
	}
}

func (a *agent) noted(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.request = what
}

// decision is how an answer begins.
var decision = regexp.MustCompile(`(?i)^(?:the operator )?(approved with edits|approved|denied|withdrawn|expired)\b`)

// verdict reads the decision from the answer's first words. It is undecided when the server only says
// that it could not wait on, and that the same call shall be made again.
func verdict(text string, isError bool) string {
	switch m := decision.FindStringSubmatch(text); {
	case m != nil:
		return strings.ToLower(m[1])
	case isError && strings.Contains(text, "again with the same "):
		return undecided
	case isError:
		return refused
	}
	return fmt.Sprintf("answered in words that I can't read (%.40q)", text)
}

// asked is a request found in a transcript.
type asked struct {
	tool                             tool
	justification, proposal, verdict string
}

// lastRequest is the last request that a transcript holds, with what came of it: undecided when the agent
// was ended or cut off before it was told.
func lastRequest(history []message) (last asked) {
	results := map[string]block{}
	for _, m := range slices.Backward(history) {
		for _, b := range m.Blocks {
			if b.Type == "tool_result" {
				results[b.ToolUseID] = b
			}
			t := capabilityBlock
			if b.Name == egressBlock.use() {
				t = egressBlock
			}
			if b.Type == "tool_use" && b.Name == t.use() {
				last = asked{tool: t, justification: b.Input["justification"], proposal: b.Input[t.argument]}
				if r, ok := results[b.ID]; ok && !strings.HasPrefix(r.Content, "the call was cut") {
					last.verdict = verdict(r.Content, r.IsError)
				}
				return last
			}
		}
	}
	return last
}
