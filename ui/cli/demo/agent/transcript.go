package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/google/uuid"
)

// maxHistory bounds what is read of an earlier conversation, from its end.
const maxHistory = 8 << 20

// projectName is how Claude Code names a project's directory: its path with every character that is neither
// letter nor digit as "-".
func projectName(dir string) string {
	return strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return '-'
	}, dir)
}

// message is what the conversation consists of.
type message struct {
	Role   string // "user" or "assistant"
	Blocks []block
}

// block is a part of a message: text, the use of a tool, or its result.
type block struct {
	Type      string            `json:"type"`
	Text      string            `json:"text,omitempty"`
	ID        string            `json:"id,omitempty"`
	Name      string            `json:"name,omitempty"`
	Input     map[string]string `json:"input,omitempty"`
	ToolUseID string            `json:"tool_use_id,omitempty"`
	Content   string            `json:"content,omitempty"`
	IsError   bool              `json:"is_error,omitempty"`
}

// record is one line of the transcript, in the shape of Claude Code's: a user's text is a plain string.
type record struct {
	ParentUUID  *string    `json:"parentUuid"`
	IsSidechain bool       `json:"isSidechain"`
	UserType    string     `json:"userType"`
	CWD         string     `json:"cwd"`
	SessionID   string     `json:"sessionId"`
	Version     string     `json:"version"`
	Type        string     `json:"type"`
	Message     rawMessage `json:"message"`
	UUID        string     `json:"uuid"`
	Timestamp   time.Time  `json:"timestamp"`
}

type rawMessage struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type,omitempty"`
	Role    string          `json:"role"`
	Model   string          `json:"model,omitempty"`
	Content json.RawMessage `json:"content"`
}

// transcript is the conversation on disk, one JSON object a line, each on disk before the next step.
type transcript struct {
	session, cwd string
	earlier      []message

	mu     sync.Mutex
	file   *os.File
	parent *string
	lines  int
}

// openTranscript starts a conversation, or with resume takes up one that is there. As with Claude Code,
// it is an error to start one that exists and to resume one that does not.
func openTranscript(path, session, cwd string, resume bool) (*transcript, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the transcript's directory: %w", err)
	}
	t := &transcript{session: session, cwd: cwd}
	flags := os.O_RDWR | os.O_CREATE | os.O_EXCL
	if resume {
		flags = os.O_RDWR
	}
	f, err := os.OpenFile(path, flags, 0o600)
	switch {
	case resume && errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("no conversation found with session ID: %s", session)
	case !resume && errors.Is(err, os.ErrExist):
		return nil, fmt.Errorf("session ID %s is already in use", session)
	case err != nil:
		return nil, fmt.Errorf("open the transcript: %w", err)
	}
	t.file = f
	if err := t.load(); err != nil {
		f.Close()
		return nil, fmt.Errorf("read the transcript %s: %w", path, err)
	}
	return t, nil
}

// load reads the earlier conversation. A last line without its end was being written when the agent was
// killed: it is cut off, and no other is touched.
func (t *transcript) load() error {
	info, err := t.file.Stat()
	if err != nil {
		return err
	}
	from := max(0, info.Size()-maxHistory)
	content := make([]byte, info.Size()-from)
	if _, err := io.ReadFull(io.NewSectionReader(t.file, from, int64(len(content))), content); err != nil {
		return err
	}
	whole := bytes.LastIndexByte(content, '\n') + 1
	end := from + int64(whole)
	if end < info.Size() {
		if err := t.file.Truncate(end); err != nil {
			return err
		}
	}
	if _, err := t.file.Seek(end, io.SeekStart); err != nil {
		return err
	}
	for line := range bytes.Lines(content[:whole]) {
		t.lines++
		var r record
		if json.Unmarshal(line, &r) != nil || r.Type != "user" && r.Type != "assistant" {
			continue // another program's line, or the first one, cut by the bound
		}
		if r.UUID != "" {
			id := r.UUID
			t.parent = &id
		}
		m := message{Role: r.Message.Role}
		var text string
		if json.Unmarshal(r.Message.Content, &text) == nil {
			m.Blocks = []block{{Type: "text", Text: text}}
		} else if json.Unmarshal(r.Message.Content, &m.Blocks) != nil {
			continue
		}
		t.earlier = append(t.earlier, m)
	}
	return nil
}

// history is the conversation as it was before this run.
func (t *transcript) history() []message { return t.earlier }

// append writes a message as one line and waits until it is on disk.
func (t *transcript) append(m message) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file == nil {
		return os.ErrClosed
	}
	raw := rawMessage{Role: m.Role}
	var err error
	if m.Role == "assistant" {
		raw.ID, raw.Type, raw.Model = "msg_"+strings.ReplaceAll(uuid.NewString(), "-", "")[:24], "message", "bottle-tui-demo"
	}
	if m.Role == "user" && len(m.Blocks) == 1 && m.Blocks[0].Type == "text" {
		raw.Content, err = json.Marshal(m.Blocks[0].Text)
	} else {
		raw.Content, err = json.Marshal(m.Blocks)
	}
	if err != nil {
		return err
	}
	r := record{ParentUUID: t.parent, UserType: "external", CWD: t.cwd, SessionID: t.session, Version: "demo",
		Type: m.Role, Message: raw, UUID: uuid.NewString(), Timestamp: time.Now().UTC()}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err := t.file.Write(append(line, '\n')); err != nil {
		return err
	}
	t.parent = &r.UUID
	t.lines++
	return t.file.Sync()
}

func (t *transcript) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lines
}

// close waits for a line that is being written; nothing is written after it.
func (t *transcript) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file != nil {
		t.file.Close()
		t.file = nil
	}
}

// entries are how a message is shown.
func (m message) entries() (shown []entry) {
	for _, b := range m.Blocks {
		switch {
		case b.Type == "tool_use":
			shown = append(shown, entry{kindTool, toolTitle(b)})
		case b.Type == "tool_result" && b.IsError:
			shown = append(shown, entry{kindFail, b.Content})
		case b.Type == "tool_result":
			shown = append(shown, entry{kindResult, b.Content})
		case m.Role == "user":
			shown = append(shown, entry{kindUser, b.Text})
		default:
			shown = append(shown, entry{kindSay, b.Text})
		}
	}
	return shown
}

// toolTitle is the use of a tool in a line, as Claude Code shows it.
func toolTitle(b block) string {
	name := b.Name
	if server, tool, ok := strings.Cut(strings.TrimPrefix(name, "mcp__"), "__"); ok {
		name = server + " · " + tool
	}
	for _, key := range []string{"command", "file_path", "justification", "url"} {
		if v := b.Input[key]; v != "" {
			return name + "(" + v + ")"
		}
	}
	return name
}
