package change

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"bottle-tui/bottles"
	"bottle-tui/sidecars"
	"bottle-tui/sidecars/egress"
	"bottle-tui/ui/frame"
)

// Held says whether a passage is one that a gate held back, or one that came to nothing behind it.
func Held(p *bottles.Passage) bool {
	return p.Verdict == bottles.Refused || p.Verdict == bottles.Denied || p.Verdict == bottles.Faulty
}

// leads stands in egress's reason before where a host leads that has no public address.
const leads = " leads to "

// Unlisted says whether egress refused a passage because no rule names its target.
func Unlisted(p *bottles.Passage) bool {
	return p.Gate == bottles.RoleEgress && p.Verdict == bottles.Refused && p.Cause == sidecars.CauseUnlisted
}

// target is whom a passage through egress was for.
func target(p *bottles.Passage) (host string, port int) {
	host, text, err := net.SplitHostPort(p.What)
	if err != nil {
		return p.What, 0
	}
	port, err = strconv.Atoi(text)
	if err != nil {
		return p.What, 0
	}
	return host, port
}

// Inward are the hosts of which egress found that they lead to no public address, and where they lead.
type Inward map[string]string

// Inwards reads from what the gates told which hosts these are.
func Inwards(feed []bottles.Passage) Inward {
	out := Inward{}
	for i := range feed {
		if p := &feed[i]; p.Gate == bottles.RoleEgress && p.Verdict == bottles.Refused && p.Cause == sidecars.CauseInward {
			host, _ := target(p)
			out[host] = "no public address"
			if _, where, ok := strings.Cut(p.Why, leads); ok {
				out[host] = where
			}
		}
	}
	return out
}

// Rule is the rule, in egress's notation, that would let through what egress refused: as narrow as the notation
// allows. Otherwise why says why no rule would.
func Rule(p *bottles.Passage, inward Inward) (rule, why string) {
	host, port := target(p)
	switch {
	case p.Gate != bottles.RoleEgress:
		return "", frame.Line(string(p.Gate)) + " has no allowlist that could be widened"
	case p.Verdict != bottles.Refused:
		return "", "egress let it through; it failed further out"
	case inward[host] != "":
		return "", "it leads to " + frame.Line(inward[host]) + ", where egress never goes"
	case p.Via == "dns":
		return "", "a name was looked up past the proxy, and no rule makes the resolver answer"
	case !Unlisted(p):
		return "", "it was not refused for want of a rule"
	}
	text := host
	if port != 443 && port != 80 {
		text = net.JoinHostPort(host, strconv.Itoa(port))
	}
	r, err := egress.ParseRule(text)
	if err != nil || r.Any || port == 0 {
		return "", "it can't be written as a rule"
	}
	switch a, err := netip.ParseAddr(r.Host); {
	case err == nil && (!a.IsGlobalUnicast() || a.IsPrivate()):
		return "", "it is no public address, and egress goes nowhere else"
	case err != nil && !strings.Contains(r.Host, "."):
		return "", "it is no public name, and egress goes nowhere else"
	}
	return r.String(), ""
}

// Rulebook is an allowlist that was read. What can't be read of it is left out.
type Rulebook []egress.Rule

// Read reads an allowlist.
func Read(allow []string) Rulebook {
	var out Rulebook
	for _, s := range allow {
		if r, err := egress.ParseRule(s); err == nil {
			out = append(out, r)
		}
	}
	return out
}

// Has says whether the allowlist lets what a passage was for through by now.
func (b Rulebook) Has(p *bottles.Passage) bool {
	host, port := target(p)
	return slices.ContainsFunc(b, func(r egress.Rule) bool {
		if r.Port != port && (r.Port != 0 || port != 443 && port != 80) {
			return false
		}
		return host == r.Host || r.Any && strings.HasSuffix(host, "."+r.Host)
	})
}

// Passed is what a passage was for, in a few words; gate names the gate when it is not egress.
func Passed(p *bottles.Passage) (gate, what string) {
	what = p.What
	if p.Via == "dns" {
		what, _ = target(p)
	}
	if p.Gate != bottles.RoleEgress || what == "" {
		gate = frame.Line(string(p.Gate))
	}
	return gate, frame.Line(what)
}

// Why says why a passage was held back, in a few words. Routes are those in force.
func Why(p *bottles.Passage, routes []bottles.Route) string {
	host, port := target(p)
	switch {
	case Unlisted(p) && strings.HasPrefix(p.Why, "port "):
		return "port " + strconv.Itoa(port) + " is not on the allowlist"
	case Unlisted(p):
		return "not on the allowlist"
	case p.Via == "dns" && strings.HasPrefix(p.Why, "no names are resolved"):
		return "looked up past the proxy"
	case p.Verdict == bottles.Denied:
		for _, r := range routes {
			if r.Path != p.What {
				continue
			}
			if strings.HasSuffix(p.Why, "401") {
				return frame.Line(p.Why + ": is " + r.TokenRef + " good?")
			}
			return frame.Line(p.Why + ": may " + r.TokenRef + " do this?")
		}
	case p.Why == "":
		return string(p.Verdict)
	}
	return frame.Line(strings.TrimPrefix(p.Why, host+" "))
}
