package bottles_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/queue"
)

// BenchmarkGrant measures how long an approved change of a live bottle's gates takes, in ms: from the operator's yes to
// the moment at which it is audited as in force, which comes after the sidecar's own word that it is (and after the
// agent's files and supervise have it, too), and to the end of the operation. Each round approves one host, or one
// route, more; no call waits for the answers.
func BenchmarkGrant(b *testing.B) {
	for _, kind := range []struct {
		name, tool string
		proposed   func(n int, u *upstream) string
	}{
		{"egress", queue.ToolEgress, func(n int, _ *upstream) string {
			var rules strings.Builder
			for i := range n {
				fmt.Fprintf(&rules, "host%d.example.com\n", i)
			}
			return rules.String()
		}},
		{"route", queue.ToolCredProxy, func(n int, u *upstream) string {
			var routes []bottles.Route
			for i := range n {
				routes = append(routes, u.route(fmt.Sprintf("/r%d/", i), "API_TOKEN"))
			}
			return routesOf(b, routes...)
		}},
	} {
		b.Run(kind.name, func(b *testing.B) {
			w, u := newWorld(b), newUpstream(b)
			w.tokens["API_TOKEN"] = secret
			w.cat.tune = func(p *bottles.Profile) {
				p.CA = u.ca
				if kind.tool == queue.ToolCredProxy {
					p.Routes = []bottles.Route{u.route("/r0/", "API_TOKEN")}
				}
			}
			w.run(nil)
			id := w.launch("")
			yes := map[string]time.Time{}
			var over []float64
			n := 1
			for b.Loop() {
				n++
				req := w.ask(queue.Request{ID: queue.NewID(time.Now()), Tool: kind.tool, Identity: id, Proposed: kind.proposed(n, u)})
				began := time.Now()
				yes[req.ID] = began
				done, err := w.sup.Start(b.Context(), bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash})
				if err != nil {
					b.Fatal(err)
				}
				if err := <-done; err != nil {
					b.Fatal(err)
				}
				over = append(over, float64(time.Since(began).Microseconds())/1000)
			}
			inForce := w.inForceAfter(id, yes)
			if len(inForce) != n-1 {
				b.Fatalf("%d grants were audited as in force of %d", len(inForce), n-1)
			}
			report(b, inForce, "in-force")
			report(b, over, "done")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkFirstRoute measures the same of the first route of a bottle, whose cred-proxy was empty. Each round takes
// a new bottle.
func BenchmarkFirstRoute(b *testing.B) {
	w, u := newWorld(b), newUpstream(b)
	w.tokens["API_TOKEN"] = secret
	w.cat.tune = func(p *bottles.Profile) { p.CA = u.ca }
	w.run(nil)
	var inForce, over []float64
	for b.Loop() {
		id := w.launch("")
		req := w.ask(queue.Request{ID: queue.NewID(time.Now()), Tool: queue.ToolCredProxy, Identity: id, Proposed: routesOf(b, u.route("/r0/", "API_TOKEN"))})
		began := time.Now()
		w.must(bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash, Terms: bottles.Terms{Tokens: map[string]string{"API_TOKEN": "API_TOKEN"}}})
		over = append(over, float64(time.Since(began).Microseconds())/1000)
		inForce = append(inForce, w.inForceAfter(id, map[string]time.Time{req.ID: began})...)
		w.must(bottles.TearDown{Identity: id})
		w.must(bottles.Delete{Identity: id})
	}
	if len(inForce) != len(over) {
		b.Fatalf("%d grants were audited as in force of %d", len(inForce), len(over))
	}
	report(b, inForce, "in-force")
	report(b, over, "done")
	b.ReportMetric(0, "ns/op")
}

// inForceAfter is how long after each yes a bottle's audit log has the grant in force, in ms.
func (w *world) inForceAfter(id string, yes map[string]time.Time) (took []float64) {
	w.t.Helper()
	entries, err := w.root.Audit(id).Entries(100 * (len(yes) + 1))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		var fact struct{ Request string }
		if err := json.Unmarshal(e.Data, &fact); err == nil && e.Kind == "in force" {
			took = append(took, float64(e.At.Sub(yes[fact.Request]).Microseconds())/1000)
		}
	}
	return took
}

func report(b *testing.B, took []float64, what string) {
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2], "ms-"+what+"-p50")
	b.ReportMetric(took[len(took)*95/100], "ms-"+what+"-p95")
}
