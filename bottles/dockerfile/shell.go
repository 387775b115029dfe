package dockerfile

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"mvdan.cc/sh/v3/syntax"
)

// Bounds of what is read of one command. The parser recurses, so its input is kept small.
const (
	maxScript = 32 << 10
	maxNested = 4       // sh -c '…' inside sh -c '…'
	maxSteps  = 1 << 18 // nodes of all commands of a file that are looked at
)

// checkShell looks at the commands of a RUN, CMD, ENTRYPOINT or HEALTHCHECK.
func (c *checker) checkShell(v visit, cmd instructions.ShellDependantCmdLine) {
	s := &script{c: c, first: v.first, last: v.last, piped: map[*syntax.BinaryCmd]bool{}}
	if cmd.PrependShell {
		line := strings.Join(cmd.CmdLine, " ")
		var text strings.Builder
		text.WriteString(line + "\n")
		for _, f := range cmd.Files {
			text.WriteString(f.Data + f.Name + "\n")
		}
		s.read(text.String(), 0)
	} else {
		s.command(cmd.CmdLine, nil, 0)
	}
	for _, f := range cmd.Files {
		if head, _, _ := strings.Cut(f.Data, "\n"); strings.HasPrefix(head, "#!") && !shells[interpreterOf(strings.Fields(head[2:]))] {
			continue
		}
		s.read(f.Data, 1)
	}
	s.fetched()
}

// script is the commands of one instruction.
type script struct {
	c           *checker
	first, last int
	downloads   []string // files that were downloaded
	runs        map[string]bool
	checked     bool // a checksum or a signature is checked somewhere
	piped       map[*syntax.BinaryCmd]bool
}

var (
	shells      = set("sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "rbash")
	languages   = regexp.MustCompile(`^(?:python|pypy|perl|ruby|node|nodejs|deno|bun|php|lua|tclsh|pwsh|powershell|Rscript)[0-9.]*$`)
	downloaders = set("curl", "wget", "fetch", "aria2c", "axel", "http", "https", "xh", "lynx", "nc", "ncat", "netcat", "socat", "ftp", "tftp", "scp", "rsync")
	decoders    = set("base64", "base32", "xxd", "openssl", "uudecode", "basenc")
	checkers    = set("sha256sum", "sha512sum", "sha384sum", "sha1sum", "shasum", "gpg", "gpgv", "cosign", "minisign", "signify", "md5sum")
	// prefixes run the command that follows them; the value says which of their flags take an operand.
	prefixes = map[string]string{"sudo": "ugpCDhRrtT", "doas": "uC", "env": "uSC", "exec": "a", "nohup": "", "time": "fo", "command": "", "builtin": "",
		"busybox": "", "toybox": "", "nice": "n", "ionice": "cn", "setsid": "", "stdbuf": "ioe", "xargs": "aEIiLlnPsd", "timeout": "ks", "chroot": "", "gosu": "", "su-exec": "", "unbuffer": ""}
	// skipped are the operands that a prefix takes before the command.
	skipped = map[string]int{"timeout": 1, "chroot": 1, "gosu": 1, "su-exec": 1}
	pipes   = regexp.MustCompile(`(?i)\b(?:curl|wget|fetch)\b[^\n;]*\|\s*(?:sudo\s+)?(?:\S*/)?(?:sh|bash|dash|ash|zsh|python[0-9.]*|perl|ruby|node)\b`)
)

func set(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}

// walk is syntax.Walk with a bound: some rules look at a node once for each that holds it.
func (s *script) walk(node syntax.Node, f func(syntax.Node) bool) {
	syntax.Walk(node, func(n syntax.Node) bool {
		if n == nil {
			return true
		}
		if s.c.steps++; s.c.steps > maxSteps {
			s.c.add(s.first, Danger, "unread-command", "from here on the commands are too intricate to be looked at")
			s.c.steps = maxSteps
			return false
		}
		return f(n)
	})
}

func (s *script) add(needle string, severity Severity, rule, format string, operands ...any) {
	s.c.add(s.c.lineOf(s.first, s.last, needle), severity, rule, format, operands...)
}

// read looks at shell text.
func (s *script) read(text string, depth int) {
	if depth > maxNested {
		return
	}
	var tree *syntax.File
	err := fmt.Errorf("it has more than %d KiB", maxScript>>10)
	if len(text) <= maxScript {
		tree, err = parse(text)
	}
	if err != nil {
		if m := pipes.FindString(text); m != "" {
			s.pipeToShell(m, "a download")
		} else if depth == 0 && strings.TrimSpace(text) != "" {
			s.add("", Note, "unread-command", "the command was only looked through for known words, because it can't be parsed as shell: %s", err)
		}
		return
	}
	s.walk(tree, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.BinaryCmd:
			if n.Op == syntax.Pipe || n.Op == syntax.PipeAll {
				s.pipeline(n)
			}
		case *syntax.Stmt:
			s.statement(n, depth)
		}
		return true
	})
}

// parse reads shell text with a parser for bash, whose grammar holds that of POSIX's shell.
func parse(text string) (tree *syntax.File, err error) {
	defer func() {
		if p := recover(); p != nil { // as for the Dockerfile's own parser
			tree, err = nil, fmt.Errorf("the parser failed on it: %v", p)
		}
	}()
	return syntax.NewParser().Parse(strings.NewReader(text), "")
}

// pipeline finds downloads and decoded text that go into an interpreter.
func (s *script) pipeline(b *syntax.BinaryCmd) {
	if s.piped[b] {
		return
	}
	var parts []*syntax.Stmt // from the last to the first
	for {
		s.piped[b] = true
		parts = append(parts, b.Y)
		left, ok := b.X.Cmd.(*syntax.BinaryCmd)
		if !ok || left.Op != syntax.Pipe && left.Op != syntax.PipeAll {
			parts = append(parts, b.X)
			break
		}
		b = left
	}
	slices.Reverse(parts)
	what := ""
	for i, part := range parts {
		if i > 0 && what != "" {
			s.fed(part, what)
		}
		switch {
		case s.mentions(part, downloaders):
			what = "a download"
		case what == "" && s.mentions(part, decoders):
			what = "encoded text"
		}
	}
}

// fed looks for an interpreter in a part of a pipeline; a group of commands shares its input.
func (s *script) fed(part *syntax.Stmt, what string) {
	s.walk(part, func(n syntax.Node) bool {
		st, ok := n.(*syntax.Stmt)
		if !ok {
			return true
		}
		command, args, ok := resolve(s.words(st))
		if ok && (command == unknown && what == "a download" || runsStdin(command, args)) {
			s.pipeToShell(command, what)
		}
		return true
	})
}

func (s *script) pipeToShell(needle, what string) {
	s.add(needle, Danger, "pipe-to-shell", "%s is run as a program without anybody having read it; what comes can be another thing at each build", literal(what))
}

// words are the words of a statement that is one simple command; a word that only the shell can tell
// is unknown.
func (s *script) words(st *syntax.Stmt) []string {
	call, ok := st.Cmd.(*syntax.CallExpr)
	if !ok {
		return nil
	}
	words := make([]string, 0, len(call.Args))
	for _, w := range call.Args {
		words = append(words, text(w))
	}
	return words
}

const unknown = "\x00"

// text is a word's value where it needs no expansion.
func text(w *syntax.Word) string {
	var b strings.Builder
	for _, part := range w.Parts {
		switch p := part.(type) {
		case *syntax.Lit:
			b.WriteString(unescape(p.Value))
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			for _, q := range p.Parts {
				l, ok := q.(*syntax.Lit)
				if !ok {
					return unknown
				}
				b.WriteString(unescape(l.Value))
			}
		default:
			return unknown
		}
	}
	return b.String()
}

func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			if i++; s[i] == '\n' {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// resolve looks through prefixes such as sudo and env: the program's base name and its operands.
// ok says whether there is one.
func resolve(words []string) (command string, args []string, ok bool) {
	for len(words) > 0 {
		name := words[0]
		if name != unknown {
			name = path.Base(name)
		}
		flags, isPrefix := prefixes[name]
		if !isPrefix {
			return name, words[1:], true
		}
		words = words[1:]
		for len(words) > 0 && (strings.HasPrefix(words[0], "-") || strings.Contains(words[0], "=")) {
			w := words[0]
			words = words[1:]
			if len(w) == 2 && w[0] == '-' && strings.Contains(flags, w[1:]) && len(words) > 0 {
				words = words[1:]
			}
		}
		words = words[min(skipped[name], len(words)):]
	}
	return "", nil, false
}

func interpreterOf(words []string) string {
	name, _, _ := resolve(words)
	return name
}

// runsStdin says whether an interpreter, called with args, runs what comes on its standard input.
func runsStdin(command string, args []string) bool {
	if !shells[command] && !languages.MatchString(command) {
		return command == "source" || command == "."
	}
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-" || a == "/dev/stdin" || a == "-s" || a == "/proc/self/fd/0" || a == "/dev/fd/0":
			return true
		case a == "-o" || a == "+o" || a == "-O" || a == "--rcfile" || a == "--init-file":
			i++
		case strings.HasPrefix(a, "--"):
		case strings.HasPrefix(a, "-") || strings.HasPrefix(a, "+"):
			if shells[command] {
				if strings.Contains(a, "c") {
					return false
				}
				if strings.HasSuffix(a, "o") { // -euo pipefail
					i++
				}
				if strings.Contains(a, "s") {
					return true
				}
			} else if strings.ContainsAny(a, "cemprR") {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// mentions says whether a command among names occurs anywhere in node.
func (s *script) mentions(node syntax.Node, names map[string]bool) (found bool) {
	s.walk(node, func(n syntax.Node) bool {
		if call, ok := n.(*syntax.CallExpr); ok {
			words := make([]string, 0, len(call.Args))
			for _, w := range call.Args {
				words = append(words, text(w))
			}
			name, args, _ := resolve(words)
			switch {
			case !names[name]:
				if i := slices.Index(args, "-c"); shells[name] && i >= 0 && i+1 < len(args) {
					if tree, err := parse(args[i+1][:min(len(args[i+1]), maxScript)]); err == nil {
						found = found || s.mentions(tree, names)
					}
				}
			case decoders[name] && !slices.ContainsFunc(args, func(a string) bool { return decodes.MatchString(a) }):
			default:
				found = true
			}
		}
		return !found
	})
	return found
}

var decodes = regexp.MustCompile(`^(?:-[a-zA-Z]*[dDr][a-zA-Z]*|--decode|enc)$`)

// statement looks at one simple command with its redirections.
func (s *script) statement(st *syntax.Stmt, depth int) {
	call, ok := st.Cmd.(*syntax.CallExpr)
	if !ok {
		return
	}
	words := s.words(st)
	command, args, _ := resolve(words)
	isShell := shells[command] || languages.MatchString(command)
	if isShell || command == "eval" || command == "source" || command == "." {
		for _, w := range call.Args {
			if s.expandsDownload(w) {
				s.pipeToShell(command, "a download")
			}
		}
		for _, r := range st.Redirs {
			if r.Word != nil && s.expandsDownload(r.Word) {
				s.pipeToShell(command, "a download")
			}
		}
	}
	if command == "eval" && len(args) > 0 && !slices.Contains(args, unknown) {
		s.read(strings.Join(args, " "), depth+1)
	}
	s.command(words, st.Redirs, depth)
}

// expandsDownload says whether a substitution in the word runs a downloader.
func (s *script) expandsDownload(w *syntax.Word) (found bool) {
	s.walk(w, func(n syntax.Node) bool {
		switch n.(type) {
		case *syntax.CmdSubst, *syntax.ProcSubst:
			found = found || s.mentions(n, downloaders)
		}
		return !found
	})
	return found
}

// command looks at the words of one command.
func (s *script) command(words []string, redirs []*syntax.Redirect, depth int) {
	command, args, _ := resolve(words)
	if shells[command] {
		for i, a := range args {
			if strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.Contains(a, "c") && i+1 < len(args) && args[i+1] != unknown {
				s.read(args[i+1], depth+1)
				break
			}
		}
	}
	s.checked = s.checked || checkers[command]
	s.unverified(command, args)
	if downloaders[command] {
		s.download(command, args, redirs)
		return
	}
	if s.runs == nil {
		s.runs = map[string]bool{}
	}
	switch {
	case command == "chmod" || command == "install":
		for _, a := range args {
			s.runs[path.Base(a)] = true
		}
	case shells[command] || languages.MatchString(command) || command == "source" || command == ".":
		for _, a := range args {
			if a != unknown && !strings.HasPrefix(a, "-") {
				s.runs[path.Base(a)] = true
				break
			}
		}
	case len(words) > 0 && words[0] != unknown:
		s.runs[path.Base(words[0])] = true
	}
}

// download notes where a downloader puts what it fetched.
func (s *script) download(command string, args []string, redirs []*syntax.Redirect) {
	keepsName := command == "wget"
	address := ""
	for i, a := range args {
		switch {
		case (a == "-o" && command == "curl" || a == "-O" && command == "wget" || a == "--output" || a == "--output-document") && i+1 < len(args):
			s.downloads = append(s.downloads, args[i+1])
			keepsName = false
		case strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && len(a) > 2 && i+1 < len(args) &&
			(command == "curl" && strings.HasSuffix(a, "o") || command == "wget" && strings.HasSuffix(a, "O")):
			s.downloads = append(s.downloads, args[i+1])
			keepsName = false
		case command == "curl" && (a == "-O" || a == "--remote-name" || strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.Contains(a, "O")):
			keepsName = true
		case strings.Contains(a, "://"):
			address = a
		}
	}
	for _, r := range redirs {
		if r.Word != nil && (r.Op == syntax.RdrOut || r.Op == syntax.AppOut) {
			s.downloads = append(s.downloads, text(r.Word))
		}
	}
	if keepsName && address != "" {
		name, _, _ := strings.Cut(path.Base(address), "?")
		s.downloads = append(s.downloads, name)
	}
}

// fetched tells of downloads that are made programs.
func (s *script) fetched() {
	for _, f := range s.downloads {
		if f == unknown || f == "-" || f == "/dev/null" || !s.runs[path.Base(f)] {
			continue
		}
		if s.checked {
			s.add(f, Note, "download-run", "the download %s becomes a program; a checksum or signature is checked in the same step", f)
		} else {
			s.add(f, Danger, "download-run", "the download %s becomes a program and nothing checks what came", f)
		}
	}
}

var insecureFlags = map[string][]string{
	"curl":    {"-k", "--insecure"},
	"wget":    {"--no-check-certificate"},
	"pip":     {"--trusted-host"},
	"pip3":    {"--trusted-host"},
	"apt-get": {"--allow-unauthenticated", "--allow-insecure-repositories", "--force-yes"},
	"apt":     {"--allow-unauthenticated", "--allow-insecure-repositories", "--force-yes"},
	"apk":     {"--allow-untrusted"},
	"rpm":     {"--nosignature"},
	"yum":     {"--nogpgcheck"},
	"dnf":     {"--nogpgcheck"},
}

// unverified finds downloads whose origin is not checked.
func (s *script) unverified(command string, args []string) {
	for _, a := range args {
		bundled := command == "curl" && len(a) > 1 && a[0] == '-' && a[1] != '-' && strings.Contains(a, "k") && !strings.ContainsAny(a, "oHd")
		if bundled || slices.Contains(insecureFlags[command], a) ||
			strings.Contains(a, "trusted=yes") || strings.Contains(a, "http.sslVerify=false") {
			s.add(a, Warning, "unverified-download", "%s switches off the check of where a download comes from", a)
		}
	}
}
