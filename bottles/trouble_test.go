package bottles

import (
	"strings"
	"testing"
	"time"

	"bottle-tui/sidecars"
)

// What supervise could not do is a problem on the screen until a request gets through.
func TestTheTroubleOfSuperviseIsShown(t *testing.T) {
	now := time.Now().UTC()
	container := sidecarName(RoleSupervise, "tester-00000")
	failed := sidecars.Line{At: now, Event: sidecars.EventError, Reason: "put the request into the queue: no space left on device"}
	for name, c := range map[string]struct {
		lines []sidecars.Line
		shown bool
	}{
		"it failed":            {[]sidecars.Line{failed}, true},
		"one got through then": {[]sidecars.Line{failed, {At: now.Add(time.Second), Event: sidecars.EventRequest, ID: "one"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			hold := make(chan struct{})
			engine := &gateLogs{of: map[string]string{container: spoke(t, c.lines...)}, end: map[string]chan struct{}{container: hold}}
			s, id, stop := owner(t, openRoot(t), engine)
			v := s.follow(id, RoleSupervise, container)
			shown := func() (is bool) {
				s.ask(func() {
					for _, p := range s.problems["trouble "+container] {
						is = is || p.Path == container && strings.Contains(p.Err, "no space left on device")
					}
				})
				return is
			}
			if c.shown {
				within(t, "it is shown", shown)
			} else {
				within(t, "the request is heard", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return v.waits["one"] })
				within(t, "it is shown no more", func() bool { return !shown() })
			}
			close(hold)
			within(t, "nothing is shown of one that is gone", func() bool { return !shown() })
			stop()
		})
	}
}
