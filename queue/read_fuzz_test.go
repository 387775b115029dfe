package queue_test

import (
	"os"
	"path/filepath"
	"testing"

	"bottle-tui/queue"
	"bottle-tui/state"
)

// Whatever stands in a request file: it is read or refused, with a reason that is safe to print, and what
// is read is what its name and place say.
func FuzzRequestFile(f *testing.F) {
	whole := spoiled("r1", func(map[string]any) {})
	for _, s := range []string{
		"", "null", "[]", "{}", "{", whole, whole[:len(whole)/2], whole + "x", `{"id":"r1","id":"r2"}`,
		`{"id":{"a":[1,2,{"b":null}]}}`, "{\"id\":\"\x1b[2J\"}", `{"id":"r1","arrived_at":7}`, "\xef\xbb\xbf" + whole,
		`{"id":"\ud800","tool":"\u202e"}`, `{"\u0069d":"r1"}`, `{"ID":"r1","Id":"r1"}`,
	} {
		f.Add([]byte(s))
	}
	b := newBox(f)
	path := filepath.Join(b.Dir(), "r1.request.json")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		got, problems := b.Requests()
		if len(got)+len(problems) != 1 {
			t.Fatalf("Requests() = %v, %v", got, problems)
		}
		for _, p := range problems {
			if r, bad := hostile(p.Err); bad || p.Err == "" {
				t.Errorf("the problem %q holds %U", p.Err, r)
			}
		}
		for _, r := range got {
			if r.ID != "r1" || r.Identity != identity || !state.ValidIdentity(r.Identity) || r.ArrivedAt.IsZero() {
				t.Errorf("read %+v", r)
			}
			// What was read can be written, and then is the same.
			other := queue.Open(filepath.Join(t.TempDir(), identity))
			if err := other.Make(0); err != nil {
				t.Fatal(err)
			}
			if err := other.Put(r.Request); err != nil {
				return // indented, it may be over the bound
			}
			again, problems := other.Requests()
			if len(again) != 1 || again[0].Proposed != r.Proposed || again[0].Justification != r.Justification {
				t.Errorf("written and read again: %v, %v", again, problems)
			}
		}
	})
}
