package supervise

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"bottle-tui/queue"
	"bottle-tui/sidecars"
	"bottle-tui/sidecars/egress"
)

// Bounds on an allowlist that an agent proposes.
const (
	maxRules    = 500
	maxRule     = 512 // bytes of one line
	maxProblems = 10  // that are named at once
	maxProblem  = 512 // bytes of one of them
)

// egressBlock asks for another allowlist.
var egressBlock = &tool{
	name: queue.ToolEgress, file: "allowlist", argument: "allowlist", noun: "allowlist",
	description: egressText,
	form:        "Give justification as a string and allowlist as text with one rule a line, or as a list of strings, and optionally current_hash.",
	schema: map[string]any{
		"anyOf": []any{
			map[string]any{"type": "string"},
			map[string]any{"type": "array", "items": map[string]any{"type": "string"}},
		},
		"description": "The whole new allowlist, not only what is new: the rules of " + sidecars.CurrentConfigDir + "/allowlist and the ones you need, one a line. " +
			"A rule is a host (example.com: ports 443 and 80), a host with its port (example.com:8443), everything under a name (*.example.com), or an IP address. No scheme and no path.",
	},
	inForce: func(c *Config) string { return c.Allowlist },
	read:    readAllowlist,
	same:    sameRules,
	settled: sameRules,
	pointless: "These are the rules that are in force already: there is nothing to ask for. If egress refuses a request all the same, its answer names the host and the port that are missing; " +
		"add those to the rules of " + sidecars.CurrentConfigDir + "/allowlist and call with the whole list. If it says that the host leads to an address that is not public, no rule changes that: say so in your answer.",
	denied: "Go on without it, or, where the reason leaves room, call again with rules or a justification that meet it.",
}

// NormalAllowlist is text, one rule a line in the notation of sidecars/egress, as the file that is in force
// and as a request's proposal: each rule as egress writes it, none twice, no blank lines and no comments (which
// begin with #), a line end after each. The error names every line that is not a rule, with what to write.
func NormalAllowlist(text string) (string, error) {
	rules, err := parseRules(text)
	return normal(rules), err
}

// rule is a line of an allowlist.
type rule struct {
	text   string // as it was written
	normal string // as egress writes it
}

func parseRules(text string) (rules []rule, err error) {
	var wrong problems
	seen := map[string]bool{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if i := strings.IndexByte(line, '#'); i == 0 || i > 0 && (line[i-1] == ' ' || line[i-1] == '\t') {
			line = strings.TrimSpace(line[:i])
		}
		if line == "" {
			continue
		}
		if len(line) > maxRule {
			wrong.add("line %d has %d bytes, too many for a rule: write one host a line", n, len(line))
			continue
		}
		r, err := egress.ParseRule(line)
		if err != nil {
			wrong.add("line %d: %v", n, err)
			continue
		}
		if s := r.String(); !seen[s] {
			seen[s] = true
			rules = append(rules, rule{line, s})
		}
	}
	return rules, wrong.err()
}

// readAllowlist reads the argument and brings it into the order and the words of what is in force, so that the
// difference between the two is what was added and what was taken out, and nothing else.
func readAllowlist(raw json.RawMessage, inForce string) (string, error) {
	var text string
	var list []string
	if err := json.Unmarshal(raw, &list); err == nil {
		text = strings.Join(list, "\n")
	} else if err := json.Unmarshal(raw, &text); err != nil {
		return "", err
	}
	if len(text) > queue.MaxFile {
		return "", problemf("The allowlist has %d bytes; at most 256 KiB are allowed. Name only hosts that the work needs, and call again.", len(text))
	}
	rules, err := parseRules(text)
	switch {
	case err != nil:
		return "", problemf("The allowlist can't be read: %v.\nA rule is a host (example.com), a host with its port (example.com:8443), or everything under a name (*.example.com). Correct these and call again with the whole list.", err)
	case len(rules) == 0:
		return "", problemf("The allowlist is empty. Give the whole new allowlist: the rules of %s/allowlist and the ones that you need, one a line; then call again.", sidecars.CurrentConfigDir)
	case len(rules) > maxRules:
		return "", problemf("The allowlist has %d rules; at most %d are allowed. A person reads them all: use *.example.com for many hosts of one domain, leave out what the work does not need, and call again.", len(rules), maxRules)
	}
	now, _ := parseRules(inForce) // it was checked
	var b strings.Builder
	for _, r := range arrange(rules, now, func(r rule) string { return r.normal }) {
		line := r.normal
		if at := slices.IndexFunc(now, func(o rule) bool { return o.normal == r.normal }); at >= 0 {
			line = now[at].text
		}
		b.WriteString(line + "\n")
	}
	return b.String(), nil
}

// arrange sorts what is proposed: first what has the key of something in force, in that one's order, then the
// rest as it came. Keys are unique in each list.
func arrange[T any](proposed, inForce []T, key func(T) string) []T {
	place := map[string]int{}
	for i, v := range inForce {
		place[key(v)] = i
	}
	at := func(v T) int {
		if i, ok := place[key(v)]; ok {
			return i
		}
		return len(inForce)
	}
	slices.SortStableFunc(proposed, func(a, b T) int { return at(a) - at(b) })
	return proposed
}

// sameRules says whether two allowlists let the same rules through, in whatever order.
func sameRules(a, b string) bool {
	x, xerr := parseRules(a)
	y, yerr := parseRules(b)
	if xerr != nil || yerr != nil {
		return a == b
	}
	return len(without(x, y)) == 0 && len(without(y, x)) == 0
}

// without are the rules of a that b lacks.
func without(a, b []rule) (out []string) {
	for _, r := range a {
		if !slices.ContainsFunc(b, func(o rule) bool { return o.normal == r.normal }) {
			out = append(out, r.text)
		}
	}
	return out
}

// normal is a list of rules as text.
func normal(rules []rule) string {
	var b strings.Builder
	for _, r := range rules {
		b.WriteString(r.normal + "\n")
	}
	return b.String()
}

// problems gathers what is wrong, so that whoever wrote it can correct all at once.
type problems struct {
	said []string
	more int
}

func (p *problems) add(format string, a ...any) {
	if len(p.said) == maxProblems {
		p.more++
		return
	}
	s := fmt.Sprintf(format, a...)
	if len(s) > maxProblem {
		s = strings.ToValidUTF8(s[:maxProblem], "") + "…"
	}
	p.said = append(p.said, s)
}

// err is all of it, one a line; nil when nothing is wrong.
func (p *problems) err() error {
	if len(p.said) == 0 {
		return nil
	}
	text := strings.Join(p.said, ";\n")
	if p.more > 0 {
		text += fmt.Sprintf(";\nand %d more", p.more)
	}
	return errors.New(text)
}
