package bottles

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"bottle-tui/bottles/workspace"
	"bottle-tui/state"
)

// PlannedCopy is what would be copied into the workspace.
type PlannedCopy struct {
	Files       int   `json:"files"`
	Bytes       int64 `json:"bytes"`
	Ignored     int   `json:"ignored"`      // entries that .bottleignore leaves out; a directory counts once
	SkipIgnored bool  `json:"skip_ignored"` // what git ignores is left out
	GitIgnored  int   `json:"git_ignored"`  // entries that are left out because of that; a directory counts once
	Git         bool  `json:"git"`          // a git repository is among it
}

// The IDs of the notices about what is copied into a workspace.
const (
	NoticeDockerignore = "dockerignore-not-read"
	NoticeLeftGit      = "git-left-out"
	NoticeLeftTracked  = "tracked-left-out"
	NoticeLargeIgnored = "large-ignored"
	NoticeStateRoot    = "state-root-left-out"
	NoticeNotAsItIs    = "not-copied-as-it-is"
)

// skipsIgnored says whether the copy of a launch is without what git ignores.
func (a Launch) skipsIgnored(profile Profile) bool {
	if a.SkipIgnored != nil {
		return *a.SkipIgnored
	}
	return profile.SkipIgnored
}

// partOf says which part of a git repository the directory of a new bottle is, if that repository can be copied with it.
func partOf(meta state.Metadata) string {
	if !meta.CopyCWD || meta.CWD == "" {
		return ""
	}
	part, _, err := workspace.PartOf(meta.CWD)
	if err != nil {
		return "" // the copy is of the directory alone, and the plan says why
	}
	return part
}

// planCopy looks at what would be copied.
func planCopy(ctx context.Context, dir string, o workspace.Options, p *Preflight) {
	tree, err := workspace.Scan(ctx, dir, o)
	var refused *workspace.Refused
	switch {
	case errors.As(err, &refused):
		p.conflict(Conflict{refused.What, refused.Fix})
	case err != nil:
		p.conflict(Conflict{err.Error(), "choose another directory"})
	default:
		p.Copy = &PlannedCopy{Files: tree.Files, Bytes: tree.Bytes, Ignored: tree.Ignored, SkipIgnored: o.SkipIgnored, GitIgnored: tree.GitIgnored, Git: tree.Git()}
		p.notice(copyNotices(tree)...)
		secrets, err := copiedSecrets(ctx, tree)
		if err != nil && ctx.Err() == nil {
			secrets = []Notice{{ID: NoticeSecrets, What: "whether files with credentials are among what is copied could not be looked at: " + err.Error()}}
		}
		p.notice(secrets...)
		for _, n := range tree.Notes {
			p.notice(Notice{ID: n.ID, What: n.What, Fix: n.Fix})
		}
	}
}

// copyNotices are the facts about a copy that are not to be found out only inside the bottle.
func copyNotices(t *workspace.Tree) (out []Notice) {
	ignore := filepath.Join(t.Dir, ".bottleignore")
	add := func(id, fix, format string, args ...any) {
		out = append(out, Notice{ID: id, What: fmt.Sprintf(format, args...), Fix: fix})
	}
	if t.LeftGit.Count > 0 {
		add(NoticeLeftGit, "take the pattern out of "+ignore, ".bottleignore leaves git's own files out: %s; git does not work as usual in the bottle", t.LeftGit)
	}
	if t.LeftTracked.Count > 0 {
		add(NoticeLeftTracked, "take the patterns out of "+ignore, ".bottleignore leaves out what git tracks: %s; the agent's git takes it for deleted", t.LeftTracked)
	}
	if t.Dockerignore {
		add(NoticeDockerignore, "list what the agent does not need in "+ignore+", in gitignore syntax", ".dockerignore is not read: what it lists is copied")
	}
	if len(t.Large) > 0 {
		var names []string
		for _, part := range t.Large[:min(len(t.Large), 5)] {
			names = append(names, fmt.Sprintf("%q (%s)", part.Path, workspace.Size(part.Bytes)))
		}
		if more := len(t.Large) - len(names); more > 0 {
			names = append(names, fmt.Sprintf("%d more", more))
		}
		add(NoticeLargeIgnored, "leave out what git ignores with --skip-ignored (i in the plan on the screen) or copy.skip_ignored in the manifest",
			"git ignores these large directories, which are copied: %s", strings.Join(names, ", "))
	}
	if t.Never.Count > 0 {
		add(NoticeStateRoot, "", "the state root is in the directory and is left out: %s", t.Never)
	}
	if t.Skipped.Count > 0 {
		add(NoticeNotAsItIs, "", "sockets, named pipes and devices are not copied: %s", t.Skipped)
	}
	if t.HardLinks.Count > 0 {
		add(NoticeNotAsItIs, "", "hard links become files of their own: %s", t.HardLinks)
	}
	if t.Sparse.Count > 0 {
		add(NoticeNotAsItIs, "leave them out with "+ignore, "sparse files are written out, with %s of zeros: %s", workspace.Size(t.SparseBytes), t.Sparse)
	}
	return out
}
