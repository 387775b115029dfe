// Package ci runs, from tests, the scripts of .ci that make what the tests need and the machine may not have: images and
// programs. It must not know what a script makes.
package ci

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Timeout bounds one script: the longest makes a Debian, downloads 170 MB and builds an image.
const Timeout = 15 * time.Minute

// ModuleRoot is the directory of the module that the test is of.
func ModuleRoot() (string, error) {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(mod))), nil
}

// Run runs a script and gives what it prints. The error holds what it said.
func Run(script string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(root, ".ci", script), args...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf(".ci/%s %s: %w\n%s", script, strings.Join(args, " "), err, said.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// NPM puts an npm of a version, and the Node for it, in front of PATH for the rest of the test, and gives npm's path.
// "" is the version that an agent's image has.
func NPM(t *testing.T, version string) string {
	t.Helper()
	var args []string
	if version != "" {
		args = append(args, version)
	}
	at, err := Run("npm", args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(at, "bin")+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return filepath.Join(at, "bin", "npm")
}
