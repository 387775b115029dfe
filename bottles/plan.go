package bottles

import (
	"fmt"
	"strings"
)

// Verb is what a step does to its object.
type Verb string

// The verbs of a plan. The executor knows how; the planner alone knows when and why.
const (
	doImport    Verb = "import image"     // the sidecars' image
	doPrepare   Verb = "prepare base"     // what the profile's Dockerfile is based on
	doBuild     Verb = "build image"      // the agent's image
	doNetwork   Verb = "create network"   //
	doVolume    Verb = "create volume"    //
	doCreate    Verb = "create container" //
	doCompare   Verb = "compare home"     // of an image with that of the image that the agent ran on
	doConfigure Verb = "configure"        // copy a container's configuration into it
	doTokens    Verb = "give tokens"      // to a running cred-proxy, through its standard input
	doFill      Verb = "fill workspace"   // from the operator's directory
	doRestore   Verb = "restore"          // the transcript into a new volume
	doAttach    Verb = "attach"           // the agent's terminal, before it starts
	doStart     Verb = "start container"  //
	doReady     Verb = "await ready"      // a sidecar's voice says it serves
	doRunning   Verb = "confirm running"  // the agent, on the wanted image
	doStop      Verb = "stop container"   //
	doSnapshot  Verb = "snapshot"         // the transcript to the state directory
	doRemove    Verb = "remove container" //
	doUnnet     Verb = "remove network"   //
	doUnvolume  Verb = "remove volume"    //
	doUnimage   Verb = "remove image"     // the bottle's own
	doForget    Verb = "delete state"     //
	doKeep      Verb = "keep Dockerfile"  // the old one to the history, the new one in force
	doAnswer    Verb = "answer request"   //
	doRecorded  Verb = "await transcript" // that records the answer
	doArchive   Verb = "archive request"  //
)

// Step is one thing to do, as data.
type Step struct {
	Do     Verb
	Object string   // the engine's name of it, or the request's id
	After  []string // the keys of the steps that must be done first
	Cause  string   // why this step is in the plan
}

// Key names the step within its plan.
func (s Step) Key() string { return string(s.Do) + " " + s.Object }

// Plan is an ordered list of steps. Steps whose After are done may run at the same time.
type Plan []Step

// String prints the plan, a step a line, for people and for tests.
func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p {
		fmt.Fprintf(&b, "%s: %s", s.Key(), s.Cause)
		if len(s.After) > 0 {
			fmt.Fprintf(&b, " [after %s]", strings.Join(s.After, ", "))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// then adds a step after those named and gives its key.
func (p *Plan) then(do Verb, object, cause string, after ...string) string {
	s := Step{Do: do, Object: object, Cause: cause}
	for _, k := range after {
		if k != "" {
			s.After = append(s.After, k)
		}
	}
	*p = append(*p, s)
	return s.Key()
}

// parts are the engine's objects of one bottle, as observed.
type parts struct {
	containers map[Role]Container
	networks   map[string]Network // by the label's role: "net", "out"
	volumes    map[string]Volume  // by the label's role, one of volumeRoles
	left       []Volume           // anonymous ones, whose container is gone
	other      *foreign           // what of it carries another root's id; nil: nothing
}

func newParts() parts {
	return parts{containers: map[Role]Container{}, networks: map[string]Network{}, volumes: map[string]Volume{}}
}

// empty says that the engine holds nothing that runs or blocks a name.
func (p parts) empty() bool { return len(p.containers) == 0 && len(p.networks) == 0 }

// names lists the objects as "container NAME", for people.
func (p parts) names() []string {
	var out []string
	for _, r := range append(roles[:len(roles):len(roles)], roleLook) {
		if c, ok := p.containers[r]; ok {
			out = append(out, "container "+c.Name+runs(c))
		}
	}
	for _, r := range []string{labelNet, labelOut} {
		if n, ok := p.networks[r]; ok {
			out = append(out, "network "+n.Name)
		}
	}
	for _, r := range volumeRoles {
		if v, ok := p.volumes[r]; ok {
			out = append(out, "volume "+v.Name+holds(r))
		}
	}
	for _, v := range p.left {
		out = append(out, "volume "+v.Name+" (left by a container that is gone)")
	}
	return out
}

// runs marks a container that is not at its end: removing it ends what it does.
func runs(c Container) string {
	if c.State.alive() {
		return " (" + string(c.State) + ")"
	}
	return ""
}

// holds says what of worth is in a volume.
func holds(role string) string {
	switch role {
	case labelWork:
		return " (the workspace)"
	case labelUser:
		return " (the agent's home)"
	}
	return " (the conversation)"
}

// roles in the order in which people read them; the pod's holder first among the sidecars.
var roles = []Role{RoleAgent, RoleEgress, RolePipelock, RoleCredProxy, RoleGitGate, RoleSupervise}

// group sorts a listing by bottle.
func group(o Observed) map[string]parts {
	all := map[string]parts{}
	of := func(labels map[string]string, put func(p *parts, role string)) {
		id := labels[LabelIdentity]
		if id == "" {
			return
		}
		p, ok := all[id]
		if !ok {
			p = newParts()
		}
		put(&p, labels[LabelRole])
		all[id] = p
	}
	for _, c := range o.Containers {
		of(c.Labels, func(p *parts, role string) { p.containers[Role(role)] = c })
	}
	for _, n := range o.Networks {
		of(n.Labels, func(p *parts, role string) { p.networks[role] = n })
	}
	for _, v := range o.Volumes {
		of(v.Labels, func(p *parts, role string) {
			if Role(role) == RoleAnonymous {
				p.left = append(p.left, v)
				return
			}
			p.volumes[role] = v
		})
	}
	return all
}
