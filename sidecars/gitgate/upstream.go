package gitgate

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"bottle-tui/sidecars"
)

// host is git-gate's name in the bottle.
const host = "git-gate"

// upstream is a remote's address in the one form that everything here uses.
type upstream struct {
	ssh      bool
	user     string // of ssh
	host     string // lower case, without brackets
	port     int
	path     string // https: as in the URL, without a slash at the end; ssh: what the command names
	loopback bool   // it was declared as an address of loopback, or localhost
}

// authority is host and port, the port left out where it is the usual one.
func (u upstream) authority() string {
	h := u.host
	if strings.Contains(h, ":") {
		h = "[" + h + "]"
	}
	if u.ssh && u.port == 22 || !u.ssh && u.port == 443 {
		return h
	}
	return h + ":" + strconv.Itoa(u.port)
}

func (u upstream) url() string { return "https://" + u.authority() + u.path }

// dialName is how a transport names whom it wants to dial.
func (u upstream) dialName() string { return net.JoinHostPort(u.host, strconv.Itoa(u.port)) }

// CheckUpstream says what is wrong with a remote's upstream: it is https://host[:port]/path,
// ssh://[user@]host[:port]/path or [user@]host:path.
func CheckUpstream(s string) error {
	_, err := parseUpstream(s)
	return err
}

var (
	scpForm  = regexp.MustCompile(`^(?:([A-Za-z0-9._-]+)@)?([A-Za-z0-9.-]+):([^:]+)$`)
	userForm = regexp.MustCompile(`^[A-Za-z0-9._][A-Za-z0-9._-]{0,63}$`)
	hostForm = regexp.MustCompile(`^[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?$`)
	// pathForm leaves out what a shell on the upstream's side could read as more than a path.
	pathForm = regexp.MustCompile(`^[A-Za-z0-9._~@:+,=%/ -]+$`)
)

func parseUpstream(s string) (upstream, error) {
	wrong := func(format string, a ...any) (upstream, error) {
		return upstream{}, fmt.Errorf("the upstream %s", fmt.Sprintf(format, a...)) // it may hold a credential: it is not quoted
	}
	if s == "" || len(s) > maxText {
		return wrong(`is missing or too long: write it as in "ssh://git@host/owner/name.git" or "https://host/owner/name.git"`)
	}
	u := upstream{ssh: true, user: "git", port: 22}
	if !strings.Contains(s, "://") {
		m := scpForm.FindStringSubmatch(s)
		if m == nil {
			return wrong(`is not the address of a repository: write it as in "ssh://git@host/owner/name.git" or "https://host/owner/name.git"`)
		}
		if m[1] != "" {
			u.user = m[1]
		}
		u.host, u.path = strings.ToLower(m[2]), m[3]
	} else {
		p, err := url.Parse(s)
		if err != nil {
			return wrong("is not the address of a repository")
		}
		switch _, password := p.User.Password(); {
		case p.Scheme != "ssh" && p.Scheme != "https":
			return wrong(`begins with neither "ssh://" nor "https://"`)
		case password || p.Scheme == "https" && p.User != nil:
			return wrong("holds a credential, which comes in another way: take it out")
		case p.RawQuery != "" || p.Fragment != "" || p.ForceQuery:
			return wrong("has a query or a fragment, which no repository has")
		case p.Scheme == "https":
			u = upstream{port: 443, path: strings.TrimRight(p.EscapedPath(), "/")}
		case p.User != nil:
			u.user = p.User.Username()
		}
		u.host = strings.ToLower(p.Hostname())
		if u.ssh {
			if u.path = p.Path; strings.HasPrefix(u.path, "/~") {
				u.path = u.path[1:]
			}
		}
		if p.Port() != "" {
			n, err := strconv.Atoi(p.Port())
			if err != nil || n < 1 || n > 65535 {
				return wrong("has the port %.20q: write 1 to 65535", p.Port())
			}
			u.port = n
		}
	}
	a, err := netip.ParseAddr(u.host)
	if (err != nil || a.Zone() != "") && !hostForm.MatchString(u.host) {
		return wrong("has no host that can be reached")
	}
	if err == nil {
		u.host = a.String()
	}
	if u.ssh && !userForm.MatchString(u.user) {
		return wrong("has a user that ssh would not take")
	}
	if strings.Trim(u.path, "/") == "" || !pathForm.MatchString(u.path) || strings.HasPrefix(u.path, "-") {
		return wrong("has a path with more than letters, digits and plain punctuation, or none")
	}
	for part := range strings.SplitSeq(u.path, "/") {
		if part == ".." || part == "." {
			return wrong("has a dot segment in its path")
		}
	}
	u.loopback = u.host == "localhost" || err == nil && a.IsLoopback()
	return u, nil
}

// Address is where the agent finds the remote in its bottle.
func (r Remote) Address() (string, error) {
	u, err := parseUpstream(r.Upstream)
	if err != nil {
		return "", err
	}
	if u.ssh {
		return "git://" + host + "/" + r.Name, nil
	}
	return fmt.Sprintf("http://%s:%d/%s", host, sidecars.PortGitGateHTTP, r.Name), nil
}

// UsualAddresses are the forms in which people write the remote's upstream: those that git is told to replace
// with Address. The ones with ".git" come first.
func (r Remote) UsualAddresses() ([]string, error) {
	u, err := parseUpstream(r.Upstream)
	if err != nil {
		return nil, err
	}
	bare := strings.TrimSuffix(u.path, ".git")
	var forms []string
	add := func(prefix string) {
		forms = append(forms, prefix+bare+".git", prefix+bare)
	}
	if !u.ssh {
		add("https://" + u.authority())
	} else {
		slash := "/"
		if strings.HasPrefix(bare, "/") {
			slash = ""
		}
		add("ssh://" + u.user + "@" + u.authority() + slash)
		if u.port == 22 {
			if slash == "" && !strings.HasPrefix(r.Upstream, "ssh://") {
				add(u.user + "@" + u.host + ":") // an absolute path
			} else {
				bare = strings.TrimPrefix(bare, "/")
				add(u.user + "@" + u.host + ":")
			}
		}
	}
	if r.Upstream != "" && !strings.HasSuffix(r.Upstream, "/") && forms[0] != r.Upstream && forms[1] != r.Upstream {
		forms = append(forms, r.Upstream)
	}
	return forms, nil
}

// otherAddresses are the forms of the other protocol in which people write the upstream as well.
func (u upstream) otherAddresses() []string {
	bare := strings.TrimPrefix(strings.TrimSuffix(u.path, ".git"), "/")
	if strings.HasPrefix(bare, "~") || u.ssh && u.port != 22 || !u.ssh && u.port != 443 {
		return nil
	}
	prefixes := []string{"https://" + u.authority() + "/"}
	if !u.ssh {
		prefixes = []string{"ssh://git@" + u.authority() + "/", "git@" + u.host + ":"}
	}
	var forms []string
	for _, p := range prefixes {
		forms = append(forms, p+bare+".git", p+bare)
	}
	return forms
}

// GitConfig is what a bottle's ~/.gitconfig needs, so that git goes to the gate where people write a remote's
// usual address. git puts what it is told in the place of the longest beginning of an address that it knows, and
// leaves the rest: with a slash between them, the rest of another repository's address leads nowhere, and never to
// another remote. Where two remotes have the same address, it is the first one's.
func GitConfig(remotes []Remote) (string, error) {
	var b strings.Builder
	var errs []error
	claimed := map[string]bool{}
	mine := func(forms []string) []string {
		return slices.DeleteFunc(forms, func(f string) bool {
			if claimed[f] {
				return true
			}
			claimed[f] = true
			return false
		})
	}
	forms := make([][]string, len(remotes))
	for i, r := range remotes {
		usual, err := r.UsualAddresses()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		forms[i] = mine(usual)
	}
	for i, r := range remotes {
		to, err := parseUpstream(r.Upstream)
		if err != nil {
			continue
		}
		address, err := r.Address()
		if err != nil {
			continue
		}
		forms[i] = append(forms[i], mine(to.otherAddresses())...)
		if len(forms[i]) > 0 {
			fmt.Fprintf(&b, "[url %q]\n", address+"/")
		}
		for _, f := range forms[i] {
			fmt.Fprintf(&b, "\tinsteadOf = %q\n", f)
		}
	}
	return b.String(), errors.Join(errs...)
}

// nowhere says why there is nothing at a path of git-gate's, and what to do.
func (s *server) nowhere(path, example string) (reason, hint string) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if t := s.traffic.table(); rest != "" && t != nil && t.remotes[name] != nil {
		return "there is nothing at this address, which only begins as that of the remote " + name + " does",
			"It is another repository. The operator can declare it under git in the manifest."
	}
	return "there is nothing at this address", "Addresses here are those of git repositories, such as " + example + "."
}
