package bottles_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker"
	"bottle-tui/queue"
	"bottle-tui/sidecars"
	"bottle-tui/sidecars/pipelock"
	"bottle-tui/state"
)

// These tests run a stand-in, testdata/pipelock: the image of the real pipelock can't be had where they run. The
// stand-in does what pipelock's contract says (its configuration read strictly and again when the directory changes,
// its log lines as they were recorded, config_hash, the allowlist), so what is tested here is this program's side.
// Whoever has the real one names it in BOTTLE_PIPELOCK_IMAGE, as the engine knows it, and they run that.
var realPipelock = os.Getenv("BOTTLE_PIPELOCK_IMAGE")

// What a plain request to an open host comes to: the stand-in answers for all hosts, the real one finds none of
// those that the tests name. And what one to a closed host comes to.
var (
	opened = map[bool]string{false: ` 200 "the page of `, true: ` 403 "blocked: SSRF check failed: DNS`}[realPipelock != ""]
	closed = ` 403 "blocked: domain not in allowlist`
)

// pipelockImage imports the stand-in under a name of its own, from a root file system that holds it alone.
func pipelockImage(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipelock")
	build := exec.Command("go", "build", "-trimpath", "-o", path, "./testdata/pipelock")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the stand-in of pipelock: %v\n%s", err, out)
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "pipelock", Mode: 0o755, Size: int64(len(binary))}); err != nil {
		t.Fatal(err)
	}
	if _, err := tw.Write(binary); err != nil {
		t.Fatal(err)
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	engine, err := docker.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ref := "bottle-tui-test-pipelock:" + state.RandomBase36(8)
	t.Cleanup(func() {
		if err := engine.RemoveImage(context.Background(), ref); err != nil {
			t.Errorf("clean up: %v", err)
		}
		engine.Close()
	})
	if _, err := engine.Import(t.Context(), ref, &b, bottles.ImageConfig{Entrypoint: []string{"/pipelock"}}); err != nil {
		t.Fatal(err)
	}
	return ref
}

// withPipelock is a world whose profile has pipelock, with open.example.com on its allowlist.
func withPipelock(t *testing.T) *world {
	t.Helper()
	image := realPipelock
	if image == "" {
		image = pipelockImage(t) // removed after the containers
	}
	w := newWorld(t)
	w.cat.tune = func(p *bottles.Profile) {
		p.EgressEngine, p.EgressImage, p.Egress = "pipelock", image, []string{"open.example.com"}
	}
	return w
}

// inspected is what matters here of what the engine says of a container.
type inspected struct {
	ID     string `json:"Id"`
	Args   []string
	Config struct {
		Image, User string
		Env         []string
	}
	HostConfig struct {
		ReadonlyRootfs, Privileged   bool
		CapAdd, CapDrop, SecurityOpt []string
		Memory, PidsLimit            int64
		NetworkMode                  string
		Binds                        []string
	}
	Mounts []struct{ Type, Destination string }
}

func inspectedOf(t *testing.T, name string) inspected {
	t.Helper()
	var all []inspected
	if err := json.Unmarshal(inspection(t, "container", name), &all); err != nil || len(all) != 1 {
		t.Fatalf("inspect %s: %v", name, err)
	}
	return all[0]
}

// said are the lines of a bottle's pipelock.
func (w *world) said(id string) (lines []sidecars.Line) {
	w.t.Helper()
	r, err := w.engine.Logs(context.Background(), "claude-bottle-pipelock-"+id, 0, false)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	for in := bufio.NewScanner(r); in.Scan(); {
		lines = append(lines, pipelock.Lines(in.Bytes())...)
	}
	return lines
}

// refused says whether the feed tells that a bottle's egress refused something for want of a rule.
func refused(id, what, via string) func(*bottles.Snapshot) bool {
	return func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return slices.ContainsFunc(b.Feed, func(p bottles.Passage) bool {
			return p.Gate == bottles.RoleEgress && p.Verdict == bottles.Refused && p.What == what && p.Via == via && p.Cause == sidecars.CauseUnlisted
		})
	}
}

func TestPipelockKeepsTheAllowlistOfABottle(t *testing.T) {
	t.Parallel()
	w := withPipelock(t)
	w.run(nil)
	p, err := w.sup.Preflight(t.Context(), bottles.Launch{Agent: "tester"})
	if err != nil || len(p.Conflicts) != 0 || p.Egress.Engine != "pipelock" || p.Egress.Image == "" {
		t.Fatalf("the plan is %+v, %v", p, err)
	}
	id := w.launch("")

	// What the container is.
	c, holder := inspectedOf(t, "claude-bottle-pipelock-"+id), inspectedOf(t, "claude-bottle-egress-"+id)
	h := c.HostConfig
	if !h.ReadonlyRootfs || h.Privileged || len(h.CapAdd) != 0 || !slices.Equal(h.CapDrop, []string{"ALL"}) || !slices.Contains(h.SecurityOpt, "no-new-privileges") ||
		h.Memory == 0 || h.PidsLimit == 0 || h.NetworkMode != "container:"+holder.ID || len(h.Binds) != 0 || c.Config.User == "" || strings.HasPrefix(c.Config.User, "0") ||
		!slices.Equal(c.Args, pipelock.Command()) || len(c.Mounts) != 1 || c.Mounts[0].Type != "volume" || c.Mounts[0].Destination != sidecars.ConfigDir {
		t.Errorf("pipelock's container: %+v", c)
	}
	if !slices.Equal(holder.Args, []string{"sidecar", "egress", "-listen", "off"}) {
		t.Errorf("the pod's holder runs %v", holder.Args)
	}
	ready := w.said(id)
	want, err := pipelock.Config{Allow: []string{"open.example.com"}}.Encode()
	if err != nil || len(ready) == 0 || ready[0].Event != sidecars.EventReady || ready[0].Config != sidecars.Hash(want) {
		t.Errorf("it said %+v, %v", ready, err)
	}

	// What it lets through and what not, and that the feed has both.
	w.insist(id, "get http://open.example.com/1", "http://open.example.com/1"+opened)
	w.insist(id, "get http://closed.example.com/1", "http://closed.example.com/1"+closed)
	w.insist(id, "get https://closed.example.com/1", "https://closed.example.com/1 failed")
	w.await("the refusals are in the feed", func(s *bottles.Snapshot) bool {
		return refused(id, "closed.example.com:80", "http")(s) && refused(id, "closed.example.com:443", "connect")(s)
	})
	verdict := bottles.Allowed
	if realPipelock != "" {
		verdict = bottles.Refused // there is no such host
	}
	w.await("what was let through is, too", func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return slices.ContainsFunc(b.Feed, func(p bottles.Passage) bool {
			return p.Gate == bottles.RoleEgress && p.Verdict == verdict && p.What == "open.example.com:80" && p.Cause == ""
		})
	})

	// A rule that it can't keep is refused, and one that it can is in force when it says so.
	for _, rule := range []string{"closed.example.com:8443", "192.0.2.7"} {
		req := w.askEgress(id, "open.example.com\n"+rule+"\n")
		if err := w.do(bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash}); !errors.Is(err, bottles.ErrRefused) || !strings.Contains(err.Error(), "pipelock") {
			t.Errorf("approved %s: %v", rule, err)
		}
		w.must(bottles.Deny{Identity: id, Request: req.ID, Shown: req.Hash, Reason: "pipelock has no such rules"})
		if err := w.do(bottles.Allow{Identity: id, Rules: []string{rule}}); !errors.Is(err, bottles.ErrRefused) || !strings.Contains(err.Error(), "pipelock") {
			t.Errorf("opened %s: %v", rule, err)
		}
	}
	req := w.askEgress(id, "open.example.com\nclosed.example.com\n")
	w.must(bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash, Terms: bottles.Terms{Scope: bottles.Scope{For: time.Hour}}})
	want, err = pipelock.Config{Allow: []string{"open.example.com", "closed.example.com"}}.Encode()
	if lines := w.said(id); err != nil || lines[len(lines)-1].Event != sidecars.EventConfig || lines[len(lines)-1].Config != sidecars.Hash(want) {
		t.Errorf("in force without its word: %+v, %v", lines, err)
	}
	w.sup.Type(id, []byte("get http://closed.example.com/2\n"))
	w.awaitText(id, "http://closed.example.com/2"+opened)
	var kept net.Conn
	if realPipelock == "" { // it finds no such host
		kept = w.tunnelOfPipelock(id, "closed.example.com:443")
		w.alive(kept)
	}
	w.must(bottles.Allow{Identity: id, Rules: []string{"third.example.com"}, Scope: bottles.Scope{For: time.Hour}})
	w.sup.Type(id, []byte("get http://third.example.com/1\n"))
	w.awaitText(id, "http://third.example.com/1"+opened)
	w.must(bottles.Revoke{Identity: id, Grant: req.ID})
	w.sup.Type(id, []byte("get http://closed.example.com/3\n"))
	w.awaitText(id, "http://closed.example.com/3"+closed)
	if kept != nil { // as docs/pipelock.md says
		w.alive(kept)
	}

	// What it tells of itself is not for the agent.
	w.insist(id, "get http://egress:9890/metrics", "http://egress:9890/metrics failed")
	w.insist(id, "get http://egress:8888/metrics", "http://egress:8888/metrics 404")

	// Torn down, nothing but its memory is left; a resume has pipelock and the grant again.
	w.must(bottles.TearDown{Identity: id})
	if have, err := w.engine.Observe(t.Context(), w.root.ID()); err != nil || len(have.Containers)+len(have.Networks) != 0 {
		t.Errorf("left: %+v, %v", have, err)
	}
	w.must(bottles.Resume{Identity: id})
	w.insist(id, "get http://third.example.com/2", "http://third.example.com/2"+opened)
	w.insist(id, "get http://closed.example.com/4", "http://closed.example.com/4"+closed)

	// Without pipelock there is no way out, which is shown, and nothing is said to be in force.
	engineSays(t, "kill", "claude-bottle-pipelock-"+id)
	w.await("its end is shown", func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return strings.Contains(b.Detail, "no way out")
	})
	if err := w.do(bottles.Allow{Identity: id, Rules: []string{"fourth.example.com"}}); !errors.Is(err, bottles.ErrRefused) {
		t.Errorf("opened where nothing runs: %v", err)
	}
	w.must(bottles.TearDown{Identity: id})
	w.must(bottles.Delete{Identity: id})
	if have, err := w.engine.Observe(t.Context(), w.root.ID()); err != nil || len(have.Containers)+len(have.Networks)+len(have.Volumes) != 0 {
		t.Errorf("left: %+v, %v", have, err)
	}
}

// tunnelOfPipelock opens a tunnel from the host, which reaches the pod's outer side.
func (w *world) tunnelOfPipelock(id, to string) net.Conn {
	w.t.Helper()
	c, err := net.Dial("tcp", addresses(w.t.(*testing.T), "claude-bottle-egress-"+id)["claude-bottle-out-"+id]+":8888")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", to)
	head := make([]byte, len("HTTP/1.1 200 Connection Established\r\n\r\n"))
	if _, err := io.ReadFull(c, head); err != nil || !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		w.t.Fatalf("a tunnel to %s: %q, %v", to, head, err)
	}
	return c
}

// alive sends through a tunnel and has it come back.
func (w *world) alive(c net.Conn) {
	w.t.Helper()
	if _, err := io.WriteString(c, "ping"); err != nil {
		w.t.Error(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		w.t.Errorf("the tunnel is gone: %v", err)
	}
}

func TestAnAbsentImageOfPipelockStopsALaunchBeforeAnythingIsMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const image = "registry.example.com/pipelock:2.3.0-that-nobody-has"
	w.cat.tune = func(p *bottles.Profile) { p.EgressEngine, p.EgressImage = "pipelock", image }
	w.run(nil)
	p, err := w.sup.Preflight(t.Context(), bottles.Launch{Agent: "tester"})
	if err != nil || len(p.Conflicts) != 1 || !strings.Contains(p.Conflicts[0].What, image) || !strings.Contains(p.Conflicts[0].Fix, "docker pull "+image) {
		t.Fatalf("the plan has %+v, %v", p, err)
	}
	if err := w.do(bottles.Launch{Agent: "tester"}); err == nil || !strings.Contains(err.Error(), "docker pull "+image) {
		t.Errorf("launched: %v", err)
	}
	have, err := w.engine.Observe(t.Context(), w.root.ID())
	if err != nil || len(have.Containers)+len(have.Networks)+len(have.Volumes) != 0 {
		t.Errorf("made: %+v, %v", have, err)
	}
}

// slowBuild is an engine whose builds wait until they are let go.
type slowBuild struct {
	bottles.Engine
	began, let chan struct{}
	once       sync.Once
}

func (e *slowBuild) Build(ctx context.Context, spec bottles.BuildSpec, progress func(bottles.BuildProgress)) (bottles.Image, error) {
	e.once.Do(func() { close(e.began) })
	select {
	case <-e.let:
	case <-ctx.Done():
		return bottles.Image{}, ctx.Err()
	}
	return e.Engine.Build(ctx, spec, progress)
}

// pipelock has no clock for a grant: the program takes it out, also in the middle of a rebuild, and, where none ran at
// its end, as soon as one does.
func TestAGrantOfPipelockEndsWhileAProgramRuns(t *testing.T) {
	t.Parallel()
	w := withPipelock(t)
	w.run(nil)
	id := w.launch("")
	grant := func(host string, d time.Duration) bottles.Grant {
		w.must(bottles.Allow{Identity: id, Rules: []string{host}, Scope: bottles.Scope{For: d}})
		w.insist(id, "get http://"+host+"/open", "http://"+host+"/open"+opened)
		b := w.awaitStatus(id, bottles.Live)
		return b.Grants[len(b.Grants)-1]
	}
	g := grant("offline.example.com", 15*time.Second)
	w.end()
	<-time.After(time.Until(g.Until)) // while no program runs
	slow := &slowBuild{began: make(chan struct{}), let: make(chan struct{})}
	w.run(func(e bottles.Engine, _ func()) bottles.Engine {
		slow.Engine = e
		return slow
	})
	w.await("what is over is taken back", func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return len(b.Grants) == 0 && b.Operation == nil
	})
	w.insist(id, "get http://offline.example.com/closed", "http://offline.example.com/closed"+closed)

	grant("building.example.com", 15*time.Second)
	source := w.cat.dockerfile + "ENV ONE=1\n"
	req := w.request(id, source)
	rebuilt, err := w.sup.Start(t.Context(), bottles.Approve{Identity: id, Request: req.ID, Shown: queue.Hash([]byte(source))})
	if err != nil {
		t.Fatal(err)
	}
	<-slow.began
	w.insist(id, "get http://building.example.com/closed", "http://building.example.com/closed"+closed)
	select {
	case err := <-rebuilt:
		t.Fatalf("the rebuild did not wait: %v", err)
	default:
	}
	close(slow.let)
	select {
	case err := <-rebuilt:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("the rebuild did not end")
	}
	w.await("the grant is gone from the state, too", func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return b.Status == bottles.Live && len(b.Grants) == 0 && slices.Equal(b.Allow, []string{"open.example.com"})
	})
}

// Killed while pipelock is told, a grant is in force in both, and was answered once, when the next program has come.
func TestAKilledGrantOfPipelockIsFinishedByTheNextProgram(t *testing.T) {
	t.Parallel()
	w := withPipelock(t)
	for i, point := range []string{"configure pipelock", "after configure pipelock"} {
		w.run(nil)
		if i == 0 {
			w.launch("")
		}
		id := w.await("the bottle is live", func(s *bottles.Snapshot) bool { return len(s.Bottles) == 1 && s.Bottles[0].Status == bottles.Live }).Bottles[0].Identity
		host := []string{"one.example.com", "two.example.com"}[i]
		req := w.askEgress(id, "open.example.com\n"+host+"\n")
		w.end()
		var dying *killer
		w.run(func(e bottles.Engine, kill func()) bottles.Engine {
			dying = &killer{Engine: e, kill: kill, at: point, dead: make(chan struct{})}
			return dying
		})
		w.await("the request is shown", func(s *bottles.Snapshot) bool { b, _ := find(s, id); return len(b.Requests) == 1 })
		if _, err := w.sup.Start(t.Context(), bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-dying.dead:
		case <-time.After(patience):
			t.Fatalf("it never came to %q", point)
		}
		w.end()
		w.run(nil)
		w.await("the grant is in force", func(s *bottles.Snapshot) bool {
			b, _ := find(s, id)
			return b.Status == bottles.Live && b.Operation == nil && len(b.Grants) == i+1 && len(b.Requests) == 0
		})
		w.insist(id, "get http://"+host+"/", "http://"+host+"/"+opened)
		w.end()
	}
}

// A pipelock that is paused can't be told, and would go on with what it has: nothing is said to be in force, and what
// is over is taken out as soon as it can be.
func TestAPausedPipelockIsToldLater(t *testing.T) {
	t.Parallel()
	w := withPipelock(t)
	w.run(nil)
	id := w.launch("")
	w.must(bottles.Allow{Identity: id, Rules: []string{"brief.example.com"}, Scope: bottles.Scope{For: 15 * time.Second}})
	w.insist(id, "get http://brief.example.com/1", "http://brief.example.com/1"+opened)
	do := func(verb string) { engineSays(t, verb, "claude-bottle-pipelock-"+id) }
	do("pause")
	if err := w.do(bottles.Allow{Identity: id, Rules: []string{"new.example.com"}}); !errors.Is(err, bottles.ErrRefused) || !strings.Contains(err.Error(), "docker unpause") {
		t.Errorf("opened: %v", err)
	}
	w.await("the operator is told", func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return len(b.Grants) == 1 && b.Operation != nil && b.Operation.Kind == "expire" && strings.Contains(b.Operation.Err, "is paused")
	})
	do("unpause")
	w.await("it is taken back", func(s *bottles.Snapshot) bool { b, _ := find(s, id); return len(b.Grants) == 0 })
	w.insist(id, "get http://brief.example.com/2", "http://brief.example.com/2"+closed)
	w.insist(id, "get http://new.example.com/", "http://new.example.com/"+closed)
	failures := 0
	for _, a := range w.told() {
		if a.Kind == bottles.AlertFailed && a.Operation == "expire" {
			failures++
		}
	}
	if failures > 3 {
		t.Errorf("told %d times", failures)
	}
}
