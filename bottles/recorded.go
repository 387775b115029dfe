package bottles

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"time"
)

// recordedWithin bounds the wait for the agent's transcript to hold the answer to its call.
const recordedWithin = 2 * time.Second

// recorded waits until the agent's transcript holds the answer to its call, so that the agent that
// goes on knows it. It is bounded, and what it misses the resume message says again.
func (s *Supervisor) recorded(ctx context.Context, x *execution, j journal, before int64) {
	ctx, cancel := context.WithTimeout(ctx, recordedWithin)
	defer cancel()
	name, file := agentName(x.layout.identity), x.layout.profile.Program.transcript(j.Session)
	x.report("the agent records the answer", 0, 0)
	s.told(ctx, x.layout.identity, j.Request, recordedWithin)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for size := before; ; {
		now, err := s.cfg.Engine.Stat(ctx, name, file)
		if err != nil {
			return // nothing is recorded there: no such file, or the agent is gone
		}
		if now.Size != size && (j.ToolUse == "" || s.holdsResult(ctx, name, file, before, j.ToolUse)) {
			return
		}
		size = now.Size
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// holdsResult says whether a transcript has the result of a tool call behind its first bytes, which were there before it.
func (s *Supervisor) holdsResult(ctx context.Context, container, file string, before int64, toolUse string) bool {
	r, err := s.cfg.Engine.CopyOut(ctx, container, file)
	if err != nil {
		return false
	}
	defer r.Close()
	archive := tar.NewReader(r)
	h, err := archive.Next()
	if err != nil {
		return false
	}
	if h.Size >= before { // or it was written anew
		if _, err := io.CopyN(io.Discard, archive, before); err != nil {
			return false
		}
	}
	content, err := io.ReadAll(io.LimitReader(archive, 64<<20))
	quoted, _ := json.Marshal(toolUse) // a string
	return err == nil && bytes.Contains(content, append([]byte(`"tool_use_id":`), quoted...))
}
