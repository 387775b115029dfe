package gitgate

import (
	"context"
	"errors"
	"io"
)

// inspection is what was learnt of a pack.
type inspection struct {
	graph *graph
	found []finding
}

// inspect names every object of a pack and looks for secrets in each. extra are texts of the push that are in no
// object, by what they are called.
func (s *server) inspect(ctx context.Context, p *pack, extra map[string]string, seen func(objects int)) (*inspection, error) {
	scan := s.scanner.start(ctx)
	r := newResolver(ctx, p, s.spoolDir)
	defer r.close()
	g, err := s.inspectObjects(ctx, r, scan, extra, seen)
	found := scan.end()
	if errors.Is(err, errEnough) && ctx.Err() == nil {
		err = nil // enough was found
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	return &inspection{g, found}, nil
}

func (s *server) inspectObjects(ctx context.Context, r *resolver, scan *scan, extra map[string]string, seen func(int)) (*graph, error) {
	for what, text := range extra {
		if err := scan.text(finding{path: what}, []byte(text)); err != nil {
			return nil, err
		}
	}
	count := 0
	// Names in directories wait until their paths are known.
	g, err := learn(ctx, r, func(k kind, id oid, text []byte) error {
		count++
		seen(count)
		if k == kindTree {
			return nil
		}
		return scan.text(finding{kind: k, id: id}, text)
	})
	if err != nil {
		return g, err
	}
	inPack := make(map[oid]struct{}, len(r.entries))
	for i := range r.entries {
		inPack[r.entries[i].id] = struct{}{}
	}
	places := g.places(func(id oid) bool { _, ok := inPack[id]; return ok })
	inPack = nil
	for id, raw := range g.trees {
		names := make([]byte, 0, len(raw))
		eachEntry(raw, func(_ string, name []byte, _ oid) { names = append(append(names, name...), '\n') }) //nolint:errcheck // it was read before
		at := places[id]
		if err := scan.text(finding{kind: kindTree, id: id, path: at.path, commit: at.commit}, names); err != nil {
			return g, err
		}
	}
	var blob *cutter
	return g, r.run(func(e *entry) bool { return e.kind == kindBlob }, visit{
		begin: func(_ kind, _ int64, i int32) (io.Writer, error) {
			e := &r.entries[i]
			at := places[e.id]
			blob = scan.writer(finding{kind: kindBlob, id: e.id, path: at.path, commit: at.commit})
			return blob, nil
		},
		ended: func(kind, int32, oid) error {
			count++
			seen(count)
			return blob.Close()
		},
	})
}
