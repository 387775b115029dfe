package bottles

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"bottle-tui/bottles/dockerfile"
	"bottle-tui/queue"
	"bottle-tui/state"
)

// launched is the profile of launched.json. What its files hold is long and seldom asked for: it is in a file of its own, and
// the profile has the hashes. One of an earlier version has all.
type launched struct {
	Profile
	FilesIn string `json:",omitempty"` // its name
}

// readLaunched reads the profile that a bottle was last brought to life with, without what its files hold; found is false
// where none was kept.
func readLaunched(b *state.Bottle) (p Profile, found bool, err error) {
	l, found, err := readLaunchedFile(b)
	return l.Profile, found, err
}

func readLaunchedFile(b *state.Bottle) (l launched, found bool, err error) {
	content, err := b.Launched()
	if err != nil || content == nil {
		return l, false, err
	}
	if err := json.Unmarshal(content, &l); err != nil {
		return l, false, fmt.Errorf("reading %s/launched.json: %w: remove it while the bottle is down; it was left as it is", b.Dir(), err)
	}
	return l, true, nil
}

// writeLaunched keeps the profile that a bottle is brought to life with.
func writeLaunched(b *state.Bottle, p Profile) error {
	files, err := filesOf(b, p)
	if err != nil {
		return err
	}
	l := launched{Profile: p}
	l.Files = nil
	kept := map[string][]byte{} // what files hold, by its hash
	for _, f := range files {
		f.Hash = f.hash()
		kept[f.Hash], f.Content = f.Content, nil
		l.Files = append(l.Files, f)
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("keeping the files of %s: %w", b.Identity(), err)
	}
	if len(kept) > 0 {
		l.FilesIn = shortHash(string(text))
		if err := b.KeepLaunched(l.FilesIn, append(text, '\n')); err != nil {
			return err
		}
	}
	content, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("writing %s/launched.json: %w", b.Dir(), err)
	}
	return b.PutLaunched(append(content, '\n'), l.FilesIn)
}

// filesOf are the files of a bottle's profile with what they hold.
func filesOf(b *state.Bottle, p Profile) ([]File, error) {
	if !slices.ContainsFunc(p.Files, func(f File) bool { return f.Hash != "" && f.Content == nil }) {
		return p.Files, nil
	}
	l, _, err := readLaunchedFile(b)
	if err != nil {
		return nil, err
	}
	text, err := b.LaunchedKept(l.FilesIn)
	if err != nil {
		return nil, fmt.Errorf("find the files that the agent of %s was given: %w", b.Identity(), err)
	}
	var kept map[string][]byte
	if err := json.Unmarshal(text, &kept); err != nil {
		return nil, fmt.Errorf("read the files that the agent of %s was given: %w", b.Identity(), err)
	}
	files := slices.Clone(p.Files)
	for i := range files {
		f := &files[i]
		if f.Hash == "" || f.Content != nil {
			continue
		}
		if f.Content = kept[f.Hash]; queue.Hash(f.Content) != f.Hash {
			return nil, fmt.Errorf("what %s held in the agent of %s was not kept: tear the bottle down and resume it", f.Path, b.Identity())
		}
	}
	return files, nil
}

// profileOf is the profile that a bottle runs on, or ran on last: the one that it was brought to life with, whatever the
// catalog says of its agent now. Only a launch and a resume take the catalog's. For a bottle that lives since before
// profiles were kept it is the catalog's, with the Dockerfile that the agent was told is in force.
func (s *Supervisor) profileOf(b *state.Bottle) (Profile, error) {
	p, found, err := readLaunched(b)
	if err != nil || found {
		return p, err
	}
	meta, err := b.Metadata()
	if err != nil {
		return p, err
	}
	if p, err = s.cfg.Catalog.Profile(meta); err != nil {
		return p, err
	}
	p.Program = p.Program.in(meta.Part)
	own, err := b.Dockerfile()
	if err != nil || own != nil {
		return p, err
	}
	told, err := b.Config(fileDockerfile)
	if len(told) > 0 {
		p.Dockerfile = told
	}
	return p, err
}

// prepared is p with the catalog's Prepare, which makes what a Dockerfile is based on and can't be kept.
func (s *Supervisor) prepared(p Profile, meta state.Metadata) Profile {
	if now, err := s.cfg.Catalog.Profile(meta); err == nil {
		p.Prepare = now.Prepare
	}
	return p
}

// dockerfileOf is the Dockerfile that a bottle's agent runs on: the one that it was told is in force.
func (s *Supervisor) dockerfileOf(b *state.Bottle) ([]byte, error) {
	told, err := b.Config(fileDockerfile)
	if err != nil || len(told) > 0 {
		return told, err
	}
	own, err := b.Dockerfile()
	if err != nil || own != nil {
		return own, err
	}
	p, err := s.profileOf(b)
	return p.Dockerfile, err
}

// moved says what of a profile differs from the one that a bottle was brought to life with: one text for each aspect,
// by the name of the aspect, in the order of a plan. What the operator granted for the profile is no difference.
func moved(was, now Profile, grants []Grant) (out []aspect) {
	say := func(name, format string, args ...any) {
		out = append(out, aspect{name, queue.Visible(fmt.Sprintf(format, args...))})
	}
	if string(was.Dockerfile) != string(now.Dockerfile) {
		add, gone := lineChanges(string(was.Dockerfile), string(now.Dockerfile))
		say(aspectImage, "the profile's Dockerfile has changed: %s", plusMinus(add, gone))
	}
	known := declared(was)
	for _, g := range grants {
		if g.Scope.Profile {
			known = known.with(g.Change)
		}
	}
	change := difference(known, declared(now))
	var paths []string
	for _, r := range change.Routes {
		paths = append(paths, r.Path)
	}
	if len(change.Allow)+len(change.Disallow) > 0 {
		say("egress", "the profile's allowlist has changed: %s", plusMinus(change.Allow, change.Disallow))
	}
	if len(change.Routes)+len(change.Unroute) > 0 {
		say("routes", "the profile's cred-proxy routes have changed: %s", plusMinus(paths, change.Unroute))
	}
	for _, a := range []struct{ name, what, was, now string }{
		{"engine", "egress engine", wayOutText(was), wayOutText(now)},
		{"ca", "CA file", string(was.CA), string(now.CA)},
		{"git", "git remotes", jsonText(was.Git), jsonText(now.Git)},
		{"supervise", "supervise", fmt.Sprint(was.Supervise), fmt.Sprint(now.Supervise)},
		{"command", "command", jsonText(was.Command), jsonText(now.Command)},
		{"args", "args", jsonText(was.Args), jsonText(now.Args)},
		{"model", "model", was.Model, now.Model},
		{"prompt", "prompt", was.Prompt, now.Prompt},
		{"skills", "skills", jsonText(was.Skills), jsonText(now.Skills)},
		{"memory", "memory limit", fmt.Sprint(was.Memory), fmt.Sprint(now.Memory)},
		{"pids", "process limit", fmt.Sprint(was.Pids), fmt.Sprint(now.Pids)},
		{"network", "build network", orDefault(was.BuildNetwork, DefaultNetwork), orDefault(now.BuildNetwork, DefaultNetwork)},
	} {
		switch {
		case a.was == a.now:
		case len(a.was) <= maxShown && len(a.now) <= maxShown:
			say(a.name, "the profile's %s has changed: it was %s and is %s", a.what, orDefault(a.was, "none"), orDefault(a.now, "none"))
		default:
			say(a.name, "the profile's %s has changed", a.what)
		}
	}
	for _, a := range []struct {
		name, what string
		was, now   map[string]json.RawMessage
	}{
		{"settings", "settings of Claude Code", was.Settings, now.Settings},
		{"mcp-servers", "MCP servers", was.MCPServers, now.MCPServers},
	} {
		if add, gone := namesOf(missing(members(a.now), members(a.was))), namesOf(missing(members(a.was), members(a.now))); len(add)+len(gone) > 0 {
			say(a.name, "the profile's %s have changed: %s", a.what, plusMinus(add, missing(gone, add)))
		}
	}
	if add, gone := namesOf(missing(now.Env, was.Env)), namesOf(missing(was.Env, now.Env)); len(add)+len(gone) > 0 {
		say("env", "the profile's environment has changed: %s", plusMinus(missing(add, nil), missing(gone, add)))
	}
	return out
}

// aspect is one thing in which two profiles differ.
type aspect struct{ name, text string }

const aspectImage = "image"

// maxShown bounds, in bytes, what is shown of a value that changed.
const maxShown = 80

func wayOutText(p Profile) string {
	return strings.TrimSpace(orDefault(p.EgressEngine, engineBuiltin) + " " + p.EgressImage)
}

// jsonText is a list as it is compared and shown; "" for an empty one.
func jsonText[T any](list []T) string {
	if len(list) == 0 {
		return ""
	}
	text, _ := json.Marshal(list) // strings and numbers
	return string(text)
}

// members are the members of an object as name=value, in order.
func members(object map[string]json.RawMessage) (all []string) {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		all = append(all, name+"="+string(object[name]))
	}
	return all
}

// namesOf are the names of NAME=value.
func namesOf(env []string) (names []string) {
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		names = append(names, name)
	}
	return names
}

// lineChanges are the lines of b that a does not have, and those of a that b does not have.
func lineChanges(a, b string) (add, gone []string) {
	was, is := strings.Split(strings.TrimSpace(a), "\n"), strings.Split(strings.TrimSpace(b), "\n")
	return missing(is, was), missing(was, is)
}

// maxNamed bounds how many of what was added or taken away are named.
const maxNamed = 4

// plusMinus names what was added, with a plus, and taken away, with a minus.
func plusMinus(add, gone []string) string {
	var parts []string
	for _, side := range []struct {
		sign string
		list []string
	}{{"+", add}, {"-", gone}} {
		for _, s := range side.list[:min(len(side.list), maxNamed)] {
			parts = append(parts, side.sign+cut(strings.TrimSpace(s), 80))
		}
		if n := len(side.list) - maxNamed; n > 0 {
			parts = append(parts, fmt.Sprintf("%s%d more", side.sign, n))
		}
	}
	if len(parts) == 0 {
		return "the order or the blank lines"
	}
	return strings.Join(parts, ", ")
}

// profileNotices are what a resume would change because the profile moved on since the bottle last ran: own says that
// the bottle has a Dockerfile of its own, which it keeps, and
// grants are the bottle's. An ID has a hash of what changed, so that a yes is to that.
func profileNotices(was, now Profile, grants []Grant, own bool) (out []Notice) {
	for _, a := range moved(was, now, grants) {
		n := Notice{ID: noticeProfile + a.name + "-" + shortHash(a.text, now.shown()), Ask: true, What: a.text}
		if was.Name != now.Name {
			n.Ask = false // the other profile is asked about by its name
		}
		if a.name == aspectImage && own {
			n.Ask, n.What = false, a.text+"; the bottle keeps the Dockerfile that was approved for it"
		}
		out = append(out, n)
	}
	if len(out) == 0 && !sameAgentFiles(was, now) {
		out = append(out, Notice{ID: "program-files", What: "the files or flags that bottle-tui gives the agent differ from those that it ran with last"})
	}
	return out
}

// noticeProfile begins the ID of a notice about one aspect of the profile.
const noticeProfile = "profile-"

func shortHash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])[:12]
}

// sameAgentFiles says whether an agent of two profiles finds the same files and is run alike.
func sameAgentFiles(a, b Profile) bool {
	return reflect.DeepEqual(a.Program, b.Program) && slices.EqualFunc(a.Files, b.Files, func(x, y File) bool {
		x.Hash, x.Content, y.Hash, y.Content = x.hash(), nil, y.hash(), nil
		return reflect.DeepEqual(x, y)
	})
}

// movedFinding tells in a request's dialog that the profile is not what the bottle runs on any more.
func (s *Supervisor) movedFinding(b *state.Bottle, meta state.Metadata, tool string) []dockerfile.Finding {
	was, found, err := readLaunched(b)
	if err != nil || !found {
		return nil
	}
	now, err := s.cfg.Catalog.Profile(meta)
	if err != nil {
		return nil // the manifest's own problem, which is shown as such
	}
	grants, err := readGrants(b)
	if err != nil {
		return nil // told elsewhere
	}
	for _, a := range moved(was, now, grants) {
		switch {
		case a.name == aspectImage && tool == queue.ToolCapability:
			return []dockerfile.Finding{{Severity: dockerfile.Note, Rule: "profile-changed", Text: a.text +
				". This request is compared with what the bottle runs on; once approved, the bottle keeps its own Dockerfile and the profile's change does not reach it."}}
		case a.name == "egress" && tool == queue.ToolEgress, a.name == "routes" && tool == queue.ToolCredProxy:
			return []dockerfile.Finding{{Severity: dockerfile.Note, Rule: "profile-changed", Text: a.text +
				". This request is compared with what the bottle runs on; the profile's change reaches it when it is next resumed."}}
		}
	}
	return nil
}
