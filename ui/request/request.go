// Package request is the dialog in which the operator reads what an agent asks for and decides. It
// never decides by accident: the keys that answer wait for a quiet keyboard, and approving waits until
// the end of the change was on the screen. What it hands over names the bytes that were shown.
package request

import (
	"bytes"
	"slices"
	"time"

	"charm.land/bubbles/v2/textarea"
	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/bottles/dockerfile"
	"bottle-tui/themes"
	"bottle-tui/ui/dialog"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
)

// Quiet is how long the keyboard must have been quiet, with the request on the screen, before keys
// answer it.
const Quiet = dialog.Quiet

// mode is what the dialog does now.
type mode int

const (
	reading  mode = iota
	denying       // the reason is typed
	editing       // the file is edited in place
	waiting       // $EDITOR runs, or a check does
	preview       // the edited file's change is read
	sourcing      // it is asked where a credential comes from
)

// Options is what a Dialog is made from.
type Options struct {
	Styles *themes.Styles
	Now    func() time.Time
	// Editor is the operator's own editor, a shell's words: $VISUAL or $EDITOR.
	Editor string
	// Home is the operator's home directory, shown as ~.
	Home string
	// Draft is the operator's version from before; nil: none.
	Draft *Draft
	// Profile works out what approving content for the profile would write into the manifest. It may block,
	// and is run as a command.
	Profile func(identity, request string, content []byte, tokens map[string]string) (*bottles.Edit, error)
}

// Dialog is the request that is being reviewed.
type Dialog struct {
	o        Options
	identity string
	agent    string
	routes   []bottles.Route // in force; their tokens are known
	req      bottles.Request
	mode     mode

	guard    dialog.Guard
	ended    bool // the end of the change was drawn
	whole    bool // the whole file is shown, not only what changes
	offset   int
	most     int
	page     int
	total    int
	note     string // why the last key did nothing
	reason   *textarea.Model
	editor   *textarea.Model
	edited   []byte // the operator's version; nil: none yet
	draft    *Draft // one that is not in the editor; nil: none
	replaced bool   // the text in the editor is not the agent's byte for byte
	findings []dockerfile.Finding
	check    int    // of the check whose outcome is awaited
	broken   string // why the operator's version can't be what it should be; "": it can
	scope    int    // index in bottles.Scopes
	manifest manifest
	source   source
	refused  string // why the Supervisor did not take the last answer
	lines    bodyCache
}

// New opens a request of a bottle.
func New(o Options, b *bottles.Bottle, r bottles.Request) *Dialog {
	d := &Dialog{o: o, guard: dialog.Guard{Now: o.Now}, identity: b.Identity, agent: b.Agent, routes: b.Routes, req: r, draft: o.Draft}
	if d.ownDraft() {
		d.edited = d.draft.Content
	}
	return d
}

// Of names the request: the bottle's identity and the request's own.
func (d *Dialog) Of() (identity, request string) { return d.identity, d.req.ID }

// Tool is what the request asks with.
func (d *Dialog) Tool() string { return d.req.Tool }

// proposed is the file that is read now: the agent's, or the operator's version.
func (d *Dialog) proposed() []byte {
	if d.mode == preview {
		return d.edited
	}
	return []byte(d.req.Proposed)
}

func (d *Dialog) found() []dockerfile.Finding {
	if d.mode == preview {
		return d.findings
	}
	return d.req.Findings
}

// rearm begins anew: what is read now is something else than before.
func (d *Dialog) rearm() {
	d.guard.Reset()
	d.ended, d.offset, d.note, d.refused = false, 0, "", ""
	d.lines.forget()
}

// arming is how long until the answering keys may work if the keyboard stays quiet; 0 when they do.
func (d *Dialog) arming() time.Duration {
	if d.mode != reading && d.mode != preview {
		return 0
	}
	return d.guard.Next()
}

// settleArm takes back what the last key was told once it would be taken.
func (d *Dialog) settleArm() {
	if d.guard.Armed() && d.note == tooSoon {
		d.note = ""
	}
}

const tooSoon = "not taken: this key works once the keyboard was quiet for a moment"

// Blocked says why approving is not possible now; "" when it is.
func (d *Dialog) Blocked() string {
	d.settleArm()
	switch {
	case d.push() && d.req.Push == nil:
		return "what it would do is not known"
	case d.req.Stale:
		return "what is in force changed since the agent asked: deny it, and let the agent ask again"
	case d.mode == preview && bytes.Equal(d.edited, d.req.Current):
		return "this is what is in force already"
	case d.mode == preview && d.broken != "":
		return d.broken
	case d.unbuildable() != "":
		return d.unbuildable()
	case d.forProfile() && d.manifest.err != nil:
		return "the manifest can't be changed like that: s chooses another scope"
	case d.forProfile() && d.manifest.edit == nil && len(d.lacking()) == 0:
		return "what would be written to the manifest is not known yet"
	case !d.guard.Armed():
		return dialog.Waiting
	case !d.ended:
		return "read to the end first (G)"
	}
	return ""
}

// Key takes a key press.
func (d *Dialog) Key(k tea.KeyPressMsg) dialog.Result { return d.withManifest(d.key(k)) }

func (d *Dialog) key(k tea.KeyPressMsg) dialog.Result {
	switch d.mode {
	case sourcing:
		return d.sourceKey(k)
	case denying:
		return d.denyKey(k)
	case editing:
		return d.editKey(k)
	case waiting:
		if b := keys.Find(keys.Editing, k.String()); b != nil && b.Action == keys.Back {
			d.check++ // its outcome comes too late
			d.mode = reading
			d.rearm()
		}
		return dialog.Result{}
	}
	return d.readKey(k)
}

func (d *Dialog) readKey(k tea.KeyPressMsg) dialog.Result {
	armed := d.guard.Press()
	d.note = ""
	b := keys.Find(keys.Request, k.String())
	if b == nil {
		if d.mode == preview && k.String() == "ctrl+s" {
			b = keys.Get(keys.Request, keys.Approve)
		} else {
			return dialog.Result{}
		}
	}
	if d.note = b.Why(keys.State{Tool: d.req.Tool}); d.note != "" {
		return dialog.Result{}
	}
	switch b.Action {
	case keys.Later:
		if d.mode == preview {
			d.mode = editing
			return dialog.Result{}
		}
		return dialog.Result{Close: true}
	case keys.Up:
		d.Wheel(-1)
	case keys.Down:
		d.Wheel(1)
	case keys.PageUp:
		d.Wheel(-d.page)
	case keys.PageDown:
		d.Wheel(d.page)
	case keys.Top:
		d.offset = 0
	case keys.End:
		d.offset = d.most
	case keys.Whole:
		d.whole = !d.whole
		d.offset = 0
		d.lines.forget()
	case keys.Scope:
		d.nextScope()
	case keys.Approve, keys.Edit, keys.Editor, keys.Deny:
		if !armed {
			d.note = tooSoon
			return dialog.Result{}
		}
		return d.answer(b.Action)
	}
	return dialog.Result{}
}

// Paste puts text into what is being typed.
func (d *Dialog) Paste(text string) dialog.Result {
	switch d.mode {
	case denying:
		d.reasonArea().InsertString(dialog.Clean(text))
	case editing:
		d.editor.InsertString(dialog.Clean(text))
	case sourcing:
		d.pasteSource(text)
	}
	return dialog.Result{}
}

// push says that the request is a push, which is approved or denied as it is.
func (d *Dialog) push() bool { return d.req.Tool == bottles.ToolPush }

// Wheel scrolls n lines down.
func (d *Dialog) Wheel(n int) { d.offset = max(min(d.offset+n, d.most), 0) }

// Refresh takes in a new snapshot: it closes the dialog when the request was settled elsewhere, and
// begins anew when what would be approved is something else now.
func (d *Dialog) Refresh(s *bottles.Snapshot) dialog.Result { return d.withManifest(d.refresh(s)) }

func (d *Dialog) refresh(s *bottles.Snapshot) dialog.Result {
	who, what := frame.Line(d.identity), "the request of "+frame.Line(d.identity)
	if d.push() {
		what = "the push of " + who
	}
	i := slices.IndexFunc(s.Bottles, func(b bottles.Bottle) bool { return b.Identity == d.identity })
	if i < 0 {
		return dialog.Result{Close: true, Note: who + " is gone, and its request with it"}
	}
	requests := s.Bottles[i].Requests
	j := slices.IndexFunc(requests, func(r bottles.Request) bool { return r.ID == d.req.ID })
	switch {
	case j < 0 && d.push():
		return dialog.Result{Close: true, Note: what + " waits no more: it was settled elsewhere, or broken off, or took too long"}
	case j < 0:
		return dialog.Result{Close: true, Note: what + " was settled elsewhere, or taken back"}
	}
	now := requests[j]
	switch {
	case now.State == bottles.Applying && d.push():
		return dialog.Result{Close: true, Note: what + " was answered elsewhere"}
	case now.State == bottles.Applying:
		return dialog.Result{Close: true, Note: what + " was approved elsewhere"}
	case now.Hash != d.req.Hash || now.Proposed != d.req.Proposed:
		return dialog.Result{Close: true, Note: what + " is another one now: a opens it again"}
	}
	changed := now.Stale != d.req.Stale || !bytes.Equal(now.Current, d.req.Current) ||
		!slices.Equal(now.Findings, d.req.Findings) || now.Effect != d.req.Effect ||
		now.State != d.req.State || now.Err != d.req.Err || !slices.Equal(now.Tokens, d.req.Tokens)
	d.req, d.routes = now, s.Bottles[i].Routes
	if changed {
		d.manifest = manifest{asked: d.manifest.asked}
		if d.mode == sourcing {
			d.mode = d.source.from // y is to be pressed again, on what is shown now
		}
	}
	if changed && (d.mode == reading || d.mode == preview) {
		d.rearm()
		d.note = "what approving would do has changed: read it again"
	} else if changed {
		d.lines.forget()
	}
	return dialog.Result{}
}
