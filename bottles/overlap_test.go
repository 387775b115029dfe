package bottles_test

import (
	"encoding/json"
	"fmt"
	"strings"
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
	t.Parallel()
	w, u := newWorld(t), newUpstream(t)
	w.tokens["API_TOKEN"] = secret
	w.cat.tune = func(p *bottles.Profile) { p.CA = u.ca }
	w.run(nil)
	id := w.launch("")
	basic, bearer := u.route("/npm/", "API_TOKEN", bottles.RoleNPM), u.route("/npm/", "API_TOKEN", bottles.RoleNPM)
	basic.AuthScheme = "basic"
	w.grantRoutes(id, 15*time.Second, basic)
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
	t.Parallel()
	w, u := newWorld(t), newUpstream(t)
	w.tokens["API_TOKEN"], w.tokens["OTHER"] = secret, "0"
	w.cat.tune = func(p *bottles.Profile) { p.CA, p.Routes = u.ca, []bottles.Route{u.route("/api/", "API_TOKEN")} }
	w.run(nil)
	id := w.launch("")
	w.grantRoutes(id, 15*time.Second, u.route("/api/", "OTHER"))
	w.sup.Type(id, []byte("get http://cred-proxy:8080/api/meanwhile\n"))
	w.awaitText(id, fmt.Sprintf(`/api/meanwhile 200 "/meanwhile with %d letters`, len("Bearer 0")))
	w.await("the grant is over", func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return len(b.Grants) == 0 && b.Operation == nil
	})
	w.sup.Type(id, []byte("get http://cred-proxy:8080/api/after\n"))
	w.awaitText(id, `/api/after 200 "/after with `+letters)
}

// What an image and an agent wrote into the files of the home stays: those that no route has to do with are not
// touched, and in the others it stays around what tells of the routes.
func TestRoutesLeaveTheAgentsOwnSettings(t *testing.T) {
	t.Parallel()
	w, u := newWorld(t), newUpstream(t)
	w.tokens["API_TOKEN"] = secret
	w.cat.dockerfile += `RUN ["/agent", "put", "/home/agent/.gitconfig", "\"[user]\\n\\tname = Of The Image\\n\""]` + "\n"
	w.cat.dockerfile += `RUN ["/agent", "put", "/home/agent/.npmrc", "\"fund=false\""]` + "\n"
	w.cat.tune = func(p *bottles.Profile) {
		p.CA, p.Routes = u.ca, []bottles.Route{u.route("/model/", "API_TOKEN", bottles.RoleBaseURL)}
	}
	w.run(nil)
	id := w.launch("")
	shows := func(file, want string) {
		t.Helper()
		w.insist(id, "cat /home/agent/"+file, fmt.Sprintf("cat /home/agent/%s: %q <nil>", file, want))
	}
	shows(".gitconfig", "[user]\n\tname = Of The Image\n")
	shows(".npmrc", "fund=false")
	w.insist(id, "cat /home/agent/.config/tea/config.yml", "no such file")
	w.sup.Type(id, []byte(`put /home/agent/.gitconfig "[user]\n\tname = Mine\n"`+"\n"))
	w.awaitText(id, `name = Mine\n" <nil>`)

	model := u.route("/model/", "API_TOKEN", bottles.RoleBaseURL)
	one := w.grantRoutes(id, 0, model, u.route("/git/", "API_TOKEN", bottles.RoleInsteadOf))
	shows(".npmrc", "fund=false")
	w.sup.Type(id, []byte("cat /home/agent/.gitconfig\n"))
	w.awaitText(id, `"[user]\n\tname = Mine\n# claude-bottle`)
	w.awaitText(id, `insteadOf = `+u.URL+`/`)
	// It goes on using the file, and loses that to no other change.
	w.sup.Type(id, []byte(`put /home/agent/.npmrc "fund=true\n"`+"\n"))
	w.awaitText(id, `"fund=true\n" <nil>`)
	w.grantRoutes(id, 0, model, u.route("/git/", "API_TOKEN", bottles.RoleInsteadOf), u.route("/npm/", "API_TOKEN", bottles.RoleNPM))
	w.sup.Type(id, []byte("cat /home/agent/.npmrc\n"))
	w.awaitText(id, `"fund=true\n# claude-bottle`)
	w.must(bottles.Revoke{Identity: id, Grant: one.ID})
	shows(".gitconfig", "[user]\n\tname = Mine\n")

	// A new container has what it wrote: its home is a volume.
	w.must(bottles.TearDown{Identity: id})
	w.must(bottles.Resume{Identity: id})
	shows(".gitconfig", "[user]\n\tname = Mine\n")
	w.insist(id, "cat /home/agent/.npmrc", `"fund=true\n# claude-bottle`)
	if strings.Contains(w.screen(id).String(), "logins: []") {
		t.Error("tea was told of nothing")
	}
}
