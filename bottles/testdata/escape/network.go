package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// tcp connects to an address.
func tcp(args []string) (string, error) {
	c, err := net.DialTimeout("tcp", args[0], patience)
	if err != nil {
		return "", err
	}
	return "connected", c.Close()
}

// udp wants an answer from an address.
func udp(args []string) (string, error) {
	c, err := net.DialTimeout("udp", args[0], patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, "ping"); err != nil {
		return "", err
	}
	b := make([]byte, 64)
	n, err := c.Read(b)
	return string(b[:n]), err
}

func unixSocket(args []string) (string, error) {
	c, err := net.DialTimeout("unix", args[0], patience)
	if err != nil {
		return "", err
	}
	return "connected", c.Close()
}

// ask asks a resolver for the address of a name: ask SERVER udp|tcp NAME.
func ask(args []string) (string, error) {
	q := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 4242, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(args[2]), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	b, err := q.Pack()
	if err != nil {
		return "", err
	}
	c, err := net.DialTimeout(args[1], args[0], patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(answered)); err != nil {
		return "", err
	}
	buf := make([]byte, 4096)
	if args[1] == "tcp" {
		b = append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
	}
	if _, err := c.Write(b); err != nil {
		return "", err
	}
	n := 0
	if args[1] == "tcp" {
		if _, err := io.ReadFull(c, buf[:2]); err != nil {
			return "", err
		}
		n = int(binary.BigEndian.Uint16(buf))
		_, err = io.ReadFull(c, buf[:n])
	} else {
		n, err = c.Read(buf)
	}
	if err != nil {
		return "", err
	}
	var m dnsmessage.Message
	if err := m.Unpack(buf[:n]); err != nil {
		return "", err
	}
	if len(m.Answers) == 0 {
		return "", errors.New("no answer: " + m.RCode.String())
	}
	return fmt.Sprint(m.Answers[0].Body), nil
}

// lookup asks whom the machine asks.
func lookup(args []string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answered)
	defer cancel()
	found, err := net.DefaultResolver.LookupHost(ctx, args[0])
	return strings.Join(found, " "), err
}

// unproxied goes straight to where it is told, whatever the environment says of proxies.
var unproxied = http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: 2 * patience}).DialContext}, Timeout: answered}

// request makes an HTTP request without a proxy: request METHOD URL. Only a status of success is one.
func request(args []string) (string, error) {
	r, err := http.NewRequest(args[0], args[1], strings.NewReader("{}"))
	if err != nil {
		return "", err
	}
	answer, err := unproxied.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		return "", errors.New(answer.Status)
	}
	return answer.Status, nil
}

// answers wants a word in what an address answers to a request, whatever its status: answers ADDRESS WORD. Some
// networks answer for addresses that nobody has.
func answers(args []string) (string, error) {
	answer, err := unproxied.Get("http://" + args[0] + "/")
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err == nil && !strings.Contains(string(b), args[1]) {
		err = errors.New("it is somebody else who answers: " + answer.Status)
	}
	return string(b), err
}

// connect asks a proxy for a tunnel: connect PROXY TARGET.
func connect(args []string) (string, error) {
	c, err := net.DialTimeout("tcp", args[0], patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(answered)); err != nil {
		return "", err
	}
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", args[1], args[1])
	status, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return "", err
	}
	if !strings.Contains(status, " 200 ") {
		return "", errors.New(strings.TrimSpace(status))
	}
	return status, nil
}

// ping wants an echo, through the kind of socket that needs no privilege.
func ping(args []string) (string, error) {
	c, err := icmp.ListenPacket("udp4", "0.0.0.0")
	if err != nil {
		return "", err
	}
	defer c.Close()
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: 1, Seq: 1, Data: []byte("data that leaves")}}
	b, err := m.Marshal(nil)
	if err != nil {
		return "", err
	}
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(args[0]), 0))
	if _, err := c.WriteTo(b, to); err != nil {
		return "", err
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	buf := make([]byte, 1500)
	n, _, err := c.ReadFrom(buf)
	if err != nil {
		return "", err
	}
	back, err := icmp.ParseMessage(1, buf[:n])
	if err != nil {
		return "", err
	}
	if back.Type != ipv4.ICMPTypeEchoReply {
		return "", fmt.Errorf("it answered %v", back.Type)
	}
	return "it answered", nil
}

// rawSocket opens a socket that bypasses the kernel's protocols.
func rawSocket(args []string) (string, error) {
	kinds := map[string][3]int{
		"icmp":   {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP},
		"ip":     {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW},
		"ip6":    {unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_RAW},
		"packet": {unix.AF_PACKET, unix.SOCK_RAW, 0x0300}, // ETH_P_ALL in network order
	}
	k := kinds[args[0]]
	fd, err := unix.Socket(k[0], k[1], k[2])
	if err != nil {
		return "", err
	}
	return "opened", unix.Close(fd)
}

// ipv6 tells of an IPv6 address that leads further than to itself.
func ipv6([]string) (string, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() == nil && !n.IP.IsLoopback() {
			return n.String(), nil
		}
	}
	return "", fmt.Errorf("no IPv6 address among %v", addrs)
}

// scan connects to the ports from … to of a host: scan HOST FROM TO. It gets through when one answers.
func scan(args []string) (string, error) {
	from, _ := strconv.Atoi(args[1])
	to, _ := strconv.Atoi(args[2])
	var mu sync.Mutex
	var open []int
	var odd error
	var all sync.WaitGroup
	room := make(chan struct{}, 128)
	for port := from; port <= to; port++ {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			c, err := net.DialTimeout("tcp", net.JoinHostPort(args[0], strconv.Itoa(port)), 2*answered)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				c.Close()
				open = append(open, port)
			case !errors.Is(err, unix.ECONNREFUSED):
				odd = err
			}
		})
	}
	all.Wait()
	if odd != nil { // a port that may have been open was not tried
		return "", fmt.Errorf("the scan is not whole: %w", odd)
	}
	if len(open) == 0 {
		return "", errors.New("all are closed")
	}
	slices.Sort(open)
	return strings.Trim(fmt.Sprint(open), "[]"), nil
}

// listen answers on a port for so long: listen PORT TIME.
func listen(args []string) (string, error) {
	if err := serve("0.0.0.0:" + args[0]); err != nil {
		return "", err
	}
	d, err := time.ParseDuration(args[1])
	time.Sleep(d)
	return "listened", err
}

// netlinkDo sends one netlink request and gives the kernel's verdict.
func netlinkDo(kind uint16, flags uint16, body []byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	h := binary.LittleEndian.AppendUint32(nil, uint32(16+len(body)))
	h = binary.LittleEndian.AppendUint16(h, kind)
	h = binary.LittleEndian.AppendUint16(h, unix.NLM_F_REQUEST|unix.NLM_F_ACK|flags)
	h = append(h, 1, 0, 0, 0, 0, 0, 0, 0)
	if err := unix.Sendto(fd, append(h, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	b := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, b, 0)
	if err != nil {
		return err
	}
	if n < 20 {
		return errors.New("a short answer")
	}
	if code := int32(binary.LittleEndian.Uint32(b[16:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}

func attribute(kind uint16, value []byte) []byte {
	b := binary.LittleEndian.AppendUint16(nil, uint16(4+len(value)))
	b = binary.LittleEndian.AppendUint16(b, kind)
	return append(b, value...)
}

// addRoute adds a default route through an address.
func addRoute(args []string) (string, error) {
	body := []byte{unix.AF_INET, 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0, 0, 0, 0}
	body = append(body, attribute(unix.RTA_GATEWAY, netip.MustParseAddr(args[0]).AsSlice())...)
	body = append(body, attribute(unix.RTA_PRIORITY, []byte{99, 0, 0, 0})...)
	return "added", netlinkDo(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, body)
}

// addAddress gives the interface another address: addAddress INTERFACE ADDRESS.
func addAddress(args []string) (string, error) {
	i, err := net.InterfaceByName(args[0])
	if err != nil {
		return "", err
	}
	body := []byte{unix.AF_INET, 32, 0, 0}
	body = binary.LittleEndian.AppendUint32(body, uint32(i.Index))
	body = append(body, attribute(unix.IFA_LOCAL, netip.MustParseAddr(args[1]).AsSlice())...)
	return "added", netlinkDo(unix.RTM_NEWADDR, unix.NLM_F_CREATE, body)
}
