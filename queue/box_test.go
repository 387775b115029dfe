package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bottle-tui/queue"
)

func TestARequestComesBackAsItWasPut(t *testing.T) {
	b := newBox(t)
	want := request("r1")
	want.Proposed = "<&> \x1b[31m \u202e \x00 ☃ \U0001F600\r\n\t" // the agent's words are not altered
	if err := b.Put(want); err != nil {
		t.Fatal(err)
	}
	got, problems := b.Requests()
	if len(problems) > 0 || len(got) != 1 {
		t.Fatalf("Requests() = %v, %v", got, problems)
	}
	asText := func(r queue.Request) string { s, _ := json.Marshal(r); return string(s) }
	if asText(got[0].Request) != asText(want) || got[0].Answer != nil {
		t.Errorf("got %+v, want %+v", got[0], want)
	}
}

func TestRequestsAreSortedByArrival(t *testing.T) {
	b := newBox(t)
	for i, id := range []string{"c", "a", "b"} {
		r := request(id)
		r.ArrivedAt = r.ArrivedAt.Add(time.Duration(i) * time.Second)
		if err := b.Put(r); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := b.Requests()
	if len(got) != 3 || got[0].ID != "c" || got[1].ID != "a" || got[2].ID != "b" {
		t.Errorf("order is %v", got)
	}
}

func TestAnAbsentBoxIsEmpty(t *testing.T) {
	got, problems := queue.Open(filepath.Join(t.TempDir(), identity)).Requests()
	if len(got)+len(problems) != 0 {
		t.Errorf("Requests() = %v, %v", got, problems)
	}
}

func TestUnknownFieldsSurviveARewrite(t *testing.T) {
	b := newBox(t)
	put(t, b, "r1")
	path := filepath.Join(b.Dir(), "r1.request.json")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(string(content), "{", `{"scope": {"for": 1e400},`, 1))
	got, problems := b.Requests()
	if len(got) != 1 {
		t.Fatal(problems)
	}
	r := got[0].Request
	r.Justification = "changed"
	if err := b.Put(r); err != nil {
		t.Fatal(err)
	}
	content, _ = os.ReadFile(path)
	if s := string(content); !strings.Contains(s, "1e400") || !strings.Contains(s, `"changed"`) {
		t.Errorf("the file is now %s", s)
	}
}

// A valid file, to spoil.
func good(id string) map[string]any {
	return map[string]any{
		"id": id, "tool": "capability-block", "identity": identity, "justification": "j", "proposed": "p",
		"arrived_at": "2026-11-01T10:00:00Z",
	}
}

func spoiled(id string, change func(map[string]any)) string {
	m := good(id)
	change(m)
	s, _ := json.Marshal(m)
	return string(s)
}

func TestHostileFilesAreRefusedAndTheRestGoesOn(t *testing.T) {
	with := func(name string, value any) string {
		return spoiled("bad", func(m map[string]any) { m[name] = value })
	}
	without := func(name string) string {
		return spoiled("bad", func(m map[string]any) { delete(m, name) })
	}
	plain := spoiled("bad", func(map[string]any) {})
	file := func(content string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) { write(t, path, content) }
	}
	for name, test := range map[string]struct {
		make func(t *testing.T, path string)
		want string
	}{
		"100 MB": {func(t *testing.T, path string) {
			write(t, path, "")
			if err := os.Truncate(path, 100<<20); err != nil {
				t.Fatal(err)
			}
		}, "104857600 bytes"},
		"one byte too many": {file(plain + strings.Repeat(" ", queue.MaxFile+1-len(plain))), "at most 262144"},
		"empty":             {file(""), "empty"},
		"not JSON":          {file("{\"id\": \x1b]0;owned\x07}"), "line 1, column 8: it is not JSON: invalid character"},
		"cut off":           {file(plain[:len(plain)-4]), "cut off"},
		"an array":          {file("[1]"), "an array, not a JSON object"},
		"two objects":       {file(plain + plain), "line 1"},
		"not UTF-8":         {file(strings.Replace(plain, `"p"`, "\"\xff\"", 1)), "not UTF-8"},
		"a key twice":       {file(strings.Replace(plain, "{", `{"proposed":"harmless",`, 1)), `"proposed" is there twice`},
		"deep":              {file(`{"id":` + strings.Repeat("[", 100_000)), "exceeded max depth"},
		"number for id":     {file(with("id", 7)), `"id" holds a number where a string belongs`},
		"list for proposed": {file(with("proposed", []int{1})), `"proposed" holds an array`},
		"null for proposed": {file(with("proposed", nil)), `"proposed" is missing`},
		"bad time":          {file(with("arrived_at", "yesterday")), `"arrived_at"`},
		"no tool":           {file(without("tool")), `"tool" is missing`},
		"odd tool":          {file(with("tool", "rm -rf /")), "can't be the name of a tool"},
		"another id":        {file(with("id", "../../../etc/passwd")), `"../../../etc/passwd"`},
		"another bottle's":  {file(with("identity", "other-aaaaa")), `comes from "other-aaaaa"`},
		"odd hash":          {file(with("current_hash", "md5:1")), "current_hash"},
		"escape in id":      {file(with("id", "\x1b[2J\u202e")), "␛[2J⟨U+202E⟩"},
		"link": {func(t *testing.T, path string) {
			target := filepath.Join(filepath.Dir(path), "target")
			write(t, target, plain)
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
		}, "a link"},
		"FIFO": {func(t *testing.T, path string) {
			if err := syscall.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "a FIFO"},
		"socket": {func(t *testing.T, path string) {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}, "a socket"},
		"directory": {func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			put(t, b, "good-before")
			put(t, b, "zgood-after")
			path := filepath.Join(b.Dir(), "bad.request.json")
			test.make(t, path)
			before, _ := os.Lstat(path)
			got, problems := b.Requests()
			if len(got) != 2 {
				t.Errorf("the good requests: %v", got)
			}
			if len(problems) != 1 || problems[0].Path != path || !strings.Contains(problems[0].Err, test.want) {
				t.Fatalf("problems are %q, want one of %s with %q", problems, path, test.want)
			}
			if strings.ContainsAny(problems[0].Err, "\x1b\n\u202e\x07") {
				t.Errorf("the problem is not safe to print: %q", problems[0].Err)
			}
			if after, err := os.Lstat(path); err != nil || after.ModTime() != before.ModTime() {
				t.Errorf("the file was not left alone: %v", err)
			}
		})
	}
}

func TestNames(t *testing.T) {
	b := newBox(t)
	put(t, b, "good")
	ok := spoiled("x", func(map[string]any) {})
	for _, name := range []string{".x.request.json", ".good.request.json123", "x.request.json.tmp", "notes.txt", "x.answer.json", ".request.json"} {
		write(t, filepath.Join(b.Dir(), name), ok)
	}
	got, problems := b.Requests()
	if len(got) != 1 || len(problems) != 0 {
		t.Errorf("foreign names: %v, %v", got, problems)
	}
	for _, name := range []string{"..request.json2.request.json", "\x1b[2J.request.json", "a\u202eb.request.json", "A.request.json", "a b.request.json", strings.Repeat("a", 65) + ".request.json"} {
		if strings.HasPrefix(name, ".") {
			continue
		}
		write(t, filepath.Join(b.Dir(), name), ok)
		_, problems := b.Requests()
		if len(problems) != 1 || strings.ContainsAny(problems[0].Path, "\x1b\u202e") {
			t.Errorf("%q: problems are %q", name, problems)
		}
		os.Remove(filepath.Join(b.Dir(), name))
	}
}

func TestAFloodOfFilesIsBounded(t *testing.T) {
	b := newBox(t)
	for i := range 70 {
		put(t, b, fmt.Sprintf("r%03d", i))
	}
	got, problems := b.Requests()
	if len(got) != 64 || len(problems) != 1 || !strings.Contains(problems[0].Err, "more than 64") {
		t.Errorf("%d requests, problems %v", len(got), problems)
	}
}

func TestPutRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*queue.Request){
		"too large":     func(r *queue.Request) { r.Proposed = strings.Repeat("x", queue.MaxFile) },
		"a path for id": func(r *queue.Request) { r.ID = "../x" },
		"no id":         func(r *queue.Request) { r.ID = "" },
		"another's":     func(r *queue.Request) { r.Identity = "other-aaaaa" },
		"no time":       func(r *queue.Request) { r.ArrivedAt = time.Time{} },
		"not UTF-8":     func(r *queue.Request) { r.Proposed = "\xff" },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			r := request("r1")
			spoil(&r)
			if err := b.Put(r); err == nil {
				t.Error("it was put")
			}
			if entries, _ := os.ReadDir(b.Dir()); len(entries) != 1 { // done/
				t.Errorf("files are left: %v", entries)
			}
		})
	}
}

func TestAnswerOnce(t *testing.T) {
	b := newBox(t)
	if err := b.Answer(answer("r1")); !errors.Is(err, queue.ErrNoRequest) {
		t.Errorf("without a request: %v", err)
	}
	put(t, b, "r1")
	if a, err := b.AnswerTo("r1"); a != nil || err != nil {
		t.Errorf("before the answer: %v, %v", a, err)
	}
	var wins, losses sync.Map
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			a := answer("r1")
			a.Note = fmt.Sprint(i)
			switch err := b.Answer(a); {
			case err == nil:
				wins.Store(a.Note, true)
			case errors.Is(err, queue.ErrAnswered):
				losses.Store(i, true)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	winners := 0
	wins.Range(func(note, _ any) bool {
		winners++
		if got, err := b.AnswerTo("r1"); err != nil || got.Note != note {
			t.Errorf("the answer is %v, %v; %v won", got, err, note)
		}
		return true
	})
	if winners != 1 {
		t.Errorf("%d answers won", winners)
	}
	got, problems := b.Requests()
	if len(problems) > 0 || len(got) != 1 || got[0].Answer == nil || got[0].Answer.Decision != queue.Denied {
		t.Errorf("Requests() = %v, %v", got, problems)
	}
	if err := b.Put(request("r1")); !errors.Is(err, queue.ErrAnswered) {
		t.Errorf("putting it again: %v", err)
	}
	entries, _ := os.ReadDir(b.Dir())
	if len(entries) != 3 {
		t.Errorf("temporary files are left: %v", entries)
	}
	for _, e := range entries {
		if info, _ := e.Info(); !e.IsDir() && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
}

func TestArchive(t *testing.T) {
	b := newBox(t)
	if err := b.Archive("r1"); !errors.Is(err, queue.ErrNoRequest) {
		t.Errorf("nothing to archive: %v", err)
	}
	put(t, b, "r1")
	if err := b.Answer(answer("r1")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Archive("r1"); err != nil {
			t.Fatal(err)
		}
	}
	if got, problems := b.Requests(); len(got)+len(problems) != 0 {
		t.Errorf("still there: %v, %v", got, problems)
	}
	if a, err := b.AnswerTo("r1"); err != nil || a == nil || a.Note != "use grep" {
		t.Errorf("AnswerTo() = %v, %v", a, err)
	}
	for _, err := range []error{b.Answer(answer("r1")), b.Put(request("r1"))} {
		if !errors.Is(err, queue.ErrAnswered) {
			t.Errorf("after archiving: %v", err)
		}
	}
}

// A sidecar that was taken over may put links where the host writes.
func TestTheHostIsNotLedOutOfTheBox(t *testing.T) {
	b := newBox(t)
	outside := t.TempDir()
	put(t, b, "r1")
	done := filepath.Join(b.Dir(), "done")
	if err := os.Remove(done); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, done); err != nil {
		t.Fatal(err)
	}
	if err := b.Archive("r1"); err == nil {
		t.Error("archived through a link")
	}
	if err := b.Make(0); err == nil {
		t.Error("Make took the link for done/")
	}
	if err := os.Symlink(filepath.Join(outside, "x"), filepath.Join(b.Dir(), "r1.answer.json")); err != nil {
		t.Fatal(err)
	}
	if err := b.Answer(answer("r1")); err == nil {
		t.Error("answered through a link")
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Errorf("written outside: %v", entries)
	}
}

func TestMakeGivesTheBoxToTheSidecar(t *testing.T) {
	b := queue.Open(filepath.Join(t.TempDir(), identity))
	if err := b.Make(65532); err != nil {
		t.Fatal(err)
	}
	put(t, b, "r1")
	if err := b.Answer(answer("r1")); err != nil {
		t.Fatal(err)
	}
	want := uint32(os.Geteuid())
	if want == 0 {
		want = 65532
	}
	for _, name := range []string{".", "done", "r1.answer.json"} {
		info, err := os.Stat(filepath.Join(b.Dir(), name))
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != want {
			t.Errorf("%s belongs to %d, want %d", name, st.Uid, want)
		}
		if perm := info.Mode().Perm(); perm != 0o700 && perm != 0o600 {
			t.Errorf("%s has mode %v", name, perm)
		}
	}
}

func TestWaitAnswer(t *testing.T) {
	b := newBox(t)
	if _, err := b.WaitAnswer(t.Context(), "r1"); !errors.Is(err, queue.ErrNoRequest) {
		t.Errorf("without a request: %v", err)
	}
	for i, archive := range []bool{false, true} {
		id := fmt.Sprintf("r%d", i+10)
		put(t, b, id)
		done := make(chan struct{})
		go func() {
			defer close(done)
			a, err := b.WaitAnswer(t.Context(), id)
			if err != nil || a.Note != "use grep" {
				t.Errorf("WaitAnswer() = %v, %v", a, err)
			}
		}()
		if err := b.Answer(answer(id)); err != nil {
			t.Fatal(err)
		}
		if archive {
			if err := b.Archive(id); err != nil {
				t.Fatal(err)
			}
		}
		within(t, "the answer", 5*time.Second, done)
	}

	put(t, b, "r2")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := b.WaitAnswer(ctx, "r2"); !errors.Is(err, context.Canceled) {
			t.Errorf("WaitAnswer() = %v", err)
		}
	}()
	cancel()
	within(t, "the end of the wait", 5*time.Second, done)

	put(t, b, "r3")
	done = make(chan struct{})
	go func() {
		defer close(done)
		if _, err := b.WaitAnswer(t.Context(), "r3"); !errors.Is(err, queue.ErrNoRequest) {
			t.Errorf("after the box was deleted: %v", err)
		}
	}()
	if err := os.RemoveAll(b.Dir()); err != nil {
		t.Fatal(err)
	}
	within(t, "the end of the wait", 5*time.Second, done)
}

func TestAnswerFilesAreCheckedToo(t *testing.T) {
	b := newBox(t)
	put(t, b, "r1")
	path := filepath.Join(b.Dir(), "r1.answer.json")
	for _, content := range []string{"", "{}", `{"request":"r2","decision":"denied","decided_at":"2026-11-01T10:00:00Z"}`,
		`{"request":"r1","decision":"maybe","decided_at":"2026-11-01T10:00:00Z"}`} {
		write(t, path, content)
		if a, err := b.AnswerTo("r1"); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: AnswerTo() = %v, %v", content, a, err)
		}
		if got, problems := b.Requests(); len(got) != 1 || got[0].Answer != nil || len(problems) != 1 || problems[0].Path != path {
			t.Errorf("%s: Requests() = %v, %v", content, got, problems)
		}
	}
	if _, err := b.AnswerTo("../r1"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a path for an id: %v", err)
	}
}

func TestNewID(t *testing.T) {
	now := time.Now()
	seen := map[string]bool{}
	last := ""
	for i := range 1000 {
		id := queue.NewID(now.Add(time.Duration(i) * time.Millisecond))
		if !queue.ValidID(id) || seen[id] || id <= last {
			t.Fatalf("id %q after %q", id, last)
		}
		seen[id], last = true, id
	}
	for _, bad := range []string{"", "A", "a.b", "../a", "a/b", "a\n", strings.Repeat("a", 65)} {
		if queue.ValidID(bad) {
			t.Errorf("%q is valid", bad)
		}
	}
}

// What can't be looked at is neither answered nor unknown.
func TestWhatCannotBeLookedAtIsNotAbsent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "coder-00000")
	box := queue.Open(dir)
	if err := box.Make(0); err != nil {
		t.Fatal(err)
	}
	done := filepath.Join(dir, "done")
	if err := errors.Join(os.Remove(done), os.WriteFile(done, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	id := queue.NewID(time.Now())
	for what, err := range map[string]error{
		"answer":  box.Answer(queue.Answer{Request: id, Decision: queue.Denied, Note: "no", DecidedAt: time.Now()}),
		"archive": box.Archive(id),
		"put":     box.Put(queue.Request{ID: id, Tool: queue.ToolEgress, Identity: "coder-00000", Justification: "why", Proposed: "a.example\n", ArrivedAt: time.Now()}),
	} {
		if err == nil || errors.Is(err, queue.ErrNoRequest) || errors.Is(err, queue.ErrAnswered) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
