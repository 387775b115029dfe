package cli

import (
	"context"
	"errors"
	"testing"

	"bottle-tui/bottles"
)

// A start fails with an agent that does not stay up, once its end was seen to.
func TestAnAgentThatDoesNotStayUp(t *testing.T) {
	told := func(status bottles.Status, reason string) bottles.Update {
		return bottles.Update{Snapshot: &bottles.Snapshot{Bottles: []bottles.Bottle{{Identity: "coder-k3x9q", Status: status, EndReason: reason}}}}
	}
	updates, failed := make(chan bottles.Update), errors.New("exit code 2")
	ended := make(chan error, 1)
	go func() {
		ended <- staysUp(t.Context(), updates, "coder-k3x9q", func() error { return failed })
	}()
	for _, u := range []bottles.Update{told(bottles.Live, "of the time before"), told(bottles.Stopping, ""), told(bottles.Failed, "")} {
		select {
		case updates <- u:
		case err := <-ended:
			t.Fatalf("it did not wait for %+v: %v", u.Snapshot.Bottles, err)
		}
	}
	updates <- told(bottles.Failed, "ended by itself, exit code 2")
	if err := <-ended; !errors.Is(err, failed) {
		t.Errorf("it ends with %v", err)
	}
	if err := staysUp(t.Context(), updates, "coder-k3x9q", func() error { return nil }); err != nil {
		t.Errorf("of one that stays up it says %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := staysUp(ctx, updates, "coder-k3x9q", func() error { cancel(); return nil }); err != nil {
		t.Errorf("given up, it says %v", err)
	}
	close(updates)
	if err := staysUp(t.Context(), updates, "coder-k3x9q", func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("without a supervisor it says %v", err)
	}
}
