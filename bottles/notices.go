package bottles

import (
	"fmt"

	"bottle-tui/queue"
	"bottle-tui/state"
)

// NoticeWorkspace is the ID of the notice that a bottle's workspace volume is gone.
const NoticeWorkspace = "workspace-missing"

// resumeNotices are the facts about a resume that the operator should know before saying yes. They are worked out from
// the state and from what the engine has at that moment: the plan shows them, and the resume works them out again under
// the bottle's lock and refuses where one that needs a yes did not get it.
func resumeNotices(identity string, meta state.Metadata, have parts) []Notice {
	var out []Notice
	if workspaceMissing(meta, have) {
		instead := "it starts with an empty one"
		if meta.CopyCWD && meta.CWD != "" {
			instead = "it starts with a new copy of " + meta.CWD
		}
		out = append(out, Notice{ID: NoticeWorkspace, Ask: true, What: fmt.Sprintf(
			"the bottle's workspace, the volume %s, is missing: what the agent had in it is lost; %s", volumeName(labelWork, identity), instead)})
	}
	return out
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
