package queue_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle-tui/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const identity = "coder-k3x9q"

// newBox makes a box of its own queue root.
func newBox(t testing.TB) *queue.Box {
	t.Helper()
	b := queue.Open(filepath.Join(t.TempDir(), identity))
	if err := b.Make(0); err != nil {
		t.Fatal(err)
	}
	return b
}

func request(id string) queue.Request {
	return queue.Request{
		ID: id, Tool: queue.ToolCapability, Identity: identity, Justification: "ripgrep for the test suite",
		Proposed: "FROM debian\nRUN apt-get install -y ripgrep\n", CurrentHash: queue.Hash([]byte("FROM debian\n")),
		ArrivedAt: time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC), ToolUseID: "toolu_01",
	}
}

func answer(id string) queue.Answer {
	return queue.Answer{
		Request: id, Decision: queue.Denied, Note: "use grep", DecidedAt: time.Date(2026, 11, 1, 10, 1, 0, 0, time.UTC),
		ShownHash: queue.Hash([]byte("shown")),
	}
}

func put(t testing.TB, b *queue.Box, id string) {
	t.Helper()
	if err := b.Put(request(id)); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// within fails the test when the condition does not come true in time.
func within(t testing.TB, what string, limit time.Duration, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("%s: not within %v", what, limit)
	}
}
