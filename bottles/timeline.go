package bottles

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"bottle-tui/queue"
	"bottle-tui/sidecars/credproxy"
	"bottle-tui/sidecars/egress"
	"bottle-tui/state"
)

// stage is what a bottle's gates let through from a moment on, until the next stage begins.
type stage struct {
	from time.Time
	inForce
}

// timeline is what a base and the grants made on it let through: at now, and from each end of a grant on that is to
// come. Every stage is worked out from the base and the grants that then still run, in the order in which they were
// made: so it does not matter in which order they end, or what else provides what one of them provided.
func timeline(base inForce, grants []Grant, now time.Time) []stage {
	moments := []time.Time{now}
	for _, g := range grants {
		if g.Until.After(now) {
			moments = append(moments, g.Until)
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	var stages []stage
	for _, at := range slices.CompactFunc(moments, time.Time.Equal) {
		f := base
		for _, g := range grants {
			if g.running(at) {
				f = f.with(g.Change)
			}
		}
		stages = append(stages, stage{at, f})
	}
	return stages
}

// running says whether a grant is still in force.
func (g Grant) running(now time.Time) bool { return g.Until.IsZero() || now.Before(g.Until) }

// span is for how long something is let through; a zero until is for good.
type span[T comparable] struct {
	what        T
	from, until time.Time
}

// spans are what the stages let through, each for as long as it is without a break.
func spans[T comparable](stages []stage, of func(inForce) []T) []span[T] {
	var out []span[T]
	open := map[T]int{} // by its place in out
	for _, st := range stages {
		holds := map[T]bool{}
		for _, x := range of(st.inForce) {
			holds[x] = true
			if _, ok := open[x]; !ok {
				open[x] = len(out)
				out = append(out, span[T]{what: x, from: st.from})
			}
		}
		for x, i := range open {
			if !holds[x] {
				out[i].until = st.from
				delete(open, x)
			}
		}
	}
	return out
}

// stages are what the gates are told: what is in force, and what follows by itself.
func (l layout) stages() []stage { return append([]stage{{inForce: l.force}}, l.later...) }

// allRoutes are the routes in force and those that follow by themselves.
func (l layout) allRoutes() []Route {
	routes := slices.Clone(l.force.routes)
	for _, st := range l.later {
		routes = append(routes, changed(routes, st.routes)...)
	}
	return routes
}

// fromNow parts spans into what is let through now, with the ends of it by name, and what is later.
func fromNow[T comparable](all []span[T], name func(T) string) (now []T, ends map[string]time.Time, later []span[T]) {
	for _, s := range all {
		if !s.from.IsZero() {
			later = append(later, s)
			continue
		}
		now = append(now, s.what)
		if s.until.IsZero() {
			continue
		}
		if ends == nil {
			ends = map[string]time.Time{}
		}
		ends[name(s.what)] = s.until
	}
	return now, ends, later
}

// egressConfig is the configuration of the built-in egress.
func (l layout) egressConfig() egress.Config {
	c := egress.Config{Deny: l.host}
	rules := spans(l.stages(), func(f inForce) []string { return rulesOf(f.allow) })
	now, ends, later := fromNow(rules, func(rule string) string { return rule })
	c.Allow, c.Until = now, ends
	for _, s := range later {
		c.Later = append(c.Later, egress.Later{Rule: s.what, From: s.from, Until: s.until})
	}
	return c
}

// proxyConfig is the configuration of cred-proxy, to which a route's roles are nothing.
func (l layout) proxyConfig() credproxy.Config {
	c := credproxy.Config{Identity: l.identity, CA: string(l.profile.CA)}
	routes := spans(l.stages(), func(f inForce) (out []credproxy.Route) {
		for _, r := range f.routes {
			out = append(out, credproxy.Route{Path: r.Path, Upstream: r.Upstream, AuthScheme: r.AuthScheme, Token: r.TokenRef})
		}
		return out
	})
	now, ends, later := fromNow(routes, func(r credproxy.Route) string { return r.Path })
	c.Routes, c.Until = now, ends
	for _, s := range later {
		c.Later = append(c.Later, credproxy.Later{Route: s.what, From: s.from, Until: s.until})
	}
	return c
}

// standing is what a bottle's state says of its gates.
type standing struct {
	base   inForce // what the profile let through when the bottle last came to life
	grants []Grant
	now    inForce // what was written down as in force, in the words that the agent reads
}

// standing reads it.
func (s *Supervisor) standing(b *state.Bottle) (st standing, err error) {
	if st.grants, err = readGrants(b); err != nil {
		return st, err
	}
	p, err := s.profileOf(b)
	if err != nil {
		return st, err
	}
	var written bool
	if st.now, written, err = readInForce(b); err != nil {
		return st, err
	}
	if !written {
		st.now = declared(p)
	}
	var found bool
	if st.base, found, err = readBase(b); err == nil && !found {
		st.base = st.now.without(st.grants, declared(p))
	}
	return st, err
}

// stages are the timeline of st, the first stage in the words that were written down where they say the same.
func (st standing) stages(now time.Time) []stage {
	stages := timeline(st.base, st.grants, now)
	stages[0].inForce = stages[0].worded(st.now)
	return stages
}

// without is the base of a bottle that lives since before bases were written down: f with all grants undone, the last
// first. What that would bring back must be in force already, or be the profile's.
func (f inForce) without(grants []Grant, profile inForce) inForce {
	out := f
	for _, g := range slices.Backward(grants) {
		out = out.with(g.Undo)
	}
	known := append(rulesOf(f.allow), rulesOf(profile.allow)...)
	drop := Change{Disallow: missing(rulesOf(out.allow), known)}
	for _, r := range changed(append(slices.Clone(f.routes), profile.routes...), out.routes) {
		drop.Unroute = append(drop.Unroute, r.Path)
	}
	return out.with(drop)
}

// worded is f in the words and the order of another, in each part in which that lets the same through.
func (f inForce) worded(as inForce) inForce {
	do := difference(f, as)
	if len(do.Allow)+len(do.Disallow) == 0 {
		f.allow = as.allow
	}
	if len(do.Routes)+len(do.Unroute) == 0 {
		f.routes = as.routes
	}
	return f
}

// written is an inForce as base.json has it.
type written struct {
	Allow  []string `json:"allow"`
	Routes []Route  `json:"routes"` // token_ref is the public name
}

func readBase(b *state.Bottle) (f inForce, found bool, err error) {
	content, err := b.Base()
	if err != nil || content == nil {
		return f, false, err
	}
	var w written
	if err := json.Unmarshal(content, &w); err != nil {
		return f, false, fmt.Errorf("reading %s/base.json: %w: mend it, or remove it while the bottle is down; it was left as it is", b.Dir(), err)
	}
	return inForce{allowText(w.Allow), w.Routes}, true, nil
}

func writeBase(b *state.Bottle, f inForce) error {
	content, err := json.MarshalIndent(written{append([]string{}, rulesOf(f.allow)...), append([]Route{}, f.routes...)}, "", "  ")
	if err != nil {
		return fmt.Errorf("writing %s/base.json: %w", b.Dir(), err)
	}
	return b.PutBase(append(content, '\n'))
}

// goTogether refuses what follows by itself when a route that comes back does not go together with the others.
func goTogether(later []stage) error {
	for _, st := range later {
		if err := (inForce{routes: st.routes}).check(engineBuiltin); err != nil {
			return refuse("it does not go together with what comes back at %s, when a grant ends: %w", st.from.Local().Format("15:04"), err)
		}
	}
	return nil
}

// about is the part of a change that is of what a grant of a tool changed.
func (c Change) about(g Grant) Change {
	rules := append(slices.Clone(g.Change.Allow), g.Change.Disallow...)
	paths := slices.Clone(g.Change.Unroute)
	for _, r := range g.Change.Routes {
		paths = append(paths, r.Path)
	}
	var out Change
	if g.Tool == queue.ToolCredProxy {
		out.Routes = slices.DeleteFunc(slices.Clone(c.Routes), func(r Route) bool { return !slices.Contains(paths, r.Path) })
		out.Unroute = slices.DeleteFunc(slices.Clone(c.Unroute), func(p string) bool { return !slices.Contains(paths, p) })
		return out
	}
	out.Allow = slices.DeleteFunc(slices.Clone(c.Allow), func(r string) bool { return !slices.Contains(rules, r) })
	out.Disallow = slices.DeleteFunc(slices.Clone(c.Disallow), func(r string) bool { return !slices.Contains(rules, r) })
	return out
}
