package workspace

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// plant makes files below a new directory: a path that ends with a slash is a directory, content that begins with
// "-> " is a link.
func plant(t testing.TB, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			if target, link := strings.CutPrefix(content, "-> "); link {
				err = os.Symlink(target, path)
			} else if strings.HasSuffix(name, "/") {
				err = os.MkdirAll(path, 0o755)
			} else {
				err = os.WriteFile(path, []byte(content), 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// unpacked is an archive's entries by name, and their names in its order.
type unpacked struct {
	names   []string
	headers map[string]*tar.Header
	content map[string]string
}

func unpack(t testing.TB, archive io.Reader) unpacked {
	t.Helper()
	u := unpacked{headers: map[string]*tar.Header{}, content: map[string]string{}}
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if err == io.EOF {
			return u
		}
		var content []byte
		if err == nil {
			content, err = io.ReadAll(r)
		}
		if err != nil {
			t.Fatalf("after %q: %v", u.names, err)
		}
		u.names = append(u.names, h.Name)
		u.headers[h.Name], u.content[h.Name] = h, string(content)
	}
}

func archive(t testing.TB, tree *Tree) unpacked {
	t.Helper()
	var out bytes.Buffer
	if err := tree.Archive(t.Context(), &out, 1000, 1000, nil); err != nil {
		t.Fatal(err)
	}
	return unpack(t, &out)
}

func mustScan(t testing.TB, dir string) *Tree {
	t.Helper()
	tree, err := Scan(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestScanAndArchive(t *testing.T) {
	dir := plant(t, map[string]string{
		"b.txt": "bee", "a/deep/er/x": "x", "a.go": "package a", "empty/": "", ".git/HEAD": "ref: refs/heads/main\n",
		"link": "-> a.go", "out": "-> /etc/passwd", "loop": "-> .", "dangling": "-> nowhere", "bin/tool": "#!/bin/sh\n",
	})
	at := time.Date(2020, 2, 3, 4, 5, 6, 789e6, time.UTC)
	for _, err := range []error{
		os.Chmod(filepath.Join(dir, "bin/tool"), 0o751|fs.ModeSetuid|fs.ModeSetgid),
		os.Chtimes(filepath.Join(dir, "b.txt"), at, at),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	socket, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()

	tree := mustScan(t, dir)
	if tree.Dir != dir || tree.Files != 9 || tree.Bytes != 3+1+9+21+10 || tree.Ignored != 0 || tree.Skipped.Count != 2 {
		t.Errorf("the tree is %+v", tree)
	}
	got := archive(t, tree)
	want := []string{".git/", ".git/HEAD", "a/", "a/deep/", "a/deep/er/", "a/deep/er/x", "a.go", "b.txt", "bin/", "bin/tool", "dangling", "empty/", "link", "loop", "out"}
	if !slices.Equal(got.names, want) {
		t.Errorf("the archive has %q", got.names)
	}
	if again := archive(t, tree); !slices.Equal(again.names, want) {
		t.Errorf("a second archive has %q", again.names)
	}
	for name, h := range got.headers {
		if h.Uid != 1000 || h.Gid != 1000 || h.Uname != "" || h.Gname != "" {
			t.Errorf("%s belongs to %d:%d %s:%s", name, h.Uid, h.Gid, h.Uname, h.Gname)
		}
	}
	if h := got.headers["bin/tool"]; h.Mode != 0o751 {
		t.Errorf("bin/tool has the mode %o", h.Mode)
	}
	if h := got.headers["b.txt"]; !h.ModTime.Equal(at) || got.content["b.txt"] != "bee" {
		t.Errorf("b.txt is %+v: %q", h, got.content["b.txt"])
	}
	if h := got.headers["out"]; h.Typeflag != tar.TypeSymlink || h.Linkname != "/etc/passwd" || h.Size != 0 {
		t.Errorf("out is %+v", h)
	}
}

func TestBottleignore(t *testing.T) {
	for _, c := range []struct {
		name    string
		ignore  string
		files   string // separated by blanks
		kept    string
		ignored int
	}{
		{"none", "", "a b/c", "a b/ b/c", 0},
		{"a directory counts once", "node_modules\n*.log\n", "a node_modules/x/1 node_modules/y x.log b/y.log", "a b/", 3},
		{"comments and blanks", "# all\n\nb  \n", "a b", "a", 1},
		{"anywhere", "*.log\n/top\n", "x.log a/y.log a/z top/b a/top", "a/ a/top a/z", 3},
		{"kept in a directory that is left out in parts", "vendor/*\n!vendor/ours\n", "vendor/ours/a vendor/theirs/b vendor/c", "vendor/ vendor/ours/ vendor/ours/a", 2},
		{"never kept in a directory that is left out", "vendor\n!vendor/ours\n", "vendor/ours/a b", "b", 1},
		{"only what is named", "/*\n!/src/\n", "a b/c src/d", "src/ src/d", 2},
		{"the last one decides", "!a\na\n", "a/b c", "c", 1},
		{"directories alone", "build/\n", "build/a src/build", "src/ src/build", 1},
		{"the repository stays, whatever its files are called", "*\n!/src/\nlogs\nHEAD\n", ".git/HEAD .git/logs/HEAD src/logs", ".git/ .git/HEAD .git/logs/ .git/logs/HEAD src/", 1},
		{"the repository where it is meant", ".git/\n", ".git/HEAD a", "a", 1},
		{".dockerignore is not read", "", ".dockerignore .git/HEAD", ".dockerignore .git/ .git/HEAD", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{}
			for _, f := range strings.Fields(c.files) {
				files[f] = "."
			}
			if files[dockerIgnore] != "" {
				files[dockerIgnore] = ".git\n*\n"
			}
			if c.ignore != "" {
				// It leaves itself out, so that the list below is of the rest alone.
				files[ignoreFile] = c.ignore + ignoreFile + "\n"
				c.ignored++
			}
			tree := mustScan(t, plant(t, files))
			if got := archive(t, tree); !slices.Equal(got.names, strings.Fields(c.kept)) || tree.Ignored != c.ignored || tree.Dockerignore != (files[dockerIgnore] != "") {
				t.Errorf("kept %q, left out %d, .dockerignore %v", got.names, tree.Ignored, tree.Dockerignore)
			}
			if strings.Contains(c.name, "meant") != (tree.LeftGit.Count == 1) {
				t.Errorf("of the repository it names %v", tree.LeftGit)
			}
		})
	}
}

func TestBrokenBottleignore(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"bytes":     func(path string) error { return os.WriteFile(path, []byte("a\n\xff*\n"), 0o644) },
		"zero":      func(path string) error { return os.WriteFile(path, []byte("a\x00b\n"), 0o644) },
		"nowhere":   func(path string) error { return os.Symlink("none", path) },
		"long line": func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("x"), 100<<10), 0o644) },
		"many":      func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("x\n"), 30_000), 0o644) },
		"large":     func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("abc\n"), 1<<19), 0o644) },
		"pipe":      func(path string) error { return syscall.Mkfifo(path, 0o644) },
		"directory": func(path string) error { return os.Mkdir(path, 0o755) },
		"outside":   func(path string) error { return os.Symlink("/etc/hostname", path) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := plant(t, map[string]string{"a": ""})
			if err := make(filepath.Join(dir, ignoreFile)); err != nil {
				t.Fatal(err)
			}
			_, err := Scan(t.Context(), dir, Options{})
			var refused *Refused
			if !errors.As(err, &refused) || !strings.Contains(refused.What, filepath.Join(dir, ignoreFile)+" can't be used") {
				t.Errorf("it says %v", err)
			}
		})
	}
}

func TestRefusedDirectories(t *testing.T) {
	home := plant(t, map[string]string{"project/a": "", "file": "", "link": "-> .", "sub/up": "-> ../project"})
	t.Setenv("HOME", home)
	for dir, want := range map[string]string{
		"/":                                "/ is the root of the whole file system: name the directory of a project with --cwd",
		"/..":                              "/ is the root of the whole file system: name the directory of a project with --cwd",
		home:                               home + " is your home directory, with everything that is in it: name the directory of a project with --cwd",
		filepath.Join(home, "link"):        home + " is your home directory, with everything that is in it: name the directory of a project with --cwd",
		filepath.Dir(home):                 filepath.Dir(home) + " holds your home directory " + home + ": name the directory of a project with --cwd",
		filepath.Join(home, "none"):        "there is no directory " + filepath.Join(home, "none") + ": name the directory of a project with --cwd",
		filepath.Join(home, "file"):        filepath.Join(home, "file") + " is not a directory: name the directory of a project with --cwd",
		filepath.Join(home, "file", "sub"): "",
	} {
		_, err := Scan(t.Context(), dir, Options{})
		var refused *Refused
		if !errors.As(err, &refused) || want != "" && err.Error() != want {
			t.Errorf("%s: it says %v", dir, err)
		}
	}
	if tree := mustScan(t, filepath.Join(home, "sub", "up")); tree.Dir != filepath.Join(home, "project") || tree.Files != 1 {
		t.Errorf("a link to a directory: %+v", tree)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Scan(ctx, filepath.Join(home, "project"), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended it says %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	files := map[string]string{"one": strings.Repeat("x", 3000), "left/": "", ignoreFile: "left\n"}
	for i, dir := range []string{"small", "some", "many", "most"} {
		for n := range (i + 1) * 3 {
			files[fmt.Sprintf("%s/%d", dir, n)] = strings.Repeat("y", 100*(4-i)*(4-i))
		}
	}
	dir := plant(t, files)
	_, err := scan(t.Context(), dir, Options{}, limits{entries: 20, bytes: 1 << 20, look: 1000})
	want := dir + ` has 36 files and directories to copy, and at most 20 are copied; the most is in "most" (13), "many" (10), "some" (7): ` +
		"list what the agent does not need in " + dir + "/.bottleignore, a pattern a line"
	if err == nil || err.Error() != want {
		t.Errorf("it says\n%v, not\n%s", err, want)
	}
	_, err = scan(t.Context(), dir, Options{}, limits{entries: 100, bytes: 10_000, look: 1000})
	want = dir + ` has 17.6 KiB to copy, and at most 9.8 KiB are copied; the most is in "some" (5.3 KiB), "small" (4.7 KiB), "many" (3.5 KiB): ` +
		"list what the agent does not need in " + dir + "/.bottleignore, a pattern a line"
	if err == nil || err.Error() != want {
		t.Errorf("it says\n%v, not\n%s", err, want)
	}
	// A directory that is left out after all does not count, also where it is the one too many.
	tree, err := scan(t.Context(), dir, Options{}, limits{entries: 36, bytes: 1 << 20, look: 1000})
	if err != nil || len(tree.entries) != 36 || tree.Ignored != 1 {
		t.Errorf("exactly as many as may be: %v, %+v", err, tree)
	}
	if _, err = scan(t.Context(), dir, Options{}, limits{entries: 5, bytes: 1 << 20, look: 10}); err == nil || !strings.Contains(err.Error(), "at most 5 are copied") {
		t.Errorf("with less looked at than there is it says %v", err)
	}
}

func TestSparseFiles(t *testing.T) {
	dir := plant(t, map[string]string{"a": "", "b": ""})
	for _, name := range []string{"a", "b"} {
		if err := os.Truncate(filepath.Join(dir, name), 1<<42); err != nil {
			t.Skip(err) // the file system has no such files
		}
	}
	if _, err := Scan(t.Context(), dir, Options{}); err == nil || !strings.Contains(err.Error(), `has 8 TiB to copy, and at most 20 GiB are copied; the most is in "a" (4 TiB), "b" (4 TiB)`) {
		t.Errorf("it says %v", err)
	}
}

// Files that can't be read are there for one who is not root only, so this test runs itself as somebody else.
func TestUnreadable(t *testing.T) {
	dir := os.Getenv("UNREADABLE")
	if dir == "" {
		top, err := os.MkdirTemp("/tmp", "unreadable-") // all of its parents can be entered by anybody
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(top)
		for _, err := range []error{
			os.Chmod(top, 0o755), os.WriteFile(filepath.Join(top, ignoreFile), []byte("secret\n"), 0o644),
			os.WriteFile(filepath.Join(top, "secret"), nil, 0o600), os.Mkdir(filepath.Join(top, "closed"), 0o700),
			os.Mkdir(filepath.Join(top, "open"), 0o755),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := range 6 {
			if err := os.WriteFile(filepath.Join(top, "open", fmt.Sprint(i)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if os.Getuid() != 0 {
			t.Skip("only root can run as somebody else")
		}
		self := filepath.Join(top, "self.test")
		program, err := os.ReadFile(os.Args[0])
		if err == nil {
			err = os.WriteFile(self, program, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestUnreadable$", "-test.v")
		cmd.Env, cmd.Dir = []string{"UNREADABLE=" + top, "HOME=/nowhere"}, "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestUnreadable") {
			t.Errorf("as another user: %v\n%s", err, out)
		}
		return
	}
	_, err := Scan(t.Context(), dir, Options{})
	in := func(name string) string { return fmt.Sprintf("%q", filepath.Join(dir, name)) }
	want := "these can't be read, so they can't be copied: " + strings.Join([]string{in("closed"), in("open/0"), in("open/1"), in("open/2"), in("open/3")}, ", ") +
		" and 2 more: make them readable, or list them in " + dir + "/.bottleignore"
	if err == nil || err.Error() != want {
		t.Errorf("it says\n%v, not\n%s", err, want)
	}
}

func TestWords(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1200: "-1,200", -100: "-100"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) is %q", n, got)
		}
	}
	for n, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 1023: "1023 bytes", 1024: "1 KiB", 1536: "1.5 KiB", 20 << 30: "20 GiB", 1 << 60: "1048576 TiB"} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) is %q", n, got)
		}
	}
}
