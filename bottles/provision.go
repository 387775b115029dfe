package bottles

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"bottle-tui/sidecars"
)

// proxyURL is how the agent reaches a route. Its path ends with a slash.
func proxyURL(path string) string {
	return fmt.Sprintf("http://%s:%d%s", RoleCredProxy, sidecars.PortCredProxy, path)
}

// roleEnv is what the roles of routes add to the agent's environment. None of it is a secret.
func roleEnv(routes []Route) []string {
	for _, r := range routes {
		if slices.Contains(r.Roles, RoleBaseURL) {
			return []string{
				"ANTHROPIC_BASE_URL=" + strings.TrimSuffix(proxyURL(r.Path), "/"),
				"ANTHROPIC_AUTH_TOKEN=" + Placeholder,
			}
		}
	}
	return nil
}

// roleFiles are the files that tell the agent's programs of the routes. home is its home directory; remotes are what
// git-gate brokers, which git reaches there and not here. A file is there, if only empty, as soon as a route was
// granted once, so that a route that is taken back is forgotten.
func roleFiles(home string, p Program, routes []Route, remotes []Remote) []File {
	var npm, git, logins strings.Builder
	for _, r := range routes {
		to := proxyURL(r.Path)
		for _, role := range r.Roles {
			switch role {
			case RoleNPM:
				// Packages name their archives by the registry's own host: npm is told to ask the proxy for them.
				fmt.Fprintf(&npm, "registry=%s\nreplace-registry-host=always\n%s:_authToken=%s\n", to, strings.TrimPrefix(to, "http:"), Placeholder)
			case RoleInsteadOf:
				if !brokered(r.Upstream, remotes) {
					fmt.Fprintf(&git, "[url %q]\n\tinsteadOf = %s/\n", to, strings.TrimSuffix(r.Upstream, "/"))
				}
			case RoleTea:
				name := strings.ReplaceAll(strings.Trim(r.Path, "/"), "/", "-")
				// The format is tea's config.yml (modules/config of code.gitea.io/tea); JSON strings are YAML, too.
				fmt.Fprintf(&logins, "- name: %s\n  url: %s\n  token: %s\n  default: %t\n  ssh_host: \"\"\n  ssh_key: \"\"\n  insecure: false\n  user: \"\"\n",
					strconv.Quote(name), strconv.Quote(strings.TrimSuffix(to, "/")), strconv.Quote(Placeholder), logins.Len() == 0)
			}
		}
	}
	tea := "logins: []\n"
	if logins.Len() > 0 {
		tea = "logins:\n" + logins.String()
	}
	file := func(name, content string) File {
		return File{Path: path.Join(home, name), Content: []byte(content), Mode: 0o600, UID: p.UID, GID: p.GID}
	}
	return []File{file(".npmrc", npm.String()), file(".gitconfig", git.String()), file(".config/tea/config.yml", tea)}
}

// brokered says whether git-gate brokers a remote on the host of an upstream.
func brokered(upstream string, remotes []Remote) bool {
	u, err := url.Parse(upstream)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(remotes, func(r Remote) bool { return strings.EqualFold(remoteHost(r.Upstream), u.Hostname()) })
}

// remoteHost is the host of a git URL: https://host/…, ssh://user@host/… or user@host:path.
func remoteHost(remote string) string {
	if u, err := url.Parse(remote); err == nil && u.Host != "" {
		return u.Hostname()
	}
	_, rest, found := strings.Cut(remote, "@")
	if !found {
		rest = remote
	}
	host, _, _ := strings.Cut(rest, ":")
	return host
}

// userHome is the home directory of the agent's user: what holds Program.Home.
func (p Program) userHome() string { return path.Dir(p.Home) }

// currentFiles are the three configurations in force, as the agent sees them. Root owns them; the agent is not root.
func currentFiles(l layout) []File {
	file := func(name, content string) File {
		return File{Path: path.Join(sidecars.CurrentConfigDir, name), Content: []byte(content), Mode: 0o444}
	}
	return []File{
		file(fileDockerfile, string(l.source)),
		file(fileAllow, l.force.allow),
		file(fileRoutes, routesText(l.force.routes)),
	}
}

// agentFiles are all files that an agent container is given. fresh says that the volume of its home is new.
func agentFiles(l layout, fresh bool) []File {
	files := currentFiles(l)
	if l.hadRoutes || len(l.force.routes) > 0 {
		files = append(files, roleFiles(l.profile.Program.userHome(), l.profile.Program, l.force.routes, l.profile.Git)...)
	}
	for _, f := range l.profile.Files {
		if !f.Once || fresh {
			files = append(files, f)
		}
	}
	return files
}

// archiveOf is files as a tar to be unpacked at the root of an agent container. The directories on the way to a file
// are made with its owner where they lie in the home directory, and are root's elsewhere.
func archiveOf(p Program, files []File, dirs ...string) io.Reader {
	var b bytes.Buffer
	w := tar.NewWriter(&b) // a Buffer does not fail
	made := map[string]bool{}
	var dir func(d string)
	dir = func(d string) {
		if d == "/" || d == "." || path.Dir(d) == "/" && d != Workspace || made[d] {
			return // what every image has
		}
		dir(path.Dir(d))
		made[d] = true
		h := &tar.Header{Typeflag: tar.TypeDir, Name: d[1:] + "/", Mode: 0o755}
		if home := p.userHome(); d == home || strings.HasPrefix(d, home+"/") || d == Workspace {
			h.Uid, h.Gid = p.UID, p.GID
		}
		_ = w.WriteHeader(h)
	}
	for _, d := range dirs {
		dir(path.Clean(d))
	}
	for _, f := range files {
		dir(path.Dir(f.Path))
		_ = w.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: f.Path[1:], Mode: int64(f.Mode & fs.ModePerm), Size: int64(len(f.Content)), Uid: f.UID, Gid: f.GID,
		})
		_, _ = w.Write(f.Content)
	}
	_ = w.Close()
	return &b
}
