package gitgate_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/gitgate"
	"bottle-tui/sidecars/internal/heard"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	identity = "tester-00000"
	token    = "upst3am-passw0rd-value"
	tokenVar = "TEST_TOKEN"
	keyVar   = "file:0123456789ab"
)

var discard = log.New(io.Discard, "", 0)

// served is a directory of bare repositories behind a real git server.
type served struct {
	dir    string
	remote func(name string) gitgate.Remote // of the repository name.git
	direct func(name string) string         // its address without a gate
	env    []string                         // that git needs to go there itself
	config func(*gitgate.Config)
	handle *handler // of https
}

// handler is an https upstream that a test can disturb.
type handler struct {
	mu   sync.Mutex
	next http.Handler
	over func(w http.ResponseWriter, r *http.Request, next http.Handler) // nil: as it is
	auth []string
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	over := h.over
	h.auth = append(h.auth, r.Header.Get("Authorization"))
	h.mu.Unlock()
	if over != nil {
		over(w, r, h.next)
		return
	}
	h.next.ServeHTTP(w, r)
}

func (h *handler) set(over func(http.ResponseWriter, *http.Request, http.Handler)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = over
}

// unless skips a test for want of a program, but not where CI is set: there half of the tests would pass unseen.
func unless(t testing.TB, program string, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("no %s here: %v; .ci/needs brings it", program, err)
	}
	t.Skipf("no %s here: %v", program, err)
}

// overHTTPS is git http-backend behind TLS and a password.
func overHTTPS(t testing.TB) *served {
	t.Helper()
	root := t.TempDir()
	path, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		unless(t, "git", err)
	}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + root}, Logger: discard, Stderr: io.Discard,
	}
	h := &handler{next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); !ok || u != "x-access-token" || p != token {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		if r.ContentLength > 0 { // some versions of git http-backend never end when less comes than was said
			r = r.Clone(r.Context())
			r.ContentLength = -1
		}
		b := *backend
		b.Env = append([]string{"REMOTE_USER=tester"}, b.Env...)
		b.ServeHTTP(w, r)
	})}
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = discard
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	write(t, caFile, ca)
	return &served{
		dir: root, handle: h,
		remote: func(name string) gitgate.Remote {
			return gitgate.Remote{Name: name, Upstream: s.URL + "/" + name + ".git", Secret: tokenVar}
		},
		direct: func(name string) string {
			return "https://x-access-token:" + token + "@" + strings.TrimPrefix(s.URL, "https://") + "/" + name + ".git"
		},
		env:    []string{"GIT_SSL_CAINFO=" + caFile},
		config: func(c *gitgate.Config) { c.CA = ca },
	}
}

// keys of the ssh server and its one client.
var sshKeys = sync.OnceValue(func() (k struct{ host, client, hostPublic, clientPublic string }) {
	make := func() (private, public string) {
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		block, err := ssh.MarshalPrivateKey(key, "")
		if err != nil {
			panic(err)
		}
		p, err := ssh.NewPublicKey(pub)
		if err != nil {
			panic(err)
		}
		return string(pem.EncodeToMemory(block)), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(p)))
	}
	k.host, k.hostPublic = make()
	k.client, k.clientPublic = make()
	return k
})

// overSSH is a real sshd on loopback.
func overSSH(t testing.TB, more ...string) *served {
	t.Helper()
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		unless(t, "sshd", err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if me.Uid == "0" { // sshd asks for it
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir, root, k := t.TempDir(), t.TempDir(), sshKeys()
	write(t, filepath.Join(dir, "host"), k.host)
	write(t, filepath.Join(dir, "client"), k.client)
	write(t, filepath.Join(dir, "authorized"), k.clientPublic+"\n")
	config := fmt.Sprintf("HostKey %s/host\nAuthorizedKeysFile %s/authorized\nStrictModes no\nPidFile none\n"+
		"PermitRootLogin yes\nPasswordAuthentication no\nUsePAM no\n%s\n", dir, dir, strings.Join(more, "\n"))
	if more == nil {
		config += "AcceptEnv GIT_PROTOCOL\n"
	}
	write(t, filepath.Join(dir, "config"), config)
	port := serveEach(t, sshd, "-i", "-e", "-f", filepath.Join(dir, "config"))
	write(t, filepath.Join(dir, "known"), fmt.Sprintf("[127.0.0.1]:%s %s\n", port, k.hostPublic))
	address := func(name string) string {
		return fmt.Sprintf("ssh://%s@127.0.0.1:%s%s/%s.git", me.Username, port, root, name)
	}
	return &served{
		dir: root,
		remote: func(name string) gitgate.Remote {
			return gitgate.Remote{Name: name, Upstream: address(name), Secret: keyVar, KnownHost: k.hostPublic}
		},
		direct: address,
		env:    []string{fmt.Sprintf("GIT_SSH_COMMAND=ssh -i %s/client -o UserKnownHostsFile=%s/known -o IdentitiesOnly=yes", dir, dir)},
		config: func(*gitgate.Config) {},
	}
}

// each runs a test over both kinds of upstreams.
func each(t *testing.T, test func(t *testing.T, up *served)) {
	t.Run("https", func(t *testing.T) { test(t, overHTTPS(t)) })
	t.Run("ssh", func(t *testing.T) { test(t, overSSH(t)) })
}

// bare makes an empty repository.
func (s *served) bare(t testing.TB, name string, config ...string) string {
	t.Helper()
	dir := filepath.Join(s.dir, name+".git")
	run(t, s.dir, nil, "git", "init", "-q", "--bare", "-b", "main", dir)
	for _, c := range append([]string{"receive.advertisePushOptions=true", "uploadpack.allowFilter=true"}, config...) {
		k, v, _ := strings.Cut(c, "=")
		run(t, dir, nil, "git", "config", k, v)
	}
	return dir
}

// seeded makes a repository with n commits on main.
func (s *served) seeded(t testing.TB, name string, n int, config ...string) string {
	t.Helper()
	dir := s.bare(t, name, config...)
	w := newWork(t, nil)
	w.git("init", "-q", "-b", "main", ".")
	for i := range n {
		w.commit(fmt.Sprintf("file%d.txt", i%7), fmt.Sprintf("line %d\n", i), fmt.Sprintf("commit %d", i))
	}
	w.git("push", "-q", dir, "main")
	return dir
}

// gate is a git-gate that serves.
type gate struct {
	t          testing.TB
	git, http  string // addresses
	configFile string
	spool      string
	input      *io.PipeWriter
	ear        *heard.Ear
	stop       func() error
	nonce      int
	config     gitgate.Config
	remotes    map[string]gitgate.Remote
}

// launch starts a git-gate without waiting until it is ready.
func launch(t testing.TB, c gitgate.Config, change ...func(*gitgate.Options)) *gate {
	t.Helper()
	g := &gate{t: t, configFile: filepath.Join(t.TempDir(), "config.json"), ear: heard.New(), spool: t.TempDir()}
	g.configure(c)
	r, w := io.Pipe()
	g.input = w
	o := gitgate.Options{ConfigFile: g.configFile, ListenGit: "127.0.0.1:0", ListenHTTP: "127.0.0.1:0", SpoolDir: g.spool,
		Input: r, Voice: sidecars.NewVoice(g.ear, nil)}
	for _, f := range change {
		f(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- gitgate.Serve(ctx, o) }()
	g.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(heard.Patience):
			return errors.New("git-gate did not end")
		}
	})
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(g.spool); err != nil || len(left) > 0 {
			t.Errorf("the spool holds %v: %v", left, err)
		}
	})
	return g
}

// start starts a git-gate for these repositories of up, and waits until it is ready.
func start(t testing.TB, up *served, change func(*gitgate.Remote), names ...string) *gate {
	t.Helper()
	c := gitgate.Config{Identity: identity}
	up.config(&c)
	for _, n := range names {
		r := up.remote(n)
		if change != nil {
			change(&r)
		}
		c.Remotes = append(c.Remotes, r)
	}
	g := launch(t, c, func(o *gitgate.Options) { o.ProgressEvery, o.HoldEvery = 200*time.Millisecond, time.Millisecond })
	g.give(map[string]string{tokenVar: token, keyVar: sshKeys().client})
	g.ready()
	return g
}

func (g *gate) ready() sidecars.Line {
	g.t.Helper()
	l := g.ear.Wait(g.t, sidecars.EventReady)
	g.git, g.http, _ = strings.Cut(l.Address, " ")
	return l
}

func (g *gate) give(secrets map[string]string) {
	g.t.Helper()
	g.nonce++
	id := fmt.Sprintf("n%d", g.nonce)
	b, err := json.Marshal(map[string]any{"id": id, "tokens": secrets})
	if err != nil {
		g.t.Fatal(err)
	}
	g.say(string(b))
	g.ear.Wait(g.t, sidecars.EventTokens, func(l sidecars.Line) bool { return l.ID == id })
}

func (g *gate) say(line string) {
	g.t.Helper()
	if _, err := io.WriteString(g.input, line+"\n"); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gate) configure(c gitgate.Config) string {
	g.t.Helper()
	content, err := c.Encode()
	if err != nil {
		g.t.Fatal(err)
	}
	write(g.t, g.configFile, string(content))
	g.config, g.remotes = c, map[string]gitgate.Remote{}
	for _, r := range c.Remotes {
		g.remotes[r.Name] = r
	}
	return sidecars.Hash(content)
}

func (g *gate) reload(c gitgate.Config) {
	g.t.Helper()
	hash := g.configure(c)
	g.ear.Wait(g.t, sidecars.EventConfig, func(l sidecars.Line) bool { return l.Config == hash })
}

// url is where an agent finds a remote.
func (g *gate) url(name string) string {
	if strings.HasPrefix(g.remotes[name].Upstream, "ssh://") {
		return "git://" + g.git + "/" + name
	}
	return "http://" + g.http + "/" + name
}

// work is a directory in which git is run as an agent does.
type work struct {
	t   testing.TB
	dir string
	env []string
}

func newWork(t testing.TB, env []string) *work {
	t.Helper()
	return &work{t, t.TempDir(), env}
}

// clone clones a remote of the gate.
func (g *gate) clone(name string, args ...string) *work {
	g.t.Helper()
	w := newWork(g.t, nil)
	w.git(append(append([]string{"clone", "-q"}, args...), g.url(name), ".")...)
	return w
}

func gitEnv(dir string, more []string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.com", "LC_ALL=C"}, more...)
}

func try(dir string, env []string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, gitEnv(dir, env)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func run(t testing.TB, dir string, env []string, name string, args ...string) string {
	t.Helper()
	out, err := try(dir, env, name, args...)
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(out)
}

func (w *work) git(args ...string) string {
	w.t.Helper()
	return run(w.t, w.dir, w.env, "git", args...)
}

// fails runs git, which must fail, and gives what it said.
func (w *work) fails(args ...string) string {
	w.t.Helper()
	out, err := try(w.dir, w.env, "git", args...)
	if err == nil {
		w.t.Fatalf("git %q worked:\n%s", args, out)
	}
	return out
}

func (w *work) write(name, content string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	write(w.t, path, content)
}

func (w *work) commit(name, content, message string) {
	w.t.Helper()
	w.write(name, content)
	w.git("add", "-f", "--", name)
	w.git("commit", "-q", "-m", message)
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serveEach has a process of its own serve each connection to a port of loopback, as inetd does.
func serveEach(t testing.TB, name string, args ...string) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f, err := c.(*net.TCPConn).File()
			c.Close()
			if err != nil {
				continue
			}
			cmd := exec.CommandContext(ctx, name, args...)
			cmd.Stdin, cmd.Stdout = f, f
			err = cmd.Start()
			f.Close()
			if err != nil {
				t.Error(err)
				continue
			}
			serving.Go(func() { cmd.Wait() })
		}
	})
	t.Cleanup(func() {
		l.Close()
		cancel()
		serving.Wait()
	})
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// same says whether a ref of a repository is what it is in the working directory.
func (w *work) same(dir, ref, local string) {
	w.t.Helper()
	if a, b := run(w.t, dir, nil, "git", "rev-parse", ref), w.git("rev-parse", local); a != b {
		w.t.Errorf("%s is %s at the upstream, not %s", ref, a, b)
	}
}

// lacks says whether a repository has no such ref.
func lacks(t testing.TB, dir, ref string) {
	t.Helper()
	if out, err := try(dir, nil, "git", "rev-parse", "--verify", "-q", ref); err == nil {
		t.Errorf("%s arrived at the upstream: %s", ref, out)
	}
}

func has(t testing.TB, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("there is no %q in:\n%s", w, text)
		}
	}
}
