package supervise

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"bottle-tui/queue"
	"bottle-tui/sidecars"

	"github.com/aymanbagabas/go-udiff"
)

// What the model reads. It is written to be acted on: what was decided, what happens now, what to do. Claude
// Code cuts the instructions and each description after 2 KiB.

// credProxy is where the agent reaches cred-proxy.
var credProxy = "http://cred-proxy:" + strconv.Itoa(sidecars.PortCredProxy)

var instructionsText = `You work in a bottle: a container whose image, network and credentials an operator controls. This server is how you ask the operator. Its three tools wait until a person has decided, which may take long: that is expected, and there is no need to call again or to poll.

- A tool or library that the work needs is missing and you can't install it yourself: capability-block, with the whole changed Dockerfile. If it is approved, your container is replaced by one built from it; your conversation and files are kept.
- A host can't be reached, or egress answers 403: egress-block, with the whole changed allowlist. If it is approved, the hosts can be reached at once.
- An upstream needs a credential (it answers 401 or 403, or asks for a login or a token): cred-proxy-block, with all routes. If it is approved, requests to ` + credProxy + ` and the route's path reach the upstream with the credential added. You never hold a credential: don't ask anybody to paste a token, don't look for one, don't write one into an argument.

The three files in force are Dockerfile, allowlist and routes.json under ` + sidecars.CurrentConfigDir + ` (read-only); start from them. Ask only for what the work needs; ask once for several things together; a denial is a decision, not a fault.`

const waits = ` Waits until the operator approves, approves with edits, or denies; that may take minutes or hours.`

const capabilityText = `Ask the operator for a change of your container's image, such as an additional tool. Give the whole new Dockerfile (start from ` + sidecars.CurrentConfigDir + `/Dockerfile) and say why the work needs it.` + waits + ` After an approval your container is replaced and you go on in the new one, with the same conversation and files.`

const egressText = `Ask the operator to let you reach more hosts. Call it when egress, the bottle's way out, answers 403, or when a name can't be resolved, and the work needs that host. Give the whole new allowlist (start from ` + sidecars.CurrentConfigDir + `/allowlist, add the hosts) and say why the work needs them. Name hosts as narrowly as you can.` + waits + ` After an approval the hosts can be reached at once. For an upstream that needs a credential use cred-proxy-block instead: what goes through cred-proxy needs no rule here.`

var credProxyText = `Ask the operator for access to an upstream with a credential that you never hold. Call it when an upstream needs a login, a token or a key; never ask a person to paste one. Give all routes (start from ` + sidecars.CurrentConfigDir + `/routes.json) and say why the work needs them. For token_ref take a name that routes.json shows; where none fits, make up a name such as EXAMPLE_TOKEN and describe in the justification the credential that is needed (of which service, with which rights): the operator supplies it. Never write a credential's value.` + waits + ` After an approval, requests to ` + credProxy + ` and the route's path go to its upstream, with the credential added.`

// stopping is what a call gets that waits when supervise is told to stop.
func (a *asking) stopping() error {
	return problemf("The supervise server is being restarted. Your request is kept and still waits for the operator. Call %s again with the same %s, and the call goes on waiting for the same answer.", a.name, a.argument)
}

func waitingText(since time.Duration) string {
	if since < time.Minute {
		return "waiting for the operator"
	}
	return "waiting for the operator since " + strings.TrimSuffix(since.Truncate(time.Minute).String(), "0s")
}

const replaced = "Your container is being replaced by one built from it, within seconds; your conversation, your home and /workspace are kept. Do nothing more now: you will be told when you are in the new one."

// Bounds on what is told of a change.
const (
	maxDiff    = 64 << 10 // bytes
	maxChanges = 100
)

// answered is an answer in words for the model. A denial is an answer too, not an error of the tool.
func (a *asking) answered(answer queue.Answer) string {
	var b strings.Builder
	note := strings.TrimSpace(answer.Note)
	withNote := func(label string) {
		if note != "" {
			fmt.Fprintf(&b, "\n\n%s: %s", label, note)
		}
	}
	switch answer.Decision {
	case queue.Approved, queue.Edited:
		asked, granted, edited := a.granted(answer)
		if edited {
			b.WriteString("Approved with edits. The operator has changed your " + a.noun + " and accepted the changed one. ")
		} else {
			b.WriteString("Approved. The operator has accepted your " + a.noun + " as it is. ")
		}
		b.WriteString(a.effect(granted, strings.TrimSpace(answer.Scope)))
		withNote("The operator's note")
		if edited {
			b.WriteString("\n\nThe difference between what you asked for (-) and what you get (+):\n\n")
			b.WriteString(difference(a.file, asked, granted))
		}
	case queue.Denied:
		b.WriteString("Denied. The operator does not want this change; nothing was changed.")
		if note == "" {
			note = "none was given"
		}
		withNote("The operator's reason")
		b.WriteString("\n\nDon't ask for the same again. " + a.denied)
	case queue.Withdrawn:
		b.WriteString("Withdrawn. The request was taken back before it was decided; nothing was changed.")
		withNote("Note")
		b.WriteString("\n\nIf the work still needs it, call again.")
	case queue.Expired:
		b.WriteString("Expired. Nobody decided on the request in time; nothing was changed.")
		withNote("Note")
		b.WriteString("\n\nGo on without it as far as you can. If the work still needs it, call again.")
	default:
		fmt.Fprintf(&b, "The operator's answer, %q, is not one that this server knows; take it as a denial.", answer.Decision)
		withNote("The operator's note")
	}
	fmt.Fprintf(&b, "\n\n(request %s)", a.request.ID)
	return b.String()
}

// granted is what was asked and what comes into force, in one form, and whether the operator changed it.
func (a *asking) granted(answer queue.Answer) (asked, got string, edited bool) {
	asked, got = a.request.Proposed, answer.Content
	if got == "" && (a.tool == capability || answer.Decision == queue.Approved) {
		return asked, asked, false
	}
	return asked, got, !a.same(asked, got)
}

// effect says what an approval does, and what to do with it.
func (a *asking) effect(granted, scope string) string {
	if a.tool == capability {
		return replaced
	}
	var b strings.Builder
	b.WriteString("It is in force now")
	if scope != "" {
		b.WriteString(", " + scope)
	}
	b.WriteString(".")
	before := a.before
	if !a.known {
		before = "" // all of it may be new
	}
	var gone, come []string
	var use string
	if a.tool == egressBlock {
		gone, come = changedRules(before, granted)
		use = "Do again what egress had refused."
	} else {
		var routes []Route
		gone, come, routes = changedRoutes(before, granted)
		use = "Use these addresses in place of the upstreams' own, without any credential of yours; cred-proxy adds it:" + addresses(routes)
	}
	switch {
	case !a.known:
		fmt.Fprintf(&b, " Read %s/%s to see it whole.", sidecars.CurrentConfigDir, a.file)
	case len(gone)+len(come) == 0:
		b.WriteString(" Nothing in it differs from what was in force when you asked.")
	default:
		b.WriteString(" What has changed since you asked:\n" + changes(gone, come))
	}
	if len(come) > 0 {
		b.WriteString("\n\n" + use)
	}
	return b.String()
}

func changedRules(before, now string) (gone, come []string) {
	x, _ := parseRules(before)
	y, _ := parseRules(now)
	return without(x, y), without(y, x)
}

func changedRoutes(before, now string) (gone, come []string, routes []Route) {
	x, _ := ParseRoutes(before)
	y, _ := ParseRoutes(now)
	lacks := func(in []Route, r Route) bool {
		return !slices.ContainsFunc(in, func(o Route) bool { return o.key() == r.key() })
	}
	for _, r := range y {
		if lacks(x, r) {
			come, routes = append(come, r.inWords()), append(routes, r)
		}
	}
	for _, r := range x {
		if lacks(y, r) {
			gone = append(gone, r.inWords())
		}
	}
	return gone, come, routes
}

func (r Route) inWords() string {
	role := ""
	if len(r.Role) > 0 {
		role = "; " + strings.Join(r.Role, ", ")
	}
	return fmt.Sprintf("%s to %s (%s, %s%s)", r.Path, r.Upstream, r.AuthScheme, r.TokenRef, role)
}

// changes is a list of what has gone and come, bounded.
func changes(gone, come []string) string {
	var b strings.Builder
	n := 0
	list := func(sign string, what []string) {
		for _, s := range what {
			if n++; n <= maxChanges {
				b.WriteString("\n" + sign + " " + s)
			}
		}
	}
	list("+", come)
	list("-", gone)
	if n > maxChanges {
		fmt.Fprintf(&b, "\n… and %d more", n-maxChanges)
	}
	return b.String()
}

// addresses are the routes as the agent uses them, bounded.
func addresses(routes []Route) string {
	var b strings.Builder
	for _, r := range routes[:min(len(routes), maxChanges)] {
		fmt.Fprintf(&b, "\n%s%s for %s", credProxy, r.Path, r.Upstream)
	}
	return b.String()
}

// difference is a unified diff, bounded.
func difference(file, asked, got string) string {
	d := udiff.Unified(file+" (asked)", file+" (approved)", asked, got)
	if len(d) > maxDiff {
		cut := strings.LastIndexByte(d[:maxDiff], '\n') + 1
		return d[:cut] + fmt.Sprintf("… %d bytes more; read the whole file under %s\n", len(d)-cut, sidecars.CurrentConfigDir)
	}
	return d
}
