package bottles

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"bottle-tui/queue"
	"bottle-tui/state"
)

// What a grant's operation is at, in its journal.
const (
	stepApply   = "apply"
	stepUnapply = "take back"
)

// grantJournal is what a journal says of a change of the gates.
type grantJournal struct {
	Tool   string            `json:"tool,omitempty"`
	Scope  Scope             `json:"scope,omitzero"`
	At     time.Time         `json:"at,omitzero"`
	Tokens map[string]string `json:"tokens,omitempty"` // references that the operator gave, by public name
	Before string            `json:"before,omitempty"` // what was in force, of the kind that Tool changes
	Edit   string            `json:"edit,omitempty"`   // hash of the manifest as it shall be
}

// grantable checks a request for a way out or for routes against what is in force. Owner only.
func (s *Supervisor) grantable(r *record, req Request, j *journal, terms Terms) error {
	if !r.have.wayOut() {
		return refuse("its egress does not run, so nothing can be put in force; x and r start it anew")
	}
	if len(j.Content) > queue.MaxFile/2 {
		return refuse("what is put in force may have at most %d KiB", queue.MaxFile/2048)
	}
	next, err := (inForce{}).proposal(req.Tool, j.Content)
	if err == nil {
		err = next.check(r.have.engine())
	}
	if err != nil {
		return refuse("%w", err)
	}
	if terms.Scope.For < 0 || terms.Scope.For > maxScope || terms.Scope.Profile && terms.Scope.For != 0 {
		return refuse("a grant lasts for at most %d days", maxScope/(24*time.Hour))
	}
	j.Grant = grantJournal{Tool: req.Tool, Scope: terms.Scope, At: s.cfg.Now().UTC(), Tokens: terms.Tokens, Before: string(req.Current), Edit: terms.Edit}
	return nil
}

// maxScope bounds a grant's time.
const maxScope = 30 * 24 * time.Hour

// lackingTokens are the public names that proposed routes use and the bottle does not have.
func lackingTokens(content string, have map[string]string) []string {
	routes, err := parseRoutes(content)
	if err != nil {
		return nil
	}
	var lack []string
	for _, r := range routes {
		if _, ok := have[r.TokenRef]; !ok && !slices.Contains(lack, r.TokenRef) {
			lack = append(lack, r.TokenRef)
		}
	}
	return lack
}

// grant puts an approved change of the gates in force: journaled, confirmed by the sidecar, then told.
func (s *Supervisor) grant(ctx context.Context, x *execution, j journal) (err error) {
	defer s.settleRequest(x.layout.identity, j.Request, &err)
	if err := s.unsettled(x.bottle, j); err != nil {
		return err
	}
	have, err := s.changeable(ctx, x)
	if err == nil && have.containers[RoleAgent].State != StateRunning {
		err = errNobodyWaits
	}
	if err != nil {
		return err
	}
	st, err := s.standing(x.bottle)
	if err != nil {
		return err
	}
	if st.now.text(j.Grant.Tool) != j.Grant.Before {
		return errStale
	}
	_, next, _, err := st.granting(j)
	if err == nil {
		err = goTogether(next.stages(s.cfg.Now())[1:])
	}
	if err != nil {
		return err
	}
	if err := s.checkTokens(ctx, x, &j); err != nil {
		return err
	}
	if err := j.write(x.bottle, "grant", stepApply, s.cfg.Now()); err != nil {
		return err
	}
	if err := s.auditDecision(x.layout.identity, j); err != nil {
		return errors.Join(err, x.bottle.ClearOperation())
	}
	return s.putInForce(ctx, x, j)
}

// checkTokens sees, before anything is changed, that every token can be had that the routes would use. What the
// operator gave for tokens that the bottle has already is dropped: a name can't be turned to another credential.
func (s *Supervisor) checkTokens(ctx context.Context, x *execution, j *journal) error {
	if j.Grant.Tool != queue.ToolCredProxy {
		j.Grant.Tokens = nil
		return nil
	}
	have, err := s.knownTokens(x.bottle)
	if err != nil {
		return err
	}
	given := map[string]string{}
	for _, name := range lackingTokens(j.Content, have) {
		ref := strings.TrimSpace(j.Grant.Tokens[name])
		if ref == "" {
			return refuse("the bottle has no token %s: say where it comes from (an environment variable, file:PATH or cmd:COMMAND), or edit the routes to use one that it has", queue.Visible(name))
		}
		if _, err := x.token(ctx, ref); err != nil {
			return refuse("the token %s can't be had: %w; %s", queue.Visible(name), err, fixAt(ref, ""))
		}
		given[name] = ref
	}
	j.Grant.Tokens = given
	return nil
}

// knownTokens maps the public names of the tokens that a bottle may use to their references.
func (s *Supervisor) knownTokens(b *state.Bottle) (map[string]string, error) {
	p, err := s.profileOf(b)
	if err != nil {
		return nil, err
	}
	grants, err := readGrants(b)
	return tokensOf(p, grants), err
}

// current is what a bottle's state says is in force; for a state from before that was written down, what the profile
// that it runs on declares.
func (s *Supervisor) current(b *state.Bottle) (inForce, error) {
	f, ok, err := readInForce(b)
	if ok || err != nil {
		return f, err
	}
	p, err := s.profileOf(b)
	return declared(p), err
}

// putInForce is the rest of a grant from wherever it stands: the same code finishes one that was interrupted.
func (s *Supervisor) putInForce(ctx context.Context, x *execution, j journal) error {
	g, others, err := s.open(ctx, x, j)
	if err != nil {
		return err
	}
	ctx = s.ctx // it is in force: the rest is finished, not cancelled
	if g.Scope.Profile {
		if err := s.toProfile(x, &g, others, j.Grant.Edit); err != nil {
			return err
		}
	}
	_ = s.auditOnce(x.layout.identity, "in force", "request", map[string]any{"request": j.Request, "tool": g.Tool, "change": g.Change, "scope": g.Scope.String(), "until": g.Until})
	a := queue.Answer{Request: j.Request, Decision: j.Decision, Note: j.Note, Content: j.Content, Scope: scopeWords(g), DecidedAt: s.cfg.Now().UTC(), ShownHash: j.Shown}
	if err := s.box(x.layout.identity).Answer(a); err != nil && !errors.Is(err, queue.ErrAnswered) && !errors.Is(err, queue.ErrNoRequest) {
		return err
	}
	s.told(ctx, x.layout.identity, j.Request, 5*time.Second)
	if err := s.box(x.layout.identity).Archive(j.Request); err != nil {
		return err
	}
	return x.bottle.ClearOperation()
}

// open puts what a journal says in force, or leaves everything as it was. It gives the grant and those beside it.
func (s *Supervisor) open(ctx context.Context, x *execution, j journal) (g Grant, others []Grant, err error) {
	st, err := s.standing(x.bottle)
	if err != nil {
		return g, nil, err
	}
	had, next, g, err := st.granting(j)
	if err != nil {
		return g, nil, err
	}
	others = had.grants
	change := gates{had, next, []string{g.Tool}}
	if err := s.want(ctx, x, change); err != nil {
		return g, nil, err
	}
	if err := s.writeDown(x, change); err != nil {
		return g, nil, err
	}
	if err := s.enforce(ctx, x, change); err != nil {
		if s.ctx.Err() != nil || errors.Is(err, ErrUnavailable) {
			return g, nil, err
		}
		return g, nil, errors.Join(fmt.Errorf("it could not be put in force, and nothing was changed: %w", err), s.undo(x, gates{next, had, change.tools}))
	}
	now := x.layout.force
	s.post(func() { // shown at once, and not only when the agent was told
		if r := s.bottles[x.layout.identity]; r != nil {
			r.force, r.grants = now, next.grants
			s.changed()
		}
	})
	return g, others, nil
}

// granting works out what a journal's change makes of st, also when that is done already, in whole or in part.
func (st standing) granting(j journal) (had, next standing, g Grant, err error) {
	had, next = st, st
	if had.now, err = st.now.proposal(j.Grant.Tool, j.Grant.Before); err != nil {
		return had, next, g, err
	}
	if next.now, err = st.now.proposal(j.Grant.Tool, j.Content); err != nil {
		return had, next, g, err
	}
	g = Grant{ID: j.Request, Tool: j.Grant.Tool, Scope: j.Grant.Scope, At: j.Grant.At, Change: difference(had.now, next.now), Tokens: j.Grant.Tokens}
	if g.Scope.For > 0 {
		g.Until = g.At.Add(g.Scope.For)
	}
	had.grants = slices.DeleteFunc(slices.Clone(st.grants), func(o Grant) bool { return o.ID == g.ID })
	next.grants = append(slices.Clone(had.grants), g)
	return had, next, g, nil
}

// undo takes back what could not be put in force as a whole.
func (s *Supervisor) undo(x *execution, g gates) error {
	if err := s.want(s.ctx, x, g); err != nil {
		return err
	}
	if err := errors.Join(s.writeDown(x, g), s.enforce(s.ctx, x, g)); err != nil {
		return err
	}
	return x.bottle.ClearOperation()
}

// toProfile writes a grant that is in force into the manifest. The bottle keeps it until it comes to life again, on what
// the manifest then has; and for good, which the operator is told, when the manifest can't be written.
func (s *Supervisor) toProfile(x *execution, g *Grant, others []Grant, shown string) error {
	failure := s.editProfile(x, *g, shown)
	if failure == nil {
		return nil // it is among the grants already
	}
	g.Scope = Scope{}
	s.post(func() {
		s.alert(AlertFailed, x.layout.identity, g.ID, x.layout.identity+": "+queue.Visible(firstLine(failure.Error())))
	})
	return writeGrants(x.bottle, append(others, *g))
}

// scopeWords say to the agent how long a grant lasts.
func scopeWords(g Grant) string {
	switch {
	case !g.Until.IsZero():
		return fmt.Sprintf("for %s, until %s UTC", g.Scope, g.Until.UTC().Format("2006-01-02 15:04"))
	case g.Scope.Profile:
		return "for good"
	}
	return "for this bottle"
}
