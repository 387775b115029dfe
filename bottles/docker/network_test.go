package docker_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker"
)

// The attack: an agent on an internal network talks to what listens on the host, by any address
// that the host has.
func TestInternalNetworkDoesNotReachTheHost(t *testing.T) {
	r := newRig(t)
	port := listen(t)
	inside, ordinary := r.network("in", true), r.network("out", false)
	sidecar := r.spec("sidecar", "serve", ":9100")
	sidecar.Endpoints = []bottles.Endpoint{{Network: inside.Name, Aliases: []string{"supervise"}}}
	r.start(sidecar)
	r.prints(sidecar.Name, "serving\n")

	agent := r.spec("agent", "dial", "supervise:9100")
	agent.Endpoints = []bottles.Endpoint{{Network: inside.Name}}
	var outside []string
	for _, a := range append(hostAddrs(t), inside.Subnet.Addr().Next().String(), ordinary.Subnet.Addr().Next().String()) {
		outside = append(outside, fmt.Sprintf("%s:%d", a, port))
	}
	agent.Cmd = append(agent.Cmd, outside...)
	out := r.output(agent)
	if !strings.Contains(out, "supervise:9100 yes: hello from the sidecar") {
		t.Errorf("the sidecar is not reached by its name: %q", out)
	}
	for _, a := range outside {
		if !strings.Contains(out, a+" no: ") {
			t.Errorf("%s is reached from an internal network: %q", a, out)
		}
	}

	// The same from an ordinary network gets through, so there was something to reach.
	control := r.spec("control", "dial", fmt.Sprintf("%s:%d", ordinary.Subnet.Addr().Next(), port))
	control.Endpoints = []bottles.Endpoint{{Network: ordinary.Name}}
	if out := r.output(control); !strings.Contains(out, "yes: hello from the host") {
		t.Errorf("the listener can't be reached at all, so this test proves nothing: %q", out)
	}
}

// listen is a listener on all addresses of this machine.
func listen(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("hello from the host"))
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).Port
}

// hostAddrs are the IPv4 addresses of this machine that are not loopback: docker0's and others.
func hostAddrs(t *testing.T) []string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range addrs {
		if n := a.(*net.IPNet); n.IP.To4() != nil && !n.IP.IsLoopback() {
			out = append(out, n.IP.String())
		}
	}
	if len(out) < 2 {
		t.Fatalf("this machine has only the addresses %v; docker0's and its own are wanted", out)
	}
	return out
}

func TestNetworksMadeAtOnceGetSubnetsOfTheirOwn(t *testing.T) {
	r := newRig(t)
	other, err := docker.Open(r.ctx) // another process would have an Engine of its own, too
	r.ok(err)
	defer other.Close()
	nets := make([]bottles.Network, 20)
	var group sync.WaitGroup
	for n := range nets {
		engine := r.Engine
		if n%2 == 1 {
			engine = other
		}
		group.Go(func() {
			var err error
			nets[n], err = engine.CreateNetwork(r.ctx, bottles.NetworkSpec{Name: r.name(fmt.Sprint(n)), Labels: r.labels(), Internal: n%4 == 0})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for i, a := range nets {
		if a.Subnet.Bits() != 28 || !a.Subnet.Addr().IsPrivate() {
			t.Errorf("subnet %v", a.Subnet)
		}
		for _, b := range nets[:i] {
			if a.Subnet.Overlaps(b.Subnet) {
				t.Errorf("%v and %v overlap", a, b)
			}
		}
		for _, h := range hostAddrs(t) {
			if bridge := a.Subnet.Addr().Next().String(); h != bridge && a.Subnet.Contains(netip.MustParseAddr(h)) {
				t.Errorf("%v holds the address %v of this machine", a, h)
			}
		}
	}
	seen, err := r.Observe(r.ctx, r.root)
	r.ok(err)
	if len(seen.Networks) != len(nets) {
		t.Errorf("%d networks of %d are observed", len(seen.Networks), len(nets))
	}
	for _, n := range seen.Networks {
		if n.Labels[bottles.LabelRoot] != r.root || !n.Subnet.IsValid() {
			t.Errorf("observed %+v", n)
		}
	}
	for n := range nets {
		group.Go(func() {
			if err := r.RemoveNetwork(r.ctx, nets[n].Name); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestNetworkErrors(t *testing.T) {
	r := newRig(t)
	n := r.network("n", true)
	_, err := r.CreateNetwork(r.ctx, bottles.NetworkSpec{Name: n.Name, Labels: r.labels()})
	wantErr(t, err, bottles.ErrNameInUse, n.Name, "already exists")
	spec := r.spec("c", "wait")
	spec.Endpoints = []bottles.Endpoint{{Network: n.Name}}
	r.start(spec)
	wantErr(t, r.RemoveNetwork(r.ctx, n.Name), nil, n.Name, "active endpoints")
	r.ok(r.RemoveContainer(r.ctx, spec.Name))
	r.ok(r.RemoveNetwork(r.ctx, n.Name))
	r.ok(r.RemoveNetwork(r.ctx, n.Name))
}
