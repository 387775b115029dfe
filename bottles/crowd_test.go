package bottles_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
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
	"bottle-tui/queue"
	"bottle-tui/state"
	"bottle-tui/ui/scenario"
)

var (
	crowdActions = flag.Int("crowd.actions", 40, "how many actions TestACrowd does")
	crowdWithin  = flag.Duration("crowd.within", patience, "how long after the last action of some the programs have to agree")
	crowdSeed    = flag.Uint64("crowd.seed", 1, "what TestACrowd chooses them by")
)

// member is what the test knows of one bottle.
type member struct {
	marked  bool   // its workspace holds the mark
	run     string // of the agent that ran at the last look; "": none did
	touched bool   // something that may end or replace that agent was begun since
	doomed  bool   // it was asked to be deleted
	gone    bool   // it was deleted
}

// crowd is several programs on one state root, and what they were asked.
type crowd struct {
	*world
	t      *testing.T
	binary string
	rand   *rand.Rand

	mu       sync.Mutex
	log      []string
	began    time.Time
	programs []*process
	members  map[string]*member
	order    []string // of their identities, the oldest first
	pending  sync.WaitGroup
	slots    chan struct{}
	settled  time.Duration // the longest that the programs took to agree
}

// Several programs on one state root, some of which are killed or stopped, do what comes. When they are left alone they
// agree, nothing is half done, and no bottle lost anything that nobody took from it.
//
// What is done is chosen by a seed; how the programs meet is not. More of it:
//
//	go test -race ./bottles -run TestACrowd -timeout 5h -crowd.actions 5000 -crowd.within 10s -crowd.seed 7
func TestACrowd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := &crowd{
		world: w, t: t, binary: scenario.BuildBinary(t), rand: rand.New(rand.NewPCG(*crowdSeed, 0)), began: time.Now(),
		members: map[string]*member{}, slots: make(chan struct{}, 3),
	}
	t.Cleanup(func() {
		for _, p := range c.programs {
			if err := p.ends(); err != nil {
				t.Error(err)
			}
		}
		if t.Failed() || testing.Verbose() {
			t.Logf("seed %d, %d actions:\n%s", *crowdSeed, *crowdActions, strings.Join(c.log, "\n"))
		}
	})
	for _, name := range []string{"A", "B"} {
		c.programs = append(c.programs, startProcess(t, name, w.root.Dir(), w.cat.dockerfile))
	}
	for n := range *crowdActions {
		c.step()
		if n%10 == 9 || n == *crowdActions-1 {
			if c.look(); t.Failed() {
				return
			}
		}
	}
	c.resumeAll()
	t.Logf("%d actions with the seed %d took %v; the programs agreed within %v", *crowdActions, *crowdSeed, time.Since(c.began).Round(time.Second), c.settled.Round(10*time.Millisecond))
}

func (c *crowd) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, fmt.Sprintf("%7.2f ", time.Since(c.began).Seconds())+fmt.Sprintf(format, args...))
}

// with does something with what the test knows.
func (c *crowd) with(id string, f func(m *member)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[id]
	if m == nil {
		m = &member{}
		c.members[id], c.order = m, append(c.order, id)
	}
	f(m)
}

// one is any bottle that is not known to be deleted; "" where there is none.
func (c *crowd) one() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	there := slices.DeleteFunc(slices.Clone(c.order), func(id string) bool { return c.members[id].gone })
	if len(there) == 0 {
		return ""
	}
	return there[c.rand.IntN(len(there))]
}

func (c *crowd) count() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		if !m.gone {
			n++
		}
	}
	return n
}

// beside has something done while the test goes on.
func (c *crowd) beside(f func()) {
	c.slots <- struct{}{}
	c.pending.Go(func() {
		defer func() { <-c.slots }()
		f()
	})
}

// steps are what can come, and how often.
var steps = []struct {
	what   string
	weight int
}{
	{"launch", 12}, {"resume", 18}, {"resume by a command", 5}, {"teardown", 14}, {"delete", 8}, {"ask", 10}, {"approve", 12},
	{"kill the agent", 8}, {"stop the agent", 4}, {"kill a program", 5}, {"stop a program", 5}, {"root away", 3}, {"list", 5}, {"cleanup", 6},
}

func (c *crowd) choose() string {
	sum := 0
	for _, s := range steps {
		sum += s.weight
	}
	n := c.rand.IntN(sum)
	for _, s := range steps {
		if n -= s.weight; n < 0 {
			return s.what
		}
	}
	return ""
}

func (c *crowd) step() {
	what, which := c.choose(), c.rand.IntN(len(c.programs))
	p, id := c.programs[which], c.one()
	switch {
	case c.count() < 2:
		what = "launch"
	case what == "launch" && c.count() >= 5:
		what = "delete"
	}
	switch what {
	case "launch", "resume", "teardown", "delete", "approve":
		c.beside(func() { c.asks(p, what, id) })
	case "resume by a command":
		c.beside(func() {
			p := startProcess(c.t, "resume", c.root.Dir(), c.cat.dockerfile)
			c.asks(p, "resume", id)
			if err := p.ends(); err != nil {
				c.t.Error(err)
			}
		})
	case "ask":
		q := queue.Request{ID: queue.NewID(time.Now()), Tool: queue.ToolCapability, Identity: id, Justification: "the crowd needs it", ArrivedAt: time.Now()}
		q.ToolUseID, q.Proposed = "toolu_"+q.ID, c.cat.dockerfile+"LABEL asked=\""+q.ID+"\"\n"
		c.note("%s asks: %v", id, queue.Open(c.root.QueueDir(id)).Put(q))
	case "kill the agent", "stop the agent":
		c.with(id, func(m *member) { m.touched = true })
		args := map[string][]string{"kill the agent": {"kill"}, "stop the agent": {"stop", "--time=1"}}[what]
		c.beside(func() {
			err := exec.Command("docker", append(args, "claude-bottle-"+id)...).Run()
			c.note("%s %s: %v", what, id, err)
		})
	case "kill a program":
		c.note("SIGKILL to %s", p.name)
		p.kill()
		c.programs[which] = startProcess(c.t, p.name, c.root.Dir(), c.cat.dockerfile)
		c.note("%s is back", p.name)
	case "stop a program":
		for_ := time.Duration(1+c.rand.IntN(4)) * time.Second
		c.note("SIGSTOP to %s for %v", p.name, for_)
		p.signal(syscall.SIGSTOP)
		c.pending.Go(func() {
			<-time.After(for_)
			p.signal(syscall.SIGCONT)
			c.note("SIGCONT to %s", p.name)
		})
	case "root away":
		c.away()
	case "list", "cleanup":
		c.beside(func() { c.command(what) })
	}
}

// asks has one of the programs do something.
func (c *crowd) asks(p *process, what, id string) {
	if what == "launch" {
		id = ""
	} else if what != "resume" {
		c.with(id, func(m *member) { m.touched, m.doomed = true, m.doomed || what == "delete" })
	}
	c.note("%s: %s %s", p.name, what, id)
	r, err := p.ask(what, id)
	c.note("%s: %s %s%s: %v", p.name, what, id, map[bool]string{true: r.Identity}[id == ""], err)
	switch {
	case what == "launch" && r.Identity != "":
		c.with(r.Identity, func(m *member) { m.touched = true })
	case what == "delete" && err == nil:
		c.with(id, func(m *member) { m.gone = true })
	}
}

// command runs a plain command. That it fails, and says why, is no fault: others are at work.
func (c *crowd) command(name string) {
	args := map[string][]string{"list": {"list", "--format", "json"}, "cleanup": {"cleanup", "--yes"}}[name]
	out, err := exec.Command(c.binary, append(args, "--home", c.root.Dir())...).CombinedOutput()
	said := ""
	if name != "list" || err != nil {
		said = strings.TrimSpace(string(out))
	}
	c.note("%s: %v %s", name, err, said)
}

// away renames the root, lets commands run without it, and brings it back.
func (c *crowd) away() {
	aside := c.root.Dir() + ".away"
	if err := os.Rename(c.root.Dir(), aside); err != nil {
		c.t.Fatal(err)
	}
	c.note("the root is away")
	back := time.After(time.Duration(500+c.rand.IntN(2000)) * time.Millisecond)
	c.command("list")
	if c.rand.IntN(2) == 0 {
		c.command("cleanup")
	}
	<-back
	if made, err := filepath.Glob(filepath.Join(c.root.Dir(), "state", "*")); err != nil || len(made) > 0 {
		c.t.Errorf("bottles were made where the root was: %q %v", made, err)
	}
	if _, err := os.Lstat(c.root.Dir()); !errors.Is(err, fs.ErrNotExist) {
		c.note("a root was made in its place (%v)", err)
		if err := os.Rename(c.root.Dir(), fmt.Sprintf("%s.made-%d", c.root.Dir(), time.Now().UnixNano())); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := os.Rename(aside, c.root.Dir()); err != nil {
		c.t.Fatal(err)
	}
	c.note("the root is back")
}

// statuses are what a plain list shows.
func (c *crowd) statuses() (map[string]string, error) {
	out, err := exec.Command(c.binary, "list", "--format", "json", "--home", c.root.Dir()).Output()
	if err != nil {
		return nil, err
	}
	var rows []struct{ Identity, Status string }
	if err := json.Unmarshal(out, &rows); err != nil {
		return nil, err
	}
	got := map[string]string{}
	for _, r := range rows {
		got[r.Identity] = r.Status
	}
	return got, nil
}

// agree waits until nothing is half done and all programs show the same.
func (c *crowd) agree() map[string]string {
	c.pending.Wait()
	from := time.Now()
	for {
		why, shown := c.differ()
		if why == "" {
			c.settled = max(c.settled, time.Since(from))
			c.note("they agree: %v", shown)
			return shown
		}
		if time.Since(from) > *crowdWithin {
			c.t.Fatalf("after %v: %s", *crowdWithin, why)
		}
		<-time.After(50 * time.Millisecond) // between two looks, up to the deadline
	}
}

func (c *crowd) differ() (why string, shown map[string]string) {
	all, problems := c.root.List()
	if len(problems) > 0 {
		return fmt.Sprintf("problems: %v", problems), nil
	}
	for _, b := range all {
		if op, err := b.Operation(); op != nil || err != nil {
			return fmt.Sprintf("%s is not finished: %+v %v", b.Identity(), op, err), nil
		}
	}
	shown, err := c.statuses()
	if err != nil {
		return fmt.Sprintf("list: %v", err), nil
	}
	ends := func(all map[string]string) map[string]string {
		all = maps.Clone(all)
		for id, status := range all {
			if status == string(bottles.Failed) { // why is known to the program alone whose operation failed; to others it is down
				all[id] = string(bottles.Down)
			}
		}
		return all
	}
	for id, status := range ends(shown) {
		if status != string(bottles.Live) && status != string(bottles.Down) {
			return fmt.Sprintf("%s is %s", id, status), nil
		}
	}
	for _, p := range c.programs {
		if r, err := p.ask("list", ""); err != nil || !maps.Equal(ends(r.Statuses), ends(shown)) {
			return fmt.Sprintf("%s shows %v (%v), and list %v", p.name, r.Statuses, err, shown), nil
		}
	}
	return "", shown
}

// look lets the programs settle and checks what must hold.
func (c *crowd) look() {
	shown := c.agree()
	have, err := c.engine.Observe(c.t.Context(), c.root.ID())
	if err != nil {
		c.t.Fatal(err)
	}
	agents, works := map[string]bottles.Container{}, map[string]bool{}
	for _, o := range have.Containers {
		if o.Labels[bottles.LabelRole] == string(bottles.RoleAgent) {
			if _, twice := agents[o.Labels[bottles.LabelIdentity]]; twice {
				c.t.Errorf("%s has two agents", o.Labels[bottles.LabelIdentity])
			}
			agents[o.Labels[bottles.LabelIdentity]] = o
		}
	}
	for _, v := range have.Volumes {
		if v.Labels[bottles.LabelRole] == "work" {
			works[v.Labels[bottles.LabelIdentity]] = true
		}
	}
	all, _ := c.root.List()
	for _, b := range all { // also those whose launch was not answered
		c.with(b.Identity(), func(*member) {})
	}
	for _, id := range slices.Clone(c.order) {
		m := c.members[id]
		m.gone = c.check(id, m, shown[id], agents[id], works[id])
		c.audit(id)
	}
}

// check checks one bottle, and says whether it is gone.
func (c *crowd) check(id string, m *member, status string, agent bottles.Container, work bool) (gone bool) {
	runs := agent.State == bottles.StateRunning
	switch {
	case status == "" && m.gone, status == "" && m.doomed:
		if agent.ID != "" || work {
			c.t.Errorf("%s was deleted, and the engine has %+v, workspace %v", id, agent, work)
		}
		return true
	case status == "" && !c.audited(id):
		return true // its launch was refused
	case status == "":
		c.t.Errorf("%s is gone, and nobody deleted it: %v", id, c.history(id))
		return true
	case m.gone:
		c.t.Errorf("%s was deleted, and is %s", id, status)
	case runs != (status == string(bottles.Live)):
		c.t.Errorf("%s is %s, and its agent is %s", id, status, agent.State)
	case m.marked && !work:
		c.t.Errorf("%s has lost its workspace", id)
	}
	run := ""
	if runs {
		now, err := c.engine.Container(c.t.Context(), agent.Name)
		if err != nil {
			c.t.Errorf("%s: %v", id, err)
		}
		run = now.ID + " " + now.StartedAt.String()
	}
	if m.run != "" && !m.touched && run != m.run {
		c.t.Errorf("nobody touched %s: its agent was %s and is %q", id, m.run, run)
	}
	m.run, m.touched, m.doomed = run, false, false
	if agent.ID != "" {
		c.mark(id, m, agent.Name)
	}
	return false
}

// mark writes a bottle's name into its workspace, or checks that it is there.
func (c *crowd) mark(id string, m *member, container string) {
	ctx := context.WithoutCancel(c.t.Context())
	if !m.marked {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		err := errors.Join(w.WriteHeader(&tar.Header{Name: "mark", Mode: 0o644, Size: int64(len(id)), Uid: 1000, Gid: 1000}))
		_, _ = io.WriteString(w, id)
		if err = errors.Join(err, w.Close(), c.engine.CopyIn(ctx, container, "/workspace", &b)); err != nil {
			c.t.Errorf("mark %s: %v", id, err)
		}
		m.marked = true
		return
	}
	out, err := c.engine.CopyOut(ctx, container, "/workspace/mark")
	if err != nil {
		c.t.Errorf("the workspace of %s: %v", id, err)
		return
	}
	defer out.Close()
	r := tar.NewReader(out)
	_, err = r.Next()
	if text, readErr := io.ReadAll(r); err != nil || readErr != nil || string(text) != id {
		c.t.Errorf("the workspace of %s holds %q (%v, %v)", id, text, err, readErr)
	}
}

// once says by which member of its data a fact is told from the others of its kind.
var once = map[string]string{
	"launch": "session", "live": "id", "down": "id", "ended": "run", "request": "id", "decision": "id", "in force": "request", "rolled back": "request",
}

func (c *crowd) audited(id string) bool {
	_, err := os.Stat(c.root.Audit(id).Path())
	return err == nil
}

// audit checks that a bottle's log is whole, and has each fact once.
func (c *crowd) audit(id string) {
	log := c.root.Audit(id)
	if !c.audited(id) {
		return
	}
	if _, err := log.Verify(); err != nil {
		c.t.Errorf("the audit log of %s: %v", id, err)
	}
	entries, err := log.Entries(0)
	if err != nil {
		c.t.Errorf("the audit log of %s: %v", id, err)
	}
	seen := map[string]state.Entry{}
	for _, e := range entries {
		var data map[string]any
		if member := once[e.Kind]; member == "" || json.Unmarshal(e.Data, &data) != nil || data[member] == nil {
			continue
		}
		key := fmt.Sprint(e.Kind, " ", data[once[e.Kind]])
		if first, twice := seen[key]; twice {
			c.t.Errorf("%s: %s is in the audit log twice: %d %s and %d %s", id, key, first.Seq, first.Data, e.Seq, e.Data)
		}
		seen[key] = e
	}
}

// resumeAll brings back whatever is down, so that every workspace is looked into.
func (c *crowd) resumeAll() {
	for _, id := range c.order {
		if m := c.members[id]; !m.gone && m.run == "" {
			if _, err := c.programs[0].ask("resume", id); err != nil {
				c.t.Errorf("%s can't be brought back: %v", id, err)
			}
		}
	}
	c.look()
}
