package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
	"syscall"
	"unicode/utf8"

	"github.com/tailscale/hujson"

	"bottle-tui/queue"
)

const (
	maxFile  = 1 << 20 // bytes of a manifest
	maxDepth = 32      // of nesting; the format itself needs six
)

// source is the text of a manifest, which knows the line and column of every byte.
type source struct {
	file  string
	text  []byte
	lines []int // offset of each line's first byte
	count []int // characters in front of each block of bytes
}

// blockSize is small enough to count what is in a block, and large enough that few counts are kept.
const blockSize = 128

func newSource(file string, text []byte) *source {
	s := &source{file: file, text: text, lines: []int{0}}
	n := 0
	for i, c := range text {
		if i%blockSize == 0 {
			s.count = append(s.count, n)
		}
		if utf8.RuneStart(c) {
			n++
		}
		if c == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// characters is how many characters are in front of an offset.
func (s *source) characters(offset int) int {
	if offset == 0 {
		return 0
	}
	block := (offset - 1) / blockSize
	n := s.count[block]
	for _, c := range s.text[block*blockSize : offset] {
		if utf8.RuneStart(c) {
			n++
		}
	}
	return n
}

// position is where the byte at an offset is.
func (s *source) position(offset int) Position {
	line := sort.SearchInts(s.lines, offset+1) - 1
	return Position{File: s.file, Line: line + 1, Column: 1 + s.characters(offset) - s.characters(s.lines[line])}
}

// parse makes a tree of the text; where it can't, it says why.
func (s *source) parse(f *faults) (hujson.Value, bool) {
	fail := func(offset int, format string, a ...any) (hujson.Value, bool) {
		f.add(s.position(offset), "", format, a...)
		return hujson.Value{}, false
	}
	switch text := s.text; {
	case bytes.HasPrefix(text, []byte("\xEF\xBB\xBF")):
		return fail(0, "the file begins with a byte order mark; save it as UTF-8 without one")
	case bytes.HasPrefix(text, []byte("\xFF\xFE")), bytes.HasPrefix(text, []byte("\xFE\xFF")):
		return fail(0, "the file is UTF-16; save it as UTF-8")
	case !utf8.Valid(text):
		offset := 0
		for r, n := utf8.DecodeRune(text); r != utf8.RuneError || n != 1; r, n = utf8.DecodeRune(text[offset:]) {
			offset += n
		}
		return fail(offset, "the byte 0x%02X is not UTF-8; save the file as UTF-8", text[offset])
	case len(bytes.TrimSpace(text)) == 0:
		return fail(0, `the file is empty; write {"bottles": {…}, "agents": {…}}`)
	}
	if offset := tooDeep(s.text); offset >= 0 {
		return fail(offset, "this is nested more than %d deep; nothing in a manifest is", maxDepth)
	}
	v, err := parseTree(s.text)
	if err == nil {
		return v, true
	}
	offset := s.syntax(err)
	if offset == len(s.text) && v.Value == nil {
		return fail(0, `there is nothing but comments in the file; write {"bottles": {…}, "agents": {…}}`)
	}
	return fail(offset, "not JSON: %s", s.syntaxText(err, offset))
}

// parseTree parses a text that need not end its last line, in which the parser wants every comment to end.
func parseTree(text []byte) (hujson.Value, error) {
	return hujson.Parse(append(bytes.Clone(text), '\n'))
}

// syntax is the offset that a syntax error names: hujson tells it only in words, as line and byte.
func (s *source) syntax(err error) int {
	var line, column int
	if _, err := fmt.Sscanf(err.Error(), "hujson: line %d, column %d:", &line, &column); err != nil || line < 1 {
		return 0
	}
	if line > len(s.lines) {
		return len(s.text) // behind the line end that parseTree adds
	}
	return min(s.lines[line-1]+max(0, column-1), len(s.text))
}

// tooDeep is the offset of the first bracket that is nested too deep for the parser, which calls itself, or -1.
func tooDeep(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '/':
			end := -1
			if rest := text[i:]; bytes.HasPrefix(rest, []byte("//")) {
				end = bytes.IndexByte(rest, '\n')
			} else if bytes.HasPrefix(rest, []byte("/*")) {
				if end = bytes.Index(rest[2:], []byte("*/")); end >= 0 {
					end += 3
				}
			} else {
				continue
			}
			if end < 0 {
				return -1 // what follows is comment
			}
			i += end
		case '{', '[':
			if depth++; depth > maxDepth {
				return i
			}
		case '}', ']':
			depth--
		}
	}
	return -1
}

// readFile reads a manifest. A link is followed only where the file is the operator's own. It is
// fs.ErrNotExist when there is none, else an Error.
func readFile(path string, own bool) ([]byte, fs.FileInfo, error) {
	fail := func(format string, a ...any) ([]byte, fs.FileInfo, error) {
		return nil, nil, Errors{{Position: Position{File: path}, Text: fmt.Sprintf(format, a...)}}
	}
	flags := os.O_RDONLY | syscall.O_NONBLOCK
	if !own {
		flags |= syscall.O_NOFOLLOW
	}
	f, err := os.OpenFile(path, flags, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil, nil, fs.ErrNotExist
	case errors.Is(err, syscall.ELOOP):
		return fail("it is a link; a project's manifest must be a file of the project")
	case err != nil:
		return fail("can't be read: %v", errors.Unwrap(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		return fail("it is not a file; a manifest is one")
	}
	var text []byte
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	}
	if err != nil {
		return fail("can't be read: %v", err)
	}
	if len(text) > maxFile {
		return fail("it has more than 1 MiB, which no manifest needs")
	}
	return text, info, nil
}

// small reads a file that a manifest names, of at most limit bytes. It never waits: not on a pipe, not on a
// device. The error names the file and says what to do.
func small(path string, limit int64) ([]byte, error) {
	content, err := readSmall(path, limit)
	switch name := queue.Visible(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no file %s; put it there, or name another", name)
	case err != nil:
		return nil, fmt.Errorf("the file %s %w", name, err)
	}
	return content, nil
}

// readSmall is small with an error that does not name the file, and goes on after its name.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("can't be opened: %w", pathless(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("is not a file")
	}
	var content []byte
	if err == nil {
		content, err = io.ReadAll(io.LimitReader(f, limit+1))
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("can't be read: %w", pathless(err))
	case int64(len(content)) > limit:
		return nil, fmt.Errorf("has more than %d KiB", limit>>10)
	}
	return content, nil
}

// pathless is an error of a file without the file's name.
func pathless(err error) error {
	var of *fs.PathError
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}
