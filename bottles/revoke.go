package bottles

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"bottle-tui/queue"
)

// takeBack takes grants back: one that the operator revokes, or all whose time is over.
func (s *Supervisor) takeBack(ctx context.Context, x *execution, which func(Grant) bool, why string) error {
	st, err := s.standing(x.bottle)
	if err != nil {
		return err
	}
	change := gates{had: st, next: st}
	change.next.grants = nil
	var gone, held []Grant
	for _, g := range st.grants {
		if !which(g) {
			change.next.grants, held = append(change.next.grants, g), append(held, g)
			continue
		}
		gone = append(gone, g)
		change.tools = append(change.tools, g.Tool)
		g.Until = time.Time{} // until it is taken back, which its end in the gates themselves came before
		held = append(held, g)
	}
	if len(gone) == 0 {
		return refuse("the grant has ended already")
	}
	change.had.now = timeline(st.base, held, s.cfg.Now())[0].worded(st.now)
	if err := s.want(ctx, x, change); err != nil {
		return err
	}
	// In force first: who is killed in between finds the grant still written down, and takes it back again.
	if err := s.enforce(ctx, x, change); err != nil {
		return err
	}
	if err := s.writeDown(x, change); err != nil {
		return err
	}
	done := difference(change.had.now, x.layout.force)
	for _, g := range gone {
		undone := done.about(g)
		_ = s.auditOnce(x.layout.identity, "grant ended", "grant", map[string]any{"grant": g.ID, "tool": g.Tool, "change": undone, "why": why})
		text := fmt.Sprintf("%s: %s: %s", x.layout.identity, ending(g, undone), why)
		s.post(func() { s.tell(Alert{AlertDone, x.layout.identity, g.ID, "grant", text}) })
	}
	return nil
}

// ending says in a line what the end of a grant made of what it had opened.
func ending(g Grant, undone Change) string {
	what := queue.Visible(cut(subjects(g.Change), 120))
	switch {
	case len(undone.Disallow)+len(undone.Unroute) > 0:
		return queue.Visible(cut(closed(undone), 120)) + " is closed again"
	case len(undone.Allow)+len(undone.Routes) > 0:
		return what + " is as it was before"
	}
	return "the grant of " + what + " has ended, and it stays as it is"
}

// subjects names what a change opens.
func subjects(c Change) string {
	names := slices.Clone(c.Allow)
	for _, r := range c.Routes {
		names = append(names, r.Path)
	}
	if len(names) == 0 {
		return "a change"
	}
	return strings.Join(names, ", ")
}

// beginRevoke takes one grant back. Owner only.
func (s *Supervisor) beginRevoke(a Revoke) (<-chan error, error) {
	return s.onBottle(a.Identity, "revoke", false, func(r *record) (work, error) {
		if err := revocable(r.grants, a.Grant); err != nil {
			return nil, err
		}
		return func(ctx context.Context, x *execution) error {
			if op, err := x.bottle.Operation(); err == nil && op != nil && (op.Kind == "grant" || op.Kind == "allow") {
				return uninterrupted(x.bottle) // finishing it would open again what is closed here
			}
			grants, err := readGrants(x.bottle)
			if err == nil {
				err = revocable(grants, a.Grant)
			}
			if err != nil {
				return err
			}
			if err := s.audit(x.layout.identity, "decision", map[string]any{"grant": a.Grant, "decision": "revoked by the operator"}); err != nil {
				return err
			}
			return s.takeBack(ctx, x, func(g Grant) bool { return g.ID == a.Grant }, "the operator took it back")
		}, nil
	})
}

// revocable refuses to take back a grant that is not there, or not the bottle's own.
func revocable(grants []Grant, id string) error {
	i := slices.IndexFunc(grants, func(g Grant) bool { return g.ID == id })
	switch {
	case i < 0:
		return refuse("the grant has ended already")
	case grants[i].Scope.Profile:
		return refuse("it is part of the profile now: take it out of the manifest, then x and r")
	}
	return nil
}

// expire takes back what is over. Owner only.
func (s *Supervisor) expire(r *record) {
	if r.op != nil || len(r.waiting) > 0 || r.disk == nil || r.unread != "" || !s.engine.Reachable {
		s.shutPipelock(r)
		return // when the operation ends, or the engine comes, this is looked at again
	}
	now := s.cfg.Now()
	due := func(g Grant) bool { return !g.running(now) }
	if !slices.ContainsFunc(r.grants, due) || now.Before(r.retry) {
		return
	}
	s.operate(r, "expire", "", func(ctx context.Context, x *execution) error {
		err := s.takeBack(ctx, x, due, "its time is over")
		if errors.Is(err, ErrRefused) {
			return nil // another program was first
		}
		return err
	})
}

// expireLater tries again after a while. Owner only.
func (s *Supervisor) expireLater(r *record) {
	r.retry = s.cfg.Now().Add(expireAgain)
	s.after(expireAgain, func() { s.expire(r) })
}

// expireAgain is until the next try where what is over could not be taken back.
const expireAgain = 10 * time.Second

// awaitExpiry sees to the next end of a grant in time. Owner only.
func (s *Supervisor) awaitExpiry(r *record) {
	var next time.Time
	for _, g := range r.grants {
		if !g.Until.IsZero() && (next.IsZero() || g.Until.Before(next)) {
			next = g.Until
		}
	}
	if next.Equal(r.expires) {
		return
	}
	r.expires = next
	if r.expiry != nil {
		r.expiry.Stop()
		r.expiry = nil
	}
	if next.IsZero() {
		return
	}
	r.expiry = time.AfterFunc(max(0, next.Sub(s.cfg.Now()))+expirySlack, func() { s.post(func() { r.expires = time.Time{}; s.expire(r) }) })
}

// expirySlack puts the timer behind the end that it is for.
const expirySlack = 20 * time.Millisecond
