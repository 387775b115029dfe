package gitgate

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
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
	maxSumOptions = 20
	maxSumOption  = 300 // bytes
	maxSumCommits = 50
	maxSumFiles   = 100
	maxSumDiff    = 40 << 10 // bytes of the diff
	maxSumLine    = 56 << 10 // bytes of it all, as JSON
	maxDiffFile   = 128 << 10
	maxDiffAll    = 8 << 20 // bytes of all files that are compared
)

// summarise is what a push would do. has are the upstream's refs. ctx is for what else is asked of the upstream.
func (s *server) summarise(ctx context.Context, p *pushing, q *request, g *graph, packed *pack, has map[string]oid) *sidecars.Push {
	sum := &sidecars.Push{Refs: []sidecars.PushRef{}, Commits: []sidecars.PushCommit{}, Files: []sidecars.PushFile{}}
	for i, c := range q.commands {
		if i == maxSumRefs {
			sum.MoreRefs, sum.DiffCut = len(q.commands)-i, true
			break
		}
		sum.Refs = append(sum.Refs, sidecars.PushRef{Ref: plain(c.ref, 200), Old: c.old.String(), New: c.new.String(), Rewrites: p.rewrites[c.ref]})
	}
	for i, o := range q.options {
		if i == maxSumOptions {
			sum.MoreOptions = len(q.options) - i
			break
		}
		sum.Options = append(sum.Options, plain(o, maxSumOption))
	}
	if packed != nil {
		sum.Bytes = packed.size
		c := s.newComparison(ctx, p, g, packed, has)
		defer c.close()
		files, cut := c.files(q.commands[:len(sum.Refs)], sum.Refs)
		sum.DiffCut = sum.DiffCut || cut
		c.describeCommits(sum)
		c.describeFiles(files, sum)
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

// describeCommits lists the commits that come to the upstream's branches: those of the push, then those that the
// upstream has had on none of them.
func (c *comparison) describeCommits(sum *sidecars.Push) {
	strays := &graph{}
	if c.strays != nil {
		strays = c.strays.graph
	}
	sum.CommitsCut = c.unsure
	list := func(of []*commit, stray bool) (first int) {
		first = len(sum.Commits)
		for _, commit := range slices.Backward(of) {
			if len(sum.Commits) == maxSumCommits {
				sum.MoreCommits++
				continue
			}
			sum.Commits = append(sum.Commits, sidecars.PushCommit{Hash: commit.id.String(), Stray: stray})
		}
		return first
	}
	list(c.pushed.order, false)
	first := list(strays.order, true)
	r := newResolver(c.p.ctx, c.packed, c.server.spool)
	defer r.close()
	describeCommits(r, sum.Commits[:first])
	if c.strays != nil {
		describeCommits(c.strays.resolver, sum.Commits[first:])
	}
}

// describeCommits fills in who made the commits, and what they are about.
func describeCommits(r *resolver, commits []sidecars.PushCommit) {
	if len(commits) == 0 {
		return
	}
	of := map[oid]*sidecars.PushCommit{}
	for i := range commits {
		id, _ := parseOid(commits[i].Hash)
		of[id] = &commits[i]
	}
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

// describeFiles counts and compares what is in files.
func (c *comparison) describeFiles(files []difference, sum *sidecars.Push) {
	if len(files) > maxSumFiles {
		sum.MoreFiles = len(files) - maxSumFiles
		sum.DiffCut = true
		files = files[:maxSumFiles]
	}
	have := c.contents(files)
	content := func(e treeEntry) (text []byte, known bool) {
		switch e.mode {
		case "":
			return nil, true
		case modeSubmodule:
			return []byte("Subproject commit " + e.id.String() + "\n"), true
		}
		text, known = have[e.id]
		return text, known
	}
	several := slices.ContainsFunc(files, func(f difference) bool { return f.ref != files[0].ref })
	var diff strings.Builder
	for _, of := range files {
		f := sidecars.PushFile{Path: plain(of.path, 300), Change: "changed", Added: -1, Removed: -1, Was: kindOf(of.old.mode), Is: kindOf(of.new.mode)}
		name := f.Path
		if several {
			f.Ref = plain(of.ref, 200)
			name += " @ " + f.Ref
		}
		old, okOld := content(of.old)
		now, okNew := content(of.new)
		from, to := "a/"+name, "b/"+name
		switch {
		case of.unseen: // what was there before is not known
			okOld = false
		case of.old.mode == "":
			f.Change, from = "added", "/dev/null"
		case of.new.mode == "":
			f.Change, to = "removed", "/dev/null"
		}
		sum.DiffCut = sum.DiffCut || !okOld || !okNew
		if okNew && isText(now) && (!okOld || isText(old)) {
			// Of what can't be compared all that is there then is shown, as if it were new.
			d := udiff.Unified(from, to, string(old), string(now))
			if okOld {
				f.Added, f.Removed = countLines(d)
			}
			if room := maxSumDiff - diff.Len(); len(d) > room {
				d, sum.DiffCut = cutLines(d, room), true
			}
			diff.WriteString(d)
		}
		sum.Files = append(sum.Files, f)
	}
	sum.Diff = showable(diff.String())
}

func isText(b []byte) bool { return bytes.IndexByte(b, 0) < 0 && utf8.Valid(b) }

// countLines counts the lines that a diff of one file adds and removes.
func countLines(diff string) (added, removed int) {
	_, body, _ := strings.Cut(diff, "\n") // a line may look like one of the two that name the file
	_, body, _ = strings.Cut(body, "\n")
	for line := range strings.SplitSeq(body, "\n") {
		switch {
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
