package credproxy

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
)

// traffic is the routes in force together with everything that goes over them, under one lock: nothing can slip
// in between the change of the routes and the cutting of what they no longer hold.
type traffic struct {
	mu        sync.Mutex
	inForce   *table // nil: none yet
	tokens    map[string]string
	hidden    map[credential]*redaction // of tokens, made when one is first used
	transport *http.Transport
	flights   map[*flight]struct{}
}

// flight is one request on its way, from the permission to its end.
type flight struct {
	*route
	path      string // on the upstream, in readPath's form
	host      string // by which the agent reached this proxy; "" when it didn't say
	token     string
	hidden    *redaction // of token
	transport *http.Transport
	ctx       context.Context
	cancel    context.CancelCauseFunc
	body      *body // of the request; nil without
}

// credential is a token's public name and how it is sent.
type credential struct{ scheme, token string }

// errCut is the cause of a flight's end when cred-proxy ended it.
type errCut struct{ reason string }

func (e *errCut) Error() string { return e.reason }

// noRoute is a request for which there is no way.
type noRoute struct{ paths []string }

func (*noRoute) Error() string { return "no route of this bottle has its path" }

var errNotReady = errors.New("the credentials of this bottle have not come yet")

func (t *traffic) table() *table {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.inForce
}

// admit finds the way of a request; what it lets through must be removed.
func (t *traffic) admit(ctx context.Context, path string) (*flight, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inForce == nil {
		return nil, errNotReady
	}
	r, there := t.inForce.find(path)
	if r == nil {
		return nil, &noRoute{t.inForce.paths(20)}
	}
	f := &flight{route: r, path: there, token: t.tokens[r.Token], transport: t.transport}
	used := credential{r.AuthScheme, r.Token}
	if t.hidden == nil {
		t.hidden = map[credential]*redaction{}
	}
	if f.hidden = t.hidden[used]; f.hidden == nil {
		f.hidden = newRedaction(r.AuthScheme, f.token)
		t.hidden[used] = f.hidden
	}
	f.ctx, f.cancel = context.WithCancelCause(context.WithValue(ctx, flightKey{}, f))
	if t.flights == nil {
		t.flights = map[*flight]struct{}{}
	}
	t.flights[f] = struct{}{}
	return f, nil
}

// remove ends a flight.
func (t *traffic) remove(f *flight) {
	t.mu.Lock()
	delete(t.flights, f)
	t.mu.Unlock()
	f.cancel(nil)
}

// dialable is the upstream that a transport may dial as addr. What is not a route's upstream now is not dialled.
func (t *traffic) dialable(addr string) (origin, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inForce == nil {
		return origin{}, false
	}
	o, ok := t.inForce.hosts[addr]
	return o, ok
}

// give hands over the tokens for requests to come; those on their way keep theirs.
func (t *traffic) give(tokens map[string]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tokens = maps.Clone(tokens)
	t.hidden = nil
}

// swap puts n in force and cuts what goes over a route that n does not have; everything else goes on.
// newTransport makes the connections for upstreams when the authorities to trust are others.
func (t *traffic) swap(n *table, newTransport func(*table) *http.Transport) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.inForce
	t.inForce = n
	if old == nil || old.ca != n.ca {
		if t.transport != nil {
			t.transport.CloseIdleConnections()
		}
		t.transport = newTransport(n)
	}
	for f := range t.flights {
		switch {
		case n.has(f.Route):
		case slices.Contains(n.over, f.Path):
			f.cancel(&errCut{"the time for which its route was granted is over"})
		default:
			f.cancel(&errCut{"the operator took its route away"})
		}
	}
	if old == nil {
		return
	}
	for addr := range old.hosts {
		if _, stays := n.hosts[addr]; !stays {
			t.transport.CloseIdleConnections()
			break
		}
	}
}

func (t *table) has(r Route) bool {
	for _, o := range t.routes {
		if o.Route == r {
			return true
		}
	}
	return false
}

func (t *traffic) cutAll(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for f := range t.flights {
		f.cancel(&errCut{reason})
	}
}

func (t *traffic) closeIdle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.transport != nil {
		t.transport.CloseIdleConnections()
	}
}
