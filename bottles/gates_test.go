package bottles_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/queue"
)

// upstream is a server of the host that a bottle's cred-proxy reaches over TLS, and what it was sent.
type upstream struct {
	*httptest.Server
	ca []byte
}

// newUpstream serves at the address that the engine's default bridge has on this host.
func newUpstream(t testing.TB) *upstream {
	t.Helper()
	bridge, err := net.InterfaceByName("docker0")
	if err != nil {
		t.Fatalf("the engine's bridge: %v", err)
	}
	addrs, err := bridge.Addrs()
	if err != nil || len(addrs) == 0 {
		t.Fatalf("the engine's bridge has no address: %v", err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(addrs[0].(*net.IPNet).IP.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{Server: httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s with %d letters of authorization", r.URL.Path, len(r.Header.Get("Authorization")))
	}))}
	u.Listener.Close()
	u.Listener = l
	cert, ca := certificate(t, l.Addr().(*net.TCPAddr).IP)
	u.TLS = cert
	u.StartTLS()
	t.Cleanup(u.Close)
	u.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca})
	return u
}

func (u *upstream) route(path, token string, roles ...string) bottles.Route {
	return bottles.Route{Path: path, Upstream: u.URL, AuthScheme: "bearer", TokenRef: token, Roles: roles}
}

const secret = "s3cr3t-that-nobody-may-see-0123456789"

// letters is how long the header is that cred-proxy sends for secret.
var letters = fmt.Sprintf("%d letters", len("Bearer "+secret))

func TestARouteGivesTheAgentWhatItNeverHolds(t *testing.T) {
	t.Parallel()
	w, u := newWorld(t), newUpstream(t)
	w.tokens["API_TOKEN"] = secret
	w.cat.tune = func(p *bottles.Profile) {
		p.CA = u.ca
		p.Routes = []bottles.Route{u.route("/api/", "API_TOKEN", bottles.RoleBaseURL, bottles.RoleNPM, bottles.RoleInsteadOf, bottles.RoleTea)}
	}
	w.run(nil)
	id := w.launch("")
	w.sup.Type(id, []byte("get http://cred-proxy:8080/api/hello\n"))
	w.awaitText(id, `got http://cred-proxy:8080/api/hello 200 "/hello with `+letters)
	w.sup.Type(id, []byte("env ANTHROPIC_BASE_URL\ncat /home/agent/.npmrc\ncat /home/agent/.gitconfig\ncat /home/agent/.config/tea/config.yml\ncat /etc/claude-bottle/current-config/routes.json\n"))
	w.awaitText(id, "env ANTHROPIC_BASE_URL=http://cred-proxy:8080/api\r\n")
	w.awaitText(id, `registry=http://cred-proxy:8080/api/`)
	w.awaitText(id, `insteadOf = `+u.URL+`/`)
	w.awaitText(id, `url: \"http://cred-proxy:8080/api\"`)
	w.awaitText(id, `\"token_ref\": \"API_TOKEN\"`)
	w.noLeak(id, secret)
	// The upstream is behind cred-proxy alone: egress does not lead there.
	w.sup.Type(id, []byte("get "+u.URL+"/direct\n"))
	w.awaitText(id, "got "+u.URL+"/direct failed")
	w.awaitText(id, "Forbidden")

	// A rebuild keeps the pod, so the token is still there; a resume brings it anew.
	w.must(bottles.Approve{Identity: id, Request: w.request(id, w.cat.dockerfile+"ENV ONE=1\n").ID, Shown: queue.Hash([]byte(w.cat.dockerfile + "ENV ONE=1\n"))})
	w.awaitStatus(id, bottles.Live)
	w.sup.Type(id, []byte("get http://cred-proxy:8080/api/rebuilt\n"))
	w.awaitText(id, `/api/rebuilt 200 "/rebuilt with `+letters)
	w.must(bottles.TearDown{Identity: id})
	w.noLeak(id, secret)
	w.must(bottles.Resume{Identity: id})
	w.sup.Type(id, []byte("get http://cred-proxy:8080/api/resumed\n"))
	w.awaitText(id, `/api/resumed 200 "/resumed with `+letters)
	w.noLeak(id, secret)
}

func TestAMissingTokenStopsALaunchBeforeAnythingIsMade(t *testing.T) {
	t.Parallel()
	w, u := newWorld(t), newUpstream(t)
	w.cat.tune = func(p *bottles.Profile) { p.CA, p.Routes = u.ca, []bottles.Route{u.route("/api/", "NO_SUCH_TOKEN")} }
	w.run(nil)
	err := w.do(bottles.Launch{Agent: "tester"})
	if err == nil || !strings.Contains(err.Error(), "NO_SUCH_TOKEN") || !strings.Contains(err.Error(), "export NO_SUCH_TOKEN") {
		t.Fatalf("launched without its token: %v", err)
	}
	have, err := w.engine.Observe(t.Context(), w.root.ID())
	if err != nil || len(have.Containers)+len(have.Networks)+len(have.Volumes) != 0 {
		t.Errorf("made: %+v, %v", have, err)
	}
	// With the token it comes up under the identity that it has.
	w.tokens["NO_SUCH_TOKEN"] = secret
	id := w.await("the bottle is kept", func(s *bottles.Snapshot) bool { return len(s.Bottles) == 1 }).Bottles[0].Identity
	w.must(bottles.Resume{Identity: id})
	w.awaitStatus(id, bottles.Live)
}

func TestAWayOutIsGrantedToALiveBottleAndTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cat.tune = func(p *bottles.Profile) { p.Egress = []string{"kept.example.com"} }
	w.run(nil)
	id := w.launch("")
	const page = "http://granted.invalid/x"
	look := func(n int) {
		w.sup.Type(id, []byte(fmt.Sprintf("get %s?%d\n", page, n)))
	}
	look(1)
	w.awaitText(id, page+"?1 403")
	before, _ := w.agent(id)
	req := w.askEgress(id, "kept.example.com\ngranted.invalid\n")
	if string(req.Current) != "kept.example.com\n" || req.Stale || req.Effect == "" {
		t.Fatalf("shown: %+v", req)
	}
	w.must(bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash, Terms: bottles.Terms{Scope: bottles.Scope{For: time.Hour}}})
	look(2)
	w.awaitText(id, page+"?2 50") // let through, and there is no such host
	b := w.awaitStatus(id, bottles.Live)
	if len(b.Grants) != 1 || b.Grants[0].Until.Before(time.Now().Add(50*time.Minute)) || !slices.Equal(b.Allow, []string{"kept.example.com", "granted.invalid"}) || len(b.Requests) != 0 {
		t.Errorf("the bottle shows grants %+v, allows %v, requests %v", b.Grants, b.Allow, b.Requests)
	}
	w.sup.Type(id, []byte("cat /etc/claude-bottle/current-config/allowlist\n"))
	w.awaitText(id, `allowlist: "kept.example.com\ngranted.invalid\n"`)
	if after, _ := w.agent(id); after.ID != before.ID {
		t.Error("the agent was replaced")
	}
	w.must(bottles.Revoke{Identity: id, Grant: req.ID})
	look(3)
	w.awaitText(id, page+"?3 403")
	if b := w.awaitStatus(id, bottles.Live); len(b.Grants) != 0 || !slices.Equal(b.Allow, []string{"kept.example.com"}) {
		t.Errorf("after it was taken back: grants %v, allows %v", b.Grants, b.Allow)
	}
	if err := w.do(bottles.Revoke{Identity: id, Grant: req.ID}); err == nil {
		t.Error("taken back twice")
	}
	for _, fact := range []string{"decision", "in force", "grant ended"} {
		if !slices.Contains(w.history(id), fact) {
			t.Errorf("the audit log tells %v, not %q", w.history(id), fact)
		}
	}
}

func TestAGrantEndsByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("")
	req := w.askEgress(id, "brief.invalid\n")
	w.must(bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash, Terms: bottles.Terms{Scope: bottles.Scope{For: 15 * time.Second}}})
	w.sup.Type(id, []byte("get http://brief.invalid/1\n"))
	w.awaitText(id, "http://brief.invalid/1 50")
	w.await("the grant is over", func(s *bottles.Snapshot) bool { b, _ := find(s, id); return len(b.Grants) == 0 && len(b.Allow) == 0 })
	w.sup.Type(id, []byte("get http://brief.invalid/2\n"))
	w.awaitText(id, "http://brief.invalid/2 403")
	if !slices.ContainsFunc(w.told(), func(a bottles.Alert) bool {
		return a.Kind == bottles.AlertDone && a.Operation == "grant" && strings.Contains(a.Text, "closed again")
	}) {
		t.Errorf("nobody was told: %v", w.told())
	}
}

func TestAGrantForTheBottleSurvivesTeardownAndOneForATimeEndsMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(nil)
	id := w.launch("")
	req := w.askEgress(id, "forever.invalid\n")
	w.must(bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash})
	req = w.askEgress(id, "forever.invalid\nbrief.invalid\n")
	w.must(bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash, Terms: bottles.Terms{Scope: bottles.Scope{For: 15 * time.Second}}})
	var until time.Time
	w.await("both are granted", func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		if len(b.Grants) == 2 {
			until = b.Grants[1].Until
		}
		return len(b.Grants) == 2
	})
	w.must(bottles.TearDown{Identity: id})
	w.end()
	<-time.After(time.Until(until)) // while no program runs
	w.run(nil)
	w.await("what is over is taken back", func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return len(b.Grants) == 1 && b.Operation == nil
	})
	w.must(bottles.Resume{Identity: id})
	w.sup.Type(id, []byte("get http://forever.invalid/\n"))
	w.awaitText(id, "http://forever.invalid/ 50")
	w.await("only the first is left", func(s *bottles.Snapshot) bool {
		b, _ := find(s, id)
		return slices.Equal(b.Allow, []string{"forever.invalid"}) && len(b.Grants) == 1
	})
}

func TestRoutesAreGrantedWithATokenThatTheOperatorNames(t *testing.T) {
	t.Parallel()
	w, u := newWorld(t), newUpstream(t)
	w.cat.tune = func(p *bottles.Profile) { p.CA = u.ca }
	w.run(nil)
	id := w.launch("")
	r := u.route("/new/", "NEW_TOKEN", bottles.RoleNPM)
	proposed := fmt.Sprintf("[\n  {\n    \"path\": \"/new/\",\n    \"upstream\": %q,\n    \"auth_scheme\": \"bearer\",\n    \"token_ref\": \"NEW_TOKEN\",\n    \"role\": [\n      \"npm-registry\"\n    ]\n  }\n]\n", r.Upstream)
	req := w.ask(queue.Request{ID: queue.NewID(time.Now()), Tool: queue.ToolCredProxy, Identity: id, Proposed: proposed, CurrentHash: queue.Hash([]byte("[]\n"))})
	if req.Stale || !slices.Equal(req.Tokens, []string{"NEW_TOKEN"}) {
		t.Fatalf("shown: %+v", req)
	}
	approve := bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash}
	if err := w.do(approve); err == nil || !strings.Contains(err.Error(), "NEW_TOKEN") {
		t.Fatalf("approved without a token: %v", err)
	}
	approve.Terms.Tokens = map[string]string{"NEW_TOKEN": "cmd:ask the safe"}
	if err := w.do(approve); err == nil || !strings.Contains(err.Error(), "can't be had") {
		t.Fatalf("approved with a token that nobody has: %v", err)
	}
	w.tokens["cmd:ask the safe"] = secret
	w.must(approve)
	w.sup.Type(id, []byte("get http://cred-proxy:8080/new/page\ncat /home/agent/.npmrc\n"))
	w.awaitText(id, `/new/page 200 "/page with `+letters)
	w.awaitText(id, "registry=http://cred-proxy:8080/new/")
	w.noLeak(id, secret)

	// A resume has the token from where the operator said.
	w.must(bottles.TearDown{Identity: id})
	w.must(bottles.Resume{Identity: id})
	w.sup.Type(id, []byte("get http://cred-proxy:8080/new/again\n"))
	w.awaitText(id, `/new/again 200 "/again with `+letters)
	w.must(bottles.Revoke{Identity: id, Grant: req.ID})
	w.sup.Type(id, []byte("get http://cred-proxy:8080/new/gone\ncat /home/agent/.npmrc\n"))
	w.awaitText(id, "/new/gone 404")
	w.awaitText(id, `cat /home/agent/.npmrc: "" <nil>`)
	w.noLeak(id, secret)
}

// Killed at any point of a grant, it is in force when the next program has come, and was answered once.
func TestAKilledGrantIsFinishedByTheNextProgram(t *testing.T) {
	for _, point := range []string{"configure egress", "after configure egress", "configure agent", "after configure agent", "after configure supervise"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.run(nil)
			id := w.launch("")
			req := w.askEgress(id, "granted.invalid\n")
			w.end()
			var dying *killer
			w.run(func(e bottles.Engine, kill func()) bottles.Engine {
				dying = &killer{Engine: e, kill: kill, at: point, dead: make(chan struct{})}
				return dying
			})
			w.awaitRequests(id, 1)
			if _, err := w.sup.Start(t.Context(), bottles.Approve{Identity: id, Request: req.ID, Shown: req.Hash}); err != nil {
				t.Fatal(err)
			}
			select {
			case <-dying.dead:
			case <-time.After(patience):
				t.Fatalf("it never came to %q", point)
			}
			w.end()
			w.run(nil)
			w.await("the grant is in force", func(s *bottles.Snapshot) bool {
				b, _ := find(s, id)
				return b.Status == bottles.Live && b.Operation == nil && len(b.Grants) == 1 && len(b.Requests) == 0
			})
			w.insist(id, "get http://granted.invalid/", "http://granted.invalid/ 50")
			answers, err := filepath.Glob(filepath.Join(w.root.QueueDir(id), "done", "*.answer.json"))
			if err != nil || len(answers) != 1 {
				t.Errorf("answered %d times: %v", len(answers), err)
			}
		})
	}
}

func (w *world) askEgress(id, proposed string) bottles.Request {
	w.t.Helper()
	return w.ask(queue.Request{ID: queue.NewID(time.Now()), Tool: queue.ToolEgress, Identity: id, Proposed: proposed})
}

// insist types a line until its effect is on the screen: a terminal that was just found may not be attached yet.
func (w *world) insist(id, line, text string) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for wait := time.Second; !strings.Contains(w.screen(id).String(), text); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain for %q on the screen of %s, which shows:\n%s", text, id, w.screen(id))
		}
		if wait += 50 * time.Millisecond; wait > time.Second {
			w.sup.Type(id, []byte(line+"\n"))
			wait = 0
		}
	}
}

func (w *world) told() []bottles.Alert {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.alerts)
}

// noLeak looks for a secret, in whatever form, in everything that an agent, or whoever reads a disk, may see.
func (w *world) noLeak(id, secret string) {
	w.t.Helper()
	encoded := func(text string) []byte { return []byte(base64.RawStdEncoding.EncodeToString([]byte(text))) }
	forms := [][]byte{[]byte(secret), fmt.Appendf(nil, "%x", secret), encoded(secret), encoded("x-access-token:" + secret), encoded("Bearer " + secret)}
	look := func(where string, content []byte) {
		for i, form := range forms {
			if bytes.Contains(content, form) {
				w.t.Errorf("the secret is in %s, in form %d", where, i)
			}
		}
	}
	err := filepath.Walk(w.root.Dir(), func(path string, info os.FileInfo, err error) error {
		if path != w.root.Dir() && errors.Is(err, fs.ErrNotExist) {
			return nil // the program is at work, and moved it meanwhile
		}
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		look(path, content)
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
	have, err := w.engine.Observe(context.Background(), w.root.ID())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, v := range have.Volumes {
		look("the inspection of "+v.Name, inspection(w.t, "volume", v.Name))
	}
	for _, n := range have.Networks {
		look("the inspection of "+n.Name, inspection(w.t, "network", n.Name))
	}
	for _, c := range have.Containers {
		if c.Labels[bottles.LabelIdentity] != id {
			continue
		}
		look("the inspection of "+c.Name, inspection(w.t, "container", c.Name))
		if processes, err := exec.Command("docker", "top", c.Name).CombinedOutput(); err == nil { // it runs
			look("the processes of "+c.Name, processes)
		}
		r, err := w.engine.CopyOut(context.Background(), c.Name, "/") // with its volumes
		if err != nil {
			w.t.Fatal(err)
		}
		files, err := io.ReadAll(io.LimitReader(r, 512<<20))
		r.Close()
		if err != nil {
			w.t.Fatal(err)
		}
		look("the files of "+c.Name, files)
		if r, err := w.engine.Logs(context.Background(), c.Name, 0, false); err == nil {
			log, _ := io.ReadAll(r)
			r.Close()
			look("the log of "+c.Name, log)
		}
	}
	look("the screen", []byte(w.screen(id).String()))
}

// inspection is all that the engine says of an object.
func inspection(t testing.TB, kind, name string) []byte {
	t.Helper()
	out, err := exec.Command("docker", kind, "inspect", name).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s inspect %s: %v: %s", kind, name, err, out)
	}
	return out
}

// certificate is a server's certificate for an address, signed by itself.
func certificate(t testing.TB, ip net.IP) (*tls.Config, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{ip}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, der
}
