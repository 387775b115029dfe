package scenario

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"bottle-tui/ui/scenario/ci"
)

// BuildBinary builds the module's program as it is shipped (static, -trimpath), once for each test process, and gives
// its path.
func BuildBinary(t testing.TB) string {
	t.Helper()
	return Build(t, ".")
}

var builds sync.Map // of what is built to func() (string, error)

// Build builds a package of this module, relative to the module's root, as BuildBinary does.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	return buildOnce(t, pkg, func() (string, error) {
		root, err := ci.ModuleRoot()
		if err != nil {
			return "", err
		}
		return build(root, pkg)
	})
}

func buildOnce(t testing.TB, what string, build func() (string, error)) string {
	t.Helper()
	once, _ := builds.LoadOrStore(what, sync.OnceValues(build))
	path, err := once.(func() (string, error))()
	if err != nil {
		t.Fatalf("build %s: %v", what, err)
	}
	return path
}

// build leaves the binary in a directory that is named by its content and shared by all test processes of
// this user, so that the disk holds one of each, and nobody replaces one that runs.
func build(root, pkg string) (string, error) {
	cache := filepath.Join(os.TempDir(), fmt.Sprintf("bottle-tui-scenario-%d", os.Getuid()))
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", err
	}
	prune(cache)
	work, err := os.MkdirTemp(cache, "build-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }()
	name := filepath.Base(pkg)
	if pkg == "." {
		name = "bottle-tui"
	}
	made := filepath.Join(work, name)
	cmd := exec.Command("go", "build", "-trimpath", "-o", made, "./"+pkg)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	sum, err := hash(made)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, sum)
	final := filepath.Join(dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	if _, err := os.Stat(final); err == nil {
		now := time.Now()
		return final, os.Chtimes(dir, now, now) // it is in use: see prune
	}
	return final, os.Rename(made, final)
}

func hash(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}

// prune removes what no test has built for a day.
func prune(cache string) {
	entries, _ := os.ReadDir(cache) // nothing to remove, then
	for _, e := range entries {
		if i, err := e.Info(); err == nil && time.Since(i.ModTime()) > 24*time.Hour {
			_ = os.RemoveAll(filepath.Join(cache, e.Name()))
		}
	}
}
