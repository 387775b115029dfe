package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Sources that came without a repository and lie within another one have no version: its tags are of something else. With
// a repository of their own it is that one's, and who has no Go is told which.
func TestTheMakefileKnowsItsOwnRepository(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sources := filepath.Join(dir, "sources")
	if err := os.Mkdir(sources, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"Makefile": makefile, "go.mod": []byte("module x\n\ngo 1.99.9\n"), "more.mk": []byte("version: ; @echo version $(VERSION).\n")} {
		if err := os.WriteFile(filepath.Join(sources, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) (string, error) {
		cmd := exec.Command(name, args...)
		cmd.Dir = sources
		for _, e := range os.Environ() { // this test may itself be run by make
			if name, _, _ := strings.Cut(e, "="); !strings.HasPrefix(name, "GIT_") && name != "VERSION" && name != "MAKEFLAGS" && name != "MAKELEVEL" && name != "GO" {
				cmd.Env = append(cmd.Env, e)
			}
		}
		cmd.Env = append(cmd.Env, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	repository := func(at, tag string) {
		t.Helper()
		for _, args := range [][]string{{"init", "-q"}, {"-c", "user.name=a", "-c", "user.email=a", "commit", "-q", "--allow-empty", "-m", "one"}, {"tag", tag}} {
			if out, err := run("git", append([]string{"-C", at}, args...)...); err != nil {
				t.Fatalf("git %q: %v: %s", args, err, out)
			}
		}
	}
	version := func(want string) {
		t.Helper()
		if out, err := run("make", "-f", "Makefile", "-f", "more.mk", "version"); err != nil || out != "version "+want+".\n" {
			t.Errorf("make says %q, %v", out, err)
		}
	}
	version("")
	repository(dir, "v9.9.9")
	version("")
	repository(sources, "v0.0.1")
	version("v0.0.1")
	if out, err := run("make", "build", "GO=no-such-go"); err == nil || !strings.Contains(out, "install Go 1.99.9 or later") {
		t.Errorf("without Go make says %q, %v", out, err)
	}
}
