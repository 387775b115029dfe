package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"bottle-tui/sidecars"

	"golang.org/x/net/dns/dnsmessage"
)

// Bounds of the resolver.
const (
	maxDNSConns   = 32
	maxDNSQueries = 64 // on one connection
	dnsTimeout    = 5 * time.Second
	sameName      = 2 * time.Second // a name asked for again within it is not told again
)

// resolverServer is the agent's resolver for all names but the sidecars', which the engine's own answers
// before. It knows no name: the agent has no way out but the proxy, and a name that is looked up elsewhere
// carries data out. "No such name" is the one answer on which every client gives up at once.
type resolverServer struct {
	udp    net.PacketConn
	tcp    net.Listener
	server *server

	mu    sync.Mutex
	told  map[string]time.Time
	conns map[net.Conn]struct{}
	over  bool
}

// listenDNS listens on addr, udp and tcp; with port 0 on any one port that is free for both.
func listenDNS(ctx context.Context, addr string, s *server) (*resolverServer, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	lc := net.ListenConfig{}
	for tries := 1; ; tries++ {
		udp, err := lc.ListenPacket(ctx, "udp", addr)
		if err != nil {
			return nil, err
		}
		_, chosen, _ := net.SplitHostPort(udp.LocalAddr().String())
		tcp, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, chosen))
		if err == nil {
			return &resolverServer{udp: udp, tcp: tcp, server: s, told: map[string]time.Time{}, conns: map[net.Conn]struct{}{}}, nil
		}
		udp.Close()
		if port != "0" || tries == 10 {
			return nil, err
		}
	}
}

func (d *resolverServer) close() {
	d.udp.Close()
	d.tcp.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	for c := range d.conns {
		c.Close()
	}
}

func (d *resolverServer) serveUDP(ctx context.Context) error {
	buf := make([]byte, 4096)
	for {
		n, from, err := d.udp.ReadFrom(buf)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) || !d.pause(ctx, err) {
				return nil
			}
			continue
		}
		if reply := d.reply(buf[:n]); reply != nil {
			d.udp.WriteTo(reply, from) //nolint:errcheck // the agent may have gone
		}
	}
}

func (d *resolverServer) serveTCP(ctx context.Context) error {
	var open sync.WaitGroup
	defer open.Wait()
	for {
		c, err := d.tcp.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) || !d.pause(ctx, err) {
				return nil
			}
			continue
		}
		d.mu.Lock()
		room := len(d.conns) < maxDNSConns && !d.over
		if room {
			d.conns[c] = struct{}{}
		}
		d.mu.Unlock()
		if !room {
			c.Close()
			continue
		}
		open.Go(func() {
			defer func() {
				c.Close()
				d.mu.Lock()
				delete(d.conns, c)
				d.mu.Unlock()
			}()
			d.converse(c)
		})
	}
}

// pause says that the resolver has a trouble, such as no file descriptor left, and waits a little before the
// next try; false when egress ends meanwhile.
func (d *resolverServer) pause(ctx context.Context, err error) bool {
	d.server.voice.say(sidecars.Line{Event: sidecars.EventError, Via: "dns", Reason: err.Error()})
	select {
	case <-ctx.Done():
		return false
	case <-time.After(100 * time.Millisecond):
		return true
	}
}

// converse answers the questions that come on one TCP connection, each behind its length (RFC 1035, 4.2.2).
func (d *resolverServer) converse(c net.Conn) {
	var size [2]byte
	buf := make([]byte, 4096)
	for range maxDNSQueries {
		c.SetDeadline(time.Now().Add(dnsTimeout)) //nolint:errcheck
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(size[:]))
		if n > len(buf) {
			return
		}
		if _, err := io.ReadFull(c, buf[:n]); err != nil {
			return
		}
		reply := d.reply(buf[:n])
		if reply == nil {
			return
		}
		if _, err := c.Write(binary.BigEndian.AppendUint16(nil, uint16(len(reply)))); err != nil {
			return
		}
		if _, err := c.Write(reply); err != nil {
			return
		}
	}
}

// reply is the answer to one message; nil when it deserves none. It is never longer than the question.
func (d *resolverServer) reply(msg []byte) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || h.Response {
		return nil // an answer to an answer would go on for ever
	}
	out := dnsmessage.Header{ID: h.ID, Response: true, OpCode: h.OpCode, RecursionDesired: h.RecursionDesired, RecursionAvailable: true}
	q, err := p.Question()
	_, more := p.Question()
	switch {
	case h.OpCode != 0:
		out.RCode = dnsmessage.RCodeNotImplemented
	case err != nil || !errors.Is(more, dnsmessage.ErrSectionDone):
		out.RCode = dnsmessage.RCodeFormatError
	default:
		out.RCode = dnsmessage.RCodeNameError
	}
	d.tell(q, out.RCode)
	b := dnsmessage.NewBuilder(make([]byte, 0, len(msg)), out)
	if out.RCode == dnsmessage.RCodeNameError {
		if b.StartQuestions() != nil || b.Question(q) != nil {
			return nil
		}
	}
	reply, err := b.Finish()
	if err != nil {
		return nil
	}
	return reply
}

// tell says that the agent tried to look up a name, which clients do for each address family and again, or that it sent
// something else.
func (d *resolverServer) tell(q dnsmessage.Question, code dnsmessage.RCode) {
	l := sidecars.Line{Event: sidecars.EventRefuse, Via: "dns", Reason: "a DNS message other than a question for one name"}
	name := ""
	if code == dnsmessage.RCodeNameError {
		name = strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
		l.Host, l.Port, l.Reason = name, sidecars.PortDNS, "no names are resolved here; the proxy resolves those that it allows"
		if p := d.server.traffic.policy(); p.allows(name, 443) || p.allows(name, 80) {
			l.Reason = "it is allowed, but through the proxy: the client does not use HTTPS_PROXY"
		}
	}
	now := time.Now()
	d.mu.Lock()
	again := now.Sub(d.told[name]) < sameName
	if len(d.told) >= 256 {
		clear(d.told)
	}
	if !again {
		d.told[name] = now
	}
	d.mu.Unlock()
	if !again {
		d.server.voice.say(l)
	}
}
