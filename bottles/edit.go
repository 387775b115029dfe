package bottles

import (
	"bottle-tui/queue"
	"bottle-tui/state"
	"bytes"
	"context"
	"fmt"
	"slices"
)

// editProfile writes a grant into the manifest, if that is still what the operator was shown.
func (s *Supervisor) editProfile(x *execution, g Grant, shown string) error {
	edit, err := s.editOf(x.bottle, g)
	if err != nil {
		return fmt.Errorf("it is in force for this bottle, but not written into the manifest: %w", err)
	}
	if queue.Hash(edit.After) != shown {
		return fmt.Errorf("it is in force for this bottle, but not written into %s: the file changed since you were shown it", edit.Path)
	}
	if bytes.Equal(edit.Before, edit.After) {
		return nil
	}
	if err := state.ReplaceFile(edit.Path, edit.Before, edit.After); err != nil {
		return fmt.Errorf("it is in force for this bottle, but not written into the manifest: %w", err)
	}
	s.audit(x.layout.identity, "manifest", map[string]any{"path": edit.Path, "request": g.ID, "before_hash": queue.Hash(edit.Before), "after_hash": shown})
	return nil
}

// editOf works out what a grant makes of its bottle's manifest.
func (s *Supervisor) editOf(b *state.Bottle, g Grant) (*Edit, error) {
	editor, ok := s.cfg.Catalog.(Editor)
	if !ok {
		return nil, refuse("this bottle's profile is not in a manifest that could be changed")
	}
	meta, err := b.Metadata()
	if err != nil {
		return nil, err
	}
	profile, err := s.profileOf(b)
	if err != nil {
		return nil, err
	}
	grants, err := readGrants(b)
	if err != nil {
		return nil, err
	}
	tokens := tokensOf(profile, append(grants, g))
	c := g.Change
	c.Routes = slices.Clone(c.Routes)
	for i, r := range c.Routes {
		if ref, ok := tokens[r.TokenRef]; ok {
			c.Routes[i].TokenRef = ref // the manifest has the reference itself
		}
	}
	edit, err := editor.Edit(meta, c)
	if err != nil {
		return nil, err
	}
	return &edit, nil
}

// PreviewEdit works out what approving a request for the profile would write into the manifest. content is what
// would be approved. It changes nothing.
func (s *Supervisor) PreviewEdit(ctx context.Context, identity, request string, content []byte, tokens map[string]string) (*Edit, error) {
	var disk *state.Bottle
	var req Request
	var engine string
	if !s.ask(func() {
		if r := s.bottles[identity]; r != nil && r.disk != nil {
			if i := slices.IndexFunc(r.requests, func(q Request) bool { return q.ID == request }); i >= 0 {
				disk, req, engine = r.disk, r.requests[i], r.have.engine()
			}
		}
	}) || disk == nil {
		return nil, refuse("the request was settled meanwhile")
	}
	now, err := s.current(disk)
	if err != nil {
		return nil, err
	}
	next, err := now.proposal(req.Tool, string(content))
	if err == nil {
		err = next.check(engine)
	}
	if err != nil {
		return nil, refuse("%w", err)
	}
	return s.editOf(disk, Grant{ID: request, Tool: req.Tool, Change: difference(now, next), Tokens: tokens})
}
