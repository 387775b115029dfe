package manifest_test

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"bottle-tui/bottles/manifest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write makes files below a directory; a name that ends in a slash is a directory.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func load(t testing.TB, home, project string) *manifest.Manifest {
	t.Helper()
	m, err := manifest.Load(home, project)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
