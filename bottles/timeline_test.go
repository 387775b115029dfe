package bottles

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/queue"
	"bottle-tui/sidecars/credproxy"
)

// approvals makes grants as the operator's approvals do, each of what is in force at its moment.
type approvals struct {
	t    *testing.T
	st   standing
	at   time.Time
	made int
}

func newApprovals(t *testing.T, base inForce) *approvals {
	return &approvals{t: t, st: standing{base: base, now: base}, at: time.Date(2031, 2, 3, 4, 0, 0, 0, time.UTC)}
}

// approve puts content in force for a time; zero is for the bottle.
func (a *approvals) approve(tool, content string, lasts time.Duration) {
	a.t.Helper()
	a.made++
	j := journal{Request: fmt.Sprint("r", a.made), Content: content, Grant: grantJournal{Tool: tool, Scope: Scope{For: lasts}, At: a.at, Before: a.st.now.text(tool)}}
	_, next, _, err := a.st.granting(j)
	if err != nil {
		a.t.Fatal(err)
	}
	a.st = next
	a.st.now = a.st.stages(a.at)[0].inForce
	if got := a.st.now.text(tool); got != content {
		a.t.Errorf("approved was\n%s\nand in force is\n%s", content, got)
	}
	a.at = a.at.Add(time.Minute)
}

// told is what the gates are told at a moment, in lines: what holds, with its end, and what comes.
func (a *approvals) told(at time.Time) string {
	a.t.Helper()
	stages := a.st.stages(at)
	l := layout{identity: "tester-00000", force: stages[0].inForce, later: stages[1:]}
	since := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return fmt.Sprint(t.Sub(time.Date(2031, 2, 3, 4, 0, 0, 0, time.UTC)))
	}
	var lines []string
	for _, s := range spans(l.stages(), func(f inForce) []string {
		var all []string
		for _, r := range f.routes {
			all = append(all, r.Path+" "+r.AuthScheme)
		}
		return append(rulesOf(f.allow), all...)
	}) {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s-%s", s.what, since(s.from), since(s.until))))
	}
	for role, config := range map[Role]interface{ Encode() ([]byte, error) }{RoleEgress: l.egressConfig(), RoleCredProxy: l.proxyConfig()} {
		if _, err := config.Encode(); err != nil {
			a.t.Errorf("%s would refuse it: %v", role, err)
		}
	}
	return strings.Join(lines, ", ")
}

func npmBy(scheme string) []Route {
	return []Route{{Path: "/npm/", Upstream: "https://npm.example.com", AuthScheme: scheme, TokenRef: "T"}}
}

// However grants overlap, what one of them provides ends when the last that provides it ends, and nothing comes back
// that no grant and no profile has.
func TestGrantsThatOverlapEndEachByItself(t *testing.T) {
	const host, routes = queue.ToolEgress, queue.ToolCredProxy
	const quarter, hour = 15 * time.Minute, time.Hour
	for _, c := range []struct {
		what string
		base inForce
		do   func(*approvals)
		now  string // what is told when all is granted
		late string // what is told after a quarter and a minute
		last string // and after a day
	}{
		{
			"a route granted for a time, then in another form for the bottle", inForce{},
			func(a *approvals) {
				a.approve(routes, routesText(npmBy("basic")), quarter)
				a.approve(routes, routesText(npmBy("bearer")), 0)
			},
			"/npm/ bearer -", "/npm/ bearer -", "/npm/ bearer -",
		},
		{
			"a host granted for a time, which a later list leaves out", inForce{allow: "kept.example.com\n"},
			func(a *approvals) {
				a.approve(host, "kept.example.com\nbrief.example.com\n", quarter)
				a.approve(host, "kept.example.com\nother.example.com\n", 8*time.Hour)
			},
			"kept.example.com -, other.example.com -8h1m0s", "kept.example.com -, other.example.com -8h1m0s", "kept.example.com -",
		},
		{
			"a host of the profile left out for a time comes back by itself", inForce{allow: "one.example.com\ntwo.example.com\n"},
			func(a *approvals) { a.approve(host, "two.example.com\n", quarter) },
			"two.example.com -, one.example.com 15m0s-", "one.example.com -, two.example.com -", "one.example.com -, two.example.com -",
		},
		{
			"a route of the profile replaced for a time comes back by itself", inForce{routes: npmBy("basic")},
			func(a *approvals) {
				a.approve(routes, routesText(npmBy("bearer")), hour)
				a.approve(routes, routesText(npmBy("token")), quarter)
			},
			"/npm/ token -16m0s, /npm/ bearer 16m0s-1h0m0s, /npm/ basic 1h0m0s-", "/npm/ bearer -1h0m0s, /npm/ basic 1h0m0s-", "/npm/ basic -",
		},
		{
			"a host closed by a second grant, which ends last", inForce{},
			func(a *approvals) {
				a.approve(host, "for.example.com\n", 0)
				a.approve(host, "", hour)
			},
			"for.example.com 1h1m0s-", "for.example.com 1h1m0s-", "for.example.com -",
		},
		{
			"one that is open for a time, closed for a shorter one", inForce{},
			func(a *approvals) {
				a.approve(host, "for.example.com\n", hour)
				a.approve(host, "other.example.com\n", 10*time.Minute)
			},
			"other.example.com -11m0s, for.example.com 11m0s-1h0m0s", "for.example.com -1h0m0s", "",
		},
		{
			"what is granted twice ends with the first, which was asked for it", inForce{},
			func(a *approvals) {
				a.approve(host, "# why\nbrief.example.com\n", quarter)
				a.approve(host, "# why\nbrief.example.com\nmore.example.com # and why\n", hour)
			},
			"brief.example.com -15m0s, more.example.com -1h1m0s", "more.example.com -1h1m0s", "",
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			a := newApprovals(t, c.base)
			c.do(a)
			start := time.Date(2031, 2, 3, 4, 0, 0, 0, time.UTC)
			for at, want := range map[time.Duration]string{4 * time.Minute: c.now, 16*time.Minute + time.Second: c.late, 24 * time.Hour: c.last} {
				if got := a.told(start.Add(at)); got != want {
					t.Errorf("after %v the gates are told\n%q, not\n%q", at, got, want)
				}
			}
		})
	}
}

// What the manifest has, too, at the bottle's next start is not ended with the grant.
func TestAGrantTakesNothingOfTheProfile(t *testing.T) {
	a := newApprovals(t, inForce{})
	a.approve(queue.ToolEgress, "h.example.com\n", time.Hour)
	a.st.base = inForce{allow: "h.example.com\n"}
	if got := a.told(a.at); got != "h.example.com -" {
		t.Errorf("the gates are told %q", got)
	}
}

// Grants by a version that wrote down no base, but what took each grant back.
func TestTheBaseOfAnOlderState(t *testing.T) {
	for _, c := range []struct {
		what, now, profile, base string
		grants                   []Grant
	}{
		{"one after the other", "a\nb\nc\n", "a\n", "a\n", []Grant{
			{Change: Change{Allow: []string{"b"}}, Undo: Change{Disallow: []string{"b"}}},
			{Change: Change{Allow: []string{"c"}}, Undo: Change{Disallow: []string{"c"}}},
		}},
		{"one that left out what is over", "a\nother\n", "a\n", "a\n", []Grant{
			{Change: Change{Allow: []string{"other"}, Disallow: []string{"brief"}}, Undo: Change{Allow: []string{"brief"}, Disallow: []string{"other"}}},
		}},
		{"one that left out what the profile has", "other\n", "a\nnew\n", "a\n", []Grant{
			{Change: Change{Allow: []string{"other"}, Disallow: []string{"a"}}, Undo: Change{Allow: []string{"a"}, Disallow: []string{"other"}}},
		}},
	} {
		if got := (inForce{allow: c.now}).without(c.grants, inForce{allow: c.profile}); got.allow != c.base {
			t.Errorf("%s: the base is %q", c.what, got.allow)
		}
	}
}

// The state that this version finds is read whether it has a base or not, and what it writes it reads again.
func TestTheBaseIsKept(t *testing.T) {
	_, b := rooted(t)
	if _, found, err := readBase(b); found || err != nil {
		t.Fatal(found, err)
	}
	want := inForce{allow: "a\n*.b.example.com:8443\n", routes: npmBy("basic")}
	if err := writeBase(b, want); err != nil {
		t.Fatal(err)
	}
	got, found, err := readBase(b)
	if do := difference(got, want); !found || err != nil || got.allow != want.allow || len(do.Routes)+len(do.Unroute) != 0 {
		t.Errorf("read %+v, %v, %v", got, found, err)
	}
	if err := os.WriteFile(filepath.Join(b.Dir(), "base.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readBase(b); err == nil || !strings.Contains(err.Error(), "base.json") {
		t.Errorf("a base that can't be read: %v", err)
	}
}

// A route that comes back by itself must go together with those that are granted for longer.
func TestWhatComesBackMustGoTogether(t *testing.T) {
	npm := func(path string) []Route {
		return []Route{{Path: path, Upstream: "https://npm.example.com", AuthScheme: credproxy.SchemeBasic, TokenRef: "T", Roles: []string{RoleNPM}}}
	}
	a := newApprovals(t, inForce{routes: npm("/old/")})
	a.approve(queue.ToolCredProxy, "[]\n", time.Hour)
	a.approve(queue.ToolCredProxy, routesText(npm("/new/")), 0)
	if err := goTogether(a.st.stages(a.at)[1:]); err == nil || !strings.Contains(err.Error(), "npm-registry") {
		t.Errorf("two registries at once: %v", err)
	}
}

// What was granted for a time is told to the gates with its end, so that it ends although nobody takes it back.
func TestTheGatesKnowWhatEnds(t *testing.T) {
	a := newApprovals(t, inForce{allow: "kept.example.com\n", routes: npmBy("basic")})
	a.approve(queue.ToolEgress, "kept.example.com\nbrief.example.com\n", time.Hour)
	a.approve(queue.ToolCredProxy, routesText(npmBy("bearer")), time.Hour)
	stages := a.st.stages(a.at)
	l := layout{identity: "tester-00000", force: stages[0].inForce, later: stages[1:]}
	for role, what := range map[Role]string{RoleEgress: "brief.example.com", RoleCredProxy: "/npm/"} {
		content, err := l.config(role)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Until map[string]time.Time
			Later []struct {
				Path, Token string
				Scheme      string `json:"auth_scheme"`
				From        time.Time
			}
		}
		if err := json.Unmarshal(content, &got); err != nil || len(got.Until) != 1 || got.Until[what].Before(a.at) {
			t.Errorf("%s is told of these ends: %v (%v)", role, got.Until, err)
		}
		if role == RoleCredProxy && (len(got.Later) != 1 || got.Later[0].Scheme != "basic" || !got.Later[0].From.Equal(got.Until[what])) {
			t.Errorf("what follows is %+v", got.Later)
		}
	}
	// A cred-proxy that starts meanwhile needs the token of what follows, and one is there for what follows alone.
	if len(l.allRoutes()) != 2 {
		t.Errorf("tokens are wanted for %v", l.allRoutes())
	}
	if l.force.routes = nil; !slices.Contains(l.sidecarRoles(), RoleCredProxy) {
		t.Errorf("the sidecars are %v", l.sidecarRoles())
	}
}
