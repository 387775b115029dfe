package bottles_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/sidecars"
	"bottle-tui/sidecars/egress"
)

func (c *cell) noWayByNames(t *testing.T, port, docker0 string, others []string) {
	// An ordinary container whose resolver is the host's: there the engine's own resolver is a way out.
	l, err := net.Listen("tcp", docker0+":53")
	if err != nil || !serveNames(t, l, docker0+":53") {
		lacking(t, "port 53 of %s is taken: %v", docker0, err)
	}
	network := c.prefix + "-ordinary"
	engineSays(t, "network", "create", network)
	t.Cleanup(func() { _ = exec.Command("docker", "network", "rm", network).Run() })
	resolving := c.beside(t, "resolving", "--network", network, "--dns", docker0, c.image, "sleep")

	name := "secret-" + c.prefix + ".example.com."
	both := func(servers ...string) (tries []string) {
		for _, s := range servers {
			tries = append(tries, "dns "+s+" udp "+name, "dns "+s+" tcp "+name)
		}
		return tries
	}
	own := place28(t, addresses(t, "claude-bottle-"+c.id)["claude-bottle-net-"+c.id], 1)
	outside := both("8.8.8.8:53", "1.1.1.1:53", "9.9.9.9:53", docker0+":"+port, docker0+":53")
	for _, a := range others {
		outside = append(outside, both(a+":"+port, a+":53")...)
	}
	for _, a := range nameservers(t) {
		outside = append(outside, both(net.JoinHostPort(a, "53"))...)
	}
	c.none(t, []way{
		{
			name:     "the engine's resolver: it hands outside names to egress, which knows none",
			tries:    append(both("127.0.0.11:53"), "lookup "+name, "lookup host.docker.internal", "lookup localhost.example.com"),
			fails:    "RCodeNameError|no such host",
			controls: []control{{resolving, append(both("127.0.0.11:53"), "lookup "+name)}},
		},
		{
			name:     "egress's resolver: it knows no name, and no other port of it is one",
			tries:    both("egress:53", "cred-proxy:53", "git-gate:53", "supervise:53"),
			fails:    "RCodeNameError",
			controls: []control{{resolving, both(docker0 + ":53")}},
		},
		{
			name:     "other resolvers, the host's among them: no route leads out of the internal network",
			tries:    outside,
			fails:    noRoute,
			controls: []control{{c.ordinary, both(docker0+":"+port, docker0+":53")}},
		},
		{
			name:     "the gateway's resolver: there is no gateway",
			tries:    both(own+":53", own+":"+port),
			fails:    noRoute,
			controls: []control{{c.ordinary, both(docker0 + ":" + port)}},
		},
	})
	told := slices.ContainsFunc(c.voice(t, bottles.RoleEgress, c.id), func(l sidecars.Line) bool {
		return l.Event == sidecars.EventRefuse && l.Via == "dns" && l.Host+"." == name
	})
	if !told {
		t.Errorf("egress did not tell of the attempt to look up %s", name)
	}
}

// nameservers are whom this host asks.
func nameservers(t *testing.T) (all []string) {
	t.Helper()
	f, err := os.Open("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if a, ok := strings.CutPrefix(lines.Text(), "nameserver "); ok && net.ParseIP(a).To4() != nil && !net.ParseIP(a).IsLoopback() {
			all = append(all, a)
		}
	}
	return all
}

func (c *cell) noWayToNeighbours(t *testing.T, port, docker0 string, others []string, public string) {
	their, mine := "claude-bottle-net-"+c.other, "claude-bottle-net-"+c.id
	agent := addresses(t, "claude-bottle-"+c.other)[their]
	pod := addresses(t, "claude-bottle-egress-"+c.other)
	podIn, podOut := pod[their], pod["claude-bottle-out-"+c.other]
	ownOut := addresses(t, "claude-bottle-egress-"+c.id)["claude-bottle-out-"+c.id]

	c.sup.Type(c.other, []byte("try listening listen 7777 1h\n"))
	neighbour := c.beside(t, "neighbour", "--network", their, c.image, "sleep")
	mate := c.beside(t, "podmate", "--network", "container:claude-bottle-egress-"+c.id, c.image, "sleep")
	for deadline := time.Now().Add(patience); !neighbour(t, "tcp "+agent+":7777").OK; {
		if time.Now().After(deadline) {
			t.Fatal("the other agent does not listen")
		}
	}
	served := []string{podIn + ":8888", podIn + ":8080", podIn + ":9418", podIn + ":8081", podIn + ":9100", podIn + ":53", agent + ":7777"}
	names := at("lookup %s", "claude-bottle-egress-"+c.other, "claude-bottle-"+c.other)
	c.none(t, []way{
		{
			name:     "another bottle's agent and sidecars: no route leads out of the internal network",
			tries:    append(at("tcp %s", served...), "tcp "+podOut+":8888", "udp "+podIn+":53", "ping "+agent, "ping "+podIn),
			fails:    noRoute,
			controls: []control{{neighbour, append(at("tcp %s", served...), "ping "+agent, "ping "+podIn)}, {c.host, []string{"tcp " + podOut + ":8888"}}},
		},
		{
			name:     "another bottle's names: the engine answers those of its own networks only",
			tries:    names,
			fails:    "no such host",
			controls: []control{{neighbour, names}},
		},
		{
			name:     "its own pod's outer side: no route leads out of the internal network",
			tries:    []string{"tcp " + ownOut + ":8888", "tcp " + place28(t, ownOut, 1) + ":" + port},
			fails:    noRoute,
			controls: []control{{c.host, []string{"tcp " + ownOut + ":8888", "tcp " + place28(t, ownOut, 1) + ":" + port}}},
		},
	})
	t.Run("from the pod itself: the engine keeps networks apart", func(t *testing.T) {
		for from, tries := range map[*place][]string{
			&neighbour: {"answers " + podIn + ":8888 egress", "answers " + agent + ":7777 here"},
			&c.host:    {"answers " + podOut + ":8888 egress"},
		} {
			for _, attempt := range tries {
				if o := mate(t, attempt); o.OK {
					t.Errorf("%s: it got through", attempt)
				}
				if o := (*from)(t, attempt); !o.OK {
					t.Errorf("control: %s: %s", attempt, o.Said)
				}
			}
		}
	})

	// What egress would reach for the agent. The control is an egress that is told to go to private addresses.
	open := openProxy(t, append([]string{docker0, "127.0.0.1", podOut, ownOut}, others...), port)
	targets := append(at("%s:"+port, append([]string{docker0, "127.0.0.1"}, others...)...), podOut+":8888", ownOut+":8888")
	c.none(t, []way{{
		name: "egress: it leads to no private address, listed or not, and not into its own pod",
		tries: append(at("proxy egress:8888 %s", targets...), at("proxy egress:8888 %s", "localhost:9100", "127.0.0.1:9100", "supervise:9100", "cred-proxy:8080", "git-gate:9418", "127.0.0.1:8081",
			"egress:8888", "0.0.0.0:9100", "[::1]:9100", place28(t, addresses(t, "claude-bottle-"+c.id)[mine], 2)+":9100", agent+":7777", podIn+":8888", "127.0.0.11:53")...),
		fails:    "403 Forbidden|502 Bad Gateway", // sidecars' names that are listed have no public address
		controls: []control{{c.host, at("proxy "+open+" %s", targets...)}},
	}})
	own := slices.ContainsFunc(c.voice(t, bottles.RoleEgress, c.id), func(l sidecars.Line) bool {
		return l.Event == sidecars.EventRefuse && l.Host == public && l.Cause == sidecars.CauseInward && strings.HasSuffix(l.Reason, "an address of the host itself")
	})
	if !own {
		t.Errorf("egress did not tell that %s is the host's own", public)
	}
}

// openProxy is an egress on this host that leads to these addresses.
func openProxy(t *testing.T, addrs []string, port string) string {
	t.Helper()
	config := egress.Config{AllowPrivate: addrs}
	for _, a := range addrs {
		config.Allow = append(config.Allow, a+":"+port, a+":8888")
	}
	content, err := config.Encode()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- egress.Serve(ctx, egress.Options{ConfigFile: file, Listen: "127.0.0.1:0", DNSListen: "off", Voice: sidecars.NewVoice(w, nil)})
	}()
	lines := bufio.NewReader(r)
	first, err := lines.ReadBytes('\n')
	ready, ok := sidecars.ParseLine(first)
	if err != nil || !ok {
		t.Fatalf("the control's proxy said %q: %v", first, err)
	}
	go lines.WriteTo(discard{}) //nolint:errcheck // until the pipe is closed
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		w.Close()
		r.Close()
	})
	return ready.Address
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func (c *cell) noWayIntoSidecars(t *testing.T) {
	var paths []string
	for _, base := range []string{"http://egress:8888", "http://cred-proxy:8080", "http://git-gate:8081", "http://supervise:9100"} {
		for _, try := range []string{"GET /", "GET /config", "PUT /config", "POST /config", "POST /config/config.json", "GET /config/config.json", "POST /tokens", "GET /tokens",
			"GET /health", "GET /metrics", "GET /debug/pprof/", "POST /reload", "GET /../config/config.json", "DELETE /queue", "POST /shutdown"} {
			method, path, _ := strings.Cut(try, " ")
			paths = append(paths, "http "+method+" "+base+path)
		}
	}
	holder := pidOf(t, "claude-bottle-egress-"+c.id)
	keeper, gate := pidOf(t, "claude-bottle-cred-proxy-"+c.id), pidOf(t, "claude-bottle-git-gate-"+c.id)
	victim := exec.Command(c.binary, "sleep") // of the host
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { victim.Process.Kill(); victim.Wait() }() //nolint:errcheck
	there := []string{
		"read /proc/" + holder + "/environ", "read /proc/" + keeper + "/environ", "openwrite /proc/" + keeper + "/fd/0",
		"read /proc/" + gate + "/environ", "openwrite /proc/" + gate + "/fd/0", "read /proc/" + gate + "/root/config/config.json", "read /proc/" + holder + "/root/config/config.json",
		"kill " + holder, "setns /proc/" + holder + "/ns/net", fmt.Sprintf("ptrace %d", victim.Process.Pid), fmt.Sprintf("openwrite /proc/%d/mem", victim.Process.Pid),
	}
	files := c.beside(t, "files", "--volumes-from", "claude-bottle-egress-"+c.id, "--volumes-from", "claude-bottle-supervise-"+c.other, c.image, "sleep")
	queue := c.root.QueueDir(c.id)
	c.none(t, []way{
		{
			name:     "control paths: sidecars serve none, their only orders are files that the agent does not have",
			tries:    paths,
			fails:    "^(400|403|404|405|406|415|501) ",
			controls: []control{{c.agents(c.id), []string{"http GET http://cred-proxy:8080/api/"}}},
		},
		{
			name:     "processes: the agent sees its own alone",
			tries:    []string{"processes sidecar", "processes dockerd", "processes containerd"},
			fails:    "^none among",
			controls: []control{{c.mighty, []string{"processes sidecar", "processes dockerd", "processes containerd"}}},
		},
		{
			name:     "environment, input, memory and namespaces of others: their processes do not exist for the agent",
			tries:    there,
			fails:    "no such file|no such process",
			controls: []control{{c.mighty, there}},
		},
		{
			name:     "files of the sidecars: no container mounts another's",
			tries:    []string{"read /config/config.json", "read /proc/1/root/config/config.json", "create /config/config.json", "create /spool/x"},
			fails:    "no such file",
			controls: []control{{files, []string{"read /config/config.json"}}},
		},
		{
			name:     "the queue: it is mounted into supervise alone",
			tries:    []string{"create /queue/a.answer.json", "create " + queue + "/a.answer.json", "read " + queue, "read /queue"},
			fails:    "no such file",
			controls: []control{{files, []string{"create /queue/.escape", "remove /queue/.escape"}}},
		},
	})
}

func (c *cell) noWayByFiles(t *testing.T) {
	inside := c.agents(c.id)
	before := inside(t, "read "+allowlistFile)
	if !before.OK || before.Said == "" {
		t.Fatalf("the allowlist in force: %+v", before)
	}
	dir := sidecars.CurrentConfigDir
	root := executed("--user", "0:0", "claude-bottle-"+c.other)
	c.none(t, []way{
		{
			name: "current-config: it belongs to root, in a directory that belongs to root",
			tries: []string{
				"write " + allowlistFile, "openwrite " + allowlistFile, "write /proc/self/root" + allowlistFile, "write /proc/1/root" + allowlistFile,
				"chmod " + allowlistFile, "chown " + allowlistFile, "chmod " + dir, "remove " + allowlistFile, "create " + dir + "/routes", "link /workspace/own-link " + dir + "/linked",
				"rename /workspace/own " + allowlistFile, "rename " + dir + " /workspace/away", "symlink /workspace " + dir + "/link", "symlink /workspace " + dir,
				"link " + allowlistFile + " /workspace/linked", "bind /workspace/own-bind " + allowlistFile, "bind /workspace " + dir, "mount tmpfs " + dir,
			},
			fails: "permission denied|operation not permitted|file exists|cross-device",
			controls: []control{{root, []string{
				"chmod " + allowlistFile, "openwrite " + allowlistFile, "write " + allowlistFile, "create " + dir + "/routes", "link " + allowlistFile + " " + dir + "/linked",
				"rename " + dir + "/own " + allowlistFile, "symlink /workspace " + dir + "/link", "remove " + allowlistFile, "rename " + dir + " /etc/away",
			}}},
		},
		{
			name:     "the container's own files: they belong to root",
			tries:    []string{"write /etc/resolv.conf", "write /etc/hosts", "write /etc/hostname", "write /escape-of-root", "create /etc/passwd", "create /x", "chmod /escape", "rename /workspace/own /escape"},
			fails:    "permission denied|operation not permitted|text file busy|cross-device",
			controls: []control{{root, []string{"openwrite /etc/resolv.conf", "openwrite /etc/hosts", "create /etc/passwd", "create /x", "chmod /etc/hosts"}}},
		},
		{
			name: "the kernel's files: they are masked or read-only, and belong to root",
			tries: []string{
				"openwrite /proc/sys/kernel/core_pattern", "openwrite /proc/sysrq-trigger", "openwrite /proc/sys/net/ipv4/ip_forward", "openwrite /proc/sys/kernel/modprobe",
				"create /sys/fs/cgroup/x", "openwrite /sys/kernel/uevent_helper", "openwrite /sys/kernel/mm/transparent_hugepage/enabled",
				"openwrite /sys/fs/cgroup/memory/memory.limit_in_bytes", "openwrite /sys/fs/cgroup/pids/pids.max",
			},
			fails:    "permission denied|no such file|read-only file system",
			controls: []control{{c.mighty, []string{"openwrite /proc/sys/kernel/core_pattern", "openwrite /proc/sys/net/ipv4/ip_forward"}}}, // every kernel has these
		},
		{
			name:     "devices: there are none but the harmless, and the agent makes none",
			tries:    []string{"mknod /workspace/kmsg", "mknod /dev/kmsg", "openwrite /dev/kmsg", "openwrite /dev/mem", "openwrite /dev/kvm", "openwrite /dev/sda", "openwrite /dev/vda", "openwrite /dev/fuse"},
			fails:    "permission denied|no such file|operation not permitted",
			controls: []control{{c.mighty, []string{"mknod /tmp/kmsg", "openwrite /dev/kmsg"}}},
		},
	})
	if after := inside(t, "read "+allowlistFile); after != before {
		t.Errorf("the allowlist in force is %+v, not %+v", after, before)
	}
}

func (c *cell) noWayByKernel(t *testing.T) {
	calls := at("syscall %s", "sethostname", "settime", "chroot", "bpf", "module", "handle", "keyring", "perf")
	unshare := at("unshare %s", "net", "ipc", "uts", "pid", "cgroup")
	c.none(t, []way{
		{
			name:     "programs of root: no_new_privs ignores whose they are",
			tries:    []string{"setuid", "exec /escape-of-root setuid"},
			fails:    "operation not permitted",
			controls: []control{{c.user, []string{"exec /escape-of-root setuid"}}},
		},
		{
			name:     "programs with capabilities: none is left to gain",
			tries:    []string{"exec /escape-with-capability rawsocket icmp"},
			fails:    "operation not permitted",
			controls: []control{{c.user, []string{"exec /escape-with-capability rawsocket icmp"}}},
		},
		{
			name:     "a user namespace: seccomp forbids to make one",
			tries:    []string{"userns"},
			fails:    "operation not permitted",
			controls: []control{{c.confused, []string{"userns"}}},
		},
		{
			name:     "other namespaces: the agent has no capability, and seccomp forbids it",
			tries:    append(unshare, "setns /proc/1/ns/net", "setns /proc/self/ns/net"),
			fails:    "operation not permitted",
			controls: []control{{c.mighty, append(unshare, "setns /proc/self/ns/net")}},
		},
		{
			name:     "mounts: the agent has no capability, and seccomp forbids it",
			tries:    []string{"mount tmpfs /workspace", "mount proc /workspace", "mount sysfs /workspace", "mount cgroup /workspace", "mount overlay /workspace", "bind / /workspace"},
			fails:    "operation not permitted",
			controls: []control{{c.mighty, []string{"mount tmpfs /workspace", "mount proc /workspace", "mount sysfs /workspace", "bind / /workspace"}}},
		},
		{
			name:     "calls for the host's administrator: seccomp and the lack of capabilities",
			tries:    calls,
			fails:    "operation not permitted|permission denied",
			controls: []control{{c.mighty, calls}},
		},
	})
}

// boundsHold has an agent take all that it can get: it harms its own bottle at most.
func (c *cell) boundsHold(t *testing.T) {
	inside, other := c.agents(c.id), c.agents(c.other)
	unharmed := func(t *testing.T) {
		t.Helper()
		for name, o := range map[string]outcome{
			"the other bottle's agent": other(t, "http GET http://cred-proxy:8080/api/"),
			"an ordinary container":    c.ordinary(t, "children 20 0s"),
			"this host":                c.host(t, "children 20 0s"),
		} {
			if !o.OK {
				t.Errorf("%s was harmed: %s", name, o.Said)
			}
		}
	}
	for _, b := range []struct{ name, attempt, control, fails string }{
		{"memory: the container's limit kills what goes beyond it", "memory 900", "memory 900", "killed"},
		{"processes: the container's limit refuses more", "children 160 3s", "children 160 0s", "came up"},
	} {
		t.Run(b.name, func(t *testing.T) {
			took := make(chan outcome, 1)
			go func() { took <- inside(t, b.attempt) }()
			unharmed(t)
			if o := <-took; o.OK || !strings.Contains(o.Said, b.fails) {
				t.Errorf("%+v", o)
			}
			unharmed(t)
			if o := inside(t, "http GET http://cred-proxy:8080/api/"); !o.OK {
				t.Errorf("its own bottle does not work any more: %s", o.Said)
			}
			if o := c.ordinary(t, b.control); !o.OK {
				t.Errorf("control: %s", o.Said)
			}
		})
	}
}
