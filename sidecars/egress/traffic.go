package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"bottle-tui/sidecars"
)

// traffic is the policy in force together with everything that it let through, under one lock: nothing can
// slip in between the change of a policy and the cutting of what it forbids.
type traffic struct {
	mu      sync.Mutex
	p       *policy
	flights map[*flight]struct{}

	sent, received atomic.Int64 // of all flights, ever
	toldSum        int64        // of both, when they were told
}

// counter counts a flight's bytes in one direction, and the whole bottle's.
type counter struct {
	atomic.Int64
	all *atomic.Int64
}

func (c *counter) add(n int) {
	if n > 0 {
		c.Add(int64(n))
		c.all.Add(int64(n))
	}
}

// tell says how much went through since egress started, when it is more than at the last time. It is not called by
// two at once. Unlike the lines of single flights these are never left out, so their count is whole.
func (t *traffic) tell(v *sidecars.Voice) {
	l := sidecars.Line{Event: sidecars.EventTraffic, Sent: t.sent.Load(), Received: t.received.Load()}
	if sum := l.Sent + l.Received; sum != t.toldSum {
		t.toldSum = sum
		v.Say(l) //nolint:errcheck // there is nobody else to tell
	}
}

// flight is one tunnel or request that was let through, from the permission to its end.
type flight struct {
	target
	via            string
	since          time.Time
	ctx            context.Context
	cancel         context.CancelCauseFunc
	told           atomic.Bool
	sent, received counter
	dialled        netip.Addr // under traffic.mu
}

// errCut is the cause of a flight's end when egress ended it.
type errCut struct{ reason string }

func (e *errCut) Error() string { return e.reason }

func (t *traffic) policy() *policy {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.p
}

// admit lets a request through or says why not; what it lets through must be removed.
func (t *traffic) admit(ctx context.Context, to target, via string) (*flight, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.p.allows(to.host, to.port) {
		return nil, errors.New(t.p.why(to.host, to.port))
	}
	f := &flight{target: to, via: via, since: time.Now()}
	f.sent.all, f.received.all = &t.sent, &t.received
	if via == "connect" {
		ctx = context.Background() // a tunnel outlives its request
	}
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	if t.flights == nil {
		t.flights = map[*flight]struct{}{}
	}
	t.flights[f] = struct{}{}
	return f, nil
}

// reached notes the address that was dialled, and says whether it may still be used.
func (t *traffic) reached(f *flight, a net.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tcp, ok := a.(*net.TCPAddr); ok {
		f.dialled = tcp.AddrPort().Addr().Unmap()
	}
	return t.p.judge(f.dialled) == "" && f.ctx.Err() == nil
}

// remove ends a flight and says why egress ended it, if egress did.
func (t *traffic) remove(f *flight) string {
	t.mu.Lock()
	delete(t.flights, f)
	t.mu.Unlock()
	reason := ""
	var cut *errCut
	if errors.As(context.Cause(f.ctx), &cut) {
		reason = cut.reason
	}
	f.cancel(nil)
	return reason
}

// swap puts p in force and cuts what it does not allow; everything else goes on.
func (t *traffic) swap(p *policy) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.p = p
	for f := range t.flights {
		switch {
		case !p.allows(f.host, f.port):
			f.cancel(&errCut{"it is no longer on the allowlist"})
		case f.dialled.IsValid() && p.judge(f.dialled) != "":
			f.cancel(&errCut{"its address is no longer allowed"})
		}
	}
}

func (t *traffic) cutAll(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for f := range t.flights {
		f.cancel(&errCut{reason})
	}
}
