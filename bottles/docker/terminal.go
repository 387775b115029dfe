package docker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
)

// detachKeys is a sequence that nobody types, for the engine can't be told to have none, and its
// default holds back a lone ctrl-p.
const detachKeys = "ctrl-^,ctrl-^,ctrl-_,ctrl-_"

// Attach opens the container's terminal: what it prints from now on, and its keyboard. It may be
// opened before the container is started. It is closed when ctx ends; Read gives io.EOF when the
// container has ended (or the engine: ask Container which), and then Write gives io.ErrClosedPipe.
// Reading and writing may go on at once, in a goroutine each.
func (e *Engine) Attach(ctx context.Context, name string) (io.ReadWriteCloser, error) {
	what := "attach to the terminal of container " + name
	var out *terminal
	err := e.call(ctx, what, func(c *client.Client) error {
		i, err := inspect(ctx, c, name)
		if err != nil {
			return err
		}
		if !i.Config.Tty {
			return fmt.Errorf("it has no terminal; read its log instead")
		}
		resp, release, err := e.hijack(ctx, c, name, container.AttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true, DetachKeys: detachKeys})
		if err != nil {
			return err
		}
		out = &terminal{ctx: ctx, resp: resp, release: release,
			explain: func(err error) error { return e.explain(ctx, what, err) }}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// hijack attaches to a container. The connection's end ends the call, and ctx ends the connection; release, to be called
// before it is closed, stops that. A connection that is encrypted is opened by the client itself and is closed by ctx only
// from here.
func (e *Engine) hijack(ctx context.Context, c *client.Client, name string, how container.AttachOptions) (_ types.HijackedResponse, release func(), _ error) {
	type result struct {
		resp types.HijackedResponse
		err  error
	}
	var d dialed
	done := make(chan result, 1)
	go func() {
		resp, err := c.ContainerAttach(context.WithValue(ctx, hijacked{}, &d), name, how)
		done <- result{resp, err}
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		go func() {
			if r := <-done; r.err == nil {
				r.resp.Close()
			}
		}()
		return r.resp, nil, ctx.Err()
	}
	if r.err != nil {
		return r.resp, nil, r.err
	}
	if d.release == nil {
		d.release = context.AfterFunc(ctx, r.resp.Close)
		if encrypted, ok := r.resp.Conn.(*tls.Conn); ok {
			d.conn = encrypted.NetConn()
		}
	}
	unguard := func() {}
	if raw, ok := d.conn.(syscall.Conn); ok {
		if w := e.watchdog.Load(); w != nil {
			unguard = w.Guard(raw)
		}
	}
	stop := context.AfterFunc(ctx, unguard)
	return r.resp, func() {
		d.release()
		stop()
		unguard()
	}, nil
}

// Feed writes content to the standard input of a running container, which stays open.
func (e *Engine) Feed(ctx context.Context, name string, content []byte) error {
	return e.call(ctx, "write to the standard input of container "+name, func(c *client.Client) error {
		i, err := inspect(ctx, c, name)
		if err != nil {
			return err
		}
		if i.Config.Tty || !i.Config.OpenStdin || !i.State.Running {
			return errors.New("it does not run, or has no standard input to write to")
		}
		resp, release, err := e.hijack(ctx, c, name, container.AttachOptions{Stream: true, Stdin: true})
		if err != nil {
			return err
		}
		defer resp.Close()
		defer release()
		if _, err := resp.Conn.Write(content); err != nil {
			return err
		}
		if err := resp.CloseWrite(); err != nil {
			return err
		}
		// The engine ends the attachment when it has passed everything on.
		if _, err := io.Copy(io.Discard, io.LimitReader(resp.Reader, 1<<20)); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			return err
		}
		return nil
	})
}

// terminal is an attachment.
type terminal struct {
	ctx     context.Context
	resp    types.HijackedResponse
	release func()
	explain func(error) error
	closed  atomic.Bool
	ended   atomic.Bool // the other side has closed
}

func (t *terminal) Read(p []byte) (int, error) {
	n, err := t.resp.Reader.Read(p)
	return n, t.reason(err)
}

func (t *terminal) Write(p []byte) (int, error) {
	if t.ended.Load() {
		return 0, io.ErrClosedPipe
	}
	n, err := t.resp.Conn.Write(p)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return n, io.ErrClosedPipe
	}
	return n, t.reason(err)
}

// reason is why a read or a write ended.
func (t *terminal) reason(err error) error {
	switch {
	case err == nil:
		return nil
	case t.closed.Load():
		return io.ErrClosedPipe
	case t.ctx.Err() != nil:
		return t.explain(t.ctx.Err())
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed):
		t.ended.Store(true)
		return io.EOF
	}
	return t.explain(err)
}

// Close ends the attachment; the container goes on.
func (t *terminal) Close() error {
	if t.closed.Swap(true) {
		return nil
	}
	t.release()
	t.resp.Close()
	return nil
}

// Resize sets the terminal's size in cells of a running container.
func (e *Engine) Resize(ctx context.Context, name string, cols, rows int) error {
	what := fmt.Sprintf("set the terminal of container %s to %d×%d", name, cols, rows)
	return e.call(ctx, what, func(c *client.Client) error {
		if cols <= 0 || rows <= 0 {
			return errors.New("a terminal has at least one column and one row")
		}
		return c.ContainerResize(ctx, name, container.ResizeOptions{Height: uint(rows), Width: uint(cols)})
	})
}

// Logs is what the container printed. Following one that has not been started ends at once. The
// engine may keep back what a followed container prints until a line's end.
func (e *Engine) Logs(ctx context.Context, name string, tail int, follow bool) (io.ReadCloser, error) {
	what := "read the log of container " + name
	var out io.ReadCloser
	err := e.call(ctx, what, func(c *client.Client) error {
		i, err := inspect(ctx, c, name)
		if err != nil {
			return err
		}
		opts := container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: follow, Tail: "all"}
		if tail > 0 {
			opts.Tail = strconv.Itoa(tail)
		}
		body, err := c.ContainerLogs(ctx, name, opts)
		if err != nil {
			return err
		}
		s := &stream{ReadCloser: body, explain: func(err error) error { return e.explain(ctx, what, err) }}
		if i.Config.Tty {
			out = s
		} else {
			out = join(ctx, s)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// joined is a stream whose two halves are put into one.
type joined struct {
	*io.PipeReader
	from *stream
	done chan struct{}
	stop func() bool
}

// join strips from of the engine's framing (API: POST /containers/{id}/attach, "Stream format").
func join(ctx context.Context, from *stream) io.ReadCloser {
	r, w := io.Pipe()
	j := &joined{PipeReader: r, from: from, done: make(chan struct{})}
	j.stop = context.AfterFunc(ctx, func() { _ = w.CloseWithError(from.explain(ctx.Err())) })
	go func() {
		defer close(j.done)
		_, err := stdcopy.StdCopy(w, w, from)
		_ = w.CloseWithError(err) // io.EOF when err is nil
		_ = from.ReadCloser.Close()
	}()
	return j
}

// Close ends the stream and waits for its goroutine.
func (j *joined) Close() error {
	j.stop()
	_ = j.PipeReader.Close()
	_ = j.from.ReadCloser.Close()
	<-j.done
	return nil
}
