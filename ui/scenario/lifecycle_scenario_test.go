package scenario_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"bottle-tui/bottles"
	"bottle-tui/state"
	"bottle-tui/ui/scenario"
)

// A bottle is torn down with one key and brought back with another: its conversation and its files are there.
// Then it is deleted for good.
func TestTearDownResumeDelete(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	op := s.demo("quiet")
	id := op.seesLive(1, "quiet")[0]
	op.sees("waiting for you")
	op.types(id, [2]string{"write saved.txt kept over the night", "wrote 1 lines"})
	before := s.facts(id)

	op.tearsDown(id)
	op.sees(regexp.MustCompile(id + `\s+down`))
	op.sees("torn down by the operator")
	down := s.facts(id)
	if len(down.containers)+down.networks > 0 || down.volumes != 3 {
		t.Errorf("the engine has %+v of a bottle that is down", down.parts)
	}
	if down.meta.EndReason != "torn down by the operator" || down.meta.EndedAt.IsZero() {
		t.Errorf("its metadata is %+v", down.meta)
	}
	if kept := s.transcript(id); !strings.Contains(kept, "kept over the night") {
		t.Errorf("the kept transcript is\n%s", kept)
	}
	if listed := s.says("list"); !regexp.MustCompile(id + `\s+down`).MatchString(listed) {
		t.Errorf("list says %q", listed)
	}

	op.Press("r")
	op.seesDone(id, "is live again", id+" is back")
	op.sees("❯ write saved.txt kept over the night")
	op.sees("resumed · " + before.meta.SessionID)
	op.sees("Here I am again")
	op.types(id, [2]string{"cat saved.txt", "● kept over the night"})
	if after := s.facts(id); after.agent() == "" || after.meta.SessionID != before.meta.SessionID || after.meta.EndReason != "" || after.meta.ImageDigest != before.meta.ImageDigest {
		t.Errorf("it was %+v and is %+v", before, after)
	}

	// A volume that is lost while the bottle is down costs no conversation.
	op.tearsDown(id)
	s.must(s.engine.RemoveVolume(t.Context(), "claude-bottle-home-"+id))
	op.Press("r")
	op.seesDone(id, "is live again", id+" is back")
	op.sees("❯ cat saved.txt")

	// Deleting asks for the bottle's name, and takes nothing else for it.
	op.Press("D")
	op.sees("tear it down first")
	op.tearsDown(id)
	op.Press("D")
	op.sees("Nothing brings it back")
	op.Type("quiet\n")
	op.sees("that is not " + id)
	for range len("quiet") {
		op.Press("backspace")
	}
	op.Type(id + "\n")
	op.seesDone(id, "is gone", id+" is deleted")
	op.sees("no bottles")
	if _, err := s.root.Bottle(id); !errors.Is(err, state.ErrUnknown) {
		t.Errorf("the state is left: %v", err)
	}
	if _, err := os.Stat(s.root.QueueDir(id)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the queue is left: %v", err)
	}
	if have := s.onEngine(id); len(have.containers)+have.networks+have.volumes > 0 {
		t.Errorf("left on the engine: %+v", have)
	}
	if said := s.says("audit", "verify", id); !strings.Contains(said, "whole") {
		t.Errorf("the audit log of a bottle that is gone: %q", said)
	}
}

// What a bottle left whose state is gone is listed as an orphan, and removed with a key, or a command.
func TestOrphans(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	op := s.demo("quiet", "quiet", "quiet")
	ids := op.seesLive(3, "quiet")
	one, two, stays := ids[0], ids[1], ids[2]
	op.quits()
	for _, id := range []string{one, two} {
		s.must(os.RemoveAll(s.bottle(id).Dir()))
	}

	// The command says what it would remove, and removes nothing.
	said := s.says("cleanup", "--dry-run")
	for _, want := range []string{
		one + ": container claude-bottle-" + one, two + ": network claude-bottle-net-" + two,
		one + ": volume claude-bottle-work-" + one, "nothing was",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("cleanup --dry-run lacks %q: %s", want, said)
		}
	}
	if strings.Contains(said, stays) {
		t.Errorf("cleanup --dry-run names %s: %s", stays, said)
	}
	if have := s.onEngine(one); have.containers[bottles.RoleAgent].State != bottles.StateRunning || have.volumes != 3 {
		t.Errorf("cleanup --dry-run left %+v", have)
	}

	// On the screen they are orphans, and one key removes them.
	op = s.opens()
	op.sees(regexp.MustCompile(one + `\s+orphan`))
	op.sees(regexp.MustCompile(two + `\s+orphan`))
	op.sees(" 1 live · 2 orphans")
	op.Press("c")
	op.sees("Clean up orphans?")
	screen := op.sees("container claude-bottle-" + one)
	if strings.Contains(screen, "container claude-bottle-"+stays) {
		t.Errorf("the dialog names a bottle that is none of them:\n%s", screen)
	}
	op.Press("enter")
	op.seesNoMore(one)
	op.seesNoMore(two)
	for _, id := range []string{one, two} {
		if have := s.onEngine(id); len(have.containers)+have.networks+have.volumes > 0 {
			t.Errorf("left of %s: %+v", id, have)
		}
	}
	if s.facts(stays).agent() == "" {
		t.Error("the bottle that was none of them does not run any more")
	}
	if said := s.says("cleanup"); !strings.Contains(said, "There are no orphans") {
		t.Errorf("cleanup says %q", said)
	}
}

// A bottle that an earlier version made, which kept only ~/.claude, comes back with its conversation and its work, and has
// its whole home kept from then on. The plan says so.
func TestABottleOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	older := s.in(t)
	older.binary = scenario.BuildEarlier(t)
	op := older.demo("quiet")
	id := op.seesLive(1, "quiet")[0]
	op.sees("waiting for you")
	op.types(id, [2]string{"write saved.txt kept by the earlier one", "wrote 1 lines"})
	op.tearsDown(id)
	op.sees(regexp.MustCompile(id + `\s+down`))
	before := s.facts(id)
	op.quits()

	if said := strings.Join(strings.Fields(s.says("resume", "--dry-run", id)), " "); !strings.Contains(said, "from this start on all of it is, in the volume claude-bottle-user-"+id) {
		t.Errorf("the plan does not say that the home is kept from now on:\n%s", said)
	}
	op = s.opens()
	op.sees(regexp.MustCompile(id + `\s+down`))
	op.Press("r") // at once: the engine may not have been heard yet
	op.seesDone(id, "is live again", id+" is back")
	op.sees("❯ write saved.txt kept by the earlier one")
	op.sees("resumed · " + before.meta.SessionID)
	op.types(id, [2]string{"cat saved.txt", "● kept by the earlier one"})
	var own bytes.Buffer
	archive := tar.NewWriter(&own)
	s.must(archive.WriteHeader(&tar.Header{Name: "own.txt", Mode: 0o600, Uid: 1000, Gid: 1000}))
	s.must(archive.Close())
	s.must(s.engine.CopyIn(t.Context(), "claude-bottle-"+id, "/home/agent", &own))
	if now := s.facts(id); now.agent() == "" || now.meta.SessionID != before.meta.SessionID || !now.meta.WholeHome || now.volumes != 3 {
		t.Errorf("it was %+v and is %+v", before, now)
	}
	op.tearsDown(id)
	op.Press("r")
	op.seesDone(id, "is live again", id+" is back")
	if _, err := s.engine.Stat(t.Context(), "claude-bottle-"+id, "/home/agent/own.txt"); err != nil {
		t.Errorf("what was in its home: %v", err)
	}
	if said := s.runs("resume", "--dry-run", id, "--home", s.home); strings.Contains(said.out, "from this") {
		t.Errorf("the plan says it again:\n%s", said.out)
	}
}
