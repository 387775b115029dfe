package workspace

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestDirectoriesThatAreNoProject(t *testing.T) {
	home := plant(t, map[string]string{".ssh/config": ".", ".config/nvim/init.lua": ".", ".claude/skills/s/SKILL.md": ".", "src/a": ".", "src/.ssh/x": "."})
	t.Setenv("HOME", home)
	for dir, want := range map[string]string{
		"/etc": "directory of the system", "/etc/ssl": "directory of the system", "/usr": "directory of the system",
		"/var": "directory of the system", "/home": "directory of the system", "/proc/self": "directory of the system",
		home + "/.ssh": "credentials", home + "/.config": "credentials", home + "/.claude": "credentials",
		home + "/.config/nvim": "", home + "/.claude/skills/s": "", home + "/src": "", home + "/src/.ssh": "",
		home + "/\xff\xfe": "is not UTF-8",
	} {
		_, err := Scan(t.Context(), dir, Options{})
		var refused *Refused
		if want == "" && err != nil || want != "" && (!errors.As(err, &refused) || !strings.Contains(refused.What, want)) {
			t.Errorf("%q: it says %v", dir, err)
		}
	}
	// The bytes of a path that a link leads to count, too.
	if err := os.Mkdir(filepath.Join(home, "\xff"), 0o755); err == nil {
		if err := os.Symlink("\xff", filepath.Join(home, "plain")); err != nil {
			t.Fatal(err)
		}
		if _, err := Scan(t.Context(), filepath.Join(home, "plain"), Options{}); err == nil || !strings.Contains(err.Error(), "is not UTF-8") {
			t.Errorf("of a link to it, it says %v", err)
		}
	}
}

// A directory that is never copied is known by itself, not by its path.
func TestNeverCopiedWhereverItIsMet(t *testing.T) {
	dir := plant(t, map[string]string{"a/root/state/x": ".", "a/b": ".", "root": "-> a/root"})
	tree, err := Scan(t.Context(), dir, Options{Never: []string{filepath.Join(dir, "root"), filepath.Join(dir, "none")}})
	if err != nil || tree.Never.String() != `"a/root"` || tree.Files != 2 {
		t.Errorf("%+v, %v", tree, err)
	}
}

func TestWhatIsOtherwiseInTheCopyIsNamed(t *testing.T) {
	dir := plant(t, map[string]string{"a": "content", ".git/objects/x": ".", "sparse": "", "full": strings.Repeat("x", leastHoles)})
	for _, err := range []error{
		os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")), os.Link(filepath.Join(dir, ".git/objects/x"), filepath.Join(dir, ".git/objects/y")),
		os.Truncate(filepath.Join(dir, "sparse"), 300<<20), syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tree := mustScan(t, dir)
	if tree.HardLinks.String() != `"a", "b"` || tree.Skipped.String() != `"pipe"` {
		t.Errorf("hard links %v, skipped %v", tree.HardLinks, tree.Skipped)
	}
	if tree.Sparse.String() != `"sparse"` || tree.SparseBytes < 299<<20 || tree.SparseBytes > 300<<20 {
		t.Errorf("sparse files %v, %d bytes of holes", tree.Sparse, tree.SparseBytes)
	}
}

// A path that no container takes is refused before anything is copied, in words that can be read.
func TestPathsThatAreTooLong(t *testing.T) {
	dir := plant(t, map[string]string{"a": "."})
	at, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("n", 250)
	for range 17 {
		if err := at.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
		below, err := at.OpenRoot(name)
		if err != nil {
			t.Fatal(err)
		}
		at.Close()
		at = below
	}
	at.Close()
	_, err = Scan(t.Context(), dir, Options{})
	var refused *Refused
	if !errors.As(err, &refused) || !strings.Contains(refused.What, "longer than a container takes, which is 4,084 bytes") || len(refused.What) > 400 {
		t.Errorf("it says %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, ignoreFile), []byte(name+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if tree, err := Scan(t.Context(), dir, Options{}); err != nil || tree.Ignored != 1 {
		t.Errorf("where it is left out: %v", err)
	}
	if got := short("a" + strings.Repeat("b", 5000) + "c"); len(got) > 200 || !bytes.HasPrefix([]byte(got), []byte("ab")) || !strings.HasSuffix(got, "bc") {
		t.Errorf("it is shortened to %q", got)
	}
}
