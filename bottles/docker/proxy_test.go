package docker_test

import (
	"context"
	"io"
	"net"
	"sync"
)

// relayAll passes connections to l on to the engine until ctx ends; then it breaks them all off.
func relayAll(ctx context.Context, l net.Listener) {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var group sync.WaitGroup
	defer group.Wait()
	for {
		from, err := l.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("unix", "/var/run/docker.sock")
		if err != nil {
			_ = from.Close()
			continue
		}
		end := func() { _ = from.Close(); _ = to.Close() }
		stop := context.AfterFunc(ctx, end)
		pass := func(dst, src net.Conn) {
			_, _ = io.Copy(dst, src)
			end()
			stop()
		}
		group.Go(func() { pass(to, from) })
		group.Go(func() { pass(from, to) })
	}
}
