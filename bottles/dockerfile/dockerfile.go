// Package dockerfile reads the Dockerfile that an agent proposes before its operator approves it, and
// says what the operator should know: that it can't be built, or that it asks for more than a tool.
//
// It reads and reports only. It never builds, changes or forbids anything, and needs no network. The
// grammar is BuildKit's own (its parser and its linter's offline rules); the rules about safety are ours.
package dockerfile

import (
	"cmp"
	"slices"
)

// Finding is one thing in a Dockerfile that the operator should know before approving it.
type Finding struct {
	Line     int      // 1-based; 0 when it is about the whole file
	Severity Severity // how bad it is
	Rule     string   // short name of the rule: "base-changed", or one of BuildKit's such as "JSONArgsRecommended"
	Text     string   // one sentence, safe to print, that says why it matters
}

// Severity says how bad a finding is.
type Severity string

// The severities, the worst first.
const (
	Error   Severity = "error"   // it can't be built
	Danger  Severity = "danger"  // it widens what the agent can do or reach, or runs what nobody read
	Warning Severity = "warning" // it will probably not do what is meant, or keeps what should not be kept
	Note    Severity = "note"    // good to know
)

func (s Severity) rank() int {
	return slices.Index([]Severity{Error, Danger, Warning, Note}, s)
}

// MaxFindings bounds what Check gives; the last finding then says how many were left out.
const MaxFindings = 200

// Check reads proposed and compares it with current, the Dockerfile in force (nil when there is none).
// The findings are sorted by severity, then by line.
func Check(current, proposed []byte) []Finding {
	return sorted(nil)
}

func sorted(found []Finding) []Finding {
	slices.SortStableFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity.rank(), b.Severity.rank()), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(found)
}
