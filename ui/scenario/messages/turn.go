package messages

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Turn is what a conversation asks for: its state as the body of POST /v1/messages gives it.
type Turn struct {
	Model  string
	Stream bool
	System string   // the system prompt, and what the client says as the system in between
	Tools  []string // the names of the tools
	// Text is what the last user message says, without the client's own reminders.
	Text string
	// Result is the text of the tool_results in the last user message, joined by newlines; ResultOf names the tools
	// that they are of, Failed says that one of them is an error.
	Result   string
	ResultOf []string
	Failed   bool
	// History is the text of all earlier messages and of this one, one block a line, results included.
	History string
	// Messages counts them.
	Messages int
}

// Main says that the turn belongs to a conversation, not to something that the client asks beside it.
func (t Turn) Main() bool { return len(t.Tools) > 0 }

// Results says that the last message brings results of tools.
func (t Turn) Results() bool { return len(t.ResultOf) > 0 }

type block struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"`
	IsError   bool            `json:"is_error"`
}

// blocks reads what is either a text or a list of blocks.
func blocks(raw json.RawMessage) ([]block, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []block{{Type: "text", Text: text}}, nil
	}
	var list []block
	if len(raw) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("content: neither a text nor a list of blocks: %w", err)
	}
	return list, nil
}

func texts(list []block) string {
	var all []string
	for _, b := range list {
		if b.Type == "text" {
			all = append(all, b.Text)
		}
	}
	return strings.Join(all, "\n")
}

// readTurn reads a body, and refuses what the real service refuses.
func readTurn(body []byte) (Turn, error) {
	var in struct {
		Model    string          `json:"model"`
		Stream   bool            `json:"stream"`
		System   json.RawMessage `json:"system"`
		Tools    []struct{ Name string }
		Messages []struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
		MaxTokens int `json:"max_tokens"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return Turn{}, fmt.Errorf("the body is not JSON of a message: %w", err)
	}
	switch {
	case in.Model == "":
		return Turn{}, errors.New("model: field required")
	case in.MaxTokens < 1:
		return Turn{}, errors.New("max_tokens: field required")
	case len(in.Messages) == 0:
		return Turn{}, errors.New("messages: at least one message is required")
	}
	t := Turn{Model: in.Model, Stream: in.Stream, Messages: len(in.Messages)}
	for _, tool := range in.Tools {
		t.Tools = append(t.Tools, tool.Name)
	}
	system, err := blocks(in.System)
	if err != nil {
		return Turn{}, err
	}
	said := []string{texts(system)}
	names := map[string]string{} // tool_use id to the tool's name
	var history, open []string   // open: ids of the tool_uses that wait for a result
	for i, m := range in.Messages {
		list, err := blocks(m.Content)
		if err != nil {
			return Turn{}, fmt.Errorf("messages.%d: %w", i, err)
		}
		switch m.Role {
		case "system": // between the others: it changes nothing in their order
			said = append(said, texts(list))
		case "assistant":
			if len(open) > 0 {
				return Turn{}, unanswered(i, open)
			}
			for _, b := range list {
				if b.Type == "tool_use" {
					open, names[b.ID] = append(open, b.ID), b.Name
				}
			}
			history = append(history, texts(list))
		case "user":
			t.Text, t.Result, t.ResultOf, t.Failed = "", "", nil, false
			if open, err = t.user(i, list, open, names); err != nil {
				return Turn{}, err
			}
			history = append(history, t.Result, t.Text)
		default:
			return Turn{}, fmt.Errorf("messages.%d.role: %q is none", i, m.Role)
		}
	}
	if len(open) > 0 {
		return Turn{}, unanswered(len(in.Messages), open)
	}
	t.System = strings.Join(said, "\n")
	t.History = strings.Join(slices.DeleteFunc(history, func(s string) bool { return s == "" }), "\n")
	return t, nil
}

// user reads a user message: it gives what of open it does not answer, which is an error of the message.
func (t *Turn) user(i int, list []block, open []string, names map[string]string) ([]string, error) {
	var results, own []string
	for _, b := range list {
		switch b.Type {
		case "tool_result":
			at := slices.Index(open, b.ToolUseID)
			if at < 0 {
				return nil, fmt.Errorf("messages.%d: unexpected tool_use_id found in tool_result blocks: %s", i, b.ToolUseID)
			}
			open = slices.Delete(open, at, at+1)
			content, err := blocks(b.Content)
			if err != nil {
				return nil, fmt.Errorf("messages.%d: %w", i, err)
			}
			results = append(results, texts(content))
			t.ResultOf = append(t.ResultOf, names[b.ToolUseID])
			t.Failed = t.Failed || b.IsError
		case "text":
			if !strings.HasPrefix(b.Text, "<system-reminder>") {
				own = append(own, b.Text)
			}
		}
	}
	if len(open) > 0 {
		return nil, unanswered(i, open)
	}
	t.Result, t.Text = strings.Join(results, "\n"), strings.Join(own, "\n")
	return nil, nil
}

func unanswered(i int, open []string) error {
	return fmt.Errorf("messages.%d: `tool_use` ids were found without `tool_result` blocks immediately after: %s", i, strings.Join(open, ", "))
}
