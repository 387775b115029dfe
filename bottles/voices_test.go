package bottles

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"bottle-tui/sidecars"
)

// tailed is an engine whose logs have an end of so many lines.
type tailed struct {
	gateLogs
	read int // bytes that were given
}

func (l *tailed) Logs(_ context.Context, name string, tail int, follow bool) (io.ReadCloser, error) {
	text := l.of[name]
	if lines := strings.SplitAfter(text, "\n"); tail > 0 && len(lines) > tail+1 {
		text = strings.Join(lines[len(lines)-tail-1:], "")
	}
	l.read += len(text)
	r := io.Reader(strings.NewReader(text))
	if end := l.end[name]; end != nil && follow {
		r = io.MultiReader(r, until{end})
	}
	return io.NopCloser(r), nil
}

func refusals(t testing.TB, begin time.Time, from, to int, host func(int) string) string {
	t.Helper()
	var out strings.Builder
	for i := from; i < to; i++ {
		text, err := json.Marshal(sidecars.Line{At: begin.Add(time.Duration(i) * time.Second), Event: sidecars.EventRefuse, Host: host(i), Via: "connect", Reason: "no"})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(text, '\n'))
	}
	return out.String()
}

func hearToItsEnd(t *testing.T, s *Supervisor, id, container string) {
	t.Helper()
	v := s.follow(id, RoleEgress, container)
	within(t, "the log is heard", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return v.ended })
}

// countOf is how many refusals the feed and the audit log have.
func countOf(t *testing.T, s *Supervisor, id string) (shown, written int) {
	t.Helper()
	s.summarise(id)
	s.ask(func() {
		for _, p := range s.bottles[id].feed.show() {
			shown += p.Count
		}
	})
	for _, e := range entriesOf(t, s.cfg.Root, id, auditGates) {
		var f GateFacts
		if err := json.Unmarshal([]byte(e), &f); err != nil {
			t.Fatal(err)
		}
		written += f.More
		for _, p := range f.Passages {
			written += p.Count
		}
	}
	return shown, written
}

// Each time that the connection to the engine is lost, the log is heard anew, and nothing in it is counted again; also of
// lines that are not in the order of their times.
func TestALogThatIsHeardAnewAddsOnlyWhatIsNew(t *testing.T) {
	begin := time.Now().UTC().Add(-time.Hour)
	one := func(int) string { return "x.example" }
	container := sidecarName(RoleEgress, "tester-00000")
	engine := &tailed{gateLogs: gateLogs{of: map[string]string{container: refusals(t, begin, 1, 2, one) + refusals(t, begin, 0, 1, one)}}}
	s, id, stop := owner(t, openRoot(t), engine)
	defer stop()
	for range 6 {
		hearToItsEnd(t, s, id, container)
		if shown, written := countOf(t, s, id); shown != 2 || written != 2 {
			t.Fatalf("%d are shown and %d written, want 2", shown, written)
		}
	}
	engine.of[container] += refusals(t, begin, 2, 4, one)
	for range 2 {
		hearToItsEnd(t, s, id, container)
		if shown, written := countOf(t, s, id); shown != 4 || written != 4 {
			t.Errorf("%d are shown and %d written, want 4", shown, written)
		}
	}
}

// Of a long log the end is read when the rest is in the audit log; if not, all of it is counted.
func TestOnlyTheEndOfALongLogIsRead(t *testing.T) {
	begin := time.Now().UTC().Add(-3 * time.Hour)
	const lines = 3 * tailLines
	name := func(i int) string { return fmt.Sprintf("h%d.example", i%(maxFeed+50)) }
	container := sidecarName(RoleEgress, "tester-00000")
	engine := &tailed{gateLogs: gateLogs{of: map[string]string{container: refusals(t, begin, 0, lines, name)}}}
	root := openRoot(t)
	s, id, stop := owner(t, root, engine)
	defer stop()
	hearToItsEnd(t, s, id, container)
	if _, written := countOf(t, s, id); written != lines {
		t.Errorf("%d of %d are written", written, lines)
	}
	again := &tailed{gateLogs: engine.gateLogs}
	other, id, stop := owner(t, root, again)
	defer stop()
	hearToItsEnd(t, other, id, container)
	if shown, written := countOf(t, other, id); written != lines || shown == 0 || again.read > len(engine.of[container])/2 {
		t.Errorf("%d of %d are written, %d shown, %d bytes read", written, lines, shown, again.read)
	}
	for _, e := range entriesOf(t, root, id, auditGates) {
		if len(e) > summaryBytes+4<<10 {
			t.Errorf("a summary of %d bytes", len(e))
		}
	}
}

// BenchmarkHear is what a start does with the logs of eight gates of 16 MB each, of which the audit log has all.
func BenchmarkHear(b *testing.B) {
	begin := time.Now().UTC().Add(-100 * time.Hour)
	text := refusals(b, begin, 0, 120_000, func(i int) string { return fmt.Sprintf("h%d.example", i%500) })
	engine := &tailed{gateLogs: gateLogs{of: map[string]string{}}}
	for i := range 8 {
		engine.of[fmt.Sprint(i)] = text
	}
	b.SetBytes(int64(8 * len(text)))
	b.ReportAllocs()
	for b.Loop() {
		s := New(Config{Engine: engine})
		for i := range 8 {
			f, r := &feed{}, 0
			tail, err := engine.Logs(b.Context(), fmt.Sprint(i), tailLines, true)
			if err != nil {
				b.Fatal(err)
			}
			err = EachLine(tail, func(line []byte) bool {
				for _, l := range RoleEgress.lines(line, s.cfg.Now) {
					if p, ok := PassageOf(RoleEgress, l); ok {
						f.add(p)
						r++
					}
				}
				return true
			})
			if err != nil || r != tailLines {
				b.Fatal(r, err)
			}
		}
	}
}
