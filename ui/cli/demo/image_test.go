package demo_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker"
	"bottle-tui/bottles/dockerfile"
	"bottle-tui/sidecars"
	"bottle-tui/ui/cli/demo"
	"bottle-tui/ui/cli/demo/agent"
)

func TestImageIsNamedByItsContent(t *testing.T) {
	one, err := demo.BaseImage(bytes.NewReader([]byte("one")), 3)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := demo.BaseImage(bytes.NewReader([]byte("one")), 3)
	two, _ := demo.BaseImage(bytes.NewReader([]byte("two")), 3)
	if one.Ref != again.Ref || one.Ref == two.Ref || !strings.HasPrefix(one.Ref, "bottle-tui-demo:") || len(one.Ref) != len("bottle-tui-demo:")+12 {
		t.Errorf("named %s, %s, %s", one.Ref, again.Ref, two.Ref)
	}
	if _, err := demo.BaseImage(bytes.NewReader([]byte("one")), 4); err == nil {
		t.Error("a binary that is shorter than it should be was taken")
	}
	for range 2 { // each reader starts anew
		found := map[string]*tar.Header{}
		for r := tar.NewReader(one.RootFS()); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			found[strings.TrimSuffix(h.Name, "/")] = h
		}
		for name, want := range map[string]struct {
			mode int64
			uid  int
		}{"bin/bottle-tui": {0o755, 0}, "home/agent": {0o755, 1000}, "workspace": {0o755, 1000}, "tmp": {0o1777, 0}, "etc/passwd": {0o644, 0}} {
			if h := found[name]; h == nil || h.Mode != want.mode || h.Uid != want.uid {
				t.Errorf("%s is %+v", name, h)
			}
		}
	}
}

func TestDockerfilesAreFoundNoFaultWith(t *testing.T) {
	current := demo.Dockerfile("bottle-tui-demo:0123456789ab")
	for _, f := range dockerfile.Check(nil, current) {
		if f.Rule != "base-unpinned" {
			t.Errorf("%v", f)
		}
	}
	if found := dockerfile.Check(current, agent.ProposeTally(current)); len(found) > 0 {
		t.Errorf("%v", found)
	}
}

// The image is imported into the real engine, and the capability that the counter proposes is built on it
// without any network, and works, as the agent's user and without any privilege.
func TestCapabilityBuildsAndWorks(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	engine, err := docker.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	info, err := engine.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	binary, err := sidecars.Binary(ctx, info.OS, info.Arch)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	image, err := demo.BaseImage(binary, binary.Size)
	if err != nil {
		t.Fatal(err)
	}
	run := "demo-test-" + uuid.NewString()[:8]
	base, built := run+":base", run+":tally"
	forget := func(refs ...string) {
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		for _, ref := range refs {
			if err := engine.RemoveImage(after, ref); err != nil {
				t.Errorf("remove %s: %v", ref, err)
			}
		}
	}
	if _, err := engine.Import(ctx, base, image.RootFS(), bottles.ImageConfig(image.Config)); err != nil {
		t.Fatal(err)
	}
	defer forget(base)
	current := demo.Dockerfile(base)

	said := tryTally(ctx, t, engine, run+"-before", base)
	if !strings.Contains(said, "tally") || strings.Contains(said, "bytes") {
		t.Errorf("before, tally says %q", said)
	}
	var log []string
	if _, err := engine.Build(ctx, bottles.BuildSpec{Dockerfile: agent.ProposeTally(current), Tag: built, Network: "none", NoCache: true},
		func(p bottles.BuildProgress) { log = append(log, p.Line) }); err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(log, "\n"))
	}
	defer forget(built)
	if text := strings.Join(log, "\n"); !strings.Contains(text, "linking /usr/local/bin/tally") || !strings.Contains(text, "it works") {
		t.Errorf("the build says\n%s", text)
	}
	if said := tryTally(ctx, t, engine, run+"-after", built); !strings.Contains(said, "conf") || !strings.Contains(said, "all") {
		t.Errorf("after, tally says %q", said)
	}
}

// tryTally runs the tool in a container of the image, with an agent's hardening, and gives what it prints, or
// the engine's words when there is no such program.
func tryTally(ctx context.Context, t *testing.T, engine bottles.Engine, name, image string) string {
	t.Helper()
	spec := bottles.ContainerSpec{Name: name, Image: image, Entrypoint: []string{"/usr/local/bin/tally"}, Cmd: []string{"/etc"}, Pids: 64, Memory: 256 << 20}
	if err := engine.CreateContainer(ctx, spec); err != nil {
		t.Fatal(err)
	}
	defer func() {
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if err := engine.RemoveContainer(after, name); err != nil {
			t.Errorf("remove %s: %v", name, err)
		}
	}()
	if err := engine.StartContainer(ctx, name); err != nil {
		return fmt.Sprint(err)
	}
	logs, err := engine.Logs(ctx, name, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	said, err := io.ReadAll(io.LimitReader(logs, 1<<20))
	if err != nil && !errors.Is(err, os.ErrClosed) {
		t.Fatal(err)
	}
	return string(said)
}
