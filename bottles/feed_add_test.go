package bottles

import (
	"fmt"
	"testing"
)

// A line costs no copy of what is remembered: gates tell tens of thousands of them when they are heard anew. What was shown
// stays as it was.
func TestALineIsTakenInWithoutACopy(t *testing.T) {
	var f feed
	n := 0
	add := func() {
		f.add(Passage{Gate: RoleEgress, Verdict: Refused, What: fmt.Sprint(n % (maxFeed + maxFeed/2)), Count: 1})
		n++
	}
	for range 2 * maxFeed {
		add()
	}
	if len(f.list) != maxFeed {
		t.Fatalf("%d are remembered", len(f.list))
	}
	shown := f.show()
	last := shown[maxFeed-1]
	add() // copies once
	if shown[maxFeed-1] != last || f.shown {
		t.Errorf("what was shown became %+v", shown[maxFeed-1])
	}
	before := &f.list[0]
	for range 10 * maxFeed {
		if add(); &f.list[0] != before {
			t.Fatalf("at line %d the list was copied", n)
		}
	}
}
