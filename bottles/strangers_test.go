package bottles

import (
	"context"
	"strings"
	"testing"
)

// namesHeld is an engine that has been asked who has the names of a bottle.
type namesHeld struct {
	Engine
	by []Holder
}

func (e namesHeld) Holders(context.Context, []string, []string, []string) ([]Holder, error) {
	return e.by, nil
}

// What another program made of the same bottle between the two looks at the engine is the bottle's own, and nobody is told to
// remove it. What somebody else has is told, with whose it is.
func TestWhatCameSinceTheLookIsTheBottlesOwn(t *testing.T) {
	s, b := owned(t, nil)
	id, root := b.Identity(), s.cfg.Root.ID()
	for _, c := range []struct {
		labels map[string]string
		want   string // "": nothing is told
	}{
		{map[string]string{LabelRoot: root, LabelIdentity: id}, ""},
		{map[string]string{LabelRoot: "0123456789abcdef", LabelIdentity: "other-00000"}, "a bottle of another state root (0123456789abcdef)"},
		{map[string]string{LabelRoot: "0123456789abcdef", LabelIdentity: id}, "this bottle under the id of another state root"},
		{nil, "something that bottle-tui did not make"},
	} {
		s.cfg.Engine = namesHeld{by: []Holder{{Kind: "network", Name: networkName(labelNet, id), Labels: c.labels}}}
		found, err := s.strangers(t.Context(), layout{identity: id}, newParts())
		told := ""
		for _, f := range found {
			told += f.What + " " + f.Fix
		}
		if err != nil || (told == "") != (c.want == "") || !strings.Contains(told, c.want) || strings.Contains(told, "rm ") {
			t.Errorf("labelled %v: %q, %v", c.labels, told, err)
		}
	}
}
