package gitgate

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// repository is one without files, in which objects are written as they are.
type repository struct {
	t   *testing.T
	dir string
}

func (r repository) git(in []byte, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Stdin = r.dir, bytes.NewReader(in)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C"}
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

func (r repository) object(kind string, content []byte) oid {
	r.t.Helper()
	name, err := r.git(content, "hash-object", "-t", kind, "-w", "--literally", "--stdin")
	id, ok := parseOid(name)
	if err != nil || !ok {
		r.t.Fatalf("write a %s: %q, %v", kind, name, err)
	}
	return id
}

func newRepository(t *testing.T) repository {
	t.Helper()
	r := repository{t, t.TempDir()}
	if _, err := r.git(nil, "init", "-q", "-b", "main", "."); err != nil {
		t.Fatal(err)
	}
	return r
}

// What git does not take for a parent or a directory of a commit is none here, either, and is text that is looked at;
// what can't be told from one is refused.
func TestCommitsAreReadAsGitReadsThem(t *testing.T) {
	r := newRepository(t)
	tree := r.object("tree", nil)
	other := r.object("tree", fmt.Appendf(nil, "100644 a\x00%s", string(make([]byte, 20))))
	const by = "author A <a@example.com> 1700000000 +0000\ncommitter A <a@example.com> 1700000000 +0000\n"
	root := r.object("commit", fmt.Appendf(nil, "tree %s\n%s\nroot\n", tree, by))
	second := r.object("commit", fmt.Appendf(nil, "tree %s\nparent %s\n%s\nsecond\n", tree, root, by))
	for name, c := range map[string]struct {
		content string
		text    []string // what of it is looked at
		bad     bool
	}{
		"an ordinary one":              {content: fmt.Sprintf("tree %s\nparent %s\n%s\nm\n", tree, second, by), text: []string{"m\n", "author A"}},
		"a merge":                      {content: fmt.Sprintf("tree %s\nparent %s\nparent %s\n%s\nm\n", tree, second, root, by)},
		"a parent behind the author":   {content: fmt.Sprintf("tree %s\nparent %s\n%sparent %s\n\nm\n", tree, root, by, second), text: []string{"parent " + second.String()}},
		"a parent behind another line": {content: fmt.Sprintf("tree %s\nx y\nparent %s\n%s\nm\n", tree, second, by), text: []string{"x y\nparent"}},
		"a second directory":           {content: fmt.Sprintf("tree %s\n%stree %s\n\nm\n", other, by, tree), text: []string{"tree " + tree.String()}},
		"one right behind the first":   {content: fmt.Sprintf("tree %s\ntree %s\nparent %s\n%s\nm\n", other, tree, root, by), text: []string{"tree " + tree.String()}},
		"a parent in the message":      {content: fmt.Sprintf("tree %s\n\nparent %s\n", tree, root), text: []string{"parent " + root.String()}},
		"no header but these":          {content: fmt.Sprintf("tree %s\nparent %s\n\nm\n\nn\n", tree, root), text: []string{"m\n\nn\n"}},
		"no message":                   {content: fmt.Sprintf("tree %s\nparent %s\n%s", tree, root, by), text: []string{"committer A"}},
		"capital letters":              {content: fmt.Sprintf("tree %s\nparent %s\n%s\nm\n", tree, strings.ToUpper(root.String()), by)},
		"a parent before":              {content: fmt.Sprintf("parent %s\ntree %s\n%s\nm\n", root, tree, by), bad: true},
		"an author before":             {content: fmt.Sprintf("%stree %s\n\nm\n", by, tree), bad: true},
		"a parent that is too short":   {content: fmt.Sprintf("tree %s\nparent %.39s\n%s\nm\n", tree, root, by), bad: true},
		"a parent that is too long":    {content: fmt.Sprintf("tree %s\nparent %s \n%s\nm\n", tree, root, by), bad: true},
		"no directory":                 {content: by + "\nm\n", bad: true},
		"nothing":                      {content: "tree ", bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			id := r.object("commit", []byte(c.content))
			got, text, err := parseCommit(id, []byte(c.content))
			parents, err2 := r.git(nil, "rev-list", "--parents", "-1", id.String())
			var no *refusal
			if c.bad {
				if !errors.As(err, &no) {
					t.Errorf("it was read: %+v, %v", got, err)
				}
				if err2 == nil {
					t.Errorf("git reads it: %s", parents)
				}
				return
			}
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			of, err := r.git(nil, "show", "-s", "--format=%T", id.String())
			if err != nil || of != got.tree.String() {
				t.Errorf("its directory is %s, and %s for git (%v)", got.tree, of, err)
			}
			names := []string{id.String()}
			for _, p := range got.parents {
				names = append(names, p.String())
			}
			if all := strings.Join(names, " "); all != parents {
				t.Errorf("it and its parents are %s, and for git %s", all, parents)
			}
			for _, want := range c.text {
				if !strings.Contains(string(text), want) {
					t.Errorf("%q is not looked at, only %q", want, text)
				}
			}
		})
	}
}

// Whatever the mode of an entry, it is what git takes it for.
func TestModesAreReadAsGitReadsThem(t *testing.T) {
	r := newRepository(t)
	file := r.object("blob", []byte("x\n"))
	for _, mode := range []string{
		"100644", "100755", "100664", "100600", "100711", "100111", "100000", "100100", "107777", "40000", "040000", "40755", "0040755",
		"120000", "120777", "160000", "160755", "0", "644", "20000", "060000", "140000", "170000", "1040000", "1100755",
	} {
		raw := fmt.Appendf(nil, "%s name\x00%s", mode, file[:])
		out, err := r.git(nil, "ls-tree", r.object("tree", raw).String())
		if err != nil {
			t.Fatalf("%s: git can't read it: %v", mode, err)
		}
		if err := eachEntry(raw, func(got string, name []byte, id oid) {
			if want, _, _ := strings.Cut(out, " "); strings.TrimPrefix(want, "0") != got || string(name) != "name" || id != file {
				t.Errorf("%s is %s, and for git %s", mode, got, out)
			}
		}); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
	for _, mode := range []string{"", "10064x", "-40000", "+40000", "0x4000"} {
		if err := eachEntry(fmt.Appendf(nil, "%s name\x00%s", mode, file[:]), func(string, []byte, oid) {}); err == nil {
			t.Errorf("%q was read", mode)
		}
	}
}

// What git fsck calls an error of a directory's names is refused; what git mktree makes is not.
func TestDirectoriesOfAPush(t *testing.T) {
	r := newRepository(t)
	file := r.object("blob", []byte("x\n"))
	tree := func(entries ...string) []byte {
		var raw []byte
		for _, e := range entries {
			if !strings.Contains(e, " ") {
				e = "100644 " + e
			}
			raw = append(append(append(raw, e...), 0), file[:]...)
		}
		return raw
	}
	for name, c := range map[string]struct {
		raw []byte
		bad string
	}{
		"empty":                              {raw: nil},
		"files and directories in order":     {raw: tree("a", "a-", "a.b", "40000 a0", "40000 b", "b0", "160000 sub")},
		"a name that begins as a directory":  {raw: tree("a-b", "40000 a", "a0")},
		"odd modes of old":                   {raw: tree("100664 a", "040000 b", "100600 c", "40755 d")},
		"only like .git":                     {raw: tree(".gitignore", "git")},
		"a file twice":                       {raw: tree("a", "a"), bad: `"a" twice`},
		"a directory twice":                  {raw: tree("40000 a", "40000 a"), bad: `"a" twice`},
		"a file, then a directory":           {raw: tree("a", "40000 a"), bad: `"a" twice`},
		"a file, others, then a directory":   {raw: tree("a", "a-", "a-b", "a.c", "40000 a"), bad: `"a" twice`},
		"others of the same beginning first": {raw: tree("a", "a+", "40000 a+", "40000 a"), bad: `"a+" twice`},
		"a directory, then a file":           {raw: tree("40000 a", "a"), bad: `"a" twice`},
		"another order":                      {raw: tree("b", "a"), bad: "not in git's order"},
		"a directory in a file's place":      {raw: tree("40000 a", "a.b"), bad: "not in git's order"},
		"no name":                            {raw: tree("100644 "), bad: `the name ""`},
		"here":                               {raw: tree("40000 ."), bad: `the name "."`},
		"above":                              {raw: tree("40000 .."), bad: `the name ".."`},
		"git's own":                          {raw: tree("40000 .GiT"), bad: `the name ".GiT"`},
		"a path":                             {raw: tree("a/b"), bad: `the name "a/b"`},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkTree(oid{1}, c.raw)
			if c.bad == "" {
				if err != nil {
					t.Error(err)
				}
				if _, err := r.git(c.raw, "hash-object", "-t", "tree", "--stdin"); err != nil && !strings.Contains(name, "odd modes") {
					t.Error("git finds something: ", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.bad) {
				t.Errorf("it says %v, not %s", err, c.bad)
			}
		})
	}
}
