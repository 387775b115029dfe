package docker_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"bottle-tui/bottles"
)

// The floors that a bottle's launch and rebuild are measured against: what this engine itself costs.

// pod is an egress container on two networks, three that join it, and an agent.
type pod struct {
	r       *rig
	inside  bottles.Network
	outside bottles.Network
	egress  bottles.ContainerSpec
	others  []bottles.ContainerSpec
	agent   bottles.ContainerSpec
}

func newPod(r *rig, n int) pod {
	p := pod{r: r}
	p.inside.Name, p.outside.Name = r.name(fmt.Sprint("in", n)), r.name(fmt.Sprint("out", n))
	p.egress = r.spec(fmt.Sprint("egress", n), "wait")
	p.egress.ReadOnly = true
	p.egress.Endpoints = []bottles.Endpoint{{Network: p.inside.Name, Aliases: []string{"egress"}}, {Network: p.outside.Name}}
	for _, role := range []string{"cred-proxy", "git-gate", "supervise"} {
		s := r.spec(fmt.Sprint(role, n), "wait")
		s.ReadOnly, s.JoinPod = true, p.egress.Name
		p.others = append(p.others, s)
	}
	p.agent = r.terminal(fmt.Sprint("agent", n), "wait")
	p.agent.Endpoints = []bottles.Endpoint{{Network: p.inside.Name}}
	return p
}

func (p pod) network(name string, internal bool) error {
	_, err := p.r.CreateNetwork(p.r.ctx, bottles.NetworkSpec{Name: name, Labels: p.r.labels(), Internal: internal})
	return err
}

func (p pod) run(spec bottles.ContainerSpec) error {
	if err := p.r.CreateContainer(p.r.ctx, spec); err != nil {
		return err
	}
	return p.r.StartContainer(p.r.ctx, spec.Name)
}

// apart starts everything one after another.
func (p pod) apart() error {
	if err := p.network(p.inside.Name, true); err != nil {
		return err
	}
	if err := p.network(p.outside.Name, false); err != nil {
		return err
	}
	for _, s := range append([]bottles.ContainerSpec{p.egress}, append(p.others, p.agent)...) {
		if err := p.run(s); err != nil {
			return err
		}
	}
	return nil
}

// together starts everything as early as its order allows: containers are made while networks are,
// the agent starts while the pod does.
func (p pod) together() error {
	var nets errgroup.Group
	nets.Go(func() error { return p.network(p.inside.Name, true) })
	nets.Go(func() error { return p.network(p.outside.Name, false) })
	if err := nets.Wait(); err != nil {
		return err
	}
	var all errgroup.Group
	all.Go(func() error { return p.run(p.agent) })
	all.Go(func() error {
		if err := p.run(p.egress); err != nil {
			return err
		}
		for _, s := range p.others {
			all.Go(func() error { return p.run(s) })
		}
		return nil
	})
	return all.Wait()
}

func benchPod(b *testing.B, launch func(pod) error) {
	r := newRig(b)
	for n := 0; b.Loop(); n++ {
		r.ok(launch(newPod(r, n)))
		b.StopTimer()
		r.tidy()
		b.StartTimer()
	}
}

func BenchmarkPodOneAfterAnother(b *testing.B) { benchPod(b, pod.apart) }
func BenchmarkPodInParallel(b *testing.B)      { benchPod(b, pod.together) }

// BenchmarkReplaceAgent stops and removes an agent, and starts another in its place.
func BenchmarkReplaceAgent(b *testing.B) {
	r := newRig(b)
	p := newPod(r, 0)
	r.ok(p.together())
	for b.Loop() {
		r.ok(r.StopContainer(r.ctx, p.agent.Name, 5*time.Second))
		r.ok(r.RemoveContainer(r.ctx, p.agent.Name))
		r.ok(p.run(p.agent))
	}
}

// BenchmarkImport brings in an image of 20 MB that the engine has not seen.
func BenchmarkImport(b *testing.B) {
	r := newRig(b)
	content := bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
	ref := r.ref("import")
	for n := 0; b.Loop(); n++ {
		copy(content, fmt.Sprintf("%016d", n))
		img, err := r.Import(r.ctx, ref, bytes.NewReader(rootfs(content)), bottles.ImageConfig{Entrypoint: []string{"/probe"}})
		r.ok(err)
		b.StopTimer()
		r.ok(r.RemoveImage(r.ctx, img.ID))
		b.StartTimer()
	}
}

// BenchmarkImportAgain brings in an image that the engine has.
func BenchmarkImportAgain(b *testing.B) {
	r := newRig(b)
	layer := rootfs(bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16))
	ref := r.ref("import")
	_, err := r.Import(r.ctx, ref, bytes.NewReader(layer), bottles.ImageConfig{})
	r.ok(err)
	for b.Loop() {
		_, err := r.Import(r.ctx, ref, bytes.NewReader(layer), bottles.ImageConfig{})
		r.ok(err)
	}
}

// BenchmarkBuild adds one layer to an image that is there.
func BenchmarkBuild(b *testing.B) {
	r := newRig(b)
	ref := r.ref("build")
	for n := 0; b.Loop(); n++ {
		text := fmt.Sprintf("FROM %s\nRUN [\"/probe\", \"write\", \"/made\", \"%s %d\"]\n", probe, r.root, n)
		img, err := r.Build(r.ctx, bottles.BuildSpec{Dockerfile: []byte(text), Tag: ref, Labels: r.labels(), Network: "none"}, nil)
		r.ok(err)
		b.StopTimer()
		r.ok(r.RemoveImage(r.ctx, img.ID))
		b.StartTimer()
	}
}
