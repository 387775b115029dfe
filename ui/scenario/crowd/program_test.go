package crowd_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker"
	"bottle-tui/bottles/docker/watchdog"
	"bottle-tui/bottles/manifest"
	"bottle-tui/state"
)

// These name the state root, and the manifest of its agents, to a test process that is to be one program on it.
const (
	programRoot     = "BOTTLE_TEST_PROGRAM_ROOT"
	programManifest = "BOTTLE_TEST_PROGRAM_MANIFEST"
)

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == watchdog.Name {
		os.Exit(watchdog.Run())
	}
	if os.Getenv(programRoot) != "" {
		if err := programMain(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Setenv(token, "its value") // of every program that is started
	os.Exit(m.Run())
}

// order is what a program is asked to do, as a line of JSON.
type order struct {
	N        int
	Do       string // launch, resume, teardown, delete, approve, deny, revoke, list
	Identity string
	For      time.Duration // of a grant: its scope
}

// reply is how that ended.
type reply struct {
	N        int
	Identity string           // of a launch
	Err      string           // "": it was done
	Shown    map[string]shown // of a list
}

// shown is what a program shows of one bottle.
type shown struct {
	Status   bottles.Status
	Detail   string
	Busy     bool     // it works on it
	Requests []string // that wait, by their ids
	Allow    []string
	Grants   []string
}

func (s shown) String() string {
	return fmt.Sprintf("%s %q requests %q allow %q grants %q", s.Status, s.Detail, s.Requests, s.Allow, s.Grants)
}

// shows gives what a snapshot shows, by identity.
func shows(snap *bottles.Snapshot) map[string]shown {
	all := map[string]shown{}
	for _, b := range snap.Bottles {
		v := shown{Status: b.Status, Detail: b.Detail, Busy: b.Operation != nil && b.Operation.Err == "", Allow: b.Allow}
		for _, r := range b.Requests {
			v.Requests = append(v.Requests, r.ID)
			v.Busy = v.Busy || r.State == bottles.Applying
		}
		for _, g := range b.Grants {
			v.Grants = append(v.Grants, g.ID)
		}
		slices.Sort(v.Requests)
		slices.Sort(v.Grants)
		all[b.Identity] = v
	}
	return all
}

// programMain is a process that supervises the bottles of a state root, as a screen does, and does what it reads. It ends
// with its input.
func programMain() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	root, err := state.Open(os.Getenv(programRoot))
	if err != nil {
		return err
	}
	engine, err := docker.Open(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	dog := watchdog.New(func(err error) { fmt.Fprintln(os.Stderr, err) })
	defer dog.Close()
	engine.Watch(dog)
	p := &program{out: json.NewEncoder(os.Stdout)}
	p.cond = sync.NewCond(&p.mu)
	p.sup = bottles.New(bottles.Config{
		Root: root, Engine: engine, Catalog: manifest.NewCatalog(os.Getenv(programManifest), ""), Resolve: manifest.Resolve,
		Screens: func(string) bottles.Screen { return screen{} }, Settle: 200 * time.Millisecond,
	})
	ended := make(chan error, 1)
	go func() { ended <- p.sup.Run(ctx) }()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for u := range p.sup.Updates() {
			p.mu.Lock()
			p.snap = u.Snapshot
			p.mu.Unlock()
			p.cond.Broadcast()
		}
	}()
	if err := p.sup.Ready(ctx); err != nil {
		return err
	}
	p.say(reply{}) // ready
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		go func() {
			r := reply{N: o.N, Identity: o.Identity}
			if err := p.do(ctx, o, &r); err != nil {
				r.Err = err.Error()
			}
			p.say(r)
		}()
	}
	cancel()
	<-heard
	return <-ended
}

type program struct {
	sup *bottles.Supervisor
	out *json.Encoder

	mu   sync.Mutex
	cond *sync.Cond // of snap
	snap *bottles.Snapshot
}

// screen takes what an agent prints.
type screen struct{}

func (screen) Write(p []byte) (int, error) { return len(p), nil }
func (screen) Size() (int, int)            { return 80, 24 }
func (screen) Restarted()                  {}

func (p *program) say(r reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.out.Encode(r)
}

func (p *program) do(ctx context.Context, o order, r *reply) error {
	var a bottles.Action
	switch o.Do {
	case "list":
		p.mu.Lock()
		defer p.mu.Unlock()
		r.Shown = shows(p.snap)
		return nil
	case "launch":
		plan, err := p.sup.Preflight(ctx, bottles.Launch{Agent: agent})
		if err != nil {
			return err
		}
		r.Identity = plan.Identity
		a = bottles.Launch{Agent: agent, Identity: plan.Identity}
	case "resume":
		plan, err := p.sup.Preflight(ctx, bottles.Resume{Identity: o.Identity})
		if err != nil {
			return err
		}
		a = bottles.Resume{Identity: o.Identity, Agreed: plan.Asks()}
	case "teardown":
		a = bottles.TearDown{Identity: o.Identity}
	case "delete":
		a = bottles.Delete{Identity: o.Identity}
	case "approve", "deny":
		q, err := p.request(o.Identity)
		if err != nil {
			return err
		}
		if o.Do == "deny" {
			a = bottles.Deny{Identity: o.Identity, Request: q.ID, Shown: q.Hash, Reason: "not for a crowd"}
			break
		}
		terms := bottles.Terms{Scope: bottles.Scope{For: o.For}, Tokens: map[string]string{}}
		for _, name := range q.Tokens {
			terms.Tokens[name] = token
		}
		a = bottles.Approve{Identity: o.Identity, Request: q.ID, Shown: q.Hash, Terms: terms}
	case "revoke":
		p.mu.Lock()
		i := slices.IndexFunc(p.snap.Bottles, func(b bottles.Bottle) bool { return b.Identity == o.Identity })
		var grants []bottles.Grant
		if i >= 0 {
			grants = p.snap.Bottles[i].Grants
		}
		p.mu.Unlock()
		if len(grants) == 0 {
			return errors.New("it has no grant")
		}
		a = bottles.Revoke{Identity: o.Identity, Grant: grants[0].ID}
	default:
		return fmt.Errorf("no such order: %s", o.Do)
	}
	done, err := p.sup.Start(ctx, a)
	if err != nil {
		return err
	}
	return <-done
}

// request is what a bottle asks for, once it is shown.
func (p *program) request(identity string) (q bottles.Request, err error) {
	deadline := time.Now().Add(3 * time.Second)
	timer := time.AfterFunc(time.Until(deadline), p.cond.Broadcast)
	defer timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		i := slices.IndexFunc(p.snap.Bottles, func(b bottles.Bottle) bool { return b.Identity == identity && len(b.Requests) > 0 })
		if i >= 0 {
			return p.snap.Bottles[i].Requests[0], nil
		}
		if !time.Now().Before(deadline) {
			return q, errors.New("it asks for nothing")
		}
		p.cond.Wait()
	}
}

// process is a program as the test has it.
type process struct {
	name  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	errs  bytes.Buffer  // until it has ended: the command's own
	ended chan struct{} // closed when it is gone, and nobody waits for a reply of it any more

	mu    sync.Mutex
	n     int
	waits map[int]chan reply
}

var errGone = errors.New("the program is gone")

func startProcess(t testing.TB, name, root, manifest string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{name: name, cmd: exec.Command(self), ended: make(chan struct{}), waits: map[int]chan reply{}}
	p.cmd.Env = append(os.Environ(), programRoot+"="+root, programManifest+"="+manifest)
	p.cmd.Stderr = &p.errs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	ready := p.expect(0)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.listen(out)
	select {
	case _, ok := <-ready:
		if !ok {
			t.Fatalf("%s did not begin: %s", name, p.errs.String())
		}
	case <-time.After(patience):
		t.Fatalf("%s is not ready", name)
	}
	return p
}

func (p *process) expect(n int) <-chan reply {
	c := make(chan reply, 1)
	p.waits[n] = c
	return c
}

func (p *process) listen(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var r reply
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			continue
		}
		p.mu.Lock()
		if c := p.waits[r.N]; c != nil {
			c <- r
			delete(p.waits, r.N)
		}
		p.mu.Unlock()
	}
	_ = p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, c := range p.waits {
		close(c)
		delete(p.waits, n)
	}
	p.waits = nil
	close(p.ended)
}

// ask has something done. errGone: it is not known whether it was.
func (p *process) ask(o order) (reply, error) {
	p.mu.Lock()
	if p.waits == nil {
		p.mu.Unlock()
		return reply{}, errGone
	}
	p.n++
	c := p.expect(p.n)
	o.N = p.n
	line, _ := json.Marshal(o) // plain members
	_, err := p.in.Write(append(line, '\n'))
	p.mu.Unlock()
	if err != nil {
		return reply{}, errGone
	}
	select {
	case r, ok := <-c:
		if !ok {
			return reply{}, errGone
		}
		if r.Err != "" {
			return r, errors.New(strings.ReplaceAll(r.Err, "\n", " / "))
		}
		return r, nil
	case <-time.After(2 * patience):
		return reply{}, fmt.Errorf("%s does not answer to %s %s", p.name, o.Do, o.Identity)
	}
}

func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// kill ends it as a crash does. A race that it reported is told all the same.
func (p *process) kill() error {
	p.signal(syscall.SIGKILL)
	<-p.ended
	return p.raced()
}

func (p *process) raced() error {
	if said := p.errs.String(); strings.Contains(said, "DATA RACE") || strings.Contains(said, "panic:") {
		return fmt.Errorf("%s said: %s", p.name, said)
	}
	return nil
}

// ends ends it in order, and says what it complained of.
func (p *process) ends() error {
	p.signal(syscall.SIGCONT)
	_ = p.in.Close()
	select {
	case <-p.ended:
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("%s did not end", p.name), p.kill())
	}
	if p.cmd.ProcessState.Success() {
		return p.raced()
	}
	return fmt.Errorf("%s ended with %v: %s", p.name, p.cmd.ProcessState, p.errs.String())
}
