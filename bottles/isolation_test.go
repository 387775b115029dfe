package bottles_test

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/sidecars"
)

// allowlistFile is one of the three files in force, as the agent sees it.
const allowlistFile = sidecars.CurrentConfigDir + "/allowlist"

// TestNoWayOut has a real agent of a live bottle try to get out, and every way that it tries proved to be one
// where nothing stands in it.
func TestNoWayOut(t *testing.T) {
	port := hostService(t)
	public := publicAddress(t) // one of the others
	docker0, others, others6 := hostAddresses(t)
	u := newUpstream(t)
	c := newCell(t, func(p *bottles.Profile) {
		p.CA, p.Routes = u.ca, []bottles.Route{u.route("/api/", "API_TOKEN")}
		p.Git = []bottles.Remote{{Name: "api", Upstream: u.URL + "/team/api.git", TokenRef: "API_TOKEN", AllowRefs: []string{"refs/heads/*"}}}
		p.Memory, p.Pids = 512<<20, 400
		// Listed or not: egress does not lead to where the host and the other bottles are.
		p.Egress = []string{docker0 + ":" + port, "169.254.169.254:80", "supervise:9100", "cred-proxy:8080", "git-gate:9418", "git-gate:8081", "*.test"}
		for _, a := range others {
			p.Egress = append(p.Egress, a+":"+port)
		}
	})
	inside := c.agents(c.id)
	t.Run("network", func(t *testing.T) { c.noWayByNetwork(t, port, docker0, others, others6) })
	t.Run("names", func(t *testing.T) { c.noWayByNames(t, port, docker0, others) })
	t.Run("neighbours", func(t *testing.T) { c.noWayToNeighbours(t, port, docker0, others, public) })
	t.Run("sidecars", func(t *testing.T) { c.noWayIntoSidecars(t) })
	t.Run("files", func(t *testing.T) { c.noWayByFiles(t) })
	t.Run("kernel", func(t *testing.T) { c.noWayByKernel(t) })
	t.Run("bounds", func(t *testing.T) { c.boundsHold(t) })

	// After all that both bottles are as they were.
	for _, id := range []string{c.id, c.other} {
		c.awaitStatus(id, bottles.Live)
		for _, role := range []bottles.Role{bottles.RoleEgress, bottles.RoleCredProxy, bottles.RoleGitGate, bottles.RoleSupervise} {
			for _, l := range c.voice(t, role, id) {
				switch l.Event {
				case sidecars.EventConfig, sidecars.EventConfigError:
					t.Errorf("%s of %s: its configuration was touched: %+v", role, id, l)
				}
			}
		}
	}
	if o := inside(t, "http GET http://cred-proxy:8080/api/"); !o.OK {
		t.Errorf("the bottle's own way: %s", o.Said)
	}
}

// hostAddresses are those that this host has: docker0's, the other IPv4 ones, and the IPv6 ones.
func hostAddresses(t *testing.T) (docker0 string, others, others6 []string) {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil || strings.HasPrefix(i.Name, "br-") || strings.HasPrefix(i.Name, "veth") {
			continue // those of other networks come and go
		}
		for _, a := range addrs {
			ip := a.(*net.IPNet).IP
			switch {
			case i.Name == "docker0" && ip.To4() != nil:
				docker0 = ip.String()
			case ip.IsLoopback() || ip.IsLinkLocalUnicast():
			case ip.To4() != nil:
				others = append(others, ip.String())
			default:
				others6 = append(others6, ip.String())
			}
		}
	}
	if docker0 == "" || len(others) == 0 {
		lacking(t, "this host has no docker0, or no address of its own")
	}
	return docker0, others, others6
}

// at joins addresses to attempts: at("tcp %s", …).
func at(format string, addrs ...string) (tries []string) {
	for _, a := range addrs {
		tries = append(tries, fmt.Sprintf(format, a))
	}
	return tries
}

// noRoute is what the kernel says where no route leads on: the engine gives an internal network none at all, or one
// by way of a gateway that nobody is.
const noRoute = "network is unreachable|no route to host|timeout|deadline exceeded"

func (c *cell) noWayByNetwork(t *testing.T, port, docker0 string, others, others6 []string) {
	own := addresses(t, "claude-bottle-"+c.id)["claude-bottle-net-"+c.id]
	gateway := place28(t, own, 1)
	pod := place28(t, own, 2)

	// The bridge of the internal network has a link-local address on the host, as every interface may.
	bridge := "br-" + engineSays(t, "network", "inspect", "--format", "{{.Id}}", "claude-bottle-net-"+c.id)[:12]
	six := []string{"ipv6", "tcp [2001:db8::1]:443", "udp [2001:db8::1]:443", "tcp [ff02::1%eth0]:" + port}
	if i, err := net.InterfaceByName(bridge); err == nil {
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if ip := a.(*net.IPNet).IP; ip.To4() == nil {
				six = append(six, fmt.Sprintf("tcp [%s%%eth0]:%s", ip, port))
			}
		}
	}
	for _, a := range others6 {
		six = append(six, "tcp ["+a+"]:"+port)
	}

	// A metadata service of the tests' own: in a network that the host has no address on.
	metadata := c.prefix + "-metadata"
	engineSays(t, "network", "create", "--internal", "--opt", "com.docker.network.bridge.inhibit_ipv4=true", "--subnet", "169.254.169.240/28", "--gateway", "169.254.169.241", metadata)
	t.Cleanup(func() { _ = exec.Command("docker", "network", "rm", metadata).Run() })
	c.beside(t, "metadata-service", "--network", metadata, "--ip", "169.254.169.254", c.image, "serve", "0.0.0.0:80")
	client := c.beside(t, "metadata-client", "--network", metadata, c.image, "sleep")

	abstract := "@" + c.prefix
	l, err := net.Listen("unix", abstract)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	c.none(t, []way{
		{
			name:     "gateway: the internal network has no address of the host",
			tries:    []string{"tcp " + gateway + ":" + port, "udp " + gateway + ":" + port, "ping " + gateway},
			fails:    noRoute,
			controls: []control{{c.ordinary, []string{"tcp " + docker0 + ":" + port, "udp " + docker0 + ":" + port, "ping " + docker0}}},
		},
		{
			name:     "docker0: no route leads out of the internal network",
			tries:    []string{"tcp " + docker0 + ":" + port, "udp " + docker0 + ":" + port, "ping " + docker0},
			fails:    noRoute,
			controls: []control{{c.ordinary, []string{"tcp " + docker0 + ":" + port, "udp " + docker0 + ":" + port, "ping " + docker0}}},
		},
		{
			name:     "the host's own addresses: no route leads out of the internal network",
			tries:    append(at("tcp %s:"+port, others...), append(at("udp %s:"+port, others...), at("ping %s", others...)...)...),
			fails:    noRoute,
			controls: []control{{c.ordinary, at("tcp %s:"+port, others...)}},
		},
		{
			name:     "the world: no route leads out of the internal network",
			tries:    []string{"tcp 198.51.100.1:443", "tcp 198.51.100.1:80", "udp 198.51.100.1:443", "udp 198.51.100.1:123", "ping 198.51.100.1"},
			fails:    noRoute,
			controls: []control{{c.ordinary, at("tcp %s:"+port, others...)}}, // by the default route
		},
		{
			name:     "IPv6: no interface has an IPv6 address",
			tries:    six,
			fails:    noRoute + "|no IPv6 address|cannot assign requested address|address family not supported|invalid argument|permission denied",
			controls: []control{{c.host, append(at("tcp [%s]:"+port, others6...), "tcp [::1]:"+port)}},
		},
		{
			name:     "metadata: no route leads there, and egress refuses them although they are listed",
			tries:    []string{"tcp 169.254.169.254:80", "http GET http://169.254.169.254/latest/meta-data/", "tcp 169.254.170.2:80", "proxy egress:8888 169.254.169.254:80"},
			fails:    noRoute + "|403 Forbidden",
			controls: []control{{client, []string{"tcp 169.254.169.254:80", "http GET http://169.254.169.254/latest/meta-data/"}}},
		},
		{
			name:     "UDP: the pod answers names by it, and nothing else",
			tries:    at("udp "+pod+":%s", "8888", "8080", "8081", "9100", "9418", "123", "443", "5353"),
			fails:    "connection refused|timeout",
			controls: []control{{c.ordinary, []string{"udp " + docker0 + ":" + port}}},
		},
		{
			name: "the engine: its socket is not in the container, and it listens nowhere else that the agent reaches",
			tries: []string{
				"unix /var/run/docker.sock", "unix /run/docker.sock", "unix /run/containerd/containerd.sock",
				"tcp " + gateway + ":2375", "tcp " + docker0 + ":2375", "tcp " + docker0 + ":2376", "unix " + abstract,
			},
			fails:    "no such file|connection refused|" + noRoute,
			controls: []control{{c.mighty, []string{"unix /var/run/docker.sock"}}, {c.host, []string{"unix " + abstract}}},
		},
		{
			name:     "raw sockets: the agent has no capability",
			tries:    []string{"rawsocket icmp", "rawsocket ip", "rawsocket ip6", "rawsocket packet"},
			fails:    "operation not permitted",
			controls: []control{{c.ordinary, []string{"rawsocket icmp", "rawsocket ip", "rawsocket ip6", "rawsocket packet"}}},
		},
		{
			name:     "a second default route: the agent may not change its network",
			tries:    []string{"route " + pod, "route " + gateway, "address eth0 " + gateway, "address eth0 " + docker0, "tun"},
			fails:    "operation not permitted|no such file",
			controls: []control{{c.mighty, []string{"route " + docker0, "address eth0 192.0.2.200", "tun"}}},
		},
	})

	t.Run("ports: exactly the served ones of the pod answer", func(t *testing.T) {
		inside := c.agents(c.id)
		want := fmt.Sprintf("%d %d %d %d %d %d", sidecars.PortDNS, sidecars.PortCredProxy, sidecars.PortGitGateHTTP, sidecars.PortEgress, sidecars.PortSupervise, sidecars.PortGitGate)
		if o := inside(t, "scan "+pod+" 1 65535"); o.Said != want {
			t.Errorf("open are %s, not %s", o.Said, want)
		}
		mate := c.beside(t, "mate", "--network", "container:claude-bottle-egress-"+c.id, c.image, "serve", "0.0.0.0:34567", "127.0.0.1:34568")
		if o := inside(t, "scan "+pod+" 34560 34580"); o.Said != "34567" {
			t.Errorf("control: one more open port is seen as %q", o.Said)
		}
		if o := mate(t, "read /proc/sys/net/ipv4/ip_forward"); o.Said != "0\n" {
			t.Errorf("the pod forwards what is not for it: %+v", o)
		}
		if o := c.ordinary(t, "read /proc/sys/net/ipv4/ip_forward"); o.Said != "1\n" {
			t.Errorf("control: %+v", o)
		}
	})
}

// place28 is the nth address of the /28 that an address is in.
func place28(t *testing.T, addr string, n int) string {
	t.Helper()
	a, err := netip.ParseAddr(addr)
	if err != nil {
		t.Fatalf("the address %q of a container: %v", addr, err)
	}
	a = netip.PrefixFrom(a, 28).Masked().Addr()
	for range n {
		a = a.Next()
	}
	return a.String()
}
