package bottles

import "slices"

// observed is what a plan is made from: the engine's objects of one bottle and what else decides.
type observed struct {
	parts
	sidecarImage bool // the engine has the sidecars' image
	agentImage   bool // the engine has the image of layout.source
	otherImage   bool // the agent has run before, and not on that image
	transcript   bool // the state directory holds a transcript
	unrestored   bool // the volume for it is there, and the transcript is not in it yet
}

// planLive brings a bottle to life, whatever is there already: a launch, a resume, and a rebuild,
// where only the agent is replaced and its pod stays up. cause is the operator's reason.
func planLive(l layout, have observed, cause string) Plan {
	var p Plan
	imported, built := "", planImage(&p, l, have, cause)
	if !have.sidecarImage {
		imported = p.then(doImport, l.sidecars, "the engine does not have it")
	}

	nets, ready := planPod(&p, l, have, cause, imported)
	planAgent(&p, l, have, cause, []string{built, nets[0]}, ready)
	return p
}

// planSidecars starts what is missing of a live bottle's pod, and touches nothing else.
func planSidecars(l layout, have observed, cause string) Plan {
	var p Plan
	imported := ""
	if !have.sidecarImage {
		imported = p.then(doImport, l.sidecars, "the engine does not have it")
	}
	planPod(&p, l, have, cause, imported)
	return p
}

// planPod makes the networks and sidecars that are not there or do not run. It gives the keys of the networks' steps
// and those after which the agent may start.
func planPod(p *Plan, l layout, have observed, cause, imported string) (nets [2]string, ready []string) {
	l = l.keepEngine(have.parts)
	for i, role := range []string{labelNet, labelOut} {
		if _, ok := have.networks[role]; !ok {
			nets[i] = p.then(doNetwork, networkName(role, l.identity), cause)
		}
	}
	podUp := have.containers[RoleEgress].State == StateRunning && nets[0] == "" && nets[1] == ""
	if c, ok := have.containers[RoleCredProxy]; ok && !podUp && !slices.Contains(l.sidecarRoles(), RoleCredProxy) {
		p.then(doRemove, c.Name, "its pod is made anew, and it has no routes")
	}
	if c, ok := have.containers[RolePipelock]; ok && !l.profile.pipelock() {
		p.then(doRemove, c.Name, "its pod is made anew with the built-in egress")
	}
	var holder, pod string // the keys of the steps that make and start the pod's holder
	for _, role := range l.sidecarRoles() {
		name := sidecarName(role, l.identity)
		c, exists := have.containers[role]
		if exists && podUp && c.State == StateRunning {
			continue
		}
		gone := ""
		if exists {
			why := "it does not run"
			if c.State == StateRunning {
				why = "its pod's network is made anew"
			}
			gone = p.then(doRemove, name, why)
		}
		after := []string{gone, imported, holder}
		if role == RolePipelock {
			after = []string{gone, holder} // its image is its own
		}
		if role == RoleEgress {
			after = append(after, nets[:]...)
		}
		created := p.then(doCreate, name, cause, after...)
		configured := p.then(doConfigure, name, "its configuration is copied in before it starts", created)
		started := p.then(doStart, name, cause, configured, pod)
		if role == RoleEgress {
			holder, pod = created, started
		}
		if l.takesSecrets(role) {
			started = p.then(doTokens, name, "it holds them in memory alone", started)
		}
		ready = append(ready, p.then(doReady, name, "the agent starts when its sidecars serve", started))
	}
	return nets, ready
}

// planImage builds the agent's image where the engine has it not.
func planImage(p *Plan, l layout, have observed, cause string) string {
	if have.agentImage {
		return ""
	}
	prepared := ""
	if l.profile.Prepare != nil {
		prepared = p.then(doPrepare, l.profile.Name, "the profile's base image is made, not pulled")
	}
	return p.then(doBuild, l.image, cause, prepared)
}

// planAgent puts the wanted agent container in the place of what is there. It can be made when the
// steps base are done; it runs, and the one before it stops, only when those of ready are, too.
func planAgent(p *Plan, l layout, have observed, cause string, base, ready []string) {
	name := agentName(l.identity)
	before := append(append([]string{}, base...), ready...)
	gone := ""
	if c, ok := have.containers[RoleAgent]; ok {
		if spec, err := l.container(RoleAgent, have.networks[labelNet]); err == nil &&
			c.State == StateRunning && spec.has(c) {
			p.then(doRunning, name, "it runs as wanted", before...)
			return
		}
		why := "it does not run"
		if c.State == StateRunning || c.State == StatePaused {
			why = "another one takes its place"
			gone = p.then(doStop, name, why, before...)
		}
		kept := p.then(doSnapshot, l.identity, "nothing of the conversation is lost", gone)
		gone = p.then(doRemove, name, why, kept)
	}
	made := map[string]string{}
	after := []string{gone}
	for _, role := range volumeRoles {
		if _, ok := have.volumes[role]; !ok {
			made[role] = p.then(doVolume, volumeName(role, l.identity), cause)
			after = append(after, made[role])
		}
	}
	created := p.then(doCreate, name, cause, append(after, base...)...)
	compared := ""
	if made[labelUser] == "" && have.otherImage {
		compared = p.then(doCompare, l.image, "what it adds to the home is added to the volume", base...)
	}
	last := p.then(doConfigure, name, "the agent reads what is in force", created, compared)
	if l.fill != "" {
		last = p.then(doFill, name, "the workspace is a copy of "+l.fill, last)
	}
	if (made[labelHome] != "" || have.unrestored) && have.transcript {
		last = p.then(doRestore, name, "its volume is new, its transcript is kept", last)
	}
	last = p.then(doAttach, name, "nothing it prints is missed", last)
	last = p.then(doStart, name, cause, append([]string{last}, ready...)...)
	p.then(doRunning, name, "the bottle is live when its agent runs on the wanted image", last)
}

// planEnded clears up after an agent that ended by itself; its container stays, to be read.
func planEnded(identity string, have parts) Plan {
	var p Plan
	kept := p.then(doSnapshot, identity, "its agent ended")
	dismantle(&p, have, "its agent ended", kept)
	return p
}

// planDown ends a bottle and keeps its memory: its volumes and the transcript.
func planDown(identity string, have parts, cause string) Plan {
	var p Plan
	last := ""
	if c, ok := have.containers[RoleAgent]; ok {
		if c.State == StateRunning || c.State == StatePaused {
			last = p.then(doStop, c.Name, cause)
		}
		kept := p.then(doSnapshot, identity, "nothing of the conversation is lost", last)
		gone := p.then(doRemove, c.Name, cause, kept)
		dismantle(&p, have, cause, last, gone)
	} else {
		dismantle(&p, have, cause)
	}
	for _, v := range have.left {
		p.then(doUnvolume, v.Name, "its container is gone")
	}
	return p
}

// dismantle removes the sidecars, then the networks. The first of after is what the sidecars wait
// for; the networks wait for all.
func dismantle(p *Plan, have parts, cause string, after ...string) {
	first := ""
	if len(after) > 0 {
		first = after[0]
	}
	all := append([]string{}, after...)
	for _, role := range append(roles[1:len(roles):len(roles)], roleLook) {
		if c, ok := have.containers[role]; ok {
			all = append(all, p.then(doRemove, c.Name, cause, first))
		}
	}
	for _, role := range []string{labelNet, labelOut} {
		if n, ok := have.networks[role]; ok {
			p.then(doUnnet, n.Name, cause, all...)
		}
	}
}

// planGone removes a bottle for good. own are the references of its own images. An orphan has no
// state to forget.
func planGone(identity string, have parts, own []string, orphan bool) Plan {
	const cause = "the operator deletes the bottle"
	var p Plan
	var all []string
	for _, role := range append(roles[:len(roles):len(roles)], roleLook) {
		if c, ok := have.containers[role]; ok {
			all = append(all, p.then(doRemove, c.Name, cause))
		}
	}
	for _, role := range []string{labelNet, labelOut} {
		if n, ok := have.networks[role]; ok {
			all = append(all, p.then(doUnnet, n.Name, cause, all...))
		}
	}
	for _, role := range volumeRoles {
		if v, ok := have.volumes[role]; ok {
			all = append(all, p.then(doUnvolume, v.Name, cause, all...))
		}
	}
	for _, v := range have.left {
		all = append(all, p.then(doUnvolume, v.Name, "its container is gone", all...))
	}
	for _, ref := range own {
		all = append(all, p.then(doUnimage, ref, cause, all...))
	}
	if !orphan {
		p.then(doForget, identity, cause, all...)
	}
	return p
}
