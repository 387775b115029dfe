package bottles

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"

	"bottle-tui/sidecars"
	"bottle-tui/sidecars/gitgate"
	"bottle-tui/sidecars/pid1"
	"bottle-tui/sidecars/pipelock"
	"bottle-tui/state"
)

// The values of LabelRole on networks and volumes.
const (
	labelNet  = "net"
	labelOut  = "out"
	labelWork = "work"
	labelUser = "user" // the agent's home directory, Program.userHome
	labelHome = "home" // what Claude Code keeps in it, Program.Home
)

// volumeRoles are the volumes of a bottle: its memory.
var volumeRoles = []string{labelWork, labelUser, labelHome}

// layout is one bottle on the engine: every name, label and specification, worked out from what is
// wanted. It decides nothing by what is there.
type layout struct {
	identity string
	root     string // state.Root.ID
	queueDir string // of this bottle, on the host
	owner    int    // uid of the sidecars
	profile  Profile
	sidecars string // reference of the sidecars' image
	image    string // reference of the agent's image
	source   []byte // the Dockerfile that image is built from
	own      bool   // source is the bottle's own Dockerfile, not its profile's
	args     []string
	ownInit  bool   // the engine has no init: the agent's first process is this program's
	session  string // that the agent begins or goes on with
	aside    string // what it is told without a turn
	cols     int
	rows     int

	force       inForce
	later       []stage           // what comes into force in its place by itself
	host        []string          // addresses of this machine that egress would dial
	tokens      map[string]string // public name → token_ref, of every token that may be used
	fill        string            // the directory to copy into the workspace; "": it is not to be filled
	part        string            // what of a git repository that directory is, which is copied with it
	skipIgnored bool              // of that, what git ignores is left out
}

func agentName(identity string) string { return "claude-bottle-" + identity }

func sidecarName(role Role, identity string) string {
	return "claude-bottle-" + string(role) + "-" + identity
}

func containerName(role Role, identity string) string {
	if role == RoleAgent {
		return agentName(identity)
	}
	return sidecarName(role, identity)
}

func networkName(role, identity string) string { return "claude-bottle-" + role + "-" + identity }

func volumeName(role, identity string) string { return "claude-bottle-" + role + "-" + identity }

// imageRef names the image of a Dockerfile by its content: the bottle's own under its identity, a
// profile's, which the bottles of one state root share, under the profile's name and that root.
func imageRef(owner string, dockerfile []byte) string {
	sum := sha256.Sum256(dockerfile)
	return "claude-bottle-" + state.Slug(owner) + ":" + hex.EncodeToString(sum[:])[:12]
}

// dress chooses the image: the bottle's own Dockerfile where it has one, its profile's else.
func (l *layout) dress(own []byte) {
	l.source, l.own, l.image = l.profile.Dockerfile, false, imageRef(l.profile.Name+"-"+l.root, l.profile.Dockerfile)
	if own != nil {
		l.source, l.own, l.image = own, true, imageRef(l.identity, own)
	}
}

// sidecarRoles are the sidecars this bottle has, the pod's holder first. An agent that may ask for routes has a
// cred-proxy without any, so that the first one is in force as soon as a further one.
func (l layout) sidecarRoles() []Role {
	roles := []Role{RoleEgress}
	if l.profile.pipelock() {
		roles = append(roles, RolePipelock)
	}
	if len(l.allRoutes()) > 0 || l.profile.Supervise {
		roles = append(roles, RoleCredProxy)
	}
	if len(l.profile.Git) > 0 {
		roles = append(roles, RoleGitGate)
	}
	if l.profile.Supervise {
		roles = append(roles, RoleSupervise)
	}
	return roles
}

// takesSecrets says whether a sidecar of this bottle is given secrets once it runs: it does not serve before.
func (l layout) takesSecrets(role Role) bool {
	return role == RoleCredProxy && len(l.allRoutes()) > 0 || role == RoleGitGate
}

// has says whether a container is the one that spec would make.
func (spec ContainerSpec) has(c Container) bool { return c.Labels[LabelSpec] == spec.Labels[LabelSpec] }

// labels are those of a part. It reads nothing of the layout that changes once an operation has begun.
func (l *layout) labels(role string) map[string]string {
	return map[string]string{
		LabelIdentity: l.identity,
		LabelRole:     role,
		LabelAgent:    l.profile.Agent,
		LabelRoot:     l.root,
	}
}

// The fixed places in the internal network, counted from the subnet's first address; the engine
// keeps the next one for a gateway, which that network does not have.
const (
	egressPlace = 2
	agentPlace  = 3
)

func place(subnet netip.Prefix, n int) netip.Addr {
	a := subnet.Masked().Addr()
	for range n {
		a = a.Next()
	}
	return a
}

// container is the specification of one container; net is the bottle's internal network.
func (l layout) container(role Role, net Network) (ContainerSpec, error) {
	var spec ContainerSpec
	switch role {
	case RoleAgent:
		spec = l.agent(net)
	case RoleEgress:
		spec = l.sidecar(role)
		spec.Sysctls = map[string]string{"net.ipv4.ip_forward": "0"}
		spec.Endpoints = []Endpoint{
			{
				Network: networkName(labelNet, l.identity),
				Address: place(net.Subnet, egressPlace),
				Aliases: []string{string(RoleEgress), string(RoleCredProxy), string(RoleGitGate), string(RoleSupervise)},
			},
			{Network: networkName(labelOut, l.identity)},
		}
		if l.profile.pipelock() {
			spec.Cmd = append(spec.Cmd, "-listen", "off") // its port is pipelock's
		}
	case RolePipelock:
		spec = l.sidecar(role)
		spec.Image, spec.Cmd = l.profile.EgressImage, pipelock.Command()
		spec.JoinPod = sidecarName(RoleEgress, l.identity)
	case RoleCredProxy:
		spec = l.sidecar(role)
		spec.JoinPod = sidecarName(RoleEgress, l.identity)
		spec.Stdin = true // the tokens' way in
	case RoleGitGate:
		spec = l.sidecar(role)
		spec.JoinPod = sidecarName(RoleEgress, l.identity)
		spec.Stdin = true // the keys' way in
		spec.Mounts = append(spec.Mounts, Mount{Target: gitgate.SpoolDir})
	case RoleSupervise:
		spec = l.sidecar(role)
		spec.JoinPod = sidecarName(RoleEgress, l.identity)
		spec.Mounts = append(spec.Mounts, Mount{Host: l.queueDir, Target: sidecars.QueueDir})
	default:
		return spec, fmt.Errorf("no such container in a bottle: %s", role)
	}
	hash, err := json.Marshal(spec)
	if err != nil {
		return spec, fmt.Errorf("hash the specification of %s: %w", spec.Name, err)
	}
	sum := sha256.Sum256(hash)
	if role == RoleAgent {
		spec.Cols, spec.Rows = l.cols, l.rows // a window's size makes no other container
	}
	spec.Labels = l.labels(string(role))
	spec.Labels[LabelSpec] = hex.EncodeToString(sum[:])[:16]
	return spec, nil
}

// proxyEnv points the agent's programs at egress, and past it to the sidecars.
var proxyEnv = func() []string {
	proxy := fmt.Sprintf("http://%s:%d", RoleEgress, sidecars.PortEgress)
	const direct = "egress,cred-proxy,git-gate,supervise,localhost,127.0.0.1,::1"
	return []string{
		"HTTP_PROXY=" + proxy, "HTTPS_PROXY=" + proxy, "NO_PROXY=" + direct,
		"http_proxy=" + proxy, "https_proxy=" + proxy, "no_proxy=" + direct,
	}
}()

func (l layout) agent(net Network) ContainerSpec {
	p := l.profile
	memory, pids := p.Memory, p.Pids
	if memory == 0 {
		memory = DefaultMemory
	}
	if pids == 0 {
		pids = DefaultPids
	}
	env := append([]string{"CLAUDE_BOTTLE_IDENTITY=" + l.identity, "TERM=xterm-256color", "COLORTERM=truecolor"}, proxyEnv...)
	var first []string
	if l.ownInit {
		first = []string{pid1.Path, "--"}
	}
	return ContainerSpec{
		Name:       agentName(l.identity),
		Init:       !l.ownInit,
		Before:     first,
		Image:      l.image,
		Cmd:        l.args,
		Env:        append(append(env, p.Env...), roleEnv(l.force.routes)...),
		User:       fmt.Sprintf("%d:%d", p.Program.UID, p.Program.GID),
		WorkingDir: p.Program.dir(),
		Terminal:   true,
		Endpoints:  []Endpoint{{Network: networkName(labelNet, l.identity), Address: place(net.Subnet, agentPlace)}},
		DNS:        []string{place(net.Subnet, egressPlace).String()},
		Mounts: []Mount{
			{Volume: volumeName(labelWork, l.identity), Target: Workspace},
			{Volume: volumeName(labelUser, l.identity), Target: p.Program.userHome()},
			{Volume: volumeName(labelHome, l.identity), Target: p.Program.Home},
		},
		Memory: memory,
		Pids:   pids,
	}
}

func (l layout) sidecar(role Role) ContainerSpec {
	return ContainerSpec{
		Name:     sidecarName(role, l.identity),
		Image:    l.sidecars,
		Cmd:      []string{"sidecar", string(role)},
		User:     fmt.Sprintf("%d:%d", l.owner, l.owner),
		ReadOnly: true,
		Mounts:   []Mount{{Target: sidecars.ConfigDir}},
		Tmpfs:    map[string]string{"/tmp": "size=64m,mode=1777"},
		Memory:   512 << 20,
		Pids:     256,
	}
}
