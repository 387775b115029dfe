package bottles_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"bottle-tui/bottles"
)

// A sidecar that ends under a live agent is told, and x and r mend it.
func TestTheEndOfASidecarIsTold(t *testing.T) {
	w, u := newWorld(t), newUpstream(t)
	w.tokens["API_TOKEN"] = secret
	w.cat.tune = func(p *bottles.Profile) { p.CA, p.Routes = u.ca, []bottles.Route{u.route("/api/", "API_TOKEN")} }
	w.run(nil)
	id := w.launch("")
	if b := w.awaitStatus(id, bottles.Live); b.Detail != "" {
		t.Errorf("a bottle that has everything: %q", b.Detail)
	}
	if out, err := exec.Command("docker", "kill", "claude-bottle-cred-proxy-"+id).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.await("its end is told", func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return b.Status == bottles.Live && strings.Contains(b.Detail, "its cred-proxy does not run: no route leads anywhere; x and r")
	})
	if !slices.ContainsFunc(w.told(), func(a bottles.Alert) bool {
		return a.Kind == bottles.AlertFailed && a.Identity == id && strings.Contains(a.Text, "cred-proxy")
	}) {
		t.Errorf("nobody was told: %v", w.told())
	}
	w.must(bottles.TearDown{Identity: id})
	w.must(bottles.Resume{Identity: id})
	w.sup.Type(id, []byte("get http://cred-proxy:8080/api/again\n"))
	w.awaitText(id, `/api/again 200 "/again with `+letters)
	w.await("nothing is left to tell", func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return b.Status == bottles.Live && b.Detail == ""
	})
}
