package docker_test

import (
	"context"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"bottle-tui/bottles"
)

func TestContainerIsHardenedWithoutAsking(t *testing.T) {
	r := newRig(t)
	spec := r.spec("c", "status")
	spec.User, spec.WorkingDir, spec.Env = "1234", "/data", []string{"PROBE=a $b \"c\"\nd"}
	spec.Pids, spec.Memory = 50, 64<<20
	out := r.output(spec)
	for _, want := range []string{"Uid: 1234 1234 1234 1234", "CapEff: 0000000000000000", "CapBnd: 0000000000000000",
		"NoNewPrivs: 1", "Seccomp: 2", "wd /data", "env a $b \"c\"\nd\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
	i, err := r.raw.ContainerInspect(r.ctx, spec.Name)
	r.ok(err)
	h := i.HostConfig
	if h.AutoRemove || h.RestartPolicy.Name != "no" || h.Privileged || h.LogConfig.Type != "json-file" || h.LogConfig.Config["max-size"] == "" ||
		h.LogConfig.Config["max-file"] == "" || *h.PidsLimit != 50 || h.Memory != 64<<20 || h.MemorySwap != 64<<20 || h.NetworkMode != "none" {
		t.Errorf("host configuration %+v", h)
	}
	if i.Config.StopSignal != "SIGTERM" || i.Config.Healthcheck == nil || i.Config.Healthcheck.Test[0] != "NONE" || i.Config.Labels[bottles.LabelRoot] != r.root {
		t.Errorf("configuration %+v", i.Config)
	}
}

func TestContainerTellsItsState(t *testing.T) {
	r := newRig(t)
	name := r.name("c")
	_, err := r.Container(r.ctx, name)
	wantErr(t, err, bottles.ErrNotFound, name)
	r.ok(r.CreateContainer(r.ctx, r.spec("c", "exit", "7")))
	c, err := r.Container(r.ctx, name)
	r.ok(err)
	if c.State != bottles.StateCreated || c.Name != name || c.Image != probe || c.CreatedAt.IsZero() || !c.StartedAt.IsZero() || c.Labels[bottles.LabelRoot] != r.root {
		t.Errorf("created: %+v", c)
	}
	r.ok(r.StartContainer(r.ctx, name))
	if c := r.ended(name); c.ExitCode != 7 || c.StartedAt.IsZero() {
		t.Errorf("exited: %+v", c)
	}
	image, err := r.Image(r.ctx, probe)
	r.ok(err)
	seen, err := r.Observe(r.ctx, r.root)
	r.ok(err)
	if len(seen.Containers) != 1 || seen.Containers[0].Name != name || seen.Containers[0].State != bottles.StateExited || seen.Containers[0].ImageID != image.ID {
		t.Errorf("observed %+v", seen.Containers)
	}
	other, err := r.Observe(r.ctx, r.root+"x")
	r.ok(err)
	if len(other.Containers)+len(other.Networks)+len(other.Volumes) > 0 {
		t.Errorf("another root sees %+v", other)
	}
}

func TestStartThatFailsSaysWhy(t *testing.T) {
	r := newRig(t)
	spec := r.spec("c")
	spec.Entrypoint = []string{"/no-such-program"}
	r.ok(r.CreateContainer(r.ctx, spec))
	wantErr(t, r.StartContainer(r.ctx, spec.Name), nil, spec.Name, "/no-such-program", "no such file or directory")
	c, err := r.Container(r.ctx, spec.Name)
	r.ok(err)
	if !strings.Contains(c.Error, "/no-such-program") {
		t.Errorf("the container keeps as reason %q", c.Error)
	}
	spec = r.spec("d", "wait")
	spec.Image = "bottle-tui-test-" + run + ":nowhere"
	wantErr(t, r.CreateContainer(r.ctx, spec), bottles.ErrNotFound, spec.Image)
}

func TestNameInUseNamesTheHolder(t *testing.T) {
	r := newRig(t)
	spec := r.spec("c", "wait")
	spec.Labels[bottles.LabelIdentity] = "implementer-k3x9q"
	r.ok(r.CreateContainer(r.ctx, spec))
	wantErr(t, r.CreateContainer(r.ctx, spec), bottles.ErrNameInUse, spec.Name, "already in use", "bottle implementer-k3x9q", "created")
}

func TestStop(t *testing.T) {
	r := newRig(t)
	r.ok(r.StopContainer(r.ctx, r.name("none"), time.Second))
	r.start(r.spec("kind", "wait"))
	r.prints(r.name("kind"), "ready\n")
	r.ok(r.StopContainer(r.ctx, r.name("kind"), 10*time.Second))
	if c := r.ended(r.name("kind")); c.ExitCode != 0 || r.log(c.Name) != "ready\nasked to end\n" {
		t.Errorf("%+v, log %q", c, r.log(c.Name))
	}
	r.ok(r.StopContainer(r.ctx, r.name("kind"), time.Second))
	r.start(r.spec("stubborn", "stubborn"))
	r.prints(r.name("stubborn"), "ready\n")
	r.ok(r.StopContainer(r.ctx, r.name("stubborn"), 100*time.Millisecond))
	if c := r.ended(r.name("stubborn")); c.ExitCode != 137 {
		t.Errorf("%+v", c)
	}
}

func TestRemoveIsIdempotentAlsoAtOnce(t *testing.T) {
	r := newRig(t)
	spec := r.spec("c", "wait")
	spec.Mounts = []bottles.Mount{{Target: "/data"}}
	r.start(spec)
	i, err := r.raw.ContainerInspect(r.ctx, spec.Name)
	r.ok(err)
	anonymous := i.Mounts[0].Name
	var group sync.WaitGroup
	errs := make([]error, 8)
	for n := range errs {
		group.Go(func() {
			errs[n] = r.RemoveContainer(r.ctx, spec.Name)
			if _, err := r.Container(r.ctx, spec.Name); err == nil && errs[n] == nil {
				t.Error("removed, and it is still there")
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if _, err := r.raw.VolumeInspect(r.ctx, anonymous); err == nil {
		t.Error("its anonymous volume is still there")
	}
	r.ok(r.RemoveContainer(r.ctx, spec.Name))
	net := r.network("n", true)
	r.ok(r.CreateVolume(r.ctx, r.name("v"), r.labels()))
	for n := range errs {
		group.Go(func() {
			if n%2 == 0 {
				errs[n] = r.RemoveNetwork(r.ctx, net.Name)
			} else {
				errs[n] = r.RemoveVolume(r.ctx, r.name("v"))
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestTwoNetworksAndAPod(t *testing.T) {
	r := newRig(t)
	inside, outside := r.network("in", true), r.network("out", false)
	addr := inside.Subnet.Addr()
	for range 5 {
		addr = addr.Next()
	}
	egress := r.spec("egress", "wait")
	egress.Endpoints = []bottles.Endpoint{{Network: inside.Name, Address: addr, Aliases: []string{"egress", "supervise"}}, {Network: outside.Name}}
	egress.Sysctls = map[string]string{"net.ipv4.ip_forward": "0"}
	r.start(egress)
	i, err := r.raw.ContainerInspect(r.ctx, egress.Name)
	r.ok(err)
	if len(i.NetworkSettings.Networks) != 2 || i.NetworkSettings.Networks[inside.Name].IPAddress != addr.String() ||
		!outside.Subnet.Contains(netip.MustParseAddr(i.NetworkSettings.Networks[outside.Name].IPAddress)) {
		t.Errorf("networks %+v", i.NetworkSettings.Networks)
	}
	joined := r.spec("supervise", "serve", ":9100")
	joined.JoinPod, joined.ReadOnly, joined.User = egress.Name, true, "65532"
	r.start(joined)
	r.prints(joined.Name, "serving\n")
	agent := r.spec("agent", "dial", "supervise:9100", "egress:9100")
	agent.Endpoints = []bottles.Endpoint{{Network: inside.Name}}
	if out := r.output(agent); strings.Count(out, "yes: hello from the sidecar") != 2 {
		t.Errorf("the agent says %q", out)
	}
	both := r.spec("both", "wait")
	both.JoinPod, both.Endpoints = egress.Name, egress.Endpoints
	wantErr(t, r.CreateContainer(r.ctx, both), nil, "can't both join")
}

func TestCreateThatCannotConnectLeavesNothing(t *testing.T) {
	r := newRig(t)
	spec := r.spec("c", "wait")
	spec.Endpoints = []bottles.Endpoint{{Network: r.network("in", true).Name}, {Network: "host"}}
	wantErr(t, r.CreateContainer(r.ctx, spec), nil, spec.Name, "host network")
	_, err := r.Container(r.ctx, spec.Name)
	wantErr(t, err, bottles.ErrNotFound)
}

func TestNetworkThatIsMissingIsFoundByTheStart(t *testing.T) {
	r := newRig(t)
	spec := r.spec("c", "wait")
	spec.Endpoints = []bottles.Endpoint{{Network: r.network("in", true).Name}, {Network: r.name("nowhere")}}
	r.ok(r.CreateContainer(r.ctx, spec))
	wantErr(t, r.StartContainer(r.ctx, spec.Name), bottles.ErrNotFound, spec.Name, r.name("nowhere"))
}

func TestMounts(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	r.ok(r.CreateVolume(r.ctx, r.name("v"), r.labels()))
	r.ok(r.CreateVolume(r.ctx, r.name("v"), r.labels()))
	other := r.labels()
	other[bottles.LabelIdentity] = "another"
	wantErr(t, r.CreateVolume(r.ctx, r.name("v"), other), bottles.ErrNameInUse, r.name("v"))
	spec := r.spec("c", "write", "/volume/file", "kept")
	spec.ReadOnly = true
	spec.Tmpfs = map[string]string{"/scratch": "size=1m,mode=1777"}
	spec.Mounts = []bottles.Mount{{Volume: r.name("v"), Target: "/volume"}, {Host: dir, Target: "/host", ReadOnly: true}}
	if out := r.output(spec); out != "wrote /volume/file\n" {
		t.Errorf("a volume: %q", out)
	}
	for name, path := range map[string]string{"root": "/file", "host": "/host/file"} {
		s := spec
		s.Name, s.Cmd = r.name(name), []string{"write", path, "x"}
		if out := r.output(s); !strings.Contains(out, "read-only file system") {
			t.Errorf("%s: %q", path, out)
		}
	}
	spec.Name, spec.Cmd = r.name("again"), []string{"list", "/volume"}
	if out := r.output(spec); !strings.Contains(out, "/volume/file 0:0 -rw-r--r-- 4") {
		t.Errorf("a volume after its first container: %q", out)
	}
	wantErr(t, r.RemoveVolume(r.ctx, r.name("v")), nil, "in use")
	seen, err := r.Observe(r.ctx, r.root)
	r.ok(err)
	if len(seen.Volumes) != 1 || seen.Volumes[0].Name != r.name("v") || seen.Volumes[0].Labels[bottles.LabelRoot] != r.root {
		t.Errorf("observed %+v", seen.Volumes)
	}
	spec.Name, spec.Mounts = r.name("missing"), []bottles.Mount{{Host: dir + "/missing", Target: "/host"}}
	wantErr(t, r.CreateContainer(r.ctx, spec), nil, "bind source path does not exist")
}

func TestCallsEndWithTheirContext(t *testing.T) {
	r := newRig(t)
	r.start(r.spec("c", "stubborn"))
	r.prints(r.name("c"), "ready\n")
	ctx, cancel := context.WithTimeout(r.ctx, 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	wantErr(t, r.StopContainer(ctx, r.name("c"), time.Minute), context.DeadlineExceeded, r.name("c"))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// A container's anonymous volumes, those that its image asks for among them, go with it. Where an engine that was killed left
// one behind, it is known whose it was; one that a container has is no object of its own.
func TestAnonymousVolumesAreKnown(t *testing.T) {
	r := newRig(t)
	tag := r.name("volumes") + ":1"
	_, err := r.Build(r.ctx, bottles.BuildSpec{Dockerfile: []byte("FROM " + probe + "\nVOLUME /data /cache /work\n"), Tag: tag, Labels: r.labels(), Network: "none"}, func(bottles.BuildProgress) {})
	r.ok(err)
	t.Cleanup(func() { r.ok(r.RemoveImage(context.Background(), tag)) })
	r.ok(r.CreateVolume(r.ctx, r.name("named"), r.labels()))
	spec := r.spec("c")
	spec.Image, spec.Labels = tag, map[string]string{bottles.LabelRoot: r.root, bottles.LabelIdentity: "a-00000", bottles.LabelRole: "agent", bottles.LabelSpec: "x"}
	spec.Mounts = []bottles.Mount{{Target: "/own"}, {Volume: r.name("named"), Target: "/work"}}
	spec.Tmpfs = map[string]string{"/cache": "size=1m"}
	listed := func() (names []string) {
		seen, err := r.Observe(r.ctx, r.root)
		r.ok(err)
		for _, v := range seen.Volumes {
			want := map[string]string{bottles.LabelRoot: r.root, bottles.LabelIdentity: "a-00000", bottles.LabelRole: string(bottles.RoleAnonymous)}
			if v.Name != r.name("named") {
				if names = append(names, v.Name); !maps.Equal(v.Labels, want) {
					t.Errorf("%s has the labels %v", v.Name, v.Labels)
				}
			}
		}
		return names
	}
	for _, whole := range []bool{true, false} {
		r.ok(r.CreateContainer(r.ctx, spec))
		i, err := r.raw.ContainerInspect(r.ctx, spec.Name)
		r.ok(err)
		if len(i.Mounts) != 3 {
			t.Errorf("its mounts are %+v", i.Mounts)
		}
		if got := listed(); len(got) > 0 {
			t.Errorf("beside their container are listed %q", got)
		}
		if whole {
			r.ok(r.RemoveContainer(r.ctx, spec.Name))
		} else { // what is left of one whose removal was cut short by the engine's end
			r.ok(r.raw.ContainerRemove(r.ctx, spec.Name, container.RemoveOptions{}))
		}
		if got := listed(); len(got) != map[bool]int{true: 0, false: 2}[whole] {
			t.Errorf("removed whole %v: %q are left", whole, got)
		}
	}
}
