package bottles

import (
	"context"
	"fmt"
	"io"

	"bottle-tui/bottles/workspace"
	"bottle-tui/queue"
	"bottle-tui/state"
)

// fillWorkspace copies the operator's directory into the workspace of an agent that was not started yet.
func (x *execution) fillWorkspace(ctx context.Context, container string) error {
	tree, err := workspace.Scan(ctx, x.layout.fill, workspace.Options{
		SkipIgnored: x.layout.skipIgnored, Part: x.layout.part, Never: []string{x.sup.cfg.Root.Dir()},
	})
	if err != nil {
		return fmt.Errorf("fill the workspace: %w", err)
	}
	// The engine refuses an archive with a link that leads out of the directory that it is unpacked in: that is the root,
	// out of which nothing leads.
	tree.Under = Workspace[1:] + "/"
	p := x.layout.profile.Program
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := tree.Archive(ctx, w, p.UID, p.GID, func(files int, bytes int64) {
			x.report(copied(files, tree.Files, bytes), 0, 0)
		})
		_ = w.CloseWithError(err)
		packed <- err
	}()
	err = x.sup.cfg.Engine.CopyIn(ctx, container, "/", r)
	_ = r.Close() // ends the writer if the engine did not read to the end
	if packErr := <-packed; packErr != nil && err == nil {
		err = packErr
	}
	if err != nil {
		return fmt.Errorf("fill the workspace from %s: %w", x.layout.fill, err)
	}
	if tree.Unsettled != "" {
		x.sup.tellUnsettled(x.layout.identity, tree.Unsettled)
	}
	return x.bottle.UpdateMetadata(func(m *state.Metadata) { m.Filled = true })
}

// tellUnsettled tells the operator that a repository in a workspace is not as it was at one moment on the host. The copy
// is as good as it can be had, so the launch goes on.
func (s *Supervisor) tellUnsettled(identity, what string) {
	s.audit(identity, "workspace", map[string]any{"problem": what})
	s.ask(func() { s.alert(AlertFailed, identity, "", identity+": "+queue.Visible(what)) })
}

// copied is the progress of a copy in the operator's words.
func copied(files, total int, bytes int64) string {
	return fmt.Sprintf("copy %s of %s files, %s", workspace.Count(files), workspace.Count(total), workspace.Size(bytes))
}
