package gitgate

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"bottle-tui/sidecars"
	"bottle-tui/state"

	"golang.org/x/crypto/ssh"
)

// Config is git-gate's configuration file, as JSON. Unknown fields are refused. It holds no key and no token, only
// the names under which they come.
type Config struct {
	Identity string   `json:"identity"` // the bottle
	Remotes  []Remote `json:"remotes"`
	// CA are further certificates, as PEM, that https upstreams may present or be signed by. The usual public
	// ones hold as well.
	CA string `json:"ca,omitempty"`
}

// Remote is one repository that the agent may fetch from and push to.
type Remote struct {
	Name     string `json:"name"`     // what the agent's addresses name it by, see CheckName
	Upstream string `json:"upstream"` // see CheckUpstream
	// Secret is the public name under which the private key (ssh) or the token (https) comes. Only an https
	// upstream that asks for none may leave it out.
	Secret    string `json:"secret,omitempty"`
	KnownHost string `json:"known_host,omitempty"` // the host's public key as known_hosts has it; for ssh alone
	// AllowRefs are the refs that may be pushed, with a * at the end of a pattern alone. Missing: those of
	// DefaultAllowRefs. Empty: none, the remote can only be fetched from.
	AllowRefs []string `json:"allow_refs"`
	// AllowPushOptions are the options of a push (git push -o) that go on to the upstream, each "key" or "key=value",
	// with a * at the end of a pattern alone. Empty: none, since servers act on them past what a ref may be.
	AllowPushOptions []string `json:"allow_push_options,omitempty"`

	AllowForce bool  `json:"allow_force,omitempty"` // whether a push may rewrite or delete what is there
	Approve    bool  `json:"approve,omitempty"`     // whether each push waits for the operator
	MaxPush    int64 `json:"max_push,omitempty"`    // bytes of a push as it comes; default DefaultMaxPush
	MaxObject  int64 `json:"max_object,omitempty"`  // bytes of one file or other object; default DefaultMaxObject
}

// DefaultAllowRefs is what may be pushed where a remote says nothing: every branch.
func DefaultAllowRefs() []string { return []string{"refs/heads/*"} }

// Sizes of a push where a remote says nothing, and the most that it may say.
const (
	DefaultMaxPush   = 512 << 20
	DefaultMaxObject = 128 << 20
	LimitMaxPush     = 4 << 30
	LimitMaxObject   = 1 << 30
)

// Bounds on a configuration.
const (
	MaxRemotes = 64
	MaxRefs    = 64      // patterns of a remote
	MaxOptions = 64      // patterns of push options of a remote
	maxCA      = 1 << 20 // bytes
	maxText    = 4096    // bytes of an upstream or a host key
	maxPattern = 512     // bytes of a pattern of push options
)

// Encode is the configuration as the file that Run reads, with its defaults written out. It fails as Check does.
func (c Config) Encode() ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	c.Remotes = append([]Remote{}, c.Remotes...)
	for i, r := range c.Remotes {
		c.Remotes[i] = r.whole()
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode git-gate's configuration: %w", err)
	}
	return append(b, '\n'), nil
}

// Check reports the first thing that is wrong with the configuration, with what to write instead.
func (c Config) Check() error {
	_, err := newTable(c)
	return err
}

// whole is the remote with its defaults.
func (r Remote) whole() Remote {
	if r.AllowRefs == nil {
		r.AllowRefs = DefaultAllowRefs()
	}
	if r.MaxPush == 0 {
		r.MaxPush = DefaultMaxPush
	}
	if r.MaxObject == 0 {
		r.MaxObject = DefaultMaxObject
	}
	return r
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// CheckName says what is wrong with the name of a remote: it is of letters, digits, ".", "_" and "-", begins with
// a letter or digit, and does not end in ".git".
func CheckName(name string) error {
	if !nameForm.MatchString(name) || strings.Contains(name, "..") || strings.HasSuffix(name, ".git") {
		return fmt.Errorf(`the name %.120q is none of a remote: write letters, digits, ".", "_" and "-", beginning with a letter or digit, without ".git"`, name)
	}
	return nil
}

// CheckRef says what is wrong with a pattern of refs: it begins with "refs/", and a "*" stands only at its end.
func CheckRef(pattern string) error {
	if bare := strings.TrimSuffix(pattern, "*"); !strings.HasPrefix(bare, "refs/") || !validRef(strings.TrimSuffix(bare, "/")+"/x") {
		return fmt.Errorf(`%.200q is no pattern of refs: write it as in "refs/heads/agent/*"`, pattern)
	}
	return nil
}

// CheckPushOption says what is wrong with a pattern of push options: it is "key" or "key=value" without control
// characters, and a "*" stands only at its end.
func CheckPushOption(pattern string) error {
	bare := strings.TrimSuffix(pattern, "*")
	if pattern == "" || len(pattern) > maxPattern || !validOption(pattern) || strings.Contains(bare, "*") || strings.HasPrefix(pattern, "=") || strings.TrimSpace(pattern) != pattern {
		return fmt.Errorf(`%.200q is no pattern of push options: write it as in "ci.skip" or "ci.variable=*"`, pattern)
	}
	return nil
}

// validOption says whether a push option is plain text.
func validOption(option string) bool {
	return utf8.ValidString(option) && !strings.ContainsFunc(option, unicode.IsControl)
}

// validRef holds a full ref name to what git-check-ref-format(1) says.
func validRef(ref string) bool {
	if len(ref) > maxRefName || !strings.HasPrefix(ref, "refs/") || strings.ContainsAny(ref, " ~^:?*[\\\x7f") ||
		strings.Contains(ref, "..") || strings.Contains(ref, "@{") || strings.HasSuffix(ref, ".") {
		return false
	}
	for i := range len(ref) {
		if ref[i] < ' ' {
			return false
		}
	}
	parts := strings.Split(ref, "/")
	for _, p := range parts {
		if p == "" || strings.HasPrefix(p, ".") || strings.HasSuffix(p, ".lock") {
			return false
		}
	}
	return len(parts) > 2
}

// allows says whether ref is in one of the remote's patterns.
func (r *remote) allows(ref string) bool { return matches(r.AllowRefs, ref) }

func matches(patterns []string, s string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		return s == pattern || open && strings.HasPrefix(s, prefix) && len(s) > len(prefix)
	})
}

// table is a Config made ready for questions. It is never changed.
type table struct {
	hash    string
	remotes map[string]*remote
	ca      string
}

// remote is a Remote made ready.
type remote struct {
	Remote
	to  upstream
	key ssh.PublicKey // of the host; nil for https
}

// same says whether nothing differs that concerns a connection which is open.
func (r *remote) same(o *remote) bool {
	return o != nil && r.to == o.to && r.Secret == o.Secret && r.KnownHost == o.KnownHost
}

func newTable(c Config) (*table, error) {
	if !state.ValidIdentity(c.Identity) {
		return nil, fmt.Errorf("git-gate's configuration: %q is not the identity of a bottle", c.Identity)
	}
	if len(c.Remotes) > MaxRemotes {
		return nil, fmt.Errorf("git-gate's configuration has more than %d remotes", MaxRemotes)
	}
	t := &table{ca: c.CA, remotes: map[string]*remote{}}
	for i, r := range c.Remotes {
		made, err := newRemote(r)
		if err == nil && t.remotes[r.Name] != nil {
			err = fmt.Errorf("the name %q is that of another remote, too", r.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("remote %d: %w", i+1, err)
		}
		t.remotes[r.Name] = made
	}
	if len(c.CA) > maxCA {
		return nil, fmt.Errorf("ca is larger than %d bytes", maxCA)
	}
	if c.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(c.CA)) {
		return nil, errors.New("ca holds no certificate: write it as PEM, as the file that begins with -----BEGIN CERTIFICATE-----")
	}
	return t, nil
}

func newRemote(r Remote) (*remote, error) {
	if err := CheckName(r.Name); err != nil {
		return nil, err
	}
	to, err := parseUpstream(r.Upstream)
	if err != nil {
		return nil, err
	}
	made := &remote{Remote: r.whole(), to: to}
	switch {
	case to.ssh && r.Secret == "":
		return nil, errors.New("an ssh upstream needs a secret: the name under which its private key comes")
	case to.ssh && r.KnownHost == "":
		return nil, errors.New(`an ssh upstream needs known_host: what ssh-keyscan prints for the host, such as "ssh-ed25519 AAAA…"`)
	case !to.ssh && r.KnownHost != "":
		return nil, errors.New("an https upstream has no use for known_host: its certificate is checked")
	}
	if r.Secret != "" {
		if err := sidecars.CheckToken(r.Secret); err != nil {
			return nil, err
		}
	}
	if to.ssh {
		if made.key, err = parseKnownHost(r.KnownHost); err != nil {
			return nil, err
		}
	}
	if len(r.AllowRefs) > MaxRefs {
		return nil, fmt.Errorf("it has more than %d patterns of refs", MaxRefs)
	}
	for _, p := range r.AllowRefs {
		if err := CheckRef(p); err != nil {
			return nil, err
		}
	}
	if len(r.AllowPushOptions) > MaxOptions {
		return nil, fmt.Errorf("it has more than %d patterns of push options", MaxOptions)
	}
	for _, p := range r.AllowPushOptions {
		if err := CheckPushOption(p); err != nil {
			return nil, err
		}
	}
	if made.MaxPush < 1 || made.MaxPush > LimitMaxPush {
		return nil, fmt.Errorf("max_push is %d: write 1 to %d bytes", r.MaxPush, int64(LimitMaxPush))
	}
	if made.MaxObject < 1 || made.MaxObject > LimitMaxObject {
		return nil, fmt.Errorf("max_object is %d: write 1 to %d bytes", r.MaxObject, int64(LimitMaxObject))
	}
	return made, nil
}

// CheckKnownHost says what is wrong with a host key: it is what ssh-keyscan prints for the host.
func CheckKnownHost(s string) error {
	_, err := parseKnownHost(s)
	return err
}

// parseKnownHost reads a host key as sshd(8) has it in known_hosts, with or without the host in front.
func parseKnownHost(s string) (ssh.PublicKey, error) {
	fields := strings.Fields(s)
	for i := 0; i+1 < len(fields) && i < 2 && len(s) <= maxText && !strings.ContainsAny(s, "\r\n"); i++ {
		raw, err := base64.StdEncoding.DecodeString(fields[i+1])
		if err != nil {
			continue
		}
		if key, err := ssh.ParsePublicKey(raw); err == nil && key.Type() == fields[i] {
			return key, nil
		}
	}
	return nil, errors.New(`known_host holds no host key that is understood; write what ssh-keyscan prints for the host, such as "ssh-ed25519 AAAA…"`)
}

// missing is what the table's remotes need and have denies; nil: nothing.
func (t *table) missing(have func(name string) bool) error {
	var names []string
	for _, r := range t.remotes {
		if r.Secret != "" && !have(r.Secret) && !slices.Contains(names, r.Secret) {
			names = append(names, r.Secret)
		}
	}
	if names == nil {
		return nil
	}
	slices.Sort(names)
	return errors.New("no value has come yet for the secret " + strings.Join(names, " and "))
}

func parseTable(content []byte) (*table, error) {
	var c Config
	if err := sidecars.DecodeConfig(content, &c); err != nil {
		return nil, err
	}
	t, err := newTable(c)
	if err != nil {
		return nil, err
	}
	t.hash = sidecars.Hash(content)
	return t, nil
}
