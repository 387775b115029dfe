package bottles

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// tokensWithin bounds how long cred-proxy may take to say that it has its tokens.
const tokensWithin = readyWithin

// resolve has every token of the routes in force and to come, before anything is made. All that can't be had are named at once.
func (s *Supervisor) resolve(ctx context.Context, x *execution) error {
	if x.secrets != nil {
		return nil
	}
	secrets, missing := x.tokens(ctx, x.layout.allRoutes(), x.layout.tokens)
	if len(missing) > 0 {
		return missingError(missing)
	}
	x.secrets = secrets
	return nil
}

// missingError names everything that is missing; nil when nothing is.
func missingError(missing []Conflict) error {
	if len(missing) == 0 {
		return nil
	}
	var errs []error
	for _, m := range missing {
		errs = append(errs, errors.New(m.What+"; "+m.Fix))
	}
	return &lacking{errors.Join(errs...)}
}

// lacking is an error about what the operator's machine has to provide. It tells of that machine, so it is nothing for
// an agent.
type lacking struct{ error }

func (l *lacking) Unwrap() error { return l.error }

// forAgent is what an agent may know of an error.
func forAgent(err error) string {
	if l := (*lacking)(nil); errors.As(err, &l) {
		return "the operator's side could not provide what it needs, such as a credential."
	}
	return cut(err.Error(), 4<<10)
}

// tokens resolves what routes need; refs maps public names to references. What is missing comes as conflicts, which
// never hold a value.
func (x *execution) tokens(ctx context.Context, routes []Route, refs map[string]string) (map[string]string, []Conflict) {
	secrets := map[string]string{}
	var missing []Conflict
	tried := map[string]bool{}
	for _, r := range routes {
		name := r.TokenRef
		if tried[name] {
			continue
		}
		tried[name] = true
		ref, ok := refs[name]
		err := errors.New("nobody said where it comes from")
		if ok {
			var value string
			if value, err = x.token(ctx, ref); err == nil {
				secrets[name] = value
				continue
			}
		}
		missing = append(missing, Conflict{
			What: fmt.Sprintf("route %s can't have its token %s: %s", r.Path, name, strings.TrimPrefix(err.Error(), "token "+name+": ")),
			Fix:  x.sup.tokenFix(ref),
		})
	}
	return secrets, missing
}

// tokenFix says what to do about a token that can't be had. Of a file or a command it says where the operator named it,
// and no more: a plan hides both.
func (s *Supervisor) tokenFix(ref string) string {
	where := ""
	if l, ok := s.cfg.Catalog.(Locator); ok {
		where = l.Where(ref)
	}
	return fixAt(ref, where)
}

// fixAt is that of a token_ref which the operator named at a place; "": he knows it.
func fixAt(ref, where string) string {
	if where != "" {
		where = ", which is " + where
	}
	switch {
	case strings.HasPrefix(ref, refFile):
		return "put the token into its file" + where
	case strings.HasPrefix(ref, refCommand):
		return "see that its command prints the token" + where + "; a store that is locked is unlocked in a shell first"
	case ref == "":
		return "declare the route in the manifest, or grant it again with a token_ref"
	}
	return "set it before bottle-tui starts: export " + ref + "=…"
}

// token is the value of a token_ref. An operation asks for each once: behind one may be a password manager, which asks
// the operator.
func (x *execution) token(ctx context.Context, ref string) (string, error) {
	x.mu.Lock()
	value, ok := x.values[ref]
	x.mu.Unlock()
	if ok {
		return value, nil
	}
	if x.sup.cfg.Resolve == nil {
		return "", errors.New("this program can't resolve tokens")
	}
	value, err := x.sup.cfg.Resolve(ctx, ref)
	if err != nil {
		return "", err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.values == nil {
		x.values = map[string]string{}
	}
	x.values[ref] = value
	return value, nil
}

// giveTokens passes the tokens to a running cred-proxy and waits until it says that it has them.
func (x *execution) giveTokens(ctx context.Context, container string) error {
	if x.role(container) == RoleGitGate {
		secrets, missing := x.keys(ctx, x.layout.profile.Git)
		if len(missing) > 0 {
			return missingError(missing)
		}
		return x.sup.feed(ctx, x.layout.identity, RoleGitGate, secrets)
	}
	if err := x.sup.resolve(ctx, x); err != nil {
		return err
	}
	return x.sup.feed(ctx, x.layout.identity, RoleCredProxy, x.secrets)
}

func (s *Supervisor) feed(ctx context.Context, identity string, role Role, secrets map[string]string) error {
	if len(secrets) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tokensWithin)
	defer cancel()
	nonce := rand.Text()
	line, err := json.Marshal(struct {
		ID     string            `json:"id"`
		Tokens map[string]string `json:"tokens"`
	}{nonce, secrets})
	if err != nil {
		return errors.New("the tokens can't be passed on: one of them is not text") // err might quote one
	}
	container := sidecarName(role, identity)
	v := s.follow(identity, role, container)
	if err := s.cfg.Engine.Feed(ctx, container, append(line, '\n')); err != nil {
		return fmt.Errorf("give the tokens to %s: %w", container, err)
	}
	err = s.await(ctx, v, func(v *voice) (bool, error) { return slices.Contains(v.fed, nonce), nil })
	if err != nil {
		return fmt.Errorf("%s did not take its tokens: %w%s", container, err, s.lastWords(container))
	}
	return nil
}
