package gitgate

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"bottle-tui/sidecars"
)

// The operator's decisions on a push.
const (
	Approved = "approved"
	Denied   = "denied"
)

// Decision is a line of standard input that answers a push-waits line of the voice.
type Decision struct {
	Push     string `json:"push"`     // the ID of that line
	Decision string `json:"decision"` // Approved or Denied
	Note     string `json:"note"`     // for the agent
}

// approvals are the pushes that wait for the operator.
type approvals struct {
	within  time.Duration
	every   time.Duration // one more may come to the operator
	holding sync.Mutex
	held    map[string]chan Decision
	brought *rate.Limiter // to the operator, those included that were taken back: each rings a bell
}

func (s *server) takeDecision(line []byte) {
	var d Decision
	bad := func(reason string) {
		s.voice.voice.Say(sidecars.Line{Event: sidecars.EventError, ID: plain(d.Push, 100), Reason: "a decision on a push was not taken: " + reason}) //nolint:errcheck // nobody may listen
	}
	if err := json.Unmarshal(line, &d); err != nil {
		bad(`a line is not of the form {"push":…,"decision":…,"note":…}`)
		return
	}
	if d.Decision != Approved && d.Decision != Denied {
		bad(`the decision is neither "approved" nor "denied"`)
		return
	}
	s.holding.Lock()
	waiting := s.held[d.Push]
	delete(s.held, d.Push)
	s.holding.Unlock()
	if waiting == nil {
		bad("no push waits under that id; it may have been answered, or the agent took it back")
		return
	}
	waiting <- d // it has room for one, and there is never a second
}

// hold keeps a push until the operator, who is told what it would do, has decided.
func (s *server) hold(p *pushing, rep *reporter, summary *sidecars.Push) error {
	id := rand.Text()[:16]
	decided := make(chan Decision, 1)
	s.holding.Lock()
	if len(s.held) >= maxHeld {
		s.holding.Unlock()
		return refuse("%d pushes wait for the operator already", maxHeld).with("Wait until some are decided.")
	}
	if !s.brought.Allow() {
		s.holding.Unlock()
		return refuse("too many pushes came to wait for the operator one after the other").
			with(fmt.Sprintf("One more may each %s: push again then, all that you have in one push.", s.every))
	}
	if s.held == nil {
		s.held = map[string]chan Decision{}
	}
	s.held[id] = decided
	s.holding.Unlock()
	// free lets nobody decide any more. It gives the decision that was taken just before, if there is one.
	free := func() (d Decision, taken bool) {
		s.holding.Lock()
		delete(s.held, id)
		s.holding.Unlock()
		select {
		case d = <-decided:
			return d, true
		default:
			return d, false
		}
	}
	defer free()
	say := func(l sidecars.Line) { s.voice.voice.Say(l) } //nolint:errcheck // nobody may listen
	say(sidecars.Line{Event: sidecars.EventPushWaits, ID: id, Remote: p.Name, Push: summary})
	abandoned := func(reason string) {
		say(sidecars.Line{Event: sidecars.EventAbandoned, ID: id, Remote: p.Name, Reason: reason})
	}
	began := time.Now()
	rep.tell("this remote's pushes wait for the operator's approval") //nolint:errcheck // the agent may have gone
	still := s.ticking(p.ctx, rep, func() string {
		return fmt.Sprintf("waiting for the operator's approval, %s", time.Since(began).Round(time.Second))
	})
	defer still()
	timeout := time.NewTimer(s.within)
	defer timeout.Stop()
	var d Decision
	select {
	case d = <-decided:
	case <-timeout.C:
		var taken bool
		if d, taken = free(); !taken {
			abandoned("nobody decided in time")
			return refuse("the operator did not decide within %s", s.within).with("Push again when the operator is there.")
		}
	case <-p.ctx.Done():
		free() // whoever decides now is told that nothing waits
		err := context.Cause(p.ctx)
		abandoned(plain(err.Error(), maxReason))
		return err
	}
	say(sidecars.Line{Event: sidecars.EventDelivered, ID: id, Remote: p.Name, Decision: d.Decision})
	note := ""
	if d.Note != "" {
		note = ": " + plain(d.Note, 600)
	}
	if d.Decision == Denied {
		return refuse("the operator denied this push%s", note)
	}
	rep.tell("the operator approved this push%s", note) //nolint:errcheck // the agent may have gone
	return nil
}
