package bottles

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"bottle-tui/queue"
	"bottle-tui/state"
)

// maxTurn is how much of a transcript's end, in bytes, is searched for what the agent was doing.
const maxTurn = 8 << 20

// turnEntry is what a line of a transcript says of a turn: Claude Code writes one line for each block of a message, and
// many that belong to no turn.
type turnEntry struct {
	Type      string `json:"type"`
	Subtype   string `json:"subtype"`
	Meta      bool   `json:"isMeta"`
	Sidechain bool   `json:"isSidechain"`
	Message   struct {
		StopReason *string         `json:"stop_reason"`
		Content    json.RawMessage `json:"content"`
	} `json:"message"`
}

// wasBusy says whether an agent was in the middle of a turn when its kept transcript ended: a message or a tool's result
// that the model had not answered, or a tool that it had called.
func wasBusy(b *state.Bottle, session string) bool {
	file, err := sessionRecord(b, session)
	if err == nil && file == "" {
		return false
	}
	f, err := os.Open(file)
	if err != nil {
		return true // it is told to go on rather than left in the middle
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > maxTurn {
		_, _ = f.Seek(-maxTurn, io.SeekEnd) // else it is read from the beginning
	}
	content, err := io.ReadAll(io.LimitReader(f, maxTurn))
	return err != nil || busyAtEnd(content)
}

// busyAtEnd reads the lines of a transcript from its end. One that was cut off in the middle says nothing.
func busyAtEnd(transcript []byte) bool {
	for len(transcript) > 0 {
		line := transcript
		if i := bytes.LastIndexByte(transcript, '\n'); i >= 0 {
			line, transcript = transcript[i+1:], transcript[:i]
		} else {
			transcript = nil
		}
		var e turnEntry
		if json.Unmarshal(line, &e) != nil || e.Meta || e.Sidechain {
			continue
		}
		switch e.Type {
		case "system":
			if e.Subtype == "turn_duration" {
				return false
			}
		case "assistant":
			return e.Message.StopReason == nil || *e.Message.StopReason == "tool_use" || bytes.Contains(e.Message.Content, []byte(`"type":"tool_use"`))
		case "user":
			switch text := firstText(e.Message.Content); {
			case strings.HasPrefix(text, "[Request interrupted by user"):
				return false
			case strings.HasPrefix(text, "<command-") || strings.HasPrefix(text, "<local-command-") || strings.HasPrefix(text, "<bash-"):
				// what the operator ran in Claude Code is no message to the model
			default:
				return true
			}
		}
	}
	return false
}

// firstText is the text that a message begins with: its content is a text or a list of blocks.
func firstText(content json.RawMessage) string {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var blocks []struct{ Text string }
	if json.Unmarshal(content, &blocks) == nil && len(blocks) > 0 {
		return blocks[0].Text
	}
	return ""
}

// endedByItself begins the reason of an end that nobody asked for.
const endedByItself = "the agent ended by itself"

// resumeMessage is what an agent is told when it is resumed: why it ended, what was kept, and to go on only if it was in
// the middle of something. have is what the engine has of the bottle before anything is made.
func resumeMessage(meta state.Metadata, have parts, busy bool) string {
	var b strings.Builder
	switch reason := meta.EndReason; {
	case reason == byOperator || reason == errCancelled.Error():
		b.WriteString("You were stopped by the operator and run again now.")
	case reason == "":
		b.WriteString("Your container ended while nobody watched: the container engine or the machine stopped, or it was removed. You are run again now.")
	case strings.HasPrefix(reason, endedByItself):
		fmt.Fprintf(&b, "Your process ended by itself%s, and you are run again now.", queue.Visible(cut(strings.TrimPrefix(reason, endedByItself), 300)))
	default:
		fmt.Fprintf(&b, "You were stopped (%s) and are run again now.", queue.Visible(cut(reason, 300)))
	}
	kept, lost := []string{}, ""
	if workspaceMissing(meta, have) {
		lost += " Your workspace was lost: " + Workspace + " is a new one, without what you had changed."
	} else {
		kept = append(kept, "your workspace")
	}
	switch _, there := have.volumes[labelUser]; {
	case there:
		kept = append(kept, "your home directory")
	case meta.WholeHome:
		lost += " Your home directory was lost: it is as the image has it."
	default:
		lost += " Of your home directory only ~/.claude was kept."
	}
	if _, there := have.volumes[labelHome]; there {
		kept = append(kept, "this conversation")
	} else {
		lost += " This conversation was put back from a copy, which may lack its end; your own settings in ~/.claude are lost."
	}
	switch n := len(kept); n {
	case 0:
	case 1:
		b.WriteString(" Of what you had is kept: " + kept[0] + ".")
	default:
		list := strings.Join(kept[:n-1], ", ") + " and " + kept[n-1]
		b.WriteString(" " + strings.ToUpper(list[:1]) + list[1:] + " are as you left them.")
	}
	b.WriteString(lost + " What you had changed elsewhere and the processes that you had started are gone.")
	switch {
	case busy && lost != "":
		b.WriteString(" Look at what is there before you go on.")
	case busy:
		b.WriteString(" Go on.")
	}
	return b.String()
}
