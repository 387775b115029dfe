package bottles_test

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
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker"
	"bottle-tui/state"
)

// These name the state root, and the Dockerfile of its agents, to a test process that is to be one program on it.
const (
	programRoot       = "BOTTLE_TEST_PROGRAM_ROOT"
	programDockerfile = "BOTTLE_TEST_PROGRAM_DOCKERFILE"
)

// order is what a program is asked to do, as a line of JSON.
type order struct {
	N        int
	Do       string // launch, resume, teardown, delete, approve, list
	Identity string
}

// reply is how that ended.
type reply struct {
	N        int
	Identity string            // of a launch
	Err      string            // "": it was done
	Statuses map[string]string // of a list
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
	p := &program{out: json.NewEncoder(os.Stdout), screens: map[string]*screen{}}
	p.sup = bottles.New(bottles.Config{
		Root: root, Engine: engine, Catalog: catalog{dockerfile: os.Getenv(programDockerfile)}, Screens: p.screen,
		Resolve: func(context.Context, string) (string, error) { return "", errors.New("it is not set") },
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

	mu      sync.Mutex
	snap    *bottles.Snapshot
	screens map[string]*screen
}

func (p *program) say(r reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.out.Encode(r)
}

func (p *program) screen(id string) bottles.Screen {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.screens[id] == nil {
		p.screens[id] = &screen{}
	}
	return p.screens[id]
}

func (p *program) do(ctx context.Context, o order, r *reply) error {
	p.mu.Lock()
	snap := p.snap
	p.mu.Unlock()
	var a bottles.Action
	switch o.Do {
	case "list":
		r.Statuses = map[string]string{}
		for _, b := range snap.Bottles {
			r.Statuses[b.Identity] = string(b.Status)
		}
		return nil
	case "launch":
		plan, err := p.sup.Preflight(ctx, bottles.Launch{Agent: "tester"})
		if err != nil {
			return err
		}
		r.Identity = plan.Identity
		a = bottles.Launch{Agent: "tester", Identity: plan.Identity}
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
	case "approve":
		b, _ := find(snap, o.Identity)
		if len(b.Requests) == 0 {
			return errors.New("it asks for nothing")
		}
		a = bottles.Approve{Identity: o.Identity, Request: b.Requests[0].ID, Shown: b.Requests[0].Hash}
	default:
		return fmt.Errorf("no such order: %s", o.Do)
	}
	done, err := p.sup.Start(ctx, a)
	if err != nil {
		return err
	}
	return <-done
}

// process is a program as the test has it.
type process struct {
	name   string
	cmd    *exec.Cmd
	in     io.WriteCloser
	errs   bytes.Buffer
	ended  chan struct{} // closed when it is gone, and nobody waits for a reply of it any more
	mu     sync.Mutex
	n      int
	waits  map[int]chan reply
	killed bool
}

var errGone = errors.New("the program is gone")

func startProcess(t testing.TB, name, root, dockerfile string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{name: name, cmd: exec.Command(self), ended: make(chan struct{}), waits: map[int]chan reply{}}
	p.cmd.Env = append(os.Environ(), programRoot+"="+root, programDockerfile+"="+dockerfile)
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
func (p *process) ask(do, identity string) (reply, error) {
	p.mu.Lock()
	if p.waits == nil {
		p.mu.Unlock()
		return reply{}, errGone
	}
	p.n++
	c := p.expect(p.n)
	line, _ := json.Marshal(order{p.n, do, identity}) // plain members
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
		return reply{}, fmt.Errorf("%s does not answer to %s %s", p.name, do, identity)
	}
}

func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

func (p *process) kill() {
	p.mu.Lock()
	p.killed = true
	p.mu.Unlock()
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// ends ends it in order, and says what it complained of.
func (p *process) ends() error {
	p.signal(syscall.SIGCONT)
	_ = p.in.Close()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.kill()
		return fmt.Errorf("%s did not end", p.name)
	}
	if p.cmd.ProcessState.Success() {
		return nil
	}
	return fmt.Errorf("%s ended with %v: %s", p.name, p.cmd.ProcessState, p.errs.String())
}
