package state_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle-tui/state"
)

func TestOpenMakesARootAndNamesWhatIsWrong(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	r, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{".", "state", "queue", "audit"} {
		if info, err := os.Stat(filepath.Join(dir, sub)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", sub, info, err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "state"), 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	again, err := state.Open(link)
	if err != nil || again.ID() != r.ID() || again.Dir() != r.Dir() {
		t.Errorf("by a link: %v, %v", again, err)
	}
	if info, _ := os.Stat(filepath.Join(dir, "state")); info.Mode().Perm() != 0o700 {
		t.Errorf("state/ stays at %v", info.Mode())
	}
	if !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(r.ID()) || open(t).ID() == r.ID() {
		t.Errorf("ID() = %q", r.ID())
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	if _, err := state.Open(file); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "--home") {
		t.Errorf("on a file: %v", err)
	}
}

func TestDefaultDir(t *testing.T) {
	t.Setenv("CLAUDE_BOTTLE_HOME", "/somewhere")
	if dir, err := state.DefaultDir(); dir != "/somewhere" || err != nil {
		t.Errorf("%q, %v", dir, err)
	}
	t.Setenv("CLAUDE_BOTTLE_HOME", "")
	t.Setenv("HOME", "/home/ann")
	if dir, err := state.DefaultDir(); dir != "/home/ann/.claude-bottle" || err != nil {
		t.Errorf("%q, %v", dir, err)
	}
}

func TestIdentities(t *testing.T) {
	for in, want := range map[string]string{
		"coder": "coder", "Code Reviewer_2": "code-reviewer-2", "--a--b--": "a-b", "": "agent", "日本": "agent", "../..": "agent",
		strings.Repeat("x", 39) + "-y": strings.Repeat("x", 39), "ÀB": "b",
	} {
		if got := state.Slug(in); got != want {
			t.Errorf("Slug(%q) = %q, want %q", in, got, want)
		}
	}
	for _, good := range []string{"coder-k3x9q", "a-00000", "code-reviewer-2-abcde", "a--b-abcde"} {
		if !state.ValidIdentity(good) {
			t.Errorf("%q is not valid", good)
		}
	}
	for _, bad := range []string{"", "coder", "-abcde", "coder-ABCDE", "coder-abcd", "../x-abcde", "a/b-abcde", "coder-abcde\n", "coder-abcde/", ".x-abcde", "a\x00-abcde", "a b-abcde", strings.Repeat("a", 200) + "-abcde"} {
		if state.ValidIdentity(bad) {
			t.Errorf("%q is valid", bad)
		}
		if _, err := open(t).Bottle(bad); !errors.Is(err, state.ErrUnknown) {
			t.Errorf("Bottle(%q): %v", bad, err)
		}
	}
}

func TestFiftyAtOnceGetFiftyIdentities(t *testing.T) {
	r := open(t)
	var all sync.WaitGroup
	var seen sync.Map
	for range 50 {
		all.Go(func() {
			b, err := r.Create(state.Metadata{AgentName: "Coder"})
			if err != nil {
				t.Error(err)
				return
			}
			if _, twice := seen.LoadOrStore(b.Identity(), true); twice {
				t.Errorf("%s was given twice", b.Identity())
			}
			if !state.ValidIdentity(b.Identity()) || !strings.HasPrefix(b.Identity(), "coder-") {
				t.Errorf("%q", b.Identity())
			}
			if m, err := b.Metadata(); err != nil || m.AgentName != "Coder" || time.Since(m.StartedAt) > time.Minute {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
	all.Wait()
	bottles, problems := r.List()
	if len(bottles) != 50 || len(problems) != 0 {
		t.Errorf("List() gives %d, %v", len(bottles), problems)
	}
}

func TestListTellsWhatIsNoBottle(t *testing.T) {
	r := open(t)
	b := create(t, r)
	dir := filepath.Dir(b.Dir())
	write(t, filepath.Join(dir, "file-aaaaa"), "")
	write(t, filepath.Join(dir, ".DS_Store"), "")
	if err := os.Mkdir(filepath.Join(dir, "oldform"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "link-aaaaa")); err != nil {
		t.Fatal(err)
	}
	bottles, problems := r.List()
	if len(bottles) != 1 || bottles[0].Identity() != b.Identity() {
		t.Errorf("bottles are %v", bottles)
	}
	got := ""
	for _, p := range problems {
		got += filepath.Base(p.Path) + " "
	}
	if got != "file-aaaaa link-aaaaa oldform " {
		t.Errorf("problems are %v", problems)
	}
	if _, err := r.Bottle("link-aaaaa"); err == nil {
		t.Error("a link passes for a bottle")
	}
}

func TestDelete(t *testing.T) {
	r := open(t)
	b, other := create(t, r), create(t, r)
	write(t, filepath.Join(b.Dir(), "transcript", "a", "b.jsonl"), "x")
	write(t, filepath.Join(r.QueueDir(b.Identity()), "x"), "x")
	if err := r.Audit(b.Identity()).Append("deleted", nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Delete(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Bottle(b.Identity()); !errors.Is(err, state.ErrUnknown) {
		t.Errorf("Bottle() after it: %v", err)
	}
	for what, err := range map[string]error{
		"metadata": func() error { _, err := b.Metadata(); return err }(),
		"update":   b.UpdateMetadata(func(*state.Metadata) {}),
		"lock":     func() error { _, _, err := b.TryLock(); return err }(),
		"docker":   b.PutDockerfile([]byte("FROM x"), "r1"),
		"config":   b.PutConfig("allowlist", nil),
		"grants":   b.PutGrants(nil),
		"base":     b.PutBase(nil),
		"op":       b.PutOperation(state.Operation{Kind: "x"}),
	} {
		if !errors.Is(err, state.ErrUnknown) {
			t.Errorf("%s after it: %v", what, err)
		}
	}
	if _, err := os.Stat(r.QueueDir(b.Identity())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the queue stays: %v", err)
	}
	if got, err := r.AuditIdentities(); err != nil || len(got) != 1 || got[0] != b.Identity() {
		t.Errorf("AuditIdentities() = %v, %v", got, err)
	}
	if _, err := other.Metadata(); err != nil {
		t.Error(err)
	}
	// A deletion that a crash cut short is finished by the next program.
	left := filepath.Join(r.Dir(), "state", ".deleted-"+b.Identity()+"-zzzzzzzz")
	write(t, filepath.Join(left, "metadata.json"), "{}")
	if _, err := state.Open(r.Dir()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s stays: %v", left, err)
	}
}

func TestAFullDiskKeepsTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "metadata.json")
	write(t, path, "old")
	cmd, out := another(t, "full-disk", path)
	line, _ := out.ReadString('\n')
	_ = cmd.Wait()
	if !strings.Contains(line, path) || !strings.Contains(line, "file too large") {
		t.Errorf("the error is %q", line)
	}
	if read(t, path) != "old" {
		t.Error("the old file is gone")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestWriteFileReplacesALinkAndSetsTheMode(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	write(t, target, "target")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := state.WriteFile(link, []byte("new"), 0o640); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode() != 0o640 || read(t, target) != "target" || read(t, link) != "new" {
		t.Errorf("%v, %v", info, err)
	}
	if err := state.WriteFile(filepath.Join(dir, "none", "x"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(dir, "none", "x")) {
		t.Errorf("into no directory: %v", err)
	}
}

func BenchmarkRead200States(b *testing.B) {
	r := open(b)
	for i := range 200 {
		bottle := create(b, r)
		if err := bottle.UpdateMetadata(func(m *state.Metadata) { m.SessionID = fmt.Sprint(i); m.EndReason = "torn down" }); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		bottles, problems := r.List()
		if len(bottles) != 200 || len(problems) != 0 {
			b.Fatal(len(bottles), problems)
		}
		for _, bottle := range bottles {
			if _, err := bottle.Metadata(); err != nil {
				b.Fatal(err)
			}
			if op, err := bottle.Operation(); err != nil || op != nil {
				b.Fatal(op, err)
			}
			if d, err := bottle.Dockerfile(); err != nil || d != nil {
				b.Fatal(d, err)
			}
		}
	}
}

func TestAnIdentityThatWasChosenIsTakenOnce(t *testing.T) {
	r, err := state.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	identity, err := r.NewIdentity("implementer")
	if err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(filepath.Join(r.Dir(), "state")); len(entries) != 0 {
		t.Errorf("choosing an identity made %v", entries)
	}
	b, err := r.CreateAs(identity, state.Metadata{AgentName: "implementer"})
	if err != nil || b.Identity() != identity {
		t.Fatalf("%v, %v", b, err)
	}
	if _, err := r.CreateAs(identity, state.Metadata{AgentName: "implementer"}); !errors.Is(err, state.ErrTaken) {
		t.Errorf("taken twice: %v", err)
	}
	if _, err := r.CreateAs("../evil-00000", state.Metadata{}); err == nil {
		t.Error("a path is an identity")
	}
}

// A bottle that is just being made is not seen before it is whole, and not made while something is decided by its absence.
func TestABottleAppearsWhole(t *testing.T) {
	r := open(t)
	made := make(chan struct{})
	go func() {
		defer close(made)
		for range 40 {
			if _, err := r.Create(state.Metadata{AgentName: "coder"}); err != nil {
				t.Error(err)
			}
		}
	}()
	for going := true; going; {
		select {
		case <-made:
			going = false
		default:
		}
		l := r.Scan()
		if len(l.Problems) > 0 {
			t.Fatalf("%+v", l.Problems)
		}
		for _, b := range l.Bottles {
			if _, err := b.Metadata(); err != nil {
				t.Fatal(err)
			}
		}
	}
	const identity = "coder-00000"
	created := make(chan error, 1)
	err := r.Alone(func() error {
		go func() { _, err := r.CreateAs(identity, state.Metadata{AgentName: "coder"}); created <- err }()
		for range 50 {
			if r.Has(identity) {
				return errors.New("it was made meanwhile")
			}
		}
		return nil
	})
	if err := errors.Join(err, <-created); err != nil || !r.Has(identity) {
		t.Error(err)
	}
	if hidden, err := filepath.Glob(filepath.Join(r.Dir(), "state", ".new-*")); len(hidden) > 0 || err != nil {
		t.Error(hidden, err)
	}
}
