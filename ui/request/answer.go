package request

import (
	"slices"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/ui/change"
	"bottle-tui/ui/dialog"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
)

func (d *Dialog) answer(a keys.Action) dialog.Result {
	switch a {
	case keys.Approve:
		if why := d.Blocked(); why != "" {
			d.note = "not approved: " + why
			return dialog.Result{}
		}
		if d.startSources() {
			return dialog.Result{Cmd: d.source.input.Focus()}
		}
		return d.approve()
	case keys.Deny:
		d.mode = denying
		d.lines.forget() // what is denied is what the agent asked, also after an edit
		return dialog.Result{Cmd: d.reasonArea().Focus()}
	case keys.Edit:
		return d.startEdit()
	case keys.Editor:
		return d.startEditor()
	}
	return dialog.Result{}
}

// approve is the approval of what was read, on the terms that were shown.
func (d *Dialog) approve() dialog.Result {
	terms := d.terms()
	if d.mode == preview && string(d.edited) != d.req.Proposed {
		return dialog.Result{Close: true, Doing: "approving your version for " + d.identity,
			Act: bottles.ApproveEdited{Identity: d.identity, Request: d.req.ID, Shown: d.req.Hash, Content: slices.Clone(d.edited), Terms: terms}}
	}
	doing := "approving for " + d.identity
	if d.push() {
		doing = "approving the push of " + d.identity
	}
	return dialog.Result{Close: true, Doing: doing,
		Act: bottles.Approve{Identity: d.identity, Request: d.req.ID, Shown: d.req.Hash, Terms: terms}}
}

// terms are the scope and the sources of credentials, and the manifest that was shown; none for a capability or a push.
func (d *Dialog) terms() bottles.Terms {
	if !change.Scoped(d.req.Tool) {
		return bottles.Terms{}
	}
	t := bottles.Terms{Scope: bottles.Scopes[d.scope], Tokens: d.sources()}
	if d.forProfile() && d.manifest.edit != nil {
		t.Edit = queue.Hash(d.manifest.edit.After)
	}
	return t
}

// Refused takes the dialog up again after the Supervisor did not take its answer: what was edited and typed is
// still there, and what is shown is to be read anew.
func (d *Dialog) Refused(err error) {
	if d.mode != preview {
		d.mode = reading
	}
	d.manifest = manifest{asked: d.manifest.asked}
	d.rearm()
	d.refused = frame.Text(err.Error())
}

func (d *Dialog) denyKey(k tea.KeyPressMsg) dialog.Result {
	area := d.reasonArea()
	d.note = ""
	if b := keys.Find(keys.Reason, k.String()); b != nil {
		switch b.Action {
		case keys.Back:
			d.mode = reading
			d.rearm()
			return dialog.Result{}
		case keys.NewLine:
			area.InsertRune('\n')
			return dialog.Result{}
		case keys.Send:
			reason := trim(area.Value())
			if reason == "" {
				d.note = "a reason is needed: the agent is told these words"
				return dialog.Result{}
			}
			doing := "denying the request of " + d.identity
			if d.push() {
				doing = "denying the push of " + d.identity
			}
			return dialog.Result{Close: true, Doing: doing,
				Act: bottles.Deny{Identity: d.identity, Request: d.req.ID, Shown: d.req.Hash, Reason: reason}}
		}
	}
	updated, cmd := area.Update(k)
	*area = updated
	return dialog.Result{Cmd: cmd}
}
