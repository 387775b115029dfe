// Package tally is the tool that the demo's counter lacks until its operator approves it: it counts files,
// lines and bytes by file type under a directory. It is an applet of this program's binary, which runs it
// when it is called by the name "tally". It reads files and prints a table, nothing else.
package tally

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Kind is what was counted of one file type.
type Kind struct {
	Name  string // the file name's ending without the dot, or "(none)"
	Files int
	Lines int // of text files; a file with a zero byte counts none
	Bytes int64
}

// Count counts the regular files under dir. Links are not followed; what can't be read is counted in the
// second result and otherwise left out. The kinds are sorted by bytes, the most first.
func Count(ctx context.Context, dir string) (kinds []Kind, unread int, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, 0, fmt.Errorf("open %s to count in: %w", dir, err)
	}
	defer root.Close()
	byName := map[string]*Kind{}
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			unread++
			return nil
		case !d.Type().IsRegular():
			return nil
		}
		size, lines, err := count(root, path)
		if err != nil {
			unread++
			return nil
		}
		name := strings.TrimPrefix(filepath.Ext(d.Name()), ".")
		if name == "" || name == d.Name()[1:] {
			name = "(none)"
		}
		if byName[name] == nil {
			byName[name] = &Kind{Name: name}
		}
		k := byName[name]
		k.Files++
		k.Lines += lines
		k.Bytes += size
		return nil
	})
	if err != nil {
		return nil, unread, fmt.Errorf("count in %s: %w", dir, err)
	}
	for k := range maps.Values(byName) {
		kinds = append(kinds, *k)
	}
	slices.SortFunc(kinds, func(a, b Kind) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name))
	})
	return kinds, unread, nil
}

func count(root *os.Root, path string) (size int64, lines int, err error) {
	f, err := root.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	buf := make([]byte, 64<<10)
	last, binary := byte('\n'), false
	for {
		n, err := f.Read(buf)
		if n > 0 {
			binary = binary || bytes.IndexByte(buf[:n], 0) >= 0
			lines += bytes.Count(buf[:n], []byte{'\n'})
			size += int64(n)
			last = buf[n-1]
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, 0, err
		}
	}
	if last != '\n' {
		lines++
	}
	if binary {
		lines = 0
	}
	return size, lines, nil
}

// Table prints kinds with their sum.
func Table(out io.Writer, kinds []Kind) error {
	all := Kind{Name: "all"}
	width := len("all")
	for _, k := range kinds {
		all.Files += k.Files
		all.Lines += k.Lines
		all.Bytes += k.Bytes
		width = max(width, len([]rune(printable(k.Name))))
	}
	row := func(name, files, lines, size string) string {
		return fmt.Sprintf("%-*s  %7s  %8s  %10s\n", width, name, files, lines, size)
	}
	var b strings.Builder
	b.WriteString(row("type", "files", "lines", "bytes"))
	rule := strings.Repeat("─", width+2+7+2+8+2+10) + "\n"
	b.WriteString(rule)
	for _, k := range kinds {
		b.WriteString(row(printable(k.Name), strconv.Itoa(k.Files), strconv.Itoa(k.Lines), strconv.FormatInt(k.Bytes, 10)))
	}
	b.WriteString(rule)
	b.WriteString(row(all.Name, strconv.Itoa(all.Files), strconv.Itoa(all.Lines), strconv.FormatInt(all.Bytes, 10)))
	_, err := io.WriteString(out, b.String())
	return err
}

// printable is a file type as it may be printed and fits a table.
func printable(name string) string {
	q := strconv.Quote(name)
	if q = q[1 : len(q)-1]; len([]rune(q)) > 20 {
		q = string([]rune(q)[:19]) + "…"
	}
	return q
}

// Run is `tally [DIRECTORY]`; it gives the process's exit code.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	dir := "."
	switch {
	case len(args) > 1 || len(args) == 1 && strings.HasPrefix(args[0], "-"):
		fmt.Fprintln(stderr, "usage: tally [DIRECTORY]\nCounts files, lines and bytes by file type.")
		return 2
	case len(args) == 1:
		dir = args[0]
	}
	kinds, unread, err := Count(ctx, dir)
	if err == nil {
		err = Table(stdout, kinds)
	}
	if err != nil {
		fmt.Fprintln(stderr, "tally:", err)
		return 1
	}
	if unread > 0 {
		fmt.Fprintf(stderr, "tally: %d could not be read\n", unread)
		return 1
	}
	return 0
}
