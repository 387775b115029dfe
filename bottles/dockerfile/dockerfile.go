// Package dockerfile reads the Dockerfile that an agent proposes before its operator approves it, and
// says what the operator should know: that it can't be built, or that it asks for more than a tool.
//
// It reads and reports only. It never builds, changes or forbids anything, and needs no network. The
// grammar is BuildKit's own (its parser and its linter's offline rules), that of shell commands is
// mvdan.cc/sh's; the rules about safety are ours. The file is hostile: everything is bounded.
package dockerfile

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"bottle-tui/queue"
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

var severities = []Severity{Error, Danger, Warning, Note}

// Bounds of what is read and said.
const (
	MaxSize     = 256 << 10 // bytes of a Dockerfile
	MaxFindings = 200       // the last finding then says how many were left out
	maxStages   = 256
	maxQuoted   = 60 // runes of the Dockerfile's own text in a finding
)

// Check reads proposed and compares it with current, the Dockerfile in force (nil when there is none).
// The findings are sorted by severity, then by line.
func Check(current, proposed []byte) []Finding {
	c := &checker{source: proposed}
	c.checkAll(current)
	return c.result()
}

// checker collects what is found in one Dockerfile.
type checker struct {
	source  []byte
	lines   []string
	current *file // nil when there is none, or it can't be read
	found   []Finding
	known   map[Finding]bool
	left    int
	steps   int // nodes of shell commands looked at so far
}

func (c *checker) checkAll(current []byte) {
	switch {
	case len(c.source) > MaxSize:
		c.add(0, Error, "too-large", "it has %d KiB; more than %d KiB are not read", len(c.source)>>10, MaxSize>>10)
		return
	case len(bytes.TrimSpace(c.source)) == 0:
		c.add(0, Error, "empty", "it is empty: there is nothing to build")
		return
	}
	c.lines = strings.Split(string(c.source), "\n")
	c.checkText()
	c.checkDirectives()
	if len(current) > 0 && len(current) <= MaxSize {
		if bytes.Equal(current, c.source) {
			c.add(0, Note, "unchanged", "it is the same as the Dockerfile in force")
		}
		if f, errs := read(current, nil); len(errs) == 0 {
			c.current = f
			c.current.walk(func(visit) {})
		}
	}
	f, errs := read(c.source, c.lintWarning)
	for _, err := range errs {
		line, text := explain(err)
		c.add(line, Error, "syntax", "it can't be parsed: %s", text)
	}
	if f != nil {
		c.checkFile(f)
	}
}

// add notes a finding. The operands of format come from the file: strings are quoted, bounded and made
// visible; use literal for a string that is this program's own.
func (c *checker) add(line int, severity Severity, rule, format string, operands ...any) {
	for i, o := range operands {
		switch s := o.(type) {
		case string:
			operands[i] = quote(s)
		case error:
			operands[i] = visible(s.Error(), 4*maxQuoted)
		}
	}
	f := Finding{line, severity, rule, fmt.Sprintf(format, operands...)}
	if c.known[f] {
		return
	}
	if len(c.found) >= 4*MaxFindings { // sorted and cut by result; this only bounds the memory
		c.left++
		return
	}
	if c.known == nil {
		c.known = map[Finding]bool{}
	}
	c.known[f] = true
	c.found = append(c.found, f)
}

func (c *checker) result() []Finding {
	slices.SortStableFunc(c.found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(severities, a.Severity), slices.Index(severities, b.Severity)), cmp.Compare(a.Line, b.Line))
	})
	if over := len(c.found) - MaxFindings + c.left; over > 0 {
		c.found = append(c.found[:MaxFindings-1:MaxFindings-1], Finding{0, Warning, "more",
			fmt.Sprintf("%d more findings are not listed", over+1)})
	}
	return c.found
}

// lineOf is the first line of an instruction that contains text, or its first line.
func (c *checker) lineOf(first, last int, text string) int {
	for n := max(first, 1); text != "" && n <= last && n <= len(c.lines); n++ {
		if strings.Contains(c.lines[n-1], text) {
			return n
		}
	}
	return first
}

// literal marks a string that is this program's own words, so that add does not quote it.
type literal string

// quote is text from the file for one line: in quotes, bounded, with everything that does not show made visible.
func quote(s string) literal {
	return literal(`"` + visible(s, maxQuoted) + `"`)
}

// visible is queue.Visible of the first runes of s.
func visible(s string, most int) string {
	for i := range s {
		if most--; most < 0 {
			return queue.Visible(s[:i]) + "…"
		}
	}
	return queue.Visible(s)
}
