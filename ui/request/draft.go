package request

import (
	"fmt"
	"strings"

	"bottle-tui/bottles/dockerfile"
	"bottle-tui/queue"
	"bottle-tui/ui/frame"
)

// Draft is the operator's own version of what an agent proposed.
type Draft struct {
	Request  string // that it was made for
	Proposed string // by the agent, in that request
	Content  []byte
}

// Draft is the operator's version that would be lost if the dialog were closed now; false when there is none.
func (d *Dialog) Draft() (Draft, bool) {
	content := d.edited
	if d.editor != nil && d.editor.Value() != shownText([]byte(d.req.Proposed)) {
		content = []byte(d.editor.Value() + "\n")
	}
	switch {
	case content != nil && string(content) != d.req.Proposed:
		return Draft{d.req.ID, d.req.Proposed, content}, true
	case d.draft != nil:
		return *d.draft, true
	}
	return Draft{}, false
}

// ownDraft says that there is a draft of what the agent proposes here.
func (d *Dialog) ownDraft() bool { return d.draft != nil && d.draft.Proposed == d.req.Proposed }

// draftWords say that there is a draft, and how it is come by; "" when there is none.
func (d *Dialog) draftWords() string {
	switch {
	case d.draft == nil:
		return ""
	case d.ownDraft():
		return "Your version of this is kept: e goes on with it."
	}
	return "Your version of an earlier request is kept: e, then ctrl+r takes it."
}

// swap changes between the agent's text and the operator's in the editor.
func (d *Dialog) swap() {
	if d.editor.Value() != shownText([]byte(d.req.Proposed)) {
		d.draft = &Draft{d.req.ID, d.req.Proposed, []byte(d.editor.Value() + "\n")}
		d.load([]byte(d.req.Proposed))
		return
	}
	if d.draft == nil {
		d.note = "you have not changed it yet"
		return
	}
	d.load(d.draft.Content)
}

// shownText is a file as the editor has it.
func shownText(content []byte) string { return frame.Text(strings.TrimSuffix(string(content), "\n")) }

// unbuildable says why a Dockerfile can't be built; "" when nothing is known to be in the way.
func (d *Dialog) unbuildable() string {
	if d.req.Tool != queue.ToolCapability {
		return ""
	}
	for _, f := range d.found() {
		if f.Severity == dockerfile.Error {
			where := ""
			if f.Line > 0 {
				where = fmt.Sprintf(", line %d", f.Line)
			}
			return "it can't be built" + where + ": edit it (e), or deny it (n)"
		}
	}
	return ""
}
