package cli

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker"
	"bottle-tui/queue"
	"bottle-tui/sidecars"
	"bottle-tui/state"
)

// recorder is an engine that keeps what a launch asked of it, so that the same objects can be made
// again without the lifecycle around: the floor that a launch is measured against.
type recorder struct {
	bottles.Engine
	mu         sync.Mutex
	networks   []bottles.NetworkSpec
	volumes    map[string]map[string]string
	containers []bottles.ContainerSpec
	copies     map[string][]copied
}

type copied struct {
	dir     string
	archive []byte
}

func (r *recorder) CreateNetwork(ctx context.Context, spec bottles.NetworkSpec) (bottles.Network, error) {
	r.mu.Lock()
	r.networks = append(r.networks, spec)
	r.mu.Unlock()
	return r.Engine.CreateNetwork(ctx, spec)
}

func (r *recorder) CreateVolume(ctx context.Context, name string, labels map[string]string) error {
	r.mu.Lock()
	r.volumes[name] = labels
	r.mu.Unlock()
	return r.Engine.CreateVolume(ctx, name, labels)
}

func (r *recorder) CreateContainer(ctx context.Context, spec bottles.ContainerSpec) error {
	r.mu.Lock()
	r.containers = append(r.containers, spec)
	r.mu.Unlock()
	return r.Engine.CreateContainer(ctx, spec)
}

func (r *recorder) CopyIn(ctx context.Context, name, dir string, archive io.Reader) error {
	content, err := io.ReadAll(archive)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.copies[name] = append(r.copies[name], copied{dir, content})
	r.mu.Unlock()
	return r.Engine.CopyIn(ctx, name, dir, strings.NewReader(string(content)))
}

// bench is a Supervisor on a fresh root, with the demo's agents.
type bench struct {
	*bottles.Supervisor
	root    *state.Root
	engine  *recorder
	updates chan bottles.Update
}

func newBench(b *testing.B) *bench {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	root, err := state.Open(filepath.Join(b.TempDir(), "root"))
	if err != nil {
		b.Fatal(err)
	}
	real, err := docker.Open(ctx)
	if err != nil {
		b.Fatal(err)
	}
	engine := &recorder{Engine: real, volumes: map[string]map[string]string{}, copies: map[string][]copied{}}
	c := &demoCatalog{engine: engine}
	if _, err := c.image(ctx); err != nil {
		b.Fatal(err)
	}
	s := bottles.New(bottles.Config{Root: root, Engine: engine, Catalog: c})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.Run(ctx); err != nil {
			b.Error(err)
		}
	}()
	updates := make(chan bottles.Update, 1024)
	go func() {
		for u := range s.Updates() {
			select {
			case updates <- u:
			default: // nobody looks
			}
		}
	}()
	b.Cleanup(func() {
		cancel()
		<-ended
		c.close()
		if _, err := bottles.Raze(context.Background(), root, real); err != nil {
			b.Error(err)
		}
		_ = real.Close()
	})
	if err := s.Ready(ctx); err != nil {
		b.Fatal(err)
	}
	return &bench{s, root, engine, updates}
}

// do has an action done to its end.
func (b *bench) do(t *testing.B, a bottles.Action) {
	t.Helper()
	done, err := b.Start(t.Context(), a)
	if err == nil {
		err = <-done
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The ways to make a bottle's objects again.
const (
	together = "floor"    // as much at the same time as the engine allows; the agent after its sidecars started
	oneByOne = "stepwise" // the same objects, one step after another, each sidecar awaited
	apart    = "apart"    // likewise, and each sidecar in a network namespace of its own instead of a pod
)

// launched are the roles of a demo bottle's containers, the pod's holder first.
var launched = []string{"egress", "cred-proxy", "supervise", "agent"}

// again makes what was recorded once more, under another identity, by the engine's calls alone. It gives
// how long it took until the agent ran.
func (r *recorder) again(b *testing.B, ctx context.Context, was, is, way string) time.Duration {
	b.Helper()
	rename := func(s string) string { return strings.ReplaceAll(s, was, is) }
	labels := func(m map[string]string) map[string]string {
		out := map[string]string{}
		for k, v := range m {
			out[k] = rename(v)
		}
		return out
	}
	limit := -1
	if way != together {
		limit = 1
	}
	all := func(fs ...func() error) {
		var g errgroup.Group
		g.SetLimit(limit)
		for _, f := range fs {
			g.Go(f)
		}
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
	}
	began := time.Now()
	var nets []func() error
	var mu sync.Mutex
	made := map[string]bottles.Network{}
	for _, n := range r.networks {
		nets = append(nets, func() error {
			got, err := r.Engine.CreateNetwork(ctx, bottles.NetworkSpec{Name: rename(n.Name), Labels: labels(n.Labels), Internal: n.Internal})
			mu.Lock()
			made[n.Name] = got
			mu.Unlock()
			return err
		})
	}
	for name, l := range r.volumes {
		nets = append(nets, func() error { return r.Engine.CreateVolume(ctx, rename(name), labels(l)) })
	}
	all(nets...)
	create := func(role string) {
		i := slices.IndexFunc(r.containers, func(c bottles.ContainerSpec) bool { return c.Labels[bottles.LabelRole] == role })
		spec := r.containers[i]
		name := spec.Name
		spec.Name, spec.JoinPod, spec.Labels, spec.DNS = rename(spec.Name), rename(spec.JoinPod), labels(spec.Labels), nil
		spec.Endpoints, spec.Mounts = slices.Clone(spec.Endpoints), slices.Clone(spec.Mounts)
		for i, e := range spec.Endpoints {
			if e.Address.IsValid() {
				e.Address = made[e.Network].Subnet.Addr().Next().Next()
				if role == "agent" {
					e.Address = e.Address.Next()
					if way == apart {
						e.Address = e.Address.Next().Next() // cred-proxy and supervise have those before
					}
				}
			}
			e.Network = rename(e.Network)
			spec.Endpoints[i] = e
		}
		if way == apart && spec.JoinPod != "" {
			spec.JoinPod = ""
			for i, e := range spec.Endpoints {
				spec.Endpoints[i].Aliases = slices.DeleteFunc(slices.Clone(e.Aliases), func(a string) bool { return a != role })
			}
			for network := range made {
				if strings.HasPrefix(network, "claude-bottle-net-") {
					spec.Endpoints = []bottles.Endpoint{{Network: rename(network), Aliases: []string{role}}}
				}
			}
		}
		for i := range spec.Mounts {
			spec.Mounts[i].Volume = rename(spec.Mounts[i].Volume)
		}
		if err := r.Engine.CreateContainer(ctx, spec); err != nil {
			b.Fatal(err)
		}
		for _, c := range r.copies[name] {
			if err := r.Engine.CopyIn(ctx, spec.Name, c.dir, strings.NewReader(string(c.archive))); err != nil {
				b.Fatal(err)
			}
		}
	}
	name := func(role string) string {
		if role == "agent" {
			return "claude-bottle-" + is
		}
		return "claude-bottle-" + role + "-" + is
	}
	start := func(role string) error { return r.Engine.StartContainer(ctx, name(role)) }
	ready := func(role string) {
		logs, err := r.Engine.Logs(ctx, name(role), 0, true)
		if err != nil {
			b.Fatal(err)
		}
		defer logs.Close()
		buf := make([]byte, 4096)
		for {
			n, err := logs.Read(buf)
			if line, ok := sidecars.ParseLine(buf[:n]); ok && line.Event == sidecars.EventReady {
				return
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	if way == together {
		// The engine asks only that a network, and a pod's holder, are there before who uses them.
		making := func(role string) func() error { return func() error { create(role); return nil } }
		starting := func(role string) func() error { return func() error { return start(role) } }
		all(func() error { create("egress"); all(making("cred-proxy"), making("supervise")); return nil }, making("agent"))
		all(starting("egress"))
		all(starting("cred-proxy"), starting("supervise"), starting("agent"))
	} else {
		for _, role := range launched {
			create(role)
			if err := start(role); err != nil {
				b.Fatal(err)
			}
			if role != "agent" {
				ready(role)
			}
		}
	}
	return time.Since(began)
}

// BenchmarkLaunch brings a demo bottle up: images there, two networks, two volumes, egress, cred-proxy, supervise and
// the agent, the sidecars serving before the agent starts. In the same run it makes the same objects by the
// engine's calls alone, as much together as the engine allows ("floor"), and one step after another.
func BenchmarkLaunch(b *testing.B) {
	w := newBench(b)
	w.do(b, bottles.Launch{Agent: "quiet"}) // the images are made here
	took := map[string][]time.Duration{}
	for i := range b.N {
		w.engine.mu.Lock()
		w.engine.networks, w.engine.containers = nil, nil
		clear(w.engine.volumes)
		clear(w.engine.copies)
		w.engine.mu.Unlock()
		began := time.Now()
		w.do(b, bottles.Launch{Agent: "quiet"})
		took["ours"] = append(took["ours"], time.Since(began))
		was := w.engine.containers[0].Labels[bottles.LabelIdentity]
		for _, way := range []string{together, oneByOne, apart} {
			took[way] = append(took[way], w.engine.again(b, b.Context(), was, fmt.Sprintf("%s-%05d", way, i), way))
		}
		took[script] = append(took[script], w.engine.script(b, was, fmt.Sprintf("%s-%05d", script, i)))
		if _, err := bottles.Raze(b.Context(), w.root, w.engine.Engine); err != nil {
			b.Fatal(err)
		}
		// Raze removed the built image too; put it back outside the clock.
		w.do(b, bottles.Launch{Agent: "quiet"})
	}
	for way, d := range took {
		report(b, way, d)
	}
	ours := median(took["ours"]).Seconds()
	b.ReportMetric(ours/median(took[together]).Seconds(), "ours/floor")
	b.ReportMetric(median(took[oneByOne]).Seconds()/ours, "stepwise/ours")
	b.ReportMetric(median(took[apart]).Seconds()/ours, "apart/ours")
	b.ReportMetric(median(took[script]).Seconds()/ours, "script/ours")
}

func report(b *testing.B, name string, d []time.Duration) {
	b.ReportMetric(float64(median(d).Milliseconds()), name+"-ms")
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

// BenchmarkRebuild approves a capability of one layer on a cached base. It is measured from the decision to
// the moment the agent runs on the new image; the floor is the engine's own build, stop, create and start of
// the same image and container, in the same run.
func BenchmarkRebuild(b *testing.B) {
	w := newBench(b)
	w.do(b, bottles.Launch{Agent: "counter"})
	var ours, floor []time.Duration
	for i := range b.N {
		identity, req := w.request(b)
		layer := fmt.Sprintf("LABEL bench=\"%d\"\nUSER 0:0\nRUN [\"/bin/bottle-tui\", \"demo-install\", \"tally\"]\nUSER 1000:1000\n", i)
		events, err := w.engine.Events(b.Context(), w.root.ID())
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		done, err := w.Start(b.Context(), bottles.ApproveEdited{
			Identity: identity, Request: req.ID, Shown: req.Hash, Content: append(slices.Clone(req.Current), layer...),
		})
		if err != nil {
			b.Fatal(err)
		}
		for ev := range events {
			if ev.Action == "start" && ev.Container == "claude-bottle-"+identity && time.Since(began) > 0 {
				break
			}
		}
		ours = append(ours, time.Since(began))
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		floor = append(floor, w.replaceFloor(b, identity, append(slices.Clone(req.Current), strings.Replace(layer, "bench=", "floor=", 1)...)))
		w.do(b, bottles.TearDown{Identity: identity})
		w.do(b, bottles.Delete{Identity: identity})
		w.do(b, bottles.Launch{Agent: "counter"})
	}
	report(b, "ours", ours)
	report(b, "floor", floor)
	b.ReportMetric(median(ours).Seconds()/median(floor).Seconds(), "ours/floor")
}

// request waits until some agent asks for a capability.
func (b *bench) request(t *testing.B) (string, bottles.Request) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		select {
		case u := <-b.updates:
			for _, v := range u.Snapshot.Bottles {
				for _, r := range v.Requests {
					if r.State == bottles.Waiting && r.Tool == queue.ToolCapability && len(r.Current) > 0 {
						return v.Identity, r
					}
				}
			}
		case <-deadline:
			t.Fatal("no agent asked")
		}
	}
}

// replaceFloor builds an image and puts the agent on it, by the engine's calls alone.
func (b *bench) replaceFloor(t *testing.B, identity string, dockerfile []byte) time.Duration {
	t.Helper()
	ctx, e := t.Context(), b.engine.Engine
	b.engine.mu.Lock()
	spec := b.engine.containers[len(b.engine.containers)-1]
	b.engine.mu.Unlock()
	began := time.Now()
	spec.Image = "claude-bottle-" + identity + ":floor"
	if _, err := e.Build(ctx, bottles.BuildSpec{Dockerfile: dockerfile, Tag: spec.Image, Labels: spec.Labels, Network: "none"}, func(bottles.BuildProgress) {}); err != nil {
		t.Fatal(err)
	}
	if err := e.StopContainer(ctx, spec.Name, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	spec.Name += "-floor"
	spec.Labels = nil // not this bottle's agent
	if err := e.CreateContainer(ctx, spec); err != nil {
		t.Fatal(err)
	}
	if err := e.StartContainer(ctx, spec.Name); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if err := e.RemoveContainer(ctx, spec.Name); err != nil {
		t.Fatal(err)
	}
	if err := e.RemoveImage(ctx, spec.Image); err != nil {
		t.Fatal(err)
	}
	return took
}

// script is one step after another as a shell script, or a program that runs the docker command, does it: the
// same containers, networks, volumes and configurations, each sidecar on the network by itself and awaited.
const script = "script"

func (r *recorder) script(b *testing.B, was, is string) time.Duration {
	b.Helper()
	rename := func(s string) string { return strings.ReplaceAll(s, was, is) }
	docker := func(stdin string, args ...string) string {
		cmd := exec.CommandContext(b.Context(), "docker", args...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		if err != nil {
			b.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	labelled := func(args []string, labels map[string]string) []string {
		for k, v := range labels {
			args = append(args, "--label", k+"="+rename(v))
		}
		return args
	}
	began := time.Now()
	for _, n := range r.networks {
		args := labelled([]string{"network", "create"}, n.Labels)
		if n.Internal {
			args = append(args, "--internal", "--opt", "com.docker.network.bridge.inhibit_ipv4=true")
		}
		docker("", append(args, rename(n.Name))...)
	}
	for name, labels := range r.volumes {
		docker("", append(labelled([]string{"volume", "create"}, labels), rename(name))...)
	}
	for _, role := range launched {
		i := slices.IndexFunc(r.containers, func(c bottles.ContainerSpec) bool { return c.Labels[bottles.LabelRole] == role })
		c := r.containers[i]
		args := labelled([]string{
			"create", "--name", rename(c.Name), "--user", c.User, "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
			"--memory", fmt.Sprint(c.Memory), "--pids-limit", fmt.Sprint(c.Pids), "--network", "claude-bottle-net-" + is, "--network-alias", role,
		}, c.Labels)
		if c.ReadOnly {
			args = append(args, "--read-only", "--tmpfs", "/tmp", "--volume", "/config")
		}
		if c.Terminal {
			args = append(args, "--tty", "--interactive")
		}
		for _, m := range c.Mounts {
			if m.Volume+m.Host != "" {
				args = append(args, "--volume", rename(m.Volume)+m.Host+":"+m.Target)
			}
		}
		for _, e := range c.Env {
			args = append(args, "--env", e)
		}
		docker("", append(append(args, c.Image), c.Cmd...)...)
		if role == "egress" {
			docker("", "network", "connect", "claude-bottle-out-"+is, rename(c.Name))
		}
		for _, in := range r.copies[c.Name] {
			docker(string(in.archive), "cp", "-", rename(c.Name)+":"+in.dir)
		}
		docker("", "start", rename(c.Name))
		for role != "agent" && !strings.Contains(docker("", "logs", rename(c.Name)), `"ready"`) {
			time.Sleep(50 * time.Millisecond) // a script polls
		}
	}
	return time.Since(began)
}
