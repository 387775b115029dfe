package queue

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bottle-tui/state"
)

// Watcher tells of changes in the queue directories under one root: of each box that is there, or comes, or changes, or
// goes. While a change waits to be received, more of the same box add none.
type Watcher = state.Watcher

// Event says: look at this bottle's box again. With Overflow it says so of all boxes, and Identity is "".
type Event = state.Change

// Watch watches queueRoot, the directory of all queue directories, until ctx ends or Close is called.
// When it returns, whatever happens from then on will be told; what is there already is told first.
func Watch(ctx context.Context, queueRoot string) (*Watcher, error) {
	root, err := filepath.Abs(queueRoot)
	if err == nil {
		_, err = os.ReadDir(root)
	}
	if err != nil {
		return nil, fmt.Errorf("watching the queue %s: %w", queueRoot, err)
	}
	return state.Watch(ctx, root, state.Watching{Every: 2 * time.Second, Alone: 250 * time.Millisecond, Matters: ours}), nil
}

// ours says whether a file's name is that of a request or an answer.
func ours(name string) bool {
	return strings.HasSuffix(name, requestSuffix) || strings.HasSuffix(name, answerSuffix)
}
