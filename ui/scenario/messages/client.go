package messages

import (
	"sync"
	"testing"

	"bottle-tui/ui/scenario/ci"
)

var clientImage = sync.OnceValues(func() (string, error) { return ci.Run("claude-base") })

// ClaudeCode is the reference of an image with real Claude Code, the client of the API that matters here. It is made
// by .ci/claude-base where the engine has none; that takes most of a minute.
func ClaudeCode(t testing.TB) string {
	t.Helper()
	ref, err := clientImage()
	if err != nil {
		t.Fatalf("make the image with Claude Code: %v", err)
	}
	return ref
}
