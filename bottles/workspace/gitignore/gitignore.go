// Package gitignore reads files in gitignore syntax and says which paths their patterns ignore, as git does. It knows
// patterns and paths only: it must not walk a directory or read a file.
package gitignore

import (
	"bytes"
	"fmt"
	"strings"
)

// Bounds of one file. What is beyond them is refused: patterns may come from a directory that nobody vouches for.
const (
	MaxPatterns = 20_000
	maxPattern  = 4096 // bytes: no path is longer
)

// Result is what patterns say of a path.
type Result int

// What a list of patterns says of a path.
const (
	NoMatch Result = iota
	Ignored
	Kept // a pattern with an exclamation mark matched last
)

// List is the patterns of one file, which apply to what is beneath one directory.
type List struct {
	base     string // with a slash at its end; "": the root
	patterns []pattern
}

// pattern is one line of a file.
type pattern struct {
	keep     bool   // it begins with an exclamation mark
	dirOnly  bool   // it ends with a slash
	path     bool   // it has a slash within: it is compared with the path from the base, not with the name alone
	literal  string // what the text has to begin with
	suffix   string // what the text has to end with, where that and any beginning is all there is to compare
	wild     []token
	any      bool // "*" and a suffix
	never    bool // it is malformed: git lets it match nothing
	literals bool // it is literal as a whole
	text     string
}

// Parse reads the patterns of a file that applies to what is beneath the directory base, a path with slashes; "" is
// the root of all paths.
func Parse(base string, content []byte) (*List, error) {
	l := &List{base: base}
	if base != "" {
		l.base += "/"
	}
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	for n := 1; len(content) > 0; n++ {
		line, rest, _ := bytes.Cut(content, []byte("\n"))
		content = rest
		line = bytes.TrimSuffix(line, []byte("\r"))
		if i := bytes.IndexByte(line, 0); i >= 0 {
			line = line[:i]
		}
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		text := trimBlanks(string(line))
		switch {
		case len(text) > maxPattern:
			return nil, fmt.Errorf("the pattern in line %d has %d bytes, and may have %d", n, len(text), maxPattern)
		case len(l.patterns) == MaxPatterns:
			return nil, fmt.Errorf("it has more than %d patterns", MaxPatterns)
		}
		l.patterns = append(l.patterns, parse(text))
	}
	return l, nil
}

// trimBlanks removes the blanks at the end that no backslash keeps.
func trimBlanks(s string) string {
	end := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ' ':
			continue
		case '\\':
			if i++; i == len(s) {
				return s
			}
		}
		end = i + 1
	}
	return s[:end]
}

func parse(text string) pattern {
	p := pattern{text: text}
	text, p.keep = strings.CutPrefix(text, "!")
	text, p.dirOnly = strings.CutSuffix(text, "/")
	p.path = strings.Contains(text, "/")
	if p.path {
		text = strings.TrimPrefix(text, "/")
	}
	plain := strings.IndexAny(text, `*?[\`)
	if plain < 0 {
		p.literal, p.literals = text, true
		return p
	}
	p.literal = text[:plain]
	rest := text[plain:]
	if suffix, ok := strings.CutPrefix(rest, "*"); ok && !p.path && plain == 0 && !strings.ContainsAny(suffix, `*?[\`) {
		p.any, p.suffix = true, suffix
		return p
	}
	wild, ok := compile(rest, p.path)
	p.wild, p.never = wild, !ok
	return p
}

// Match says what the patterns say of a path. The last one that matches decides. That a directory above the path is
// ignored, which decides before any pattern, is the caller's to know.
func (l *List) Match(path string, dir bool) Result {
	r, _ := l.Which(path, dir)
	return r
}

// Which is Match, and gives the pattern that decided, as it is written.
func (l *List) Which(path string, dir bool) (Result, string) {
	name, ok := strings.CutPrefix(path, l.base)
	if !ok || name == "" {
		return NoMatch, ""
	}
	last := name[strings.LastIndexByte(name, '/')+1:]
	for i := len(l.patterns) - 1; i >= 0; i-- {
		p := &l.patterns[i]
		text := last
		if p.path {
			text = name
		}
		if p.dirOnly && !dir || !p.matches(text) {
			continue
		}
		if p.keep {
			return Kept, p.text
		}
		return Ignored, p.text
	}
	return NoMatch, ""
}

func (p *pattern) matches(text string) bool {
	switch {
	case p.literals:
		return text == p.literal
	case p.never:
		return false
	case p.any:
		return strings.HasSuffix(text, p.suffix)
	}
	rest, ok := strings.CutPrefix(text, p.literal)
	return ok && match(p.wild, rest)
}
