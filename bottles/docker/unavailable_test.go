package docker_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker"
)

// engineAt opens the engine at an address.
func engineAt(t *testing.T, host string) (*docker.Engine, context.Context) {
	t.Helper()
	t.Setenv("DOCKER_HOST", host)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	e, err := docker.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e, ctx
}

// noLeaks fails the test if at its very end a goroutine runs that did not at its beginning.
func noLeaks(t testing.TB) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// calls are one call of each method, on things that are not there.
func calls(e *docker.Engine) map[string]func(context.Context) error {
	layer := rootfs([]byte("x"))
	drop := func(c io.Closer, err error) error {
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	return map[string]func(context.Context) error{
		"Info":    func(ctx context.Context) error { _, err := e.Info(ctx); return err },
		"Observe": func(ctx context.Context) error { _, err := e.Observe(ctx, "none"); return err },
		"Events":  func(ctx context.Context) error { _, err := e.Events(ctx, "none"); return err },
		"Image":   func(ctx context.Context) error { _, err := e.Image(ctx, "none"); return err },
		"Import": func(ctx context.Context) error {
			_, err := e.Import(ctx, "bottle-tui-test-none", bytes.NewReader(layer), bottles.ImageConfig{})
			return err
		},
		"Build": func(ctx context.Context) error {
			_, err := e.Build(ctx, bottles.BuildSpec{Dockerfile: []byte("FROM scratch\nUSER 1\n"), Tag: "bottle-tui-test-none"}, nil)
			return err
		},
		"Images":      func(ctx context.Context) error { _, err := e.Images(ctx, "none"); return err },
		"RemoveImage": func(ctx context.Context) error { return e.RemoveImage(ctx, "none") },
		"CreateNetwork": func(ctx context.Context) error {
			_, err := e.CreateNetwork(ctx, bottles.NetworkSpec{Name: "none"})
			return err
		},
		"RemoveNetwork": func(ctx context.Context) error { return e.RemoveNetwork(ctx, "none") },
		"DiskUsage":     func(ctx context.Context) error { _, err := e.DiskUsage(ctx); return err },
		"CreateVolume":  func(ctx context.Context) error { return e.CreateVolume(ctx, "none", nil) },
		"RemoveVolume":  func(ctx context.Context) error { return e.RemoveVolume(ctx, "none") },
		"CreateContainer": func(ctx context.Context) error {
			return e.CreateContainer(ctx, bottles.ContainerSpec{Name: "none", Image: "none"})
		},
		"StartContainer":  func(ctx context.Context) error { return e.StartContainer(ctx, "none") },
		"StopContainer":   func(ctx context.Context) error { return e.StopContainer(ctx, "none", time.Second) },
		"RemoveContainer": func(ctx context.Context) error { return e.RemoveContainer(ctx, "none") },
		"Container":       func(ctx context.Context) error { _, err := e.Container(ctx, "none"); return err },
		"CopyIn":          func(ctx context.Context) error { return e.CopyIn(ctx, "none", "/", bytes.NewReader(layer)) },
		"CopyOut":         func(ctx context.Context) error { return drop(e.CopyOut(ctx, "none", "/")) },
		"Stat":            func(ctx context.Context) error { _, err := e.Stat(ctx, "none", "/"); return err },
		"Attach":          func(ctx context.Context) error { return drop(e.Attach(ctx, "none")) },
		"Resize":          func(ctx context.Context) error { return e.Resize(ctx, "none", 80, 24) },
		"Logs":            func(ctx context.Context) error { return drop(e.Logs(ctx, "none", 0, true)) },
	}
}

func TestInfo(t *testing.T) {
	r := newRig(t)
	i, err := r.Info(r.ctx)
	r.ok(err)
	v, err := r.raw.ServerVersion(r.ctx)
	r.ok(err)
	if i.ID == "" || i.Version != v.Version || i.API == "" || i.OS != "linux" || i.Arch != v.Arch || i.Address != "unix:///var/run/docker.sock" || !i.Local {
		t.Errorf("%+v", i)
	}
}

func TestNobodyListens(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	l, err := net.Listen("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close() // the socket stays and nobody answers on it
	for host, want := range map[string]string{
		"unix://" + dir + "/missing": "there is no socket " + dir + "/missing",
		"unix://" + dir + "/s":       "is dockerd running?",
		"tcp://127.0.0.1:9":          "is the engine at tcp://127.0.0.1:9 running",
	} {
		e, ctx := engineAt(t, host)
		for name, call := range calls(e) {
			t.Run(name, func(t *testing.T) {
				wantErr(t, call(ctx), bottles.ErrUnavailable, want, "DOCKER_HOST", host)
			})
		}
	}
}

func TestAddressesThatCannotBeUsed(t *testing.T) {
	for host, want := range map[string]string{
		"ssh://me@there":        "forward the socket",
		"no scheme":             "unix://",
		"ftp://there":           "unix://",
		"unix://" + longPath:    "too long",
		"carrier-pigeon://home": "unix://",
	} {
		t.Setenv("DOCKER_HOST", host)
		_, err := docker.Open(context.Background())
		wantErr(t, err, nil, "DOCKER_HOST", want, host)
	}
}

var longPath = "/" + strings.Repeat("x", 200)

func TestEngineThatIsTooOldOrTooNew(t *testing.T) {
	noLeaks(t)
	version := ""
	path := serveSocket(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Api-Version", version)
		if req.URL.Path != "/_ping" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"message":"client version 1.51 is too old. Minimum supported API version is 1.60, please upgrade your client to a newer version"}`))
		}
	}), func() {})
	e, ctx := engineAt(t, "unix://"+path)
	for _, version = range []string{"1.40", ""} {
		_, err := e.Info(ctx)
		wantErr(t, err, bottles.ErrUnavailable, "API 1.", "20.10", "1.41")
	}
	version = "1.70"
	_, err := e.Info(ctx)
	wantErr(t, err, bottles.ErrUnavailable, "Minimum supported API version is 1.60", "upgrade bottle-tui")
	_ = e.Close()
}

// The engine agrees on a version, takes the next request, and goes away: before its answer, in the
// middle of it, or never.
func TestEngineThatGoesAwayInMidCall(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer string
	}{
		{"before the answer", ""},
		{"in the headers", "HTTP/1.1 200 OK\r\nContent-"},
		{"in the body", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"Id\": \"12"},
		{"in a chunk", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{\"Id\":"},
		{"in an error", "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"mess"},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeaks(t)
			host := rawEngine(t, func(conn net.Conn) { _, _ = io.WriteString(conn, c.answer) })
			e, ctx := engineAt(t, host)
			for name, call := range calls(e) {
				switch {
				case (name == "Stat" || name == "CopyOut") && c.name != "before the answer" && c.name != "in the headers",
					(name == "StartContainer" || name == "StopContainer" || name == "RemoveContainer" ||
						name == "RemoveVolume" || name == "RemoveNetwork" || name == "Resize" || name == "CopyIn") && strings.HasPrefix(c.answer, "HTTP/1.1 200 OK\r\nContent-T"):
					continue // the status or the headers say it all, a body is not read
				}
				t.Run(name, func(t *testing.T) { wantErr(t, call(ctx), bottles.ErrUnavailable) })
			}
			_ = e.Close()
		})
	}
}

func TestEngineThatNeverAnswers(t *testing.T) {
	noLeaks(t)
	var hold chan struct{}
	host := rawEngine(t, func(net.Conn) { <-hold })
	hold = make(chan struct{})
	t.Cleanup(func() { close(hold) })
	e, _ := engineAt(t, host)
	for name, call := range calls(e) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			began := time.Now()
			err := call(ctx)
			wantErr(t, err, context.DeadlineExceeded)
			if name == "Info" && !errors.Is(err, bottles.ErrUnavailable) {
				t.Errorf("%v does not say that the engine is silent", err)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	_ = e.Close()
}

func TestStreamThatBreaksOff(t *testing.T) {
	noLeaks(t)
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Docker-Container-Path-Stat: e30=\r\n\r\n"
	host := rawEngine(t, func(conn net.Conn) { _, _ = io.WriteString(conn, head+"5\r\nhello\r\n20\r\nbroken") })
	e, ctx := engineAt(t, host)
	out, err := e.CopyOut(ctx, "none", "/")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(out)
	wantErr(t, err, bottles.ErrUnavailable, "copy / out of container none", "is dockerd running?")
	if string(text) != "hellobroken" {
		t.Errorf("before the break: %q", text)
	}
	_ = out.Close()
}

// rawEngine answers pings as an engine does, and gives the connection of every other request to f.
func rawEngine(t *testing.T, f func(net.Conn)) (host string) {
	t.Helper()
	path := serveSocket(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, "/_ping") {
			w.Header().Set("Api-Version", "1.41")
			return
		}
		if strings.HasSuffix(req.URL.Path, "/build/cancel") {
			return
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(req.Body, 1<<20))
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		f(conn)
	}), func() {})
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return "unix://" + path
}
