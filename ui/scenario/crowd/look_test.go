package crowd_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/state"
)

// listed is what a plain list says of a bottle.
type listed struct {
	Identity string
	Status   bottles.Status
	Waiting  int
}

func (c *crowd) list() (map[string]listed, error) {
	out, err := exec.Command(c.binary, "list", "--format", "json", "--home", c.root.Dir()).Output()
	if err != nil {
		return nil, err
	}
	var rows []listed
	if err := json.Unmarshal(out, &rows); err != nil {
		return nil, err
	}
	got := map[string]listed{}
	for _, r := range rows {
		got[r.Identity] = r
	}
	return got, nil
}

// rowOf finds a bottle's row on the screen: its sign, and how many of its requests wait.
var rowOf = regexp.MustCompile(`(?m)^[│┃][ ▌]([●○✗◐◓◑◒]) (` + agent + `-[0-9a-z]{5})\b([^│┃]*)`)

// signs are what stands before a bottle's name on the screen.
var signs = map[bottles.Status]string{bottles.Live: "●", bottles.Down: "○", bottles.Failed: "✗"}

// drawn says how the screen differs from what is shown elsewhere.
func (c *crowd) drawn(want map[string]shown) string {
	text := c.screen.Screen()
	rows := rowOf.FindAllStringSubmatch(text, -1)
	for _, row := range rows {
		w, ok := want[row[2]]
		flag := fmt.Sprintf("⚑%d", len(w.Requests))
		if !ok || row[1] != signs[w.Status] || strings.Contains(row[3], "⚑") != (len(w.Requests) > 0) || len(w.Requests) > 0 && !strings.Contains(row[3], flag) {
			return fmt.Sprintf("the screen shows %q of what is %v", row[0], w)
		}
	}
	if len(rows) != len(want) {
		return fmt.Sprintf("the screen shows %d of %d bottles:\n%s", len(rows), len(want), text)
	}
	return ""
}

// agree waits until nothing is half done and all programs show the same, and gives that.
func (c *crowd) agree() map[string]shown {
	c.pending.Wait()
	last := time.Now() // that something happened
	changed := last
	for {
		busy := c.busy()
		now := time.Now()
		if busy != "" {
			if changed = now; now.Sub(last) > *crowdWithin {
				c.t.Fatalf("after %v: %s", *crowdWithin, busy)
			}
			<-time.After(20 * time.Millisecond) // between two looks, up to the deadline
			continue
		}
		why, shown := c.differ()
		if why == "" {
			c.finished, c.same = append(c.finished, changed.Sub(last)), append(c.same, now.Sub(changed))
			c.note("they agree after %v and %v: %v", changed.Sub(last).Round(time.Millisecond), now.Sub(changed).Round(time.Millisecond), shown)
			return shown
		}
		if now.Sub(changed) > *crowdSame {
			c.t.Fatalf("after %v: %s", *crowdSame, why)
		}
		<-time.After(20 * time.Millisecond) // between two looks, up to the deadline
	}
}

// busy says what is not finished.
func (c *crowd) busy() string {
	all, problems := c.root.List()
	if len(problems) > 0 {
		return fmt.Sprintf("problems: %v", problems)
	}
	for _, b := range all {
		if op, err := b.Operation(); op != nil || err != nil {
			return fmt.Sprintf("%s is not finished: %+v %v", b.Identity(), op, err)
		}
	}
	for _, p := range c.programs {
		r, err := p.ask(order{Do: "list"})
		if err != nil {
			return err.Error()
		}
		for id, v := range r.Shown {
			if v.Busy {
				return fmt.Sprintf("%s is at something: %s %v", p.name, id, v)
			}
		}
	}
	return ""
}

// differ says in what the programs differ, and what all show.
func (c *crowd) differ() (why string, same map[string]shown) {
	for i, p := range c.programs {
		r, err := p.ask(order{Do: "list"})
		if err != nil {
			return err.Error(), nil
		}
		for id, v := range r.Shown {
			if signs[v.Status] == "" {
				return fmt.Sprintf("%s shows %s as %v", p.name, id, v), nil
			}
		}
		if i > 0 && !reflect.DeepEqual(r.Shown, same) {
			return fmt.Sprintf("%s shows %v, and %s %v", c.programs[0].name, same, p.name, r.Shown), nil
		}
		same = r.Shown
	}
	if why := c.drawn(same); why != "" {
		return why, nil
	}
	rows, err := c.list()
	if err != nil {
		return fmt.Sprintf("list: %v", err), nil
	}
	for id, v := range same {
		if want := (listed{id, v.Status, len(v.Requests)}); rows[id] != want {
			return fmt.Sprintf("list shows %v, and the programs %v", rows[id], v), nil
		}
	}
	if len(rows) != len(same) {
		return fmt.Sprintf("list shows %v, and the programs %v", rows, same), nil
	}
	return "", same
}

// spread is how a measure of time is distributed.
func spread(all []time.Duration) string {
	all = slices.Sorted(slices.Values(all))
	if len(all) == 0 {
		return "no look"
	}
	at := func(p float64) time.Duration {
		return all[int(math.Ceil(p*float64(len(all))))-1].Round(time.Millisecond)
	}
	soon, _ := slices.BinarySearch(all, 2*time.Second)
	return fmt.Sprintf("%v (median), %v (p99), %v (most), within 2 s %d of %d times", at(0.5), at(0.99), at(1), soon, len(all))
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
		m.gone = c.check(id, m, shown[id].Status, agents[id], works[id])
		c.audit(id)
	}
}

// check checks one bottle, and says whether it is gone.
func (c *crowd) check(id string, m *member, status bottles.Status, agent bottles.Container, work bool) (gone bool) {
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
		c.t.Errorf("%s is gone, and nobody deleted it", id)
		return true
	case m.gone:
		c.t.Errorf("%s was deleted, and is %s", id, status)
	case runs != (status == bottles.Live):
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
	"grant ended": "grant",
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
			if _, err := c.programs[0].ask(order{Do: "resume", Identity: id}); err != nil {
				c.t.Errorf("%s can't be brought back: %v", id, err)
			}
		}
	}
	c.look()
}
