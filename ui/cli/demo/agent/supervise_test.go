package agent_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bottle-tui/queue"
	"bottle-tui/sidecars"
	"bottle-tui/sidecars/supervise"
)

// operator answers what the agent asks through the real sidecar.
type operator struct {
	t    *testing.T
	box  *queue.Box
	seen map[string]bool
}

// realSupervise puts the real sidecar in the stub's place.
func (b *bottle) realSupervise() *operator {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	dir := b.t.TempDir()
	o := &operator{t: b.t, box: queue.Open(filepath.Join(dir, "demo-abcde")), seen: map[string]bool{}}
	if err := o.box.Make(0); err != nil {
		b.t.Fatal(err)
	}
	config, err := supervise.Config{Identity: "demo-abcde", Queue: o.box.Dir(), Dockerfile: inForce, Allowlist: rulesInForce}.Encode()
	if err != nil {
		b.t.Fatal(err)
	}
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- supervise.Serve(ctx, supervise.Options{ConfigFile: file, Listen: address, Voice: sidecars.NewVoice(io.Discard, nil)})
	}()
	b.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Errorf("supervise: %v", err)
		}
	})
	eventually(b.t, "supervise listens", func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	b.server.url = "http://" + address + supervise.Path
	return o
}

// request waits for one that was not seen before.
func (o *operator) request() (found queue.Request) {
	o.t.Helper()
	eventually(o.t, "a request is in the queue", func() bool {
		pending, _ := o.box.Requests()
		for _, p := range pending {
			if p.Answer == nil && !o.seen[p.ID] {
				found = p.Request
				o.seen[p.ID] = true
				return true
			}
		}
		return false
	})
	return found
}

func (o *operator) answer(a queue.Answer) {
	o.t.Helper()
	a.DecidedAt = time.Now()
	if err := o.box.Answer(a); err != nil {
		o.t.Fatal(err)
	}
}
