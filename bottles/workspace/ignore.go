package workspace

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

const (
	ignoreFile = ".dockerignore"
	maxIgnore  = 1 << 20 // bytes of it
)

// ignore is a directory's .dockerignore; its notation is Docker's: the last pattern that matches decides, and one with
// an exclamation mark keeps.
type ignore struct {
	file    string
	matcher *patternmatcher.PatternMatcher // nil: nothing is left out
	keeps   [][]string                     // the segments of the patterns that keep
}

// parentMatch is what was found out of a directory, for what is in it.
type parentMatch = patternmatcher.MatchInfo

// readIgnore reads the .dockerignore of a directory, if it has one.
func readIgnore(root *os.Root) (*ignore, error) {
	ig := &ignore{file: filepath.Join(root.Name(), ignoreFile)}
	f, err := root.OpenFile(ignoreFile, openFlags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return ig, nil
	}
	if err != nil {
		return nil, ig.broken(err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, ig.broken(err)
	case !info.Mode().IsRegular():
		return nil, ig.broken(errors.New("it is not a regular file"))
	case info.Size() > maxIgnore:
		return nil, ig.broken(fmt.Errorf("it has %s, and may have %s", Size(info.Size()), Size(maxIgnore)))
	}
	patterns, err := ignorefile.ReadAll(io.LimitReader(f, maxIgnore))
	if err != nil {
		return nil, ig.broken(err)
	}
	for _, p := range patterns {
		// The matcher complains of these on the standard error stream, which may be a screen.
		if !utf8.ValidString(p) || strings.ContainsAny(p, "\x00\ufeff") {
			return nil, ig.broken(fmt.Errorf("its pattern %q is not plain UTF-8", p))
		}
	}
	if ig.matcher, err = patternmatcher.New(patterns); err != nil {
		return nil, ig.broken(fmt.Errorf("its patterns: %w", err))
	}
	for _, p := range ig.matcher.Patterns() {
		if p.Exclusion() {
			ig.keeps = append(ig.keeps, strings.Split(filepath.ToSlash(p.String()), "/"))
		}
	}
	return ig, nil
}

func (ig *ignore) broken(err error) error {
	return &Refused{fmt.Sprintf("%s can't be used (%v)", ig.file, err), "mend it, or move it away"}
}

// matches says whether .dockerignore leaves a path out, and what is needed to ask for those below it.
func (ig *ignore) matches(path string, parent parentMatch) (bool, parentMatch, error) {
	if ig.matcher == nil {
		return false, parentMatch{}, nil
	}
	left, match, err := ig.matcher.MatchesUsingParentResults(path, parent)
	if err != nil {
		return false, match, ig.broken(fmt.Errorf("its patterns, with %q: %w", path, err))
	}
	return left, match, nil
}

// mayKeep says whether something below a directory that is left out may be kept all the same. A pattern that is not
// longer than the directory's path has decided about the directory already.
func (ig *ignore) mayKeep(dir string) bool {
	if len(ig.keeps) == 0 {
		return false
	}
	segments := strings.Split(dir, "/")
	for _, pattern := range ig.keeps {
		if leadsBelow(pattern, segments) {
			return true
		}
	}
	return false
}

func leadsBelow(pattern, dir []string) bool {
	for i, p := range pattern {
		if strings.Contains(p, "**") {
			return true
		}
		if i == len(dir) {
			return true
		}
		if ok, err := path.Match(p, dir[i]); err != nil || !ok {
			return false
		}
	}
	return false
}
