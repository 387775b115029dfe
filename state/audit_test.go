package state_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"bottle-tui/state"
)

const logged = "coder-k3x9q"

func appended(t *testing.T, facts ...string) *state.Audit {
	t.Helper()
	a := open(t).Audit(logged)
	for _, f := range facts {
		if err := a.Append("decision", map[string]string{"note": f}); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// The chain is recomputed here by the words of its documentation alone.
func TestAuditIsAsDocumented(t *testing.T) {
	a := appended(t, "one", "<two>\n\u2028", "three")
	prev := strings.Repeat("0", 64)
	lines := strings.SplitAfter(read(t, a.Path()), "\n")
	if len(lines) != 4 || lines[3] != "" {
		t.Fatalf("%q", lines)
	}
	for i, line := range lines[:3] {
		if !strings.HasPrefix(line, fmt.Sprintf(`{"seq":%d,"at":"20`, i+1)) || !strings.Contains(line, `"identity":"coder-k3x9q","kind":"decision","data":{"note":"`) || !strings.Contains(line, `"prev":"`+prev+`"`) {
			t.Errorf("line %s", line)
		}
		before, hash, ok := strings.Cut(line, `,"hash":"`)
		sum := sha256.Sum256([]byte(before + "}"))
		if !ok || hash != hex.EncodeToString(sum[:])+"\"}\n" {
			t.Errorf("hash of line %s", line)
		}
		prev = hex.EncodeToString(sum[:])
	}
	report, err := a.Verify()
	if err != nil || report != (state.AuditReport{Lines: 3, Last: prev}) {
		t.Errorf("Verify() = %+v, %v", report, err)
	}
	if info, _ := os.Stat(a.Path()); info.Mode() != 0o600 {
		t.Error(info.Mode())
	}
}

func TestAuditEntries(t *testing.T) {
	a := appended(t, "1", "2", "3", "4", "5")
	for limit, want := range map[int]string{0: "12345", 1: "5", 3: "345", 4: "2345", 5: "12345", 9: "12345"} {
		entries, err := a.Entries(limit)
		got := ""
		for _, e := range entries {
			var data struct{ Note string }
			if err := json.Unmarshal(e.Data, &data); err != nil || e.Kind != "decision" || e.Identity != logged {
				t.Errorf("%+v, %v", e, err)
			}
			got += data.Note
		}
		if err != nil || got != want {
			t.Errorf("Entries(%d) = %s, %v, want %s", limit, got, err, want)
		}
	}
	none := open(t).Audit(logged)
	if _, err := none.Entries(0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a log: %v", err)
	}
	if _, err := none.Verify(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a log: %v", err)
	}
}

func TestAuditShowsWhatWasChanged(t *testing.T) {
	for name, test := range map[string]struct {
		change func(lines []string) []string
		line   int
	}{
		"a word":         {func(l []string) []string { l[1] = strings.Replace(l[1], "two", "TWO", 1); return l }, 2},
		"a line removed": {func(l []string) []string { return append(l[:1], l[2:]...) }, 2},
		"the first gone": {func(l []string) []string { return l[1:] }, 1},
		"swapped":        {func(l []string) []string { l[1], l[2] = l[2], l[1]; return l }, 2},
		"doubled":        {func(l []string) []string { return append(l[:2], l[1:]...) }, 3},
		"the hash":       {func(l []string) []string { n := len(l[2]); l[2] = l[2][:n-10] + "00000000" + l[2][n-2:]; return l }, 3},
		"an empty line":  {func(l []string) []string { l[1] = "\n" + l[1]; return l }, 2},
		"garbage":        {func(l []string) []string { return append(l, "garbage\n") }, 4},
	} {
		t.Run(name, func(t *testing.T) {
			a := appended(t, "one", "two", "three")
			lines := strings.SplitAfter(strings.TrimSuffix(read(t, a.Path()), "\n"), "\n")
			lines[2] += "\n"
			write(t, a.Path(), strings.Join(test.change(lines), ""))
			_, err := a.Verify()
			var broken *state.ChainError
			if !errors.As(err, &broken) || broken.Line != test.line || broken.Path != a.Path() {
				t.Errorf("Verify() = %v, want line %d", err, test.line)
			}
		})
	}
}

func TestAppendDoesNotGoOnAfterABrokenLine(t *testing.T) {
	a := appended(t, "one", "two")
	broken := strings.Replace(read(t, a.Path()), "two", "TWO", 1)
	write(t, a.Path(), broken)
	var chain *state.ChainError
	if err := a.Append("decision", nil); !errors.As(err, &chain) || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("Append() = %v", err)
	}
	if read(t, a.Path()) != broken {
		t.Error("the file was changed")
	}
}

func TestATornLineIsKeptAndNoted(t *testing.T) {
	for name, cut := range map[string]func(whole string) string{
		"in the middle":       func(s string) string { return s[:len(s)-40] },
		"the line end alone":  func(s string) string { return s[:len(s)-1] },
		"nothing but a start": func(s string) string { return s[:5] },
		"zeros":               func(s string) string { return s + string(make([]byte, 5000)) },
		"longer than the new": func(s string) string { return s + strings.Repeat("x", 100_000) },
	} {
		t.Run(name, func(t *testing.T) {
			a := appended(t, "one", "two")
			whole := read(t, a.Path())
			left := cut(whole)
			write(t, a.Path(), left)
			torn := left[strings.LastIndexByte(left, '\n')+1:]
			if report, err := a.Verify(); err != nil || report.Torn != len(torn) {
				t.Errorf("Verify() = %+v, %v", report, err)
			}
			if err := a.Append("decision", "after"); err != nil {
				t.Fatal(err)
			}
			kept := strings.Count(left, "\n")
			report, err := a.Verify()
			if err != nil || report.Lines != kept+2 || report.Torn != 0 {
				t.Errorf("Verify() = %+v, %v", report, err)
			}
			entries, err := a.Entries(0)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256([]byte(torn))
			var note struct {
				Bytes        int
				SHA256, Kept string
			}
			if err := json.Unmarshal(entries[kept].Data, &note); err != nil || entries[kept].Kind != "torn" || note.Bytes != len(torn) || note.SHA256 != hex.EncodeToString(sum[:]) {
				t.Errorf("the note is %s, %v", entries[kept].Data, err)
			}
			if got := read(t, filepath.Join(filepath.Dir(a.Path()), note.Kept)); got != torn+"\n" {
				t.Errorf("kept: %d bytes", len(got))
			}
			if string(entries[kept+1].Data) != `"after"` {
				t.Errorf("the entry is %s", entries[kept+1].Data)
			}
		})
	}
}

func TestManyProgramsAppend(t *testing.T) {
	r := open(t)
	a := r.Audit(logged)
	var all sync.WaitGroup
	for range 2 {
		cmd, _ := another(t, "append", r.Dir(), logged)
		all.Go(func() {
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range 25 {
		all.Go(func() {
			if err := a.Append("fact", strings.Repeat("y", i*5000)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if report, err := a.Verify(); err != nil || report.Lines != 75 {
		t.Errorf("Verify() = %+v, %v", report, err)
	}
}

func TestAuditBounds(t *testing.T) {
	a := appended(t, "one")
	before := read(t, a.Path())
	for _, err := range []error{
		a.Append("", nil), a.Append("torn", nil), a.Append(strings.Repeat("k", 65), nil),
		a.Append("fact", strings.Repeat("x", 5<<20)), a.Append("fact", func() {}),
	} {
		if err == nil {
			t.Error("it was entered")
		}
	}
	if read(t, a.Path()) != before {
		t.Error("the file was changed")
	}
	if err := a.Append("fact", strings.Repeat("x", 3<<20)); err != nil { // a long line is found again
		t.Fatal(err)
	}
	if err := a.Append("fact", 1); err != nil {
		t.Fatal(err)
	}
	if report, err := a.Verify(); err != nil || report.Lines != 3 {
		t.Errorf("Verify() = %+v, %v", report, err)
	}
	write(t, a.Path(), string(bytes.Repeat([]byte("x"), 9<<20)))
	if err := a.Append("fact", 1); err == nil || !strings.Contains(err.Error(), "move the file away") {
		t.Errorf("after 9 MiB without a line: %v", err)
	}
}
