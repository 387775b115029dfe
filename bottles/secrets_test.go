package bottles

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// What is lacking on the operator's machine, by its paths and commands, is nothing for an agent.
func TestTheAgentIsNotToldOfTheOperatorsMachine(t *testing.T) {
	x := &execution{sup: New(Config{Resolve: func(context.Context, string) (string, error) { return "", errors.New("it is locked") }})}
	for _, ref := range []string{"file:/home/op/secrets/token", "cmd:pass show prod/token"} {
		_, missing := x.tokens(t.Context(), []Route{{Path: "/a/", TokenRef: TokenName(ref)}}, map[string]string{TokenName(ref): ref})
		err := errors.Join(errors.New("replace the agent"), missingError(missing))
		if !strings.Contains(err.Error(), TokenName(ref)) || !strings.Contains(err.Error(), "it is locked") {
			t.Errorf("the operator is not told of %s: %v", ref, err)
		}
		if told := forAgent(err); strings.Contains(told, "op") && strings.Contains(told, "secrets") || strings.Contains(told, "pass") || strings.Contains(told, TokenName(ref)) || !strings.Contains(told, "credential") {
			t.Errorf("the agent is told %q", told)
		}
	}
	if told := forAgent(errors.New("the agent ended at once: exit code 127")); !strings.Contains(told, "exit code 127") {
		t.Errorf("the agent is told %q", told)
	}
	if err := missingError(nil); err != nil {
		t.Errorf("nothing is missing: %v", err)
	}
}

// One operation asks for a token once, however many want it.
func TestATokenIsAskedForOnce(t *testing.T) {
	asked := 0
	x := &execution{sup: New(Config{Resolve: func(context.Context, string) (string, error) { asked++; return "value", nil }})}
	const ref = "cmd:ask the safe"
	if _, err := x.token(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	secrets, missing := x.tokens(t.Context(), []Route{{Path: "/a/", TokenRef: "T"}}, map[string]string{"T": ref})
	keys, lack := x.keys(t.Context(), []Remote{{Name: "origin", Upstream: "https://git.example.com/x.git", TokenRef: ref}})
	if len(missing)+len(lack) != 0 || secrets["T"] != "value" || keys[TokenName(ref)] != "value" || asked != 1 {
		t.Errorf("asked %d times for %v and %v; %v %v", asked, secrets, keys, missing, lack)
	}
}
