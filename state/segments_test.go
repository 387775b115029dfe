package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// smallAudit is a log whose files are closed at a size.
func smallAudit(t testing.TB, size int64) (again func() *Audit) {
	t.Helper()
	root, err := Open(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	return func() *Audit {
		a := root.Audit("coder-k3x9q")
		a.segment = size
		return a
	}
}

// A log is closed into files by size, whoever writes: the chain goes through all of them.
func TestAnAuditLogIsClosedIntoFiles(t *testing.T) {
	open := smallAudit(t, 1000)
	var all sync.WaitGroup
	for p := range 4 {
		all.Go(func() {
			a := open()
			for i := range 25 {
				if err := a.Append("fact", fmt.Sprint(p, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	a := open()
	if report, err := a.Verify(); err != nil || report.Lines != 100 {
		t.Errorf("Verify() = %+v, %v", report, err)
	}
	files, _, err := a.closed()
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files were closed, %v", len(files), err)
	}
	entries, err := a.Entries(0)
	if err != nil || len(entries) != 100 || entries[0].Seq != 1 || entries[99].Seq != 100 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	if after, err := a.EntriesAfter(37); err != nil || len(after) != 63 || after[0].Seq != 38 {
		t.Errorf("%d entries after the 37th, %v", len(after), err)
	}
	size, err := a.Size()
	if err != nil || size < 100*150 {
		t.Errorf("%d bytes, %v", size, err)
	}
	if ids, err := a.root().AuditIdentities(); err != nil || len(ids) != 1 {
		t.Errorf("%v, %v", ids, err)
	}

	// What a crash leaves between the steps of closing is settled by the next entry.
	if err := errors.Join(os.Link(a.path, a.closedPath(len(files)+1)), os.WriteFile(a.path+nextSuffix, []byte("half"), filePerm)); err != nil {
		t.Fatal(err)
	}
	if report, err := a.Verify(); err != nil || report.Lines != 100 {
		t.Errorf("after a crash: Verify() = %+v, %v", report, err)
	}
	for range 20 {
		if err := a.Append("fact", 0); err != nil {
			t.Fatal(err)
		}
	}
	if report, err := a.Verify(); err != nil || report.Lines != 120 {
		t.Errorf("Verify() = %+v, %v", report, err)
	}

	// A file that is missing or was cut is no whole log.
	var chain *ChainError
	if err := os.Rename(files[3], files[3]+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Verify(); !errors.As(err, &chain) || chain.Path != files[4] || chain.Line != 1 {
		t.Errorf("without the fourth file: %v", err)
	}
	if err := errors.Join(os.Rename(files[3]+".away", files[3]), os.WriteFile(files[5], []byte("x"), filePerm)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Verify(); !errors.As(err, &chain) || chain.Path != files[5] {
		t.Errorf("with a sixth file that has no end: %v", err)
	}
}

func (a *Audit) root() *Root { return &Root{dir: filepath.Dir(filepath.Dir(a.path))} }

// A log of one file from before goes on, and what is long is read back.
func TestEntriesAreReadFromTheEnd(t *testing.T) {
	a := smallAudit(t, 1<<40)()
	for i := range 6 {
		if err := a.Append("fact", strings.Repeat(fmt.Sprint(i), i*150_000)); err != nil {
			t.Fatal(err)
		}
	}
	for limit := range 7 {
		entries, err := a.Entries(limit)
		if want := limit; err != nil || len(entries) != want && limit != 0 {
			t.Errorf("Entries(%d): %d, %v", limit, len(entries), err)
		}
		for _, e := range entries {
			if len(e.Data) != int(e.Seq-1)*150_000+2 {
				t.Errorf("entry %d has %d bytes", e.Seq, len(e.Data))
			}
		}
	}
	a.segment = 1000
	if err := a.Append("fact", 1); err != nil {
		t.Fatal(err)
	}
	if files, _, err := a.closed(); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
	if report, err := a.Verify(); err != nil || report.Lines != 7 {
		t.Errorf("%+v, %v", report, err)
	}
}

// However many come to know of a fact, it is entered once; also where the log was closed meanwhile.
func TestAFactIsEnteredOnce(t *testing.T) {
	open := smallAudit(t, 700)
	var all sync.WaitGroup
	var mu sync.Mutex
	entered := 0
	for range 4 {
		all.Go(func() {
			a := open()
			for i := range 10 {
				id := fmt.Sprintf("id%d", i)
				first, err := a.AppendOnce("request", map[string]string{"id": id, "words": `"id":"id3"`}, "id", id)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				if first {
					entered++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	a := open()
	if report, err := a.Verify(); err != nil || report.Lines != 10 || entered != 10 {
		t.Errorf("%+v, %v, entered %d", report, err, entered)
	}
	// Another kind, another member, and a value that stands in another's words are other facts.
	for _, c := range [][3]string{{"withdrawn", "id", "id3"}, {"request", "other", "id3"}, {"request", "id", "words"}} {
		if first, err := a.AppendOnce(c[0], map[string]string{c[1]: c[2]}, c[1], c[2]); err != nil || !first {
			t.Errorf("%v: %v, %v", c, first, err)
		}
	}
	var found []string
	if err := a.Find(func(e Entry) bool { found = append(found, e.Kind); return len(found) < 3 }, "withdrawn", "request"); err != nil || strings.Join(found, " ") != "request request withdrawn" {
		t.Errorf("%v, %v", found, err)
	}
}

// BenchmarkLastSummary is what a start does with the log of one bottle: 250 MB of it, in one file as earlier versions
// left it.
func BenchmarkLastSummary(b *testing.B) {
	a := smallAudit(b, 1<<40)()
	fact, err := json.Marshal(strings.Repeat("a busy day ", 2000))
	if err != nil {
		b.Fatal(err)
	}
	f, err := os.Create(a.path)
	if err != nil {
		b.Fatal(err)
	}
	last := Entry{Hash: firstPrev}
	var out []byte
	for size := 0; size < 250<<20; size += len(out) {
		kind := "gates"
		if size > 240<<20 {
			kind = "request"
		}
		if out, last, err = a.line(out[:0], last, kind, fact); err != nil {
			b.Fatal(err)
		}
		if _, err := f.Write(out); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if err := a.Find(func(Entry) bool { n++; return false }, "gates"); err != nil || n != 1 {
			b.Fatal(n, err)
		}
	}
}
