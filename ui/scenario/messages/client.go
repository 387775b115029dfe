package messages

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// clientTimeout is for making the image from nothing: a Debian, a download of 170 MB, a build.
const clientTimeout = 15 * time.Minute

var clientImage = sync.OnceValues(func() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), ".ci", "claude-base"))
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return said.String(), err
	}
	return strings.TrimSpace(string(out)), nil
})

// ClaudeCode is the reference of an image with real Claude Code, the client of the API that matters here. It is made
// by .ci/claude-base where the engine has none; that takes most of a minute.
func ClaudeCode(t testing.TB) string {
	t.Helper()
	ref, err := clientImage()
	if err != nil {
		t.Fatalf("make the image with Claude Code: %v\n%s", err, ref)
	}
	return ref
}
