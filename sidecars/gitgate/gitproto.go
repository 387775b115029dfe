package gitgate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"

	"bottle-tui/sidecars"
)

const viaGit = "git"

// serveGit serves the git protocol: gitprotocol-pack(5), "Git Transport".
func (s *server) serveGit(ctx context.Context, l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("git-gate: %w", err)
		}
		if !s.conns.enter(c) {
			c.Close()
			return nil
		}
		go func() {
			defer s.conns.leave(c)
			s.serveGitConn(context.WithoutCancel(ctx), c)
		}()
	}
}

func (s *server) tooManyGit(c net.Conn) {
	c.SetWriteDeadline(time.Now().Add(time.Second)) //nolint:errcheck
	sayErr(c, tooManyReason, "")
	s.voice.say(sidecars.Line{Event: sidecars.EventError, Via: viaGit, Reason: "the agent holds too many connections; one more was turned away"})
}

// sayErr ends a conversation with a reason, which git shows after "remote error: ".
func sayErr(w io.Writer, reason, hint string) {
	w.Write(appendPkt(nil, "ERR "+plain(strings.TrimSpace("git-gate: "+reason+". "+hint), 1500))) //nolint:errcheck // the agent may have gone
}

var pathRequest = regexp.MustCompile(`^/([A-Za-z0-9][A-Za-z0-9._-]*?)(?:\.git)?/*$`)

func (s *server) serveGitConn(ctx context.Context, c net.Conn) {
	c.SetReadDeadline(time.Now().Add(headerTimeout)) //nolint:errcheck // of a TCP connection
	first, err := readPkt(c)
	if err != nil || first.special >= 0 {
		return
	}
	fields := strings.Split(string(first.data), "\x00")
	service, path, _ := strings.Cut(strings.TrimSuffix(fields[0], "\n"), " ")
	protocol := ""
	for _, extra := range fields[1:] {
		if strings.HasPrefix(extra, "version=") && protocolForm.MatchString(extra) {
			protocol = extra
		}
	}
	turnAway := func(name, reason, hint string) {
		s.voice.say(sidecars.Line{Event: sidecars.EventRefuse, Remote: name, Via: viaGit, Reason: reason})
		sayErr(c, reason, hint)
	}
	m := pathRequest.FindStringSubmatch(path)
	if m == nil {
		reason, hint := s.nowhere(path, "git://git-gate/NAME")
		turnAway("", reason, hint)
		return
	}
	f, err := s.traffic.admit(ctx, m[1], true)
	if err != nil {
		var none *noRemote
		if errors.As(err, &none) {
			turnAway(m[1], err.Error(), none.hint())
		} else {
			sayErr(c, err.Error(), "")
		}
		return
	}
	defer s.traffic.remove(f)
	defer hurry(f.ctx, c.SetReadDeadline, c.SetWriteDeadline)()
	in := bufio.NewReaderSize(&stallReader{f.ctx, c, c.SetReadDeadline}, copyBuffer)
	switch service {
	case uploadPack:
		err = s.fetchGit(c, in, f, protocol)
	case receivePack:
		err = s.pushGit(c, in, f)
	default:
		turnAway(f.Name, plain(service, 40)+" is not served here", "Fetch, or push.")
		return
	}
	if err != nil {
		hint := hintFor(err)
		var cut *errCut
		if cause := context.Cause(f.ctx); errors.As(cause, &cut) {
			err, hint = cause, ""
		}
		s.voice.say(sidecars.Line{Event: sidecars.EventError, Remote: f.Name, Via: viaGit, Host: f.to.host, Port: f.to.port, Reason: err.Error()})
		sayErr(c, err.Error(), hint)
	}
}

// fetchGit passes a fetch on as it is. Its error is for before the first answer.
func (s *server) fetchGit(c net.Conn, in *bufio.Reader, f *flight, protocol string) error {
	began := time.Now()
	session, err := s.keys.start(f.ctx, f, uploadPack, protocol)
	if err != nil {
		return err
	}
	whole := false
	defer func() { session.end(whole) }()
	if _, err := session.out.Peek(1); err != nil {
		return session.why(err)
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		io.CopyBuffer(struct{ io.Writer }{session.in}, struct{ io.Reader }{in}, make([]byte, copyBuffer)) //nolint:errcheck // the other side tells
		session.in.Close()
	})
	out := &tail{to: c}
	n, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{session.out}, make([]byte, copyBuffer))
	line := sidecars.Line{Event: sidecars.EventFetch, Remote: f.Name, Via: viaGit, Received: n, Millis: time.Since(began).Milliseconds()}
	said := false
	var cut *errCut
	switch cause := context.Cause(f.ctx); {
	case errors.As(cause, &cut):
		line.Reason = "broke off: " + cut.reason
		said = out.say(cut.reason)
	case err != nil: // of either side
		line.Reason = "broke off: " + err.Error()
		said = out.say(brokeOff)
	case !out.ended && !out.foreign:
		said = out.say(brokeOff)
		line.Reason = "broke off: " + session.why(io.ErrUnexpectedEOF).Error()
	default:
		whole = true
	}
	if said {
		closeWrite(c)
		linger(f.ctx, c)
	}
	s.voice.say(line)
	c.Close()
	sending.Wait()
	return nil
}

// startPush starts the upstream's receive-pack and reads what it has.
func (s *server) startPush(ctx context.Context, f *flight) (*sshSession, *advert, error) {
	session, err := s.keys.start(ctx, f, receivePack, "")
	if err != nil {
		return nil, nil, err
	}
	if _, err := session.out.Peek(1); err != nil {
		err = session.why(err)
		session.end(false)
		return nil, nil, err
	}
	a, err := readAdvert(session.out)
	if err != nil {
		session.end(false)
		return nil, nil, fmt.Errorf("read what the upstream has: %w", err)
	}
	return session, a, nil
}

// pushGit looks at a push and sends it on. Its error is for before the first answer.
func (s *server) pushGit(c net.Conn, in *bufio.Reader, f *flight) error {
	to := f.deliver()
	defer to.end()
	session, a, err := s.startPush(to.ctx, f)
	if err != nil {
		return err
	}
	whole := false
	defer func() { session.end(whole) }()
	if _, err := c.Write(a.raw); err != nil {
		return nil
	}
	a.raw = nil
	q, err := readRequest(in)
	var no *refusal
	switch {
	case errors.As(err, &no):
		s.voice.say(sidecars.Line{Event: sidecars.EventRefuse, Remote: f.Name, Via: viaGit, Reason: no.reason})
		sayErr(c, no.reason, no.hint)
		linger(f.ctx, c)
		return nil
	case err != nil:
		return nil // the agent has gone
	case q == nil:
		io.WriteString(session.in, flushPkt) //nolint:errcheck // it changes nothing
		whole = true
		return nil
	}
	received, rested := false, false
	var watch sync.WaitGroup
	p := &pushing{
		flight: f, via: viaGit, in: in, out: c, to: to,
		tips: func(context.Context) (map[string]oid, error) { return a.tips, nil },
		rest: func() { // it may be an hour, longer than many servers and what is between keep a connection
			io.WriteString(session.in, flushPkt) //nolint:errcheck // it changes nothing
			session.end(true)
			rested = true
		},
		forward: func(ctx context.Context, body func() io.Reader, _ int64) (io.ReadCloser, error) {
			if rested {
				again, _, err := s.startPush(ctx, f)
				if err != nil {
					return nil, err
				}
				session = again
			}
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				io.CopyBuffer(struct{ io.Writer }{session.in}, body(), make([]byte, copyBuffer)) //nolint:errcheck // the answer tells
			}()
			return &closing{io.NopCloser(session.out), func() {
				if context.Cause(ctx) == nil {
					io.Copy(io.Discard, io.LimitReader(session.out, 1<<20)) //nolint:errcheck // it ends with the program
					timer := time.NewTimer(time.Second)
					defer timer.Stop()
					select {
					case <-sent:
						whole = true
					case <-timer.C: // it has answered and does not hear
					}
				}
				if !whole {
					session.end(false)
					<-sent
				}
			}}, nil
		},
		converse: func(ctx context.Context) (*upload, error) { return s.converseSSH(ctx, f) },
		drain:    func() {},
		received: func() {
			received = true
			watch.Go(func() { // nothing more is to come: what comes is the agent's end
				for {
					if _, err := in.ReadByte(); err == nil {
						continue
					} else if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() && f.ctx.Err() == nil {
						continue
					}
					f.cancel(errAgentGone)
					return
				}
			})
		},
	}
	s.push(p, q)
	if !received {
		linger(f.ctx, c)
	}
	closeWrite(c)
	c.SetReadDeadline(time.Now().Add(time.Second)) //nolint:errcheck // of a TCP connection
	c.Close()
	watch.Wait()
	return nil
}

const brokeOff = "the upstream broke off in the middle; try again later"

// linger lets the agent send what it has begun, so that it gets to reading the answer.
func linger(ctx context.Context, c net.Conn) {
	c.SetReadDeadline(time.Now().Add(lingerTime(ctx))) //nolint:errcheck // of a TCP connection
	io.Copy(io.Discard, c)                             //nolint:errcheck // it may end
}

func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() //nolint:errcheck // the agent may have gone
	}
}

// lingerTime is how long the agent may go on sending what nobody looks at.
func lingerTime(ctx context.Context) time.Duration {
	if ctx.Err() != nil {
		return 5 * cutTime
	}
	return time.Minute
}

func (s *server) converseSSH(ctx context.Context, f *flight) (*upload, error) {
	session, err := s.keys.start(ctx, f, uploadPack, "version=2")
	if err != nil {
		return nil, err
	}
	u, err := readUploadAdvert(session.out)
	if err != nil {
		session.end(false)
		return nil, err
	}
	u.close = func() { session.end(false) }
	u.ask = func(_ context.Context, body []byte) (io.ReadCloser, error) {
		if _, err := session.in.Write(body); err != nil {
			return nil, fmt.Errorf("ask %s: %w", f.to.authority(), err)
		}
		return io.NopCloser(session.out), nil
	}
	return u, nil
}
