package tell

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bottle-tui/sidecars"
)

// paper is what was said.
type paper struct {
	mu    sync.Mutex
	lines []sidecars.Line
}

func (p *paper) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, ok := sidecars.ParseLine(bytes.TrimSpace(b))
	if !ok {
		return 0, fmt.Errorf("no line: %s", b)
	}
	p.lines = append(p.lines, l)
	return len(b), nil
}

// said are the lines so far, by host, with the number that they stand for.
func (p *paper) said() (all []string, sum int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lines {
		all = append(all, fmt.Sprintf("%s %s ×%d", l.Event, l.Host+l.Reason, 1+l.Suppressed))
		sum += 1 + l.Suppressed
	}
	return all, sum
}

func teller() (*Teller, *paper) {
	p := &paper{}
	return New(sidecars.NewVoice(p, nil), Limits{
		Same: Measure{AtOnce: 2, PerSecond: 1}, All: Measure{AtOnce: 10, PerSecond: 1},
		Kind:   func(l sidecars.Line) string { return l.Host },
		Always: func(l sidecars.Line) bool { return l.Event == sidecars.EventPush },
	}), p
}

func refuse(host string) sidecars.Line {
	return sidecars.Line{Event: sidecars.EventRefuse, Host: host}
}

// What was left out is told without another line of its kind, and each once.
func TestTheRestIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tell, p := teller()
		for range 100 {
			tell.Say(refuse("a"))
		}
		for range 3 {
			tell.Say(refuse("b"))
		}
		time.Sleep(restAfter)
		synctest.Wait()
		if all, _ := p.said(); strings.Join(all, ", ") != "refuse a ×1, refuse a ×1, refuse b ×1, refuse b ×1, refuse a ×98, refuse b ×1" {
			t.Error(all)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, sum := p.said(); sum != 103 {
			t.Errorf("%d were told, not 103", sum)
		}
		// The next line of a kind has what was left out until then.
		for range 5 {
			tell.Say(refuse("a"))
		}
		time.Sleep(time.Second)
		tell.Say(refuse("a"))
		time.Sleep(time.Minute)
		tell.End()
		if all, sum := p.said(); all[len(all)-1] != "refuse a ×4" || sum != 109 {
			t.Errorf("%d: %v", sum, all)
		}
	})
}

func TestTheEndTellsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tell, p := teller()
		for range 100 {
			tell.Say(refuse("a"))
		}
		tell.End()
		tell.Say(refuse("a"))
		if all, sum := p.said(); sum != 101 || len(all) != 4 {
			t.Errorf("%d: %v", sum, all)
		}
	})
}

// Whoever makes many kinds neither makes many lines, nor has a count forgotten, nor a new measure.
func TestManyKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tell, p := teller()
		for range 5 {
			tell.Say(refuse("first"))
		}
		for i := range 5 * maxKinds {
			tell.Say(refuse(fmt.Sprint("x", i)))
		}
		tell.End()
		all, sum := p.said()
		if sum != 5+5*maxKinds || len(all) > 10+maxRests+1 {
			t.Errorf("%d were told in %d lines", sum, len(all))
		}
		if told := strings.Join(all, ", "); !strings.Contains(told, "refuse first ×3") || !strings.Contains(told, "refuse "+Others+" ×") {
			t.Errorf("what was left out first is not told: %s", told)
		}
	})
}

// A flood of one event hides none of another, and what must be told is.
func TestWhatIsNeverLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tell, p := teller()
		for i := range 1000 {
			tell.Say(refuse(fmt.Sprint("x", i)))
		}
		tell.Say(sidecars.Line{Event: sidecars.EventAllow, Host: "a"})
		for range 50 {
			tell.Say(sidecars.Line{Event: sidecars.EventPush, Host: "r"})
		}
		all, _ := p.said()
		if told := strings.Join(all, ", "); strings.Count(told, "push r ×1") != 50 || !strings.Contains(told, "allow a ×1") {
			t.Error(told)
		}
		tell.End()
	})
}
