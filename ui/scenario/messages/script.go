package messages

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// Condition says whether a rule answers a turn.
type Condition func(Turn) bool

// User holds when the last user message's own text contains s.
func User(s string) Condition { return func(t Turn) bool { return strings.Contains(t.Text, s) } }

// Result holds when a tool's result came that contains s.
func Result(s string) Condition {
	return func(t Turn) bool { return t.Results() && strings.Contains(t.Result, s) }
}

// ResultOf holds when a result of the named tool came.
func ResultOf(tool string) Condition {
	return func(t Turn) bool {
		for _, name := range t.ResultOf {
			if name == tool {
				return true
			}
		}
		return false
	}
}

// All holds when each of the conditions holds.
func All(conditions ...Condition) Condition {
	return func(t Turn) bool {
		for _, c := range conditions {
			if !c(t) {
				return false
			}
		}
		return true
	}
}

// Rule is one line of the script. Its methods return it, so that they can be chained; what they add is answered in
// their order. It is set up before the conversation that it is for begins.
type Rule struct {
	s        *Server
	when     Condition
	left     int // times that it still answers; < 0: always
	blocks   []answer
	failure  *failure
	pause    time.Duration
	released chan struct{} // nil: not held
}

type answer struct {
	text, tool string
	input      json.RawMessage
}

// When adds a rule. The first rule whose condition holds answers a turn; rules see only turns that have tools.
func (s *Server) When(c Condition) *Rule {
	r := &Rule{s: s, when: c, left: -1}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, r)
	return r
}

// change makes a change of the rule, which a request may be looking at.
func (r *Rule) change(f func()) *Rule {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	f()
	return r
}

// Says answers with text.
func (r *Rule) Says(text string) *Rule {
	return r.change(func() { r.blocks = append(r.blocks, answer{text: text}) })
}

// Calls answers with a call of a tool; input is anything that marshals to a JSON object.
func (r *Rule) Calls(tool string, input any) *Rule {
	raw, err := json.Marshal(input)
	if err != nil || len(raw) == 0 || raw[0] != '{' {
		r.s.t.Fatalf("the input of the tool %s is no JSON object: %s (%v)", tool, raw, err)
	}
	return r.change(func() { r.blocks = append(r.blocks, answer{tool: tool, input: raw}) })
}

// Runs answers with a call of the tool Bash.
func (r *Rule) Runs(command string) *Rule {
	return r.Calls("Bash", map[string]string{"command": command, "description": "as the script says"})
}

// Fails answers with an error of the API, such as 529 and "overloaded_error".
func (r *Rule) Fails(status int, kind, text string) *Rule {
	return r.change(func() { r.failure = &failure{status, kind, text} })
}

// Once lets the rule answer one turn only.
func (r *Rule) Once() *Rule { return r.change(func() { r.left = 1 }) }

// Slowly waits that long before each word of a text, so that the client is seen at work.
func (r *Rule) Slowly(pause time.Duration) *Rule { return r.change(func() { r.pause = pause }) }

// Held begins the answer at once and gives the rest only when release is called (or the test ends).
func (r *Rule) Held() (release func()) {
	c := make(chan struct{})
	r.change(func() { r.released = c })
	return func() {
		r.change(func() {
			if r.released != nil {
				close(c)
				r.released = nil
			}
		})
	}
}

// reply is one rule's answer to one turn.
type reply struct {
	id       string
	blocks   []answer
	ids      []string // of the tool_uses, one for each block
	failure  *failure
	pause    time.Duration
	released chan struct{}
}

// reply chooses the answer and notes in got which rule gave it.
func (s *Server) reply(t Turn, got *Request) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := reply{id: fmt.Sprintf("msg_%06d", got.N), blocks: []answer{{text: "echo: " + echo(t)}}}
	for i, r := range s.rules {
		if !t.Main() || r.left == 0 || !r.when(t) {
			continue
		}
		if r.left > 0 {
			r.left--
		}
		got.Rule = i + 1
		out.blocks, out.failure, out.pause, out.released = append([]answer(nil), r.blocks...), r.failure, r.pause, r.released
		break
	}
	for range out.blocks {
		s.calls++
		out.ids = append(out.ids, fmt.Sprintf("toolu_%06d_%d", s.calls, time.Now().UnixNano()))
	}
	return out
}

func echo(t Turn) string {
	text := strings.TrimSpace(t.Result + "\n" + t.Text)
	for len(text) > 200 {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

func (r reply) stopReason() string {
	for _, b := range r.blocks {
		if b.tool != "" {
			return "tool_use"
		}
	}
	return "end_turn"
}

func usage(in, out int) map[string]any {
	return map[string]any{"input_tokens": in, "output_tokens": out, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
}

// send writes the answer, streamed where the turn wants that. It ends early when the client has gone or the test ends.
func (r reply) send(w http.ResponseWriter, ctx context.Context, t Turn, stop <-chan struct{}) {
	message := map[string]any{
		"id": r.id, "type": "message", "role": "assistant", "model": t.Model, "content": []any{},
		"stop_reason": nil, "stop_sequence": nil, "usage": usage(100, 1),
	}
	if !t.Stream {
		if !wait(ctx, stop, r.released) {
			return
		}
		var content []any
		for i, b := range r.blocks {
			content = append(content, b.whole(r.ids[i]))
		}
		message["content"], message["stop_reason"], message["usage"] = content, r.stopReason(), usage(100, 10)
		write(w, http.StatusOK, message)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	e := events{w: w, flush: http.NewResponseController(w).Flush}
	e.say("message_start", map[string]any{"message": message})
	e.say("ping", map[string]any{})
	if !wait(ctx, stop, r.released) {
		return
	}
	for i, b := range r.blocks {
		e.say("content_block_start", map[string]any{"index": i, "content_block": b.opening(r.ids[i])})
		for _, delta := range b.deltas(r.pause > 0) {
			if r.pause > 0 && !pause(ctx, stop, r.pause) {
				return
			}
			e.say("content_block_delta", map[string]any{"index": i, "delta": delta})
		}
		e.say("content_block_stop", map[string]any{"index": i})
	}
	e.say("message_delta", map[string]any{"delta": map[string]any{"stop_reason": r.stopReason(), "stop_sequence": nil}, "usage": map[string]any{"output_tokens": 10}})
	e.say("message_stop", map[string]any{})
}

func wait(ctx context.Context, stop, released <-chan struct{}) bool {
	if released == nil {
		return true
	}
	select {
	case <-released:
		return true
	case <-ctx.Done():
	case <-stop:
	}
	return false
}

func pause(ctx context.Context, stop <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-stop:
	}
	return false
}

func (a answer) whole(id string) map[string]any {
	if a.tool == "" {
		return map[string]any{"type": "text", "text": a.text}
	}
	return map[string]any{"type": "tool_use", "id": id, "name": a.tool, "input": a.input}
}

func (a answer) opening(id string) map[string]any {
	if a.tool == "" {
		return map[string]any{"type": "text", "text": ""}
	}
	return map[string]any{"type": "tool_use", "id": id, "name": a.tool, "input": map[string]any{}}
}

// deltas are the pieces in which a block comes: a text whole or word by word, a call's input in two.
func (a answer) deltas(words bool) []map[string]any {
	if a.tool != "" {
		half := len(a.input) / 2
		for !utf8.RuneStart(a.input[half]) {
			half--
		}
		return []map[string]any{
			{"type": "input_json_delta", "partial_json": string(a.input[:half])},
			{"type": "input_json_delta", "partial_json": string(a.input[half:])},
		}
	}
	if !words {
		return []map[string]any{{"type": "text_delta", "text": a.text}}
	}
	var all []map[string]any
	for _, word := range strings.SplitAfter(a.text, " ") {
		all = append(all, map[string]any{"type": "text_delta", "text": word})
	}
	return all
}

// events writes server-sent events, each at once.
type events struct {
	w     http.ResponseWriter
	flush func() error
}

func (e events) say(kind string, v map[string]any) {
	v["type"] = kind
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // only maps of plain values come here
	}
	fmt.Fprintf(e.w, "event: %s\ndata: %s\n\n", kind, data)
	_ = e.flush() // a client that went away is seen by its context
}
