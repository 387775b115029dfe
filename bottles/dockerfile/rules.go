package dockerfile

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// checkText looks at the bytes, before anything is parsed.
func (c *checker) checkText() {
	for i, line := range c.lines {
		line = strings.TrimSuffix(line, "\r")
		if i == 0 {
			line = strings.TrimPrefix(line, "\uFEFF")
		}
		for at, r := range line {
			switch {
			case r == '\uFFFD' && !strings.HasPrefix(line[at:], "\uFFFD"):
				c.add(i+1, Danger, "hidden-text", "a byte here is not UTF-8: the line may not be what it looks like")
			case r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)):
				c.add(i+1, Danger, "hidden-text", "the character U+%04X does not show: the line may not be what it looks like", r)
			default:
				continue
			}
			break
		}
		if kind := secretIn(line); kind != "" {
			c.add(i+1, Danger, "secret", "this looks like %s: it would stay readable in the image and in every container made from it", literal(kind))
		}
	}
}

var officialFrontend = regexp.MustCompile(`^(docker\.io/)?docker/dockerfile(-upstream)?([:@]|$)`)

// checkDirectives looks at the comments at the top that the builder obeys.
func (c *checker) checkDirectives() {
	if frontend, _, at, ok := parser.DetectSyntax(c.source); ok {
		severity, text := Danger, "the build is handed to the program in the image %s, fetched from a registry: what it makes of this file nobody can tell"
		if officialFrontend.MatchString(frontend) {
			severity, text = Warning, "the builder fetches its frontend %s from a registry: it fails without network, and the engine's own would do"
		}
		c.add(firstLine(at), severity, "syntax-directive", text, frontend)
	}
	if escape, _, at, ok := parser.ParseDirective("escape", c.source); ok && escape != `\` {
		c.add(firstLine(at), Note, "escape-directive", "lines are continued with %s instead of a backslash: read them with that in mind", escape)
	}
	if check, _, at, ok := parser.ParseDirective("check", c.source); ok && check != "" {
		c.add(firstLine(at), Note, "check-directive", "it sets the builder's own checks to %s; those shown here are not affected", check)
	}
}

// checkFile applies the rules to a file that could be parsed.
func (c *checker) checkFile(f *file) {
	if len(f.stages) > maxStages {
		c.add(firstLine(f.stages[maxStages].Location), Warning, "too-many-stages", "it has %d stages; only the first %d are looked at", len(f.stages), maxStages)
		f.stages = f.stages[:maxStages]
	}
	f.walk(func(v visit) { c.checkCommand(f, v) })
	if f.expanded > maxExpanded {
		c.add(0, Danger, "unread-variables", "its variables grow too large to be followed: what it does can't be told from reading it")
	}
	c.lint(f)
	for i := range f.stages {
		c.checkBase(f, i)
	}
	c.checkResult(f)
	for _, a := range f.global {
		c.checkArg(&a, firstLine(a.Location()), lastLine(a.Location()))
	}
	if f.heredocs > 0 {
		c.add(f.heredocs, Note, "heredoc", "here-documents need an engine from version 23 on")
	}
}

// checkBase looks at where a stage starts.
func (c *checker) checkBase(f *file, i int) {
	s := &f.stages[i]
	line := firstLine(s.Location)
	switch {
	case s.base == "":
		c.add(line, Error, "base-empty", "FROM %s has no value here, so there is nothing to start from", s.BaseName)
	case s.unset:
		c.add(line, Warning, "UndefinedArgInFrom", "FROM %s uses a variable that is not declared before the first FROM", s.BaseName)
	}
	if s.parent >= 0 || s.base == "" || s.base == "scratch" {
		return
	}
	if c.inForce(s.image) {
		return
	}
	if i < len(f.stages)-1 && c.current != nil && f.last().image != s.image {
		c.add(line, Warning, "other-image", "a stage starts from %s, an image that the Dockerfile in force does not use", s.base)
	}
	if !pinned(s.base) {
		c.add(line, Note, "base-unpinned", "%s has no digest: what it names can change from one build to the next", s.base)
	}
}

// inForce says whether the Dockerfile in force starts from image, too.
func (c *checker) inForce(image string) bool {
	if c.current == nil {
		return false
	}
	for _, s := range c.current.stages {
		if s.image == image {
			return true
		}
	}
	return false
}

// checkResult looks at what the last stage comes to.
func (c *checker) checkResult(f *file) {
	last := f.last()
	root := last
	for root.parent >= 0 {
		root = &f.stages[root.parent]
	}
	if c.current != nil {
		was := c.current.last()
		if was.image != last.image {
			c.add(firstLine(root.Location), Danger, "base-changed", "the base image becomes %s; it was %s: everything below the added steps would be another system", root.base, was.image)
		} else if was.platform != last.platform {
			c.add(firstLine(root.Location), Warning, "platform-changed", "the platform becomes %s; it was %s", last.platform, was.platform)
		}
		for _, name := range []string{"ENTRYPOINT", "CMD"} {
			if now, ok := last.start[name]; ok && now != was.start[name] {
				c.add(firstLine(last.Location), Warning, "start-changed", "%s is changed to %s: it decides what runs when the container starts", literal(name), strings.ReplaceAll(now, "\x00", " "))
			}
		}
	}
	switch user, _, _ := strings.Cut(last.user, ":"); {
	case !last.userSet && (c.current == nil || c.current.last().userSet):
		c.add(firstLine(last.Location), Danger, "user-root", "no USER is set, so it runs as the base image's user, which is root unless that image says otherwise")
	case !last.userSet:
		c.add(firstLine(last.Location), Note, "user-none", "no USER is set, as in the Dockerfile in force: it runs as the base image's user")
	case isRoot(user):
		c.add(last.userLine, Danger, "user-root", "the last USER is root: whatever breaks out of the agent's container is root")
	case user == "":
		c.add(last.userLine, Danger, "user-root", "the last USER has no value here, which means root")
	case last.userOpen:
		c.add(last.userLine, Warning, "user-unknown", "who the last USER is depends on a variable that has no value in this file")
	}
}

var rootUser = regexp.MustCompile(`^([+-]?0+|0[xX]0+|root)$`)

func isRoot(user string) bool { return rootUser.MatchString(strings.TrimSpace(user)) }

// checkCommand looks at one instruction.
func (c *checker) checkCommand(f *file, v visit) {
	switch cmd := v.cmd.(type) {
	case *instructions.AddCommand:
		c.checkAdd(cmd, v)
	case *instructions.CopyCommand:
		c.checkCopy(f, cmd, v)
	case *instructions.RunCommand:
		c.checkRun(f, cmd, v)
	case *instructions.CmdCommand:
		c.checkShell(v, cmd.ShellDependantCmdLine)
	case *instructions.EntrypointCommand:
		c.checkShell(v, cmd.ShellDependantCmdLine)
	case *instructions.HealthCheckCommand:
		if cmd.Health != nil && len(cmd.Health.Test) > 1 {
			c.add(v.first, Note, "healthcheck", "HEALTHCHECK has no effect: no such check runs in a bottle")
			c.checkShell(v, instructions.ShellDependantCmdLine{CmdLine: cmd.Health.Test[1:], PrependShell: cmd.Health.Test[0] == "CMD-SHELL"})
		}
	case *instructions.EnvCommand:
		for _, kv := range cmd.Env {
			value, _ := v.expand(kv.Value)
			c.checkEnv(c.lineOf(v.first, v.last, kv.Key), "ENV", kv.Key, value, value != "")
		}
	case *instructions.ArgCommand:
		c.checkArg(cmd, v.first, v.last)
	case *instructions.OnbuildCommand:
		c.add(v.first, Warning, "onbuild", "ONBUILD does nothing now and acts in a later build, when nobody reads it")
	case *instructions.ShellCommand:
		c.add(v.first, Note, "shell-changed", "the RUN lines below go to %s instead of the usual shell", strings.Join(cmd.Shell, " "))
	}
}

func (c *checker) checkArg(cmd *instructions.ArgCommand, first, last int) {
	for _, a := range cmd.Args {
		c.checkEnv(c.lineOf(first, last, a.Key), "ARG", a.Key, a.ValueString(), true)
	}
}

// Names that hold secrets, as in BuildKit's rule SecretsUsedInArgOrEnv.
var (
	secretName = regexp.MustCompile(`(?i)(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|pwd|secret|token)s?(?:_|$)`)
	publicName = regexp.MustCompile(`(?i)(?:_|^)(?:public|file|path|dir|url)(?:_|$)`)
	steersName = regexp.MustCompile(`(?i)^(?:https?_proxy|all_proxy|no_proxy|ld_preload|ld_library_path|anthropic_\w+|claude_\w+|mcp_\w+)$`)
)

func (c *checker) checkEnv(line int, instruction, key, value string, set bool) {
	switch {
	case secretName.MatchString(key) && !publicName.MatchString(key) && set:
		c.add(line, Danger, "secret", "%s %s looks like a secret: it would stay readable in the image; credentials belong into the bottle's cred-proxy routes", literal(instruction), key)
	case steersName.MatchString(key):
		c.add(line, Warning, "env-steers", "%s %s changes how the agent reaches the network or what it loads; the bottle sets such variables itself", literal(instruction), key)
	}
	if kind := secretIn(value); kind != "" { // put together from parts, it is not found in the text
		c.add(line, Danger, "secret", "this looks like %s: it would stay readable in the image and in every container made from it", literal(kind))
	}
}

var secretValues = []struct {
	kind    string
	pattern *regexp.Regexp
}{
	{"an Anthropic key", regexp.MustCompile(`\bsk-ant-[A-Za-z0-9_-]{8,}`)},
	{"a GitHub token", regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,})`)},
	{"a GitLab token", regexp.MustCompile(`\bglpat-[A-Za-z0-9_-]{16,}`)},
	{"an AWS access key", regexp.MustCompile(`\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`)},
	{"a Google API key", regexp.MustCompile(`\bAIza[A-Za-z0-9_-]{35}`)},
	{"a Slack token", regexp.MustCompile(`\bxox[abposr]-[A-Za-z0-9-]{10,}`)},
	{"an npm token", regexp.MustCompile(`\bnpm_[A-Za-z0-9]{30,}`)},
	{"a PyPI token", regexp.MustCompile(`\bpypi-[A-Za-z0-9_-]{30,}`)},
	{"a Hugging Face token", regexp.MustCompile(`\bhf_[A-Za-z0-9]{30,}`)},
	{"an API key", regexp.MustCompile(`\bsk-[A-Za-z0-9_-]{20,}`)},
	{"a private key", regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY`)},
	{"a JSON web token", regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.`)},
	{"a password in an address", regexp.MustCompile(`[a-z][a-z0-9+.-]{1,12}://[^\s/:@$"']+:[^\s/@$"']{3,}@`)},
}

// secretIn names the kind of credential that text seems to hold; "" when it seems to hold none.
func secretIn(text string) string {
	for _, s := range secretValues {
		if s.pattern.MatchString(text) {
			return s.kind
		}
	}
	return ""
}

var remoteSource = regexp.MustCompile(`(?i)^(?:(?:https?|git|ssh|ftp|oci-layout)://|git@|[a-z0-9.-]+@[a-z0-9.-]+:|(?:github|gitlab)\.com/)`)

func (c *checker) checkAdd(cmd *instructions.AddCommand, v visit) {
	for _, source := range cmd.SourcePaths {
		source, unset := v.expand(source)
		line := c.lineOf(v.first, v.last, source)
		switch {
		case remoteSource.MatchString(source) && cmd.Checksum != "":
			c.add(line, Note, "add-remote", "ADD fetches %s at build time; its checksum is checked", source)
		case remoteSource.MatchString(source):
			c.add(line, Danger, "add-remote", "ADD fetches %s at build time and nothing checks what comes: it is not part of what you approve", source)
		case unset:
			c.add(line, Warning, "add-remote", "what ADD takes, %s, depends on a variable that has no value in this file and may be an address", source)
		default:
			c.checkContext(line, "ADD", source)
		}
	}
}

func (c *checker) checkCopy(f *file, cmd *instructions.CopyCommand, v visit) {
	if cmd.From == "" {
		for _, source := range cmd.SourcePaths {
			source, _ := v.expand(source)
			c.checkContext(c.lineOf(v.first, v.last, source), "COPY", source)
		}
		return
	}
	c.checkFrom(f, v, cmd.From)
}

// checkFrom looks at COPY --from and RUN --mount=from=.
func (c *checker) checkFrom(f *file, v visit, from string) {
	from, _ = v.expand(from)
	if from == "" || from == "scratch" || f.stageNamed(from, len(f.stages)) >= 0 || digits.MatchString(from) || c.inForce(normal(from)) {
		return
	}
	c.add(v.first, Warning, "other-image", "it takes files from %s, an image that the Dockerfile in force does not use", from)
}

var digits = regexp.MustCompile(`^[0-9]+$`)

// checkContext looks at a file that should come from the build's context, which holds the Dockerfile alone.
func (c *checker) checkContext(line int, instruction, source string) {
	switch strings.TrimPrefix(strings.TrimPrefix(source, "/"), "./") {
	case "", ".", "*", "Dockerfile", "Dockerfile*":
		c.add(line, Note, "context", "%s %s takes the Dockerfile alone: the build's context holds nothing else", literal(instruction), source)
	default:
		c.add(line, Error, "context", "%s %s can't be found: the build's context holds the Dockerfile alone, so fetch the file or write it in a RUN", literal(instruction), source)
	}
}

func (c *checker) checkRun(f *file, cmd *instructions.RunCommand, v visit) {
	_ = cmd.Expand(func(w string) (string, error) { // the mounts are only known after it
		w, _ = v.expand(w)
		return w, nil
	})
	for _, m := range instructions.GetMounts(cmd) {
		if m == nil {
			continue
		}
		switch m.Type {
		case instructions.MountTypeSecret, instructions.MountTypeSSH:
			c.add(v.first, Danger, "run-mount", "RUN asks for a %s of the host; builds are given none, so the step fails or goes without", literal(m.Type))
		case instructions.MountTypeCache:
			c.add(v.first, Warning, "run-cache", "RUN uses a cache directory, which other builds on this engine read and write, too")
		case instructions.MountTypeBind:
			c.checkFrom(f, v, m.From)
		}
	}
	if instructions.GetSecurity(cmd) == instructions.SecurityInsecure {
		c.add(v.first, Danger, "run-insecure", "RUN --security=insecure runs the step with the privileges of the engine's host")
	}
	if instructions.GetNetwork(cmd) == instructions.NetworkHost {
		c.add(v.first, Danger, "run-host-network", "RUN --network=host gives the step the network of the engine's host, with its local services")
	}
	if len(instructions.GetDevices(cmd)) > 0 {
		c.add(v.first, Danger, "run-device", "RUN --device gives the step a device of the engine's host")
	}
	c.checkShell(v, cmd.ShellDependantCmdLine)
}
