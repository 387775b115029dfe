package ui

import (
	"maps"
	"slices"

	"bottle-tui/bottles"
	"bottle-tui/ui/dialog"
	"bottle-tui/ui/request"
)

// draftKey is by what a draft is found again: an agent that was told nothing of it asks for the same tool in another request.
type draftKey struct{ identity, tool string }

// keepDraft keeps the operator's version out of a dialog that closes: its build may fail, and somebody else may have
// settled the request.
func (m *model) keepDraft(from dialog.Dialog) {
	d, ok := from.(*request.Dialog)
	if !ok {
		return
	}
	identity, _ := d.Of()
	if draft, ok := d.Draft(); ok {
		m.drafts[draftKey{identity, d.Tool()}] = draft
	}
}

// draft is what is kept for a request of a bottle; nil: nothing.
func (m *model) draft(identity, tool string) *request.Draft {
	if draft, ok := m.drafts[draftKey{identity, tool}]; ok {
		return &draft
	}
	return nil
}

// dropDraft drops what is kept for a request that this operator has answered.
func (m *model) dropDraft(answer bottles.Action) {
	var id string
	switch a := answer.(type) {
	case bottles.Approve:
		id = a.Request
	case bottles.ApproveEdited:
		id = a.Request
	case bottles.Deny:
		id = a.Request
	default:
		return
	}
	maps.DeleteFunc(m.drafts, func(_ draftKey, d request.Draft) bool { return d.Request == id })
}

// dropDrafts drops what is kept for bottles that are gone.
func (m *model) dropDrafts() {
	maps.DeleteFunc(m.drafts, func(key draftKey, _ request.Draft) bool {
		return !slices.ContainsFunc(m.snap.Bottles, func(b bottles.Bottle) bool { return b.Identity == key.identity })
	})
}
