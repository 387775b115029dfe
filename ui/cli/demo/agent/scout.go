package agent

import (
	"context"
	"strings"
)

// explore is the scout's work: it reaches for a host that it may not reach, and asks for it.
func (a *agent) explore(ctx context.Context) {
	a.view.at(true, "reading the task")
	a.say("I am to read the page of %s. First I write down what for.", scoutHost)
	a.write("notes.md", "# Read\n\n- the page of "+scoutHost+", for its wording\n")
	if !a.pause(ctx, a.delay) {
		return
	}
	if a.reach(ctx) {
		a.say("I may go there already, so there is nothing to ask for.")
		return
	}
	if ctx.Err() == nil {
		a.say("Egress, my only way out, does not let me there. I ask the operator for this one host.")
		a.askHost(ctx)
	}
}

// askHost asks for the host.
func (a *agent) askHost(ctx context.Context) {
	if current, ok := a.readInForce(egressBlock); ok {
		a.ask(ctx, request{egressBlock, ScoutReason, ProposeHost(current), hash(current)})
	}
}

// refusedByEgress is in egress's answer when a host is not allowed. It says so at once; whatever takes long is further out.
const refusedByEgress = "egress refused this request"

// reach asks for the page. It is true when egress lets the request go, whatever comes of it further out: the demo
// needs no network.
func (a *agent) reach(ctx context.Context) bool {
	a.view.at(true, "reaching for "+scoutHost)
	id := a.use(toolFetch, map[string]string{"url": "http://" + scoutHost + "/"})
	text, failed := fetch(ctx, "http://"+scoutHost+"/")
	a.result(id, text, failed)
	return !strings.Contains(text, refusedByEgress) && ctx.Err() == nil
}

// retrace reaches for the page again, and says what this means.
func (a *agent) retrace(ctx context.Context) {
	if a.reach(ctx) {
		a.say("Egress lets me go to %s now. Where this machine has no network, nothing answers there, and that is not mine to change. "+
			"The tab Egress shows for how long; type try when that is over.", scoutHost)
	} else if ctx.Err() == nil {
		a.say("Egress still says no to %s.", scoutHost)
	}
}
