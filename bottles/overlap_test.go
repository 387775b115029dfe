package bottles_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/queue"
)

// routesOf is a proposal of routes as an agent writes it.
func routesOf(t testing.TB, routes ...bottles.Route) string {
	t.Helper()
	for i := range routes {
		routes[i].Roles = append([]string{}, routes[i].Roles...)
	}
	out, err := json.Marshal(append([]bottles.Route{}, routes...))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// grantRoutes asks for routes, and approves them for a time.
func (w *world) grantRoutes(id string, lasts time.Duration, routes ...bottles.Route) bottles.Request {
	w.t.Helper()
	req := w.ask(queue.Request{ID: queue.NewID(time.Now()), Tool: queue.ToolCredProxy, Identity: id, Proposed: routesOf(w.t, routes...)})
	terms := bottles.Terms{Scope: bottles.Scope{For: lasts}, Tokens: map[string]string{}}
	for _, name := range req.Tokens {
		terms.Tokens[name] = name
	}
	w.must(bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash, Terms: terms})
	return req
}

// A route that was granted for a short time and then, in another form, for longer, outlives the first grant.
func TestARouteGrantedAgainForLongerStays(t *testing.T) {
	w, u := newWorld(t), newUpstream(t)
	w.tokens["API_TOKEN"] = secret
	w.cat.tune = func(p *bottles.Profile) { p.CA = u.ca }
	w.run(nil)
	id := w.launch("")
	basic, bearer := u.route("/npm/", "API_TOKEN", bottles.RoleNPM), u.route("/npm/", "API_TOKEN", bottles.RoleNPM)
	basic.AuthScheme = "basic"
	w.grantRoutes(id, 9*time.Second, basic)
	second := w.grantRoutes(id, 0, bearer)
	w.await("the first grant is over", func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return len(b.Grants) == 1 && b.Grants[0].ID == second.ID && b.Operation == nil
	})
	w.sup.Type(id, []byte("get http://cred-proxy:8080/npm/later\ncat /home/agent/.npmrc\n"))
	w.awaitText(id, `/npm/later 200 "/later with `+letters)
	w.awaitText(id, "registry=http://cred-proxy:8080/npm/")
	w.must(bottles.Revoke{Identity: id, Grant: second.ID})
	w.sup.Type(id, []byte("get http://cred-proxy:8080/npm/gone\n"))
	w.awaitText(id, "/npm/gone 404")
}

// A route of the profile that another one stands in for comes back when that one's time is over.
func TestARouteOfTheProfileComesBack(t *testing.T) {
	w, u := newWorld(t), newUpstream(t)
	w.tokens["API_TOKEN"], w.tokens["OTHER"] = secret, "0"
	w.cat.tune = func(p *bottles.Profile) { p.CA, p.Routes = u.ca, []bottles.Route{u.route("/api/", "API_TOKEN")} }
	w.run(nil)
	id := w.launch("")
	w.grantRoutes(id, 9*time.Second, u.route("/api/", "OTHER"))
	w.sup.Type(id, []byte("get http://cred-proxy:8080/api/meanwhile\n"))
	w.awaitText(id, fmt.Sprintf(`/api/meanwhile 200 "/meanwhile with %d letters`, len("Bearer 0")))
	w.await("the grant is over", func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return len(b.Grants) == 0 && b.Operation == nil
	})
	w.sup.Type(id, []byte("get http://cred-proxy:8080/api/after\n"))
	w.awaitText(id, `/api/after 200 "/after with `+letters)
}
