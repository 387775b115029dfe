package state_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bottle-tui/state"
)

func TestMetadataOfThePredecessor(t *testing.T) {
	naive := time.Date(2025, 3, 4, 5, 6, 7, 891234000, time.Local)
	utc := time.Date(2025, 3, 4, 5, 6, 7, 891234000, time.UTC)
	for text, want := range map[string]time.Time{
		"2025-03-04T05:06:07.891234":       naive,
		"2025-03-04 05:06:07.891234":       naive,
		"2025-03-04T05:06:07.891234+00:00": utc,
		"2025-03-04 05:06:07.891234+00:00": utc,
		"2025-03-04T07:06:07.891234+02:00": utc,
		"2025-03-04T07:06:07.891234+0200":  utc,
		"2025-03-04T05:06:07.891234Z":      utc,
		"2025-03-04T05:06:07":              naive.Truncate(time.Second),
		"2025-03-04T05:06":                 naive.Truncate(time.Minute),
		"":                                 {},
	} {
		t.Run(text, func(t *testing.T) {
			b := create(t, open(t))
			path := filepath.Join(b.Dir(), "metadata.json")
			old := `{"agent_name": "coder", "cwd": "/src", "copy_cwd": true, "started_at": "` + text + `"}`
			write(t, path, old)
			m, err := b.Metadata()
			if err != nil || m.AgentName != "coder" || m.CWD != "/src" || !m.CopyCWD || !m.StartedAt.Equal(want) {
				t.Errorf("%+v, %v, want %v", m, err, want)
			}
			if read(t, path) != old {
				t.Error("reading changed the file")
			}
			if err := b.UpdateMetadata(func(m *state.Metadata) { m.SessionID = "s1" }); err != nil {
				t.Fatal(err)
			}
			if got := read(t, path); !strings.Contains(got, `"started_at": "`+text+`"`) || !strings.Contains(got, `"session_id": "s1"`) || strings.Contains(got, "ended_at") {
				t.Errorf("updated: %s", got)
			}
		})
	}
}

func TestUnreadableMetadata(t *testing.T) {
	for name, test := range map[string]struct{ content, want string }{
		"empty":       {"", "it is empty"},
		"blank":       {" \n", "it is empty"},
		"truncated":   {"{\n  \"agent_name\": \"co", "line 2, column 20: it is cut off"},
		"not JSON":    {"{\n \"cwd\": nope}", "line 2, column 10"},
		"an array":    {"[]", "an array, not a JSON object"},
		"wrong type":  {`{"agent_name": 5}`, `"agent_name" holds a number where a string belongs`},
		"wrong flag":  {`{"copy_cwd": "yes"}`, `"copy_cwd" holds a string where a bool belongs`},
		"wrong time":  {`{"started_at": "soon"}`, `"started_at": "soon" is not a time`},
		"time number": {`{"started_at": 1}`, `"started_at" holds a number`},
		"twice":       {`{"cwd": "a", "cwd": "b"}`, `"cwd" is there twice`},
		"trailing":    {`{"cwd": "a"} x`, "line 1, column 14"},
		"binary":      {"\x00\xff", "not UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			b := create(t, open(t))
			path := filepath.Join(b.Dir(), "metadata.json")
			write(t, path, test.content)
			_, err := b.Metadata()
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "mend or replace") {
				t.Errorf("Metadata(): %v", err)
			}
			if err := b.UpdateMetadata(func(m *state.Metadata) { m.CWD = "x" }); err == nil {
				t.Error("it was updated")
			}
			if read(t, path) != test.content {
				t.Error("the file was not left alone")
			}
		})
	}
	b := create(t, open(t))
	if err := os.Remove(filepath.Join(b.Dir(), "metadata.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Metadata(); !errors.Is(err, os.ErrNotExist) || errors.Is(err, state.ErrUnknown) {
		t.Errorf("without the file: %v", err)
	}
}

func TestUpdateKeepsWhatItDoesNotKnow(t *testing.T) {
	b := create(t, open(t))
	path := filepath.Join(b.Dir(), "metadata.json")
	write(t, path, `{"zeta": [1, 2.50, 12345678901234567890], "agent_name": "coder", "cwd": null, "copy_cwd": false, "started_at": "2025-01-01T00:00:00", "image_digest": "sha256:1", "alpha": {"b": null, "a": "<&>"}}`)
	if err := b.UpdateMetadata(func(m *state.Metadata) {
		m.ImageDigest = ""
		m.EndedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	}); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(read(t, path)), "")
	want := `{"zeta":[1,2.50,12345678901234567890],"agent_name":"coder","cwd":null,"copy_cwd":false,"started_at":"2025-01-01T00:00:00","alpha":{"b":null,"a":"<&>"},"ended_at":"2026-01-02T03:04:05Z"}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestConcurrentUpdatesLoseNothing(t *testing.T) {
	b := create(t, open(t))
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := b.UpdateMetadata(func(m *state.Metadata) { m.EndReason += "x" }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if m, err := b.Metadata(); err != nil || m.EndReason != strings.Repeat("x", 20) {
		t.Errorf("%q, %v", m.EndReason, err)
	}
}

func TestDockerfileAndItsHistory(t *testing.T) {
	b := create(t, open(t))
	history := func() string {
		t.Helper()
		versions, err := b.DockerfileHistory()
		if err != nil {
			t.Fatal(err)
		}
		out := ""
		for _, v := range versions {
			out += fmt.Sprintf("%d %s%s %q\n", v.Number, v.Request, v.Change, read(t, v.Path))
		}
		return out
	}
	inForce := func(want string) {
		t.Helper()
		got, err := b.Dockerfile()
		if err != nil || string(got) != want || (want == "") != (got == nil) {
			t.Errorf("in force is %q, %v; want %q", got, err, want)
		}
	}
	inForce("")
	write(t, filepath.Join(b.Dir(), "Dockerfile"), "FROM old") // of the predecessor
	for range 2 {
		if err := b.PutDockerfile([]byte("FROM one"), "r1"); err != nil {
			t.Fatal(err)
		}
	}
	inForce("FROM one")
	if err := b.PutDockerfile([]byte("FROM two"), "r2"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.RestoreDockerfile([]byte("FROM one"), "r2"); err != nil {
			t.Fatal(err)
		}
	}
	inForce("FROM one")
	if err := b.PutDockerfile([]byte("FROM two"), "r3"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.RestoreDockerfile(nil, "r3"); err != nil {
			t.Fatal(err)
		}
	}
	inForce("")
	want := `1 found "FROM old"
2 r1 "FROM one"
3 r2 "FROM two"
4 r2.restored "FROM one"
5 r3 "FROM two"
6 r3.removed ""
`
	if got := history(); got != want {
		t.Errorf("the history is\n%swant\n%s", got, want)
	}
	for _, bad := range []string{"", "../x", "a/b", "A"} {
		if b.PutDockerfile([]byte("FROM x"), bad) == nil {
			t.Errorf("the request %q was taken", bad)
		}
	}
	if b.PutDockerfile(nil, "r4") == nil {
		t.Error("an empty Dockerfile was taken")
	}
}

func TestConfigAndOperation(t *testing.T) {
	b := create(t, open(t))
	if got, err := b.Config("allowlist"); got != nil || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if err := b.PutConfig("allowlist", []byte("example.com\n")); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Config("allowlist"); string(got) != "example.com\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", "..", "../x", "a/b", ".hidden", "a\x00"} {
		if err := b.PutConfig(bad, nil); err == nil {
			t.Errorf("the name %q was taken", bad)
		}
	}

	if op, err := b.Operation(); op != nil || err != nil {
		t.Errorf("%v, %v", op, err)
	}
	want := state.Operation{Kind: "rebuild", Step: "stop", StartedAt: time.Now().UTC().Truncate(time.Second), PID: 7, Inputs: json.RawMessage(`{"request":"r1"}`)}
	if err := b.PutOperation(want); err != nil {
		t.Fatal(err)
	}
	if op, err := b.Operation(); err != nil || fmt.Sprint(*op) != fmt.Sprint(want) {
		t.Errorf("%v, %v", op, err)
	}
	path := filepath.Join(b.Dir(), "operation.json")
	for _, bad := range []string{"", "{", `{"kind":7}`, "{}"} {
		write(t, path, bad)
		if _, err := b.Operation(); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for range 2 {
		if err := b.ClearOperation(); err != nil {
			t.Error(err)
		}
	}
	_ = filepath.WalkDir(b.Dir(), func(path string, e os.DirEntry, err error) error {
		want := os.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if info, _ := e.Info(); info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
}

func TestLocksExclude(t *testing.T) {
	b := create(t, open(t))
	unlock, ok, err := b.TryLock()
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, ok, err := b.TryLock(); ok || err != nil {
		t.Errorf("taken twice: %v, %v", ok, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.Lock(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), b.Identity()) {
		t.Errorf("Lock() = %v", err)
	}
	// What is changed under the lock is changed by its holder.
	if err := b.UpdateMetadata(func(m *state.Metadata) { m.EndReason = "x" }); err != nil {
		t.Error(err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	var inside atomic.Int32
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			unlock, err := b.Lock(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			if inside.Add(1) != 1 {
				t.Error("two are inside")
			}
			inside.Add(-1)
			if err := unlock(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if _, err := os.Stat(filepath.Join(b.Dir(), "lock")); err != nil {
		t.Error(err)
	}
}

func TestALockOfAnotherProgram(t *testing.T) {
	r := open(t)
	b := create(t, r)
	cmd, out := another(t, "hold", r.Dir(), b.Identity())
	if line, err := out.ReadString('\n'); line != "held\n" {
		t.Fatal(line, err)
	}
	if _, ok, err := b.TryLock(); ok || err != nil {
		t.Fatalf("taken: %v, %v", ok, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	unlock, err := b.Lock(ctx) // death frees it
	if err != nil {
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}
