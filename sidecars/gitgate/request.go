package gitgate

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Bounds on what stands before the pack of a push.
const (
	maxCommands   = 1000
	maxRefName    = 512
	maxShallow    = 10_000
	maxOptions    = 100
	maxOptionSize = 4 << 10
	maxOptionText = 120      // bytes of an option that are told
	maxAdvert     = 64 << 20 // bytes of what an upstream says it has
)

// passed are the capabilities of receive-pack that git-gate passes on: gitprotocol-capabilities(5). Others could
// lead round what it looks at, as push-cert does, which hides the commands in a signed text. None has a value that
// the agent could choose.
var passed = []string{"report-status", "report-status-v2", "delete-refs", "quiet", "atomic", "ofs-delta", "side-band-64k",
	"push-options", "object-format=sha1", "no-thin"}

// filterCapabilities is what of caps git-gate passes on.
func filterCapabilities(caps string) []string {
	return slices.DeleteFunc(strings.Fields(caps), func(c string) bool { return !slices.Contains(passed, c) })
}

// command is one change of a ref that a push asks for.
type command struct {
	old, new oid
	ref      string
}

// request is a push without its pack: gitprotocol-pack(5), "Reference Update Request".
type request struct {
	shallow  []string
	commands []command
	caps     []string
	options  []string
}

func (q *request) has(capability string) bool { return slices.Contains(q.caps, capability) }

func (q *request) refs() []string {
	var refs []string
	for _, c := range q.commands {
		refs = append(refs, c.ref)
	}
	return refs
}

// sendsPack says whether a pack follows: it does unless refs are only deleted.
func (q *request) sendsPack() bool {
	return slices.ContainsFunc(q.commands, func(c command) bool { return !c.new.none() })
}

// readRequest reads what stands before the pack. It is nil when the agent asks for nothing.
func readRequest(in io.Reader) (*request, error) {
	q := &request{}
	for {
		p, err := readPkt(in)
		if err != nil {
			return nil, err
		}
		if p.special == 0 {
			break
		}
		if p.special > 0 {
			return nil, errPkt
		}
		line, caps, first := strings.Cut(p.line(), "\x00")
		if first && len(q.commands) == 0 {
			q.caps = filterCapabilities(caps)
		}
		line = strings.TrimSuffix(line, "\n")
		if id, ok := strings.CutPrefix(line, "shallow "); ok {
			if _, ok := parseOid(id); !ok || len(q.shallow) >= maxShallow {
				return nil, errPkt
			}
			q.shallow = append(q.shallow, id)
			continue
		}
		if strings.HasPrefix(line, "push-cert") {
			return nil, refuse("signed pushes can't be looked at").with("Push without --signed.")
		}
		f := strings.SplitN(line, " ", 3)
		if len(f) != 3 {
			return nil, errPkt
		}
		var c command
		var ok1, ok2 bool
		c.old, ok1 = parseOid(f[0])
		c.new, ok2 = parseOid(f[1])
		c.ref = f[2]
		if !ok1 || !ok2 {
			if len(f[0]) == 64 {
				return nil, refuse("repositories with SHA-256 names can't be pushed to through git-gate")
			}
			return nil, errPkt
		}
		if len(c.ref) > maxRefName {
			return nil, refuse("the name of a ref is longer than %d bytes", maxRefName)
		}
		if len(q.commands) >= maxCommands {
			return nil, refuse("the push changes more than %d refs", maxCommands).with("Push fewer refs at a time.")
		}
		q.commands = append(q.commands, c)
	}
	if len(q.commands) == 0 {
		return nil, nil
	}
	if q.has("push-options") {
		for {
			p, err := readPkt(in)
			if err != nil {
				return nil, unexpected(err)
			}
			if p.special == 0 {
				break
			}
			if p.special > 0 || len(q.options) >= maxOptions || len(p.data) > maxOptionSize {
				return nil, refuse("the push has more than %d options, or one longer than %d bytes", maxOptions, maxOptionSize).
					with("Push with fewer of them, or without -o.")
			}
			q.options = append(q.options, p.line())
		}
	}
	return q, nil
}

// head is the request as it goes to the upstream.
func (q *request) head() []byte {
	caps := q.caps
	if !q.has("report-status") && !q.has("report-status-v2") { // what became of it is told in any case
		caps = append(caps[:len(caps):len(caps)], "report-status")
	}
	var b []byte
	for _, id := range q.shallow {
		b = appendPkt(b, "shallow "+id)
	}
	for i, c := range q.commands {
		line := fmt.Sprintf("%s %s %s", c.old, c.new, c.ref)
		if i == 0 {
			line += "\x00 " + strings.Join(caps, " ")
		}
		b = appendPkt(b, line)
	}
	b = append(b, flushPkt...)
	if q.has("push-options") {
		for _, o := range q.options {
			b = appendPkt(b, o)
		}
		b = append(b, flushPkt...)
	}
	return b
}

// policy says which commands are against the remote's rules, by ref, as far as that can be told without the
// objects.
func (r *remote) policy(q *request) map[string]*refusal {
	bad := map[string]*refusal{}
	seen := map[string]bool{}
	for _, c := range q.commands {
		switch {
		case !validRef(c.ref):
			bad[c.ref] = refuse("that is no name of a ref")
		case seen[c.ref]:
			bad[c.ref] = refuse("the push changes it twice")
		case len(r.AllowRefs) == 0:
			bad[c.ref] = refuse("nothing may be pushed to this remote").with("The operator can allow refs with allow_refs of the remote " + r.Name + " in the manifest.")
		case !r.allows(c.ref):
			bad[c.ref] = refuse("not among the refs that may be pushed").
				with(fmt.Sprintf("Refs that may be pushed: %s. The operator can change allow_refs of the remote %s in the manifest.", strings.Join(r.AllowRefs, ", "), r.Name))
		case c.new.none() && !r.AllowForce:
			bad[c.ref] = refuse("refs of this remote must not be deleted").with("Leave it there. The operator can set allow_force of the remote " + r.Name + " in the manifest.")
		case !c.old.none() && !c.new.none() && strings.HasPrefix(c.ref, "refs/tags/") && !r.AllowForce:
			bad[c.ref] = refuse("tags of this remote must not be moved").with("Make a tag of another name. The operator can set allow_force of the remote " + r.Name + " in the manifest.")
		}
		seen[c.ref] = true
	}
	return bad
}

// badOption is the first option of a push that must not go on to the upstream.
func (r *remote) badOption(q *request) (option string, bad bool) {
	for _, o := range q.options {
		if !validOption(o) || !matches(r.AllowPushOptions, o) {
			return o, true
		}
	}
	return "", false
}

// judge holds what stands before the pack to the remote's rules.
func (s *server) judge(r *remote, q *request) error {
	if err := refuseRefs(r.policy(q)); err != nil {
		return err
	}
	option, bad := r.badOption(q)
	if !bad {
		return nil
	}
	if hits := s.scanner.look(context.Background(), []byte(option), where{}); len(hits) > 0 { // it must not be said
		return s.refuseFindings(q, []finding{{rule: hits[0].rule, path: "a push option"}})
	}
	if !validOption(option) {
		return refuse("the push option %q holds a control character, or is no text", plain(option, maxOptionText)).with("Push without it.")
	}
	allowed := ""
	if len(r.AllowPushOptions) > 0 {
		allowed = "Options that may be given: " + plain(strings.Join(r.AllowPushOptions, ", "), 400) + ". "
	}
	return refuse("the push option %q is not among those that may go on to the upstream", plain(option, maxOptionText)).
		with(allowed + "Push without -o. The operator can allow options with allow_push_options of the remote " + r.Name + " in the manifest.")
}

// advert is what an upstream's receive-pack says that it has.
type advert struct {
	tips map[string]oid
	raw  []byte // as it goes on to the agent
}

// readAdvert reads receive-pack's advertisement up to its flush, and makes of it what the agent may see: no
// capabilities but those of passed, and no-thin, so that packs come whole.
func readAdvert(in io.Reader) (*advert, error) {
	a := &advert{tips: map[string]oid{}}
	first := true
	for {
		p, err := readPkt(in)
		if err != nil {
			return nil, unexpected(err)
		}
		if p.special == 0 {
			a.raw = append(a.raw, flushPkt...)
			return a, nil
		}
		if p.special > 0 {
			return nil, errPkt
		}
		if len(a.raw)+len(p.data) > maxAdvert {
			return nil, fmt.Errorf("the upstream's list of refs is larger than %s", bytesText(maxAdvert))
		}
		if msg, ok := bytes.CutPrefix(p.data, []byte("ERR ")); ok {
			return nil, &upstreamSaid{plain(string(bytes.TrimSpace(msg)), maxReason)}
		}
		line, caps, has := strings.Cut(p.line(), "\x00")
		if first && line == "version 1" {
			continue
		}
		id, ref, ok := strings.Cut(line, " ")
		if o, isOid := parseOid(id); ok && isOid && ref != ".have" && !strings.HasPrefix(ref, "capabilities^{}") {
			a.tips[ref] = o
		}
		if !first {
			a.raw = append(a.raw, p.raw()...)
			continue
		}
		first = false
		if !has {
			return nil, errPkt
		}
		for c := range strings.FieldsSeq(caps) {
			if format, ok := strings.CutPrefix(c, "object-format="); ok && format != "sha1" {
				return nil, refuse("its objects have %s names, which git-gate can't look at", plain(format, 20))
			}
		}
		kept := append(filterCapabilities(caps), "no-thin")
		a.raw = appendPkt(a.raw, line+"\x00"+strings.Join(kept, " ")+"\n")
	}
}

// upstreamSaid is an error in the upstream's own words.
type upstreamSaid struct{ text string }

func (e *upstreamSaid) Error() string { return "the upstream said: " + e.text }
