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
	"time"

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

// roleTexts are what tells the agent's programs of the routes, by the file of its home that it belongs into; "" where
// there is nothing to tell. remotes are what git-gate brokers, which git reaches there and not here.
func roleTexts(routes []Route, remotes []Remote) map[string]string {
	var npm, git, logins strings.Builder
	git.WriteString(remoteConfig(remotes))
	names := map[string]bool{}
	for _, r := range routes {
		to := proxyURL(r.Path)
		for _, role := range r.Roles {
			switch role {
			case RoleNPM:
				fmt.Fprintf(&npm, "registry=%s\nreplace-registry-host=%s\n%s:_authToken=%s\n", to, replacedHost(r), strings.TrimPrefix(to, "http:"), Placeholder)
			case RoleInsteadOf:
				if !brokered(r.Upstream, remotes) {
					fmt.Fprintf(&git, "[url %q]\n", to)
					for _, prefix := range spellings(r.Upstream) {
						fmt.Fprintf(&git, "\tinsteadOf = %s\n", prefix)
					}
				}
			case RoleTea:
				// The format is tea's config.yml (modules/config of code.gitea.io/tea); what Quote makes of these is YAML, too.
				// By ssh_host tea knows which login a remote such as git@host:… belongs to.
				fmt.Fprintf(&logins, "- name: %s\n  url: %s\n  token: %s\n  default: %t\n  ssh_host: %s\n  ssh_key: \"\"\n  insecure: false\n  user: \"\"\n",
					strconv.Quote(loginName(r.Path, names)), strconv.Quote(strings.TrimSuffix(to, "/")), strconv.Quote(Placeholder), logins.Len() == 0,
					strconv.Quote(strings.ToLower(remoteHost(r.Upstream))))
			}
		}
	}
	tea := ""
	if logins.Len() > 0 {
		tea = "logins:\n" + logins.String()
	}
	return map[string]string{fileNPM: npm.String(), fileGit: git.String(), fileTea: tea}
}

// replacedHost is npm's replace-registry-host for a route: packages name their archives by the registry's own host, and
// npm is told to ask the proxy for those. It compares a bare host, which it knows without its port, and puts the route's
// path in front of the archive's when it is not there; of an address, which npm knows since version 11, it exchanges the
// base, too. "always" would leave out the route's path.
func replacedHost(r Route) string {
	u, err := url.Parse(r.Upstream)
	if err != nil {
		return "never" // no such route gets so far
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	base := strings.TrimSuffix(u.EscapedPath(), "/") + "/"
	if base == "/" || base == r.Path {
		return host
	}
	return u.Scheme + "://" + host + base
}

// spellings are the beginnings of the addresses below an upstream: as it was declared, and as one usually writes it.
func spellings(upstream string) []string {
	declared := strings.TrimSuffix(upstream, "/") + "/"
	u, err := url.Parse(declared)
	if err != nil {
		return []string{declared}
	}
	host := strings.ToLower(u.Host)
	for scheme, port := range map[string]string{"https": ":443", "http": ":80"} {
		if u.Scheme == scheme {
			host = strings.TrimSuffix(host, port)
		}
	}
	if usual := u.Scheme + "://" + host + u.EscapedPath(); usual != declared {
		return []string{declared, usual}
	}
	return []string{declared}
}

// loginName names a login after its route. tea tells names apart without regard to case; taken are those that are given.
func loginName(path string, taken map[string]bool) string {
	base := strings.ReplaceAll(strings.Trim(path, "/"), "/", "-")
	name := base
	for n := 2; taken[strings.ToLower(name)]; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	taken[strings.ToLower(name)] = true
	return name
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

// archiveOf is files as a tar to be unpacked at the root of an agent container. The directories on the way to a file
// are made with its owner where they lie in the home directory, and are root's elsewhere. at is when the files were written.
func archiveOf(p Program, at time.Time, files []File, dirs ...string) io.Reader {
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
			ModTime: at, Format: tar.FormatPAX, // with its nanoseconds
		})
		_, _ = w.Write(f.Content)
	}
	_ = w.Close()
	return &b
}
