package request

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/themes"
)

// The operator's editor gets the file, private to the operator; what it leaves is checked and shown;
// the file does not stay.
func TestTheOperatorsEditor(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	p, err := themes.Load("")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	d := New(Options{Styles: themes.Build(p, true), Now: func() time.Time { return now }}, &bottles.Bottle{Identity: "a-1"},
		bottles.Request{Request: queue.Request{ID: "r1", Tool: queue.ToolCapability, Proposed: "FROM x\n", ArrivedAt: now}, Hash: "h"})
	screen := func() string { return strings.Join(d.Draw(80, 24).Lines, "\n") }
	screen()
	now = now.Add(time.Second)
	written := d.Key(tea.KeyPressMsg{Code: 'E', Text: "E"}).Cmd()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files for the editor: %v, %v", files, err)
	}
	info, err := os.Stat(files[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v: want 0600", info, err)
	}
	if d.Message(written).Cmd == nil {
		t.Fatal("no editor is run")
	}
	if err := os.WriteFile(files[0], []byte("FROM y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := d.Message(leftMsg{d.check, files[0], nil}).Cmd()
	d.Message(d.Message(read).Cmd())
	if s := screen(); !strings.Contains(s, "FROM y") || !strings.Contains(s, "Your version") {
		t.Errorf("the edited file is not shown:\n%s", s)
	}
	if _, err := os.Stat(files[0]); !os.IsNotExist(err) {
		t.Errorf("the editor's file is still there: %v", err)
	}
}

// An editor that fails changes nothing, and one that is missing is named.
func TestAnEditorThatFails(t *testing.T) {
	missing := &Dialog{o: Options{Editor: "no-such-editor --wait"}}
	left := missing.editorFailed(exec.Command("/bin/sh", "-c", missing.editorWords()+` "$1"`, "sh", "/dev/null").Run())
	if !strings.Contains(left.Error(), `"no-such-editor --wait" can't be run: set $VISUAL or $EDITOR`) {
		t.Errorf("of a missing editor is told: %v", left)
	}
	t.Setenv("TMPDIR", t.TempDir())
	p, err := themes.Load("")
	if err != nil {
		t.Fatal(err)
	}
	d := New(Options{Styles: themes.Build(p, true), Now: time.Now}, &bottles.Bottle{Identity: "a-1"},
		bottles.Request{Request: queue.Request{ID: "r1", Tool: queue.ToolCapability, Proposed: "FROM x\n"}, Hash: "h"})
	d.Draw(80, 24)
	path, err := writeTemp("Dockerfile", []byte("FROM z\n"))
	if err != nil {
		t.Fatal(err)
	}
	d.mode, d.check = waiting, 7
	d.Message(d.Message(leftMsg{7, path, os.ErrPermission}).Cmd())
	s := strings.Join(d.Draw(80, 24).Lines, "\n")
	if !strings.Contains(s, "nothing of it was taken") || strings.Contains(s, "FROM z") {
		t.Errorf("not told of the editor's failure:\n%s", s)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
}
