package ui

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/ui/ago"
	"bottle-tui/ui/change"
	"bottle-tui/ui/dialog"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
)

// act does what a dialog asks for.
func (m *model) act(r dialog.Result) tea.Cmd {
	cmds := []tea.Cmd{r.Cmd}
	from := m.dialog
	if r.Close {
		m.keepDraft(from)
		m.dialog = nil
	}
	if r.Note != "" {
		m.notes.info(m.o.now(), r.Note)
	}
	if r.Act != nil {
		cmds = append(cmds, m.startFrom(from, r.Act, r.Doing))
	}
	return tea.Batch(cmds...)
}

// start asks the Supervisor for an action.
func (m *model) start(a bottles.Action, doing string) tea.Cmd { return m.startFrom(nil, a, doing) }

// startFrom asks for an action that was decided in a dialog.
func (m *model) startFrom(from dialog.Dialog, a bottles.Action, doing string) tea.Cmd {
	identity, kind := concerns(a), m.kindOf(a)
	if _, cancel := a.(bottles.Cancel); identity != "" && !cancel {
		m.pending[identity] = doing
	}
	if l, ok := a.(bottles.Launch); ok {
		m.wanted = l.Identity
	}
	if doing != "" {
		m.notes.info(m.o.now(), doing+" …")
	}
	return func() tea.Msg {
		done, err := m.o.Supervisor.Start(m.ctx, a)
		return startedMsg{identity, doing, a, kind, from, done, err}
	}
}

// concerns is the bottle that an action changes; "" for none or many.
func concerns(a bottles.Action) string {
	switch a := a.(type) {
	case bottles.Resume:
		return a.Identity
	case bottles.TearDown:
		return a.Identity
	case bottles.Delete:
		return a.Identity
	case bottles.Approve:
		return a.Identity
	case bottles.ApproveEdited:
		return a.Identity
	case bottles.Deny:
		return a.Identity
	case bottles.Cancel:
		return a.Identity
	case bottles.Revoke:
		return a.Identity
	case bottles.Allow:
		return a.Identity
	}
	return ""
}

// kindOf is the operation that an action starts, as alerts name it; "" for one that starts none, or several.
func (m *model) kindOf(a bottles.Action) string {
	approval := func(identity, id string) string {
		if m.snap != nil {
			for _, b := range m.snap.Bottles {
				for _, r := range b.Requests {
					switch {
					case b.Identity != identity || r.ID != id:
					case r.Tool == bottles.ToolPush:
						return "push"
					case change.Scoped(r.Tool):
						return "grant"
					}
				}
			}
		}
		return "rebuild"
	}
	switch a := a.(type) {
	case bottles.Revoke:
		return "revoke"
	case bottles.Allow:
		return "grant"
	case bottles.TearDown:
		return "teardown"
	case bottles.Resume:
		return "resume"
	case bottles.Delete:
		return "delete"
	case bottles.Approve:
		return approval(a.Identity, a.Request)
	case bottles.ApproveEdited:
		return approval(a.Identity, a.Request)
	case bottles.Deny:
		return "deny"
	}
	return ""
}

// started takes in that an action was taken up, and waits for its outcome, or that it was refused.
func (m *model) started(s startedMsg) tea.Cmd {
	if s.err != nil {
		delete(m.pending, s.identity)
		m.notes.outcome(m.o.now(), s.identity, s.kind, fmt.Sprintf("%s: %v", orWhat(s.doing, s.action), s.err), true)
		return m.reopen(s.from, s.err)
	}
	if s.done == nil {
		return func() tea.Msg { return doneMsg{s.identity, s.doing, s.action, s.kind, nil} }
	}
	return func() tea.Msg {
		select {
		case err := <-s.done:
			return doneMsg{s.identity, s.doing, s.action, s.kind, err}
		case <-m.life.Done():
			return nil
		}
	}
}

// reopen opens the dialog again whose answer was refused, unless the operator went on to something else.
func (m *model) reopen(from dialog.Dialog, err error) tea.Cmd {
	d, ok := from.(dialog.Reopener)
	if !ok || m.dialog != nil || m.typing || m.filter {
		return nil
	}
	d.Refused(err)
	m.dialog = d
	return m.act(d.Refresh(m.snap))
}

func orWhat(doing string, a bottles.Action) string {
	if doing != "" {
		return doing
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", a), "bottles.")
}

// done takes in the outcome of an action.
func (m *model) done(d doneMsg) {
	if _, cancel := d.action.(bottles.Cancel); !cancel {
		delete(m.pending, d.identity)
	}
	now := m.o.now()
	if d.err != nil {
		m.notes.outcome(now, d.identity, d.kind, fmt.Sprintf("%s: %v", orWhat(d.doing, d.action), d.err), true)
		return
	}
	m.dropDraft(d.action)
	said := func(text string) { m.notes.outcome(now, d.identity, d.kind, text, false) }
	switch a := d.action.(type) {
	case bottles.TearDown:
		said(a.Identity + " is down, its state is kept: r resumes it")
	case bottles.Resume:
		said(a.Identity + " is back")
	case bottles.Delete:
		said(a.Identity + " is deleted")
	case bottles.Cleanup:
		said("the orphans are removed")
	case bottles.Approve:
		if d.kind == "push" { // nothing is in force by it, and what the upstream says is the agent's to read
			said("approved: git-gate lets the push of " + a.Identity + " go on")
			return
		}
		said("approved and in force" + lasting(a.Terms.Scope, d.kind) + ": " + a.Identity + " goes on")
	case bottles.ApproveEdited:
		said("your version is in force" + lasting(a.Terms.Scope, d.kind) + ": " + a.Identity + " goes on")
	case bottles.Allow:
		said(frame.Line(strings.Join(a.Rules, ", ")) + " is open" + lasting(a.Scope, d.kind) + " to " + a.Identity)
	case bottles.Revoke: // the alert of the grant's end says what is closed again
	case bottles.Deny:
		said("denied: " + a.Identity + " was told why")
	case bottles.Launch: // the alert names the bottle
	case bottles.Cancel:
		said(a.Identity + ": stopped")
	}
}

// lasting says how long a grant lasts; nothing of a capability, which has no scope.
func lasting(s bottles.Scope, kind string) string {
	switch {
	case kind != "grant":
		return ""
	case s.Profile:
		return " for the profile"
	case s.For == 0:
		return " for this bottle"
	}
	return " for " + s.String()
}

// alert tells the operator of something that must not be missed: by the bell, and by a desktop note
// if those are wanted. The window's title and the footer follow from the snapshot.
func (m *model) alert(a bottles.Alert) tea.Cmd {
	now := m.o.now()
	switch a.Kind {
	case bottles.AlertFailed:
		m.notes.alert(now, a.Identity, a.Operation, a.Text, true)
	case bottles.AlertEnded:
		m.notes.info(now, frame.Line(a.Text))
	case bottles.AlertDone:
		if a.Operation == "revoke" {
			return nil // the end of the grant was told, and says what it was
		}
		m.notes.alert(now, a.Identity, a.Operation, frame.Line(a.Text), false)
		return nil // the operator asked for it: no bell
	}
	out := "\a"
	if m.o.Notify {
		// ST ends both; the text has no control characters, and no separator of OSC 777.
		text := strings.ReplaceAll(frame.Line(a.Text), ";", ",")
		out += "\x1b]9;" + text + "\x1b\\" + "\x1b]777;notify;bottle-tui;" + text + "\x1b\\"
	}
	return tea.Raw(out)
}

// busy is what was asked for a bottle and is under way.
func (m *model) busy(identity string) string {
	doing, _, _ := strings.Cut(m.pending[identity], " "+identity)
	return doing
}

// oldest is the request that has waited the longest, of all bottles; nil when none waits.
func (m *model) oldest() (*bottles.Bottle, *bottles.Request) {
	if m.snap == nil {
		return nil, nil
	}
	var owner *bottles.Bottle
	var first *bottles.Request
	for i := range m.snap.Bottles {
		b := &m.snap.Bottles[i]
		for j := range b.Requests {
			if r := &b.Requests[j]; r.State != bottles.Applying && (first == nil || r.ArrivedAt.Before(first.ArrivedAt)) {
				owner, first = b, r
			}
		}
	}
	return owner, first
}

// fitTerminals tells the agents' terminals the size that they are drawn in.
func (m *model) fitTerminals() {
	if m.w == 0 || m.snap == nil {
		return
	}
	cols, rows := m.terminalSize()
	m.o.Screens.Resize(cols, rows)
	for i := range m.snap.Bottles {
		b := &m.snap.Bottles[i]
		now := size{cols, rows, keys.Typable(b)}
		if old, ok := m.sizes[b.Identity]; !ok || old != now {
			m.sizes[b.Identity] = now
			if now.live {
				m.o.Supervisor.Resize(b.Identity, cols, rows)
			}
		}
	}
}

// nextAge is when a label of an age, or a note, changes next; 0 when none will.
func (m *model) nextAge() time.Duration {
	now := m.o.now()
	wait := m.notes.next(now)
	soon := func(t time.Time) {
		if t.IsZero() {
			return
		}
		if w := ago.Next(now.Sub(t)); wait == 0 || w < wait {
			wait = w
		}
	}
	if m.snap != nil {
		for i := range m.snap.Bottles {
			b := &m.snap.Bottles[i]
			if b.Status != bottles.Live && !b.EndedAt.IsZero() {
				soon(b.EndedAt)
			} else {
				soon(b.StartedAt)
			}
			for j := range b.Requests {
				soon(b.Requests[j].ArrivedAt)
			}
			// By the second only what is looked at; the rest by the minute.
			seconds := m.dialog == nil && m.showsEgress() && b == m.list.Selected()
			for j := range b.Grants {
				if until := b.Grants[j].Until; !until.IsZero() {
					if w := ago.NextLeft(until.Sub(now), seconds); w > 0 && (wait == 0 || w < wait) {
						wait = w
					}
				}
			}
		}
	}
	if m.showsEgress() {
		for _, t := range m.detail.Shown() {
			soon(t)
		}
	}
	return min(wait, time.Hour)
}
