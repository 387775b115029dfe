package workspace

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// gitAtHome runs git with the configuration of $HOME, which the test owns.
func gitAtHome(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "GIT_CONFIG_NOSYSTEM=1"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// A repository with files that are tracked although git ignores them, in every form that an index has.
func TestWhatGitIgnoresCanBeLeftOut(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	files := map[string]string{
		".gitignore": "build/\n*.log\n!keep.log\n/only-here\nvendor/\n", "a.go": ".", "x.log": ".", "keep.log": ".", "only-here": ".", "mine.swp": ".", "priv/x": ".",
		"sub/only-here": ".", "sub/.gitignore": "secret\n!x.log\n", "sub/secret": ".", "sub/x.log": ".", "sub/deep/y.log": ".", "sub/link": "-> ../build",
		"build/out": ".", "build/tracked": ".", "build/sub/out": ".", "vendor/all/tracked": ".", "vendor/none": ".", "long/" + strings.Repeat("n", 200) + "/a": ".",
	}
	for name, form := range map[string]func(t *testing.T, dir string) string{
		"plain": func(t *testing.T, dir string) string { return dir },
		"version": func(t *testing.T, dir string) string {
			gitAtHome(t, dir, "update-index", "--index-version=4")
			return dir
		},
		"split": func(t *testing.T, dir string) string {
			gitAtHome(t, dir, "update-index", "--split-index")
			gitAtHome(t, dir, "add", "sub/.gitignore")
			gitAtHome(t, dir, "rm", "-q", "--cached", "a.go")
			gitAtHome(t, dir, "add", "a.go")
			return dir
		},
		"sha256":   nil,
		"worktree": nil,
		"below":    func(t *testing.T, dir string) string { return filepath.Join(dir, "sub") },
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte("[user]\n\tname = x\n[core]\n\texcludesFile = ~/everywhere\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(home, "everywhere"), []byte("*.swp\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			dir := plant(t, files)
			format := "sha1"
			if name == "sha256" {
				format = "sha256"
			}
			if name == "worktree" {
				main := plant(t, map[string]string{"first": "."})
				gitAtHome(t, main, "init", "-q", ".")
				gitAtHome(t, main, "add", ".")
				gitAtHome(t, main, "commit", "-qm", "one")
				gitAtHome(t, main, "worktree", "add", "-q", filepath.Join(dir, "at"), "HEAD")
				if err := os.Rename(filepath.Join(dir, "at", ".git"), filepath.Join(dir, ".git")); err != nil {
					t.Fatal(err)
				}
				gitAtHome(t, main, "worktree", "repair", dir)
			} else {
				gitAtHome(t, dir, "init", "-q", "--object-format="+format, ".")
			}
			exclude := strings.TrimSpace(gitAtHome(t, dir, "rev-parse", "--git-path", "info/exclude"))
			if !filepath.IsAbs(exclude) {
				exclude = filepath.Join(dir, exclude)
			}
			if err := os.WriteFile(exclude, []byte("priv/\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			gitAtHome(t, dir, "add", ".")
			gitAtHome(t, dir, "add", "-f", "build/tracked", "vendor/all/tracked")
			gitAtHome(t, dir, "commit", "-qm", "one")
			if form != nil {
				dir = form(t, dir)
			} else if name == "sha256" && !strings.Contains(gitAtHome(t, dir, "config", "extensions.objectformat"), "sha256") {
				t.Fatal("it is no such repository")
			}
			w, _ := worktreeAbove(dir)
			if w == nil || w.err != nil {
				t.Fatalf("the repository is not found: %+v", w)
			}
			tracked := strings.Split(strings.TrimSuffix(gitAtHome(t, dir, "ls-files", "-z", "--full-name", ":/"), "\x00"), "\x00")
			if !slices.Equal(w.tracked, tracked) {
				t.Errorf("tracked are\n%q, with git\n%q", w.tracked, tracked)
			}
			// What is copied is what git tracks or does not ignore.
			want := strings.Split(strings.TrimSuffix(gitAtHome(t, dir, "ls-files", "-z", "--cached", "--others", "--exclude-standard"), "\x00"), "\x00")
			slices.Sort(want)
			tree, err := Scan(t.Context(), dir, Options{SkipIgnored: true})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range tree.entries {
				if !e.kind.IsDir() && e.path != ".git" && !strings.HasPrefix(e.path, ".git/") && e.path != "at" {
					got = append(got, e.path)
				}
			}
			slices.Sort(got)
			if want = slices.DeleteFunc(want, func(p string) bool { return p == "first" }); !slices.Equal(got, want) {
				t.Errorf("copied are\n%q, git has\n%q", got, want)
			}
			if tree.GitIgnored == 0 {
				t.Error("nothing is left out")
			}
			if all, err := Scan(t.Context(), dir, Options{}); err != nil || all.GitIgnored != 0 || all.Files <= tree.Files {
				t.Errorf("without the option: %+v, %v", all, err)
			}
		})
	}
}

func TestTrackedFilesAreNamedWhereTheyAreLeftOut(t *testing.T) {
	dir := plant(t, map[string]string{"doc/a.md": ".", "doc/b.md": ".", "new.md": ".", "c.md": ".", "d.go": ".", ignoreFile: "*.md\n.git\n/doc/\n"})
	git(t, dir, "init", "-q", ".")
	git(t, dir, "add", "doc", "c.md", "d.go")
	tree := mustScan(t, dir)
	if got := tree.LeftTracked.String(); tree.LeftTracked.Count != 3 || got != `"c.md", "doc/a.md", "doc/b.md"` {
		t.Errorf("it names %d: %s", tree.LeftTracked.Count, got)
	}
	if tree.LeftGit.String() != `".git"` {
		t.Errorf("of the repository it names %v", tree.LeftGit)
	}
}

func TestLargeDirectoriesThatGitIgnores(t *testing.T) {
	dir := plant(t, map[string]string{".gitignore": "node_modules\n/target/\nsmall\nbig.iso\n", "small/x": ".", "a/node_modules/p/x": "", "target/x": "", "target/kept": "", "other": "", "big.iso": ""})
	for name, size := range map[string]int64{"a/node_modules/p/x": largeIgnored + 1, "target/x": largeIgnored, "target/kept": 5000, "other": largeIgnored * 2, "big.iso": largeIgnored * 2} {
		if err := os.Truncate(filepath.Join(dir, name), size); err != nil {
			t.Fatal(err)
		}
	}
	if tree := mustScan(t, dir); len(tree.Large) != 0 {
		t.Errorf("without a repository it names %v", tree.Large)
	}
	git(t, dir, "init", "-q", ".")
	git(t, dir, "add", "-f", "target/kept") // what is tracked is not what git ignores
	tree := mustScan(t, dir)
	if want := []Part{{"a/node_modules", largeIgnored + 1}}; !slices.Equal(tree.Large, want) {
		t.Errorf("it names %v", tree.Large)
	}
}

// What is not known to be untracked is not left out.
func TestAnIndexThatCannotBeRead(t *testing.T) {
	dir := plant(t, map[string]string{"a": ".", "b.log": ".", ".gitignore": "*.log\n"})
	git(t, dir, "init", "-q", ".")
	git(t, dir, "add", ".")
	index := filepath.Join(dir, ".git", "index")
	whole, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if err := os.WriteFile(index, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if w := readWorktree(dir); w.err == nil && len(w.tracked) < 2 {
			t.Fatalf("cut off after %d bytes it has %q", n, w.tracked)
		}
	}
	if err := os.WriteFile(index, whole[:50], 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Scan(t.Context(), dir, Options{SkipIgnored: true})
	var refused *Refused
	if !errors.As(err, &refused) || !strings.Contains(refused.What, "what git tracks in "+dir+" is not known") {
		t.Errorf("it says %v", err)
	}
	if tree, err := Scan(t.Context(), dir, Options{}); err != nil || tree.GitIgnored != 0 {
		t.Errorf("where nothing depends on it: %v", err)
	}
}
