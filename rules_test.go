package main_test

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The repository's own rules. Each says why it is there, in what it reports.

const module = "bottle-tui"

// goFile is one Go file of the repository.
type goFile struct {
	path    string // relative to the root
	pkg     string // folder, "." for the root
	test    bool
	ast     *ast.File
	imports []string
	fset    *token.FileSet
}

func goFiles(t *testing.T) (files []goFile) {
	t.Helper()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(p, ".go"):
			return nil
		}
		f := goFile{path: filepath.ToSlash(p), pkg: path.Dir(filepath.ToSlash(p)), test: strings.HasSuffix(p, "_test.go"), fset: token.NewFileSet()}
		f.ast, err = parser.ParseFile(f.fset, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, spec := range f.ast.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: import %s: %w", p, spec.Path.Value, err)
			}
			f.imports = append(f.imports, name)
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("only %d Go files found: the rules look in the wrong place", len(files))
	}
	return files
}

func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	said := map[string][]string{}
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		if _, ok := said[f.pkg]; !ok {
			said[f.pkg] = nil
		}
		if f.ast.Doc != nil && strings.TrimSpace(f.ast.Doc.Text()) != "" {
			said[f.pkg] = append(said[f.pkg], f.path)
			start := "Package " + f.ast.Name.Name + " "
			if f.ast.Name.Name == "main" {
				start = "Command "
			}
			if text := f.ast.Doc.Text(); !strings.HasPrefix(text, start) || len(strings.Fields(text)) < 8 {
				t.Errorf("%s: the package comment should begin with %q and say what the package is for and what it must not do", f.path, start)
			}
		}
	}
	for pkg, files := range said {
		if len(files) != 1 {
			t.Errorf("package %s has %d package comments %v; a reader looks for exactly one", pkg, len(files), files)
		}
	}
}

// layers, from the top: a package may import those of its own layer and of the ones below.
var layers = []struct{ folder, what string }{
	{"ui", "the screen and the commands"},
	{"bottles", "the lifecycle"},
	{"sidecars", "what runs in the sidecars' containers"},
	{"queue", "requests and answers as files"},
	{"state", "the state directory"},
}

func layer(pkg string) int {
	return slices.IndexFunc(layers, func(l struct{ folder, what string }) bool {
		return pkg == l.folder || strings.HasPrefix(pkg, l.folder+"/")
	})
}

func within(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

func TestImportsGoDown(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, name := range f.imports {
			own, isOwn := strings.CutPrefix(name, module+"/")
			if !isOwn {
				outside(t, f, name)
				continue
			}
			if f.test {
				continue // a test may look at its package from above
			}
			from, to := layer(f.pkg), layer(own)
			switch {
			case own == "themes" || strings.HasPrefix(own, "themes/"):
				if !within(f.pkg, "ui") && !within(f.pkg, "themes") {
					t.Errorf("%s imports %s: colours belong to the screen alone; the rest gives words and data", f.path, own)
				}
			case within(f.pkg, "themes"):
				t.Errorf("%s imports %s: a theme is data and needs nothing of the program", f.path, own)
			case f.pkg == ".":
			case from < 0 || to < 0:
				t.Errorf("%s imports %s: not both are in a room of the design (ui, bottles, sidecars, queue, state, themes)", f.path, own)
			case to < from:
				t.Errorf("%s imports %s: imports go down, main → ui → bottles → sidecars → queue → state, so that %s works without %s",
					f.path, own, layers[from].what, layers[to].what)
			}
		}
	}
}

// outside holds the rules about modules that are not ours.
func outside(t *testing.T, f goFile, name string) {
	t.Helper()
	switch {
	case name == "reflect" && within(f.pkg, "ui/terminal") && !f.test:
		t.Errorf("%s imports %s: a terminal's cells are its own, and no library's private fields", f.path, name)
	case strings.HasPrefix(name, "charm.land/lipgloss/v2/compat"):
		t.Errorf("%s imports %s: it queries the terminal when it is imported", f.path, name)
	case within(name, "github.com/docker/docker") && !within(f.pkg, "bottles/docker") && !f.test:
		t.Errorf("%s imports %s: only bottles/docker speaks to the engine; all others use bottles.Engine, which a test can replace", f.path, name)
	case (strings.HasPrefix(name, "charm.land/") || strings.HasPrefix(name, "github.com/charmbracelet/")) &&
		!within(f.pkg, "ui") && !within(f.pkg, "themes") && !f.test:
		t.Errorf("%s imports %s: the terminal is the screen's; below it there are words and data", f.path, name)
	}
}

// What another module keeps to itself changes with any of its versions.
func TestNothingReachesIntoPrivateFields(t *testing.T) {
	for _, f := range goFiles(t) {
		if slices.Contains(f.imports, "unsafe") {
			t.Errorf("%s imports unsafe", f.path)
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && (s.Sel.Name == "UnsafePointer" || s.Sel.Name == "UnsafeAddr") {
				t.Errorf("%s: %s goes around the types", f.fset.Position(s.Pos()), s.Sel.Name)
			}
			return true
		})
	}
}

func TestFilesFitOneSubject(t *testing.T) {
	for _, f := range goFiles(t) {
		most := 500
		if f.test {
			most = 700
		}
		if generated(f) {
			continue
		}
		if lines := f.fset.File(f.ast.Pos()).LineCount(); lines > most {
			t.Errorf("%s has %d lines: over %d is a sign of two subjects", f.path, lines, most)
		}
	}
}

func generated(f goFile) bool { return ast.IsGenerated(f.ast) }

var unfinished = regexp.MustCompile(`\b(` + "TO" + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)

func TestNothingIsLeftForLater(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, group := range f.ast.Comments {
			for _, c := range group.List {
				if m := unfinished.FindString(c.Text); m != "" {
					t.Errorf("%s: %s: what is left to do belongs into an issue, where it is found", f.fset.Position(c.Pos()), m)
				}
			}
		}
	}
}

func TestNoFolderWithoutSubject(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, part := range strings.Split(f.pkg, "/") {
			if slices.Contains([]string{"util", "utils", "common", "helpers", "misc"}, part) {
				t.Errorf("%s: a folder called %s says nothing about what is in it", f.path, part)
			}
		}
	}
	found, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	rooms := []string{"ui", "bottles", "sidecars", "queue", "state", "themes", "docs", "bin"}
	for _, d := range found {
		if d.IsDir() && !strings.HasPrefix(d.Name(), ".") && !slices.Contains(rooms, d.Name()) {
			t.Errorf("the folder %s is none of the design's rooms %v", d.Name(), rooms)
		}
	}
}

func TestFrontDoorIsShort(t *testing.T) {
	file, err := os.Open("main.go")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := 0
	for s := bufio.NewScanner(file); s.Scan(); {
		lines++
	}
	if lines >= 100 {
		t.Errorf("main.go has %d lines: it parses, wires and hands over, in under 100", lines)
	}
}
