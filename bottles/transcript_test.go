package bottles_test

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"bottle-tui/bottles"
)

// linked is an engine of an agent that made a link of its ~/.claude/projects. What lies behind it is found by its path.
type linked struct{ bottles.Engine }

func (e linked) CopyOut(ctx context.Context, container, path string) (io.ReadCloser, error) {
	if !strings.HasSuffix(path, "/projects") {
		return e.Engine.CopyOut(ctx, container, path)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{Name: "projects", Typeflag: tar.TypeSymlink, Linkname: "real"}); err != nil {
		return nil, err
	}
	return io.NopCloser(&out), w.Close()
}

// A transcript that can't be kept whole is told once, and is kept as far as it goes: the bottle is torn down, resumed
// and rebuilt all the same, with its conversation.
func TestATranscriptThatCanNotBeKeptHoldsNothingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(func(e bottles.Engine, _ func()) bottles.Engine { return linked{e} })
	id := w.launch("count the files")
	w.awaitText(id, "-- count the files")
	session := w.awaitStatus(id, bottles.Live).SessionID
	w.must(bottles.TearDown{Identity: id})
	w.awaitStatus(id, bottles.Down)
	w.must(bottles.Resume{Identity: id})
	w.awaitStatus(id, bottles.Live)
	w.awaitText(id, "--resume "+session)
	req := w.request(id, w.change("one"))
	w.must(bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash})
	s := w.await("the reason is told", func(s *bottles.Snapshot) bool {
		return slices.ContainsFunc(s.Problems, func(p bottles.Problem) bool { return strings.Contains(p.Err, "it is a link") })
	})
	if b, _ := find(s, id); b.Status != bottles.Live {
		t.Errorf("the bottle is %s", b.Status)
	}
	told := 0
	for _, kind := range w.history(id) {
		if kind == "transcript" {
			told++
		}
	}
	if told != 1 {
		t.Errorf("the audit log tells of it %d times", told)
	}
}
