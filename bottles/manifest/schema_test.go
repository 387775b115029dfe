package manifest_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/tailscale/hujson"

	"bottle-tui/bottles/manifest"
	"bottle-tui/state"
)

var update = flag.Bool("update", false, "write docs/manifest.schema.json and the table in docs/manifest.md")

const docs = "../../docs"

func read(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// held compares a file with what it should be, or writes it.
func held(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if string(read(t, path)) != want {
		t.Errorf("%s is stale: go test ./bottles/manifest -update", path)
	}
}

func TestSchemaIsCheckedIn(t *testing.T) {
	want, err := manifest.Schema()
	if err != nil {
		t.Fatal(err)
	}
	held(t, filepath.Join(docs, "manifest.schema.json"), string(want))
}

// TestTableOfKeys holds the table in the reference, between its two marks.
func TestTableOfKeys(t *testing.T) {
	const begin, end = "<!-- keys: written by go test ./bottles/manifest -update -->\n", "<!-- end of keys -->\n"
	path := filepath.Join(docs, "manifest.md")
	text := string(read(t, path))
	before, rest, ok := strings.Cut(text, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has not the marks %q and %q", path, begin, end)
	}
	var table strings.Builder
	table.WriteString("| Key | Value | What it is for |\n| --- | --- | --- |\n")
	for _, row := range manifest.Keys() {
		table.WriteString("| `" + row[0] + "` | " + strings.ReplaceAll(row[1], `"`, "`") + " | " + row[2] + " |\n")
	}
	held(t, path, before+begin+table.String()+end+after)
}

// validator is the checked-in schema, made ready.
func validator(t testing.TB) *jsonschema.Resolved {
	t.Helper()
	var s jsonschema.Schema
	if err := json.Unmarshal(read(t, filepath.Join(docs, "manifest.schema.json")), &s); err != nil {
		t.Fatal(err)
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return resolved
}

func validate(s *jsonschema.Resolved, text []byte) error {
	standard, err := hujson.Standardize([]byte(string(text) + "\n"))
	if err != nil {
		return err
	}
	var v any
	if err := json.Unmarshal(standard, &v); err != nil {
		return err
	}
	return s.Validate(v)
}

// exampleFiles are what the examples name beside themselves.
var exampleFiles = map[string]string{
	"company-ca.pem": "PEM", "agents/rust.Dockerfile": "FROM scratch\n", "skills/review/SKILL.md": "x", "project/.claude/skills/api-tests/SKILL.md": "x",
}

// examples copies the examples to where the files are that they name, the one of a project to a directory of its own,
// and gives their names and the directory.
func examples(t *testing.T) (names []string, dir string) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	paths, err := filepath.Glob(filepath.Join(docs, "examples", "*.json"))
	if err != nil || len(paths) < 12 {
		t.Fatalf("%d examples, %v", len(paths), err)
	}
	dir = t.TempDir()
	write(t, dir, exampleFiles)
	for _, path := range paths {
		name := filepath.Base(path)
		names = append(names, name)
		write(t, dir, map[string]string{name: string(read(t, path))})
	}
	write(t, dir, map[string]string{"project/" + manifest.Name: string(read(t, filepath.Join(dir, "project.json")))})
	return names, dir
}

// TestExamples: each passes the schema, is read, and its agents can be launched, by somebody who has the files that it
// names and nothing in the home directory.
func TestExamples(t *testing.T) {
	names, dir := examples(t)
	s := validator(t)
	reference := string(read(t, filepath.Join(docs, "manifest.md")))
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			if err := validate(s, read(t, filepath.Join(dir, name))); err != nil {
				t.Error(err)
			}
			if !strings.Contains(reference, "examples/"+name) {
				t.Errorf("docs/manifest.md does not name %s", name)
			}
			home, project, agents := filepath.Join(dir, name), "", 1
			if name == "project.json" {
				home, project, agents = filepath.Join(dir, "api-key.json"), filepath.Join(dir, "project"), 3
			}
			c := manifest.NewCatalog(home, project)
			if got := c.Agents(); len(got) < agents || c.Problems() != nil {
				t.Errorf("agents %v, %v", got, c.Problems())
			}
			for _, agent := range c.Agents() {
				if _, err := c.Profile(state.Metadata{AgentName: agent}); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestExamplesShowEveryKey of the format.
func TestExamplesShowEveryKey(t *testing.T) {
	names, dir := examples(t)
	shown := map[string]bool{}
	var look func(v any, path string)
	look = func(v any, path string) {
		shown[path] = true
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				look(e, path+"[]")
			}
		case map[string]any:
			for name, e := range v {
				if path == "bottles" || path == "agents" {
					name = "NAME"
				}
				look(e, strings.TrimPrefix(path+"."+name, "."))
			}
		}
	}
	for _, name := range names {
		standard, err := hujson.Standardize(read(t, filepath.Join(dir, name)))
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(standard, &v); err != nil {
			t.Fatal(err)
		}
		look(v, "")
	}
	for _, row := range manifest.Keys() {
		if !shown[row[0]] {
			t.Errorf("no example has %s", row[0])
		}
	}
}

// TestSchemaRefuses what an editor should mark.
func TestSchemaRefuses(t *testing.T) {
	s := validator(t)
	accepted, refused := 0, 0
	for _, b := range broken {
		var v any
		if json.Unmarshal([]byte(b.text), &v) != nil {
			continue
		}
		if s.Validate(v) == nil {
			accepted++ // it takes more than a schema to see these
		} else {
			refused++
		}
	}
	if refused < 60 {
		t.Errorf("the schema refuses %d broken manifests and lets %d pass", refused, accepted)
	}
	if err := validate(s, []byte(homeText)); err != nil {
		t.Errorf("the schema refuses a manifest that is read: %v", err)
	}
}
