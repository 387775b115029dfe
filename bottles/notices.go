package bottles

import (
	"fmt"
	"os"

	"bottle-tui/queue"
	"bottle-tui/state"
)

// The IDs of the notices of a resume. Those of a profile that has changed begin with "profile-".
const (
	NoticeWorkspace = "workspace-missing"     // the bottle's workspace volume is gone
	NoticeManifest  = "manifest-moved"        // the manifest that declared its agent is gone; another one does
	NoticeHome      = "home-missing"          // the volume of the agent's home directory is gone
	NoticeClaude    = "claude-home-missing"   // that of ~/.claude is gone
	NoticeHomeKept  = "home-kept-from-now-on" // there was none for the home directory before
	NoticeRoot      = "another-root"          // the bottle's objects carry another state root's id
)

// resumeNotices are the facts about a resume that the operator should know before saying yes. They are worked out from
// the state, from what the agent's profile is now, and from what the engine has at that moment: the plan shows them, and
// the resume works them out again under the bottle's lock and refuses where one that needs a yes did not get it.
func resumeNotices(b *state.Bottle, meta state.Metadata, now Profile, have parts) ([]Notice, error) {
	identity := b.Identity()
	var out []Notice
	if meta.Manifest != "" && !SameFile(meta.Manifest, now.Manifest) {
		out = append(out, Notice{ID: NoticeManifest, Ask: true, What: fmt.Sprintf(
			"its agent was declared in %s, which is gone; this plan is what %s declares of %s", meta.Manifest, now.Manifest, meta.AgentName)})
	}
	was, found, err := readLaunched(b)
	if err != nil {
		return nil, err
	}
	if found && meta.ImageDigest != "" { // it ran
		own, err := b.Dockerfile()
		if err != nil {
			return nil, err
		}
		grants, err := readGrants(b)
		if err != nil {
			return nil, err
		}
		out = append(out, profileNotices(was, now, grants, own != nil)...)
	}
	if have.other != nil {
		out = append(out, Notice{ID: NoticeRoot, Ask: true,
			What: have.other.text() + ": this state root was moved, restored or copied, or lost its id. A yes takes them over, and the work in them goes on here",
			Fix:  "say no if the other state root is in use: it is that one's bottle then"})
		have = have.other.parts
	}
	if workspaceMissing(meta, have) {
		instead := "it starts with an empty one"
		if meta.CopyCWD && meta.CWD != "" {
			instead = "it starts with a new copy of " + meta.CWD
		}
		out = append(out, Notice{ID: NoticeWorkspace, Ask: true, What: fmt.Sprintf(
			"the bottle's workspace, the volume %s, is missing: what the agent had in it is lost; %s", volumeName(labelWork, identity), instead)})
	}
	return append(out, homeNotices(identity, meta, have)...), nil
}

// homeNotices are the facts about the volumes of the agent's home.
func homeNotices(identity string, meta state.Metadata, have parts) (out []Notice) {
	if meta.ImageDigest == "" { // it never ran
		return nil
	}
	if _, there := have.volumes[labelUser]; !there && meta.WholeHome {
		out = append(out, Notice{ID: NoticeHome, Ask: true, What: fmt.Sprintf(
			"the agent's home, the volume %s, is missing: what the agent had in it is lost; it starts with the image's", volumeName(labelUser, identity))})
	} else if !there {
		out = append(out, Notice{ID: NoticeHomeKept, What: "until now only ~/.claude was kept of the agent's home; from this start on all of it is, in the volume " + volumeName(labelUser, identity)})
	}
	if _, there := have.volumes[labelHome]; !there {
		out = append(out, Notice{ID: NoticeClaude, What: fmt.Sprintf(
			"the agent's ~/.claude, the volume %s, is missing: the conversation comes back from its copy, the agent's own settings are lost", volumeName(labelHome, identity))})
	}
	return out
}

// SameFile says whether two paths lead to one file. Equal ones do, whether it is there or not.
func SameFile(a, b string) bool {
	if a == b {
		return true
	}
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}

// workspaceMissing says whether a bottle whose agent has run before has no workspace any more.
func workspaceMissing(meta state.Metadata, have parts) bool {
	_, there := have.volumes[labelWork]
	return !there && meta.ImageDigest != ""
}

// agreeTo refuses a resume because of notices that need the operator's yes and are not among those agreed to.
func agreeTo(notices []Notice, agreed string) error {
	left := unagreed(notices, agreed)
	if len(left) == 0 {
		return nil
	}
	return refuse("%s. Look at the plan and say yes to it (r, or bottle-tui resume)", queue.Visible(left[0].What))
}

// move puts a bottle into the profile that its agent has now, which the operator agreed to by its name.
func (s *Supervisor) move(b *state.Bottle, to string) error {
	meta, err := b.Metadata()
	if err != nil {
		return err
	}
	p, err := s.cfg.Catalog.Profile(meta)
	if err != nil {
		return err
	}
	if p.Name != to {
		return refuse("the profile is %s now, and not %s, which you were shown; look at the plan again", queue.Visible(p.Name), queue.Visible(to))
	}
	if err := s.audit(b.Identity(), "profile", map[string]any{"from": meta.Profile, "to": p.Name, "manifest": p.Manifest}); err != nil {
		return err
	}
	return b.UpdateMetadata(func(m *state.Metadata) { m.Profile, m.Manifest = p.Name, p.Manifest })
}
