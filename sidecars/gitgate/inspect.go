package gitgate

import (
	"context"
	"errors"
	"io"
	"strings"
)

// inspection is what was learnt of a push.
type inspection struct {
	graph *graph
	found []finding
}

// inspect names every object of a push and looks for secrets in each, and in what of its request goes on as well. p
// is nil when refs are only deleted. seen is told how many objects were looked at.
func (s *server) inspect(ctx context.Context, q *request, p *pack, seen func(objects int)) (*inspection, error) {
	scan := s.scanner.start(ctx)
	g, err := &graph{}, scan.request(q)
	if err == nil && p != nil {
		r := newResolver(ctx, p, s.spool)
		defer r.close()
		g, err = inspectObjects(ctx, r, scan, seen)
	}
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

// request looks at what of a push is in no object.
func (c *scan) request(q *request) error {
	for what, words := range map[string][]string{"the name of a ref": q.refs(), "a push option": q.options} {
		if err := c.text(finding{path: what}, where{}, []byte(strings.Join(words, "\n"))); err != nil {
			return err
		}
	}
	return nil
}

func inspectObjects(ctx context.Context, r *resolver, scan *scan, seen func(int)) (*graph, error) {
	count := 0
	// Names in directories wait until their paths are known.
	g, err := learn(ctx, r, func(k kind, id oid, text []byte) error {
		count++
		seen(count)
		if k == kindTree {
			return checkTree(id, text)
		}
		return scan.text(finding{kind: k, id: id}, where{}, text)
	})
	if err != nil {
		return g, err
	}
	blobs := make(map[oid]struct{}, len(r.entries))
	for i := range r.entries {
		if e := &r.entries[i]; e.kind == kindBlob {
			blobs[e.id] = struct{}{}
		}
	}
	at := g.findPlaces(func(id oid) bool { _, ok := blobs[id]; return ok }, scan.scanner.usuallyFull,
		func(id oid, path string) { scan.name(finding{kind: kindBlob, id: id}, path) })
	for id, raw := range g.trees {
		f := finding{kind: kindTree, id: id}
		f.path, f.commit = at.tree(id)
		names := make([]byte, 0, len(raw))
		eachEntry(raw, func(_ string, name []byte, of oid) { //nolint:errcheck // it was read before
			names = append(append(names, name...), '\n')
			if _, comes := blobs[of]; comes && f.commit.none() { // no commit of the push leads there
				scan.name(finding{kind: kindBlob, id: of}, string(name))
			}
		})
		if err := scan.text(f, where{path: f.path}, names); err != nil {
			return g, err
		}
	}
	blobs = nil
	var blob *cutter
	return g, r.run(func(e *entry) bool { return e.kind == kindBlob }, visit{
		begin: func(_ kind, _ int64, i int32) (io.Writer, error) {
			f := finding{kind: kindBlob, id: r.entries[i].id}
			var w where
			w, f.commit = at.file(f.id)
			f.path = w.path
			blob = scan.writer(f, w)
			return blob, nil
		},
		ended: func(kind, int32, oid) error {
			count++
			seen(count)
			return blob.Close()
		},
	})
}
