package gitgate

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"strings"

	"bottle-tui/sidecars"
)

// Bounds on what is asked of the upstream so that the operator can be told of a push.
const (
	maxPeeled  = 10 // tags of tags
	maxRounds  = 4  // of fetches of directories
	maxFetches = 12 // of files
)

// comparison finds out what a push would change on the upstream, and reads there what the push leaves out: an
// agent's push need not hold what the upstream has anywhere, be it on a branch of nobody's choosing.
type comparison struct {
	ctx    context.Context // of what is asked of the upstream; what the push holds is read in any case
	server *server
	p      *pushing
	packed *pack
	pushed *graph // of the push alone
	branch map[string]oid
	tips   map[oid]bool // of branches

	commits map[oid]*commit // of the push, and of what was fetched since
	trees   map[oid][]byte
	tags    map[oid]oid
	fetched []*history
	strays  *history // commits that are on no branch and not in the push; nil when there are none
	unsure  bool     // whether there are more is not known
}

func (s *server) newComparison(ctx context.Context, p *pushing, g *graph, packed *pack, has map[string]oid) *comparison {
	c := &comparison{
		ctx: ctx, server: s, p: p, packed: packed, pushed: g, branch: map[string]oid{}, tips: map[oid]bool{},
		commits: maps.Clone(g.commits), trees: maps.Clone(g.trees), tags: maps.Clone(g.tags),
	}
	for ref, id := range has {
		if strings.HasPrefix(ref, "refs/heads/") {
			c.branch[ref], c.tips[id] = id, true
		}
	}
	return c
}

func (c *comparison) close() {
	for _, h := range c.fetched {
		h.close()
	}
	if c.strays != nil {
		c.strays.close()
	}
}

// fetch adds what the upstream sends for w.
func (c *comparison) fetch(w wish) error {
	h, err := c.server.fetchUpstream(c.ctx, c.p, w)
	if err != nil {
		return err
	}
	c.fetched = append(c.fetched, h)
	maps.Copy(c.commits, h.commits)
	maps.Copy(c.trees, h.trees)
	maps.Copy(c.tags, h.tags)
	return nil
}

// peel is what a tag is of, and of a tag of a tag, as far as it is known.
func (c *comparison) peel(id oid) oid {
	for range maxPeeled {
		of, isTag := c.tags[id]
		if !isTag {
			break
		}
		id = of
	}
	return id
}

// tree is the directory that an object leads to.
func (c *comparison) tree(id oid) (tree oid, known bool) {
	if id.none() {
		return oid{}, true
	}
	id = c.peel(id)
	if of := c.commits[id]; of != nil {
		return of.tree, true
	}
	_, known = c.trees[id]
	return id, known
}

// findStrays asks for the commits that a push brings to the upstream's branches without holding them.
func (c *comparison) findStrays(commands []command) {
	var open []oid
	for _, cmd := range commands {
		if cmd.new.none() {
			continue
		}
		_, ends := c.pushed.leadsTo(c.peel(cmd.new), oid{})
		for _, id := range ends {
			if id != cmd.old && !c.tips[id] && !slices.Contains(open, id) {
				open = append(open, id)
			}
		}
	}
	if len(open) == 0 {
		return
	}
	var haves []oid
	for _, ref := range c.branches() {
		if id := c.branch[ref]; len(haves) < maxWants && !slices.Contains(haves, id) {
			haves = append(haves, id)
		}
	}
	h, err := c.server.fetchUpstream(c.ctx, c.p, wish{wants: open, haves: haves, filter: "tree:0"})
	if err != nil {
		c.unsure = true
		return
	}
	c.strays = h
	maps.Copy(c.tags, h.tags)
}

// onBranch says whether the upstream has a commit, which the push does not hold, on a branch. Where that is not
// known it has not.
func (c *comparison) onBranch(id oid) bool {
	return c.tips[id] || !c.unsure && (c.strays == nil || c.strays.commits[id] == nil)
}

// base is what a command's files are compared with. branch is the one that it was taken from for want of a nearer one.
func (c *comparison) base(cmd command) (id oid, branch string) {
	if !cmd.old.none() {
		return cmd.old, ""
	}
	id = c.peel(cmd.new)
	for seen := 0; seen <= len(c.pushed.commits); seen++ {
		in := c.pushed.commits[id]
		if in == nil {
			break
		}
		if len(in.parents) == 0 {
			return oid{}, ""
		}
		id = in.parents[0]
	}
	if c.onBranch(id) {
		return id, ""
	}
	if all := c.branches(); len(all) > 0 {
		return c.branch[all[0]], all[0]
	}
	return oid{}, ""
}

// branches are the upstream's, those first that usually are the first: receive-pack does not say which is.
func (c *comparison) branches() []string {
	var first, rest []string
	for _, ref := range slices.Sorted(maps.Keys(c.branch)) {
		if ref == "refs/heads/main" || ref == "refs/heads/master" {
			first = append(first, ref)
		} else {
			rest = append(rest, ref)
		}
	}
	return append(first, rest...)
}

// files fills in refs what the commands' files are compared with, and gives the files that differ. cut: there are more.
func (c *comparison) files(commands []command, refs []sidecars.PushRef) (all []difference, cut bool) {
	c.findStrays(commands)
	bases := make([]oid, len(commands))
	var wants []oid
	for i, cmd := range commands {
		if cmd.new.none() {
			continue
		}
		bases[i], refs[i].BaseRef = c.base(cmd)
		for _, id := range []oid{bases[i], c.peel(cmd.new)} {
			if c.commits[id] == nil && !id.none() && !slices.Contains(wants, id) {
				wants = append(wants, id)
			}
		}
	}
	if len(wants) > 0 && c.fetch(wish{wants: wants, depth: 1, filter: "blob:none"}) != nil {
		for _, id := range wants { // one of them may be what the upstream does not give
			c.fetch(wish{wants: []oid{id}, depth: 1, filter: "blob:none"}) //nolint:errcheck // it is lacking then, which is said
		}
	}
	compared := map[[2]oid]bool{}
	for i, cmd := range commands {
		if cmd.new.none() {
			continue
		}
		if at := c.peel(bases[i]); c.commits[at] != nil {
			refs[i].Base = at.String()
		}
		before, known := c.tree(bases[i])
		after, known2 := c.tree(cmd.new)
		if pair := [2]oid{before, after}; known && known2 {
			if compared[pair] {
				continue
			}
			compared[pair] = true
		}
		d := c.walk(before, after, known && known2)
		refs[i].Unseen = d.unseen
		cut = cut || d.cut || d.unseen || d.twice
		for _, path := range slices.Sorted(maps.Keys(d.files)) {
			if len(all) >= maxDiffFiles {
				return all, true
			}
			all = append(all, difference{ref: cmd.ref, path: path, changed: d.files[path], unseen: d.unseen})
		}
	}
	return all, cut
}

// difference is a file that differs.
type difference struct {
	ref, path string
	changed
	unseen bool // what was there before is not known
}

// walk compares two directories, and asks for those below that are lacking. Where that leads to nothing it lists what
// the push itself holds of the second one.
func (c *comparison) walk(before, after oid, known bool) *differ {
	for range maxRounds {
		if !known {
			break
		}
		d := &differ{ctx: c.p.ctx, trees: c.trees, files: map[string]changed{}}
		d.compare(before, after, "")
		if len(d.lacking) == 0 {
			return d
		}
		wants := slices.Collect(maps.Keys(d.lacking))
		if len(wants) > maxWants || c.fetch(wish{wants: wants, filter: "blob:none"}) != nil {
			break
		}
	}
	blobs := map[oid]bool{}
	for i := range c.packed.entries {
		if e := &c.packed.entries[i]; e.kind == kindBlob {
			blobs[e.id] = true
		}
	}
	d := &differ{ctx: c.p.ctx, trees: c.trees, files: map[string]changed{}, only: blobs, unseen: true}
	d.compare(oid{}, after, "")
	return d
}

// contents reads files, those that are not too large while there is room.
func (c *comparison) contents(files []difference) map[oid][]byte {
	have, wanted := map[oid][]byte{}, map[oid]bool{}
	for _, f := range files {
		for _, side := range []treeEntry{f.old, f.new} {
			if side.mode != modeSubmodule && !side.id.none() {
				wanted[side.id] = true
			}
		}
	}
	room := int64(maxDiffAll)
	r := newResolver(c.p.ctx, c.packed, c.server.spool)
	defer r.close()
	r.collect(wanted, have, &room)
	left := maxFetches
	var ask func(ids []oid)
	ask = func(ids []oid) {
		if len(ids) == 0 || left == 0 || c.ctx.Err() != nil {
			return
		}
		left--
		if h, err := c.server.fetchUpstream(c.ctx, c.p, wish{wants: ids}); err == nil {
			h.collect(wanted, have, &room)
			h.close()
		} else if n := len(ids); n > 1 { // one may be too large, or lacking
			ask(ids[:n/2])
			ask(ids[n/2:])
		}
	}
	mine := map[oid]bool{}
	for i := range c.packed.entries {
		mine[c.packed.entries[i].id] = true
	}
	for _, h := range c.fetched { // an upstream that knows no filter sent the files as well
		h.collect(wanted, have, &room)
		for i := range h.entries {
			mine[h.entries[i].id] = true
		}
	}
	var lacking []oid
	for id := range wanted {
		if _, ok := have[id]; !ok && !mine[id] && len(lacking) < maxWants {
			lacking = append(lacking, id)
		}
	}
	slices.SortFunc(lacking, func(a, b oid) int { return bytes.Compare(a[:], b[:]) })
	ask(lacking)
	return have
}

// collect keeps the content of wanted files that are not too large, while there is room.
func (r *resolver) collect(wanted map[oid]bool, have map[oid][]byte, room *int64) {
	var content *bytes.Buffer
	r.run(func(e *entry) bool { return e.kind == kindBlob }, visit{ //nolint:errcheck // what is lacking is not compared
		begin: func(_ kind, size int64, i int32) (io.Writer, error) {
			content = nil
			id := r.entries[i].id
			if _, have := have[id]; have || !wanted[id] || size > maxDiffFile || size > *room {
				return nil, nil
			}
			*room -= size
			content = &bytes.Buffer{}
			return content, nil
		},
		ended: func(_ kind, _ int32, id oid) error {
			if content != nil {
				have[id] = append([]byte{}, content.Bytes()...)
			}
			return nil
		},
	})
}
