package ui

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/ui/change"
	"bottle-tui/ui/detail"
	"bottle-tui/ui/dialog"
	"bottle-tui/ui/frame"
)

// planTime bounds how long a plan or the change of a manifest is waited for. A command that gives a credential
// may take 30 s, and there may be several.
const planTime = 3 * time.Minute

// within gives a context that ends with ctx, with the screen, and after planTime.
func (m *model) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, planTime)
	stop := context.AfterFunc(m.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// preflight makes the plan of a launch or a resume; it blocks.
func (m *model) preflight(ctx context.Context, a bottles.Action) (*bottles.Preflight, error) {
	ctx, cancel := m.within(ctx)
	defer cancel()
	return m.o.Supervisor.Preflight(ctx, a)
}

// profileEdit works out what a grant for the profile would write; it blocks.
func (m *model) profileEdit(identity, request string, content []byte, tokens map[string]string) (*bottles.Edit, error) {
	ctx, cancel := m.within(m.ctx)
	defer cancel()
	return m.o.Supervisor.PreviewEdit(ctx, identity, request, content, tokens)
}

// resume looks first whether anything is in the way of a bottle.
func (m *model) resume(identity string) tea.Cmd {
	doing := resuming(identity)
	m.pending[identity] = doing
	m.notes.info(m.o.now(), doing+" …")
	return func() tea.Msg {
		plan, err := m.preflight(m.ctx, bottles.Resume{Identity: identity})
		return resumableMsg{identity, plan, err}
	}
}

func resuming(identity string) string { return "resuming " + identity }

// resumable resumes a bottle that nothing is in the way of, in the profile that it was in; otherwise it shows the plan.
func (m *model) resumable(r resumableMsg) tea.Cmd {
	doing := resuming(r.identity)
	if r.err == nil && len(r.plan.Conflicts) == 0 && r.plan.Was == "" && r.plan.Asks() == "" {
		return m.start(bottles.Resume{Identity: r.identity}, doing)
	}
	delete(m.pending, r.identity)
	if r.err != nil {
		m.notes.outcome(m.o.now(), r.identity, "resume", doing+": "+r.err.Error(), true)
		return nil
	}
	if m.dialog != nil || m.typing || m.filter {
		why := "the plan has a notice that needs your yes"
		switch {
		case len(r.plan.Conflicts) > 0:
			why = r.plan.Conflicts[0].What + "\n" + r.plan.Conflicts[0].Fix
		case r.plan.Was != "":
			why = "its agent is in another profile now: " + r.plan.Profile
		}
		if len(r.plan.Conflicts) == 0 {
			why += "\nr shows the plan, to say yes to"
		}
		m.notes.outcome(m.o.now(), r.identity, "resume", doing+": "+why, true)
		return nil
	}
	m.dialog = &dialog.Plan{Guard: m.guard(), Styles: m.styles, Plan: r.plan, Act: r.plan.Yes(), Doing: doing,
		Gone: func(s *bottles.Snapshot) string { return notNow(s, r.identity, bottles.Down, bottles.Failed) }}
	return nil
}

// askRevoke asks before the marked grant is taken back. Where there are several, they are shown first.
func (m *model) askRevoke(b *bottles.Bottle) {
	g, shown := m.detail.Grant(), m.showsEgress()
	if !shown && len(b.Grants) == 1 {
		g = &b.Grants[0]
	}
	if g == nil || len(b.Grants) > 1 && !shown {
		m.showEgress()
		m.notes.info(m.o.now(), "choose the grant with ↑ ↓; R takes it back")
		return
	}
	identity, id := b.Identity, g.ID
	var what []string
	for _, l := range change.Granted(g.Change) {
		what = append(what, l.Sign()+" "+l.Text)
	}
	when := "at once, while the agent runs"
	if b.Pipelock && len(g.Change.Allow) > 0 {
		when += "; but pipelock keeps the tunnels that are open"
	}
	m.dialog = &dialog.Confirm{Guard: m.guard(), Styles: m.styles, Title: "Take back " + frame.Middle(change.Name(g.Change), 44, 8) + "?",
		Text: frame.Line(identity) + " was granted this for " + g.Scope.String() + ". It is undone " + when + ":", Plain: what,
		Verb: "take it back", Act: bottles.Revoke{Identity: identity, Grant: id}, Doing: "taking back what was granted to " + identity,
		Gone: func(s *bottles.Snapshot) string {
			for i := range s.Bottles {
				for _, g := range s.Bottles[i].Grants {
					if s.Bottles[i].Identity == identity && g.ID == id {
						return ""
					}
				}
			}
			return "the grant has ended already"
		}}
}

// showsEgress says that the Egress tab is on the screen.
func (m *model) showsEgress() bool { return m.detail.Tab == detail.EgressTab && m.wall == nil }

// showEgress shows it, with the keyboard.
func (m *model) showEgress() {
	m.wall = nil
	m.detail.SetTab(detail.EgressTab)
	m.focus = onDetail
}

// askOpen asks before a host is opened that egress refused: the marked one. Where none is marked, it is shown first
// what there is.
func (m *model) askOpen(b *bottles.Bottle) {
	x := m.detail.Refused()
	if x == nil || !m.showsEgress() {
		m.showEgress()
		m.detail.MarkOpenable()
		m.notes.info(m.o.now(), "choose what to open with ↑ ↓; A opens it")
		return
	}
	identity, passage := b.Identity, *x
	rule, why := m.detail.Rule()
	if why != "" {
		return // the table has said so
	}
	d := &dialog.Open{Guard: m.guard(), Styles: m.styles, Identity: identity, Rule: rule, Passage: passage, AnyPort: b.Pipelock,
		Gone: func(s *bottles.Snapshot) string {
			if why := notNow(s, identity, bottles.Live); why != "" {
				return why
			}
			for i := range s.Bottles {
				if s.Bottles[i].Identity == identity && change.Read(s.Bottles[i].Allow).Has(&passage) {
					return frame.Line(rule) + " is open already"
				}
			}
			return ""
		}}
	d.Refresh(m.snap)
	m.dialog = d
}
