package ago_test

import (
	"testing"
	"time"

	"bottle-tui/ui/ago"
)

func TestLabels(t *testing.T) {
	for _, c := range []struct {
		d           time.Duration
		short, long string
	}{
		{-time.Hour, "now", "just now"},
		{0, "now", "just now"},
		{19 * time.Second, "10s", "10 s ago"},
		{59 * time.Second, "50s", "50 s ago"},
		{61 * time.Second, "1m", "1 min ago"},
		{90 * time.Minute, "1h", "1 h ago"},
		{25 * time.Hour, "1d", "1 day ago"},
		{80 * time.Hour, "3d", "3 days ago"},
	} {
		if s, l := ago.Short(c.d), ago.Long(c.d); s != c.short || l != c.long {
			t.Errorf("%v: %q %q, want %q %q", c.d, s, l, c.short, c.long)
		}
	}
}

// A label stays until Next has passed, and is another one then.
func TestNextIsWhenTheLabelChanges(t *testing.T) {
	for d := -3 * time.Second; d < 50*time.Hour; d += 1777 * time.Millisecond {
		next := ago.Next(d)
		if next <= 0 {
			t.Fatalf("%v: next after %v", d, next)
		}
		if ago.Short(d+next) == ago.Short(d) {
			t.Fatalf("%v: still %q after %v", d, ago.Short(d), next)
		}
		if ago.Short(d+next-time.Nanosecond) != ago.Short(d) {
			t.Fatalf("%v: changed before %v", d, next)
		}
	}
}
