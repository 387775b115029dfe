package bottles_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/queue"
)

// change is a Dockerfile that differs from what is in force by one label.
func (w *world) change(value string) string {
	return w.cat.dockerfile + "LABEL change=\"" + value + "\"\n"
}

func (w *world) dockerfile(id string) string {
	w.t.Helper()
	b, err := w.root.Bottle(id)
	if err != nil {
		w.t.Fatal(err)
	}
	content, err := b.Dockerfile()
	if err != nil {
		w.t.Fatal(err)
	}
	return string(content)
}

// answered reads the answer that a settled request was given.
func (w *world) answered(id, request string) string {
	w.t.Helper()
	content, err := os.ReadFile(filepath.Join(w.root.QueueDir(id), "done", request+".answer.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(content)
}

func TestAnApprovedCapabilityIsInForceOnTheSameBottle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("")
	session := w.awaitStatus(id, bottles.Live).SessionID
	w.sup.Type(id, []byte("put /home/agent/.own \"mine\"\nwrite precious\n"))
	w.awaitText(id, "wrote <nil>")
	before, _ := w.agent(id)
	egress, err := w.engine.Container(t.Context(), "claude-bottle-egress-"+id)
	if err != nil {
		t.Fatal(err)
	}

	// What the new image has in the home and the old one had not is added to the agent's, nothing of which is changed.
	puts := "RUN [\"/agent\", \"put\", \"/home/agent/.own\", \"\\\"the image's\\\"\"]\nWORKDIR /home/agent/new\nRUN [\"/agent\", \"put\", \"/home/agent/new/tool\", \"\\\"of the image\\\"\"]\n"
	req := w.request(id, w.change("one")+puts)
	if string(req.Current) != w.cat.dockerfile || req.Stale {
		t.Errorf("shown against %q, stale %v", req.Current, req.Stale)
	}
	w.must(bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash})
	b := w.awaitStatus(id, bottles.Live)
	after, _ := w.agent(id)
	if after.ImageID == before.ImageID || after.State != bottles.StateRunning || b.ImageDigest != after.ImageID {
		t.Errorf("the agent ran on %s, runs on %s, is shown on %s", before.ImageID, after.ImageID, b.ImageDigest)
	}
	if now, err := w.engine.Container(t.Context(), egress.Name); err != nil || now.ID != egress.ID {
		t.Errorf("the pod did not stay up: %v", err)
	}
	w.awaitText(id, "--resume "+session)
	w.awaitText(id, "work: precious")
	w.sup.Type(id, []byte("cat /home/agent/.own\ncat /home/agent/new/tool\n"))
	w.awaitText(id, "cat /home/agent/.own: \"mine\"")
	w.awaitText(id, "cat /home/agent/new/tool: \"of the image\"")
	if _, err := w.engine.Container(t.Context(), "claude-bottle-look-"+id); !errors.Is(err, bottles.ErrNotFound) {
		t.Errorf("the container in which the new image was looked at is still there: %v", err)
	}
	if !b.Rebuilt || len(b.Requests) != 0 || w.dockerfile(id) != w.change("one")+puts {
		t.Errorf("the bottle is %+v on %q", b, w.dockerfile(id))
	}
	if a := w.answered(id, req.ID); !strings.Contains(a, `"approved"`) || !strings.Contains(a, req.Hash) {
		t.Errorf("the agent was answered %s", a)
	}
	if h := w.history(id); !slices.Contains(h, "decision") || !slices.Contains(h, "built") || !slices.Contains(h, "in force") {
		t.Errorf("the audit log tells %v", h)
	}

	// What is in force next to be changed is what was approved, also after a teardown.
	w.must(bottles.TearDown{Identity: id})
	w.must(bottles.Resume{Identity: id})
	if again, _ := w.agent(id); again.ImageID != after.ImageID {
		t.Errorf("resumed on %s, was rebuilt to %s", again.ImageID, after.ImageID)
	}
}

// An agent's program begins another session in the middle of its life, as Claude Code does at /clear. What is asked for
// in it belongs to it, and so does every later life of the agent, whatever else the agent claims.
func TestTheSessionThatAskedGoesOn(t *testing.T) {
	t.Parallel()
	const second, third, none = "e24f6e86-5274-400e-a8f4-2c6094ab0e36", "f455e0ce-642c-4c09-aa37-490cc50515d7", "19891735-c2f0-4c6b-889b-50374c6ba6e5"
	w := newWorld(t)
	w.run(nil)
	id := w.launch("the first message")
	first := w.awaitStatus(id, bottles.Live).SessionID
	w.awaitText(id, "-- the first message")
	w.sup.Type(id, []byte("session "+second+"\n"))
	w.awaitText(id, "session <nil>")
	req := w.request(id, w.change("one"))
	w.await("its session is known", func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return len(b.Requests) == 1 && b.Requests[0].Session == second
	})
	w.must(bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash})
	w.awaitText(id, "--resume "+second)

	// It crashes in a third one.
	w.sup.Type(id, []byte("session "+third+"\n"))
	w.sup.Type(id, []byte("exit 3\n"))
	w.awaitStatus(id, bottles.Failed)
	w.must(bottles.Resume{Identity: id})
	w.awaitText(id, "--resume "+third)
	w.sup.Type(id, []byte(`claim {"session_id":"`+none+`"}`+"\n"))
	w.awaitText(id, "claimed <nil>")
	w.must(bottles.TearDown{Identity: id})
	w.must(bottles.Resume{Identity: id})
	b := w.awaitStatus(id, bottles.Live)
	if n := strings.Count(w.screen(id).String(), "--resume "+third); b.SessionID != third || n != 2 {
		t.Errorf("it is in %s, and went on %d times with %s:\n%s", b.SessionID, n, third, w.screen(id))
	}
	disk, err := w.root.Bottle(id)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := disk.Metadata()
	var all []string
	for _, s := range meta.Sessions {
		all = append(all, s.ID)
	}
	if err != nil || !slices.Equal(all, []string{first, second, third}) {
		t.Errorf("of its sessions are known %q, %v", all, err)
	}
}

func TestAnEditedCapabilityTellsTheAgentTheDifference(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("")
	req := w.request(id, w.change("asked"))
	w.must(bottles.ApproveEdited{Identity: id, Request: req.ID, Shown: req.Hash, Content: []byte(w.change("granted"))})
	if w.dockerfile(id) != w.change("granted") {
		t.Errorf("in force is %q", w.dockerfile(id))
	}
	w.awaitText(id, `-LABEL change="asked"`)
	w.awaitText(id, `+LABEL change="granted"`)
}

func TestADeniedRequestChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("")
	before, _ := w.agent(id)
	req := w.request(id, w.change("no"))
	if err := w.do(bottles.Deny{Identity: id, Request: req.ID, Shown: req.Hash, Reason: "  "}); !errors.Is(err, bottles.ErrRefused) {
		t.Errorf("a denial without a reason: %v", err)
	}
	w.must(bottles.Deny{Identity: id, Request: req.ID, Shown: req.Hash, Reason: "use what you have"})
	if a := w.answered(id, req.ID); !strings.Contains(a, "use what you have") {
		t.Errorf("the agent was answered %s", a)
	}
	if after, _ := w.agent(id); after.ID != before.ID || w.dockerfile(id) != "" {
		t.Errorf("something changed")
	}
}

func TestAFailedBuildLeavesTheAgentUntouchedAndTheRequestOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("")
	before, _ := w.agent(id)
	req := w.request(id, w.cat.dockerfile+"RUN [\"/agent\", \"fail\"]\n")
	if err := w.do(bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash}); !errors.Is(err, bottles.ErrBuild) {
		t.Fatalf("approving what can't be built: %v", err)
	}
	b := w.awaitStatus(id, bottles.Live)
	if after, _ := w.agent(id); after.ID != before.ID || after.State != bottles.StateRunning {
		t.Error("the agent was touched")
	}
	if len(b.Requests) != 1 || b.Requests[0].State != bottles.Unapplied || b.Requests[0].Err == "" {
		t.Fatalf("the requests are %+v", b.Requests)
	}
	if b.Operation == nil || !strings.Contains(strings.Join(b.Operation.Log, "\n"), "this step fails on purpose") {
		t.Errorf("the operation is %+v", b.Operation)
	}
	if w.dockerfile(id) != "" {
		t.Errorf("a Dockerfile that can't be built is in force: %q", w.dockerfile(id))
	}
	// It can still be edited into something that builds.
	w.must(bottles.ApproveEdited{Identity: id, Request: req.ID, Shown: req.Hash, Content: []byte(w.change("mended"))})
	if w.dockerfile(id) != w.change("mended") {
		t.Errorf("in force is %q", w.dockerfile(id))
	}
}

func TestAnAgentThatDoesNotComeUpIsPutBack(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]string{
		"no such program": "ENTRYPOINT [\"/missing\"]\n",
		"ends at once":    "ENTRYPOINT [\"/agent\", \"fail\"]\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if name == "ends at once" {
				w.settle = 10 * time.Second // its end is seen at once, and may come late
			}
			w.run(nil)
			id := w.launch("")
			before, _ := w.agent(id)
			req := w.request(id, w.cat.dockerfile+broken)
			err := w.do(bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash})
			if err == nil || !strings.Contains(err.Error(), "back on the old one") {
				t.Fatalf("approving what does not come up: %v", err)
			}
			b := w.awaitStatus(id, bottles.Live)
			if after, _ := w.agent(id); after.ImageID != before.ImageID || after.State != bottles.StateRunning {
				t.Errorf("the agent is %+v, was on %s", after, before.ImageID)
			}
			if w.dockerfile(id) != "" || len(b.Requests) != 0 || b.Operation == nil {
				t.Errorf("Dockerfile %q, requests %+v, operation %+v", w.dockerfile(id), b.Requests, b.Operation)
			}
			w.awaitText(id, "you are back on the old one")
			if h := w.history(id); !slices.Contains(h, "rolled back") {
				t.Errorf("the audit log tells %v", h)
			}
		})
	}
}

func TestStaleDecisionsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("")
	req := w.request(id, w.change("one"))
	for name, a := range map[string]bottles.Action{
		"another text was shown": bottles.Approve{Identity: id, Request: req.ID, Shown: queue.Hash([]byte("FROM other"))},
		"no such request":        bottles.Approve{Identity: id, Request: "none", Shown: req.Hash},
		"no such bottle":         bottles.Approve{Identity: "none-00000", Request: req.ID, Shown: req.Hash},
		"an empty edit":          bottles.ApproveEdited{Identity: id, Request: req.ID, Shown: req.Hash},
	} {
		if err := w.do(a); !errors.Is(err, bottles.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Another program settles it between the look and the key.
	err := queue.Open(w.root.QueueDir(id)).Answer(queue.Answer{Request: req.ID, Decision: queue.Denied, Note: "no", DecidedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.do(bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash}); !errors.Is(err, bottles.ErrRefused) {
		t.Errorf("a request that was settled elsewhere: %v", err)
	}
}

// killer is an engine under which the program dies: at the chosen call, before or after it is done, the
// Supervisor ends as if killed, and nothing of it reaches the engine any more.
type killer struct {
	bottles.Engine
	kill func()
	at   string
	once sync.Once
	dead chan struct{}
}

var errKilled = errors.New("the program was killed")

// at kills before the call, or with "after " in front, behind it.
func (k *killer) call(name, object string, do func() error) error {
	select {
	case <-k.dead:
		return errKilled
	default:
	}
	die := func() error {
		k.once.Do(func() { k.kill(); close(k.dead) })
		return errKilled
	}
	if k.at == name+" "+object {
		return die()
	}
	err := do()
	if k.at == "after "+name+" "+object {
		return die()
	}
	return err
}

func (k *killer) Build(ctx context.Context, spec bottles.BuildSpec, progress func(bottles.BuildProgress)) (i bottles.Image, err error) {
	err = k.call("build", "", func() error { i, err = k.Engine.Build(ctx, spec, progress); return err })
	return i, err
}

func (k *killer) StopContainer(ctx context.Context, name string, grace time.Duration) error {
	return k.call("stop", role(name), func() error { return k.Engine.StopContainer(ctx, name, grace) })
}

func (k *killer) RemoveContainer(ctx context.Context, name string) error {
	return k.call("remove", role(name), func() error { return k.Engine.RemoveContainer(ctx, name) })
}

func (k *killer) CreateContainer(ctx context.Context, spec bottles.ContainerSpec) error {
	return k.call("create", role(spec.Name), func() error { return k.Engine.CreateContainer(ctx, spec) })
}

func (k *killer) CopyIn(ctx context.Context, name, dir string, archive io.Reader) error {
	return k.call("configure", role(name), func() error { return k.Engine.CopyIn(ctx, name, dir, archive) })
}

func (k *killer) StartContainer(ctx context.Context, name string) error {
	return k.call("start", role(name), func() error { return k.Engine.StartContainer(ctx, name) })
}

func role(container string) string {
	for _, r := range []string{"egress", "pipelock", "supervise"} {
		if strings.HasPrefix(container, "claude-bottle-"+r+"-") {
			return r
		}
	}
	return "agent"
}

// Wherever in the rebuild cycle the program is killed, the next one finishes it: the decision is kept,
// the agent is answered once, the conversation and the workspace are there.
func TestAKilledRebuildIsFinishedByTheNextProgram(t *testing.T) {
	for _, at := range []string{
		"build ", "after build ", "stop agent", "after stop agent", "remove agent", "after remove agent",
		"create agent", "after create agent", "configure agent", "start agent", "after start agent", "configure supervise",
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.run(nil)
			id := w.launch("the first message")
			session := w.awaitStatus(id, bottles.Live).SessionID
			w.sup.Type(id, []byte("write precious\n"))
			w.awaitText(id, "wrote <nil>")
			w.end()

			var dying *killer
			w.run(func(e bottles.Engine, kill func()) bottles.Engine {
				dying = &killer{Engine: e, kill: kill, at: at, dead: make(chan struct{})}
				return dying
			})
			req := w.request(id, w.change("one"))
			if _, err := w.sup.Start(t.Context(), bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash}); err != nil {
				t.Fatal(err)
			}
			select {
			case <-dying.dead:
			case <-time.After(patience):
				t.Fatalf("the cycle never came to %q", at)
			}
			w.end()

			w.run(nil)
			w.await("the change is in force", func(s *bottles.Snapshot) bool {
				b, ok := find(s, id)
				return ok && b.Status == bottles.Live && b.Operation == nil && b.Rebuilt && len(b.Requests) == 0
			})
			agent, _ := w.agent(id)
			if image, err := w.engine.Image(t.Context(), agent.Image); err != nil || image.Labels["change"] != "one" {
				t.Errorf("the agent runs on %+v, %v", image, err)
			}
			w.awaitText(id, "--resume "+session)
			w.awaitText(id, "work: precious")
			if a := w.answered(id, req.ID); !strings.Contains(a, `"approved"`) {
				t.Errorf("the agent was answered %s", a)
			}
			disk, err := w.root.Bottle(id)
			if err != nil {
				t.Fatal(err)
			}
			if op, err := disk.Operation(); err != nil || op != nil {
				t.Errorf("the journal still holds %+v, %v", op, err)
			}
			w.must(bottles.TearDown{Identity: id})
			kept, err := os.ReadFile(filepath.Join(disk.Dir(), "transcript", "-workspace", session+".jsonl"))
			if err != nil || !strings.Contains(string(kept), "the first message") {
				t.Errorf("the transcript is %q, %v", kept, err)
			}
			if n := decisions(w.history(id)); n != 1 {
				t.Errorf("the audit log tells of %d decisions", n)
			}
		})
	}
}

func decisions(kinds []string) (n int) {
	for _, k := range kinds {
		if k == "decision" {
			n++
		}
	}
	return n
}

// A launch, a resume and a teardown that were killed are finished by the next program, too.
func TestAKilledLaunchOrTeardownIsFinishedByTheNextProgram(t *testing.T) {
	for _, at := range []string{"create egress", "after start egress", "start agent", "after start agent", "after stop agent", "remove egress"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var dying *killer
			wrap := func(e bottles.Engine, kill func()) bottles.Engine {
				dying = &killer{Engine: e, kill: kill, at: at, dead: make(chan struct{})}
				return dying
			}
			down := strings.Contains(at, "stop") || strings.Contains(at, "remove")
			var id string
			if down {
				w.run(nil)
				id = w.launch("")
				w.end()
				w.run(wrap)
				if _, err := w.sup.Start(t.Context(), bottles.TearDown{Identity: id}); err != nil {
					t.Fatal(err)
				}
			} else {
				w.run(wrap)
				if _, err := w.sup.Start(t.Context(), bottles.Launch{Agent: "tester", Task: "begin"}); err != nil {
					t.Fatal(err)
				}
			}
			select {
			case <-dying.dead:
			case <-time.After(patience):
				t.Fatalf("it never came to %q", at)
			}
			w.end()
			all, _ := w.root.List()
			if len(all) != 1 {
				t.Fatalf("there are %d states", len(all))
			}
			id = all[0].Identity()
			w.run(nil)
			if down {
				w.awaitStatus(id, bottles.Down)
				return
			}
			w.awaitStatus(id, bottles.Live)
			w.awaitText(id, "-- begin")
		})
	}
}

// Of two programs on one state root one is killed in the middle of a rebuild: the other takes over.
func TestAnotherProgramTakesOverFromAKilledOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("the first message")

	doomed := w.another()
	var dying *killer
	doomed.run(func(e bottles.Engine, kill func()) bottles.Engine {
		dying = &killer{Engine: e, kill: kill, at: "after stop agent", dead: make(chan struct{})}
		return dying
	})
	req := doomed.request(id, w.change("one"))
	if _, err := doomed.sup.Start(t.Context(), bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-dying.dead:
	case <-time.After(patience):
		t.Fatal("the cycle never came to its stop")
	}
	doomed.end()

	w.await("the change is in force", func(s *bottles.Snapshot) bool {
		b, ok := find(s, id)
		return ok && b.Status == bottles.Live && b.Operation == nil && b.Rebuilt && len(b.Requests) == 0
	})
	if a := w.answered(id, req.ID); !strings.Contains(a, `"approved"`) {
		t.Errorf("the agent was answered %s", a)
	}
}

// cancelling is an engine whose builds are cancelled when they have begun or, late, when their image is looked at.
type cancelling struct {
	bottles.Engine
	late   bool
	built  atomic.Bool
	cancel func()
}

func (e *cancelling) Build(ctx context.Context, spec bottles.BuildSpec, progress func(bottles.BuildProgress)) (bottles.Image, error) {
	if !e.late {
		e.cancel()
		<-ctx.Done()
	}
	image, err := e.Engine.Build(ctx, spec, progress)
	e.built.Store(true)
	return image, err
}

func (e *cancelling) Image(ctx context.Context, ref string) (bottles.Image, error) {
	if e.late && e.built.Swap(false) {
		e.cancel()
	}
	return e.Engine.Image(ctx, ref)
}

// A rebuild that is cancelled before it has touched the agent changes nothing, also in its last moment.
func TestACancelledRebuildChangesNothing(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]bool{"in the build": false, "after the build": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			slow := &cancelling{late: late}
			w.run(nil)
			id := w.launch("")
			w.end()
			w.run(func(e bottles.Engine, _ func()) bottles.Engine { slow.Engine = e; return slow })
			slow.cancel = func() {
				if _, err := w.sup.Start(context.Background(), bottles.Cancel{Identity: id}); err != nil {
					t.Errorf("cancelling: %v", err)
				}
			}
			before, _ := w.agent(id)
			req := w.request(id, w.change(name))
			if err := w.do(bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash}); !errors.Is(err, context.Canceled) {
				t.Errorf("approving ended with %v", err)
			}
			w.await("the request waits again", func(s *bottles.Snapshot) bool {
				b, _ := find(s, id)
				return len(b.Requests) == 1 && b.Requests[0].State == bottles.Waiting && b.Status == bottles.Live
			})
			if after, _ := w.agent(id); after.ID != before.ID || w.dockerfile(id) != "" {
				t.Errorf("the agent was %+v and is %+v; in force is %q", before, after, w.dockerfile(id))
			}
			if b, err := w.root.Bottle(id); err != nil {
				t.Error(err)
			} else if op, err := b.Operation(); op != nil || err != nil {
				t.Errorf("the journal holds %+v, %v", op, err)
			}
		})
	}
}
