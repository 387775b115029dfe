package bottles

import (
	"fmt"
	"time"
)

// ended says how a container ended, and why, as far as the engine or the exit code tell it.
func ended(c Container) string {
	text := fmt.Sprintf("exit code %d", c.ExitCode)
	switch {
	case c.Error != "":
		text += ", " + c.Error
	case c.OutOfMemory:
		text += ", out of memory: the kernel killed it, or a process in it, at its memory limit"
	case signals[c.ExitCode] != "":
		text += ", " + signals[c.ExitCode]
	}
	return text
}

// signals are what exit codes tell that stand for a signal.
var signals = map[int]string{
	128 + 4:  "a crash (SIGILL), as of a program that can start no process any more",
	128 + 6:  "a crash (SIGABRT)",
	128 + 7:  "a crash (SIGBUS)",
	128 + 9:  "killed from outside (SIGKILL), as by docker kill",
	128 + 11: "a crash (SIGSEGV)",
	128 + 15: "stopped from outside (SIGTERM), as by docker stop",
}

// together is how far apart the ends of the containers of one bottle may be that an engine or a machine takes with it.
const together = 15 * time.Second

// whyEnded says why an agent ended that this program did not end. One whose egress, which only ends with the bottle, ended
// together with it, was stopped with its engine, whatever its exit code: an engine that starts again after it was killed
// has what still runs end in order.
func whyEnded(agent, egress Container) string {
	apart := agent.EndedAt.Sub(egress.EndedAt).Abs()
	if !agent.OutOfMemory && (egress.State == StateExited || egress.State == StateDead) && apart < together {
		return "the container engine or the machine stopped, and the bottle with it; " + fmt.Sprintf("exit code %d", agent.ExitCode)
	}
	return endedByItself + ", " + ended(agent)
}

// oomAgain is between two times that a bottle's want of memory is told.
const oomAgain = time.Minute

// ranOut tells that the kernel killed a process of a bottle's container for want of memory; the container may go on. Owner
// only.
func (s *Supervisor) ranOut(ev Event) {
	r := s.bottles[ev.Labels[LabelIdentity]]
	now := s.cfg.Now()
	if r == nil || r.disk == nil || r.oom.ID == ev.ID && now.Sub(r.oom.EndedAt) < oomAgain {
		return
	}
	r.oom = Container{ID: ev.ID, Name: ev.Container, EndedAt: now}
	what := "a process in " + ev.Container + " was killed: out of memory at its limit"
	s.alert(AlertFailed, r.identity, "", r.identity+": "+what)
	s.spawn(func() { _ = s.audit(r.identity, "out of memory", map[string]any{"container": ev.Container}) })
}

// hindered says what a live agent is hindered by; "" by nothing.
func (r *record) hindered() string {
	agent := r.have.containers[RoleAgent]
	switch {
	case agent.State == StatePaused:
		return "it is paused; go on with it: docker unpause " + agent.Name
	case r.oom.ID != "" && r.oom.ID == agent.ID:
		return "a process in it was killed at " + r.oom.EndedAt.Format("15:04") + ": out of memory at its limit"
	}
	return ""
}
