package bottles_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/state"
)

func TestLaunchTeardownResumeKeepsEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cat.tune = func(p *bottles.Profile) {
		p.Files = []bottles.File{
			{Path: "/home/agent/.claude.json", Content: []byte(`{"seen":true,"projects":{"/workspace":{"trusted":true}}}`), Mode: 0o600, UID: 1000, GID: 1000, Merge: true},
			{Path: "/home/agent/.claude/skills/greet/SKILL.md", Content: []byte("greet"), Mode: 0o644, UID: 1000, GID: 1000},
		}
	}
	w.run(nil)
	id := w.launch("count the files")
	w.awaitText(id, "-- count the files")
	b := w.awaitStatus(id, bottles.Live)
	session := b.SessionID
	if session == "" || b.ImageDigest == "" || b.Rebuilt {
		t.Errorf("the live bottle is %+v", b)
	}
	// Of the agent's home everything is kept, and nothing that it leaves there is in the way of its next start.
	w.sup.Type(id, []byte("put /home/agent/.own \"mine\"\nput /home/agent/.claude.json \"{\\\"mcpServers\\\":{\\\"added\\\":{\\\"n\\\":12345678901234567890}},\\\"seen\\\":false}\"\n"))
	w.awaitText(id, ".claude.json \"{\\\"mcpServers\\\":{\\\"added\\\":{\\\"n\\\":12345678901234567890}},\\\"seen\\\":false}\" <nil>")
	w.sup.Type(id, []byte("swap /home/agent/.claude/skills ../../../workspace\nwrite precious\n"))
	w.awaitText(id, "swapped /home/agent/.claude/skills <nil>")
	w.awaitText(id, "wrote <nil>")

	w.must(bottles.TearDown{Identity: id})
	b = w.awaitStatus(id, bottles.Down)
	if b.EndReason != "torn down by the operator" || b.EndedAt.IsZero() {
		t.Errorf("ended at %v because of %q", b.EndedAt, b.EndReason)
	}
	have, err := w.engine.Observe(t.Context(), w.root.ID())
	if err != nil {
		t.Fatal(err)
	}
	if len(have.Containers) != 0 || len(have.Networks) != 0 || len(have.Volumes) != 3 {
		t.Errorf("after the teardown the engine has %d containers, %d networks, %d volumes", len(have.Containers), len(have.Networks), len(have.Volumes))
	}
	transcript := filepath.Join(w.root.Dir(), "state", id, "transcript", "-workspace", session+".jsonl")
	if kept, err := os.ReadFile(transcript); err != nil || !strings.Contains(string(kept), "count the files") {
		t.Errorf("the kept transcript is %q, %v", kept, err)
	}

	w.must(bottles.Resume{Identity: id})
	b = w.awaitStatus(id, bottles.Live)
	if b.SessionID != session || b.EndReason != "" {
		t.Errorf("resumed as %+v, want session %s", b, session)
	}
	w.awaitText(id, "--resume "+session)
	w.awaitText(id, "work: precious")
	w.sup.Type(id, []byte("cat /home/agent/.own\ncat /home/agent/.claude/skills/greet/SKILL.md\ncat /home/agent/.claude.json\n"))
	w.awaitText(id, "cat /home/agent/.own: \"mine\"")
	w.awaitText(id, "SKILL.md: \"greet\"")
	merged := "{\n  \"mcpServers\": {\n    \"added\": {\n      \"n\": 12345678901234567890\n    }\n  },\n  \"projects\": {\n    \"/workspace\": {\n      \"trusted\": true\n    }\n  },\n  \"seen\": true\n}"
	w.awaitText(id, fmt.Sprintf("cat /home/agent/.claude.json: %q <nil>", merged))
	if got, want := w.history(id), []string{"launch", "live", "down", "resume", "live"}; !slices.Equal(got, want) {
		t.Errorf("the audit log tells %v, want %v", got, want)
	}
}

// The first message reaches the agent once, whatever becomes of its first start.
func TestTheTaskOutlivesAFailedStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cat.tune = func(p *bottles.Profile) {
		if _, err := os.Stat(filepath.Join(w.root.Dir(), "mended")); err != nil {
			p.Dockerfile = append(p.Dockerfile, "RUN [\"/agent\", \"fail\"]\n"...)
		}
	}
	w.run(nil)
	if err := w.do(bottles.Launch{Agent: "tester", Task: "count the files"}); err == nil {
		t.Fatal("a start on an image that can't be built went well")
	}
	s := w.await("it is down", func(s *bottles.Snapshot) bool { return len(s.Bottles) == 1 && s.Bottles[0].Operation != nil })
	id := s.Bottles[0].Identity
	if err := os.WriteFile(filepath.Join(w.root.Dir(), "mended"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	plan, err := w.sup.Preflight(t.Context(), bottles.Resume{Identity: id})
	if err != nil || plan.Task != "count the files" {
		t.Errorf("the plan of the resume has the task %q, %v", plan.Task, err)
	}
	w.must(bottles.Resume{Identity: id, Agreed: plan.Asks()})
	w.awaitText(id, "-- count the files")
	w.must(bottles.TearDown{Identity: id})
	w.must(bottles.Resume{Identity: id})
	w.awaitText(id, "run again now")
	if said := w.screen(id).String(); strings.Count(said, "-- count the files") != 1 {
		t.Errorf("it was told its task more or less than once:\n%s", said)
	}
}

// What is typed before the terminal of an agent that runs was found reaches it as well.
func TestWhatIsTypedEarlyArrives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("count the files")
	w.awaitText(id, "-- count the files")
	w.end()
	w = w.another()
	w.run(nil)
	w.sup.Type(id, []byte("write "))
	w.sup.Type(id, []byte("early\n"))
	w.awaitText(id, "wrote <nil>")
}

func TestALostVolumeCostsNoConversation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var misses *missesOnce
	w.run(func(e bottles.Engine, _ func()) bottles.Engine { misses = &missesOnce{Engine: e}; return misses })
	id := w.launch("the first message")
	session := w.awaitStatus(id, bottles.Live).SessionID
	w.awaitText(id, "-- the first message")
	w.must(bottles.TearDown{Identity: id})
	for _, role := range []string{"home", "user"} {
		if err := w.engine.RemoveVolume(t.Context(), "claude-bottle-"+role+"-"+id); err != nil {
			t.Fatal(err)
		}
	}
	p, err := w.sup.Preflight(t.Context(), bottles.Resume{Identity: id})
	if err != nil || p.Asks() != bottles.NoticeHome || len(p.Notices) != 2 || p.Notices[1].ID != bottles.NoticeClaude {
		t.Fatalf("the plan is %+v, %v", p, err)
	}
	if err := w.do(bottles.Resume{Identity: id}); !errors.Is(err, bottles.ErrRefused) || !strings.Contains(err.Error(), "claude-bottle-user-"+id) {
		t.Errorf("resumed without a yes: %v", err)
	}
	misses.agent.Store(true) // the plan is made anew then, with the volumes there
	w.must(bottles.Resume{Identity: id, Agreed: p.Asks()})
	w.awaitText(id, "--resume "+session)
	w.must(bottles.TearDown{Identity: id})
	kept, err := os.ReadFile(filepath.Join(w.root.Dir(), "state", id, "transcript", "-workspace", session+".jsonl"))
	if err != nil || !strings.Contains(string(kept), "the first message") || !strings.Contains(string(kept), "--resume") {
		t.Errorf("after the volume was lost the transcript is %q, %v", kept, err)
	}
}

// missesOnce is an engine that lacks something once when it is to make an agent's container.
type missesOnce struct {
	bottles.Engine
	agent atomic.Bool
}

func (e *missesOnce) CreateContainer(ctx context.Context, spec bottles.ContainerSpec) error {
	if spec.Terminal && e.agent.CompareAndSwap(true, false) {
		return fmt.Errorf("%w: the image was removed just now", bottles.ErrNotFound)
	}
	return e.Engine.CreateContainer(ctx, spec)
}

func TestAnAgentThatEndsByItselfStaysToBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("")
	req := w.request(id, "FROM scratch\n")
	w.sup.Type(id, []byte("exit 3\n"))
	b := w.awaitStatus(id, bottles.Failed)
	if !strings.Contains(b.Detail, "exit code 3") {
		t.Errorf("the detail is %q", b.Detail)
	}
	if len(b.Requests) != 0 {
		t.Errorf("requests of a dead agent: %+v", b.Requests)
	}
	if done, err := os.ReadFile(filepath.Join(w.root.QueueDir(id), "done", req.ID+".answer.json")); err != nil || !strings.Contains(string(done), string(queue.Withdrawn)) {
		t.Errorf("the request was answered %q, %v", done, err)
	}
	w.await("its sidecars are gone", func(*bottles.Snapshot) bool {
		have, err := w.engine.Observe(t.Context(), w.root.ID())
		return err == nil && len(have.Containers) == 1 && len(have.Networks) == 0
	})
	w.must(bottles.Resume{Identity: id})
	w.awaitStatus(id, bottles.Live)
}

func TestDeleteLeavesOnlyTheAuditLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("")
	if err := w.do(bottles.Delete{Identity: id}); !errors.Is(err, bottles.ErrRefused) {
		t.Fatalf("deleting a live bottle: %v", err)
	}
	w.must(bottles.TearDown{Identity: id})
	w.must(bottles.Delete{Identity: id})
	w.await("it is gone", func(s *bottles.Snapshot) bool { _, ok := find(s, id); return !ok })
	have, err := w.engine.Observe(t.Context(), w.root.ID())
	if err != nil || len(have.Containers)+len(have.Networks)+len(have.Volumes) != 0 {
		t.Errorf("the engine still has %+v, %v", have, err)
	}
	if _, err := os.Stat(filepath.Join(w.root.Dir(), "state", id)); !os.IsNotExist(err) {
		t.Errorf("the state: %v", err)
	}
	if h := w.history(id); !slices.Contains(h, "delete") {
		t.Errorf("the audit log tells %v", h)
	}
}

func TestOrphansAreListedAndCleanedUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("")
	w.end()
	if err := os.RemoveAll(filepath.Join(w.root.Dir(), "state", id)); err != nil {
		t.Fatal(err)
	}
	w.run(nil)
	s := w.await("an orphan is listed", func(s *bottles.Snapshot) bool {
		b, ok := find(s, id)
		return ok && b.Status == bottles.Orphan
	})
	b, _ := find(s, id)
	if !slices.Contains(b.Objects, "container claude-bottle-"+id+" (running)") || !slices.Contains(b.Objects, "network claude-bottle-net-"+id) {
		t.Errorf("its objects are %v", b.Objects)
	}
	w.must(bottles.Cleanup{Identities: []string{id}, Objects: b.Objects})
	w.await("it is gone", func(s *bottles.Snapshot) bool { _, ok := find(s, id); return !ok })
	have, err := w.engine.Observe(t.Context(), w.root.ID())
	if err != nil || len(have.Containers)+len(have.Networks)+len(have.Volumes) != 0 {
		t.Errorf("the engine still has %+v, %v", have, err)
	}
}

func TestTwoProgramsDoNotChangeOneBottleAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("")
	disk, err := w.root.Bottle(id)
	if err != nil {
		t.Fatal(err)
	}
	unlock, ok, err := disk.TryLock()
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	// It is at something that lasts, as its journal says.
	if err := disk.PutOperation(state.Operation{Kind: "rebuild", Step: "build"}); err != nil {
		t.Fatal(err)
	}
	if err := w.do(bottles.TearDown{Identity: id}); !errors.Is(err, bottles.ErrRefused) || !strings.Contains(err.Error(), "rebuild: build") {
		t.Errorf("tearing down what another program holds: %v", err)
	}
	if err := disk.ClearOperation(); err != nil {
		t.Fatal(err)
	}
	if c, ok := w.agent(id); !ok || c.State != bottles.StateRunning {
		t.Errorf("the agent is %+v", c)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	w.must(bottles.TearDown{Identity: id})
}

func TestAFailedLaunchLeavesNothingOnTheEngine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cat.dockerfile += "RUN [\"/agent\", \"fail\"]\n"
	w.run(nil)
	err := w.do(bottles.Launch{Agent: "tester"})
	if !errors.Is(err, bottles.ErrBuild) {
		t.Fatalf("launching an image that can't be built: %v", err)
	}
	s := w.await("the bottle failed", func(s *bottles.Snapshot) bool {
		return len(s.Bottles) == 1 && s.Bottles[0].Status == bottles.Failed && s.Bottles[0].Operation != nil
	})
	if log := strings.Join(s.Bottles[0].Operation.Log, "\n"); !strings.Contains(log, "this step fails on purpose") {
		t.Errorf("the build's log is %q", log)
	}
	have, err := w.engine.Observe(t.Context(), w.root.ID())
	if err != nil || len(have.Containers)+len(have.Networks) != 0 {
		t.Errorf("the engine has %+v, %v", have, err)
	}
}
