package bottles

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"bottle-tui/queue"
	"bottle-tui/sidecars"
	"bottle-tui/state"
)

// History reads what the audit log has of a bottle's gates: summaries, grants and their ends, and the pushes that the
// operator let go on. It is for one goroutine.
type History struct {
	audit  *state.Audit
	seq    int64             // of the last entry that was read
	pushes map[string]string // what those would do that waited, by their requests
	ended  map[string]bool   // of these, whose end was read: several programs may have written it
}

// NewHistory is at the beginning of a bottle's audit log.
func NewHistory(root *state.Root, identity string) *History {
	return &History{audit: root.Audit(identity), pushes: map[string]string{}, ended: map[string]bool{}}
}

// historyReach is how many entries of the audit log the first Next reads at most, the latest.
const historyReach = 10_000

// Next is what the audit log got since the last Next, the oldest first.
func (h *History) Next() ([]Passage, error) {
	entries, err := h.fresh()
	if err != nil {
		return nil, err
	}
	var out []Passage
	for _, e := range entries {
		h.seq = e.Seq
		out = append(out, h.read(e)...)
	}
	return out, nil
}

func (h *History) fresh() ([]state.Entry, error) {
	if h.seq > 0 {
		last, err := h.audit.Last()
		if err != nil {
			return nil, err
		}
		if last >= h.seq {
			return h.audit.EntriesAfter(h.seq)
		}
		h.seq = 0 // the file was moved away, and a new one begun
	}
	return h.audit.Entries(historyReach)
}

func (h *History) read(e state.Entry) []Passage {
	switch e.Kind {
	case "request":
		var q struct {
			ID     string         `json:"id"`
			Remote string         `json:"remote"`
			Push   *sidecars.Push `json:"push"`
		}
		if json.Unmarshal(e.Data, &q) == nil && q.Push != nil {
			h.pushes[q.ID] = whatPushed(q.Remote, q.Push)
		}
	case auditPushEnded: // of all other ends git-gate tells itself
		var end pushEnd
		if json.Unmarshal(e.Data, &end) != nil || end.Decision != queue.Approved || h.pushes[end.Request] == "" || h.ended[end.Request] {
			return nil
		}
		h.ended[end.Request] = true
		return []Passage{{Gate: RoleGitGate, Verdict: Granted, What: h.pushes[end.Request], Via: "push", Why: "the operator approved it", Count: 1, First: end.At, Last: end.At}}
	case auditGates:
		var f GateFacts
		if json.Unmarshal(e.Data, &f) != nil {
			return nil
		}
		if f.More <= 0 {
			return f.Passages
		}
		more := Passage{Verdict: More, Count: f.More, First: f.Until, Last: e.At}
		for _, p := range f.Passages {
			if p.First.Before(more.First) {
				more.First = p.First
			}
		}
		return append(f.Passages, more)
	case "in force", "grant ended":
		var g struct {
			Tool   string `json:"tool"`
			Scope  string `json:"scope"`
			Why    string `json:"why"`
			Change Change `json:"change"`
		}
		if json.Unmarshal(e.Data, &g) != nil || g.Tool == "" {
			return nil // of a capability
		}
		p := Passage{Gate: RoleEgress, Verdict: Granted, What: subjects(g.Change), Why: g.Scope, Count: 1, First: e.At, Last: e.At}
		if g.Tool == queue.ToolCredProxy {
			p.Gate = RoleCredProxy
		}
		if e.Kind == "grant ended" {
			p.Verdict, p.Why = Closed, g.Why
			p.What = closed(g.Change)
		}
		return []Passage{p}
	}
	return nil
}

// How often the audit log is looked at without having been told of a change: where the file system tells nothing, and
// where it does.
const (
	lookAlone  = time.Second
	lookSafety = 15 * time.Second
)

// Follow gives say what comes into the audit log after what was read, until ctx ends; what is in it then is given, too.
func (h *History) Follow(ctx context.Context, say func(Passage) error) error {
	var changes <-chan fsnotify.Event
	var failures <-chan error
	interval := lookAlone
	if w, err := fsnotify.NewWatcher(); err == nil {
		defer w.Close()
		if w.Add(filepath.Dir(h.audit.Path())) == nil {
			changes, failures, interval = w.Events, w.Errors, lookSafety
		}
	}
	look := time.NewTicker(interval)
	defer look.Stop()
	for {
		over := ctx.Err() != nil
		found, err := h.Next()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, p := range found {
			if err := say(p); err != nil {
				return err
			}
		}
		if over {
			return nil
		}
		for again := false; !again; {
			select {
			case e := <-changes:
				again = filepath.Base(e.Name) == filepath.Base(h.audit.Path())
			case <-failures: // events were lost
				again = true
			case <-look.C:
				again = true
			case <-ctx.Done():
				again = true
			}
		}
	}
}

// GateHistory is what the audit log has of a bottle's gates, the oldest first.
func GateHistory(root *state.Root, identity string) ([]Passage, error) {
	return NewHistory(root, identity).Next()
}

// GateLog is what the log of a gate's container has.
type GateLog struct {
	Begins   time.Time // of the earliest line that its bounds let it keep; zero: it has none
	Passages []Passage
}

// Add reads a line of the log of the container that has role.
func (l *GateLog) Add(role Role, line []byte) {
	for _, said := range role.lines(line, func() time.Time { return time.Time{} }) {
		if !said.At.IsZero() && (l.Begins.IsZero() || said.At.Before(l.Begins)) {
			l.Begins = said.At
		}
	}
	l.Passages = append(l.Passages, PassagesIn(role, line)...)
}

// WithLogs puts what the logs of the gates' containers have, by their roles, to what the audit log has: in the order of
// time, and each once. A log tells each passage by itself, but its older lines go.
func WithLogs(history []Passage, logs map[Role]*GateLog) []Passage {
	of := map[Passage][]spot{}
	for role, l := range logs {
		for i, p := range l.Passages {
			of[p.kind()] = append(of[p.kind()], spot{p.Last, role, i})
		}
	}
	for _, all := range of {
		slices.SortFunc(all, func(a, b spot) int { return a.at.Compare(b.at) })
	}
	// whole says whether all logs that a gate has, of any gate for "", begin before a time.
	whole := func(gate Role, since time.Time) bool {
		found := false
		for role, l := range logs {
			if l.Begins.IsZero() || gate != "" && role.Gate() != gate {
				continue
			}
			if l.Begins.After(since) {
				return false
			}
			found = true
		}
		return found
	}
	var out []Passage
	counted := map[spot]bool{}
	for _, p := range history {
		if p.Verdict == Granted || p.Verdict == Closed { // no gate tells them
			out = append(out, p)
			continue
		}
		if whole(p.Gate, p.First) {
			continue
		}
		all := of[p.kind()]
		from, _ := slices.BinarySearchFunc(all, p.First, func(l spot, at time.Time) int { return l.at.Compare(at) })
		to, _ := slices.BinarySearchFunc(all, p.Last, func(l spot, at time.Time) int { return cmp.Or(l.at.Compare(at), -1) })
		all = all[from:max(from, to)]
		// Where two containers are one gate, the one that tells of it may have all of it.
		if slices.ContainsFunc(all, func(l spot) bool { return !logs[l.role].Begins.After(p.First) }) {
			continue
		}
		out = append(out, p)
		for _, l := range all {
			counted[l] = true
		}
	}
	for _, role := range slices.Sorted(maps.Keys(logs)) {
		for i, p := range logs[role].Passages {
			if !counted[spot{p.Last, role, i}] {
				out = append(out, p)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Passage) int { return a.Last.Compare(b.Last) })
	return out
}

// spot is where a log has a passage.
type spot struct {
	at   time.Time
	role Role
	i    int
}

// kind is a passage without what may differ among those that are alike.
func (p Passage) kind() Passage {
	return Passage{Gate: p.Gate, Verdict: p.Verdict, What: p.What, Via: p.Via, Why: p.Why}
}

// whatPushed names a push as PassageOf does.
func whatPushed(remote string, p *sidecars.Push) string {
	what := []string{remote}
	for _, r := range p.Refs {
		what = append(what, r.Ref)
	}
	return cut(strings.Join(what, " "), 300)
}

// closed names what a change takes away.
func closed(c Change) string {
	return subjects(Change{Allow: append(slices.Clone(c.Disallow), c.Unroute...)})
}
