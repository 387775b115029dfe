package bottles

import (
	"net/netip"
	"strings"
	"testing"
)

// testLayout is a bottle without routes and remotes, whose agent resumes its session.
func testLayout(args ...string) layout {
	return layout{
		identity: "impl-00000", root: "root", owner: 1000, queueDir: "/q",
		profile: Profile{
			Agent: "impl", Name: "demo", Supervise: true,
			Program: Program{Home: "/home/agent/.claude", UID: 1000, GID: 1000},
		},
		sidecars: "sidecars:1", image: "agent:1", args: args,
	}
}

// everything is what the engine holds of a bottle that lives as l wants it.
func everything(t *testing.T, l layout) observed {
	t.Helper()
	have := observed{parts: newParts(), sidecarImage: true, agentImage: true, transcript: true}
	net := Network{Name: networkName(labelNet, l.identity), Subnet: netip.MustParsePrefix("10.89.0.0/28")}
	have.networks[labelNet] = net
	have.networks[labelOut] = Network{Name: networkName(labelOut, l.identity)}
	have.volumes[labelWork] = Volume{Name: volumeName(labelWork, l.identity)}
	have.volumes[labelUser] = Volume{Name: volumeName(labelUser, l.identity)}
	have.volumes[labelHome] = Volume{Name: volumeName(labelHome, l.identity)}
	for _, role := range append(l.sidecarRoles(), RoleAgent) {
		spec, err := l.container(role, net)
		if err != nil {
			t.Fatal(err)
		}
		have.containers[role] = Container{Name: spec.Name, Labels: spec.Labels, State: StateRunning, Image: spec.Image}
	}
	return have
}

func equalPlan(t *testing.T, got Plan, want string) {
	t.Helper()
	want = strings.TrimLeft(strings.ReplaceAll(want, "\n\t\t", "\n"), "\n\t")
	if got.String() != strings.TrimRight(want, "\t") {
		t.Errorf("plan:\n%s\nwant:\n%s", got, want)
	}
	done := map[string]bool{}
	for _, s := range got {
		for _, k := range s.After {
			if !done[k] {
				t.Errorf("%q waits for %q, which is not before it", s.Key(), k)
			}
		}
		if done[s.Key()] {
			t.Errorf("%q is in the plan twice", s.Key())
		}
		done[s.Key()] = true
	}
}

func TestPlanOfALaunchStartsSidecarsBeforeTheAgent(t *testing.T) {
	l := testLayout()
	l.profile.Prepare = nil
	equalPlan(t, planLive(l, observed{parts: newParts()}, "launch"), `
		build image agent:1: launch
		import image sidecars:1: the engine does not have it
		create network claude-bottle-net-impl-00000: launch
		create network claude-bottle-out-impl-00000: launch
		create container claude-bottle-egress-impl-00000: launch [after import image sidecars:1, create network claude-bottle-net-impl-00000, create network claude-bottle-out-impl-00000]
		configure claude-bottle-egress-impl-00000: its configuration is copied in before it starts [after create container claude-bottle-egress-impl-00000]
		start container claude-bottle-egress-impl-00000: launch [after configure claude-bottle-egress-impl-00000]
		await ready claude-bottle-egress-impl-00000: the agent starts when its sidecars serve [after start container claude-bottle-egress-impl-00000]
		create container claude-bottle-cred-proxy-impl-00000: launch [after import image sidecars:1, create container claude-bottle-egress-impl-00000]
		configure claude-bottle-cred-proxy-impl-00000: its configuration is copied in before it starts [after create container claude-bottle-cred-proxy-impl-00000]
		start container claude-bottle-cred-proxy-impl-00000: launch [after configure claude-bottle-cred-proxy-impl-00000, start container claude-bottle-egress-impl-00000]
		await ready claude-bottle-cred-proxy-impl-00000: the agent starts when its sidecars serve [after start container claude-bottle-cred-proxy-impl-00000]
		create container claude-bottle-supervise-impl-00000: launch [after import image sidecars:1, create container claude-bottle-egress-impl-00000]
		configure claude-bottle-supervise-impl-00000: its configuration is copied in before it starts [after create container claude-bottle-supervise-impl-00000]
		start container claude-bottle-supervise-impl-00000: launch [after configure claude-bottle-supervise-impl-00000, start container claude-bottle-egress-impl-00000]
		await ready claude-bottle-supervise-impl-00000: the agent starts when its sidecars serve [after start container claude-bottle-supervise-impl-00000]
		create volume claude-bottle-work-impl-00000: launch
		create volume claude-bottle-user-impl-00000: launch
		create volume claude-bottle-home-impl-00000: launch
		create container claude-bottle-impl-00000: launch [after create volume claude-bottle-work-impl-00000, create volume claude-bottle-user-impl-00000, create volume claude-bottle-home-impl-00000, build image agent:1, create network claude-bottle-net-impl-00000]
		configure claude-bottle-impl-00000: the agent reads what is in force [after create container claude-bottle-impl-00000]
		attach claude-bottle-impl-00000: nothing it prints is missed [after configure claude-bottle-impl-00000]
		start container claude-bottle-impl-00000: launch [after attach claude-bottle-impl-00000, await ready claude-bottle-egress-impl-00000, await ready claude-bottle-cred-proxy-impl-00000, await ready claude-bottle-supervise-impl-00000]
		confirm running claude-bottle-impl-00000: the bottle is live when its agent runs on the wanted image [after start container claude-bottle-impl-00000]
		`)
}

// Routes can be granted only where the agent can ask for them: there cred-proxy waits without any, else it is not there.
func TestACredProxyThatNothingNeedsIsRemovedWithItsPod(t *testing.T) {
	l := testLayout("--resume", "s", "--", "m")
	have := everything(t, l)
	l.profile.Supervise = false
	if got := planLive(l, have, "resume").String(); strings.Contains(got, "cred-proxy") {
		t.Errorf("the pod is up, and its cred-proxy is touched:\n%s", got)
	}
	egress := have.containers[RoleEgress]
	egress.State = StateExited
	have.containers[RoleEgress] = egress
	got := planLive(l, have, "resume").String()
	if !strings.Contains(got, "remove container claude-bottle-cred-proxy-impl-00000: its pod is made anew, and it has no routes\n") ||
		strings.Contains(got, "create container claude-bottle-cred-proxy-impl-00000") {
		t.Errorf("a cred-proxy that nothing needs stays:\n%s", got)
	}
	l.force.routes = []Route{{Path: "/api/", Upstream: "https://api.example.com", AuthScheme: "bearer", TokenRef: "TOKEN"}}
	if got := planLive(l, have, "resume").String(); !strings.Contains(got, "give tokens claude-bottle-cred-proxy-impl-00000: it holds them in memory alone") {
		t.Errorf("a cred-proxy with a route is given no token:\n%s", got)
	}
}

func TestPlanOfALiveBottleOnlyConfirms(t *testing.T) {
	l := testLayout("--resume", "s", "--", "m")
	equalPlan(t, planLive(l, everything(t, l), "resume"), `
		confirm running claude-bottle-impl-00000: it runs as wanted
		`)
}

func TestPlanOfARebuildReplacesOnlyTheAgent(t *testing.T) {
	l := testLayout("--resume", "s", "--", "m")
	have := everything(t, l)
	l.image, have.otherImage = "agent:2", true
	equalPlan(t, planLive(l, have, "rebuild"), `
		stop container claude-bottle-impl-00000: another one takes its place
		snapshot impl-00000: nothing of the conversation is lost [after stop container claude-bottle-impl-00000]
		remove container claude-bottle-impl-00000: another one takes its place [after snapshot impl-00000]
		create container claude-bottle-impl-00000: rebuild [after remove container claude-bottle-impl-00000]
		compare home agent:2: what it adds to the home is added to the volume
		configure claude-bottle-impl-00000: the agent reads what is in force [after create container claude-bottle-impl-00000, compare home agent:2]
		attach claude-bottle-impl-00000: nothing it prints is missed [after configure claude-bottle-impl-00000]
		start container claude-bottle-impl-00000: rebuild [after attach claude-bottle-impl-00000]
		confirm running claude-bottle-impl-00000: the bottle is live when its agent runs on the wanted image [after start container claude-bottle-impl-00000]
		`)
}

// The program was killed between stop and start: the agent's container has ended, its pod is up.
func TestPlanAfterAKillBetweenStopAndStart(t *testing.T) {
	l := testLayout("--resume", "s", "--", "m")
	have := everything(t, l)
	agent := have.containers[RoleAgent]
	agent.State = StateExited
	have.containers[RoleAgent] = agent
	l.image = "agent:2"
	equalPlan(t, planLive(l, have, "rebuild"), `
		snapshot impl-00000: nothing of the conversation is lost
		remove container claude-bottle-impl-00000: it does not run [after snapshot impl-00000]
		create container claude-bottle-impl-00000: rebuild [after remove container claude-bottle-impl-00000]
		configure claude-bottle-impl-00000: the agent reads what is in force [after create container claude-bottle-impl-00000]
		attach claude-bottle-impl-00000: nothing it prints is missed [after configure claude-bottle-impl-00000]
		start container claude-bottle-impl-00000: rebuild [after attach claude-bottle-impl-00000]
		confirm running claude-bottle-impl-00000: the bottle is live when its agent runs on the wanted image [after start container claude-bottle-impl-00000]
		`)
}

// The program was killed after it removed the old agent: nothing is left to stop.
func TestPlanAfterAKillBeforeTheNewAgentIsCreated(t *testing.T) {
	l := testLayout("--resume", "s", "--", "m")
	have := everything(t, l)
	delete(have.containers, RoleAgent)
	equalPlan(t, planLive(l, have, "rebuild"), `
		create container claude-bottle-impl-00000: rebuild
		configure claude-bottle-impl-00000: the agent reads what is in force [after create container claude-bottle-impl-00000]
		attach claude-bottle-impl-00000: nothing it prints is missed [after configure claude-bottle-impl-00000]
		start container claude-bottle-impl-00000: rebuild [after attach claude-bottle-impl-00000]
		confirm running claude-bottle-impl-00000: the bottle is live when its agent runs on the wanted image [after start container claude-bottle-impl-00000]
		`)
}

// A lost home volume is filled from the kept transcript; a pod whose holder died is made anew as a whole.
func TestPlanOfAResumeMakesWhatIsMissing(t *testing.T) {
	l := testLayout("--resume", "s", "--", "m")
	have := everything(t, l)
	delete(have.containers, RoleAgent)
	delete(have.volumes, labelHome)
	egress := have.containers[RoleEgress]
	egress.State = StateExited
	have.containers[RoleEgress] = egress
	equalPlan(t, planLive(l, have, "resume"), `
		remove container claude-bottle-egress-impl-00000: it does not run
		create container claude-bottle-egress-impl-00000: resume [after remove container claude-bottle-egress-impl-00000]
		configure claude-bottle-egress-impl-00000: its configuration is copied in before it starts [after create container claude-bottle-egress-impl-00000]
		start container claude-bottle-egress-impl-00000: resume [after configure claude-bottle-egress-impl-00000]
		await ready claude-bottle-egress-impl-00000: the agent starts when its sidecars serve [after start container claude-bottle-egress-impl-00000]
		remove container claude-bottle-cred-proxy-impl-00000: its pod's network is made anew
		create container claude-bottle-cred-proxy-impl-00000: resume [after remove container claude-bottle-cred-proxy-impl-00000, create container claude-bottle-egress-impl-00000]
		configure claude-bottle-cred-proxy-impl-00000: its configuration is copied in before it starts [after create container claude-bottle-cred-proxy-impl-00000]
		start container claude-bottle-cred-proxy-impl-00000: resume [after configure claude-bottle-cred-proxy-impl-00000, start container claude-bottle-egress-impl-00000]
		await ready claude-bottle-cred-proxy-impl-00000: the agent starts when its sidecars serve [after start container claude-bottle-cred-proxy-impl-00000]
		remove container claude-bottle-supervise-impl-00000: its pod's network is made anew
		create container claude-bottle-supervise-impl-00000: resume [after remove container claude-bottle-supervise-impl-00000, create container claude-bottle-egress-impl-00000]
		configure claude-bottle-supervise-impl-00000: its configuration is copied in before it starts [after create container claude-bottle-supervise-impl-00000]
		start container claude-bottle-supervise-impl-00000: resume [after configure claude-bottle-supervise-impl-00000, start container claude-bottle-egress-impl-00000]
		await ready claude-bottle-supervise-impl-00000: the agent starts when its sidecars serve [after start container claude-bottle-supervise-impl-00000]
		create volume claude-bottle-home-impl-00000: resume
		create container claude-bottle-impl-00000: resume [after create volume claude-bottle-home-impl-00000]
		configure claude-bottle-impl-00000: the agent reads what is in force [after create container claude-bottle-impl-00000]
		restore claude-bottle-impl-00000: its volume is new, its transcript is kept [after configure claude-bottle-impl-00000]
		attach claude-bottle-impl-00000: nothing it prints is missed [after restore claude-bottle-impl-00000]
		start container claude-bottle-impl-00000: resume [after attach claude-bottle-impl-00000, await ready claude-bottle-egress-impl-00000, await ready claude-bottle-cred-proxy-impl-00000, await ready claude-bottle-supervise-impl-00000]
		confirm running claude-bottle-impl-00000: the bottle is live when its agent runs on the wanted image [after start container claude-bottle-impl-00000]
		`)
}

func TestPlanOfATeardownKeepsTheVolumes(t *testing.T) {
	l := testLayout()
	equalPlan(t, planDown(l.identity, everything(t, l).parts, "torn down"), `
		stop container claude-bottle-impl-00000: torn down
		snapshot impl-00000: nothing of the conversation is lost [after stop container claude-bottle-impl-00000]
		remove container claude-bottle-impl-00000: torn down [after snapshot impl-00000]
		remove container claude-bottle-egress-impl-00000: torn down [after stop container claude-bottle-impl-00000]
		remove container claude-bottle-cred-proxy-impl-00000: torn down [after stop container claude-bottle-impl-00000]
		remove container claude-bottle-supervise-impl-00000: torn down [after stop container claude-bottle-impl-00000]
		remove network claude-bottle-net-impl-00000: torn down [after stop container claude-bottle-impl-00000, remove container claude-bottle-impl-00000, remove container claude-bottle-egress-impl-00000, remove container claude-bottle-cred-proxy-impl-00000, remove container claude-bottle-supervise-impl-00000]
		remove network claude-bottle-out-impl-00000: torn down [after stop container claude-bottle-impl-00000, remove container claude-bottle-impl-00000, remove container claude-bottle-egress-impl-00000, remove container claude-bottle-cred-proxy-impl-00000, remove container claude-bottle-supervise-impl-00000]
		`)
}

// An agent that ended by itself leaves its container to be read.
func TestPlanAfterAnAgentEndedKeepsItsContainer(t *testing.T) {
	l := testLayout()
	have := everything(t, l).parts
	agent := have.containers[RoleAgent]
	agent.State = StateExited
	have.containers[RoleAgent] = agent
	plan := planEnded(l.identity, have).String()
	if strings.Contains(plan, "remove container claude-bottle-impl-00000:") || !strings.Contains(plan, "remove container claude-bottle-egress-impl-00000:") {
		t.Errorf("plan:\n%s", plan)
	}
}

func TestPlanOfADeletionForgetsLast(t *testing.T) {
	l := testLayout()
	have := parts{
		containers: map[Role]Container{}, networks: map[string]Network{},
		volumes: everything(t, l).volumes,
	}
	equalPlan(t, planGone(l.identity, have, []string{"claude-bottle-impl-00000:abc"}, false), `
		remove volume claude-bottle-work-impl-00000: the operator deletes the bottle
		remove volume claude-bottle-user-impl-00000: the operator deletes the bottle [after remove volume claude-bottle-work-impl-00000]
		remove volume claude-bottle-home-impl-00000: the operator deletes the bottle [after remove volume claude-bottle-work-impl-00000, remove volume claude-bottle-user-impl-00000]
		remove image claude-bottle-impl-00000:abc: the operator deletes the bottle [after remove volume claude-bottle-work-impl-00000, remove volume claude-bottle-user-impl-00000, remove volume claude-bottle-home-impl-00000]
		delete state impl-00000: the operator deletes the bottle [after remove volume claude-bottle-work-impl-00000, remove volume claude-bottle-user-impl-00000, remove volume claude-bottle-home-impl-00000, remove image claude-bottle-impl-00000:abc]
		`)
}

// Anonymous volumes whose container is gone are removed with a bottle, and when it is taken down.
func TestLeftVolumesAreRemoved(t *testing.T) {
	all := group(Observed{Volumes: []Volume{
		{Name: "f00", Labels: map[string]string{LabelIdentity: "impl-00000", LabelRole: string(RoleAnonymous)}},
		{Name: "ba5", Labels: map[string]string{LabelIdentity: "impl-00000", LabelRole: string(RoleAnonymous)}},
	}})
	have := all["impl-00000"]
	if names := have.names(); len(names) != 2 || names[0] != "volume f00 (left by a container that is gone)" {
		t.Errorf("they are shown as %q", names)
	}
	if r := (record{have: have}); r.gone() {
		t.Error("what they are of is gone, and nobody sees them")
	}
	equalPlan(t, planDown("impl-00000", have, "cause"), `
		remove volume f00: its container is gone
		remove volume ba5: its container is gone
		`)
	equalPlan(t, planGone("impl-00000", have, nil, true), `
		remove volume f00: its container is gone
		remove volume ba5: its container is gone [after remove volume f00]
		`)
}

// What the containers are, whatever a profile asks for.
func TestContainersAreHardened(t *testing.T) {
	l := testLayout("--session-id", "s")
	have := everything(t, l)
	net := have.networks[labelNet]
	for _, role := range append(l.sidecarRoles(), RoleAgent) {
		spec, err := l.container(role, net)
		if err != nil {
			t.Fatal(err)
		}
		if spec.User == "" || strings.HasPrefix(spec.User, "0") {
			t.Errorf("%s runs as %q", role, spec.User)
		}
		if spec.Memory == 0 || spec.Pids == 0 {
			t.Errorf("%s has no limits: memory %d, pids %d", role, spec.Memory, spec.Pids)
		}
		for _, m := range spec.Mounts {
			if m.Host != "" && role != RoleSupervise {
				t.Errorf("%s has %s of the host", role, m.Host)
			}
		}
		if role == RoleAgent {
			if len(spec.Endpoints) != 1 || spec.Endpoints[0].Network != networkName(labelNet, l.identity) {
				t.Errorf("the agent is on %v", spec.Endpoints)
			}
			if len(spec.DNS) != 1 || spec.DNS[0] != "10.89.0.2" {
				t.Errorf("the agent's resolver is %v, egress is at 10.89.0.2", spec.DNS)
			}
		} else if !spec.ReadOnly {
			t.Errorf("%s can write its root file system", role)
		}
	}
}

// The size of the operator's window must not make another container of the same agent.
func TestSpecHashLeavesOutTheWindow(t *testing.T) {
	l := testLayout()
	have := everything(t, l)
	l.cols, l.rows = 132, 43
	spec, err := l.container(RoleAgent, have.networks[labelNet])
	if err != nil {
		t.Fatal(err)
	}
	if !spec.has(have.containers[RoleAgent]) {
		t.Error("another window size gives another hash")
	}
}
