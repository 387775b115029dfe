package gitgate_test

import (
	"encoding/hex"
	"os/exec"
	"path/filepath"
	"testing"
)

// object writes an object as it is, and gives its name.
func (w *work) object(kind, content string) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "object")
	write(w.t, path, content)
	return w.git("hash-object", "-t", kind, "-w", "--literally", path)
}

// signed is who made a commit, as it has it.
const signed = "author A <a@example.com> 1700000000 +0000\ncommitter A <a@example.com> 1700000000 +0000\n"

// grown is the directory of HEAD with one more entry at its end, written as it is.
func (w *work) grown(mode, name, id string) string {
	w.t.Helper()
	cmd := exec.Command("git", "cat-file", "tree", "HEAD^{tree}")
	cmd.Dir, cmd.Env = w.dir, gitEnv(w.dir, w.env)
	raw, err := cmd.Output()
	if err != nil {
		w.t.Fatal(err)
	}
	return w.object("tree", string(raw)+mode+" "+name+"\x00"+unhex(w.t, id))
}

// unhex is the name of an object as directories have it.
func unhex(t testing.TB, id string) string {
	t.Helper()
	b, err := hex.DecodeString(id)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
