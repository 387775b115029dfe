package docker

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An engine that does not finish the end of a container is given up, with what may hold it up.
func TestAnEngineThatDoesNotFinishIsGivenUp(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "engine.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	engine := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", minAPI)
		if strings.HasSuffix(r.URL.Path, "/_ping") {
			return
		}
		select {
		case <-over:
		case <-r.Context().Done():
		}
	})}
	go func() { _ = engine.Serve(l) }()
	t.Cleanup(func() { close(over); _ = engine.Close() })
	t.Setenv("DOCKER_HOST", "unix://"+socket)
	e, err := Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	e.patience = 100 * time.Millisecond
	for what, call := range map[string]func(context.Context) error{
		"stop":    func(ctx context.Context) error { return e.StopContainer(ctx, "x", 0) },
		"remove":  func(ctx context.Context) error { return e.RemoveContainer(ctx, "x") },
		"look at": func(ctx context.Context) error { _, err := e.Container(ctx, "x"); return err },
	} {
		if err := call(t.Context()); err == nil || !strings.HasPrefix(err.Error(), what+" container x: ") || !strings.Contains(err.Error(), "one that is stopped") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
