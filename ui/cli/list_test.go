package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"bottle-tui/bottles"
)

// The list says what is taken of disks when that was asked for; of what was not measured it says nothing.
func TestListTellsOfDisks(t *testing.T) {
	snap := &bottles.Snapshot{Bottles: []bottles.Bottle{{Identity: "a-00000", Status: bottles.Live}, {Identity: "b-00000", Status: bottles.Orphan}}}
	used := map[string]bottles.Usage{"a-00000": {Image: 1 << 20, Volumes: 2 << 20, State: 3 << 20}}
	for _, c := range []struct {
		used map[string]bottles.Usage
		want string
	}{
		{nil, `a-00000   live    -        -        -`},
		{used, `a-00000   live    -        -        6 MiB  -`},
		{used, `b-00000   orphan  -        -        -      -`},
	} {
		var out strings.Builder
		if err := (&program{out: &out}).printList(snap, "text", c.used); err != nil || !strings.Contains(out.String(), c.want) || strings.Contains(out.String(), "DISK") != (c.used != nil) {
			t.Errorf("%v: %s", err, out.String())
		}
	}
	var out strings.Builder
	var rows []struct{ Disk map[string]any }
	if err := (&program{out: &out}).printList(snap, "json", used); err != nil || json.Unmarshal([]byte(out.String()), &rows) != nil {
		t.Fatal(err, out.String())
	}
	if len(rows) != 2 || rows[0].Disk["volumes"] != float64(2<<20) || rows[1].Disk != nil {
		t.Errorf("%s", out.String())
	}
}
