package claudecode_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/bottles/claudecode"
	"bottle-tui/bottles/docker"
	"bottle-tui/queue"
	"bottle-tui/sidecars"
	"bottle-tui/sidecars/supervise"
	"bottle-tui/ui/scenario/messages"
	"bottle-tui/ui/terminal"
)

const soon = 2 * time.Minute

// agent is real Claude Code in containers of one bottle's volumes, one after the other, with the Messages API and
// supervise beside it on this machine.
type agent struct {
	t       testing.TB
	engine  bottles.Engine
	api     *messages.Server
	box     *queue.Box
	name    string // of the containers and of the volumes
	session string
	o       claudecode.Options
	mcp     string // where supervise is
	files   []bottles.File
}

func newAgent(t testing.TB, o claudecode.Options) *agent {
	t.Helper()
	engine, err := docker.Open(t.Context())
	must(t, err)
	t.Cleanup(func() { _ = engine.Close() })
	id := strings.ToLower(rand.Text())
	a := &agent{
		t: t, engine: engine, name: "bt-claudecode-" + id[:10], o: o,
		api: messages.Start(t, messages.Options{Bearer: bottles.Placeholder}),
		box: queue.Open(filepath.Join(t.TempDir(), "queue")),
	}
	u := make([]byte, 16)
	_, _ = rand.Read(u) // never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	a.session = fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
	for _, v := range []string{"home", "work"} {
		must(t, engine.CreateVolume(t.Context(), a.name+"-"+v, nil))
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		must(t, engine.RemoveContainer(ctx, a.name))
		must(t, engine.RemoveVolume(ctx, a.name+"-home"))
		must(t, engine.RemoveVolume(ctx, a.name+"-work"))
	})
	if o.Supervise {
		a.supervise()
	}
	return a
}

// supervise serves as the sidecar does, at an address of this machine.
func (a *agent) supervise() {
	must(a.t, a.box.Make(-1))
	config, err := supervise.Config{Identity: "implementer-abc12", Queue: a.box.Dir(), Dockerfile: "FROM scratch\n"}.Encode()
	must(a.t, err)
	file := filepath.Join(a.t.TempDir(), "config.json")
	must(a.t, os.WriteFile(file, config, 0o600))
	free, err := net.Listen("tcp", net.JoinHostPort(messages.HostAddress(a.t), "0"))
	must(a.t, err)
	a.mcp = free.Addr().String()
	must(a.t, free.Close())
	ctx, cancel := context.WithCancel(context.WithoutCancel(a.t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		err := supervise.Serve(ctx, supervise.Options{ConfigFile: file, Listen: a.mcp, Voice: sidecars.NewVoice(io.Discard, nil)})
		if err != nil && ctx.Err() == nil {
			a.t.Error(err)
		}
	})
	a.t.Cleanup(func() { cancel(); running.Wait() })
}

// run is one container's life.
type run struct {
	*agent
	screen  *terminal.Screen
	changed chan struct{}
	conn    io.ReadWriteCloser
	started time.Time
	reading sync.WaitGroup
}

// start makes the container anew and starts Claude Code in it with the session's flags.
func (a *agent) start(flags ...string) *run {
	t, ctx := a.t, a.t.Context()
	t.Helper()
	must(t, a.engine.RemoveContainer(ctx, a.name))
	p := claudecode.Program(a.o)
	spec := bottles.ContainerSpec{
		Name: a.name, Image: messages.ClaudeCode(t), Cmd: append(p.Command, flags...),
		User: fmt.Sprintf("%d:%d", p.UID, p.GID), WorkingDir: bottles.Workspace, Terminal: true, Cols: 120, Rows: 40,
		Env: append(claudecode.Env(), "TERM=xterm-256color", "COLORTERM=truecolor",
			"ANTHROPIC_BASE_URL="+a.api.URL(), "ANTHROPIC_AUTH_TOKEN="+bottles.Placeholder, "NODE_EXTRA_CA_CERTS=/etc/messages-ca.pem"),
		Endpoints: []bottles.Endpoint{{Network: "bridge"}},
		Mounts:    []bottles.Mount{{Volume: a.name + "-work", Target: bottles.Workspace}, {Volume: a.name + "-home", Target: p.Home}},
		Memory:    bottles.DefaultMemory, Pids: bottles.DefaultPids,
	}
	must(t, a.engine.CreateContainer(ctx, spec))
	must(t, a.engine.CopyIn(ctx, a.name, "/", a.archive()))
	r := &run{agent: a, changed: make(chan struct{}, 1)}
	conn, err := a.engine.Attach(ctx, a.name)
	must(t, err)
	r.conn = conn
	r.screen = terminal.New(120, 40, terminal.MaxScrollback, func(p []byte) { _, _ = conn.Write(p) })
	r.screen.SetDirty(func() {
		select {
		case r.changed <- struct{}{}:
		default:
		}
	})
	r.reading.Go(r.read)
	r.started = time.Now()
	t.Cleanup(r.end)
	must(t, a.engine.StartContainer(ctx, a.name))
	return r
}

func (r *run) read() {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.conn.Read(buf)
		_, _ = r.screen.Write(buf[:n])
		select { // the title is no part of the screen
		case r.changed <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// stop ends it as the lifecycle does.
func (r *run) stop() {
	r.t.Helper()
	must(r.t, r.engine.StopContainer(r.t.Context(), r.name, claudecode.Program(r.o).Grace))
}

func (r *run) end() {
	_ = r.conn.Close()
	r.reading.Wait()
	r.screen.Close()
}

// archive has the files of the agent, and what only these tests need.
func (a *agent) archive() io.Reader {
	a.t.Helper()
	files, err := claudecode.Files(a.o)
	must(a.t, err)
	for i := range files {
		if files[i].Path == claudecode.MCPFile {
			files[i].Content = bytes.ReplaceAll(files[i].Content, []byte("supervise:9100"), []byte(a.mcp))
		}
	}
	pem, err := os.ReadFile(a.api.CAFile())
	must(a.t, err)
	files = append(files, bottles.File{Path: "/etc/messages-ca.pem", Content: pem, Mode: 0o644})
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	made := []string{"home", "home/agent", "home/agent/.claude", "workspace"}
	for _, f := range slices.Concat(files, a.files) {
		path := strings.TrimPrefix(f.Path, "/")
		for i := range path {
			if dir := path[:i]; path[i] == '/' && !slices.Contains(made, dir) {
				made = append(made, dir)
				must(a.t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, Uid: f.UID, Gid: f.GID}))
			}
		}
		must(a.t, w.WriteHeader(&tar.Header{Name: path, Mode: int64(f.Mode), Size: int64(len(f.Content)), Uid: f.UID, Gid: f.GID}))
		_, err := w.Write(f.Content)
		must(a.t, err)
	}
	must(a.t, w.Close())
	return &b
}

// content is a file of the container.
func (a *agent) content(path string) string {
	a.t.Helper()
	archive, err := a.engine.CopyOut(a.t.Context(), a.name, path)
	must(a.t, err)
	defer archive.Close()
	r := tar.NewReader(archive)
	_, err = r.Next()
	must(a.t, err)
	b, err := io.ReadAll(io.LimitReader(r, 1<<20))
	must(a.t, err)
	return string(b)
}

// sees waits until the screen shows all the texts.
func (r *run) sees(texts ...string) string {
	r.t.Helper()
	return r.until(fmt.Sprintf("%q on the screen", texts), func(screen string) bool {
		return !slices.ContainsFunc(texts, func(s string) bool { return !strings.Contains(screen, s) })
	})
}

func (r *run) until(what string, met func(screen string) bool) string {
	r.t.Helper()
	limit := time.NewTimer(soon)
	defer limit.Stop()
	for {
		screen := strings.TrimRight(strings.Join(r.screen.Plain(), "\n"), "\n ")
		if met(screen) {
			return screen
		}
		select {
		case <-r.changed:
		case <-limit.C:
			r.t.Fatalf("waited in vain for %s; title %q, screen\n%s\nthe API was asked\n%s", what, r.screen.Title(), screen, messages.Summary(r.api.Requests()))
		}
	}
}

func (r *run) types(text string) {
	r.t.Helper()
	_, err := io.WriteString(r.conn, text)
	must(r.t, err)
}

// asked waits for the request that a call of supervise has made.
func (a *agent) asked() queue.Pending {
	a.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(soon)
	for {
		if pending, _ := a.box.Requests(); len(pending) > 0 {
			return pending[0]
		}
		select {
		case <-tick.C:
		case <-limit:
			a.t.Fatalf("nothing was asked; the API was asked\n%s", messages.Summary(a.api.Requests()))
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
