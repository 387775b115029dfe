package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// WaitText waits until the screen shows what, a string or a *regexp.Regexp, and gives that screen. It fails
// the test at the deadline, and at once when the program has ended without showing it.
func (m *Term) WaitText(what any, deadline time.Duration) string {
	m.t.Helper()
	shows := matcher(m.t, what)
	return m.Wait(fmt.Sprintf("to show %q", what), deadline, shows)
}

// WaitGone waits until the screen does not show what any more, on the terms of WaitText.
func (m *Term) WaitGone(what any, deadline time.Duration) string {
	m.t.Helper()
	shows := matcher(m.t, what)
	return m.Wait(fmt.Sprintf("to show %q no more", what), deadline, func(screen string) bool { return !shows(screen) })
}

// Wait waits until the screen is as ok wants it, on the terms of WaitText; what says it for a failure's
// message ("to show …").
func (m *Term) Wait(what string, deadline time.Duration, ok func(screen string) bool) string {
	m.t.Helper()
	limit := time.NewTimer(deadline)
	defer limit.Stop()
	for {
		over := m.over()
		if screen := m.see(); ok(screen) {
			return screen
		}
		if over {
			m.fail("%s was waited for %s, but has ended: %v", m.name, what, m.cmd.ProcessState)
		}
		select {
		case <-m.changed:
		case <-limit.C:
			m.fail("%s was waited for %s, in vain for %v", m.name, what, deadline)
		}
	}
}

// WaitBell waits until the program rings, since the start or since the last WaitBell.
func (m *Term) WaitBell(deadline time.Duration) {
	m.t.Helper()
	select {
	case <-m.bells:
	case <-time.After(deadline):
		m.fail("%s has not rung within %v", m.name, deadline)
	}
}

// over tells whether nothing will change any more.
func (m *Term) over() bool {
	select {
	case <-m.exited:
	default:
		return false
	}
	select {
	case <-m.drained:
		return true
	default:
		return false
	}
}

func (m *Term) fail(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("%s; its screen:\n%s", fmt.Sprintf(format, args...), frame(m.see()))
}

func matcher(t testing.TB, what any) func(string) bool {
	t.Helper()
	switch what := what.(type) {
	case string:
		return func(screen string) bool { return strings.Contains(screen, what) }
	case *regexp.Regexp:
		return what.MatchString
	}
	t.Fatalf("wait for %T: it must be a string or a *regexp.Regexp", what)
	return nil
}

// frame puts a bar before each line, so that a screen stands out in a log.
func frame(screen string) string {
	return "│" + strings.ReplaceAll(screen, "\n", "\n│")
}

// seen is the last screens that were looked at, the oldest first.
type seen struct {
	first   time.Time
	screens []sight
}

type sight struct {
	after  time.Duration
	screen string
}

// maxSeen bounds what is kept for a failure.
const maxSeen = 30

// see looks at the screen, and remembers it.
func (m *Term) see() string {
	s := &m.seen
	screen := m.Screen()
	if s.first.IsZero() {
		s.first = time.Now()
	}
	if n := len(s.screens); n == 0 || s.screens[n-1].screen != screen {
		if n == maxSeen {
			s.screens = append(s.screens[:0], s.screens[1:]...)
		}
		s.screens = append(s.screens, sight{time.Since(s.first).Round(time.Millisecond), screen})
	}
	return screen
}

// write leaves the screens as text among the test's artifacts.
func (s *seen) write(t testing.TB, name string) {
	var b strings.Builder
	for _, one := range s.screens {
		fmt.Fprintf(&b, "── after %v\n%s\n", one.after, frame(one.screen))
	}
	dir := t.ArtifactDir()
	for i := 1; ; i++ {
		path := filepath.Join(dir, fmt.Sprintf("%s-%d.screens.txt", name, i))
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if os.IsExist(err) {
			continue
		}
		if err == nil {
			_, err = f.WriteString(b.String())
			err = errorOr(err, f.Close())
		}
		if err != nil {
			t.Logf("the last screens of %s could not be kept in %s: %v", name, path, err)
		} else {
			t.Logf("the last screens of %s are in %s", name, path)
		}
		return
	}
}

func errorOr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
