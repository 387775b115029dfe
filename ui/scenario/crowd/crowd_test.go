package crowd_test

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/bottles/docker"
	"bottle-tui/queue"
	"bottle-tui/state"
	"bottle-tui/ui/scenario"
)

var (
	crowdActions = flag.Int("crowd.actions", 200, "how many actions TestACrowd does")
	crowdFor     = flag.Duration("crowd.for", time.Hour*24, "after how long it begins no more, whatever crowd.actions says")
	crowdWithin  = flag.Duration("crowd.within", patience, "how long after the last action of some an operation may still be unfinished")
	crowdSame    = flag.Duration("crowd.same", 20*time.Second, "how long after the last change the programs may differ in what they show")
	crowdSeed    = flag.Uint64("crowd.seed", 1, "what TestACrowd chooses the actions by")
)

const (
	patience = 90 * time.Second
	agent    = "tester"      // of the manifest
	token    = "CROWD_TOKEN" // a variable of every program
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
	t        *testing.T
	root     *state.Root
	engine   *docker.Engine
	binary   string
	manifest string
	image    string // of the stand-in agent
	rand     *rand.Rand

	mu       sync.Mutex
	log      []string
	began    time.Time
	programs []*process
	screen   *scenario.Term
	members  map[string]*member
	order    []string // of their identities, the oldest first
	pending  sync.WaitGroup
	slots    chan struct{}
	asked    int             // of requests, so far
	unsaid   int             // of decisions, which were asked for and came to nothing
	decided  int             // which were done
	finished []time.Duration // after the last action of some: until no operation was left
	same     []time.Duration // after that, or the last action: until all showed the same
}

// Several programs on one state root, some of which are killed or stopped, do what comes: two that supervise as a screen does,
// the screen itself, and commands. When they are left alone they agree, nothing is half done, and no bottle lost anything that
// nobody took from it.
//
// What is done is chosen by a seed; how the programs meet is not. More of it:
//
//	go test -race ./ui/scenario/crowd -timeout 5h -crowd.actions 5000 -crowd.within 10s -crowd.seed 7
func TestACrowd(t *testing.T) {
	c := newCrowd(t)
	for _, name := range []string{"A", "B"} {
		c.programs = append(c.programs, startProcess(t, name, c.root.Dir(), c.manifest))
	}
	c.open()
	n := 0
	for n < *crowdActions && time.Since(c.began) < *crowdFor {
		for range min(10, *crowdActions-n) {
			c.step()
			n++
		}
		if c.look(); t.Failed() {
			return
		}
	}
	c.resumeAll()
	t.Logf("%d actions with the seed %d took %v, %d of %d decisions were done; nothing was left to do after %s; all showed the same after %s",
		n, *crowdSeed, time.Since(c.began).Round(time.Second), c.decided, c.decided+c.unsaid, spread(c.finished), spread(c.same))
}

// newCrowd makes a state root, a manifest and the agent's image. All of it is removed in the end.
func newCrowd(t *testing.T) *crowd {
	dir := t.TempDir()
	c := &crowd{
		t: t, binary: scenario.BuildBinary(t), manifest: filepath.Join(dir, "claude-bottle.json"), image: "bottle-tui-test-crowd:" + state.RandomBase36(8),
		rand: rand.New(rand.NewPCG(*crowdSeed, 0)), began: time.Now(), members: map[string]*member{}, slots: make(chan struct{}, 4),
	}
	var err error
	if c.root, err = state.Open(filepath.Join(dir, "root")); err != nil {
		t.Fatal(err)
	}
	if c.engine, err = docker.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.end)
	c.importAgent(scenario.Build(t, "./bottles/testdata/agent"))
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM "+c.image+"\nENTRYPOINT []\nUSER 1000:1000\n"), 0o644),
		os.WriteFile(c.manifest, []byte(`{
  "bottles": {"dev": {"supervise": true, "image": {"dockerfile": "./Dockerfile"}, "build_network": "none"}},
  "agents": {"`+agent+`": {"bottle": "dev", "command": ["/agent"], "session": "claude-code"}}
}`), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// importAgent makes the image of the stand-in agent.
func (c *crowd) importAgent(path string) {
	binary, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, d := range []string{"home/agent/.claude/", "workspace/"} {
		err = errors.Join(err, w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: d, Mode: 0o755, Uid: 1000, Gid: 1000}))
	}
	err = errors.Join(err, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "agent", Mode: 0o755, Size: int64(len(binary))}))
	_, wrong := w.Write(binary)
	if err = errors.Join(err, wrong, w.Close()); err == nil {
		_, err = c.engine.Import(c.t.Context(), c.image, &b, bottles.ImageConfig{})
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// end ends the programs and removes what they made.
func (c *crowd) end() {
	for _, p := range c.programs {
		if err := p.ends(); err != nil {
			c.t.Error(err)
		}
	}
	ctx := context.WithoutCancel(c.t.Context())
	_, err := bottles.Raze(ctx, c.root, c.engine)
	if err = errors.Join(err, c.engine.RemoveImage(ctx, c.image), c.engine.Close()); err != nil {
		c.t.Errorf("clean up: %v", err)
	}
	if c.t.Failed() || testing.Verbose() {
		c.t.Logf("seed %d:\n%s", *crowdSeed, strings.Join(c.log, "\n"))
	}
}

// open opens the real screen, and waits until it has opened the state root: it would make one where that is away.
func (c *crowd) open() {
	c.screen = scenario.Start(c.t, scenario.Options{Args: []string{c.binary, "--home", c.root.Dir(), "--manifest", c.manifest}, Cols: 160, Rows: 50})
	c.screen.WaitText("Bottles", patience)
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

// there are the bottles that are not known to be deleted.
func (c *crowd) there() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.order), func(id string) bool { return c.members[id].gone })
}

// one is any of them; "" where there is none.
func (c *crowd) one() string { return c.oneOf(c.there()) }

func (c *crowd) count() int { return len(c.there()) }

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
	{"launch", 10}, {"resume", 16}, {"resume by a command", 4}, {"teardown", 10}, {"delete", 7},
	{"ask", 9}, {"decide", 12}, {"ask and decide", 12}, {"revoke", 5},
	{"kill the agent", 7}, {"stop the agent", 4}, {"kill a program", 5}, {"stop a program", 5}, {"kill the screen", 2}, {"stop the screen", 3}, {"press x", 4}, {"press r", 5},
	{"root away", 3}, {"list", 4}, {"cleanup", 5},
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
	case "launch", "resume", "teardown", "delete", "revoke":
		c.beside(func() { c.asks(p, order{Do: what, Identity: id}) })
	case "resume by a command":
		c.beside(func() { c.command("resume", "--yes", id) })
	case "ask":
		c.request(id)
	case "decide":
		if id = c.asking(); id != "" {
			c.decides(p, id)
		}
	case "ask and decide":
		if id = c.live(); id != "" && c.request(id) {
			c.decides(p, id)
		}
	case "kill the agent", "stop the agent":
		c.with(id, func(m *member) { m.touched = true })
		args := map[string][]string{"kill the agent": {"kill"}, "stop the agent": {"stop", "--time=1"}}[what]
		c.beside(func() {
			err := exec.Command("docker", append(args, "claude-bottle-"+id)...).Run()
			c.note("%s %s: %v", what, id, err)
		})
	case "kill a program":
		c.note("SIGKILL to %s", p.name)
		if err := p.kill(); err != nil {
			c.t.Error(err)
		}
		c.programs[which] = startProcess(c.t, p.name, c.root.Dir(), c.manifest)
		c.note("%s is back", p.name)
	case "stop a program":
		c.stop(p.name, p.signal)
	case "kill the screen":
		c.note("SIGKILL to the screen")
		c.screen.Kill9()
		c.open()
	case "stop the screen":
		screen := c.screen
		c.stop("the screen", func(s syscall.Signal) { _ = syscall.Kill(screen.Pid(), s) })
	case "press x", "press r":
		c.press(strings.TrimPrefix(what, "press "), id)
	case "root away":
		c.away()
	case "list":
		c.beside(func() { c.command("list", "--format", "json") })
	case "cleanup":
		c.beside(func() { c.command("cleanup", "--yes") })
	}
}

// stop stops a program for a while.
func (c *crowd) stop(name string, signal func(syscall.Signal)) {
	for_ := time.Duration(500+c.rand.IntN(2000)) * time.Millisecond
	c.note("SIGSTOP to %s for %v", name, for_)
	signal(syscall.SIGSTOP)
	c.pending.Go(func() {
		<-time.After(for_)
		signal(syscall.SIGCONT)
		c.note("SIGCONT to %s", name)
	})
}

// request has an agent ask for something: it proposes what it has, and more.
func (c *crowd) request(id string) bool {
	q := queue.Request{ID: queue.NewID(time.Now()), Identity: id, Justification: "the crowd needs it", ArrivedAt: time.Now()}
	q.ToolUseID = "toolu_" + q.ID
	c.asked++
	config := func(name string) string {
		text, err := os.ReadFile(filepath.Join(c.root.Dir(), "state", id, "config", name))
		if err != nil {
			return ""
		}
		q.CurrentHash = queue.Hash(text)
		return string(text)
	}
	switch q.Tool = []string{queue.ToolCapability, queue.ToolEgress, queue.ToolCredProxy}[c.rand.IntN(3)]; q.Tool {
	case queue.ToolCapability:
		q.Proposed = config("Dockerfile") + "LABEL asked=\"" + q.ID + "\"\n"
	case queue.ToolEgress:
		q.Proposed = config("allowlist") + fmt.Sprintf("h%d.invalid\n", c.asked)
	case queue.ToolCredProxy:
		routes := strings.TrimRight(strings.TrimSuffix(strings.TrimSpace(config("routes.json")), "]"), " \n")
		if routes != "[" && routes != "" {
			routes += ","
		}
		q.Proposed = cmp.Or(routes, "[") + fmt.Sprintf("\n  {\"path\": \"/r%d/\", \"upstream\": \"https://r.invalid\", \"auth_scheme\": \"bearer\", \"token_ref\": %q}\n]\n", c.asked, token)
	}
	err := queue.Open(c.root.QueueDir(id)).Put(q)
	c.note("%s asks (%s): %v", id, q.Tool, err)
	return err == nil
}

// asking is a bottle with a request that waits; "" where there is none.
func (c *crowd) asking() string {
	var ids []string
	for _, id := range c.there() {
		if all, _ := queue.Open(c.root.QueueDir(id)).Requests(); slices.ContainsFunc(all, func(p queue.Pending) bool { return p.Answer == nil }) {
			ids = append(ids, id)
		}
	}
	return c.oneOf(ids)
}

// live is a bottle that lived at the last look, and that nobody touched since; "" where there is none.
func (c *crowd) live() string {
	return c.oneOf(slices.DeleteFunc(c.there(), func(id string) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.members[id].run == "" || c.members[id].touched
	}))
}

func (c *crowd) oneOf(ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return ids[c.rand.IntN(len(ids))]
}

// decides has a program, or two at once, decide on what a bottle asks for.
func (c *crowd) decides(p *process, id string) {
	o := order{Do: "approve", Identity: id, For: []time.Duration{0, 2 * time.Second, time.Hour}[c.rand.IntN(3)]}
	if c.rand.IntN(6) == 0 {
		o.Do = "deny"
	}
	c.beside(func() { c.asks(p, o) })
	if other := c.programs[c.rand.IntN(len(c.programs))]; other != p && c.rand.IntN(3) == 0 {
		c.beside(func() { c.asks(other, o) })
	}
}

// press presses a key on the screen, with a bottle chosen there.
func (c *crowd) press(key, id string) {
	pause := func(d time.Duration) { <-time.After(d) } // as an operator's: the escape makes another key of one right behind it
	c.screen.Press("esc")
	pause(450 * time.Millisecond) // a key that acts is not taken right behind another one
	if !c.moves(id) {
		c.note("the screen does not choose %s", id) // it is stopped, or does not show it yet
		return
	}
	c.with(id, func(m *member) { m.touched = true })
	c.note("the screen: %s %s", key, id)
	c.screen.Press(key)
	pause(500 * time.Millisecond) // the grace before a dialog takes a key
	c.screen.Press("y")
	pause(60 * time.Millisecond)
	c.screen.Press("esc")
}

// cursor is the first line of the bottle that is chosen on the screen.
var cursor = regexp.MustCompile(`(?m)^[│┃]▌\S (` + agent + `-[0-9a-z]{5})`)

// moves moves the screen's cursor to a bottle. Each key is waited for: one that is still on its way would move it on.
func (c *crowd) moves(id string) bool {
	chosen := func() string {
		if m := cursor.FindStringSubmatch(c.screen.Screen()); m != nil {
			return m[1]
		}
		return ""
	}
	for range 16 {
		was := chosen()
		if was == id {
			return true
		}
		there, here := -1, -1
		for i, row := range rowOf.FindAllStringSubmatch(c.screen.Screen(), -1) {
			switch row[2] {
			case id:
				there = i
			case was:
				here = i
			}
		}
		if was == "" || there < 0 || here < 0 {
			return false
		}
		c.screen.Press(map[bool]string{true: "up", false: "down"}[there < here])
		for deadline := time.Now().Add(2 * time.Second); chosen() == was; <-time.After(10 * time.Millisecond) { // between two looks, up to the deadline
			if time.Now().After(deadline) {
				return false
			}
		}
	}
	return false
}

// asks has one of the programs do something.
func (c *crowd) asks(p *process, o order) {
	if o.Do == "launch" {
		o.Identity = ""
	} else if o.Do != "resume" {
		c.with(o.Identity, func(m *member) { m.touched, m.doomed = true, m.doomed || o.Do == "delete" })
	}
	c.note("%s: %s %s", p.name, o.Do, o.Identity)
	r, err := p.ask(o)
	c.note("%s: %s %s%s: %v", p.name, o.Do, o.Identity, map[bool]string{true: r.Identity}[o.Identity == ""], err)
	switch {
	case o.Do == "launch" && r.Identity != "":
		c.with(r.Identity, func(m *member) { m.touched = true })
	case o.Do == "delete" && err == nil:
		c.with(o.Identity, func(m *member) { m.gone = true })
	case o.Do == "approve" || o.Do == "deny":
		c.mu.Lock()
		defer c.mu.Unlock()
		if err == nil {
			c.decided++
		} else {
			c.unsaid++
		}
	}
}

// command runs a plain command. That it fails, and says why, is no fault: others are at work.
func (c *crowd) command(args ...string) {
	c.note("%v", args)
	out, err := exec.Command(c.binary, append(args, "--home", c.root.Dir(), "--manifest", c.manifest)...).CombinedOutput()
	said := ""
	if args[0] != "list" || err != nil {
		said = strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", " / ")
	}
	c.note("%v: %v %s", args, err, said)
}

// away renames the root, lets commands run without it, and brings it back.
func (c *crowd) away() {
	aside := c.root.Dir() + ".away"
	if err := os.Rename(c.root.Dir(), aside); err != nil {
		c.t.Fatal(err)
	}
	c.note("the root is away")
	back := time.After(time.Duration(300+c.rand.IntN(1500)) * time.Millisecond)
	c.command("list", "--format", "json")
	if c.rand.IntN(2) == 0 {
		c.command("cleanup", "--yes")
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
