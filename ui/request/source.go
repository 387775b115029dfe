package request

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/queue"
	"bottle-tui/ui/change"
	"bottle-tui/ui/dialog"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
)

// source asks where the credentials of new routes come from. What the operator types is a reference: a
// credential itself is refused, and not kept.
type source struct {
	from    mode
	missing []string // public names
	at      int
	refs    map[string]string
	input   *textinput.Model
}

// missing are the names of the credentials that what is read needs and the bottle does not have.
func (d *Dialog) missing() []string {
	if d.req.Tool != queue.ToolCredProxy {
		return nil
	}
	if d.mode != preview && (d.mode != sourcing || d.source.from != preview) {
		return d.req.Tokens
	}
	known := map[string]bool{}
	for _, r := range d.routes {
		known[r.TokenRef] = true
	}
	if asked, err := change.Routes([]byte(d.req.Proposed)); err == nil {
		for _, r := range asked {
			if !slices.Contains(d.req.Tokens, r.TokenRef) {
				known[r.TokenRef] = true
			}
		}
	}
	var out []string
	routes, err := change.Routes(d.edited)
	if err != nil {
		return nil // approving is off
	}
	for _, r := range routes {
		if !known[r.TokenRef] {
			known[r.TokenRef] = true
			out = append(out, r.TokenRef)
		}
	}
	return out
}

// lacking are those of them that the operator has named no source for yet.
func (d *Dialog) lacking() []string {
	return slices.DeleteFunc(slices.Clone(d.missing()), func(name string) bool { return d.source.refs[name] != "" })
}

// sources are the references that the operator gave for what is read now; nil when none is needed.
func (d *Dialog) sources() map[string]string {
	var out map[string]string
	for _, name := range d.missing() {
		if out == nil {
			out = map[string]string{}
		}
		out[name] = d.source.refs[name]
	}
	return out
}

// startSources asks for the credentials that are lacking; false when there is none.
func (d *Dialog) startSources() bool {
	missing := d.lacking()
	if len(missing) == 0 {
		return false
	}
	refs := d.source.refs
	if refs == nil {
		refs = map[string]string{}
	}
	d.source = source{from: d.mode, missing: missing, refs: refs}
	d.source.input = dialog.Field(d.o.Styles)
	d.source.input.Placeholder = "VARIABLE, file:PATH or cmd:COMMAND"
	d.mode = sourcing
	return true
}

func (d *Dialog) sourceKey(k tea.KeyPressMsg) dialog.Result {
	x := &d.source
	d.note = ""
	if b := keys.Find(keys.Source, k.String()); b != nil {
		switch b.Action {
		case keys.Back:
			d.mode = x.from
			clear(x.refs) // y asks for all of them again
			d.rearm()
			return dialog.Result{}
		case keys.Send:
			ref := trim(x.input.Value())
			if d.note = refProblem(ref); d.note != "" {
				if LooksSecret(ref) {
					x.input.SetValue("")
				}
				return dialog.Result{}
			}
			x.refs[x.missing[x.at]] = ref
			x.at++
			x.input.SetValue("")
			if x.at < len(x.missing) {
				return dialog.Result{}
			}
			x.at--
			d.mode = x.from
			if d.forProfile() { // what would be written is known only now
				d.manifest = manifest{asked: d.manifest.asked, ended: d.ended}
				d.note = "read what would be written to the manifest; y approves it"
				return dialog.Result{}
			}
			if why := d.Blocked(); why != "" {
				d.note = "not approved: " + why
				return dialog.Result{}
			}
			return d.approve()
		}
	}
	updated, cmd := x.input.Update(k)
	*x.input = updated
	return dialog.Result{Cmd: cmd}
}

// pasteSource takes pasted text; a credential never gets as far as the screen.
func (d *Dialog) pasteSource(text string) {
	lines := linesOf([]byte(dialog.Clean(text)))
	text = strings.Join(slices.DeleteFunc(lines, func(l string) bool { return l == "" }), " ") // blanks within a line are a path's own
	if LooksSecret(text) {
		d.note = isSecret
		return
	}
	d.note = ""
	in := d.source.input
	at, value := in.Position(), []rune(in.Value())
	in.SetValue(string(value[:at]) + text + string(value[at:]))
	in.SetCursor(at + len([]rune(text)))
}

const isSecret = "this looks like the credential itself, and was not kept: name the place that it comes from"

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// refProblem says why a text can't be a token_ref; "" when it can.
func refProblem(ref string) string {
	for _, kind := range []string{"file:", "cmd:"} {
		if rest, ok := strings.CutPrefix(ref, kind); ok {
			if trim(rest) == "" {
				return kind + " needs something behind it"
			}
			return ""
		}
	}
	switch {
	case ref == "":
		return "a source is needed; esc goes back"
	case LooksSecret(ref):
		return isSecret
	case !variable.MatchString(ref):
		return "a variable's name has letters, digits and _ only; a file begins with file:, a command with cmd:"
	}
	return ""
}

// secretBegins are the beginnings of well-known credentials.
var secretBegins = []string{"sk-", "sk_", "rk_", "pk_live", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "gloas-", "xoxb-", "xoxp-", "xapp-", "npm_", "pypi-", "dckr_pat_", "hf_", "AKIA", "ASIA", "AIza", "ya29.", "eyJ", "Bearer ", "bearer ", "Basic "}

// LooksSecret says whether a text that stands where a reference should looks like a credential: it begins like
// one, is longer than any name, or mixes digits and both cases as names don't.
func LooksSecret(text string) bool {
	text = trim(text)
	if strings.HasPrefix(text, "file:") || strings.HasPrefix(text, "cmd:") {
		return false
	}
	if len(text) > 64 {
		return true
	}
	const least = 16 // characters that a credential has
	for _, begin := range secretBegins {
		if strings.HasPrefix(text, begin) && (len(text) >= least || strings.HasSuffix(begin, "-")) {
			// A name such as npm_config_token has no digit and no capital behind its beginning.
			if rest := text[len(begin):]; !variable.MatchString(text) || strings.ContainsAny(rest, "0123456789") || mixed(rest) {
				return true
			}
		}
	}
	return len(text) >= 20 && mixed(text) && strings.ContainsAny(text, "0123456789") || len(text) >= 32 && hexadecimal(text)
}

func mixed(s string) bool { return strings.ToLower(s) != s && strings.ToUpper(s) != s }

func hexadecimal(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == "" || strings.Trim(s, "0123456789ABCDEF") == ""
}

// linesOf are the lines of a file, without their ends and the blanks around them.
func linesOf(content []byte) []string {
	out := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	for i := range out {
		out[i] = trim(out[i])
	}
	return out
}

// drawSource puts the question below the body: for which route, where the credential would go, and the field.
func (d *Dialog) drawSource(w, h int, body *[]string) (foot []string, cursor *tea.Cursor) {
	s, x := d.o.Styles, &d.source
	name := x.missing[x.at]
	path, upstream := d.routeOf(name)
	count := ""
	if len(x.missing) > 1 {
		count = s.Muted.Render(fmt.Sprintf("%d of %d", x.at+1, len(x.missing)))
	}
	foot = []string{frame.Divider, frame.Ends(s.Strong.Render("Where does the credential for "+frame.Middle(frame.Line(path), w/3, 4)+" come from?"), count, w)}
	about := "The agent calls it " + frame.Line(name) + " and never sees it. It goes with every request to " + frame.Line(upstream) +
		". Name an environment variable, file:PATH or cmd:COMMAND, never the credential itself."
	explained, wrong := frame.Wrap(about, w), []string(nil)
	if d.note != "" {
		wrong = frame.Wrap(d.note, w)
	}
	if room := max(h-4, 0); len(explained)+len(wrong) > room { // what is wrong matters more
		wrong = wrong[:min(len(wrong), room)]
		explained = explained[:min(len(explained), room-len(wrong))]
	}
	for _, line := range explained {
		foot = append(foot, s.Muted.Render(line))
	}
	x.input.SetWidth(w - 3)
	line := len(foot)
	foot = append(foot, s.Accent.Render("❯ ")+x.input.View())
	for _, part := range wrong {
		foot = append(foot, s.Bad.Render(part))
	}
	send := *keys.Get(keys.Source, keys.Send)
	if x.at == len(x.missing)-1 && !d.forProfile() {
		send.Hint = "approve, " + scopeWords(bottles.Scopes[d.scope])
	}
	foot = append(foot, dialog.Hint(s, &send, trim(x.input.Value()) == "")+"  "+dialog.Hint(s, keys.Get(keys.Source, keys.Back), false))
	*body = (*body)[:min(len(*body), max(h-len(foot), 0))]
	if cursor = x.input.Cursor(); cursor != nil {
		cursor.X += 4
		cursor.Y += len(*body) + line + 1
	}
	return foot, cursor
}

// routeOf is the first route that uses a credential.
func (d *Dialog) routeOf(name string) (path, upstream string) {
	content := []byte(d.req.Proposed)
	if d.source.from == preview {
		content = d.edited
	}
	if routes, err := change.Routes(content); err == nil {
		for _, r := range routes {
			if r.TokenRef == name {
				return r.Path, r.Upstream
			}
		}
	}
	return name, "its upstream"
}
