package bottles

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"bottle-tui/bottles/dockerfile"
	"bottle-tui/queue"
	"bottle-tui/sidecars/egress"
)

// gateFindings are what the operator should know before a change of the gates is approved, the worst first. engine is
// the one of egress.
func gateFindings(now, next inForce, engine string) []dockerfile.Finding {
	do := difference(now, next)
	var out []dockerfile.Finding
	find := func(severity dockerfile.Severity, rule, format string, args ...any) {
		out = append(out, dockerfile.Finding{Severity: severity, Rule: rule, Text: queue.Visible(fmt.Sprintf(format, args...))})
	}
	for _, r := range do.Routes {
		host := hostOf(r.Upstream)
		for _, was := range now.routes {
			switch {
			case was.TokenRef == r.TokenRef && serverOf(was.Upstream) != serverOf(r.Upstream):
				find(dockerfile.Danger, "credential-elsewhere", "The credential %s, which goes to %s now, would be sent to %s: whoever runs what answers there can use it.", r.TokenRef, serverOf(was.Upstream), serverOf(r.Upstream))
			case was.Path == r.Path && was.Upstream != r.Upstream:
				find(dockerfile.Danger, "route-moved", "What the agent sends to %s goes to %s now and would go to %s.", r.Path, was.Upstream, r.Upstream)
			}
		}
		if slices.Contains(r.Roles, RoleBaseURL) && !slices.ContainsFunc(now.routes, func(o Route) bool { return sameRoute(o, r) }) {
			find(dockerfile.Danger, "model-moved", "The agent's own model would be asked through %s, from its next start on: everything that it reads and writes goes to %s.", r.Path, host)
		}
		if strings.HasPrefix(r.Upstream, "http:") {
			find(dockerfile.Warning, "plain-http", "%s is not encrypted.", r.Upstream)
		}
	}
	for _, path := range do.Unroute {
		find(dockerfile.Note, "route-gone", "The agent would lose its route %s.", path)
	}
	for _, text := range do.Allow {
		rule, err := egress.ParseRule(text)
		if err != nil {
			continue // approving is refused
		}
		for _, r := range next.routes {
			if covers(rule, hostOf(r.Upstream)) {
				find(dockerfile.Warning, "beside-the-proxy", "%s is the upstream of route %s: by egress the agent would reach it without the credential, and past cred-proxy.", hostOf(r.Upstream), r.Path)
			}
		}
		if _, err := netip.ParseAddr(rule.Host); err == nil {
			find(dockerfile.Warning, "address", "%s is an address, not a name: nothing says whose it is, and one that is not public stays closed all the same.", text)
		} else if suffix, _ := publicsuffix.PublicSuffix(rule.Host); rule.Any && suffix == rule.Host {
			find(dockerfile.Danger, "whole-suffix", "%s opens every host under %s, which anybody can register or rent.", text, rule.Host)
		} else if rule.Any {
			find(dockerfile.Note, "wildcard", "%s opens %s and every host under it.", text, rule.Host)
		}
		if rule.Port != 0 && rule.Port != 443 && rule.Port != 80 {
			find(dockerfile.Note, "any-protocol", "On port %d any protocol is let through; of what comes there only TLS is held to the name of the host.", rule.Port)
		}
	}
	if engine == enginePipelock && len(do.Allow) > 0 {
		find(dockerfile.Note, "any-port", "pipelock knows no ports: of what would be opened it lets every port through, with any protocol.")
	}
	for _, text := range do.Disallow {
		if engine == enginePipelock {
			find(dockerfile.Warning, "host-closed", "%s would be closed for what is new, but pipelock keeps the tunnels to it that are open, for up to a day: tear the bottle down to end them.", text)
		} else {
			find(dockerfile.Note, "host-closed", "%s would be closed, and open connections to it cut.", text)
		}
	}
	rank := []dockerfile.Severity{dockerfile.Error, dockerfile.Danger, dockerfile.Warning, dockerfile.Note}
	slices.SortStableFunc(out, func(a, b dockerfile.Finding) int {
		return slices.Index(rank, a.Severity) - slices.Index(rank, b.Severity)
	})
	return out[:min(len(out), maxFindings)]
}

// maxFindings bounds what is said of one change.
const maxFindings = 50

func hostOf(upstream string) string {
	u, err := url.Parse(upstream)
	if err != nil {
		return upstream
	}
	return u.Hostname()
}

// serverOf is who answers at an upstream: host and port.
func serverOf(upstream string) string {
	u, err := url.Parse(upstream)
	if err != nil {
		return upstream
	}
	port := u.Port()
	switch {
	case port == "" && u.Scheme == "http":
		port = "80"
	case port == "":
		port = "443"
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// covers says whether a rule lets a host through.
func covers(r egress.Rule, host string) bool {
	host = strings.ToLower(host)
	return r.Host == host || r.Any && strings.HasSuffix(host, "."+r.Host)
}
