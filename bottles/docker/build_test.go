package docker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"bottle-tui/bottles"
)

// builders runs a test with BuildKit and with the classic builder, which is reached by a proxy that
// refuses BuildKit as an engine without it does.
func builders(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Run("BuildKit", func(t *testing.T) { test(t, newRig(t)) })
	t.Run("classic", func(t *testing.T) {
		t.Setenv("DOCKER_HOST", "unix://"+classicOnly(t))
		test(t, newRig(t))
	})
}

func classicOnly(t *testing.T) string {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", "/var/run/docker.sock")
	}}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "engine"})
	proxy.Transport, proxy.FlushInterval = transport, -1
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) {}
	return serveSocket(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, "/build") && req.URL.Query().Get("version") == "2" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"message":"buildkit not supported by daemon"}`))
			return
		}
		proxy.ServeHTTP(w, req)
	}), transport.CloseIdleConnections)
}

// serveSocket serves a handler on a socket of its own until the test's end.
func serveSocket(t *testing.T, h http.Handler, after func()) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bt") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
		after()
		_ = os.RemoveAll(dir)
	})
	return path
}

// build builds a Dockerfile whose base is the probe image.
func (r *rig) build(tag string, lines ...string) (bottles.Image, []bottles.BuildProgress, error) {
	var log []bottles.BuildProgress
	text := "FROM " + probe + "\n" + strings.Join(lines, "\n") + "\n"
	img, err := r.Build(r.ctx, bottles.BuildSpec{Dockerfile: []byte(text), Tag: tag, Labels: map[string]string{"from-spec": "a b=c"}, Network: "none", NoCache: true},
		func(p bottles.BuildProgress) { log = append(log, p) })
	return img, log, err
}

func lines(log []bottles.BuildProgress) string {
	var b strings.Builder
	for _, p := range log {
		fmt.Fprintf(&b, "%d/%d %s\n", p.Step, p.Steps, p.Line)
	}
	return b.String()
}

func TestBuild(t *testing.T) {
	builders(t, func(t *testing.T, r *rig) {
		ref := r.ref("build")
		img, log, err := r.build(ref, `RUN ["/probe", "write", "/made", "by the build"]`, `RUN ["/probe", "print", "2"]`, "USER 1234", "LABEL mine=yes")
		if err != nil {
			t.Fatalf("%v\n%s", err, lines(log))
		}
		t.Log(lines(log))
		have, err := r.Image(r.ctx, ref)
		r.ok(err)
		if img.ID != have.ID || img.User != "1234" || img.Labels["from-spec"] != "a b=c" || img.Labels["mine"] != "yes" {
			t.Errorf("built %+v, the reference is %+v", img, have)
		}
		for _, want := range []string{`(?m)^2/\d .*RUN \["?/probe"?,? "?write`, `(?m)^2/\d .*wrote /made$`, `(?m)^3/\d .*out 0$`, `(?m)^3/\d .*out 1$`, `(?m)^3/\d .*err 1$`} {
			if !regexp.MustCompile(want).MatchString(lines(log)) {
				t.Errorf("no %s in the log\n%s", want, lines(log))
			}
		}
		if strings.ContainsAny(lines(log), "\r\x00") {
			t.Error("the log has raw frames")
		}
		spec := r.spec("c", "list", "/made")
		spec.Image = ref
		if out := r.output(spec); !strings.Contains(out, "/made 0:0 -rw-r--r-- 12") {
			t.Errorf("%q", out)
		}
		r.ok(r.RemoveContainer(r.ctx, spec.Name))
	})
}

func TestBuildThatFails(t *testing.T) {
	builders(t, func(t *testing.T, r *rig) {
		ref := r.ref("build")
		_, log, err := r.build(ref, `RUN ["/probe", "write", "/made", "x"]`, `RUN ["/probe", "fail"]`)
		wantErr(t, err, bottles.ErrBuild, ref, `RUN ["/probe", "fail"]`, "3")
		if !strings.Contains(lines(log), "about to fail\n") || !strings.Contains(lines(log), "the reason is 42\n") {
			t.Errorf("the log has not what the program said:\n%s", lines(log))
		}
		if last := log[len(log)-1]; last.Step != 3 {
			t.Errorf("it failed in step %d/%d", last.Step, last.Steps)
		}
		_, err = r.Image(r.ctx, ref)
		wantErr(t, err, bottles.ErrNotFound)
		_, _, err = r.build(ref, "BREW coffee")
		wantErr(t, err, bottles.ErrBuild, "unknown instruction: BREW")
		_, err = r.Build(r.ctx, bottles.BuildSpec{Dockerfile: []byte("FROM localhost:9/no/such:image\nUSER 1\n"), Tag: ref, Network: "none"}, nil)
		wantErr(t, err, bottles.ErrBuild, "localhost:9/no/such", "connection refused")
		_, err = r.Build(r.ctx, bottles.BuildSpec{Dockerfile: []byte("FROM scratch\nCOPY secret /\n"), Tag: ref, Network: "none"}, nil)
		wantErr(t, err, bottles.ErrBuild, "secret")
		_, err = r.Build(r.ctx, bottles.BuildSpec{Dockerfile: []byte("FROM scratch\n"), Tag: ref, Network: "bridge"}, nil)
		wantErr(t, err, nil, "bridge")
	})
}

func TestBuildStopsWithItsContext(t *testing.T) {
	builders(t, func(t *testing.T, r *rig) {
		ref, token := r.ref("build"), "token-"+r.root
		ctx, cancel := context.WithCancel(r.ctx)
		defer cancel()
		var ended time.Time
		_, err := r.Build(ctx, bottles.BuildSpec{Dockerfile: []byte("FROM " + probe + "\nRUN [\"/probe\", \"hang\", \"" + token + "\"]\n"), Tag: ref, Network: "none"},
			func(p bottles.BuildProgress) {
				if strings.HasSuffix(p.Line, "hanging") {
					if len(processes(t, token)) == 0 {
						t.Error("the program in the build can't be seen, so this test proves nothing")
					}
					ended = time.Now()
					cancel()
				}
			})
		wantErr(t, err, context.Canceled, ref)
		if errors.Is(err, bottles.ErrBuild) || errors.Is(err, bottles.ErrUnavailable) {
			t.Errorf("error %v is more than a cancelled call", err)
		}
		if took := time.Since(ended); took > 3*time.Second {
			t.Errorf("Build took %v to return", took)
		}
		r.until("the end of the program in the build", func() bool { return len(processes(t, token)) == 0 })
		r.until("the end of the classic builder's container", func() bool {
			left, err := r.raw.ContainerList(r.ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("ancestor", probe))})
			r.ok(err)
			return !slices.ContainsFunc(left, func(c container.Summary) bool { return strings.Contains(c.Command, token) })
		})
		_, err = r.Image(r.ctx, ref)
		wantErr(t, err, bottles.ErrNotFound)
	})
}

// processes are the processes of this machine that were started with an argument.
func processes(t *testing.T, arg string) []string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range all {
		if text, err := os.ReadFile(p); err == nil && strings.HasPrefix(string(text), "/probe\x00") && strings.Contains(string(text), "\x00"+arg+"\x00") {
			out = append(out, p)
		}
	}
	return out
}
