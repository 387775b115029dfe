package scenario_test

import (
	"archive/tar"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/ui/scenario"
	"bottle-tui/ui/scenario/messages"
)

// held are the credentials of this scenario, by the path on the upstream that each is for.
var held = map[string]string{
	"/bearer/":  "tok-bearer-4f9a1c77e0",
	"/token/":   "tok-token-$b1\"d&3e5a",
	"/basic/":   "alice:tok-basic-77c0aa51",
	"/lone/":    "tok-lone-0d93b7be41",
	"/key/":     "tok-key-c2e8815f6a",
	"/oauth/":   "tok-oauth-95ab3d0c1e",
	"/wrong/":   "tok-wrong-e61f02b94d",
	"/granted/": "tok-granted-3b8c5de207",
	"/git/docs": "tok-git-docs-58ad20c6f4",
	"/git/old":  "tok-git-old-e07b4491d3",
}

// planted is the name of the agent of this scenario: it gets into every place that is searched, so that a search which
// finds it shows that it works.
const planted = "planted-7d04c1"

// overTLS serves on an address that containers reach, with a certificate of its own.
func overTLS(t *testing.T, h http.Handler) (url, ca string) {
	t.Helper()
	host := messages.HostAddress(t)
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(host)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = l
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// guarded is an upstream that wants each route's own credential, and never says one.
func guarded(t *testing.T) (url, ca string) {
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	want := map[string][2]string{
		"/bearer/":  {"Authorization", "Bearer " + held["/bearer/"]},
		"/token/":   {"Authorization", "token " + held["/token/"]},
		"/basic/":   {"Authorization", basic(held["/basic/"])},
		"/lone/":    {"Authorization", basic("x-access-token:" + held["/lone/"])},
		"/key/":     {"X-Api-Key", held["/key/"]},
		"/oauth/":   {"Authorization", "Bearer " + held["/oauth/"]},
		"/granted/": {"Authorization", "Bearer " + held["/granted/"]},
	}
	return overTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/git/") {
			gitRefs(w, r)
			return
		}
		for path, header := range want {
			if strings.HasPrefix(r.URL.Path, path) && r.Header.Get(header[0]) == header[1] {
				fmt.Fprint(w, "welcome")
				return
			}
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
}

// plantedAgent is an image with the stand-in agent, which fetches what it is told to.
func plantedAgent(t *testing.T, s *stage) (ref string) {
	binary, err := os.ReadFile(scenario.Build(t, "bottles/testdata/agent"))
	s.must(err)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, dir := range []string{"home/agent/.claude/", "workspace/"} {
		s.must(w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, Uid: 1000, Gid: 1000}))
	}
	s.must(w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "agent", Mode: 0o755, Size: int64(len(binary))}))
	_, err = w.Write(binary)
	s.must(err)
	s.must(w.Close())
	ref = "bottle-tui-scenario-secrets:1"
	_, err = s.engine.Import(t.Context(), ref, &b, bottles.ImageConfig{})
	s.must(err)
	return ref
}

// Nothing secret: whatever is done with a bottle whose routes have every auth scheme and role, whose git remotes have
// a key and tokens, and tokens of every kind, none is anywhere that an agent, a log, a disk or a screen is. Only the
// memory of cred-proxy and git-gate and the upstreams have them.
func TestNothingSecret(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("it looks into the processes and volumes of containers: run it as root")
		}
		t.Skip("it looks into the processes and volumes of containers, as root can")
	}
	t.Parallel()
	t.Cleanup(func() { // when the stage has gone, and all that is built on it
		_ = exec.Command("docker", "image", "rm", "bottle-tui-scenario-secrets:1").Run()
	})
	s := newStage(t)
	url, ca := guarded(t)
	dir := t.TempDir()
	s.writes(filepath.Join(dir, "ca.pem"), ca)
	s.writes(filepath.Join(dir, "Dockerfile"), "FROM "+plantedAgent(t, s)+"\nLABEL as="+planted+"\nUSER 1000:1000\n")
	var routes, remotes []map[string]any
	declare := func(path, scheme, kind string, role ...string) {
		name := "HELD_" + strings.ToUpper(strings.ReplaceAll(strings.Trim(path, "/"), "/", "_"))
		file := filepath.Join(dir, "held", strings.Trim(path, "/"))
		s.writes(file, held[path]+"\n")
		ref := map[string]string{"env": name, "file:": "file:" + file, "cmd:": "cmd:cat '" + file + "'"}[kind]
		if kind == "env" {
			s.env = append(s.env, name+"="+held[path])
		}
		switch {
		case strings.HasPrefix(path, "/git/"):
			remotes = append(remotes, map[string]any{"name": strings.TrimPrefix(path, "/git/"), "upstream": url + path + ".git", "token_ref": ref})
		case path != "/granted/":
			routes = append(routes, map[string]any{"path": path, "upstream": url + strings.TrimSuffix(path, "/"), "auth_scheme": scheme, "token_ref": ref, "role": role})
		}
	}
	declare("/bearer/", "bearer", "file:", "npm-registry")
	declare("/token/", "token", "cmd:", "tea-login")
	declare("/basic/", "basic", "file:", "git-insteadof")
	declare("/lone/", "basic", "env", "git-insteadof", "tea-login")
	declare("/key/", "x-api-key", "cmd:")
	declare("/oauth/", "anthropic-oauth", "env", "anthropic-base-url")
	declare("/wrong/", "bearer", "env")
	declare("/granted/", "bearer", "cmd:")
	declare("/git/docs", "", "cmd:")
	declare("/git/old", "", "env")
	key, forms, public := keyOf(t)
	s.writes(filepath.Join(dir, "held", "ssh"), key)
	address, hostKey := guardedBySSH(t, public)
	remotes = append(remotes, map[string]any{"name": "api", "upstream": "ssh://git@" + address + "/team/api.git", "identity_file": filepath.Join(dir, "held", "ssh"), "known_host": hostKey})
	for _, r := range routes {
		if r["role"] == nil || len(r["role"].([]string)) == 0 {
			delete(r, "role")
		}
	}
	content, err := json.Marshal(map[string]any{
		"bottles": map[string]any{"dev": map[string]any{
			"supervise": true, "cred_proxy": map[string]any{"ca_file": "./ca.pem", "routes": routes}, "git": remotes,
			"image": map[string]any{"dockerfile": "./Dockerfile"}, "build_network": "none", "env": map[string]any{"AS": planted},
		}},
		"agents": map[string]any{planted: map[string]any{"bottle": "dev", "command": []string{"/agent"}, "session": "claude-code", "args": []string{"--as", planted}}},
	})
	s.must(err)
	manifest := filepath.Join(dir, "claude-bottle.json")
	s.writes(manifest, string(content))

	h := s.searching(held)
	h.plants = true
	for what, form := range forms {
		h.needles["ssh in the form of its "+what] = form
	}
	says := func(kind string, args ...string) {
		t.Helper()
		got := s.runs(append(args, "--manifest", manifest, "--home", s.home, "--log", s.log)...)
		if got.code != 0 {
			t.Errorf("%s ended with %d: %s%s", strings.Join(args, " "), got.code, got.out, got.err)
		}
		h.look(kind, strings.Join(args, " "), []byte(got.out+got.err))
	}
	// plays runs the program before an operator, and looks at all that it printed.
	plays := func(args []string, play func(o *operator)) {
		t.Helper()
		o, printed := s.recorded(append(args, "--manifest", manifest)...)
		play(o)
		h.look("the last screen", strings.Join(args, " "), []byte(o.Screen()))
		h.look("what the terminal got", strings.Join(args, " "), []byte(printed()))
	}
	fetches := func(o *operator, id, mark string, paths ...string) {
		t.Helper()
		o.chooses(id)
		o.Press("enter")
		o.sees(`ctrl+\ leaves`)
		for _, path := range paths {
			want := `200 "welcome"`
			if path == "/wrong/" {
				want = "401"
			}
			o.Type("get http://cred-proxy:8080" + path + mark)
			o.Press("enter")
			o.sees(regexp.MustCompile("got http://cred-proxy:8080" + path + mark + " " + want))
		}
		o.Type("git " + mark)
		o.Press("enter")
		for ask, want := range map[string]string{
			"get http://git-gate:8081/docs/info/refs?service=git-upload-pack": "200",
			"get http://git-gate:8081/old/info/refs?service=git-upload-pack":  "[45]0",
			"ls git-gate:9418 /api.git":                                       `"0000" <nil>`,
		} {
			_, what, _ := strings.Cut(ask, " ")
			o.Type(ask)
			o.Press("enter")
			o.sees(regexp.MustCompile("(?s)heard: git " + mark + ".*(got|listed) " + regexp.QuoteMeta(what) + " " + want))
		}
		o.Press(`ctrl+\`)
		o.seesNoMore(`ctrl+\ leaves`)
		h.look("the screen", "after "+mark, []byte(o.Screen()))
	}
	declared := []string{"/bearer/", "/token/", "/basic/", "/lone/", "/key/", "/oauth/", "/wrong/"}

	says("a dry run", "start", planted, "--dry-run")
	says("a dry run", "start", planted, "--dry-run", "--format", "json")
	says("info", "info", planted)
	var id string
	plays([]string{"start", planted, "--task", "Fetch it all."}, func(o *operator) {
		o.sees("Start this bottle? [y/N]")
		h.look("the plan", "start", []byte(o.Screen()))
		o.Type("y\n")
		if code := o.ExitCode(patience); code != 0 {
			t.Fatalf("start ended with %d:\n%s", code, o.Screen())
		}
		id = s.identities(planted)[0]
	})
	h.bottle(id)

	plays(nil, func(o *operator) {
		o.seesLive(1, planted)
		fetches(o, id, "one", declared...)
		o.chooses(id)
		o.Press("enter")
		o.sees(`ctrl+\ leaves`)
		o.Type("get http://" + planted + ".invalid/")
		o.Press("enter")
		o.sees(regexp.MustCompile(planted + `\.invalid/ 403`)) // so that egress says it, too
		o.Type("write " + planted)
		o.Press("enter")
		o.sees("wrote <nil>")
		o.Press(`ctrl+\`)
		o.seesNoMore(`ctrl+\ leaves`)

		// A route is granted, whose credential the operator names.
		current, err := os.ReadFile(filepath.Join(s.bottle(id).Dir(), "config", "routes.json"))
		s.must(err)
		var now []bottles.Route
		s.must(json.Unmarshal(current, &now))
		proposed, err := json.MarshalIndent(append(now, bottles.Route{Path: "/granted/", Upstream: url + "/granted", AuthScheme: "bearer", TokenRef: "HELD_GRANTED", Roles: []string{}}), "", "  ")
		s.must(err)
		box := queue.Open(s.root.QueueDir(id))
		ask := func(tool, content string) {
			s.must(box.Put(queue.Request{ID: queue.NewID(time.Now()), Tool: tool, Identity: id, Proposed: content, Justification: planted + " needs it", ArrivedAt: time.Now()}))
		}
		ask(queue.ToolCredProxy, string(proposed)+"\n")
		o.reviews()
		o.answers("y", func(screen string) bool { return strings.Contains(screen, "Where does the credential for") })
		source := "cmd:cat '" + filepath.Join(dir, "held", "granted") + "'"
		o.Paste(source)
		o.sees("granted'")
		o.Press("enter")
		s.eventually("the route is in force", func() bool { return s.audited(id, "in force") == 1 })
		o.seesNoMore("Where does the credential for")
		fetches(o, id, "two", "/granted/")
		h.bottle(id)

		// A rebuild keeps cred-proxy, and a teardown ends it.
		before := s.facts(id)
		dockerfile, err := os.ReadFile(filepath.Join(dir, "Dockerfile"))
		s.must(err)
		ask(queue.ToolCapability, string(dockerfile)+"ENV ONE=1\n")
		o.reviews()
		o.approves()
		s.eventually("the agent runs on its new image", func() bool {
			now := s.facts(id)
			return now.agent() != "" && now.agent() != before.agent() && s.audited(id, "in force") == 2
		})
		o.sees(" 1 live")
		fetches(o, id, "three", append(declared, "/granted/")...)
		h.bottle(id)
		o.tearsDown(id)
		o.quits()
	})
	h.bottle(id)
	says("info", "info", id, "--format", "json")
	says("list", "list", "--format", "json")
	says("a dry run", "resume", id, "--dry-run", "--format", "json")
	plays([]string{"resume", id}, func(o *operator) {
		if code := o.ExitCode(patience); code != 0 {
			t.Fatalf("resume ended with %d:\n%s", code, o.Screen())
		}
	})
	plays(nil, func(o *operator) {
		o.seesLive(1, planted)
		fetches(o, id, "four", append(declared, "/granted/")...)
		o.quits()
	})
	h.bottle(id)
	says("info", "info", id)
	says("list", "list")
	says("the log of the gates", "log", id)
	says("the log of the gates", "log", id, "--format", "json")
	says("the audit", "audit", "verify", id)

	// What was planted was found wherever a credential could have been: the search works. Of a sidecar's process nobody
	// can have it say something; the search is the same as of the agent's.
	for kind, found := range h.seen {
		if !found && !slices.Contains([]string{"environ of a sidecar", "cmdline of a sidecar", "the processes of a sidecar"}, kind) {
			t.Errorf("what was planted was not found in %s, so a credential might not be either", kind)
		}
	}
	if len(h.seen) < 30 {
		t.Errorf("only these places were searched: %v", h.seen)
	}
}
