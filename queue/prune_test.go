package queue

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An agent that asks and runs away again and again fills no disk, and takes no decision out of the archive.
func TestArchivedRequestsThatNobodyDecidedOnAreBounded(t *testing.T) {
	b := Open(filepath.Join(t.TempDir(), "coder-k3x9q"))
	if err := b.Make(0); err != nil {
		t.Fatal(err)
	}
	done := filepath.Join(b.Dir(), doneDir)
	archived := func(i int, decision Decision) string {
		id := NewID(time.Date(2026, 1, 2, 0, 0, i, 0, time.UTC))
		a := fmt.Sprintf(`{"request":%q,"decision":%q,"decided_at":"2026-01-02T00:00:00Z"}`, id, decision)
		for suffix, text := range map[string]string{requestSuffix: "{}", answerSuffix: a} {
			if err := os.WriteFile(filepath.Join(done, id+suffix), []byte(text), filePerm); err != nil {
				t.Fatal(err)
			}
		}
		return id
	}
	approved := archived(0, Approved)
	for i := range 2 * maxDropped {
		archived(i+1, Withdrawn)
	}
	last := Request{ID: NewID(time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)), Tool: ToolEgress, Identity: "coder-k3x9q", ArrivedAt: time.Now()}
	if err := b.Put(last); err != nil {
		t.Fatal(err)
	}
	if err := b.Answer(Answer{Request: last.ID, Decision: Withdrawn, DecidedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := b.Archive(last.ID); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(done)
	if err != nil || len(names) != 2*(maxDropped+1) {
		t.Errorf("%d files are kept, %v; want those of %d requests", len(names), err, maxDropped+1)
	}
	for _, id := range []string{approved, last.ID} {
		if a, err := b.AnswerTo(id); err != nil || a == nil {
			t.Errorf("%s: %v, %v", id, a, err)
		}
	}
}
