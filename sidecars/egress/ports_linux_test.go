package egress_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/egress"

	"golang.org/x/sys/unix"
)

// A local port is taken for one upstream, not for all: a bottle that has used every one for the first still reaches
// the second.
func TestLocalPortsAreSharedByUpstreams(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"=few ports")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if uid := os.Getuid(); uid != 0 { // an ordinary user is root of a namespace of his own
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func init() { fewPorts = reachTwoUpstreams }

// reachTwoUpstreams opens tunnels to two upstreams in a network of its own, with as many local ports as there are
// tunnels to each.
func reachTwoUpstreams() error {
	const ports = 8
	if err := loopbackUp(); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", fmt.Appendf(nil, "40000 %d", 40000+ports-1), 0); err != nil {
		return err
	}
	c := egress.Config{AllowPrivate: []string{"127.0.0.0/8"}}
	upstreams := []string{"127.0.0.3:9001", "127.0.0.3:9002"}
	for _, at := range upstreams {
		l, err := net.Listen("tcp", at)
		if err != nil {
			return err
		}
		defer l.Close()
		c.Allow = append(c.Allow, at)
	}
	content, err := c.Encode()
	if err != nil {
		return err
	}
	file, err := os.CreateTemp("", "few-ports-*.json")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if _, err := file.Write(content); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	const listen = "127.0.0.1:9000"
	said, voice := io.Pipe()
	go egress.Serve(context.Background(), egress.Options{
		ConfigFile: file.Name(), Listen: listen, DNSListen: "off", Voice: sidecars.NewVoice(voice, nil), Resolver: &names{},
	})
	if _, err := said.Read(make([]byte, 1)); err != nil { // it is ready
		return err
	}
	go io.Copy(io.Discard, said)
	for i, at := range slices.Repeat(upstreams, ports) {
		// The client's own port is of another range, by its own address: only egress's are scarce.
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(fmt.Sprintf("127.0.0.2:%d", 20000+i)))}
		conn, err := d.Dial("tcp", listen)
		if err != nil {
			return err
		}
		defer conn.Close()
		fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", at, at)
		answer := make([]byte, 512)
		n, err := conn.Read(answer)
		if err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 200 ") {
			return fmt.Errorf("tunnel %d, to %s: %q, %v", i+1, at, answer[:n], err)
		}
	}
	return nil
}

// loopbackUp sets up the loopback interface of a new network namespace.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo)
}
