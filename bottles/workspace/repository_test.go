package workspace

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// gitEnv is git without the configuration of whoever runs the tests.
func gitEnv() []string {
	return append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_EDITOR=true", "GIT_ALLOW_PROTOCOL=file", "LC_ALL=C")
}

func gitTry(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
	cmd.Env = gitEnv()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	out, err := gitTry(dir, args...)
	if err != nil {
		t.Fatalf("git %q in %s: %v\n%s", args, dir, err, out)
	}
	return out
}

// write writes a file, and the directories on the way to it.
func write(t testing.TB, name, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// project makes a repository of two commits and so many files, with something staged, something changed, and something
// that git does not know. Its files are older than its index, as they are an hour after a checkout.
func project(t testing.TB, dir string, files int, init ...string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	git(t, dir, append([]string{"init", "-q", "-b", "main", "--template="}, init...)...)
	for i := range files {
		write(t, filepath.Join(dir, fmt.Sprintf("d%d/f%d", i%7, i)), fmt.Sprintf("content %d\n", i))
	}
	write(t, filepath.Join(dir, ".gitignore"), "*.o\n")
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-qm", "one")
	write(t, filepath.Join(dir, "second"), "2\n")
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-qm", "two")
	git(t, dir, "tag", "-m", "a tag", "v1")
	return dir
}

// dirty changes the files of a worktree in each way that git tells apart, and makes all others old.
func dirty(t testing.TB, dir string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == ".git" {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if err == nil && d.Type().IsRegular() {
			return os.Chtimes(p, old, old.Add(time.Duration(len(p))*time.Millisecond))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	git(t, dir, "status") // the index has the times
	write(t, filepath.Join(dir, "staged"), "s\n")
	git(t, dir, "add", "staged")
	write(t, filepath.Join(dir, "d1/f1"), "changed\n")
	write(t, filepath.Join(dir, "unknown"), "u\n")
	write(t, filepath.Join(dir, "x.o"), "o\n")
}

// shapes are the shapes of repositories: each makes one below a directory and gives the directory to copy.
var shapes = []struct {
	name string
	make func(t testing.TB, dir string, files int) string
}{
	{"plain", func(t testing.TB, dir string, files int) string { return project(t, dir+"/plain", files) }},
	{"worktree", func(t testing.TB, dir string, files int) string {
		project(t, dir+"/main", files)
		git(t, dir+"/main", "worktree", "add", "-q", "../wt", "-b", "feature")
		git(t, dir+"/main", "commit", "-q", "--allow-empty", "-m", "only in main")
		return dir + "/wt"
	}},
	{"submodule", func(t testing.TB, dir string, files int) string {
		project(t, dir+"/library", files)
		project(t, dir+"/super", 3)
		git(t, dir+"/super", "submodule", "--quiet", "add", dir+"/library", "lib")
		git(t, dir+"/super", "commit", "-qm", "with a submodule")
		return dir + "/super/lib"
	}},
	{"superproject", func(t testing.TB, dir string, files int) string {
		project(t, dir+"/library", 3)
		project(t, dir+"/super", files)
		git(t, dir+"/super", "submodule", "--quiet", "add", dir+"/library", "lib/a")
		git(t, dir+"/super", "commit", "-qm", "with a submodule")
		return dir + "/super"
	}},
	{"worktree of a superproject", func(t testing.TB, dir string, files int) string {
		project(t, dir+"/library", 3)
		project(t, dir+"/super", files)
		git(t, dir+"/super", "submodule", "--quiet", "add", dir+"/library", "lib/a")
		git(t, dir+"/super", "commit", "-qm", "with a submodule")
		git(t, dir+"/super", "worktree", "add", "-q", "../wt", "-b", "feature")
		git(t, dir+"/wt", "submodule", "--quiet", "update", "--init")
		return dir + "/wt"
	}},
	{"worktrees within", func(t testing.TB, dir string, files int) string {
		project(t, dir+"/main", files)
		write(t, dir+"/main/.git/info/exclude", "/.agents/\n")
		git(t, dir+"/main", "worktree", "add", "-q", ".agents/one", "-b", "one")
		git(t, dir+"/main", "worktree", "add", "-q", "--detach", ".agents/two", "HEAD~1")
		write(t, dir+"/main/.agents/one/d3/f3", "changed\n")
		git(t, dir+"/main/.agents/two", "commit", "-q", "--allow-empty", "-m", "on no branch")
		return dir + "/main"
	}},
	{".git file, the repository within", func(t testing.TB, dir string, files int) string {
		dir = project(t, dir+"/apart", files)
		if err := os.Rename(dir+"/.git", dir+"/.store"); err != nil {
			t.Fatal(err)
		}
		write(t, dir+"/.git", "gitdir: .store\n")
		write(t, dir+"/.store/info/exclude", "/.store/\n")
		git(t, dir, "config", "remote.origin.url", dir)
		return dir
	}},
	{"shared", func(t testing.TB, dir string, files int) string {
		project(t, dir+"/main", files)
		git(t, dir, "clone", "-q", "--shared", "main", "once")
		git(t, dir, "clone", "-q", "--shared", "once", "shared")
		write(t, dir+"/shared/own", "own\n")
		git(t, dir+"/shared", "add", "own")
		git(t, dir+"/shared", "commit", "-qm", "its own")
		return dir + "/shared"
	}},
	{".git file", func(t testing.TB, dir string, files int) string {
		return project(t, dir+"/apart", files, "--separate-git-dir", dir+"/apart.git")
	}},
	{".git link", func(t testing.TB, dir string, files int) string {
		project(t, dir+"/linked", files)
		if err := errors.Join(os.Rename(dir+"/linked/.git", dir+"/linked.git"), os.Symlink("../linked.git", dir+"/linked/.git")); err != nil {
			t.Fatal(err)
		}
		return dir + "/linked"
	}},
	{"links in .git", func(t testing.TB, dir string, files int) string { // as git-new-workdir makes them
		project(t, dir+"/main", files)
		if err := os.MkdirAll(dir+"/new/.git/logs", 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"config", "refs", "logs/refs", "objects", "info", "hooks", "packed-refs"} {
			if err := os.Symlink(dir+"/main/.git/"+name, dir+"/new/.git/"+name); err != nil {
				t.Fatal(err)
			}
		}
		write(t, dir+"/new/.git/HEAD", "ref: refs/heads/main\n")
		git(t, dir+"/new", "checkout", "-q", "-f", "main")
		return dir + "/new"
	}},
	{"subdirectory", func(t testing.TB, dir string, files int) string {
		project(t, dir+"/mono", 5)
		for i := range files {
			write(t, fmt.Sprintf("%s/mono/pkg/a [b]/d%d/f%d", dir, i%7, i), fmt.Sprintf("content %d\n", i))
		}
		git(t, dir+"/mono", "add", ".")
		git(t, dir+"/mono", "commit", "-qm", "three")
		return dir + "/mono/pkg/a [b]"
	}},
	{"subdirectory, index version 4, sha256", func(t testing.TB, dir string, files int) string {
		project(t, dir+"/mono", 5, "--object-format=sha256")
		for i := range files {
			write(t, fmt.Sprintf("%s/mono/e/d%d/f%d", dir, i%7, i), fmt.Sprintf("content %d\n", i))
		}
		git(t, dir+"/mono", "add", ".")
		git(t, dir+"/mono", "update-index", "--index-version=4")
		git(t, dir+"/mono", "commit", "-qm", "three")
		return dir + "/mono/e"
	}},
	{"shallow", func(t testing.TB, dir string, files int) string {
		project(t, dir+"/main", files)
		git(t, dir, "clone", "-q", "--depth=1", "file://"+dir+"/main", "shallow")
		return dir + "/shallow"
	}},
	{"sha256", func(t testing.TB, dir string, files int) string {
		return project(t, dir+"/sha256", files, "--object-format=sha256")
	}},
	{"in a rebase", func(t testing.TB, dir string, files int) string {
		dir = project(t, dir+"/rebase", files)
		git(t, dir, "switch", "-qc", "side", "HEAD~1")
		write(t, dir+"/second", "other\n")
		git(t, dir, "add", ".")
		git(t, dir, "commit", "-qm", "in the way")
		if out, err := gitTry(dir, "rebase", "main"); err == nil {
			t.Fatalf("the rebase went through: %s", out)
		}
		return dir
	}},
	{"packed, untracked cache, split index", func(t testing.TB, dir string, files int) string {
		dir = project(t, dir+"/packed", files)
		git(t, dir, "gc", "-q")
		git(t, dir, "update-index", "--split-index")
		git(t, dir, "update-index", "--untracked-cache")
		git(t, dir, "status")
		return dir
	}},
	{"detached, index version 4", func(t testing.TB, dir string, files int) string {
		dir = project(t, dir+"/detached", files)
		git(t, dir, "update-index", "--index-version=4", "--untracked-cache")
		git(t, dir, "switch", "-q", "--detach", "HEAD~1")
		return dir
	}},
}

// extract writes an archive into a directory as an engine does: a later entry replaces an earlier one.
func extract(t testing.TB, r io.Reader, dir string) {
	t.Helper()
	type dated struct {
		name string
		at   time.Time
	}
	var dirs []dated
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(name, 0o755)
			dirs = append(dirs, dated{name, h.ModTime})
		case tar.TypeSymlink:
			_ = os.Remove(name)
			err = os.Symlink(h.Linkname, name)
		default:
			_ = os.Remove(name)
			var f *os.File
			if f, err = os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, fs.FileMode(h.Mode)); err == nil {
				_, err = io.Copy(f, in)
				err = errors.Join(err, f.Close(), os.Chtimes(name, h.ModTime, h.ModTime))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range dirs {
		if err := os.Chtimes(d.name, d.at, d.at); err != nil {
			t.Fatal(err)
		}
	}
}

// copyOf makes a copy of a directory as a bottle gets it.
func copyOf(t testing.TB, dir string) (string, *Tree) {
	t.Helper()
	part, _, err := PartOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := Scan(t.Context(), dir, Options{Part: part})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := tree.Archive(t.Context(), &out, os.Getuid(), os.Getgid(), nil); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	extract(t, &out, to)
	return filepath.Join(to, part), tree
}

// Whatever shape a repository has, git in the copy says what git says on the host, finds every object, and reads no
// file that did not change; and nothing of the copy's `.git` tells where it was on the host.
func TestRepositories(t *testing.T) {
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			dir := shape.make(t, home, 20)
			dirty(t, dir)
			want := git(t, dir, "status", "--porcelain=v2", "--branch", "--untracked-files=all")
			to, tree := copyOf(t, dir)
			if tree.Unsettled != "" {
				t.Error(tree.Unsettled)
			}
			// A file that has the size and the time that it had is not read.
			unread(t, to)
			if got := git(t, to, "status", "--porcelain=v2", "--branch", "--untracked-files=all"); got != want {
				t.Errorf("git status says\n%s\nand on the host\n%s", got, want)
			}
			if out, err := gitTry(to, "fsck", "--full", "--strict"); err != nil || strings.Contains(out, "missing") || strings.Contains(out, "error") {
				t.Errorf("git fsck: %v\n%s", err, out)
			}
			if got, want := git(t, to, "log", "--all", "--format=%H %D"), git(t, dir, "log", "--all", "--format=%H %D"); lines(got) != lines(want) {
				t.Errorf("git log --all says\n%s\nand on the host\n%s", got, want)
			}
			if got, want := git(t, to, "submodule", "status"), git(t, dir, "submodule", "status"); got != want {
				t.Errorf("git submodule status says %q, and on the host %q", got, want)
			}
			for _, inner := range []string{".agents/one", ".agents/two"} { // worktrees stay worktrees, without objects of their own
				if _, err := os.Lstat(filepath.Join(dir, inner)); err != nil {
					continue
				}
				if got, want := git(t, filepath.Join(to, inner), "status", "--porcelain=v2", "--branch"), git(t, filepath.Join(dir, inner), "status", "--porcelain=v2", "--branch"); got != want {
					t.Errorf("git status in %s says\n%s\nand on the host\n%s", inner, got, want)
				}
				if info, err := os.Lstat(filepath.Join(to, inner, ".git")); err != nil || info.IsDir() {
					t.Errorf("the .git of %s is %v, %v", inner, info, err)
				}
			}
			noPath(t, strings.TrimSuffix(to, tree.Part), home)
		})
	}
}

// lines is a text with its lines in order, without what tells a worktree from another.
func lines(text string) string {
	all := strings.Split(strings.ReplaceAll(text, "HEAD -> ", ""), "\n")
	for i, line := range all {
		words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ',' })
		slices.Sort(words)
		all[i] = strings.Join(words, " ")
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// unread exchanges the content of an old file for another one, so that git would find it changed if it read it.
func unread(t *testing.T, dir string) {
	t.Helper()
	name := filepath.Join(dir, "d2/f2")
	before, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, strings.Repeat("x", int(before.Size())))
	if err := os.Chtimes(name, before.ModTime(), before.ModTime()); err != nil {
		t.Fatal(err)
	}
}

// noPath finds no path below a directory of the host in any `.git` of a copy.
func noPath(t *testing.T, dir, host string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.Contains(p, "/.git/") && !strings.Contains(p, "/.store/") {
			return err
		}
		text, err := os.ReadFile(p)
		if bytes.Contains(text, []byte(host)) {
			t.Errorf("%s tells of the host: %q", p, text[:min(len(text), 300)])
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A directory without a repository of its own holds a bare one and its worktrees: they are that in the copy as well.
func TestBareRepositoryWithWorktrees(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	project(t, home+"/origin", 10)
	git(t, home, "clone", "-q", "--bare", "origin", "all/.bare")
	git(t, home+"/all/.bare", "worktree", "add", "-q", "../main", "main")
	git(t, home+"/all/.bare", "worktree", "add", "-q", "../feature", "-b", "feature")
	write(t, home+"/all/feature/d1/f1", "changed\n")
	to, tree := copyOf(t, home+"/all")
	if tree.Unsettled != "" {
		t.Error(tree.Unsettled)
	}
	for _, dir := range []string{"main", "feature"} {
		if got, want := git(t, filepath.Join(to, dir), "status", "--porcelain=v2", "--branch"), git(t, filepath.Join(home, "all", dir), "status", "--porcelain=v2", "--branch"); got != want {
			t.Errorf("git status in %s says\n%s\nand on the host\n%s", dir, got, want)
		}
	}
	if got := git(t, to+"/.bare", "rev-parse", "--is-bare-repository"); got != "true\n" {
		t.Errorf("is it bare? %s", got)
	}
	git(t, to+"/.bare", "fsck", "--full")
	for _, name := range []string{"config", "worktrees/main/gitdir", "logs/HEAD"} {
		if text, err := os.ReadFile(filepath.Join(to, ".bare", name)); bytes.Contains(text, []byte(home)) {
			t.Errorf("%s tells of the host: %q, %v", name, text, err)
		}
	}
}
