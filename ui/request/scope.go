package request

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/ui/change"
	"bottle-tui/ui/dialog"
	"bottle-tui/ui/frame"
	"bottle-tui/ui/keys"
	"bottle-tui/ui/list"
)

// manifest is what approving for the profile would write, once that is known.
type manifest struct {
	asked int    // counts the questions, so that an outcome that comes too late is known
	on    bool   // it was asked for
	of    []byte // what it would put in force
	since time.Time
	edit  *bottles.Edit
	err   error
	ended bool // the end of the rest was shown before
}

// manifestMsg is the outcome.
type manifestMsg struct {
	asked int
	edit  *bottles.Edit
	err   error
}

func (m *manifest) pending() bool { return m.on && m.edit == nil && m.err == nil }

// forProfile says that the scope which is chosen is the profile.
func (d *Dialog) forProfile() bool {
	return change.Scoped(d.req.Tool) && bottles.Scopes[d.scope].Profile
}

// nextScope chooses the next scope. What approving means is something else then, so the keyboard has to be
// quiet again.
func (d *Dialog) nextScope() {
	if !change.Scoped(d.req.Tool) {
		d.note = "a request of this kind has no scope"
		return
	}
	if d.forProfile() {
		d.ended = d.ended || d.manifest.ended
	}
	d.scope = (d.scope + 1) % len(bottles.Scopes)
	d.manifest = manifest{asked: d.manifest.asked}
	d.guard.Disarm()
	d.refused = ""
	d.lines.forget()
}

// withManifest asks, where the scope needs it and it was not asked yet, what would be written.
func (d *Dialog) withManifest(r dialog.Result) dialog.Result {
	m := &d.manifest
	if r.Close || !d.forProfile() || d.mode != reading && d.mode != preview || m.on && bytes.Equal(m.of, d.proposed()) || len(d.lacking()) > 0 {
		return r
	}
	*m = manifest{asked: m.asked + 1, on: true, of: slices.Clone(d.proposed()), since: d.o.Now(), ended: d.ended}
	d.ended = false
	d.lines.forget()
	n, of, tokens, work, identity, id := m.asked, m.of, d.sources(), d.o.Profile, d.identity, d.req.ID
	if work == nil {
		d.takeManifest(manifestMsg{n, nil, errors.New("there is no manifest that could be changed")})
		return r
	}
	r.Cmd = tea.Batch(r.Cmd, func() tea.Msg {
		edit, err := work(identity, id, of, tokens)
		if err == nil && edit == nil {
			err = errors.New("nothing was worked out")
		}
		return manifestMsg{n, edit, err}
	})
	return r
}

// takeManifest takes in what would be written; it has to be read, and to its end.
func (d *Dialog) takeManifest(m manifestMsg) {
	if m.asked != d.manifest.asked || !d.manifest.on {
		return
	}
	d.manifest.edit, d.manifest.err = m.edit, m.err
	d.guard.Disarm()
	d.ended = false
	d.lines.forget()
}

// scopeWords is a scope for the footer.
func scopeWords(s bottles.Scope) string {
	switch {
	case s.Profile:
		return "profile"
	case s.For == 0:
		return "this bottle"
	}
	return "for " + s.String()
}

// scopeHint is the footer's hint of the key that chooses the scope; none where there is no scope.
func (d *Dialog) scopeHint() []string {
	if !change.Scoped(d.req.Tool) {
		return nil
	}
	b := *keys.Get(keys.Request, keys.Scope)
	b.Hint = scopeWords(bottles.Scopes[d.scope])
	return []string{dialog.Hint(d.o.Styles, &b, false)}
}

// scopeLines says how long it would be granted and what that means, and shows the change of the manifest.
func (d *Dialog) scopeLines(w int) []string {
	s := d.o.Styles
	scope := bottles.Scopes[d.scope]
	name, means := "For "+scope.String(), "until "+d.o.Now().Add(scope.For).Local().Format("15:04")+"; then what it changes is taken back by itself."
	switch {
	case scope.Profile:
		name, means = "For the profile", "for good: this bottle now, and every bottle of the profile from its next start on."
	case scope.For == 0:
		name, means = "For this bottle", "also after a resume, until the bottle is deleted."
	}
	var out []string
	rest := frame.Wrap(name+", "+means, w-2)
	for i, line := range rest {
		mark := "  "
		if i == 0 {
			mark = s.Accent.Render("⏱ ")
			line = s.Strong.Render(name) + s.Text.Render(line[min(len(name), len(line)):])
		} else {
			line = s.Text.Render(line)
		}
		out = append(out, mark+line)
	}
	for name, ref := range inOrder(d.sources()) {
		if ref != "" {
			for _, line := range frame.Wrap(frame.Line(name)+" comes from "+frame.Line(ref), w-2) {
				out = append(out, "  "+s.Muted.Render(line))
			}
		}
	}
	lacking := d.lacking()
	if len(lacking) > 0 {
		text := frame.Line(strings.Join(lacking, ", ")) + " is not known to this bottle: y asks where it comes from"
		if len(lacking) > 1 {
			text = frame.Line(strings.Join(lacking, ", ")) + " are not known to this bottle: y asks where they come from"
		}
		if scope.Profile {
			text += ", and then shows what is written to the manifest"
		}
		sign := s.Waiting.Render("! ")
		for _, line := range frame.Wrap(text+".", w-2) {
			out = append(out, sign+s.Text.Render(line))
			sign = "  "
		}
	}
	if !scope.Profile || len(lacking) > 0 {
		return out
	}
	out = append(out, "")
	m := &d.manifest
	switch {
	case m.err != nil:
		out = append(out, s.Bad.Render("✗ The manifest can't be changed like that"))
		for _, line := range frame.Wrap(frame.Text(m.err.Error()), w-2) {
			out = append(out, "  "+s.Text.Render(line))
		}
	case m.edit != nil:
		out = append(out, d.diff(document{frame.Line(list.Tilde(m.edit.Path, d.o.Home)), "the manifest as it is", m.edit.Before, m.edit.After}, w)...)
	case d.o.Now().Sub(m.since) >= slow:
		turn := int(d.o.Now().Sub(m.since)/turnTime) % len(list.Spinner)
		out = append(out, s.Busy.Render(list.Spinner[turn])+s.Muted.Render(" working out what would be written to the manifest …"))
	default:
		out = append(out, "")
	}
	return out
}

// inOrder walks through a map in the order of its keys.
func inOrder(m map[string]string) func(yield func(k, v string) bool) {
	return func(yield func(k, v string) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

// What takes longer than slow shows that it goes on, with a sign that turns every turnTime.
const (
	slow     = 500 * time.Millisecond
	turnTime = 120 * time.Millisecond
)

// Next is how long until the dialog looks or works otherwise by itself; 0 when it will not.
func (d *Dialog) Next() time.Duration {
	wait := d.arming()
	if d.manifest.pending() {
		turn := turnTime
		if since := d.o.Now().Sub(d.manifest.since); since < slow {
			turn = slow - since
		}
		if wait == 0 || turn < wait {
			wait = turn
		}
	}
	return wait
}
