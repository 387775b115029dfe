package bottles

import (
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/sidecars"
)

func pipelockLayout() layout {
	l := testLayout()
	l.profile.EgressEngine, l.profile.EgressImage = enginePipelock, "registry.example.com/pipelock:2.3.0"
	return l
}

// pipelock needs the pod, whose holder stays egress, and the agent needs pipelock.
func TestPlanOfALaunchWithPipelockStartsItInThePod(t *testing.T) {
	l := pipelockLayout()
	l.profile.Supervise = false
	equalPlan(t, planLive(l, observed{parts: newParts(), sidecarImage: true, agentImage: true}, "launch"), `
		create network claude-bottle-net-impl-00000: launch
		create network claude-bottle-out-impl-00000: launch
		create container claude-bottle-egress-impl-00000: launch [after create network claude-bottle-net-impl-00000, create network claude-bottle-out-impl-00000]
		configure claude-bottle-egress-impl-00000: its configuration is copied in before it starts [after create container claude-bottle-egress-impl-00000]
		start container claude-bottle-egress-impl-00000: launch [after configure claude-bottle-egress-impl-00000]
		await ready claude-bottle-egress-impl-00000: the agent starts when its sidecars serve [after start container claude-bottle-egress-impl-00000]
		create container claude-bottle-pipelock-impl-00000: launch [after create container claude-bottle-egress-impl-00000]
		configure claude-bottle-pipelock-impl-00000: its configuration is copied in before it starts [after create container claude-bottle-pipelock-impl-00000]
		start container claude-bottle-pipelock-impl-00000: launch [after configure claude-bottle-pipelock-impl-00000, start container claude-bottle-egress-impl-00000]
		await ready claude-bottle-pipelock-impl-00000: the agent starts when its sidecars serve [after start container claude-bottle-pipelock-impl-00000]
		create volume claude-bottle-work-impl-00000: launch
		create volume claude-bottle-user-impl-00000: launch
		create volume claude-bottle-home-impl-00000: launch
		create container claude-bottle-impl-00000: launch [after create volume claude-bottle-work-impl-00000, create volume claude-bottle-user-impl-00000, create volume claude-bottle-home-impl-00000, create network claude-bottle-net-impl-00000]
		configure claude-bottle-impl-00000: the agent reads what is in force [after create container claude-bottle-impl-00000]
		attach claude-bottle-impl-00000: nothing it prints is missed [after configure claude-bottle-impl-00000]
		start container claude-bottle-impl-00000: launch [after attach claude-bottle-impl-00000, await ready claude-bottle-egress-impl-00000, await ready claude-bottle-pipelock-impl-00000]
		confirm running claude-bottle-impl-00000: the bottle is live when its agent runs on the wanted image [after start container claude-bottle-impl-00000]
		`)
}

// A pipelock that died is made again alone, in the pod that stands.
func TestPlanAfterPipelockEnded(t *testing.T) {
	l := pipelockLayout()
	have := everything(t, l)
	c := have.containers[RolePipelock]
	c.State = StateExited
	have.containers[RolePipelock] = c
	equalPlan(t, planSidecars(l, have, "a route was granted"), `
		remove container claude-bottle-pipelock-impl-00000: it does not run
		create container claude-bottle-pipelock-impl-00000: a route was granted [after remove container claude-bottle-pipelock-impl-00000]
		configure claude-bottle-pipelock-impl-00000: its configuration is copied in before it starts [after create container claude-bottle-pipelock-impl-00000]
		start container claude-bottle-pipelock-impl-00000: a route was granted [after configure claude-bottle-pipelock-impl-00000]
		await ready claude-bottle-pipelock-impl-00000: the agent starts when its sidecars serve [after start container claude-bottle-pipelock-impl-00000]
		`)
	if have.wayOut() {
		t.Error("without its pipelock the bottle has a way out")
	}
	plan := planDown(l.identity, have.parts, "torn down").String()
	if !strings.Contains(plan, "remove container claude-bottle-pipelock-impl-00000: torn down") {
		t.Errorf("left behind:\n%s", plan)
	}
}

// A manifest that names another engine has it when the pod is made anew, and not under an agent that runs.
func TestAPodThatStandsKeepsItsEngineOfEgress(t *testing.T) {
	builtin, locked := testLayout(), pipelockLayout()
	with, without := everything(t, locked), everything(t, builtin)
	for name, plan := range map[string]Plan{"from pipelock": planLive(builtin, with, "resume"), "to pipelock": planLive(locked, without, "resume")} {
		if len(plan) != 1 {
			t.Errorf("%s:\n%s", name, plan)
		}
	}
	if l := builtin.keepEngine(with.parts); l.profile.EgressImage != locked.profile.EgressImage {
		t.Errorf("kept %q", l.profile.EgressImage)
	}
	for _, have := range []observed{with, without} {
		c := have.containers[RoleEgress]
		c.State = StateExited
		have.containers[RoleEgress] = c
	}
	if plan := planLive(builtin, with, "resume").String(); !strings.Contains(plan, "remove container claude-bottle-pipelock-impl-00000: its pod is made anew with the built-in egress") ||
		strings.Contains(plan, "create container claude-bottle-pipelock") {
		t.Errorf("from pipelock, with a new pod:\n%s", plan)
	}
	if plan := planLive(locked, without, "resume").String(); !strings.Contains(plan, "create container claude-bottle-pipelock-impl-00000: resume") {
		t.Errorf("to pipelock, with a new pod:\n%s", plan)
	}
}

func TestTheContainersOfABottleWithPipelock(t *testing.T) {
	l := pipelockLayout()
	have := everything(t, l)
	net := have.networks[labelNet]
	spec, err := l.container(RolePipelock, net)
	if err != nil {
		t.Fatal(err)
	}
	if spec.Image != l.profile.EgressImage || spec.JoinPod != "claude-bottle-egress-impl-00000" || len(spec.Endpoints) != 0 || !spec.ReadOnly || spec.User != "1000:1000" ||
		spec.Memory == 0 || spec.Pids == 0 || len(spec.Mounts) != 1 || spec.Mounts[0] != (Mount{Target: sidecars.ConfigDir}) || spec.Stdin || len(spec.Env) != 0 {
		t.Errorf("%+v", spec)
	}
	egress, err := l.container(RoleEgress, net)
	if err != nil || !slices.Equal(egress.Cmd, []string{"sidecar", "egress", "-listen", "off"}) {
		t.Errorf("the holder runs %v, %v", egress.Cmd, err)
	}
	builtin := testLayout()
	if egress, err := builtin.container(RoleEgress, net); err != nil || !slices.Equal(egress.Cmd, []string{"sidecar", "egress"}) || slices.Contains(builtin.sidecarRoles(), RolePipelock) {
		t.Errorf("without pipelock: %v, %v", egress.Cmd, err)
	}
}

func TestRulesThatPipelockCantKeepAreRefused(t *testing.T) {
	for _, c := range []struct{ rule, engine, want string }{
		{"example.com:8443", enginePipelock, "knows no ports"}, {"192.0.2.7", enginePipelock, "is of names"},
		{"example.com:8443", engineBuiltin, ""}, {"192.0.2.7", "", ""}, {"*.example.com", enginePipelock, ""},
	} {
		err := inForce{allow: "fine.example.com\n" + c.rule + "\n"}.check(c.engine)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "rule 2")) {
			t.Errorf("%s with %q: %v", c.rule, c.engine, err)
		}
	}
}

// pipelock tells the time of its lines in whole seconds, and of what it says in plain words not at all.
func TestLinesOfPipelockHaveATime(t *testing.T) {
	at := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	lines := RolePipelock.lines([]byte("pipelock: config reload failed: no\n"), func() time.Time { return at })
	if len(lines) != 1 || lines[0].Event != sidecars.EventConfigError || !lines[0].At.Equal(at) {
		t.Errorf("%+v", lines)
	}
	if p := PassagesIn(RolePipelock, []byte(`{"event":"blocked","method":"CONNECT","target":"a.example:443","scanner":"allowlist","reason":"no"}`)); len(p) != 1 || p[0].Gate != RoleEgress || p[0].What != "a.example:443" {
		t.Errorf("%+v", p)
	}
	if lines := RoleEgress.lines([]byte("pipelock: config reload failed: no\n"), nil); lines != nil {
		t.Errorf("egress speaks otherwise: %+v", lines)
	}
}
