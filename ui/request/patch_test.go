package request

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aymanbagabas/go-udiff"
)

// told is what was read of a diff, a line for each of its lines.
func told(all []*patch) string {
	var b strings.Builder
	oddly := func(odd []string) {
		for _, line := range odd {
			fmt.Fprintf(&b, "? %q\n", line)
		}
	}
	for _, p := range all {
		fmt.Fprintf(&b, "%s → %s\n", p.from, p.to)
		oddly(p.odd)
		for _, h := range p.hunks {
			fmt.Fprintf(&b, "@ %d %d\n", h.from, h.to)
			for _, l := range h.lines {
				fmt.Fprintf(&b, "%s%q\n", map[udiff.OpKind]string{udiff.Delete: "-", udiff.Insert: "+", udiff.Equal: "="}[l.Kind], l.Content)
			}
			oddly(h.odd)
		}
	}
	return b.String()
}

// A file may hold lines that look like the head of another file's diff: they stay its lines.
func TestPatchesAreReadByTheirNumbers(t *testing.T) {
	one := udiff.Unified("a/x", "b/x", "keep\n-- a/y\nend\n", "keep\n++ b/y\n@@ -1 +1 @@\nend\n")
	for _, c := range []struct{ name, in, want string }{
		{"none", "", ""},
		{"a head in a file", one, "a/x → b/x\n@ 1 1\n=\"keep\\n\"\n-\"-- a/y\\n\"\n+\"++ b/y\\n\"\n+\"@@ -1 +1 @@\\n\"\n=\"end\\n\"\n"},
		{"two files", udiff.Unified("/dev/null", "b/n", "", "new") + udiff.Unified("a/o", "/dev/null", "old\n", ""),
			"/dev/null → b/n\n@ 0 1\n+\"new\"\na/o → /dev/null\n@ 1 0\n-\"old\\n\"\n"},
		{"cut off in a hunk, and another file behind it", "--- a/x\n+++ b/x\n@@ -1,9 +1,9 @@\n a\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-c\n+d\n",
			"a/x → b/x\n@ 1 1\n=\"a\\n\"\na/y → b/y\n@ 1 1\n-\"c\\n\"\n+\"d\\n\"\n"},
		{"cut off after a head", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n--- a/y\n+++ b/y\n", "a/x → b/x\n@ 1 1\n-\"a\\n\"\n+\"b\\n\"\na/y → b/y\n"},
		{"more lines than there should be", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n-b\n+c\n+d\n", "a/x → b/x\n@ 1 1\n-\"a\\n\"\n+\"c\\n\"\n? \"-b\"\n? \"+d\"\n"},
		{"no diff", "what\n@@ -1 +1 @@\n\n", " → \n? \"what\"\n? \"@@ -1 +1 @@\"\n? \"\"\n"},
	} {
		if got := told(patches(c.in)); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// Whatever the text, no line of it is lost.
func FuzzPatches(f *testing.F) {
	f.Add("--- a/x\n+++ b/x\n@@ -1,2 +1 @@\n a\n-b\n\\ No newline at end of file\n")
	f.Add("--- a\n+++ b\n--- a\n+++ b\n@@ -0,0 +1 @@\n")
	f.Fuzz(func(t *testing.T, text string) {
		got := 0
		for _, p := range patches(text) {
			if p.to != "" {
				got += 2
			}
			got += len(p.odd) + len(p.hunks)
			for _, h := range p.hunks {
				got += len(h.lines) + len(h.odd)
				for _, l := range h.lines {
					if !strings.HasSuffix(l.Content, "\n") {
						got++
					}
				}
			}
		}
		want := 0
		if text != "" {
			want = 1 + strings.Count(strings.TrimSuffix(text, "\n"), "\n")
		}
		if got != want {
			t.Errorf("%d lines of %d in %q", got, want, text)
		}
	})
}
