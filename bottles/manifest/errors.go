package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agext/levenshtein"

	"bottle-tui/queue"
)

// Error is one fault of a manifest.
type Error struct {
	Position        // where; Line 0: the file as a whole
	Path     string // which key, such as bottles.dev.egress.allow[0]; "" for the file
	Text     string // what is wrong, and what to write instead
}

func (e Error) Error() string {
	text := e.Text
	if e.Path != "" {
		text = e.Path + ": " + text
	}
	if e.Line == 0 {
		return e.File + ": " + text
	}
	return e.Position.String() + ": " + text
}

// Errors are all faults of a manifest: the operator's own file first, each in order of position.
type Errors []Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// maxErrors bounds how many faults of one file are told.
const maxErrors = 200

// faults collects the errors of one file.
type faults struct {
	list Errors
	more int
	bad  map[string]bool // paths that have a fault
}

func (f *faults) add(at Position, path, format string, a ...any) {
	if f.bad == nil {
		f.bad = map[string]bool{}
	}
	f.bad[path] = true
	if len(f.list) >= maxErrors {
		f.more++
		return
	}
	f.list = append(f.list, Error{Position: at, Path: path, Text: fmt.Sprintf(format, a...)})
}

// sorted are the errors in order of position.
func (f *faults) sorted() Errors {
	slices.SortStableFunc(f.list, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if f.more > 0 {
		f.list = append(f.list, Error{Position: Position{File: f.list[0].File},
			Text: fmt.Sprintf("and %d more; mend these first", f.more)})
		f.more = 0
	}
	return f.list
}

// joined are the errors of two files as one error; nil when there are none.
func joined(a, b Errors) error {
	if all := append(slices.Clip(a), b...); len(all) > 0 {
		return all
	}
	return nil
}

// maxQuoted bounds what an error repeats of a file, in bytes.
const maxQuoted = 80

// quoted is a text of the file as an error shows it: one line, bounded, with everything in it visible, but for what
// is likely to be a credential.
func quoted(s string) string {
	if s = masked(s); plainToken.MatchString(s) {
		return `"…"`
	}
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		if address, query, ok := strings.Cut(rest, "?"); ok && query != "" {
			s = scheme + "://" + address + "?…"
		}
	}
	if len(s) > maxQuoted {
		cut := maxQuoted
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		return `"` + queue.Visible(s[:cut]) + `…"`
	}
	return `"` + queue.Visible(s) + `"`
}

// masked is a text without the user and password of an address in it, well written or not: "https://…@host". A user alone
// stays where it is no secret, in front of ssh.
func masked(s string) string {
	begin := 0
	if i := strings.Index(s, "//"); i >= 0 {
		begin = i + len("//")
	}
	end := strings.LastIndexByte(s, '@')
	if end < begin {
		return s
	}
	user := s[begin:end]
	switch password := strings.Contains(user, ":"); {
	case begin == 0 && (!password || strings.HasPrefix(s[end:], "@sha256:")):
		return s
	case strings.EqualFold(s[:begin], "ssh://") && !password:
		return s
	}
	return s[:begin] + "…" + s[end:]
}

// bare are the texts that can be meant by one with a user and password: with the user, which some addresses of ssh need,
// and without.
func bare(s string) []string {
	begin, rest, ok := strings.Cut(masked(s), "…@")
	if !ok || masked(s) == s {
		return []string{s}
	}
	all := []string{begin + rest}
	if user, _, _ := strings.Cut(strings.TrimPrefix(s, begin), ":"); remoteForm.MatchString(user) && !strings.EqualFold(begin, "https://") {
		all = []string{begin + user + "@" + rest, begin + rest}
	}
	return all
}

// instead says what to write in the place of a word: the nearest of those known, or all of them.
func instead(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %s?", quoted(near))
	}
	return "write one of " + list(known)
}

// maxListed bounds how many words an error lists.
const maxListed = 20

func list(words []string) string {
	var shown []string
	for _, w := range words[:min(len(words), maxListed)] {
		shown = append(shown, quoted(w))
	}
	if len(words) > maxListed {
		shown = append(shown, fmt.Sprintf("and %d more", len(words)-maxListed))
	}
	return strings.Join(shown, ", ")
}

// nearest is the known word that was most likely meant, or "".
func nearest(word string, known []string) string {
	if len(word) > maxQuoted {
		return ""
	}
	plain := plainWord(word)
	best, bestCost := "", max(1, len(plain)/3)+1
	for _, k := range known {
		if len(k) > maxQuoted {
			continue
		}
		other := plainWord(k)
		cost := levenshtein.Distance(plain, other, nil)
		// A word cut short, or with something behind it, is a near one, too.
		if short, long := min(len(plain), len(other)), max(len(plain), len(other)); cost == long-short && short >= 3 &&
			strings.HasPrefix(plain, other[:min(short, len(other))]) {
			cost = 1
		}
		if anagram(plain, other) {
			cost = min(cost, 1) // letters that changed places
		}
		if cost < bestCost && cost < len(plain) {
			best, bestCost = k, cost
		}
	}
	return best
}

func anagram(a, b string) bool {
	x, y := []byte(a), []byte(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// plainWord is a word without what people write differently: token_ref, TokenRef and token-ref are one.
func plainWord(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(s))
}

// asErrors finds the faults of a manifest in err.
func asErrors(err error) Errors {
	var all Errors
	if errors.As(err, &all) {
		return all
	}
	return nil
}
