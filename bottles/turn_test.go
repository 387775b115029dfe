package bottles

import (
	"strings"
	"testing"

	"bottle-tui/state"
)

// What an agent was doing is read from the end of its transcript, as Claude Code writes it.
func TestWhetherAnAgentWasBusy(t *testing.T) {
	const (
		asks     = `{"type":"user","message":{"role":"user","content":"do it"}}`
		result   = `{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"x"}]}}`
		calls    = `{"type":"assistant","message":{"content":[{"type":"tool_use","id":"toolu_1"}],"stop_reason":"tool_use"}}`
		half     = `{"type":"assistant","message":{"content":[{"type":"text","text":"I"}],"stop_reason":null}}`
		done     = `{"type":"assistant","message":{"content":[{"type":"text","text":"It is done."}],"stop_reason":"end_turn"}}`
		over     = `{"type":"system","subtype":"turn_duration","durationMs":1}`
		stopped  = `{"type":"user","message":{"role":"user","content":[{"type":"text","text":"[Request interrupted by user for tool use]"}]}}`
		command  = `{"type":"user","message":{"role":"user","content":"<command-name>/clear</command-name>"}}`
		meta     = `{"type":"user","isMeta":true,"message":{"role":"user","content":"<system-reminder>"}}`
		side     = `{"type":"user","isSidechain":true,"message":{"role":"user","content":"of a subagent"}}`
		other    = `{"type":"last-prompt","lastPrompt":"do it"}`
		snapshot = `{"type":"attachment","attachment":{"type":"prompt_snapshot"}}`
	)
	for _, c := range []struct {
		lines []string
		busy  bool
	}{
		{nil, false},
		{[]string{"no JSON"}, false},
		{[]string{asks}, true},
		{[]string{asks, snapshot, other}, true},
		{[]string{asks, calls}, true},
		{[]string{asks, calls, result}, true},
		{[]string{asks, half}, true},
		{[]string{asks, done}, false},
		{[]string{asks, done, over, other}, false},
		{[]string{asks, half, over}, false},
		{[]string{asks, calls, stopped}, false},
		{[]string{asks, done, command, meta, side}, false},
		{[]string{command}, false},
		{[]string{asks, calls, side}, true},
		{[]string{asks, done, over, asks, other, `{"type":"user","mess`}, true},
	} {
		if got := busyAtEnd([]byte(strings.Join(c.lines, "\n"))); got != c.busy {
			t.Errorf("busy %v after\n%s", got, strings.Join(c.lines, "\n"))
		}
	}
}

// An agent is told why it ended and what was kept, and to go on only where it was in the middle of something.
func TestAnAgentIsToldTheTruth(t *testing.T) {
	volumes := func(roles ...string) parts {
		p := newParts()
		for _, role := range roles {
			p.volumes[role] = Volume{}
		}
		return p
	}
	all := volumes(labelWork, labelUser, labelHome)
	ran := state.Metadata{ImageDigest: "sha256:1", WholeHome: true, EndReason: byOperator}
	with := func(m state.Metadata, reason string) state.Metadata { m.EndReason = reason; return m }
	for _, c := range []struct {
		meta      state.Metadata
		have      parts
		busy      bool
		says      []string
		saysNever []string
	}{
		{ran, all, true, []string{"stopped by the operator", "Your workspace, your home directory and this conversation are as you left them.", " Go on."}, []string{"lost"}},
		{ran, all, false, []string{"stopped by the operator"}, []string{"lost", "o on"}},
		{with(ran, "the agent ended by itself, exit code 137"), all, true, []string{"Your process ended by itself, exit code 137, and"}, []string{"operator"}},
		{with(ran, ""), all, true, []string{"Your container ended while nobody watched"}, []string{"operator"}},
		{with(ran, "the engine stopped"), all, true, []string{"You were stopped (the engine stopped)"}, []string{"operator"}},
		{with(ran, "x\x1b[2J"), all, true, nil, []string{"\x1b"}},
		{ran, volumes(labelUser, labelHome), true, []string{"Your workspace was lost", "Your home directory and this conversation are", "Look at what is there"}, []string{" Go on."}},
		{ran, volumes(labelWork, labelHome), false, []string{"Your home directory was lost", "Your workspace and this conversation are"}, []string{"o on"}},
		{ran, volumes(labelWork, labelUser), true, []string{"put back from a copy", "Your workspace and your home directory are"}, nil},
		{state.Metadata{ImageDigest: "sha256:1", EndReason: byOperator}, volumes(labelWork, labelHome), true, []string{"Of your home directory only ~/.claude was kept"}, []string{"your home directory are"}},
		{ran, newParts(), true, []string{"Your workspace was lost", "Your home directory was lost", "put back from a copy"}, []string{"as you left"}},
	} {
		said := resumeMessage(c.meta, c.have, c.busy)
		for _, want := range c.says {
			if !strings.Contains(said, want) {
				t.Errorf("it lacks %q: %s", want, said)
			}
		}
		for _, never := range c.saysNever {
			if strings.Contains(said, never) {
				t.Errorf("it has %q: %s", never, said)
			}
		}
	}
}

// The answer to a call is looked for behind what the transcript held before it, however much that is.
func TestTheAnswerIsFoundInALongTranscript(t *testing.T) {
	s, _, k := kept(t)
	const file, old = "/h/projects/-workspace/long.jsonl", `{"tool_use_id":"toolu_0"}`
	before := strings.Repeat(" ", 65<<20) + old
	k.files[file] = before + `{"tool_use_id":"toolu_1"}`
	if !s.holdsResult(t.Context(), "c", file, int64(len(before)), "toolu_1") {
		t.Error("it is not found")
	}
	if s.holdsResult(t.Context(), "c", file, int64(len(before)), "toolu_0") {
		t.Error("what was there before is taken for it")
	}
	k.files[file] = `{"tool_use_id":"toolu_1"}`
	if !s.holdsResult(t.Context(), "c", file, int64(len(before)), "toolu_1") {
		t.Error("it is not found in a transcript that was written anew")
	}
}
