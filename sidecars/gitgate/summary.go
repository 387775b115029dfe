package gitgate

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"bottle-tui/sidecars"

	"github.com/aymanbagabas/go-udiff"
)

// Bounds on what the operator is told of a push in one line.
const (
	maxSumRefs    = 20
	maxSumCommits = 50
	maxSumFiles   = 100
	maxSumDiff    = 40 << 10 // bytes of the diff
	maxSumLine    = 56 << 10 // bytes of it all, as JSON
	maxDiffFile   = 128 << 10
	maxDiffAll    = 8 << 20 // bytes of all files that are compared
)

// summarise is what a push would do.
func (s *server) summarise(p *pushing, q *request, g *graph, packed *pack) *sidecars.Push {
	sum := &sidecars.Push{Refs: []sidecars.PushRef{}, Commits: []sidecars.PushCommit{}, Files: []sidecars.PushFile{}}
	for i, c := range q.commands {
		if i == maxSumRefs {
			sum.MoreRefs = len(q.commands) - i
			break
		}
		sum.Refs = append(sum.Refs, sidecars.PushRef{Ref: plain(c.ref, 200), Old: c.old.String(), New: c.new.String()})
	}
	for i := len(g.order) - 1; i >= 0; i-- {
		if len(sum.Commits) == maxSumCommits {
			sum.MoreCommits = i + 1
			break
		}
		c := g.order[i]
		sum.Commits = append(sum.Commits, sidecars.PushCommit{Hash: c.id.String(), Author: plain(c.author, 100), Subject: plain(c.subject, 120)})
	}
	if packed != nil {
		sum.Bytes = packed.size
		s.compare(p, q, g, packed, sum)
	}
	for {
		b, err := json.Marshal(sum)
		if err == nil && len(b) <= maxSumLine {
			return sum
		}
		switch {
		case len(sum.Diff) > 1<<10:
			sum.Diff, sum.DiffCut = cutLines(sum.Diff, len(sum.Diff)/2), true
		case len(sum.Files) > 0:
			half := len(sum.Files) / 2
			sum.MoreFiles += len(sum.Files) - half
			sum.Files = sum.Files[:half]
		case len(sum.Commits) > 0:
			half := len(sum.Commits) / 2
			sum.MoreCommits += len(sum.Commits) - half
			sum.Commits = sum.Commits[:half]
		default:
			return &sidecars.Push{MoreRefs: len(q.commands), DiffCut: true}
		}
	}
}

// changed is a file that a push changes.
type changed struct{ old, new oid }

// compare fills in which files a push changes, and how. Where the upstream can't tell what was there before,
// everything in the push counts as changed and nothing is compared.
func (s *server) compare(p *pushing, q *request, g *graph, packed *pack, sum *sidecars.Push) {
	files := map[string]changed{}
	var base *history
	defer func() {
		if base != nil {
			base.close()
		}
	}()
	whole := true
	for _, c := range q.commands {
		tip := g.commits[c.new]
		if of, isTag := g.tags[c.new]; isTag && tip == nil {
			tip = g.commits[of]
		}
		if tip == nil {
			continue
		}
		old := c.old
		if old.none() {
			if _, open := g.leadsTo(tip.id, oid{}); len(open) > 0 {
				old = open[0]
			}
		}
		var before oid
		trees := g.trees
		if !old.none() && g.commits[old] == nil {
			if base != nil {
				base.close()
			}
			var err error
			if base, err = s.fetchUpstream(p, wish{wants: []oid{old}, depth: 1, filter: "blob:none"}); err != nil {
				base, whole = nil, false
				continue
			}
			if b := base.commits[old]; b != nil {
				before = b.tree
			}
			trees = maps.Clone(g.trees)
			maps.Copy(trees, base.trees)
		}
		diffTrees(trees, before, tip.tree, "", files)
	}
	if !whole {
		for id, at := range g.places(func(oid) bool { return true }) {
			if g.trees[id] == nil {
				files[at.path] = changed{new: id}
			}
		}
	}
	s.describe(p, files, packed, base, whole, sum)
}

// diffTrees finds the files that differ between two directories.
func diffTrees(trees map[oid][]byte, a, b oid, path string, files map[string]changed) {
	type entry struct {
		id   oid
		tree bool
	}
	read := func(id oid) map[string]entry {
		m := map[string]entry{}
		eachEntry(trees[id], func(mode string, name []byte, id oid) { m[string(name)] = entry{id, mode == modeTree} }) //nolint:errcheck // it was read before
		return m
	}
	if a == b || len(path) > 4096 || len(files) > 10_000 {
		return
	}
	before, after := read(a), read(b)
	names := slices.Collect(maps.Keys(before))
	for n := range after {
		if _, both := before[n]; !both {
			names = append(names, n)
		}
	}
	for _, n := range names {
		x, y := before[n], after[n]
		if x == y {
			continue
		}
		var c changed
		var dirs [2]oid
		if x.tree {
			dirs[0] = x.id
		} else {
			c.old = x.id
		}
		if y.tree {
			dirs[1] = y.id
		} else {
			c.new = y.id
		}
		if c != (changed{}) {
			files[path+n] = c
		}
		diffTrees(trees, dirs[0], dirs[1], path+n+"/", files)
	}
}

// describe counts and compares what is in files.
func (s *server) describe(p *pushing, files map[string]changed, packed *pack, base *history, whole bool, sum *sidecars.Push) {
	paths := slices.Sorted(maps.Keys(files))
	if len(paths) > maxSumFiles {
		sum.MoreFiles = len(paths) - maxSumFiles
		sum.DiffCut = true
		paths = paths[:maxSumFiles]
	}
	have := map[oid][]byte{}
	wanted := map[oid]bool{}
	for _, path := range paths {
		wanted[files[path].old], wanted[files[path].new] = true, true
	}
	delete(wanted, oid{})
	room := int64(maxDiffAll)
	r := newResolver(p.ctx, packed, s.spoolDir)
	defer r.close()
	r.collect(wanted, have, &room)
	if base != nil {
		base.collect(wanted, have, &room)
		var lacking []oid
		for id := range wanted {
			if _, ok := have[id]; !ok && len(lacking) < maxWants {
				lacking = append(lacking, id)
			}
		}
		if len(lacking) > 0 { // the upstream left the files out
			if more, err := s.fetchUpstream(p, wish{wants: lacking}); err == nil {
				more.collect(wanted, have, &room)
				more.close()
			}
		}
	}
	var diff strings.Builder
	for _, path := range paths {
		c := files[path]
		f := sidecars.PushFile{Path: plain(path, 300), Change: "changed", Added: -1, Removed: -1}
		old, okOld := have[c.old]
		now, okNew := have[c.new]
		from, to := "a/"+f.Path, "b/"+f.Path
		if whole && c.old.none() {
			f.Change, okOld, from = "added", true, "/dev/null"
		}
		if c.new.none() {
			f.Change, okNew, to = "removed", true, "/dev/null"
		}
		if okOld && okNew && isText(old) && isText(now) {
			d := udiff.Unified(from, to, string(old), string(now))
			f.Added, f.Removed = countLines(d)
			if room := maxSumDiff - diff.Len(); len(d) > room {
				d, sum.DiffCut = cutLines(d, room), true
			}
			diff.WriteString(d)
		} else {
			sum.DiffCut = sum.DiffCut || !okOld || !okNew
		}
		sum.Files = append(sum.Files, f)
	}
	sum.Diff = showable(diff.String())
}

// collect keeps the content of wanted files that are not too large, while there is room.
func (r *resolver) collect(wanted map[oid]bool, have map[oid][]byte, room *int64) {
	var content *bytes.Buffer
	r.run(func(e *entry) bool { return e.kind == kindBlob }, visit{ //nolint:errcheck // what is lacking is not compared
		begin: func(_ kind, size int64, i int32) (io.Writer, error) {
			content = nil
			if !wanted[r.entries[i].id] || size > maxDiffFile || size > *room {
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

func isText(b []byte) bool { return bytes.IndexByte(b, 0) < 0 && utf8.Valid(b) }

func countLines(diff string) (added, removed int) {
	for line := range strings.SplitSeq(diff, "\n") {
		switch {
		case strings.HasPrefix(line, "+++ ") || strings.HasPrefix(line, "--- "):
		case strings.HasPrefix(line, "+"):
			added++
		case strings.HasPrefix(line, "-"):
			removed++
		}
	}
	return added, removed
}

// cutLines is as many whole lines of s as n bytes hold.
func cutLines(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:strings.LastIndexByte(s[:max(n, 0)], '\n')+1]
}

// showable is s without what could play with a terminal.
func showable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
