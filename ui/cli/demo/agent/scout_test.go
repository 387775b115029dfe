package agent_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"bottle-tui/queue"
	"bottle-tui/sidecars"
	"bottle-tui/sidecars/egress"
	"bottle-tui/state"
	"bottle-tui/ui/cli/demo/agent"
)

const wayOut = "mcp__supervise__egress-block"

// nowhere is a machine's resolver without a network.
type nowhere struct{}

func (nowhere) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// realEgress puts the real egress, with these rules in force, before the agent, on a machine without a network. What
// it gives puts others in force.
func (b *bottle) realEgress(rules ...string) (allow func(rules ...string)) {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	file := filepath.Join(b.t.TempDir(), "config.json")
	write := func(rules []string) {
		b.t.Helper()
		config, err := json.Marshal(egress.Config{Allow: rules})
		if err != nil {
			b.t.Fatal(err)
		}
		if err := state.WriteFile(file, config, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	write(rules)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- egress.Serve(ctx, egress.Options{ConfigFile: file, Listen: address, DNSListen: "off", Resolver: nowhere{}, Voice: sidecars.NewVoice(io.Discard, nil)})
	}()
	b.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Errorf("egress: %v", err)
		}
	})
	b.proxy = "http://" + address
	through := &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return url.Parse(b.proxy) }, DisableKeepAlives: true}
	answers := func(status int) func() bool {
		return func() bool {
			r, err := (&http.Client{Transport: through}).Get("http://example.com/")
			if err != nil {
				return false
			}
			r.Body.Close()
			return r.StatusCode == status
		}
	}
	eventually(b.t, "egress refuses", answers(http.StatusForbidden))
	return func(rules ...string) {
		b.t.Helper()
		write(rules)
		eventually(b.t, "egress lets through", answers(http.StatusBadGateway))
	}
}

// The scout is refused by the real egress, asks the real supervise for the one host, and reaches for it again: that no
// network is behind egress is not taken for a refusal.
func TestScoutAsksForAHost(t *testing.T) {
	b := newBottle(t)
	allow := b.realEgress(strings.Fields(rulesInForce)...)
	operator := b.realSupervise()
	p := b.start(agent.Scout, "--session-id", session, "--", "Read it.")
	p.sees("403 Forbidden", "does not let me there", "◐ waiting for the operator")
	r := operator.request()
	if r.Tool != queue.ToolEgress || r.Proposed != rulesInForce+"example.com\n" || r.Justification != agent.ScoutReason || !strings.HasPrefix(r.ToolUseID, "toolu_") {
		t.Errorf("requested %+v", r)
	}
	allow("docs.example.com", "example.com")
	operator.answer(queue.Answer{Request: r.ID, Decision: queue.Approved, Content: r.Proposed, Scope: "for 1 hour, until 15:04 UTC"})
	p.sees("for 1 hour", "502 Bad Gateway", "Egress lets me go to example.com now")
	p.terminate()
	if inputs, results := b.uses(wayOut); len(inputs) != 1 || !strings.HasPrefix(results[0], "Approved.") {
		t.Errorf("asked %v, was told %q", inputs, results)
	}
	p = b.start(agent.Scout, "--resume", session, "--", "Go on.")
	p.sees("❯ Go on.", "The way to example.com is still open")
	p.terminate()
}

func TestScoutIsDenied(t *testing.T) {
	b := newBottle(t)
	b.realEgress()
	p := b.start(agent.Scout, "--session-id", session)
	c := b.server.called()
	if c.Allowlist != string(agent.ProposeHost([]byte(rulesInForce))) || c.Dockerfile != "" {
		t.Errorf("asked %+v", c)
	}
	c.answer <- reply{"Denied. Nothing was changed.\n\nThe operator's reason: not from here", false}
	p.sees("not from here", "I leave the page unread")
	p.types("ask\r")
	b.server.called().answer <- reply{"Denied.", false}
	p.types("try\r")
	p.sees("Egress still says no")
	p.terminate()

	p = b.start(agent.Scout, "--resume", session, "--", "Go on.")
	p.sees("denied what I asked for")
	p.terminate()
}

func TestScoutIsKilledWhileItWaits(t *testing.T) {
	b := newBottle(t)
	b.realEgress()
	p := b.start(agent.Scout, "--session-id", session)
	first := b.server.called()
	p.sees("the operator was asked")
	p.cmd.Process.Kill()
	p.ends()
	p = b.start(agent.Scout, "--resume", session, "--", "You were killed. Go on.")
	second := b.server.called()
	if first.Allowlist != second.Allowlist || second.Allowlist == "" {
		t.Errorf("asked for %q, then for %q", first.Allowlist, second.Allowlist)
	}
	second.answer <- reply{"Approved with edits. + example.com:8080", false}
	p.sees("do again what was refused", "Egress still says no")
	p.terminate()
	p = b.start(agent.Scout, "--resume", session, "--", "Go on.")
	p.sees("The way is closed again")
	p.terminate()
}
