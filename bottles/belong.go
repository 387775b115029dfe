package bottles

import (
	"context"
	"maps"
	"slices"

	"bottle-tui/state"
)

// foreign are the objects on the engine of a bottle that this root has a state of, under the id of another root: the
// root was moved or restored, or lost its id, or the state was copied from the root whose bottle it is.
type foreign struct {
	root string // the other root's id
	parts
}

// ObserveRoot lists what an engine has of the bottles of a state root, whichever of the root's ids it carries.
func ObserveRoot(ctx context.Context, engine Engine, root *state.Root) (Observed, error) {
	mine, _, err := observeRoot(ctx, engine, root)
	return mine, err
}

// observeRoot is ObserveRoot, with the objects by identity that could be taken over. It reads the disk.
func observeRoot(ctx context.Context, engine Engine, root *state.Root) (mine Observed, others map[string]*foreign, err error) {
	all, err := engine.Observe(ctx, "")
	if err != nil {
		return mine, nil, err
	}
	type key struct{ identity, id string }
	const own, other, nobodys = 1, 2, 3
	whose := map[key]int{}
	of := func(labels map[string]string) int {
		k := key{labels[LabelIdentity], labels[LabelRoot]}
		if whose[k] == 0 {
			switch {
			case root.Owns(k.identity, k.id):
				whose[k] = own
			case k.id != "" && k.id != SharedRoot && root.Has(k.identity):
				whose[k] = other
			default:
				whose[k] = nobodys
			}
		}
		return whose[k]
	}
	theirs := map[string]*Observed{} // by the root's id
	in := func(labels map[string]string) *Observed {
		switch of(labels) {
		case own:
			return &mine
		case other:
			id := labels[LabelRoot]
			if theirs[id] == nil {
				theirs[id] = &Observed{}
			}
			return theirs[id]
		}
		return &Observed{} // dropped
	}
	for _, c := range all.Containers {
		o := in(c.Labels)
		o.Containers = append(o.Containers, c)
	}
	for _, n := range all.Networks {
		o := in(n.Labels)
		o.Networks = append(o.Networks, n)
	}
	for _, v := range all.Volumes {
		o := in(v.Labels)
		o.Volumes = append(o.Volumes, v)
	}
	others = map[string]*foreign{}
	for _, id := range slices.Sorted(maps.Keys(theirs)) {
		for identity, p := range group(*theirs[id]) {
			if before := others[identity]; before == nil || len(before.volumes) < len(p.volumes) {
				others[identity] = &foreign{id, p}
			}
		}
	}
	return mine, others, nil
}

// groupAll sorts a listing by bottle, with what could be taken over.
func groupAll(have Observed, others map[string]*foreign) map[string]parts {
	all := group(have)
	for identity, o := range others {
		p, ok := all[identity]
		if !ok {
			p = newParts()
		}
		p.other = o
		all[identity] = p
	}
	return all
}

// adopt makes the objects of another root's id those of this root's bottle. The operator said yes to it.
func (s *Supervisor) adopt(x *execution, o *foreign) error {
	if err := s.audit(x.layout.identity, "take over", map[string]any{"root": o.root, "objects": o.names()}); err != nil {
		return err
	}
	return x.bottle.UpdateMetadata(func(m *state.Metadata) { m.Root = o.root })
}

// text says what is known of them.
func (o *foreign) text() string {
	text := "its containers and volumes carry the id of another state root (" + o.root + ")"
	if o.containers[RoleAgent].State.alive() {
		text += ", and its agent runs"
	}
	return text
}
