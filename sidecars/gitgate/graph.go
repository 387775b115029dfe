package gitgate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// commit is a commit of a push.
type commit struct {
	id      oid
	tree    oid
	parents []oid
}

// graph is what the objects of a push are to one another. It holds the objects of the push alone.
type graph struct {
	commits map[oid]*commit
	trees   map[oid][]byte // raw, of those of the push
	tags    map[oid]oid    // what they are of
	order   []*commit      // the oldest first
	treeSum int64
	edges   int // parents of all commits together
	// meta takes the texts of commits and tags, and directories as they are.
	meta func(k kind, id oid, text []byte) error
}

// learn unpacks and names everything but the blobs, and names those.
func learn(ctx context.Context, r *resolver, meta func(k kind, id oid, text []byte) error) (*graph, error) {
	g := &graph{commits: map[oid]*commit{}, trees: map[oid][]byte{}, tags: map[oid]oid{}, meta: meta}
	var content bytes.Buffer
	err := r.run(func(e *entry) bool { return e.kind != kindBlob }, visit{
		begin: func(_ kind, size int64, _ int32) (io.Writer, error) {
			content.Reset()
			content.Grow(int(size))
			return &content, nil
		},
		ended: func(k kind, _ int32, id oid) error { return g.add(k, id, content.Bytes()) },
	})
	if err != nil {
		return nil, err
	}
	err = r.run(func(e *entry) bool { return e.kind == kindBlob && (e.child >= 0 || len(r.byRef) > 0) }, visit{
		begin: func(kind, int64, int32) (io.Writer, error) { return nil, nil },
		ended: func(kind, int32, oid) error { return nil },
	})
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(r.entries, func(e entry) bool { return !e.done }); i >= 0 {
		return nil, refuse("the pack holds changes to objects that are not in it").
			with("Push with a git that heeds no-thin, which every usual one does.")
	}
	g.sort()
	return g, context.Cause(ctx)
}

func (g *graph) add(k kind, id oid, content []byte) error {
	switch k {
	case kindCommit:
		c, text, err := parseCommit(id, content)
		if err != nil {
			return err
		}
		if g.edges += len(c.parents); g.edges > maxEdges {
			return refuse("the commits of the push have more than %d parents together", maxEdges).
				with("Push fewer commits at a time.")
		}
		g.commits[id] = c
		return g.meta(k, id, text)
	case kindTag:
		head, _, _ := bytes.Cut(content, []byte("\n"))
		if of, ok := parseOid(strings.TrimPrefix(string(head), "object ")); ok {
			g.tags[id] = of
		}
		return g.meta(k, id, content)
	case kindTree:
		if _, known := g.trees[id]; known {
			return nil
		}
		if g.treeSum += int64(len(content)); g.treeSum > maxTreeBytes {
			return refuse("the directories of the push are more than %s together", bytesText(maxTreeBytes)).
				with("Push fewer commits at a time.")
		}
		g.trees[id] = bytes.Clone(content)
		if err := eachEntry(content, func(string, []byte, oid) {}); err != nil {
			return fmt.Errorf("directory %s: %w", id, err)
		}
		return g.meta(k, id, content)
	}
	return nil
}

// parseCommit reads a commit, and gives what of it is text: all but the names of objects. As for git those stand at
// its beginning alone, "tree" once and then "parent" as often as there is one, as parse_commit_buffer in git's
// commit.c has it; what looks like one further down is text.
func parseCommit(id oid, content []byte) (*commit, []byte, error) {
	c := &commit{id: id}
	rest, has, err := names(content, "tree ", &c.tree)
	for err == nil && has {
		var parent oid
		if rest, has, err = names(rest, "parent ", &parent); has {
			c.parents = append(c.parents, parent)
		}
	}
	if err != nil || c.tree.none() {
		return nil, nil, refuse("the commit %s does not begin with its directory and its parents, as git's do", id).
			with("Make it anew with git commit.")
	}
	head, message, _ := bytes.Cut(rest, []byte("\n\n"))
	if after, none := bytes.CutPrefix(rest, []byte("\n")); none {
		head, message = nil, after
	}
	// Lines are counted from the message on, as a reader of the commit sees them.
	return c, append(message[:len(message):len(message)], append([]byte("\n"), head...)...), nil
}

// names reads a line at the beginning of a commit that names an object, if it is of that key.
func names(content []byte, key string, id *oid) (rest []byte, has bool, err error) {
	value, has := bytes.CutPrefix(content, []byte(key))
	if !has {
		return content, false, nil
	}
	name, rest, whole := bytes.Cut(value, []byte("\n"))
	var ok bool
	if *id, ok = parseOid(string(name)); !ok || !whole {
		return nil, false, errOid
	}
	return rest, true, nil
}

var errOid = errors.New("that is no name of an object")

// shownOf is what the operator is shown of a commit.
func shownOf(content []byte) (author, subject string) {
	head, message, _ := bytes.Cut(content, []byte("\n\n"))
	for line := range bytes.SplitSeq(head, []byte("\n")) {
		if value, is := bytes.CutPrefix(line, []byte("author ")); is {
			who, _, _ := strings.Cut(string(value), ">")
			author = plain(who+">", 100)
			break
		}
	}
	subject, _, _ = strings.Cut(strings.TrimLeft(string(message[:min(len(message), 2000)]), "\n"), "\n")
	return author, plain(subject, 120)
}

// sort puts the commits in order, parents before children.
func (g *graph) sort() {
	state := map[oid]byte{}
	var ids []oid
	for id := range g.commits {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b oid) int { return bytes.Compare(a[:], b[:]) })
	type frame struct {
		c    *commit
		next int
	}
	for _, id := range ids {
		if state[id] != 0 {
			continue
		}
		state[id] = 1
		stack := []frame{{c: g.commits[id]}}
		for len(stack) > 0 {
			f := &stack[len(stack)-1]
			if f.next == len(f.c.parents) {
				g.order = append(g.order, f.c)
				stack = stack[:len(stack)-1]
				continue
			}
			p := f.c.parents[f.next]
			f.next++
			if c := g.commits[p]; c != nil && state[p] == 0 {
				state[p] = 1
				stack = append(stack, frame{c: c})
			}
		}
	}
}

// leadsTo says whether old is among the ancestors of new, as far as the push's own commits tell. open are the
// commits at which the push's own end.
func (g *graph) leadsTo(new, old oid) (yes bool, open []oid) {
	seen := map[oid]bool{new: true}
	queue := []oid{new}
	for len(queue) > 0 {
		id := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if id == old {
			return true, nil
		}
		c := g.commits[id]
		if c == nil {
			open = append(open, id)
			continue
		}
		for _, p := range c.parents {
			if !seen[p] {
				seen[p] = true
				queue = append(queue, p)
			}
		}
	}
	return false, open
}
