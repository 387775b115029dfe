package scenario_test

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
)

// The plain commands beside a demo: what they print, and how they end.
func TestPlainCommands(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	if said := s.says("list"); !strings.Contains(said, "There are no bottles. To see some: "+s.binary+" demo") {
		t.Errorf("list says %q", said)
	}
	if said := s.says("list", "--format", "json"); strings.TrimSpace(said) != "[]" {
		t.Errorf("list --format json says %q", said)
	}
	op := s.demo("counter", "quiet")
	op.sees("⚑ 1")
	counter, quiet := op.seesLive(2, "counter")[0], s.identities("quiet")[0]
	op.quits()

	t.Run("list", func(t *testing.T) {
		s := s.in(t)
		said := s.says("list")
		for _, want := range []string{`IDENTITY\s+STATUS\s+WAITING\s+STARTED\s+CWD`, counter + `\s+live\s+1\s+20\d\d-`, quiet + `\s+live\s+-\s+20\d\d-`} {
			if !regexp.MustCompile(want).MatchString(said) {
				t.Errorf("list lacks %s:\n%s", want, said)
			}
		}
		var rows []map[string]any
		if err := json.Unmarshal([]byte(s.says("list", "--format", "json")), &rows); err != nil || len(rows) != 2 {
			t.Fatalf("list --format json: %v, %v", rows, err)
		}
		fields := []string{"agent", "cwd", "identity", "image", "image_digest", "started_at", "status", "waiting"}
		for _, row := range rows {
			if got := slices.Sorted(maps.Keys(row)); !slices.Equal(got, fields) {
				t.Errorf("the fields are %q", got)
			}
			identity := row["identity"].(string)
			facts := s.facts(identity)
			agent := facts.containers[bottles.RoleAgent]
			waiting := map[string]float64{counter: 1}[identity]
			if row["agent"] != facts.meta.AgentName || row["status"] != "live" || row["waiting"] != waiting || row["cwd"] != facts.meta.CWD ||
				row["image"] != agent.Image || row["image_digest"] != agent.ImageID || row["started_at"] != facts.meta.StartedAt.UTC().Format(time.RFC3339) {
				t.Errorf("it says %v, and is %+v", row, facts)
			}
		}
	})

	t.Run("usage", func(t *testing.T) {
		s := s.in(t)
		for _, args := range [][]string{{"list", "--format", "xml"}, {"list", "--no-such"}, {"no-such"}, {"resume"}, {"list", "more"}, {"demo", "--agent", "nobody"}} {
			got := s.runs(append(args, "--home", s.home)...)
			if got.code != 2 || !strings.Contains(got.err, "--help") || got.out != "" {
				t.Errorf("%q ended with %d: %s%s", args, got.code, got.out, got.err)
			}
		}
		if said := s.says("version"); !strings.HasPrefix(said, "bottle-tui ") {
			t.Errorf("version says %q", said)
		}
		if said := s.says("--help"); !strings.Contains(said, "resume") {
			t.Errorf("--help says %q", said)
		}
	})

	t.Run("resume", func(t *testing.T) {
		s := s.in(t)
		got := s.runs("resume", "nobody-00000", "--home", s.home)
		if got.code != 1 || !strings.Contains(got.err, "nobody-00000") || !strings.Contains(got.err, "there are: "+counter+", "+quiet) {
			t.Errorf("resume of an unknown identity ended with %d: %s%s", got.code, got.out, got.err)
		}
		got = s.runs("resume", "../"+quiet, "--home", s.home)
		if got.code != 1 || !strings.Contains(got.err, "there are: ") {
			t.Errorf("resume of a path ended with %d: %s%s", got.code, got.out, got.err)
		}
		got = s.runs("resume", quiet, "--home", s.home)
		if got.code != 1 || !strings.Contains(got.err, quiet+" is live already") {
			t.Errorf("resume of a live bottle ended with %d: %s%s", got.code, got.out, got.err)
		}
	})

	t.Run("audit verify", func(t *testing.T) {
		s := s.in(t)
		said := s.says("audit", "verify")
		if !strings.Contains(said, counter+": ") || !strings.Contains(said, quiet+": ") || strings.Count(said, "whole") != 2 {
			t.Errorf("audit verify says %q", said)
		}
		path := s.root.Audit(quiet).Path()
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(whole), `"kind":"launch"`, `"kind":"lunch"`, 1)
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil || changed == string(whole) {
			t.Fatalf("the log could not be changed (%v): %s", err, whole)
		}
		got := s.runs("audit", "verify", "--home", s.home)
		if got.code != 1 || !strings.Contains(got.err, path) || !strings.Contains(got.err, "line 1") || !strings.Contains(got.out, counter) {
			t.Errorf("audit verify of a changed line ended with %d: %s%s", got.code, got.out, got.err)
		}
		if got := s.runs("audit", "verify", counter, "--home", s.home); got.code != 0 {
			t.Errorf("audit verify of another log ended with %d: %s", got.code, got.err)
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("down and back", func(t *testing.T) {
		s := s.in(t)
		op := s.opens()
		op.sees(" 2 live")
		op.tearsDown(quiet)
		op.quits()
		if said := s.says("list"); !regexp.MustCompile(quiet + `\s+down \(torn down by the operator\)`).MatchString(said) {
			t.Errorf("list says %s", said)
		}
		if said := s.says("resume", quiet); !strings.Contains(said, quiet+" is live. See it: bottle-tui --home "+s.home) {
			t.Errorf("resume says %q", said)
		}
		if s.facts(quiet).agent() == "" {
			t.Error("its agent does not run")
		}
		// However it ended, and whether a screen sees to its end meanwhile or nobody does.
		for _, beside := range []bool{false, true} {
			if beside {
				op = s.opens()
				op.sees(" 2 live")
			}
			for _, ends := range []func(string){s.stops, s.exits, s.losesItsContainers} {
				ends(quiet)
				if said := s.says("resume", quiet); !strings.Contains(said, quiet+" is live.") {
					t.Errorf("resume says %q", said)
				}
				if s.facts(quiet).agent() == "" {
					t.Error("its agent does not run")
				}
			}
		}
		op.sees(" 2 live")
		op.quits()
		if said := s.says("cleanup", "--dry-run"); !strings.Contains(said, "There are no orphans.") {
			t.Errorf("cleanup --dry-run says %q", said)
		}
	})
}

// stops ends an agent as docker stop does.
func (s *stage) stops(identity string) {
	s.t.Helper()
	s.must(s.engine.StopContainer(s.t.Context(), "claude-bottle-"+identity, 0))
}

// exits has a demo's agent end by itself.
func (s *stage) exits(identity string) {
	s.t.Helper()
	agent := s.facts(identity).containers[bottles.RoleAgent]
	keyboard, err := s.engine.Attach(s.t.Context(), agent.Name)
	s.must(err)
	defer keyboard.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, keyboard) // until the agent ends
	}()
	s.eventually("the agent of "+identity+" ends", func() bool {
		_, _ = keyboard.Write([]byte{3, 3}) // ctrl-c twice; it may not listen yet
		c, err := s.engine.Container(s.t.Context(), agent.Name)
		return errors.Is(err, bottles.ErrNotFound) || err == nil && c.State == bottles.StateExited
	})
	<-ended
}

// losesItsContainers is a docker rm -f of all that a bottle has.
func (s *stage) losesItsContainers(identity string) {
	s.t.Helper()
	for _, c := range s.facts(identity).containers {
		s.must(s.engine.RemoveContainer(s.t.Context(), c.Name))
	}
}
