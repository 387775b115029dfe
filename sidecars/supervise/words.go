package supervise

import (
	"fmt"
	"strings"
	"time"

	"bottle-tui/queue"
	"bottle-tui/sidecars"

	"github.com/aymanbagabas/go-udiff"
)

// What the model reads. It is written to be acted on: what was decided, what happens now, what to do.

const instructionsText = `You work in a bottle: a container whose image, network and credentials an operator controls. This server is how you ask the operator.

When a tool or library that the work needs is missing and you can't install it yourself, call capability-block with the whole changed Dockerfile. The call waits until a person has decided, which may take long: that is expected, and there is no need to call again or to poll. If it is approved, your container is replaced by one built from the new Dockerfile, and your conversation and files are kept.

The configuration in force is under ` + sidecars.CurrentConfigDir + ` (read-only). Ask only for what the work needs; ask once for several things together; a denial is a decision, not a fault.`

const toolText = `Ask the operator for a change of your container's image, such as an additional tool. Give the whole new Dockerfile (start from ` + sidecars.CurrentConfigDir + `/Dockerfile) and say why the work needs it. Waits until the operator approves, approves with edits, or denies; that may take minutes or hours. After an approval your container is replaced and you go on in the new one, with the same conversation and files.`

var errStopping = &problem{"The supervise server is being restarted. Your request is kept and still waits for the operator. Call capability-block again with the same dockerfile, and the call goes on waiting for the same answer."}

func waitingText(since time.Duration) string {
	if since < time.Minute {
		return "waiting for the operator"
	}
	return "waiting for the operator since " + strings.TrimSuffix(since.Truncate(time.Minute).String(), "0s")
}

const replaced = "Your container is being replaced by one built from it, within seconds; your conversation, your home and /workspace are kept. Do nothing more now: you will be told when you are in the new one."

// maxDiff bounds the difference that is shown to the model, in bytes.
const maxDiff = 64 << 10

// answerText is an answer in words for the model. A denial is an answer too, not an error of the tool.
func answerText(id, asked string, a queue.Answer) string {
	var b strings.Builder
	note := strings.TrimSpace(a.Note)
	withNote := func(label string) {
		if note != "" {
			fmt.Fprintf(&b, "\n\n%s: %s", label, note)
		}
	}
	edited := a.Content != "" && a.Content != asked
	switch a.Decision {
	case queue.Approved, queue.Edited:
		if !edited {
			b.WriteString("Approved. The operator has accepted your Dockerfile as it is. " + replaced)
			withNote("The operator's note")
			break
		}
		b.WriteString("Approved with edits. The operator has changed your Dockerfile and accepted the changed one. " + replaced)
		withNote("The operator's note")
		b.WriteString("\n\nThe difference between what you asked for (-) and what you get (+):\n\n")
		b.WriteString(difference(asked, a.Content))
	case queue.Denied:
		b.WriteString("Denied. The operator does not want this change; nothing was changed.")
		if note == "" {
			note = "none was given"
		}
		withNote("The operator's reason")
		b.WriteString("\n\nDon't ask for the same again. Go on without it, or, where the reason leaves room, call again with a Dockerfile or a justification that meets it.")
	case queue.Withdrawn:
		b.WriteString("Withdrawn. The request was taken back before it was decided; nothing was changed.")
		withNote("Note")
		b.WriteString("\n\nIf the work still needs it, call again.")
	case queue.Expired:
		b.WriteString("Expired. Nobody decided on the request in time; nothing was changed.")
		withNote("Note")
		b.WriteString("\n\nGo on without it as far as you can. If the work still needs it, call again.")
	default:
		fmt.Fprintf(&b, "The operator's answer, %q, is not one that this server knows; take it as a denial.", a.Decision)
		withNote("The operator's note")
	}
	fmt.Fprintf(&b, "\n\n(request %s)", id)
	return b.String()
}

// difference is a unified diff, bounded.
func difference(asked, got string) string {
	d := udiff.Unified("Dockerfile (asked)", "Dockerfile (approved)", asked, got)
	if len(d) > maxDiff {
		cut := strings.LastIndexByte(d[:maxDiff], '\n') + 1
		return d[:cut] + fmt.Sprintf("… %d bytes more; read the whole file under %s\n", len(d)-cut, sidecars.CurrentConfigDir)
	}
	return d
}
