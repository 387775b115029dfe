// Package preflight puts the plan of a launch or a resume into words: rows of a label and a value, which the plain
// commands print and the screen's dialog draws. It must not work anything out or have a colour; what it gives is safe
// to print, whatever a manifest or an agent wrote.
package preflight

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"bottle-tui/bottles"
	"bottle-tui/bottles/workspace"
	"bottle-tui/queue"
	"bottle-tui/ui/frame"
)

// Style says how much a row deserves a look.
type Style int

// The styles of a row.
const (
	OK       Style = iota
	Warn           // it is allowed, and should be meant
	Conflict       // nothing can be created because of it
)

// Row is one line of a plan. A row without a label goes on with the one before.
type Row struct {
	Label string
	Value string // one line, not wrapped; safe to print
	Style Style
}

// LabelNotice is the label of a notice; the rows from the first one on are notices, up to the conflicts.
const LabelNotice = "notice"

// rows collects rows.
type rows []Row

// add appends a row. Every text of a plan goes through here.
func (r *rows) add(label string, style Style, format string, args ...any) {
	*r = append(*r, Row{label, queue.Visible(fmt.Sprintf(format, args...)), style})
}

// Rows are the rows of a plan, its notices and conflicts last.
func Rows(p *bottles.Preflight) []Row {
	var r rows
	launch := "a new bottle"
	if p.Resume {
		launch = "resumed"
	}
	r.add("bottle", OK, "%s, %s", p.Identity, launch)
	r.agent(p)
	if p.Was == "" {
		r.add("profile", OK, "%s, of %s", p.Profile, p.Home)
	} else {
		r.add("profile", Warn, "%s, of %s", p.Profile, p.Home)
		r.add("", Warn, "until now the bottle was in the profile %s: what it may do changes to this", p.Was)
	}
	r.image(p)
	r.directory(p)
	if len(p.EnvNames) > 0 {
		r.add("variables", OK, "%s", strings.Join(p.EnvNames, ", "))
	} else {
		r.add("variables", OK, "none")
	}
	r.egress(p.Egress)
	r.routes(p.Routes)
	r.git(p)
	r.limits(p)
	if p.Supervise {
		r.add("requests", OK, "the agent may ask you for capabilities, hosts and routes")
	} else {
		r.add("requests", OK, "the agent can't ask you for anything")
	}
	for i, g := range p.Grants {
		r.add(first(i, "granted"), Warn, "%s", Grant(g))
	}
	for _, n := range p.Notices {
		r.add(LabelNotice, Warn, "%s", n.What)
		if n.Fix != "" {
			r.add("", OK, "→ %s", n.Fix)
		}
	}
	for _, c := range p.Conflicts {
		r.add("conflict", Conflict, "%s", c.What)
		if c.Fix != "" {
			r.add("", Conflict, "→ %s", c.Fix)
		}
	}
	return r
}

// first is the label of the first of several rows; the others have none.
func first(i int, label string) string {
	if i > 0 {
		return ""
	}
	return label
}

// agent is who it is and what it is told. One of a project's manifest may be somebody else's words.
func (r *rows) agent(p *bottles.Preflight) {
	if p.Manifest == p.Home {
		r.add("agent", OK, "%s", p.Agent)
	} else {
		r.add("agent", Warn, "%s, of %s", p.Agent, p.Manifest)
	}
	switch {
	case !p.Claude && len(p.Command) > 0:
		r.add("command", Warn, "%s, in the place of Claude Code", Command(p.Command))
	case len(p.Args) > 0:
		r.add("arguments", OK, "%s", Command(p.Args))
	}
	if p.Model != "" {
		r.add("model", OK, "%s", p.Model)
	}
	if len(p.Settings) > 0 {
		r.add("settings", OK, "%s", strings.Join(p.Settings, ", "))
	}
	if len(p.Servers) > 0 {
		r.add("MCP servers", OK, "%s", strings.Join(p.Servers, ", "))
	}
	if p.Prompt != "" {
		r.add("prompt", OK, "%s", Beginning(p.Prompt))
	}
	if len(p.Skills) > 0 {
		r.add("skills", OK, "%s", strings.Join(p.Skills, ", "))
	}
	if p.Task != "" {
		r.add("task", OK, "%s", Beginning(p.Task))
	}
}

// plainWord is a word of a command that can't be misread.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+,-]+$`)

// Command is a command as words, those in quotes that have more than plain characters in them.
func Command(words []string) string {
	shown := make([]string, len(words))
	for i, w := range words {
		if shown[i] = w; !plainWord.MatchString(w) {
			shown[i] = strconv.Quote(w)
		}
	}
	return strings.Join(shown, " ")
}

// maxBeginning bounds how many characters of a text are shown.
const maxBeginning = 60

// Beginning is the first line of a text, or what of it goes into a line, and how long the text is.
func Beginning(text string) string {
	text = strings.TrimSpace(text)
	line, _, _ := strings.Cut(text, "\n")
	short := []rune(strings.TrimSpace(line))
	if len(short) > maxBeginning {
		short = append(short[:maxBeginning-1:maxBeginning-1], '…')
	}
	if n := strings.Count(text, "\n"); n > 0 {
		return fmt.Sprintf("%s (%s in all)", string(short), number(n+1, "line", "lines"))
	}
	return string(short)
}

func (r *rows) image(p *bottles.Preflight) {
	i := p.Image
	r.add("image", OK, "%s", i.Reference)
	switch {
	case i.Rebuilt && i.Build:
		r.add("", OK, "from the bottle's own Dockerfile, after a capability was approved; built first")
	case i.Rebuilt:
		r.add("", OK, "from the bottle's own Dockerfile, after a capability was approved")
	case i.Build:
		r.add("", OK, "the engine does not have it: it is built first")
	}
	switch p.Network {
	case "", bottles.DefaultNetwork:
	case "host":
		r.add("", Warn, "whatever builds it uses the network of the engine's host")
	default:
		r.add("", OK, "it is built with the network %s", p.Network)
	}
}

// limits are said where they are others than those of every bottle.
func (r *rows) limits(p *bottles.Preflight) {
	var limits []string
	if p.Memory != 0 && p.Memory != bottles.DefaultMemory {
		limits = append(limits, workspace.Size(p.Memory)+" of memory")
	}
	if p.Pids != 0 && p.Pids != bottles.DefaultPids {
		limits = append(limits, number(int(p.Pids), "process", "processes"))
	}
	if len(limits) > 0 {
		r.add("limits", OK, "%s", strings.Join(limits, ", "))
	}
}

func (r *rows) directory(p *bottles.Preflight) {
	if p.CWD == "" && p.Copy == nil && !p.Resume {
		r.add("directory", OK, "none: the workspace is empty")
		return
	}
	if p.CWD == "" {
		r.add("directory", OK, "none")
	} else {
		r.add("directory", OK, "%s", p.CWD)
	}
	switch {
	case p.Copy != nil:
		left := ""
		if p.Copy.Ignored > 0 {
			left = fmt.Sprintf("; .bottleignore leaves %s out", workspace.Count(p.Copy.Ignored))
		}
		if p.Copy.SkipIgnored {
			left += fmt.Sprintf("; without what git ignores (%s)", workspace.Count(p.Copy.GitIgnored))
		}
		r.add("", OK, "%s, %s, copied into the workspace%s", number(p.Copy.Files, "file", "files"), workspace.Size(p.Copy.Bytes), left)
	case p.Resume && p.Noticed(bottles.NoticeWorkspace):
		r.add("", Warn, "the workspace is a new one")
	case p.Resume:
		r.add("", OK, "the workspace is as it was left")
	default:
		r.add("", OK, "nothing of it is copied")
	}
}

func (r *rows) egress(e bottles.PlannedEgress) {
	engine := ""
	if e.Engine != "" && e.Engine != "builtin" {
		engine = " (" + e.Engine
		if e.Image != "" {
			engine += " from " + e.Image
		}
		engine += ")"
	}
	if len(e.Allow) == 0 {
		r.add("egress", OK, "no host can be reached%s", engine)
		return
	}
	r.add("egress", OK, "%s can be reached%s:", number(len(e.Allow), "host", "hosts"), engine)
	for _, rule := range e.Allow {
		style := OK
		if strings.Contains(rule, "*") {
			style = Warn // and everything below it
		}
		r.add("", style, "%s", rule)
	}
}

func (r *rows) routes(routes []bottles.PlannedRoute) {
	if len(routes) == 0 {
		r.add("cred-proxy", OK, "none: the agent uses no credential")
		return
	}
	for i, route := range routes {
		style := OK
		if strings.HasPrefix(route.Upstream, "http://") {
			style = Warn
		}
		r.add(first(i, "cred-proxy"), style, "%s → %s", route.Path, route.Upstream)
		roles := ""
		if len(route.Roles) > 0 {
			roles = "; " + strings.Join(route.Roles, ", ")
		}
		r.add("", OK, "  slot %d: %s as %s%s", route.Slot, route.TokenRef, route.AuthScheme, roles)
	}
}

func (r *rows) git(p *bottles.Preflight) {
	for i, g := range p.Remotes {
		r.add(first(i, "git"), OK, "%s: %s", g.Name, g.Upstream)
		r.add("", OK, "  %s", Credential(g))
		style := OK
		if g.AllowForce && len(g.AllowRefs) > 0 {
			style = Warn
		}
		r.add("", style, "  %s", Pushes(g))
	}
	if u := p.GitUser; u.Name != "" || u.Email != "" {
		r.add("commits", OK, "by %s <%s>", u.Name, u.Email)
	}
	for i, f := range p.GitGate {
		r.add(first(i, "git-gate"), OK, "%s: %s → %s", f.Name, f.From, f.To)
	}
}

// Credential says with what git-gate goes to a remote, which is one of bottles.ShownRemotes.
func Credential(g bottles.Remote) string {
	switch {
	case g.IdentityFile != "":
		return "with the key " + g.IdentityFile
	case g.TokenRef != "":
		return "with the token " + g.TokenRef
	}
	return "without a credential"
}

// Pushes says what may be pushed to a remote.
func Pushes(g bottles.Remote) string {
	if len(g.AllowRefs) == 0 {
		return "nothing can be pushed"
	}
	text := "may push " + strings.Join(g.AllowRefs, ", ")
	if len(g.AllowPushOptions) > 0 {
		text += ", with the push options " + strings.Join(g.AllowPushOptions, ", ")
	}
	if g.AllowForce {
		text += ", and rewrite or delete what is there"
	}
	if g.Approve {
		text += "; each push waits for you"
	}
	return text
}

// Grant says in a line what a grant adds and takes, and how long it lasts. It is not yet safe to print.
func Grant(g bottles.Grant) string {
	var parts []string
	for _, rule := range g.Change.Allow {
		parts = append(parts, "+ "+rule)
	}
	for _, rule := range g.Change.Disallow {
		parts = append(parts, "− "+rule)
	}
	for _, route := range g.Change.Routes {
		parts = append(parts, "+ "+route.Path+" → "+route.Upstream)
	}
	for _, path := range g.Change.Unroute {
		parts = append(parts, "− "+path)
	}
	if len(parts) == 0 {
		parts = append(parts, g.Tool)
	}
	scope := g.Scope.String()
	if !g.Until.IsZero() {
		scope += ", until " + g.Until.Local().Format("15:04 on 2 Jan")
	}
	return strings.Join(parts, ", ") + " (" + scope + ")"
}

func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return workspace.Count(n) + " " + many
}

// What stands before each line, by style.
var marks = [...]string{OK: "  ", Warn: "! ", Conflict: "✗ "}

const (
	labelWidth = 12
	leastValue = 20 // cells; a narrower screen breaks the lines itself
)

// wrap breaks a value between words alone, so that what is copied from a plan is whole; only a word that is longer than
// a line is broken.
func wrap(value string, width int) []string {
	lines := []string{""}
	for _, word := range strings.Split(strings.TrimLeft(value, " "), " ") {
		last := lines[len(lines)-1]
		if last != "" && frame.Width(last)+1+frame.Width(word) > width {
			lines, last = append(lines, ""), ""
		}
		if last != "" {
			word = last + " " + word
		}
		lines = append(lines[:len(lines)-1], frame.Chop(word, width)...)
	}
	return lines
}

// Text writes a plan as lines of at most width cells.
func Text(w io.Writer, p *bottles.Preflight, width int) error {
	out := bufio.NewWriter(w)
	most := max(width-len("  ")-labelWidth, leastValue)
	for _, row := range Rows(p) {
		label := row.Label
		indent := ""
		if label == "" && strings.HasPrefix(row.Value, "  ") {
			indent = "  "
		}
		for i, line := range wrap(row.Value, most-len(indent)) {
			mark := marks[OK]
			if i == 0 && (row.Label != "" || row.Style != Conflict) { // a fix goes with its conflict
				mark = marks[row.Style]
			}
			fmt.Fprintln(out, strings.TrimRight(mark+frame.Fit(label, labelWidth)+indent+line, " "))
			label = ""
		}
	}
	return out.Flush()
}
