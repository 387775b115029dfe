package bottles

import (
	"strings"
	"testing"
	"time"
)

func TestWhyAnAgentEnded(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		agent, egress Container
		says          string
	}{
		{Container{ExitCode: 3, EndedAt: at}, Container{State: StateRunning}, "by itself, exit code 3"},
		{Container{ExitCode: 132, EndedAt: at}, Container{State: StateRunning}, "by itself, exit code 132, a crash (SIGILL)"},
		{Container{ExitCode: 137, EndedAt: at}, Container{State: StateRunning}, "by itself, exit code 137, killed from outside"},
		{Container{ExitCode: 137, EndedAt: at, OutOfMemory: true}, Container{State: StateRunning}, "exit code 137, out of memory"},
		{Container{ExitCode: 137, EndedAt: at}, Container{State: StateExited, EndedAt: at.Add(time.Second)}, "the container engine or the machine stopped"},
		{Container{EndedAt: at}, Container{State: StateExited, EndedAt: at.Add(-time.Second)}, "the container engine or the machine stopped"},
		{Container{EndedAt: at}, Container{State: StateRunning}, "by itself, exit code 0"},
		{Container{ExitCode: 137, EndedAt: at}, Container{State: StateExited, EndedAt: at.Add(time.Hour)}, "by itself, exit code 137"},
		{Container{ExitCode: 137, EndedAt: at}, Container{}, "by itself, exit code 137"}, // nothing is known of it
	} {
		if why := whyEnded(c.agent, c.egress); !strings.Contains(why, c.says) {
			t.Errorf("of %+v beside %+v it says %q", c.agent, c.egress, why)
		}
	}
}

// What hinders a live agent is shown, and told and written down once.
func TestWhatHindersAnAgentIsTold(t *testing.T) {
	s, b := owned(t, &scripted{})
	r := s.record(b.Identity())
	agent := Container{ID: "c1", Name: agentName(b.Identity()), State: StatePaused}
	r.have.containers[RoleAgent] = agent
	r.have.containers[RoleEgress], r.have.containers[RoleCredProxy] = Container{State: StateRunning}, Container{State: StateRunning}
	if status, detail := observedStatus(r.have, r.agent, r.meta, nil, ""); status != Live || detail != "" {
		t.Errorf("by itself it is %s, %q", status, detail)
	}
	if status, detail := r.status(); status != Live || !strings.Contains(detail, "docker unpause "+agent.Name) {
		t.Errorf("paused it is %s, %q", status, detail)
	}
	agent.State = StateRunning
	r.have.containers[RoleAgent] = agent
	oom := Event{Action: "oom", ID: "c1", Container: agent.Name, Labels: map[string]string{LabelIdentity: b.Identity()}}
	s.ranOut(oom)
	s.ranOut(oom)
	if status, detail := r.status(); status != Live || !strings.Contains(detail, "out of memory") {
		t.Errorf("without memory it is %s, %q", status, detail)
	}
	s.workers.Wait()
	entries, err := s.cfg.Root.Audit(b.Identity()).Entries(0)
	if err != nil || len(entries) != 1 || entries[0].Kind != "out of memory" || len(s.alerts) != 1 {
		t.Errorf("the audit log holds %+v, %v; told %+v", entries, err, s.alerts)
	}
}
