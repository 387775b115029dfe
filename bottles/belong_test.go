package bottles_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/state"
)

// A root that lost its id while a bottle lives finds it under the old one, does not call it an orphan, and takes it over
// once the operator said so: the agent goes on, and so does its work.
func TestABottleOfAnotherIDIsTakenOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("")
	w.end()
	old := w.root.ID()
	if err := os.Remove(filepath.Join(w.root.Dir(), "id")); err != nil {
		t.Fatal(err)
	}
	root, err := state.Open(w.root.Dir())
	if err != nil || root.ID() == old {
		t.Fatal(root, err)
	}
	w.root = root
	snap, err := bottles.Survey(t.Context(), root, w.engine, time.Now())
	if err != nil || len(snap.Bottles) != 1 || snap.Bottles[0].Status != bottles.Failed || !strings.Contains(snap.Bottles[0].Detail, old) || !strings.Contains(snap.Bottles[0].Detail, "its agent runs") {
		t.Errorf("it is listed as %+v (%v)", snap.Bottles, err)
	}
	w.run(nil)
	w.awaitStatus(id, bottles.Failed)
	if err := w.do(bottles.Cleanup{Identities: []string{id}}); !errors.Is(err, bottles.ErrRefused) {
		t.Errorf("it is cleaned up: %v", err)
	}
	p, err := w.sup.Preflight(t.Context(), bottles.Resume{Identity: id})
	if err != nil || p.Asks() != bottles.NoticeRoot || len(p.Conflicts) > 0 {
		t.Errorf("the plan is %+v, %v", p, err)
	}
	if err := w.do(bottles.Resume{Identity: id}); !errors.Is(err, bottles.ErrRefused) || !strings.Contains(err.Error(), old) {
		t.Errorf("unasked: %v", err)
	}
	w.must(bottles.Resume{Identity: id, Agreed: p.Asks()})
	w.awaitStatus(id, bottles.Live)
	w.sup.Type(id, []byte("write precious\n"))
	w.awaitText(id, "wrote <nil>")
	if _, err := bottles.Raze(t.Context(), root, w.engine); err != nil {
		t.Error(err)
	}
	if have, err := w.engine.Observe(t.Context(), old); err != nil || len(have.Volumes)+len(have.Containers) > 0 {
		t.Errorf("what was taken over is left: %+v, %v", have, err)
	}
}
