package manifest

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/distribution/reference"

	"bottle-tui/bottles"
	"bottle-tui/bottles/claudecode"
	"bottle-tui/sidecars/credproxy"
	"bottle-tui/sidecars/egress"
	"bottle-tui/sidecars/gitgate"
	"bottle-tui/state"
)

// What keeps the allowlist.
const (
	EngineBuiltin  = "builtin"
	EnginePipelock = "pipelock"
)

// Processes and threads of an agent container: fewer can't run Claude Code, more is no limit.
const (
	minPids = 16
	maxPids = 1 << 20
)

// Memory of an agent container, in bytes: below the least Claude Code does not start.
const (
	minMemory = 64 << 20
	maxMemory = 1 << 50
)

// kind is a form that texts of the manifest have.
type kind struct {
	words   []string            // the texts that it can be; nil for any
	pattern string              // what editors are told of the form, for the JSON Schema
	check   func(string) string // what is wrong with a text and what to write instead, or ""
}

func (k kind) wrong(s string) string {
	if k.words != nil && !slices.Contains(k.words, s) {
		return fmt.Sprintf("%s is not known; %s", quoted(s), instead(s, k.words))
	}
	if k.check != nil {
		return k.check(s)
	}
	return ""
}

// kinds are the forms, by the name in the tag "kind" (or "names", for names of members).
var kinds = map[string]kind{
	"":                {},
	"name":            {pattern: `^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$`, check: checkName},
	"env":             {pattern: `^[A-Za-z_][A-Za-z0-9_]*$`, check: checkEnvName},
	"value":           {check: checkText},
	"prompt":          {check: checkText},
	"argument":        {check: checkText},
	"model":           {pattern: `^[^\s-]\S*$`, check: checkModel},
	"mcp_server":      {pattern: `^[A-Za-z0-9_-]{1,64}$`, check: func(s string) string { return ownWords(claudecode.CheckServerName(s)) }},
	"build_network":   {words: []string{"none", "default", "host"}},
	"session":         {words: []string{SessionsOfClaude}},
	"engine":          {words: []string{EngineBuiltin, EnginePipelock}},
	"auth_scheme":     {words: credproxy.Schemes()},
	"role":            {words: []string{bottles.RoleBaseURL, bottles.RoleNPM, bottles.RoleInsteadOf, bottles.RoleTea}},
	"host":            {pattern: `^(\*\.)?[^\s/@?#*]+$`, check: checkHost},
	"reference":       {pattern: `^[^\s/]+(/[^\s/]+)*$`, check: checkReference},
	"base":            {pattern: `^[A-Za-z0-9][^\s/]*(/[^\s/]+)*$`, check: checkBase},
	"file":            {pattern: `[^/]`, check: checkFile},
	"path":            {pattern: `^/([A-Za-z0-9._-]+/)+$`, check: checkPath},
	"upstream":        {pattern: `^https?://[^/?#@]+(/[^?#]*)?$`, check: checkUpstream},
	"token_ref":       {pattern: `^([A-Za-z_][A-Za-z0-9_]*|file:(/|~/).+|cmd:.+)$`, check: checkRef},
	"remote":          {pattern: `^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`, check: checkRemote},
	"remote_upstream": {pattern: `^[^\s?#]+[:/][^\s?#]+$`, check: checkRemoteUpstream},
	"known_host":      {check: checkKnownHost},
	"ref":             {pattern: `^refs/[^*]*\*?$`, check: checkRefPattern},
	"push_option":     {pattern: `^[^=*][^*]*\*?$`, check: func(s string) string { return ownWords(gitgate.CheckPushOption(s)) }},
	"skill":           {pattern: `[^/]`, check: checkSkill},
	"git_user":        {pattern: `^[^<>\x00-\x1f\x7f]{1,256}$`, check: checkGitUser},
}

var (
	nameForm    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$`)
	envForm     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	remoteForm  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	segmentForm = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
)

func checkName(s string) string {
	if nameForm.MatchString(s) {
		return ""
	}
	return fmt.Sprintf("the name %s is not one: write up to 40 letters, digits, dots, dashes and underscores, beginning with a letter or digit, such as %s",
		quoted(s), quoted(state.Slug(s)))
}

func checkEnvName(s string) string {
	if envForm.MatchString(s) {
		return ""
	}
	return fmt.Sprintf("%s is no name of an environment variable: write letters, digits and underscores, not beginning with a digit", quoted(s))
}

func checkText(s string) string {
	if strings.ContainsRune(s, 0) {
		return "a NUL character can't be handed to a program; take it out"
	}
	return ""
}

func checkModel(s string) string {
	if s == "" || strings.HasPrefix(s, "-") || strings.ContainsFunc(s, unicode.IsSpace) || hasControl(s) {
		return quoted(s) + " is no name of a model; write it as Claude Code's --model takes it, such as \"opus\""
	}
	return ""
}

func checkGitUser(s string) string {
	if s == "" || len(s) > 256 || strings.ContainsAny(s, "<>") || hasControl(s) {
		return quoted(s) + " can't be in a commit: write up to 256 bytes in one line, without < and >"
	}
	return ""
}

func checkFile(s string) string {
	if strings.Trim(s, "/.") == "" || hasControl(s) {
		return quoted(s) + " is not the path of a file"
	}
	return ""
}

func checkSkill(s string) string {
	if strings.Contains(s, "/") {
		if strings.Trim(s, "/.~") == "" || hasControl(s) {
			return quoted(s) + " is not the directory of a skill"
		}
		return ""
	}
	if !remoteForm.MatchString(s) {
		return fmt.Sprintf("%s is no name of a skill: write the name of a directory in ~/.claude/skills, or a path with a slash", quoted(s))
	}
	return ""
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7F })
}

func checkHost(s string) string {
	_, err := egress.ParseRule(s)
	if err == nil && strings.TrimSpace(s) == s {
		for label := range strings.SplitSeq(strings.TrimPrefix(strings.Split(s, ":")[0], "*."), ".") {
			if strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
				return quoted(s) + " is not a host: no part of a name begins or ends with a dash"
			}
		}
		return ""
	}
	if err == nil {
		return fmt.Sprintf("%s has blanks around it; write %s", quoted(s), quoted(strings.TrimSpace(s)))
	}
	// Whoever pasted an address means its host.
	if u, urlErr := url.Parse(strings.TrimSpace(s)); urlErr == nil && u.Host != "" {
		if rule, ruleErr := egress.ParseRule(u.Host); ruleErr == nil {
			return fmt.Sprintf("%s is not a host; write %s", quoted(s), quoted(rule.String()))
		}
	}
	_, text, _ := strings.Cut(err.Error(), strconv.Quote(s)+": ")
	if text == "" {
		text = err.Error()
	}
	return quoted(s) + " is not a host: " + text
}

func checkReference(s string) string {
	if _, err := reference.ParseNormalizedNamed(s); err != nil {
		return fmt.Sprintf("%s is not an image: %v; write it as in registry.example.com/name:tag or …/name@sha256:…", quoted(s), err)
	}
	return ""
}

func checkBase(s string) string {
	if wrong := checkReference(s); wrong != "" {
		return wrong
	}
	return ownWords(claudecode.CheckBase(s))
}

func checkPath(s string) string {
	inner := strings.Trim(s, "/")
	bad := inner == ""
	for part := range strings.SplitSeq(inner, "/") {
		bad = bad || !segmentForm.MatchString(part) || part == "." || part == ".."
	}
	switch {
	case bad:
		return fmt.Sprintf("%s is not a path of a route: write segments of letters, digits, dots, dashes and underscores between slashes, such as \"/npm/\"", quoted(s))
	case s != "/"+inner+"/":
		return fmt.Sprintf("%s must begin and end with one slash; write %s", quoted(s), quoted("/"+inner+"/"))
	}
	return ownWords(credproxy.CheckPath(s))
}

// ownWords is an error of the sidecar that a text is for, which has the last word on what it takes.
func ownWords(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

func checkUpstream(s string) string {
	const advice = `; write it as in "https://host/base"`
	u, err := url.Parse(s)
	switch {
	case err == nil && u.User != nil, (err != nil || u.Host == "") && masked(s) != s:
		return "an upstream must not hold a user or password, they belong into token_ref" + plainly(s, checkUpstream, advice)
	case err != nil || hasControl(s) || strings.ContainsAny(s, ` \`):
		return quoted(s) + " is not a URL" + advice
	case u.Scheme == "" || u.Host == "" && u.Opaque != "":
		if near, _ := url.Parse("https://" + s); near != nil && near.Host != "" && checkUpstream(near.String()) == "" {
			return fmt.Sprintf("%s has no scheme; write %s", quoted(s), quoted(near.String()))
		}
		return quoted(s) + " has no scheme" + advice
	case u.Host != "" && (u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(s, "#")):
		u.RawQuery, u.ForceQuery, u.Fragment = "", false, ""
		if u.Scheme == "http" && !loopback(u.Hostname()) {
			u.Scheme = "https"
		}
		return fmt.Sprintf("an upstream has no query or fragment; write %s", quoted(u.String()))
	case u.Scheme == "http" && !loopback(u.Hostname()):
		u.Scheme = "https"
		return fmt.Sprintf("%s would send the credential in the clear; write %s (http:// is for loopback addresses alone)", quoted(s), quoted(u.String()))
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Sprintf("the scheme %s is not known%s", quoted(u.Scheme), advice)
	case !strings.HasPrefix(s, u.Scheme+"://"):
		return fmt.Sprintf("write the scheme of %s in small letters", quoted(s))
	}
	for part := range strings.SplitSeq(u.EscapedPath(), "/") {
		if plain, err := url.PathUnescape(part); err != nil || plain == "." || plain == ".." || strings.Contains(plain, "/") {
			return fmt.Sprintf("the path %s of the upstream has a part that leads elsewhere; write it plainly", quoted(u.Path))
		}
	}
	if u.Host == "" {
		return quoted(s) + " has no host" + advice
	}
	rule, err := egress.ParseRule(u.Host)
	if err != nil || rule.Any {
		return fmt.Sprintf("%s is not a host; write the upstream as in \"https://host/base\"", quoted(u.Host))
	}
	return ownWords(credproxy.CheckUpstream(s))
}

// plainly is the advice to write an address without the credential that it holds, if what is left is one.
func plainly(s string, check func(string) string, advice string) string {
	for _, near := range bare(s) {
		_, behind, hasScheme := strings.Cut(near, "://")
		if !hasScheme {
			behind = near
		}
		for _, one := range []string{near, "https://" + behind} {
			if check(one) == "" {
				return "; write " + quoted(one)
			}
		}
	}
	return advice
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// reservedRemotes are parts of the addresses of every git repository.
var reservedRemotes = []string{"HEAD", "config", "health", "hooks", "info", "objects", "refs",
	"git-receive-pack", "git-upload-archive", "git-upload-pack"}

func checkRemote(s string) string {
	switch {
	case !remoteForm.MatchString(s) || strings.Contains(s, ".."):
		return fmt.Sprintf("%s is no name of a remote: write letters, digits, dots, dashes and underscores, beginning with a letter or digit", quoted(s))
	case strings.HasSuffix(s, ".git") || strings.HasSuffix(s, ".lock"):
		return fmt.Sprintf("the name of a remote has no ending; write %s", quoted(strings.TrimSuffix(s, path.Ext(s))))
	case slices.Contains(reservedRemotes, s):
		return fmt.Sprintf("%s is part of every repository's address and can't name a remote; write another, such as %s", quoted(s), quoted("my-"+strings.ToLower(s)))
	}
	return ownWords(gitgate.CheckName(s))
}

// scp is user@host:path, as ssh has it; the user may be left out.
var scp = regexp.MustCompile(`^(?:([A-Za-z0-9._-]+)@)?([A-Za-z0-9.-]+):([^/:][^:]*|/[^/:][^:]*)$`)

// overSSH says whether a remote is reached by ssh.
func overSSH(upstream string) bool { return !strings.HasPrefix(upstream, "https://") }

func checkRemoteUpstream(s string) string {
	const advice = "; write it as in ssh://git@host/owner/name.git or https://host/owner/name.git"
	u, err := url.Parse(s)
	hidden := masked(s) != s
	if err == nil && u.Host != "" {
		_, password := u.User.Password()
		hidden = password || u.User != nil && u.Scheme != "ssh"
	}
	switch {
	case hidden:
		return "a credential must not stand in the manifest" + plainly(s, checkRemoteUpstream, advice)
	case hasControl(s) || strings.Contains(s, " ") || strings.HasPrefix(s, "-"):
		return quoted(s) + " is not the address of a repository" + advice
	case !strings.Contains(s, "://"):
		if scp.MatchString(s) {
			return ownWords(gitgate.CheckUpstream(s))
		}
		return quoted(s) + " is not the address of a repository" + advice
	case err != nil || u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-") || strings.Trim(u.Path, "/") == "":
		return quoted(s) + " is not the address of a repository: it needs a host and a path"
	case u.RawQuery != "" || u.Fragment != "":
		return "the address of a repository has no query or fragment; take it off"
	case u.Scheme == "http" || u.Scheme == "git":
		u.Scheme = "https"
		return fmt.Sprintf("%s would be read and changed on its way; write %s", quoted(s), quoted(u.String()))
	case u.Scheme != "https" && u.Scheme != "ssh":
		return fmt.Sprintf("the scheme %s is not known; write ssh:// or https://", quoted(u.Scheme))
	case !strings.HasPrefix(s, u.Scheme+"://"):
		return fmt.Sprintf("write the scheme of %s in small letters", quoted(s))
	}
	return ownWords(gitgate.CheckUpstream(s))
}

// checkKnownHost reads a host key as sshd(8) has it in known_hosts, with or without the host in front: the
// encoded key begins with the length and the name of its type (RFC 4253, 6.6).
func checkKnownHost(s string) string {
	const advice = `; write what ssh-keyscan prints for the host, such as "ssh-ed25519 AAAA…"`
	parts := strings.Fields(s)
	if strings.ContainsAny(s, "\n\r") || len(parts) < 2 || len(parts) > 4 {
		return quoted(s) + " is not a host key" + advice
	}
	for i := range min(2, len(parts)-1) {
		raw, err := base64.StdEncoding.DecodeString(parts[i+1])
		if err != nil || len(raw) < 4 {
			continue
		}
		if n := int(binary.BigEndian.Uint32(raw)); n == len(parts[i]) && len(raw) > 4+n && string(raw[4:4+n]) == parts[i] {
			return ownWords(gitgate.CheckKnownHost(s))
		}
	}
	return quoted(s) + " is not a host key" + advice
}

// checkRefPattern holds a pattern to what git-check-ref-format(1) says of refs, with one * at the end.
func checkRefPattern(s string) string {
	bare := strings.TrimSuffix(s, "*")
	switch {
	case strings.Contains(bare, "*"):
		return fmt.Sprintf("%s has a * elsewhere than at its end; write it as in \"refs/heads/agent/*\"", quoted(s))
	case !strings.HasPrefix(s, "refs/"):
		if near := "refs/heads/" + strings.TrimPrefix(s, "heads/"); s != "" && checkRefPattern(near) == "" {
			return fmt.Sprintf("%s does not say whether it is a branch or a tag; write %s", quoted(s), quoted(near))
		}
		return fmt.Sprintf("%s is not a ref; write it as in \"refs/heads/agent/*\"", quoted(s))
	}
	bad := hasControl(s) || strings.ContainsAny(s, " ~^:?[\\") || strings.Contains(s, "..") || strings.Contains(s, "@{")
	parts := strings.Split(s, "/")
	for _, part := range parts {
		bad = bad || part == "" || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".") || strings.HasSuffix(part, ".lock")
	}
	if bad || len(parts) < 2 {
		return fmt.Sprintf("%s is not a ref that git accepts; write it as in \"refs/heads/agent/*\"", quoted(s))
	}
	return ownWords(gitgate.CheckRef(s))
}

// size bounds the amounts of bytes of a kind.
type size struct {
	least, most  int64
	of           string // what they are amounts of
	little, much string // what is wrong with less, and with more
	example      string
}

// sizes are the kinds of amounts, by the name in the tag "kind".
var sizes = map[string]size{
	"": {least: minMemory, most: maxMemory, of: "memory", little: "too little: an agent needs 64m at least",
		much: "more than any machine has", example: `"512m" or "4g"`},
	"push_size": {least: 1 << 20, most: gitgate.LimitMaxPush, of: "bytes", little: "too little: with less than 1m nothing could be pushed",
		much: "too much: git-gate holds 4g of a push at most", example: `"64m" or "1g"`},
	"object_size": {least: 1 << 10, most: gitgate.LimitMaxObject, of: "bytes", little: "too little: with less than 1k no file could be pushed",
		much: "too much: git-gate looks at 1g of a file at most", example: `"500k" or "16m"`},
}

var bytesForm = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)i?b?$`)

// parse reads an amount as Docker writes it: the units are powers of 1024.
func (z size) parse(s string) (n int64, wrong string) {
	advice := "; write it as in " + z.example
	m := bytesForm.FindStringSubmatch(strings.ToLower(strings.TrimSpace(s)))
	if m == nil {
		return 0, fmt.Sprintf("%s is not an amount of %s%s", quoted(s), z.of, advice)
	}
	number, _ := strconv.ParseFloat(m[1], 64) // the form has made sure of it
	amount := number * math.Pow(1024, float64(strings.Index("kmgt", m[2])+1))
	if m[2] == "" {
		amount = number
	}
	switch {
	case amount < float64(z.least):
		return 0, fmt.Sprintf("%s is %s%s", quoted(s), z.little, advice)
	case amount > float64(z.most):
		return 0, fmt.Sprintf("%s is %s%s", quoted(s), z.much, advice)
	}
	return int64(amount), ""
}
