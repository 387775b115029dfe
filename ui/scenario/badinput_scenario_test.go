package scenario_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"bottle-tui/queue"
	"bottle-tui/ui/scenario"
)

// recorded opens the program as opens does; everything that it prints is kept, byte for byte, too.
func (s *stage) recorded(args ...string) (o *operator, printed func() string) {
	s.t.Helper()
	path := filepath.Join(filepath.Dir(s.log), "printed")
	quoted := make([]string, 0, len(args)+5)
	for _, a := range append([]string{"exec", s.binary}, append(args, "--home", s.home, "--log", s.log)...) {
		quoted = append(quoted, "'"+a+"'")
	}
	quoted[0] = "exec"
	term := scenario.Start(s.t, scenario.Options{
		Args: []string{"script", "--quiet", "--return", "--flush", "--command", strings.Join(quoted, " "), path},
		Env:  s.env, Cols: usual.cols, Rows: usual.rows,
	})
	return &operator{term, s}, func() string {
		s.t.Helper()
		content, err := os.ReadFile(path)
		s.must(err)
		return string(content)
	}
}

// chopped is a text that is cut at any place where a row of a pane ends.
func chopped(text string) *regexp.Regexp {
	var parts []string
	for _, r := range text {
		parts = append(parts, regexp.QuoteMeta(string(r)))
	}
	return regexp.MustCompile(strings.Join(parts, `(?:\s*│[^\n]*\n[^\n]*│\s+)?`))
}

// attack is what would be seen if an escape sequence that an agent wrote reached the operator's terminal.
const attack = "\x1b]0;owned\a\x1b[2Jowned"

// Files in a queue that no supervise wrote are refused, each by name and with the reason, and the rest goes on.
func TestBadQueueFiles(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	op, printed := s.recorded("demo", "--agent", "quiet")
	id := op.seesLive(1, "quiet")[0]
	op.sees("waiting for you")
	dir := s.root.QueueDir(id)

	refused := map[string]string{} // the file, and why
	next := time.Now()
	file := func(why string) string {
		next = next.Add(time.Second)
		name := queue.NewID(next) + ".request.json"
		refused[name] = why
		return filepath.Join(dir, name)
	}
	big := file("262144") // bytes that are allowed
	s.must(os.WriteFile(big, nil, 0o600))
	s.must(os.Truncate(big, 100<<20))
	s.must(os.WriteFile(file("JSON"), []byte(attack+" this is not JSON"), 0o600))
	s.must(os.Symlink("/etc/passwd", file("link")))
	s.must(syscall.Mkfifo(file("FIFO"), 0o600))
	tricky := queue.Request{ID: "../../state/" + id + "/metadata", Tool: queue.ToolCapability, Identity: id, Justification: "x", Proposed: "FROM scratch\n", ArrivedAt: time.Now()}
	content, err := json.Marshal(tricky)
	s.must(err)
	s.must(os.WriteFile(file("../../state"), content, 0o600))
	s.must(os.WriteFile(filepath.Join(dir, "a"+attack+".request.json"), nil, 0o600))
	refused["a␛]0;owned␇␛[2Jowned.request.json"] = "its name is not that of a request"

	op.sees(fmt.Sprintf("▲ %d files can't be read", len(refused)))
	op.Press("!")
	op.sees("Files that can't be read")
	for name, why := range refused {
		op.sees(chopped(name))
		op.sees(why)
	}
	op.Press("esc")
	if left, err := os.Stat(big); err != nil || left.Size() != 100<<20 {
		t.Errorf("a file that can't be read was not left alone: %v, %v", left, err)
	}

	// A request that is one shows what an agent would hide.
	hostile := queue.Request{ID: queue.NewID(time.Now()), Tool: queue.ToolCapability, Identity: id, ArrivedAt: time.Now(),
		Justification: "please " + attack + " \u202etxt.exe", Proposed: "FROM scratch\n# " + attack + " \u202e\n"}
	content, err = json.Marshal(hostile)
	s.must(err)
	s.must(os.WriteFile(filepath.Join(dir, hostile.ID+".request.json"), content, 0o600))
	op.reviews()
	op.sees("please ␛]0;owned␇␛[2Jowned ⟨U+202E⟩txt.exe")
	op.sees("# ␛]0;owned␇␛[2Jowned ⟨U+202E⟩")
	op.Press("esc")
	op.seesNoMore("f whole file")

	// The rest goes on.
	op.types(id, [2]string{"status", "role      quiet"})
	if op.Title() != "⚑ 1 bottle-tui" {
		t.Errorf("the title is %q", op.Title())
	}
	op.quits()
	for _, sign := range []string{"\x1b]0;owned", "\x1b[2Jowned", "\u202e"} {
		if strings.Contains(printed(), sign) {
			t.Errorf("%q reached the terminal", sign)
		}
	}
}

// States that can't be read are listed as failed, with the file's name and what to do, and the rest goes on.
func TestBadMetadata(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	op := s.demo("quiet")
	id := op.seesLive(1, "quiet")[0]
	op.quits()
	bad := map[string]string{"broken-empty": "", "broken-trunc": `{"agent_name": "qui`, "broken-wrong": `{"agent_name": 7, "cwd": ""}`}
	for name, content := range bad {
		dir := filepath.Join(s.home, "state", name)
		s.must(os.Mkdir(dir, 0o700))
		s.must(os.WriteFile(filepath.Join(dir, "metadata.json"), []byte(content), 0o600))
	}

	op = s.opens()
	op.sees(" 1 live · 3 failed")
	op.sees("▲ 3 files can't be read")
	for name := range bad {
		op.sees(regexp.MustCompile(`✗ ` + name + `\s+failed`))
	}
	op.Press("!")
	for name := range bad {
		op.sees(chopped("state/" + name + "/metadata.json"))
	}
	op.sees(words("mend or replace the file, or delete the bottle (D); it was left as it is"))
	op.Press("esc")
	for name, content := range bad {
		if left, err := os.ReadFile(filepath.Join(s.home, "state", name, "metadata.json")); err != nil || string(left) != content {
			t.Errorf("%s was not left alone: %q (%v)", name, left, err)
		}
	}
	op.types(id, [2]string{"status", "role      quiet"})

	// The plain commands say it too, and go on.
	said := s.runs("list", "--home", s.home)
	if said.code != 0 || !strings.Contains(said.out, id) || !strings.Contains(said.err, "broken-trunc/metadata.json") {
		t.Errorf("list ended with %d: %s%s", said.code, said.out, said.err)
	}
	if said := s.runs("resume", "broken-empty", "--home", s.home); said.code != 1 || !strings.Contains(said.err, "broken-empty/metadata.json") {
		t.Errorf("resume ended with %d: %s%s", said.code, said.out, said.err)
	}

	// Such a state can be deleted.
	op.chooses("broken-empty")
	op.Press("D")
	op.sees("Nothing brings it back")
	op.Type("broken-empty\n")
	op.seesDone("broken-empty", "is gone", "broken-empty is deleted")
	op.sees(" 1 live · 2 failed")
}
