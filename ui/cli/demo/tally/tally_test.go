package tally_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle-tui/ui/cli/demo/tally"
)

func TestRunPrintsTable(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"a.go": "package a\n\nvar x = 1\n", "sub/b.go": "package b", "notes.md": "# Notes\n", "empty.md": "", "Makefile": "all:\n",
		"bin.dat": "\x00\x01\n\n", ".gitignore": "x\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link.txt")); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := tally.Run(t.Context(), []string{dir}, &out, &errs); code != 0 {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	want := `type      files     lines       bytes
────────────────────────────────────
go            2         4          30
md            2         1           8
(none)        2         2           7
dat           1         0           4
────────────────────────────────────
all           7         7          49
`
	if got := out.String(); strip(got) != strip(want) {
		t.Errorf("printed\n%swant\n%s", got, want)
	}
}

// strip leaves the rules' length to the program.
func strip(table string) string {
	var lines []string
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "─") {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(lines, "\n")
}

func TestRunSaysWhatIsWrong(t *testing.T) {
	var out, errs bytes.Buffer
	if code := tally.Run(t.Context(), []string{"/no/such/dir"}, &out, &errs); code != 1 || !strings.Contains(errs.String(), "/no/such/dir") {
		t.Errorf("exit code %d: %s", code, &errs)
	}
	if code := tally.Run(t.Context(), []string{"a", "b"}, &out, &errs); code != 2 {
		t.Errorf("exit code %d", code)
	}
}
