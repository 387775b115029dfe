package bottles

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/credproxy"
	"bottle-tui/ui/scenario/ci"
)

const (
	heldBack = "tok-that-only-the-proxy-has"
	worker   = "work/agent"
)

// loopback finds every name on this machine.
type loopback struct{}

func (loopback) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// ready takes the address out of what cred-proxy says.
type ready chan string

func (r ready) Write(p []byte) (int, error) {
	if l, ok := sidecars.ParseLine(p); ok && l.Event == sidecars.EventReady {
		r <- l.Address
	}
	return len(p), nil
}

// proxied serves routes by a cred-proxy, and writes into a new home the files that roleTexts makes for them, in which
// only the proxy's address is another. ports says where on this machine an upstream is that was declared without one.
func proxied(t *testing.T, up *httptest.Server, port bool, routes ...Route) (home string) {
	t.Helper()
	conf := credproxy.Config{Identity: "tester-00000"}
	conf.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: up.Certificate().Raw}))
	for _, r := range routes {
		at, err := url.Parse(r.Upstream)
		if err != nil {
			t.Fatal(err)
		}
		if !port {
			at.Host += ":" + portOf(up)
		}
		conf.Routes = append(conf.Routes, credproxy.Route{Path: r.Path, Upstream: at.String(), AuthScheme: r.AuthScheme, Token: r.TokenRef})
	}
	content, err := conf.Encode()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	said := make(ready, 1)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- credproxy.Serve(ctx, credproxy.Options{
			ConfigFile: file, Listen: "127.0.0.1:0", Resolver: loopback{}, AllowLoopback: true, Voice: sidecars.NewVoice(said, nil),
			Tokens: strings.NewReader(fmt.Sprintf("{\"id\":\"1\",\"tokens\":{\"TOKEN\":%q}}\n", heldBack)),
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	var addr string
	select {
	case addr = <-said:
	case <-time.After(30 * time.Second):
		t.Fatal("cred-proxy did not begin to serve")
	}
	home = filepath.Join(t.TempDir(), worker)
	for name, text := range roleTexts(routes, nil) {
		file := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if name != fileTea { // as it stands among the agent's own lines
			text = merge("# the agent's own\n", "", text)
		}
		text = strings.ReplaceAll(text, "cred-proxy:8080", addr)
		if strings.Contains(text, heldBack) {
			t.Errorf("%s has the token", name)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

func portOf(up *httptest.Server) string { return up.URL[strings.LastIndexByte(up.URL, ':')+1:] }

// program runs a program of the agent's in its home, from which no way leads out but the proxy. It gives all that the
// program printed.
func program(t *testing.T, home, dir, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"HOME=" + home, "PATH=" + os.Getenv("PATH"), "HTTPS_PROXY=http://127.0.0.1:9", "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1",
		"GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1",
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// packages is a registry that gives one package to whoever brings the token, and names its archive by its own host.
func packages(self *string, base string) http.HandlerFunc {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for file, content := range map[string]string{
		"package/package.json": `{"name":"tiny","version":"1.0.0","main":"index.js"}`,
		"package/index.js":     "module.exports = 'brought'\n",
	} {
		_ = w.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(content))})
		_, _ = io.WriteString(w, content)
	}
	_ = w.Close()
	_ = z.Close()
	sum := sha512.Sum512(b.Bytes())
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer "+heldBack:
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == base+"/tiny/-/tiny-1.0.0.tgz":
			_, _ = w.Write(b.Bytes())
		case r.URL.Path == base+"/tiny":
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{
				"name": "tiny", "dist-tags": map[string]string{"latest": "1.0.0"},
				"versions": map[string]any{"1.0.0": map[string]any{
					"name": "tiny", "version": "1.0.0", "main": "index.js",
					"dist": map[string]string{"tarball": *self + "/tiny/-/tiny-1.0.0.tgz", "integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:])},
				}},
			})
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}
}

// What roleTexts says makes the real npm install from a registry that wants a token.
func TestTheNPMRCWorksWithNPM(t *testing.T) {
	const older = "10.9.9" // which joins the registry's path and the archive's whole path
	for _, c := range []struct {
		name, path, base string
		port             bool
		npm              string
	}{
		{"a host alone", "/npm/", "", false, ""},
		{"a host alone, npm 10", "/npm/", "", false, older},
		{"a host with a port", "/npm/", "", true, ""},
		{"a base path", "/npm/", "/repository/npm-all", false, ""},
		{"a base path and a port", "/packages/of.all_kinds/", "/repository/npm+all", true, ""},
		{"the path of the base", "/repository/npm/", "/repository/npm", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			npm := ci.NPM(t, c.npm)
			var self string
			up := httptest.NewTLSServer(packages(&self, c.base))
			defer up.Close()
			self = "https://example.com"
			if c.port {
				self += ":" + portOf(up)
			}
			self += c.base
			home := proxied(t, up, c.port, Route{Path: c.path, Upstream: strings.Replace(self, "example", "Example", 1), AuthScheme: credproxy.SchemeBearer, TokenRef: "TOKEN", Roles: []string{RoleNPM}})
			dir := filepath.Join(home, "project")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"name":"project","version":"0.0.0","private":true}`), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, how := range []string{"install tiny", "ci"} { // the latter from the lock file, which names the upstream's own host
				args := append(strings.Fields(how), "--no-audit", "--no-fund", "--fetch-retries=0", "--no-update-notifier", "--cache="+t.TempDir())
				out, err := program(t, home, dir, npm, args...)
				if err != nil {
					npmrc, _ := os.ReadFile(filepath.Join(home, ".npmrc"))
					t.Fatalf("npm %s: %v\n%s\n%s", how, err, out, npmrc)
				}
				if got, err := os.ReadFile(filepath.Join(dir, "node_modules/tiny/index.js")); err != nil || !strings.Contains(string(got), "brought") {
					t.Errorf("npm %s installed %q (%v)", how, got, err)
				}
				if err := os.RemoveAll(filepath.Join(dir, "node_modules")); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// What roleTexts says makes the real git clone from and push to the usual address of an upstream that wants a
// credential.
func TestTheGitconfigWorksWithGit(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not on this machine")
	}
	where, err := exec.Command(git, "--exec-path").Output()
	backend := filepath.Join(strings.TrimSpace(string(where)), "git-http-backend")
	if _, serr := os.Stat(backend); err != nil || serr != nil {
		t.Skipf("git-http-backend is not on this machine (%v, %v)", err, serr)
	}
	for _, c := range []struct {
		name, base string
		port       bool
	}{{"a host alone", "", false}, {"a port and a base", "/team+1/a(b)", true}} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			server := &cgi.Handler{Path: backend, Root: c.base, Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=agent"}}
			up := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if user, password, _ := r.BasicAuth(); user != "x-access-token" || password != heldBack {
					w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				server.ServeHTTP(w, r)
			}))
			defer up.Close()
			self, declared := "https://example.com", "https://Example.com"
			if c.port {
				self, declared = self+":"+portOf(up), declared+":"+portOf(up)
			}
			route := Route{Path: "/git/up.stream/", Upstream: declared + c.base, AuthScheme: credproxy.SchemeBasic, TokenRef: "TOKEN", Roles: []string{RoleInsteadOf}}
			run := func(home, dir string, args ...string) {
				t.Helper()
				args = append([]string{"-c", "user.name=A", "-c", "user.email=a@example.com"}, args...)
				if out, err := program(t, home, dir, git, args...); err != nil {
					config, _ := os.ReadFile(filepath.Join(home, ".gitconfig"))
					t.Fatalf("git %s: %v\n%s\n%s", strings.Join(args, " "), err, out, config)
				}
			}
			run(root, root, "init", "-q", "--bare", "-b", "main", "repo.git")
			home := proxied(t, up, c.port, route)
			work := filepath.Join(home, "work")
			run(home, home, "clone", "-q", self+c.base+"/repo.git", work)
			run(home, work, "commit", "-q", "--allow-empty", "-m", "by the agent")
			run(home, work, "push", "-q", "origin", "HEAD:main")
			run(home, home, "clone", "-q", declared+c.base+"/repo.git", work+"2")
			if out, err := program(t, home, work+"2", git, "log", "--format=%s"); err != nil || out != "by the agent\n" {
				t.Errorf("the second clone has %q (%v)", out, err)
			}
		})
	}
}

// teaLogin has the fields that tea reads of a login in its config.yml.
type teaLogin struct {
	Name, URL, Token string
	Default          bool
	SSHHost          string `yaml:"ssh_host"`
	SSHKey           string `yaml:"ssh_key"`
	Insecure         bool
	User             string
}

func TestTheLoginsAreInTeasFormat(t *testing.T) {
	route := func(path, upstream string) Route {
		return Route{Path: path, Upstream: upstream, AuthScheme: credproxy.SchemeToken, TokenRef: "TOKEN", Roles: []string{RoleTea, RoleInsteadOf}}
	}
	routes := []Route{route("/gitea/one/", "https://Git.example.com"), route("/gitea-one/", "https://other.example.com:3000/base"), route("/Gitea-One/", "https://[2001:db8::1]/"), route("/0x10/", "https://null.example.com")}
	want := []teaLogin{
		{Name: "gitea-one", URL: "http://cred-proxy:8080/gitea/one", Token: Placeholder, Default: true, SSHHost: "git.example.com"},
		{Name: "gitea-one-2", URL: "http://cred-proxy:8080/gitea-one", Token: Placeholder, SSHHost: "other.example.com"},
		{Name: "Gitea-One-3", URL: "http://cred-proxy:8080/Gitea-One", Token: Placeholder, SSHHost: "2001:db8::1"},
		{Name: "0x10", URL: "http://cred-proxy:8080/0x10", Token: Placeholder, SSHHost: "null.example.com"},
	}
	for n := range len(want) + 1 {
		var got struct{ Logins []teaLogin }
		d := yaml.NewDecoder(bytes.NewReader([]byte(orDefault(roleTexts(routes[:n], nil)[fileTea], "logins: []"))))
		d.KnownFields(true)
		if err := d.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got.Logins) != fmt.Sprint(want[:n]) {
			t.Errorf("tea reads %+v, not %+v", got.Logins, want[:n])
		}
	}
}

func TestWhatTheProgramsAreTold(t *testing.T) {
	all := []string{RoleNPM, RoleInsteadOf, RoleTea}
	of := func(path, upstream string, roles ...string) Route {
		return Route{Path: path, Upstream: upstream, TokenRef: "TOKEN", Roles: roles}
	}
	npmrc := func(path, replace string) string {
		return "registry=http://cred-proxy:8080" + path + "\nreplace-registry-host=" + replace + "\n//cred-proxy:8080" + path + ":_authToken=" + Placeholder + "\n"
	}
	for _, c := range []struct {
		what    string
		file    string
		routes  []Route
		remotes []Remote
		want    string
	}{
		{"no route", ".npmrc", nil, nil, ""},
		{"no route", ".gitconfig", nil, nil, ""},
		{"no route", ".config/tea/config.yml", nil, nil, ""},
		{"a route without a role", ".npmrc", []Route{of("/a/", "https://a.example.com")}, nil, ""},
		{"a port", ".npmrc", []Route{of("/a/", "https://A.example.com:8443/", all...)}, nil, npmrc("/a/", "a.example.com")},
		{"an IPv6 address", ".npmrc", []Route{of("/a/", "https://[2001:DB8::1]:8443", all...)}, nil, npmrc("/a/", "[2001:db8::1]")},
		{"a base", ".npmrc", []Route{of("/a/b/", "https://a.example.com:8443/$x,(y)/'z'", all...)}, nil, npmrc("/a/b/", "https://a.example.com/$x,(y)/'z'/")},
		{"the path of the base", ".npmrc", []Route{of("/a/b/", "https://a.example.com/a/b", all...)}, nil, npmrc("/a/b/", "a.example.com")},
		{"two upstreams", ".gitconfig", []Route{of("/a/", "https://a.example.com", all...), of("/b/", "https://B.example.com:443/base/", all...)}, nil,
			"[url \"http://cred-proxy:8080/a/\"]\n\tinsteadOf = https://a.example.com/\n" +
				"[url \"http://cred-proxy:8080/b/\"]\n\tinsteadOf = https://B.example.com:443/base/\n\tinsteadOf = https://b.example.com/base/\n"},
		{"hosts that git-gate brokers", ".gitconfig", []Route{of("/a/", "https://A.example.com", all...), of("/b/", "https://b.example.com/base", all...), of("/c/", "https://c.example.com", all...), of("/d/", "https://d.example.com", all...)},
			[]Remote{{Upstream: "git@a.example.com:team/repo.git"}, {Upstream: "https://B.example.com/x.git"}, {Upstream: "ssh://git@c.example.com:2222/x.git"}, {Upstream: "git@d.example.com.invalid:x"}},
			"[url \"http://cred-proxy:8080/d/\"]\n\tinsteadOf = https://d.example.com/\n"},
	} {
		got := roleTexts(c.routes, c.remotes)[c.file]
		if c.file == ".gitconfig" {
			got = strings.TrimPrefix(got, remoteConfig(c.remotes))
		}
		if got != c.want {
			t.Errorf("%s: %s is\n%s\nnot\n%s", c.what, c.file, got, c.want)
		}
	}
}

func TestOursAmongTheAgentsLines(t *testing.T) {
	const a, b = "a=1\n", "b=2\n"
	for _, c := range []struct{ file, was, ours, want string }{
		{"", "", a, oursBegins + a + oursEnd},
		{"own=1", "", a, "own=1\n" + oursBegins + a + oursEnd},
		{"own=1\n" + oursBegins + a + oursEnd + "more=2\n", a, b, "own=1\nmore=2\n" + oursBegins + b + oursEnd},
		{"own=1\n" + oursBegins + a + oursEnd, a, "", "own=1\n"},
		{a, a, "", ""},
		{"own=1\n" + a + "more=2\n", a, b, "own=1\nmore=2\n" + oursBegins + b + oursEnd}, // written anew without its comments
		{"own=1\n", a, "", "own=1\n"},
		{oursBegins + "own=1\n", a, "", oursBegins + "own=1\n"},
	} {
		if got := merge(c.file, c.was, c.ours); got != c.want {
			t.Errorf("%q with %q in the place of %q is %q, not %q", c.file, c.ours, c.was, got, c.want)
		}
	}
}
