package state

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// A root of another user, or in another user's home, is refused, unless that is meant.
func TestARootOfAnotherUserIsRefused(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	dir := filepath.Join(home, ".claude-bottle")
	if err := owned(dir); err != nil {
		t.Error(err)
	}
	if os.Getuid() != 0 {
		home = "/"
		t.Setenv("HOME", home) // root's
		dir = "/.claude-bottle"
	} else if err := os.Chown(home, 1234, -1); err != nil {
		t.Fatal(err)
	}
	if err := owned(dir); err == nil || !strings.Contains(err.Error(), "--allow-other-owner") {
		t.Errorf("in another's home: %v", err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "--allow-other-owner") {
		t.Errorf("it opens: %v", err)
	}
	if os.Getuid() != 0 {
		return
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("it was made all the same")
	}
	if _, err := OpenWith(dir, Options{OtherOwner: true}); err != nil {
		t.Error(err)
	}
	if _, err := OpenReadOnly(dir); err != nil {
		t.Errorf("for looking: %v", err)
	}
	t.Setenv("HOME", t.TempDir())
	if err := os.Chown(dir, 1234, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "1234") {
		t.Errorf("another's root opens: %v", err)
	}
}

func TestADirectoryThatStaysOpenToOthersIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := private(dir); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := private(dir); err == nil || !strings.Contains(err.Error(), "0777") || !strings.Contains(err.Error(), "--insecure-state") {
		t.Error(err)
	}
}

// A path that could not be written down is refused before anything is made, also where a link leads to it.
func TestARootThatIsNotUTF8IsRefused(t *testing.T) {
	parent := t.TempDir()
	odd := filepath.Join(parent, "caf\xe9")
	if err := os.Mkdir(odd, 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(parent, "link")
	if err := os.Symlink(odd, link); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{odd, filepath.Join(odd, "new"), link, filepath.Join(link, "new", "root")} {
		for _, open := range []func(string) (*Root, error){Open, OpenReadOnly} {
			_, err := open(dir)
			if err == nil || !strings.Contains(err.Error(), "caf\\xe9") || !strings.Contains(err.Error(), "is not UTF-8") || !strings.Contains(err.Error(), "--home") || !utf8.ValidString(err.Error()) {
				t.Errorf("%q: %v", dir, err)
			}
		}
	}
	if made, err := os.ReadDir(odd); err != nil || len(made) != 0 {
		t.Errorf("it made %v, %v", made, err)
	}
}

// Where the current directory was deleted, a root that was named from there can't be looked for: it is not an empty one.
func TestARootFromADirectoryThatIsGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	for _, open := range []func(string) (*Root, error){Open, OpenReadOnly} {
		if r, err := open("root"); err == nil || !strings.Contains(err.Error(), "--home") {
			t.Errorf("it is %v, %v", r, err)
		}
	}
}
