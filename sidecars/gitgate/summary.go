package gitgate

import (
	"bottle-tui/sidecars"
)

// Bounds on what the operator is told of a push in one line.
const (
	maxSumRefs    = 20
	maxSumCommits = 50
	maxSumFiles   = 100
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
	}
	return sum
}
