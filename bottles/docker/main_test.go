package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"go.uber.org/goleak"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker"
)

// run is part of the name of everything that this run of the tests makes.
var run = strings.ToLower(rand.Text()[:10])

// probe is the image that most tests use: testdata/probe and some directories.
var probe = "bottle-tui-test-" + run + ":probe"

// probeBinary is the program in it.
var probeBinary []byte

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "bottle-tui-docker-test-")
	must(err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "probe")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	out, err := build.CombinedOutput()
	if err != nil {
		must(fmt.Errorf("build testdata/probe: %w: %s", err, out))
	}
	probeBinary, err = os.ReadFile(path)
	must(err)
	e, err := docker.Open(ctx)
	must(err)
	_, err = e.Import(ctx, probe, bytes.NewReader(rootfs(probeBinary)), bottles.ImageConfig{Entrypoint: []string{"/probe"}})
	must(err)
	code := m.Run()
	ctx, cancel = context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := errors.Join(removeLayers(ctx), e.RemoveImage(ctx, probe)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	_ = e.Close()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// removeLayers removes what builds on the probe image have left: the classic builder keeps the layers
// of a build that failed.
func removeLayers(ctx context.Context) error {
	raw, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return err
	}
	defer raw.Close()
	base, err := raw.ImageInspect(ctx, probe)
	if err != nil {
		return err
	}
	all, err := raw.ImageList(ctx, image.ListOptions{All: true})
	if err != nil {
		return err
	}
	for _, i := range all {
		if i.ParentID == base.ID {
			if _, err := raw.ImageRemove(ctx, i.ID, image.RemoveOptions{}); err != nil {
				return err
			}
		}
	}
	return nil
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "these tests need a Docker Engine at the default socket and the Go toolchain:", err)
		os.Exit(1)
	}
}

// rootfs is the file system of the test image.
func rootfs(binary []byte) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, d := range []struct {
		name string
		mode int64
		uid  int
	}{{"tmp/", 0o1777, 0}, {"data/", 0o755, 1234}, {"etc/", 0o755, 0}, {"proc/", 0o755, 0}} {
		check(w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: d.name, Mode: d.mode, Uid: d.uid, Gid: d.uid}))
	}
	check(w.WriteHeader(&tar.Header{Name: "probe", Mode: 0o755, Size: int64(len(binary))}))
	_, err := w.Write(binary)
	check(err)
	check(w.Close())
	return b.Bytes()
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// rig is an engine and a state root of a test's own. Everything under that root is removed at the
// test's end, and nothing may still run then.
type rig struct {
	*docker.Engine
	t    testing.TB
	ctx  context.Context
	root string
	raw  *client.Client // to look at what the Engine has made
}

func newRig(t testing.TB) *rig {
	t.Helper()
	noLeaks(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	e, err := docker.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	raw, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	r := &rig{Engine: e, t: t, ctx: ctx, root: strings.ToLower(rand.Text()[:12]), raw: raw}
	t.Cleanup(r.tidy)
	return r
}

// tidy removes everything under the rig's root.
func (r *rig) tidy() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	seen, err := r.Observe(ctx, r.root)
	if err != nil {
		r.t.Error(err)
	}
	for _, c := range seen.Containers {
		if err := r.RemoveContainer(ctx, c.ID); err != nil {
			r.t.Error(err)
		}
	}
	for _, n := range seen.Networks {
		if err := r.RemoveNetwork(ctx, n.Name); err != nil {
			r.t.Error(err)
		}
	}
	for _, v := range seen.Volumes {
		if err := r.RemoveVolume(ctx, v.Name); err != nil {
			r.t.Error(err)
		}
	}
}

// name is a name that no other test uses.
func (r *rig) name(s string) string { return "bt-test-" + run + "-" + r.root + "-" + s }

func (r *rig) labels() map[string]string { return map[string]string{bottles.LabelRoot: r.root} }

// spec is a container of the probe image that runs args.
func (r *rig) spec(name string, args ...string) bottles.ContainerSpec {
	return bottles.ContainerSpec{Name: r.name(name), Image: probe, Labels: r.labels(), Cmd: args}
}

func (r *rig) ok(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// start makes a container and starts it.
func (r *rig) start(spec bottles.ContainerSpec) {
	r.t.Helper()
	r.ok(r.CreateContainer(r.ctx, spec))
	r.ok(r.StartContainer(r.ctx, spec.Name))
}

// output runs a container to its end and returns what it printed.
func (r *rig) output(spec bottles.ContainerSpec) string {
	r.t.Helper()
	r.start(spec)
	r.ended(spec.Name)
	return r.log(spec.Name)
}

func (r *rig) log(name string) string {
	r.t.Helper()
	log, err := r.Logs(r.ctx, name, 0, false)
	r.ok(err)
	defer log.Close()
	text, err := io.ReadAll(log)
	r.ok(err)
	return string(text)
}

func (r *rig) ended(name string) bottles.Container {
	r.t.Helper()
	var c bottles.Container
	r.until("the end of "+name, func() bool {
		var err error
		c, err = r.Container(r.ctx, name)
		r.ok(err)
		return c.State == bottles.StateExited
	})
	return c
}

// prints waits until this is all that a container has printed.
func (r *rig) prints(name, text string) {
	r.t.Helper()
	r.until(fmt.Sprintf("%s to print %q", name, text), func() bool { return r.log(name) == text })
}

// until waits for a condition.
func (r *rig) until(what string, met func() bool) {
	r.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !met() {
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (r *rig) network(name string, internal bool) bottles.Network {
	r.t.Helper()
	n, err := r.CreateNetwork(r.ctx, bottles.NetworkSpec{Name: r.name(name), Labels: r.labels(), Internal: internal})
	r.ok(err)
	return n
}

// wantErr fails unless err is of the kind and holds each of the texts.
func wantErr(t testing.TB, err, kind error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want %v", kind)
	}
	if kind != nil && !errors.Is(err, kind) {
		t.Errorf("error %q is not %q", err, kind)
	}
	for _, s := range texts {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q does not say %q", err, s)
		}
	}
}
