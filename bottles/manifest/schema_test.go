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

// TestExamples: each passes the schema and is read.
func TestExamples(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	paths, err := filepath.Glob(filepath.Join(docs, "examples", "*.json"))
	if err != nil || len(paths) < 9 {
		t.Fatalf("%d examples, %v", len(paths), err)
	}
	s := validator(t)
	reference := string(read(t, filepath.Join(docs, "manifest.md")))
	for _, path := range paths {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			text := read(t, path)
			if err := validate(s, text); err != nil {
				t.Error(err)
			}
			if !strings.Contains(reference, "examples/"+name) {
				t.Errorf("docs/manifest.md does not name %s", name)
			}
			if name != "project.json" {
				if m := load(t, path, ""); len(m.Agents) == 0 {
					t.Error("it has no agent")
				}
				return
			}
			project := t.TempDir()
			write(t, project, map[string]string{manifest.Name: string(text)})
			if m := load(t, filepath.Join(docs, "examples", "api-key.json"), project); len(m.Agents) != 3 {
				t.Errorf("agents: %+v", m.Agents)
			}
		})
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
