package gitgate

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Bounds on connections to ssh upstreams.
const (
	sshHandshake = 20 * time.Second
	sshIdle      = time.Minute      // a connection without use
	sshAlive     = 30 * time.Second // between signs of life on one in use
	maxIdleSSH   = 2                // of one remote
	maxSSHWords  = 4 << 10          // bytes that an upstream's complaint is heard for
)

// sshPool keeps connections for the next session of the same remote: a login takes longer than most fetches.
type sshPool struct {
	dial   func(ctx context.Context, host string, port int, loopback bool) (net.Conn, error)
	mu     sync.Mutex
	idle   map[string][]*idleSSH
	closed bool
}

type idleSSH struct {
	client *ssh.Client
	timer  *time.Timer
}

// sshKey is by what connections are kept: what is logged in with one key is not used with another.
func (f *flight) sshKey() string {
	key := f.remote.sshKey()
	if f.signer != nil {
		key += string(f.signer.PublicKey().Marshal())
	}
	return key
}

func (r *remote) sshKey() string {
	return strings.Join([]string{r.Name, r.Upstream, r.Secret, r.KnownHost, ""}, "\n")
}

// sshSession is one program on an upstream.
type sshSession struct {
	pool    *sshPool
	key     string
	client  *ssh.Client
	session *ssh.Session
	in      io.WriteCloser
	out     *bufio.Reader
	words   *words
	stop    func() bool
	quiet   chan struct{}
	ended   sync.Once
}

// words is what a program complains about, as far as it is short.
type words struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b.Write(b[:min(len(b), maxSSHWords-w.b.Len())])
	return len(b), nil
}

func (w *words) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return plain(strings.TrimSpace(w.b.String()), maxReason)
}

// start runs a service of git on f's upstream. It ends with ctx.
func (p *sshPool) start(ctx context.Context, f *flight, service, protocol string) (*sshSession, error) {
	for {
		client, fresh, err := p.client(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("log in to %s: %w", f.to.authority(), err)
		}
		s := &sshSession{pool: p, key: f.sshKey(), client: client, words: &words{}, quiet: make(chan struct{})}
		s.stop = context.AfterFunc(ctx, func() { client.Close() })
		if err = s.run(f, service, protocol); err == nil {
			go s.sayAlive()
			return s, nil
		}
		s.stop()
		client.Close()
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		if fresh { // one that was kept may have been dead
			return nil, fmt.Errorf("start %s on %s: %w", service, f.to.authority(), err)
		}
	}
}

func (s *sshSession) run(f *flight, service, protocol string) (err error) {
	if s.session, err = s.client.NewSession(); err != nil {
		return err
	}
	if protocol != "" {
		s.session.Setenv("GIT_PROTOCOL", protocol) //nolint:errcheck // a server that takes none speaks the first version
	}
	if s.in, err = s.session.StdinPipe(); err != nil {
		return err
	}
	out, err := s.session.StdoutPipe()
	if err != nil {
		return err
	}
	s.out = bufio.NewReaderSize(out, copyBuffer)
	s.session.Stderr = s.words
	return s.session.Start(service + " '" + f.to.path + "'") // the path holds no quote
}

func (s *sshSession) sayAlive() {
	tick := time.NewTicker(sshAlive)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if _, _, err := s.client.SendRequest("keepalive@openssh.com", true, nil); err != nil {
				return
			}
		case <-s.quiet:
			return
		}
	}
}

// end ends the program. whole says that it was heard out, so that the connection can be used again.
func (s *sshSession) end(whole bool) {
	s.ended.Do(func() {
		close(s.quiet)
		if whole { // otherwise somebody may still write to it
			s.in.Close()
			done := make(chan struct{})
			timer := time.AfterFunc(time.Second, func() { s.client.Close() })
			go func() {
				s.session.Wait() //nolint:errcheck // its status says nothing that it did not say before
				close(done)
			}()
			<-done
			whole = timer.Stop()
		}
		s.session.Close()
		if s.stop() && whole {
			s.pool.give(s.key, s.client)
		} else {
			s.client.Close()
		}
	})
}

// why is what an upstream that said nothing to git has to say.
func (s *sshSession) why(err error) error {
	s.session.Wait() //nolint:errcheck // then its words are whole
	if text := s.words.text(); text != "" {
		return &upstreamSaid{text}
	}
	return fmt.Errorf("the upstream broke off: %w", err)
}

func (p *sshPool) client(ctx context.Context, f *flight) (c *ssh.Client, fresh bool, err error) {
	key := f.sshKey()
	p.mu.Lock()
	for n := len(p.idle[key]); n > 0; n = len(p.idle[key]) {
		last := p.idle[key][n-1]
		p.idle[key] = p.idle[key][:n-1]
		if last.timer.Stop() {
			p.mu.Unlock()
			return last.client, false, nil
		}
	}
	p.mu.Unlock()
	if f.signer == nil {
		return nil, true, errNotReady
	}
	conn, err := p.dial(ctx, f.to.host, f.to.port, f.to.loopback)
	if err != nil {
		return nil, true, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	conn.SetDeadline(time.Now().Add(sshHandshake)) //nolint:errcheck // of a TCP connection
	wrongKey := false
	c2, chans, requests, err := ssh.NewClientConn(conn, f.to.dialName(), &ssh.ClientConfig{
		User:              f.to.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(f.signer)},
		HostKeyAlgorithms: hostKeyAlgorithms(f.key),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if wrongKey = !bytes.Equal(key.Marshal(), f.key.Marshal()); wrongKey {
				return errWrongHostKey
			}
			return nil
		},
	})
	if err != nil {
		conn.Close()
		switch {
		case wrongKey:
			err = errWrongHostKey
		case strings.Contains(err.Error(), "no common algorithm for host key"):
			err = fmt.Errorf("%w: it has none of the type %s", errWrongHostKey, f.key.Type())
		case strings.Contains(err.Error(), "unable to authenticate"):
			err = errors.New("it does not take git-gate's key")
		}
		return nil, true, err
	}
	conn.SetDeadline(time.Time{}) //nolint:errcheck // of a TCP connection
	return ssh.NewClient(c2, chans, requests), true, nil
}

var errWrongHostKey = errors.New("the host's key is not known_host")

// hostKeyAlgorithms are those in which a host may prove that it has key.
func hostKeyAlgorithms(key ssh.PublicKey) []string {
	if key.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{key.Type()}
}

// give keeps a connection for the next session.
func (p *sshPool) give(key string, c *ssh.Client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle[key]) >= maxIdleSSH {
		c.Close()
		return
	}
	if p.idle == nil {
		p.idle = map[string][]*idleSSH{}
	}
	p.idle[key] = append(p.idle[key], &idleSSH{c, time.AfterFunc(sshIdle, func() { c.Close() })})
}

// keep closes what is kept for remotes that t does not have.
func (p *sshPool) keep(t *table) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, idle := range p.idle {
		stays := false
		for _, r := range t.remotes {
			stays = stays || strings.HasPrefix(key, r.sshKey())
		}
		if !stays {
			closeIdle(idle)
			delete(p.idle, key)
		}
	}
}

func closeIdle(idle []*idleSSH) {
	for _, i := range idle {
		i.timer.Stop()
		i.client.Close()
		i.client.Wait() //nolint:errcheck // it was closed
	}
}

func (p *sshPool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, idle := range p.idle {
		closeIdle(idle)
	}
	p.idle = nil
}
