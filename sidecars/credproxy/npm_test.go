package credproxy_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bottle-tui/ui/scenario/ci"
)

// tarball is a package as npm packs it.
func tarball(t *testing.T, name string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for file, content := range map[string]string{
		"package/package.json": fmt.Sprintf(`{"name":%q,"version":"1.0.0","main":"index.js"}`, name),
		"package/index.js":     "module.exports = 'brought by cred-proxy'\n",
	} {
		w.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(content))})
		io.WriteString(w, content)
	}
	w.Close()
	z.Close()
	return b.Bytes()
}

// registry is an upstream that gives packages to whoever brings the token. Its metadata names its own host for
// the tarballs, as registries do.
type registry struct {
	url   string
	base  string
	packs map[string][]byte
}

func (g *registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+secret {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	path := strings.TrimPrefix(r.URL.EscapedPath(), g.base)
	if name, ok := strings.CutSuffix(path, "/-/pack-1.0.0.tgz"); ok {
		if name, err := url.PathUnescape(name[1:]); err == nil && g.packs[name] != nil {
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Write(g.packs[name])
			return
		}
	}
	name, _ := url.PathUnescape(path[min(1, len(path)):])
	pack := g.packs[name]
	if pack == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	sum := sha512.Sum512(pack)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"name": name, "dist-tags": map[string]string{"latest": "1.0.0"},
		"versions": map[string]any{"1.0.0": map[string]any{
			"name": name, "version": "1.0.0", "description": "a tiny package", "main": "index.js",
			"dist": map[string]string{
				"tarball":   g.url + g.base + "/" + name + "/-/pack-1.0.0.tgz",
				"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:]),
			},
		}},
	})
}

// The real npm client, which holds a placeholder only, sees and installs packages of a registry that wants a
// token; also scoped ones, whose name has an encoded slash.
func TestNPM(t *testing.T) {
	npm := ci.NPM(t, "")
	for _, c := range []struct{ name, path, base, replace string }{
		{"an upstream without a base", "/npm/", "", "upstream.invalid"},
		{"a route with the path of its upstream's base", "/repository/npm/", "/repository/npm", "upstream.invalid"},
		{"a route with another path", "/npm/", "/repository/npm", "https://upstream.invalid/repository/npm/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			base := c.base
			g := &registry{base: base, packs: map[string][]byte{"tiny-pack": tarball(t, "tiny-pack"), "@scope/pack": tarball(t, "@scope/pack")}}
			up, ca := secure(t, true, g.ServeHTTP)
			// What the agent can't reach directly, as in a bottle: the host in the metadata is not resolved.
			g.url = "https://upstream.invalid"
			conf := config(route(c.path, up.URL+base))
			conf.CA = ca
			p := start(t, conf)
			home := t.TempDir()
			at := p.url + c.path
			write(t, filepath.Join(home, ".npmrc"), fmt.Sprintf("registry=%s\n%s:_authToken=claude-bottle-placeholder\nreplace-registry-host=%s\n",
				at, strings.TrimPrefix(at, "http:"), c.replace))
			write(t, filepath.Join(home, "project", "package.json"), `{"name":"project","version":"0.0.0","private":true}`)
			run := func(args ...string) string {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				cmd := exec.CommandContext(ctx, npm, append(args, "--loglevel=http", "--no-audit", "--no-fund", "--fetch-retries=0", "--no-update-notifier")...)
				cmd.Dir = filepath.Join(home, "project")
				cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "npm_config_cache=" + filepath.Join(home, "cache")}
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Errorf("npm %s: %v\n%s", strings.Join(args, " "), err, out)
				}
				return string(out)
			}
			if out := run("view", "tiny-pack", "description"); !strings.Contains(out, "a tiny package") {
				t.Errorf("npm view: %s", out)
			}
			run("install", "tiny-pack", "@scope/pack")
			for _, name := range []string{"tiny-pack", "@scope/pack"} {
				if b, err := os.ReadFile(filepath.Join(home, "project", "node_modules", name, "index.js")); err != nil || !strings.Contains(string(b), "brought by cred-proxy") {
					t.Errorf("%s: %q, %v", name, b, err)
				}
			}
			os.RemoveAll(filepath.Join(home, "project", "node_modules"))
			os.RemoveAll(filepath.Join(home, "cache"))
			run("ci") // from the lock file, which names the upstream's own host
			if c.path == c.base+"/" {
				run("pack", "tiny-pack") // of the others npm keeps the tarball's path without the route's
			}
		})
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
