package bottles

import (
	"bottle-tui/state"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
)

// lastSession is the session that a transcript was last written for; "" when there is none. It is for
// states whose metadata does not say.
func lastSession(b *state.Bottle) string {
	files, _ := filepath.Glob(filepath.Join(b.Dir(), "transcript", "*", "*.jsonl")) // the pattern is well-formed
	var session string
	var latest time.Time
	for _, f := range files {
		info, err := os.Lstat(f)
		id := strings.TrimSuffix(filepath.Base(f), ".jsonl")
		if err == nil && uuid.Validate(id) == nil && info.ModTime().After(latest) {
			session, latest = id, info.ModTime()
		}
	}
	return session
}

// hasSession says whether the kept transcript records a session, and whether there is something in it to go on with:
// Claude Code takes up no session in which nobody has said anything, and begins none under the identifier of one.
func hasSession(b *state.Bottle, session string) (exists, spoken bool) {
	files, _ := filepath.Glob(filepath.Join(b.Dir(), "transcript", "*", session+".jsonl"))
	if len(files) == 0 || uuid.Validate(session) != nil {
		return false, false
	}
	f, err := os.Open(files[0])
	if err != nil {
		return true, true // the agent will say what is wrong with it
	}
	defer f.Close()
	content, _ := io.ReadAll(io.LimitReader(f, maxBeginning))
	return true, bytes.Contains(content, []byte(`"type":"user"`))
}

// maxBeginning is how much of a transcript, in bytes, is searched for the first message.
const maxBeginning = 16 << 20

// takeUp decides how an agent begins: with its session where there is one to go on with, else with a new one.
func (s *Supervisor) takeUp(ctx context.Context, x *execution, j *journal) error {
	c, err := s.cfg.Engine.Container(ctx, agentName(x.layout.identity))
	switch {
	case err == nil && c.State == StateRunning && j.Fresh:
		return nil // a launch that was interrupted when its agent ran already
	case err == nil && c.State != StateCreated:
		x.findProfile()
		if err := s.snapshotTranscript(ctx, x.bottle, x.layout.profile.Program); err != nil {
			return err
		}
	case err != nil && !errors.Is(err, ErrNotFound):
		return err
	}
	before := j.Session
	switch exists, spoken := hasSession(x.bottle, j.Session); {
	case spoken && j.Fresh:
		j.Fresh, j.Message = false, resumed
	case spoken || j.Fresh && !exists:
	default:
		j.Fresh = true
		if exists || j.Session == "" {
			j.Session = uuid.NewString()
		}
	}
	if j.Session == before {
		return nil
	}
	return x.bottle.UpdateMetadata(func(m *state.Metadata) { m.SessionID = j.Session })
}
