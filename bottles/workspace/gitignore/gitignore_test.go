package gitignore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// files are what patterns are tried on.
var files = []string{
	"a", "b", "foo", "foo.o", "bar/foo", "bar/foo.o", "bar/baz/foo", "foobar", "fooxbar", "bar/x/bar", "abc/foo/bar", "foo bar", "trail ", "trail  ",
	"#hash", "!bang", `back\slash`, "[a]", "-", "]", "^", "a-b", "A", "é", "*", "?", "dir/sub/deep/file", "dir/sub/file", "dir/file", "x/dir/file",
	"build/out.bin", "src/build/out.bin", "node_modules/p/i.js", "src/node_modules/p/i.js", "1", "z9", ":", "a\tb", "new\nline", "doc/a.txt", "doc/b/a.txt",
}

// written are patterns with a point; each is tried alone.
var written = []string{
	"foo", "/foo", "foo/", "bar/", "/bar/foo", "bar/foo", "*.o", "/*.o", "bar/*.o", "bar/**", "**/foo", "**/bar/foo", "foo**bar", "foo**/bar", "bar/**/foo", "**",
	"*", "/*", "/**", "*/", "**/", "/**/", "foo/**/bar", "dir/**/file", "dir/*/file", "dir/sub/*", "**/sub/**", "a**", "**o", "b*r/foo",
	`foo\ bar`, "foo bar", `trail\ `, `trail\  `, "trail ", `trail\ \ `, `\#hash`, "#hash", `\!bang`, "!bang", `back\\slash`, `back\slash`, `\[a\]`, "[[]a]", "[a]", "[]]", "[!a]", "[^a]",
	"[a-c]", "[a-]", "[-a]", "[]-a]", "[z-a]", "[[:digit:]]", "[[:alpha:]][[:digit:]]", "[[:nope:]]", "[[:]", "[[:digit:]", "[a", "a[", `a\`, `\a`, `\`, "/", "//", "!", "!/", "?", "??", "[^/]*", "bar[/]foo", "bar?foo", `\*`, `\?`, "é", "[é]",
	"*\nbar/", "*\n!foo", "bar\n!bar/foo", "bar/*\n!bar/foo", "*\n!*/\n!*.o", "build/\n!src/build/", "node_modules", "doc/*.txt", "doc/**/*.txt", "/doc/**/a.txt",
	"foo\r\nbar", "\ufefffoo", "foo\x00bar", "foo\t", " foo", "   ", "\n\n", "foo/ ", "***", "a***", "bar/***/foo", "bar/**foo", `bar/**\/foo`, "**foo", "[!-]", `[\]]`, `[\\]`, `[a\-c]`, "[--^]", "[[:upper:][:digit:]]", "new\nline", "*line",
}

// ours says as a walk would whether a path is ignored.
func ours(l *List, path string) bool {
	for i := 0; i <= len(path); i++ {
		if i == len(path) || path[i] == '/' {
			if l.Match(path[:i], i < len(path)) == Ignored {
				return true
			}
		}
	}
	return false
}

// Each set of patterns is the .gitignore of a directory of its own in one repository, which git is asked about at once.
func TestPatternsAreReadAsGitDoes(t *testing.T) {
	sets := append([]string{}, written...)
	r := rand.New(rand.NewPCG(7, 11))
	parts := []string{"*", "**", "/", "/", "foo", "bar", "a", "b", "?", "[a-f]", "[!a]", "o", ".", "dir", "sub", "file", "x", `\a`, "***", "[[:alpha:]]", "**/", "/**"}
	for range 120 {
		var lines []string
		for range 1 + r.IntN(3) {
			line := ""
			if r.IntN(4) == 0 {
				line = "!"
			}
			for range 1 + r.IntN(5) {
				line += parts[r.IntN(len(parts))]
			}
			lines = append(lines, line)
		}
		sets = append(sets, strings.Join(lines, "\n"))
	}
	dir := t.TempDir()
	git := func(stdin string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1"}
		out, err := cmd.Output()
		if err != nil && cmd.ProcessState.ExitCode() != 1 {
			t.Fatalf("git %v: %v", args, err)
		}
		return string(out)
	}
	git("", "init", "-q", ".")
	var asked strings.Builder
	for i, set := range sets {
		base := filepath.Join(dir, fmt.Sprint(i))
		if err := errors.Join(os.Mkdir(base, 0o755), os.WriteFile(filepath.Join(base, ".gitignore"), []byte(set), 0o644)); err != nil {
			t.Fatal(err)
		}
		for _, f := range files { // git takes a path that is not there for a file
			fmt.Fprintf(&asked, "%d/%s\x00", i, f)
		}
	}
	ignored := map[string]bool{}
	for _, path := range strings.Split(git(asked.String(), "check-ignore", "--no-index", "-z", "--stdin"), "\x00") {
		ignored[path] = true
	}
	if len(ignored) < len(sets) {
		t.Fatalf("git ignores only %d paths", len(ignored))
	}
	for i, set := range sets {
		l, err := Parse(fmt.Sprint(i), []byte(set))
		if err != nil {
			t.Fatalf("%q: %v", set, err)
		}
		for _, f := range files {
			path := fmt.Sprintf("%d/%s", i, f)
			if got := ours(l, path); got != ignored[path] {
				t.Errorf("with %q, %q: ignored %v, with git %v", set, f, got, ignored[path])
			}
		}
	}
}

// Patterns of somebody hostile neither take long nor are taken without bound.
func TestHostilePatterns(t *testing.T) {
	deep := strings.Repeat("a/", 2000) + "a"
	l, err := Parse("", []byte(strings.Repeat("a*", 1000)+"b\n"+strings.Repeat("**/a/", 800)+"b\n"+strings.Repeat("[", 4000)))
	if err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	if l.Match(deep, false) != NoMatch || l.Match(strings.Repeat("a", 4000), false) != NoMatch {
		t.Error("it matches")
	}
	if took := time.Since(since); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if _, err := Parse("", bytes.Repeat([]byte("x\n"), MaxPatterns+1)); err == nil {
		t.Error("any number of patterns is taken")
	}
	if _, err := Parse("", bytes.Repeat([]byte("x"), maxPattern+1)); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("of a long pattern it says %v", err)
	}
}

func TestTheBaseOfPatterns(t *testing.T) {
	l, err := Parse("sub/dir", []byte("/top\nname\n"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]Result{
		"sub/dir/top": Ignored, "sub/dir/x/top": NoMatch, "sub/dir/x/name": Ignored, "name": NoMatch, "sub/dir": NoMatch, "sub/dirname": NoMatch, "top": NoMatch,
	} {
		if got := l.Match(path, false); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}
