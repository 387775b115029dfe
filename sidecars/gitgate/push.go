package gitgate

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bottle-tui/sidecars"
)

// pushing is a push on its way, as far as its transport is concerned.
type pushing struct {
	*flight
	via string
	in  *bufio.Reader // what the agent sends: the request, then the pack
	out io.Writer     // what the agent reads
	// tips are what the upstream has.
	tips func(ctx context.Context) (map[string]oid, error)
	// forward sends the request and the pack, size bytes that body gives from their beginning on, to the upstream and
	// gives its answer.
	forward func(ctx context.Context, body func() io.Reader, size int64) (io.ReadCloser, error)
	to      *delivery // of forward
	// rest lets go of the upstream while the push waits for the operator.
	rest func()
	// converse opens the upstream's upload-pack.
	converse func(ctx context.Context) (*upload, error)
	// drain reads what is left of a push that is refused, as far as the agent must have sent it before it reads.
	drain func()
	// received is called when nothing more is to come from the agent.
	received func()
	// rules are those that came in force last before all of the push was there.
	rules    *remote
	rewrites map[string]bool // refs whose history would be rewritten, as far as somebody is asked
}

// push takes a push through. It answers the agent, whatever comes of it.
func (s *server) push(p *pushing, q *request) {
	began := time.Now()
	rep := newReporter(p.out, q)
	var size int64
	answer, err := s.examine(p, q, rep, &size)
	if err != nil {
		s.turnDown(p, q, rep, err)
		return
	}
	refused, err := rep.pass(answer)
	answer.Close()
	reason := strings.Join(refused, "; ")
	if err != nil {
		err = p.to.lost(fmt.Errorf("the upstream broke off: %w", err))
		var unknown *errUnknown
		if !errors.As(err, &unknown) { // it has no more than a part
			s.turnDown(p, q, rep, err)
			return
		}
		reason = err.Error()
		rep.broken(reason + ".")
	}
	s.voice.say(sidecars.Line{Event: sidecars.EventPush, Remote: p.Name, Via: p.via, Refs: q.refs(), Sent: size,
		Millis: time.Since(began).Milliseconds(), Reason: reason})
}

// turnDown answers a push that does not go to the upstream.
func (s *server) turnDown(p *pushing, q *request, rep *reporter, err error) {
	var unknown *errUnknown
	if cause := context.Cause(p.ctx); cause != nil && !errors.As(err, &unknown) {
		err = cause
	}
	var many *refusals
	var one *refusal
	var cut *errCut
	line := sidecars.Line{Event: sidecars.EventRefuse, Remote: p.Name, Via: p.via, Refs: q.refs(), Reason: err.Error()}
	hint := ""
	reason := func(string) string { return err.Error() }
	switch {
	case unknown != nil:
		line.Event = sidecars.EventPush
	case errors.As(err, &many):
		line.Rule = many.rule
		if many.hideRefs {
			line.Refs = nil
		}
		hint = many.hint
		reason = many.of
		for _, d := range many.details {
			rep.tell("%s", d) //nolint:errcheck // the agent may have gone
		}
	case errors.As(err, &one):
		line.Rule, hint = one.rule, one.hint
	case errors.As(err, &cut):
		line.Event = sidecars.EventError
	case p.ctx.Err() != nil:
		line.Event, line.Reason = sidecars.EventError, errAgentGone.Error()
	default:
		line.Event = sidecars.EventError
		hint = "That is not for you to mend. Try again later; if it stays so, tell the operator."
	}
	if hint != "" {
		rep.tell("%s", hint) //nolint:errcheck // the agent may have gone
	}
	s.voice.say(line)
	rep.refused(q, reason)
}

// refusals are the reasons against a push, by ref. What has none of its own is not pushed because of the others.
type refusals struct {
	byRef   map[string]*refusal
	rule    string
	details []string
	hint    string
	// hideRefs: their names hold what must not be said.
	hideRefs bool
}

func (r *refusals) Error() string {
	if r.rule != "" {
		for _, why := range r.byRef {
			return why.reason
		}
	}
	var all []string
	for ref, why := range r.byRef {
		all = append(all, ref+": "+why.reason)
	}
	slices.Sort(all)
	return strings.Join(all[:min(len(all), 5)], "; ")
}

func (r *refusals) of(ref string) string {
	if why := r.byRef[ref]; why != nil {
		return why.reason
	}
	for other := range r.byRef {
		return "not pushed, because " + plain(other, 100) + " is refused; push this one by itself"
	}
	return "refused"
}

func refuseRefs(bad map[string]*refusal) error {
	if len(bad) == 0 {
		return nil
	}
	r := &refusals{byRef: bad}
	for _, why := range bad {
		if why.hint != "" {
			r.hint = why.hint
		}
	}
	return r
}

// refuseFindings names what was found, and never shows it.
func (s *server) refuseFindings(q *request, found []finding) error {
	r := &refusals{byRef: map[string]*refusal{}}
	for i, f := range found {
		r.hideRefs = r.hideRefs || f.kind == 0
		if f.path != "" && len(s.scanner.look(context.Background(), []byte(f.path), where{})) > 0 {
			found[i].path = "(a path that holds a secret)"
		}
	}
	slices.SortFunc(found, func(a, b finding) int { return strings.Compare(a.String(), b.String()) })
	r.rule = found[0].rule
	for i, f := range found {
		if i == 20 {
			r.details = append(r.details, fmt.Sprintf("and %d more", len(found)-i))
			break
		}
		r.details = append(r.details, "secret found: "+f.String())
	}
	for _, c := range q.commands {
		r.byRef[c.ref] = refuse("secret found: %s", found[0])
	}
	r.hint = "Take it out of every commit that is pushed (a later commit that removes it is not enough; git rebase -i, or git reset --soft and commit anew), and treat it as known to others. If it is no secret, write it in another way or ask the operator."
	return r
}

// examine receives a push, looks at it, and sends it to the upstream, whose answer it gives.
func (s *server) examine(p *pushing, q *request, rep *reporter, size *int64) (io.ReadCloser, error) {
	if err := s.judge(p.remote, q); err != nil {
		p.drain()
		return nil, err
	}
	free, err := enter(p.ctx, s.pushes)
	if err != nil {
		return nil, err
	}
	defer free()

	type had struct {
		tips map[string]oid
		err  error
	}
	tips := make(chan had, 1)
	early, enough := context.WithCancel(p.ctx)
	go func() {
		t, err := p.tips(early)
		tips <- had{t, err}
	}()
	defer func() {
		enough()
		if tips != nil {
			<-tips
		}
	}()
	known := func() {} // lets go of what is known of the pack
	defer func() { known() }()
	spool, err := s.spool.create()
	if err != nil {
		p.drain()
		return nil, err
	}
	defer func() {
		if spool != nil {
			spool.Close()
		}
	}()
	var packed *pack
	if q.sendsPack() {
		packed, err = readPack(p.in, spool, p.MaxPush, p.MaxObject, func(objects int64) error {
			if err := s.objects.Acquire(p.ctx, objects); err != nil {
				return err
			}
			known = sync.OnceFunc(func() { s.objects.Release(objects) })
			return nil
		})
		if err != nil { // others need not wait until the agent has sent the rest
			spool.Close()
			known()
			free()
			p.drain()
			return nil, err
		}
		*size = packed.size
	}
	p.received()
	if p.rules, err = s.judgeNow(p, q); err != nil {
		return nil, err
	}
	if packed != nil {
		if err := packed.hold(p.rules.MaxPush, p.rules.MaxObject); err != nil {
			return nil, err
		}
	}

	var objects atomic.Int64
	still := s.ticking(p.ctx, rep, func() string {
		if n := objects.Load(); n > 0 {
			return fmt.Sprintf("looking for secrets, %d of %d objects", n, len(packed.entries))
		}
		return "waiting until other pushes were looked at"
	})
	looked, err := enter(p.ctx, s.looking)
	if err != nil {
		still()
		return nil, err
	}
	defer looked()
	seen, err := s.inspect(p.ctx, q, packed, func(n int) { objects.Store(int64(n)) })
	still()
	if err != nil {
		return nil, err
	}
	if len(seen.found) > 0 {
		return nil, s.refuseFindings(q, seen.found)
	}
	if !p.rules.Approve {
		seen.graph.trees = nil // they are much
		looked()
	}
	// What is asked of the upstream has a time together, since other pushes may have to wait for that.
	asking, asked := context.WithTimeout(p.ctx, s.askWithin)
	defer asked()
	var has had
	select {
	case has = <-tips:
		tips = nil
	case <-asking.Done():
		has.err = s.overdue(p, asking, asking.Err())
	}
	if has.err != nil {
		return nil, has.err
	}
	if err := s.checkChanges(asking, p, q, seen.graph, has.tips); err != nil {
		return nil, err
	}
	if p.rules.Approve {
		summary := s.summarise(asking, p, q, seen.graph, packed, has.tips)
		asked()
		seen, packed = nil, nil
		looked()
		known()
		free() // others need not wait for the operator
		p.rest()
		if err := s.hold(p, rep, summary); err != nil {
			return nil, err
		}
	}
	if now, err := s.judgeNow(p, q); err != nil {
		return nil, err
	} else if now.Approve && !p.rules.Approve || p.rules.AllowForce && !now.AllowForce {
		return nil, refuse("the operator changed the rules of this remote meanwhile").with("Push again.")
	}
	// The upstream may take long to send back its first word.
	still = s.ticking(p.ctx, rep, func() string { return "the upstream takes the push" })
	defer still()
	head := q.head()
	all := int64(len(head)) + *size
	held := spool
	body := func() io.Reader {
		return p.to.of(io.MultiReader(bytes.NewReader(head), io.NewSectionReader(held, 0, *size)), all)
	}
	answer, err := p.forward(p.to.ctx, body, all)
	if err != nil {
		return nil, p.to.lost(err)
	}
	sent := spool
	spool = nil
	return &closing{answer, func() { sent.Close() }}, nil
}

// judgeNow holds what stands before the pack to the rules that are in force now, which the operator may have changed
// since the push was admitted, and gives them.
func (s *server) judgeNow(p *pushing, q *request) (*remote, error) {
	now := s.traffic.now(p.flight)
	if now == nil {
		return nil, &errCut{takenAway(p.Name)}
	}
	return now, s.judge(now, q)
}

// overdue is why asking the upstream failed with err.
func (s *server) overdue(p *pushing, asking context.Context, err error) error {
	switch {
	case p.ctx.Err() != nil:
		return context.Cause(p.ctx)
	case asking.Err() != nil:
		return fmt.Errorf("the upstream did not say within %s what it has", s.askWithin)
	}
	return err
}

type closing struct {
	io.ReadCloser
	also func()
}

func (c *closing) Close() error {
	err := c.ReadCloser.Close()
	c.also()
	return err
}

// enter waits for one of as many places as of has room for. leave may be called more than once.
func enter(ctx context.Context, of chan struct{}) (leave func(), err error) {
	select {
	case of <- struct{}{}:
		return sync.OnceFunc(func() { <-of }), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ticking tells the agent now and then how far a push is, until the function that it gives is called.
func (s *server) ticking(ctx context.Context, rep *reporter, text func() string) (stop func()) {
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(s.progress)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if rep.tell("%s", text()) != nil {
					return
				}
			case <-stopped:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		close(stopped)
		<-done
	}
}

// checkChanges holds what a push would do to what the upstream has.
func (s *server) checkChanges(asking context.Context, p *pushing, q *request, g *graph, tips map[string]oid) error {
	bad := map[string]*refusal{}
	for _, c := range q.commands {
		switch has := tips[c.ref]; {
		case has != c.old:
			bad[c.ref] = refuse("the upstream has another state of it by now").with("Fetch, then push again.")
		case c.old.none() || c.new.none() || c.old == c.new:
		case p.rules.AllowForce && !p.rules.Approve: // nobody asks
		default:
			forward, open := g.leadsTo(c.new, c.old)
			if !forward {
				var err error
				if forward, err = s.upstreamLeads(asking, p, open, c.old); err != nil && !p.rules.AllowForce {
					if err = s.overdue(p, asking, err); p.ctx.Err() != nil {
						return err
					}
					s.voice.say(sidecars.Line{Event: sidecars.EventError, Remote: p.Name, Via: p.via, Reason: "ask the upstream for the history of " + c.ref + ": " + err.Error()})
					bad[c.ref] = refuse("that it builds on what the upstream has could not be shown: %s", plain(err.Error(), 200)).
						with("Push to a new branch, or merge the upstream's branch first.")
					continue
				}
			}
			switch {
			case forward:
			case p.rules.AllowForce:
				if p.rewrites == nil {
					p.rewrites = map[string]bool{}
				}
				p.rewrites[c.ref] = true
			default:
				bad[c.ref] = refuse("not a fast-forward, and the history of this remote must not be rewritten").
					with("Fetch, then rebase or merge, and push again; or push to a new branch. The operator can set allow_force of the remote " + p.Name + " in the manifest.")
			}
		}
	}
	return refuseRefs(bad)
}
