package bottles_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker"
	"bottle-tui/sidecars"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// escape builds the program of an agent that wants to get out, see testdata/escape, and imports its image. Besides
// the agent that holds the same program twice more: one that belongs to root and runs as it, and one that carries
// a capability.
func escape(dir, ref string) (string, error) {
	path := filepath.Join(dir, "escape")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./testdata/escape")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the agent that escapes: %w\n%s", err, out)
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeDir, Name: "home/agent/.claude/", Mode: 0o755, Uid: 1000, Gid: 1000},
		{Typeflag: tar.TypeDir, Name: "workspace/", Mode: 0o755, Uid: 1000, Gid: 1000},
		{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777},
		{Typeflag: tar.TypeReg, Name: "escape", Mode: 0o755},
		{Typeflag: tar.TypeReg, Name: "escape-of-root", Mode: 0o4755},
		// vfs_cap_data, revision 2, effective: CAP_NET_RAW (linux/capability.h).
		{Typeflag: tar.TypeReg, Name: "escape-with-capability", Mode: 0o755, Format: tar.FormatPAX, PAXRecords: map[string]string{
			"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		}},
	} {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(binary))
		}
		if err := w.WriteHeader(&h); err != nil {
			return "", err
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write(binary); err != nil {
				return "", err
			}
		}
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	engine, err := docker.Open(context.Background())
	if err != nil {
		return "", err
	}
	defer engine.Close()
	_, err = engine.Import(context.Background(), ref, &b, bottles.ImageConfig{Entrypoint: []string{"/escape"}})
	return path, err
}

// outcome is what came of an attempt, as testdata/escape says it.
type outcome struct {
	OK   bool
	Said string
}

// place is where attempts are made: an agent of a bottle, an ordinary container, this host.
type place func(t *testing.T, attempt string) outcome

// cell is two live bottles, side by side, and the ordinary places around them.
type cell struct {
	*world
	id, other string // bottles
	prefix    string // of the names of what is made beside them
	image     string // of the agents, and of what is made beside them
	binary    string // the program that escapes, on this host

	host     place // this host, as root
	ordinary place // a container of nobody's: default bridge, the engine's own hardening
	user     place // the same, as the agent's user
	mighty   place // one that may do anything, and sees the host's processes and the engine's socket
	confused place // the same, as the agent's user
}

// lacking ends a test for want of something that this machine should have: skipped where somebody works, failed in CI,
// where nobody would see that it was skipped.
func lacking(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// publicAddress gives this host, for the test, one more address that is as public as any: one of those for answering
// questions about private ones (RFC 7535), which nobody else here needs.
func publicAddress(t *testing.T) string {
	t.Helper()
	addr := netip.AddrFrom4([4]byte{192, 31, 196, byte(1 + mathrand.IntN(254))})
	alias, err := unix.NewIfreq("lo:" + strings.ToLower(rand.Text()[:8]))
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	set := func(request uint, value netip.Addr) error {
		if err := alias.SetInet4Addr(value.AsSlice()); err != nil {
			return err
		}
		return unix.IoctlIfreq(fd, request, alias)
	}
	if err := set(unix.SIOCSIFADDR, addr); err != nil {
		lacking(t, "this host can't be given an address: %v", err)
	}
	t.Cleanup(func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			defer unix.Close(fd)
			alias.SetUint16(0) // an alias that is not up is none
			err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, alias)
		}
		if err != nil {
			t.Errorf("the address %s stays on this host: %v", addr, err)
		}
	})
	if err := set(unix.SIOCSIFNETMASK, netip.AddrFrom4([4]byte{255, 255, 255, 255})); err != nil {
		t.Fatal(err)
	}
	return addr.String()
}

// newCell has both bottles up and their agents listening.
func newCell(t *testing.T, tune func(*bottles.Profile)) *cell {
	t.Helper()
	if os.Getuid() != 0 {
		lacking(t, "the controls of these tests need root")
	}
	c := &cell{world: newWorld(t), prefix: "bottle-tui-test-" + strings.ToLower(rand.Text()[:8])}
	c.image = c.prefix + ":escape"
	var err error
	if c.binary, err = escape(t.TempDir(), c.image); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", c.image).Run() })
	c.tokens["API_TOKEN"] = secret
	c.cat.dockerfile = "FROM " + c.image + "\nLABEL test=\"" + c.root.ID() + "\"\n"
	c.cat.tune = tune
	c.run(nil)
	for _, id := range []*string{&c.id, &c.other} {
		c.must(bottles.Launch{Agent: "tester"})
		c.await("one more bottle is live", func(s *bottles.Snapshot) bool {
			for _, b := range s.Bottles {
				if b.Status == bottles.Live && b.Identity != c.id {
					*id = b.Identity
					return true
				}
			}
			return false
		})
		c.awaitText(*id, "agent started")
	}
	c.host = func(t *testing.T, attempt string) outcome {
		return said(t, exec.Command(c.binary, append([]string{"try"}, strings.Fields(attempt)...)...))
	}
	c.ordinary = c.beside(t, "ordinary", c.image, "sleep")
	c.user = executed("--user", "1000:1000", c.prefix+"-ordinary")
	c.mighty = c.beside(t, "mighty", append(might(), "--pid", "host", "--volume", "/var/run/docker.sock:/var/run/docker.sock", c.image, "sleep")...)
	c.confused = executed("--user", "1000:1000", c.prefix+"-mighty")
	return c
}

// might are the flags of a container that may do what a host's administrator may. They are single ones because an
// engine that lacks a capability itself refuses --privileged.
func might() []string {
	flags := []string{"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
		"--device", "/dev/net/tun", "--device", "/dev/kmsg", "--device-cgroup-rule", "c 1:11 rwm"}
	for _, name := range []string{"SYS_ADMIN", "SYS_PTRACE", "SYS_TIME", "SYS_MODULE", "SYSLOG", "NET_ADMIN", "DAC_READ_SEARCH"} {
		flags = append(flags, "--cap-add", name)
	}
	return flags
}

// engineSays runs the engine's own client.
func engineSays(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// beside starts a container that is no part of a bottle, and gives the way to make attempts in it.
func (c *cell) beside(t *testing.T, name string, args ...string) place {
	t.Helper()
	name = c.prefix + "-" + name
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "--force", name).Run() })
	engineSays(t, append([]string{"run", "--detach", "--name", name}, args...)...)
	for late := time.Now().Add(patience); !strings.Contains(engineSays(t, "logs", name), "up"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("%s does not come up", name)
		}
	}
	return executed(name)
}

// executed makes attempts in a running container; where says which, behind flags of docker exec.
func executed(where ...string) place {
	return func(t *testing.T, attempt string) outcome {
		args := append(append([]string{"exec"}, where...), "/escape", "try")
		return said(t, exec.Command("docker", append(args, strings.Fields(attempt)...)...))
	}
}

func said(t *testing.T, command *exec.Cmd) outcome {
	t.Helper()
	out, err := command.Output()
	var o outcome
	if jsonErr := json.Unmarshal(out, &o); jsonErr != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return outcome{Said: fmt.Sprintf("%v: %s", err, exit.Stderr)}
		}
		t.Fatalf("%v: %q, %v", command.Args, out, err)
	}
	return o
}

// agents gives the way to have an agent make attempts: it is typed to, and tells on its screen.
func (c *cell) agents(id string) place {
	return func(t *testing.T, attempt string) outcome {
		t.Helper()
		key := rand.Text()
		c.sup.Type(id, []byte("try "+key+" "+attempt+"\n"))
		told := regexp.MustCompile("RESULT " + key + " ([A-Za-z0-9+/=]*)\r\n")
		deadline := time.Now().Add(3 * patience) // it may try every port there is
		for {
			if m := told.FindStringSubmatch(c.screen(id).String()); m != nil {
				b, err := base64.StdEncoding.DecodeString(m[1])
				if err != nil {
					t.Fatal(err)
				}
				var o outcome
				if err := json.Unmarshal(b, &o); err != nil {
					t.Fatalf("%s: %q: %v", attempt, b, err)
				}
				return o
			}
			if time.Now().After(deadline) {
				t.Fatalf("the agent did not tell what came of %q", attempt)
			}
			time.Sleep(5 * time.Millisecond) // between two looks, up to the deadline
		}
	}
}

// addresses are a container's addresses on its networks, by the network's name.
func addresses(t *testing.T, container string) map[string]string {
	t.Helper()
	out := engineSays(t, "inspect", "--format", "{{range $n, $e := .NetworkSettings.Networks}}{{$n}}={{$e.IPAddress}} {{end}}", container)
	found := map[string]string{}
	for _, pair := range strings.Fields(out) {
		name, addr, _ := strings.Cut(pair, "=")
		found[name] = addr
	}
	return found
}

// pidOf is a container's first process, in the host's numbers.
func pidOf(t *testing.T, container string) string {
	t.Helper()
	return engineSays(t, "inspect", "--format", "{{.State.Pid}}", container)
}

// voice is what a sidecar said so far.
func (c *cell) voice(t *testing.T, role bottles.Role, id string) (lines []sidecars.Line) {
	t.Helper()
	r, err := c.engine.Logs(context.Background(), "claude-bottle-"+string(role)+"-"+id, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(all) {
		if l, ok := sidecars.ParseLine(line); ok {
			lines = append(lines, l)
		}
	}
	return lines
}

// way is one way out. Every attempt of it fails in the bottle, for the reason that fails says; every control,
// the same kind of attempt where nothing forbids it, gets through.
type way struct {
	name     string // with the reason why it is none
	tries    []string
	fails    string // regular expression of what each attempt is told
	controls []control
}

type control struct {
	from  place
	tries []string
}

// none fails the test where an agent gets out, or where a control does not.
func (c *cell) none(t *testing.T, ways []way) {
	t.Helper()
	inside := c.agents(c.id)
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			because := regexp.MustCompile(w.fails)
			outcomes := make([]outcome, len(w.tries))
			var all sync.WaitGroup
			for i, attempt := range w.tries {
				all.Go(func() { outcomes[i] = inside(t, attempt) })
			}
			all.Wait()
			for i, o := range outcomes {
				switch {
				case o.OK:
					t.Errorf("%s: it got through: %s", w.tries[i], o.Said)
				case !because.MatchString(o.Said):
					t.Errorf("%s: it failed for another reason: %s", w.tries[i], o.Said)
				}
			}
			if len(w.tries) == 0 || len(w.controls) == 0 {
				t.Error("nothing was tried, or there is no control")
			}
			for _, k := range w.controls {
				for _, attempt := range k.tries {
					if o := k.from(t, attempt); !o.OK {
						t.Errorf("control: %s: %s", attempt, o.Said)
					}
				}
			}
		})
	}
}

// hostService is what an agent is after on the host: a server on all its addresses, tcp and udp on one port,
// that a resolver's question is answered by, too.
func hostService(t *testing.T) (port string) {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ = net.SplitHostPort(l.Addr().String())
		if serveNames(t, l, ":"+port) {
			return port
		}
	}
	t.Fatal("no port is free for both tcp and udp")
	return ""
}

// answered is what the host's stand-in resolver knows of every name.
const answered = "192.0.2.77"

// serveNames answers questions for names on l and, over udp, on addr; anything else that comes over udp is sent
// back. It is false when addr is taken.
func serveNames(t *testing.T, l net.Listener, addr string) bool {
	t.Helper()
	u, err := net.ListenPacket("udp", addr)
	if err != nil {
		l.Close()
		return false
	}
	var open sync.WaitGroup
	open.Go(func() {
		b := make([]byte, 4096)
		for {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			reply := nameAnswer(b[:n])
			if reply == nil {
				reply = b[:n]
			}
			u.WriteTo(reply, from) //nolint:errcheck // who asked may have gone
		}
	})
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(5 * time.Second)) //nolint:errcheck
				var size [2]byte
				if _, err := io.ReadFull(c, size[:]); err != nil {
					return
				}
				b := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(c, b); err != nil {
					return
				}
				if reply := nameAnswer(b); reply != nil {
					c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)) //nolint:errcheck
				}
			})
		}
	})
	t.Cleanup(func() { u.Close(); l.Close(); open.Wait() })
	return true
}

func nameAnswer(b []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(b) != nil || m.Response || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.Additionals = true, nil
	if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
		var a dnsmessage.AResource
		copy(a.A[:], net.ParseIP(answered).To4())
		m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}, Body: &a}}
	}
	reply, err := m.Pack()
	if err != nil {
		return nil
	}
	return reply
}
