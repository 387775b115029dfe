package gitgate_test

import (
	"fmt"
	"strings"
	"testing"

	"bottle-tui/sidecars"
)

// Each push that went on has its line, and each ref that was refused its name in one, however many there are.
func TestNoPushHidesBehindOthers(t *testing.T) {
	up := overHTTPS(t)
	up.seeded(t, "r", 2)
	g := start(t, up, nil, "r")
	w := g.clone("r")
	const n = 12
	for i := range n {
		w.git("push", "-q", "origin", fmt.Sprintf("HEAD~1:refs/heads/x%d", i))
		w.fails("push", "-q", "origin", fmt.Sprintf("HEAD~1:refs/tags/x%d", i))
	}
	for i := range n {
		g.ear.Wait(t, sidecars.EventPush, func(l sidecars.Line) bool { return strings.Join(l.Refs, " ") == fmt.Sprintf("refs/heads/x%d", i) })
		g.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool { return strings.Join(l.Refs, " ") == fmt.Sprintf("refs/tags/x%d", i) })
	}
	for _, l := range g.ear.Lines() {
		if (l.Event == sidecars.EventPush || l.Event == sidecars.EventRefuse) && l.Suppressed > 0 {
			t.Errorf("%v stands for %d others", l.Refs, l.Suppressed)
		}
	}
}

// Of the same refusal again and again few lines are said, and how often it was.
func TestTheSameRefusalIsCounted(t *testing.T) {
	up := overHTTPS(t)
	up.seeded(t, "r", 1)
	g := start(t, up, nil, "r")
	w := newWork(t, nil)
	const n = 30
	for range n {
		w.fails("ls-remote", strings.TrimSuffix(g.url("none"), ".git"))
	}
	wait(t, func() bool {
		sum := 0
		for _, l := range g.ear.Lines() {
			if l.Event == sidecars.EventRefuse && l.Remote == "none" {
				sum += 1 + l.Suppressed
			}
		}
		return sum == n
	})
}

// What is refused before anybody looked into it is told without the secrets that are its names.
func TestSecretsAsNames(t *testing.T) {
	each(t, func(t *testing.T, up *served) {
		up.seeded(t, "r", 1)
		g := start(t, up, nil, "r")
		w := g.clone("r")
		secret := pat(90)
		w.fails("push", "origin", "HEAD:refs/tags/good", "HEAD:refs/tags/"+secret)
		w.fails("push", "origin", "HEAD:refs/heads/"+secret)
		w.fails("ls-remote", strings.Replace(g.url("r"), "/r", "/"+secret, 1))
		g.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool {
			return strings.Contains(strings.Join(l.Refs, " "), "refs/tags/good") && strings.Contains(l.Reason, "refs/tags/good") && strings.Contains(l.Reason, "not among the refs")
		})
		g.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool { return l.Rule == "github-pat" })
		g.ear.Wait(t, sidecars.EventRefuse, func(l sidecars.Line) bool { return l.Remote == "(a name that holds a secret)" })
		for _, l := range g.ear.Lines() {
			if said := fmt.Sprintf("%+v", l); strings.Contains(said, secret) {
				t.Errorf("the secret was said: %s", said)
			}
		}
	})
}
