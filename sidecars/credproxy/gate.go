package credproxy

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"bottle-tui/sidecars"
)

// gate accepts at most as many connections as free has room for, and answers the others at once.
type gate struct {
	net.Listener
	server *server
	free   chan struct{}
}

var tooMany = func() string {
	body := answerBytes("too many connections at once", "Close some, or wait until those that are open have ended.")
	return fmt.Sprintf("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: application/json\r\n%s: %s\r\nContent-Length: %d\r\n\r\n%s",
		ErrorHeader, ErrorMark, len(body), body)
}()

func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case g.free <- struct{}{}:
			return &heldConn{Conn: c, release: sync.OnceFunc(func() { <-g.free })}, nil
		default:
			c.SetWriteDeadline(time.Now().Add(time.Second)) //nolint:errcheck
			io.WriteString(c, tooMany)                      //nolint:errcheck
			c.Close()
			g.server.voice.say(sidecars.Line{Event: sidecars.EventError, Via: via, Reason: "the agent holds too many connections; one more was turned away"})
		}
	}
}

// heldConn takes one of the gate's places until it is closed.
type heldConn struct {
	net.Conn
	release func()
}

// CloseWrite lets the agent read an answer that was given before its request was read whole.
func (c *heldConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

func (c *heldConn) Close() error {
	c.release()
	return c.Conn.Close()
}
