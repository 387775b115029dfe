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

func TestWhatIsLeft(t *testing.T) {
	for _, c := range []struct {
		d           time.Duration
		left, short string
	}{
		{-time.Second, "ends now", "now"},
		{time.Second / 2, "1 s left", "1m"},
		{38 * time.Second, "38 s left", "1m"},
		{time.Minute, "60 s left", "1m"},
		{42*time.Minute - time.Second, "42 min left", "42m"},
		{time.Hour, "60 min left", "60m"},
		{2 * time.Hour, "2 h left", "2h"},
		{8*time.Hour - time.Minute, "7 h 59 min left", "7h"},
	} {
		if l, s := ago.Left(c.d), ago.LeftShort(c.d); l != c.left || s != c.short {
			t.Errorf("%v: %q %q, want %q %q", c.d, l, s, c.left, c.short)
		}
	}
	// A label stays until NextLeft has passed, and is another one a moment later.
	for d := 9 * time.Hour; d > 0; d -= 1777 * time.Millisecond {
		next := ago.NextLeft(d, true)
		if next <= 0 || next > time.Minute {
			t.Fatalf("%v: next after %v", d, next)
		}
		if d > time.Minute+time.Second && ago.Left(d-next+time.Millisecond) != ago.Left(d) || ago.Left(d-next-time.Millisecond) == ago.Left(d) {
			t.Fatalf("%v is %q; %v later it is %q", d, ago.Left(d), next, ago.Left(d-next))
		}
	}
	if next := ago.NextLeft(30*time.Second, false); next != 30*time.Second {
		t.Errorf("without seconds a label changes in %v", next)
	}
}
