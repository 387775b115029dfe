package cli

import (
	"context"
	"io"
	"strings"
	"testing"

	"bottle-tui/bottles"
)

// logs is an engine that has containers' logs alone, by their names.
type logs struct {
	bottles.Engine
	of map[string]string
}

func (l logs) Logs(_ context.Context, name string, _ int, _ bool) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(l.of[name])), nil
}

// Where pipelock is the proxy, it tells of egress's passages, and egress of the names that were looked up.
func TestTheLogOfEgressHasPipelocks(t *testing.T) {
	container := func(role bottles.Role) bottles.Container {
		return bottles.Container{Name: "c-" + string(role), Labels: map[string]string{bottles.LabelIdentity: "coder-00000", bottles.LabelRole: string(role)}}
	}
	var have bottles.Observed
	for _, role := range []bottles.Role{bottles.RoleAgent, bottles.RoleEgress, bottles.RolePipelock, bottles.RoleCredProxy, bottles.RoleSupervise} {
		have.Containers = append(have.Containers, container(role))
	}
	running, _ := liveGates(have, "coder-00000", bottles.RoleEgress)
	if len(running) != 2 {
		t.Fatalf("gates: %v", running)
	}
	long := strings.Repeat("a", 70<<10)
	engine := logs{of: map[string]string{
		"c-egress": `{"at":"2026-11-24T03:00:01Z","event":"refuse","host":"a.example","via":"dns","reason":"no"}` + "\n",
		"c-pipelock": "Pipelock v2.3.0 starting\n" +
			`{"event":"blocked","method":"CONNECT","target":"b.example:443","scanner":"allowlist","reason":"no","time":"2026-11-24T03:00:02Z"}` + "\n" +
			`{"event":"blocked","url":"http://` + long + `"}{"event":"blocked","url":"http://forged.example/"}` + "\n",
	}}
	found, err := readGates(t.Context(), engine, running)
	if err != nil || len(found) != 2 || found[0].What != "a.example" || found[1].What != "b.example:443" || found[1].Gate != bottles.RoleEgress || found[1].Verdict != bottles.Refused {
		t.Errorf("%+v, %v", found, err)
	}
}
