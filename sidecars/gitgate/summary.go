package gitgate

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
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
	summaryTime   = time.Minute
)

// summarise is what a push would do.
func (s *server) summarise(p *pushing, q *request, g *graph, packed *pack) *sidecars.Push {
	sum := &sidecars.Push{Refs: []sidecars.PushRef{}, Commits: []sidecars.PushCommit{}, Files: []sidecars.PushFile{}}
	for i, c := range q.commands {
		if i == maxSumRefs {
			sum.MoreRefs = len(q.commands) - i
			break
		}
		sum.Refs = append(sum.Refs, sidecars.PushRef{Ref: plain(c.ref, 200), Old: c.old.String(), New: c.new.String(), Rewrites: p.rewrites[c.ref]})
	}
	for i := len(g.order) - 1; i >= 0; i-- {
		if len(sum.Commits) == maxSumCommits {
			sum.MoreCommits = i + 1
			break
		}
		sum.Commits = append(sum.Commits, sidecars.PushCommit{Hash: g.order[i].id.String()})
	}
	if packed != nil {
		sum.Bytes = packed.size
		ctx, cancel := context.WithTimeout(p.ctx, summaryTime)
		defer cancel()
		s.describeCommits(ctx, packed, sum.Commits)
		s.compare(ctx, p, q, g, packed, sum)
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

// describeCommits fills in who made the commits, and what they are about.
func (s *server) describeCommits(ctx context.Context, packed *pack, commits []sidecars.PushCommit) {
	of := map[oid]*sidecars.PushCommit{}
	for i := range commits {
		id, _ := parseOid(commits[i].Hash)
		of[id] = &commits[i]
	}
	r := newResolver(ctx, packed, s.spool)
	defer r.close()
	var content bytes.Buffer
	r.run(func(e *entry) bool { return e.kind == kindCommit }, visit{ //nolint:errcheck // what is lacking is not shown
		begin: func(_ kind, _ int64, i int32) (io.Writer, error) {
			content.Reset()
			if of[r.entries[i].id] == nil {
				return nil, nil
			}
			return &content, nil
		},
		ended: func(_ kind, _ int32, id oid) error {
			if c := of[id]; c != nil {
				c.Author, c.Subject = shownOf(content.Bytes())
			}
			return nil
		},
	})
}

// compare fills in which files a push changes, and how. Where the upstream can't tell what was there before,
// everything in the push counts as changed and nothing is compared.
func (s *server) compare(ctx context.Context, p *pushing, q *request, g *graph, packed *pack, sum *sidecars.Push) {
	d := &differ{ctx: ctx, files: map[string]changed{}}
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
		d.trees = g.trees
		if !old.none() && g.commits[old] == nil {
			if base != nil {
				base.close()
			}
			var err error
			if base, err = s.fetchUpstream(ctx, p, wish{wants: []oid{old}, depth: 1, filter: "blob:none"}); err != nil {
				base, whole = nil, false
				continue
			}
			if b := base.commits[old]; b != nil {
				before = b.tree
			}
			d.trees = maps.Clone(g.trees)
			maps.Copy(d.trees, base.trees)
		}
		d.compare(before, tip.tree, "")
	}
	if !whole {
		at := g.findPlaces(func(oid) bool { return true }, func(string) bool { return false }, func(oid, string) {})
		for id, f := range at.files {
			if d.cut = d.cut || len(d.files) >= maxDiffFiles; d.cut {
				break
			}
			d.files[at.path(f.dir, f.name)] = changed{new: id}
		}
	}
	sum.DiffCut = sum.DiffCut || d.cut
	s.describe(ctx, p, d.files, packed, base, whole, sum)
}

// describe counts and compares what is in files.
func (s *server) describe(ctx context.Context, p *pushing, files map[string]changed, packed *pack, base *history, whole bool, sum *sidecars.Push) {
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
	r := newResolver(ctx, packed, s.spool)
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
			if more, err := s.fetchUpstream(ctx, p, wish{wants: lacking}); err == nil {
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
