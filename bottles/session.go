package bottles

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"bottle-tui/state"
)

// SessionFileName is the file in Program.Home in which the agent's program writes down which session it is in: a JSON
// object with the field session_id. The agent can write it, too, so nothing is believed of it that its transcripts do
// not bear out.
const SessionFileName = "bottle-session.json"

// maxSessionFile bounds that file, in bytes.
const maxSessionFile = 64 << 10

// sessionFile is its path in the container.
func (p Program) sessionFile() string { return p.Home + "/" + SessionFileName }

// validSession says whether a text is a session's identifier, in the one form that names its transcript.
func validSession(id string) bool { return len(id) == 36 && uuid.Validate(id) == nil }

// noteSession is the session file of a container that is about to start, so that it does not name the session of the
// container before it until the program has written it anew.
func noteSession(p Program, session string) File {
	content, _ := json.Marshal(map[string]string{"session_id": session}) // strings can be encoded
	return File{Path: p.sessionFile(), Content: append(content, '\n'), Mode: 0o600, UID: p.UID, GID: p.GID}
}

// saidSession is what an agent's container said of its session, and the file that it said it in.
type saidSession struct {
	file    FileStat
	session string
}

// noteSaid notes that an agent's container was given a session file, so that it is not read before the program wrote it.
func (s *Supervisor) noteSaid(container string, file File, at time.Time, session string) {
	if !validSession(session) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[container] = saidSession{FileStat{Size: int64(len(file.Content)), ModTime: at}, session}
}

// liveSession is the session that an agent's container says it is in; "" when it says nothing that can be one. The file is
// read again only when it was written again: the engine takes long to read one, and does one thing at a time with a container.
func (s *Supervisor) liveSession(ctx context.Context, container string, p Program) (string, error) {
	file, unknown := s.cfg.Engine.Stat(ctx, container, p.sessionFile())
	if errors.Is(unknown, ErrNotFound) {
		return "", nil
	}
	s.mu.Lock()
	said, known := s.sessions[container]
	s.mu.Unlock()
	if unknown == nil && known && said.file.Size == file.Size && said.file.ModTime.Equal(file.ModTime) {
		return said.session, nil
	}
	session, err := s.readSession(ctx, container, p)
	if err == nil && unknown == nil {
		s.mu.Lock()
		s.sessions[container] = saidSession{file, session} // file is from before, so what was written meanwhile is read the next time
		s.mu.Unlock()
	}
	return session, err
}

// readSession reads what an agent's container says of its session.
func (s *Supervisor) readSession(ctx context.Context, container string, p Program) (string, error) {
	r, err := s.cfg.Engine.CopyOut(ctx, container, p.sessionFile())
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var f File
	if _, err := fileOf(r, &f, maxSessionFile); err != nil { // a link is not followed: it is no session's
		return "", fmt.Errorf("read %s of %s: %w", p.sessionFile(), container, err)
	}
	var said struct {
		SessionID string `json:"session_id"`
	}
	if json.Unmarshal(f.Content, &said) != nil || !validSession(said.SessionID) {
		return "", nil
	}
	return said.SessionID, nil
}

// keepConversation keeps what the agent's container holds of its conversation, and notes which session it is in: the
// one that it said just now, or for nil what its container says.
func (s *Supervisor) keepConversation(ctx context.Context, b *state.Bottle, p Program, said *string) error {
	if b == nil {
		return nil
	}
	if err := s.snapshotTranscript(ctx, b, p); err != nil {
		return err
	}
	if said != nil {
		return s.followSession(b, *said)
	}
	session, err := s.liveSession(ctx, agentName(b.Identity()), p)
	if err != nil {
		s.cfg.Log.Warn("session", "identity", b.Identity(), "err", err) // the one that was seen last stands
		return nil
	}
	return s.followSession(b, session)
}

// followSession notes that the agent is in a session, where the kept transcript shows that something was said in it.
func (s *Supervisor) followSession(b *state.Bottle, session string) error {
	meta, err := b.Metadata()
	if err != nil {
		return nil // it is left alone, and reported by whoever lists it
	}
	if session == "" {
		session = meta.SessionID
	}
	if _, spoken, err := hasSession(b, session); err != nil {
		s.cfg.Log.Warn("session", "identity", b.Identity(), "err", err) // the one that was seen last stands
		return nil
	} else if !spoken {
		return nil
	}
	return b.UpdateMetadata(func(m *state.Metadata) {
		m.Follow(session, s.cfg.Now())
		m.TaskGiven = m.Task != "" // it is the first message of the first session
	})
}

// records are the files of the kept transcript that record sessions, by their paths. What can't be looked at is an error.
func records(b *state.Bottle) (files []string, err error) {
	top := filepath.Join(b.Dir(), "transcript")
	dirs, err := os.ReadDir(top)
	for _, dir := range dirs {
		var entries []fs.DirEntry
		if err == nil && dir.IsDir() {
			entries, err = os.ReadDir(filepath.Join(top, dir.Name()))
		}
		for _, e := range entries {
			if id, ok := strings.CutSuffix(e.Name(), ".jsonl"); ok && validSession(id) {
				files = append(files, filepath.Join(top, dir.Name(), e.Name()))
			}
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // nothing was kept yet
		return nil, fmt.Errorf("look for the conversations of %s: %w", b.Identity(), err)
	}
	return files, nil
}

// lastSession is the session that a transcript was last written for; "" when there is none. It is for
// states whose metadata does not say.
func lastSession(b *state.Bottle) (session string, err error) {
	files, err := records(b)
	if err != nil {
		return "", err
	}
	var latest time.Time
	for _, f := range files {
		info, err := os.Lstat(f)
		if err != nil {
			return "", err
		}
		if info.ModTime().After(latest) {
			session, latest = strings.TrimSuffix(filepath.Base(f), ".jsonl"), info.ModTime()
		}
	}
	return session, nil
}

// hasSession says whether the kept transcript records a session, and whether there is something in it to go on with:
// Claude Code takes up no session in which nobody has said anything, and begins none under the identifier of one.
func hasSession(b *state.Bottle, session string) (exists, spoken bool, err error) {
	file, err := sessionRecord(b, session)
	if err != nil || file == "" {
		return false, false, err
	}
	f, err := os.Open(file)
	if err != nil {
		return true, false, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxBeginning))
	return true, bytes.Contains(content, []byte(`"type":"user"`)), err
}

// sessionRecord is the file of the kept transcript that records a session; "" when there is none.
func sessionRecord(b *state.Bottle, session string) (string, error) {
	if !validSession(session) {
		return "", nil
	}
	files, err := records(b)
	i := slices.IndexFunc(files, func(f string) bool { return filepath.Base(f) == session+".jsonl" })
	if i < 0 {
		return "", err
	}
	return files[i], nil
}

// maxBeginning is how much of a transcript, in bytes, is searched for the first message.
const maxBeginning = 16 << 20

// takeUp decides how an agent begins: with its session where there is one to go on with, else with a new one.
func (s *Supervisor) takeUp(ctx context.Context, x *execution, j *journal) error {
	c, err := s.cfg.Engine.Container(ctx, agentName(x.layout.identity))
	switch {
	case err == nil && c.State == StateRunning:
		return nil // what was interrupted had chosen, and the agent runs already
	case err == nil && c.State != StateCreated:
		x.findProfile()
		if err := s.keepConversation(ctx, x.bottle, x.layout.profile.Program, nil); err != nil {
			return err
		}
	case err != nil && !errors.Is(err, ErrNotFound):
		return err
	}
	meta, err := x.bottle.Metadata()
	if err != nil {
		return err
	}
	if j.Session = meta.SessionID; j.Session == "" {
		if j.Session, err = lastSession(x.bottle); err != nil {
			return err
		}
	}
	if profile, err := s.profileOf(x.bottle); err == nil && profile.Program.Own { // it keeps its sessions itself
		j.Fresh = meta.ImageDigest == "" // its first start is still to come
		if j.Task = ""; j.Fresh {
			j.Task = meta.Task
		}
		j.Session = orDefault(j.Session, uuid.NewString())
		return x.bottle.UpdateMetadata(func(m *state.Metadata) { m.Follow(j.Session, s.cfg.Now()) })
	}
	switch exists, spoken, err := hasSession(x.bottle, j.Session); {
	case err != nil: // the agent, which has the transcript itself, says what is wrong with it
		s.cfg.Log.Warn("session", "identity", x.bottle.Identity(), "err", err)
	case spoken && j.Fresh:
		j.Fresh, j.Message = false, restarted
	case spoken:
	case j.Fresh && !exists:
	default:
		j.Fresh = true
		if exists || j.Session == "" {
			j.Session = uuid.NewString()
		}
	}
	if j.Fresh && meta.Task != "" {
		if j.Task = meta.Task; meta.TaskGiven {
			j.Task = "" // it had it in a conversation that is lost
		}
	}
	if j.Session == meta.SessionID {
		return nil
	}
	return x.bottle.UpdateMetadata(func(m *state.Metadata) { m.Follow(j.Session, s.cfg.Now()) })
}

// sessionNow is the session that the agent of a bottle is in; "" when it does not say, or can't be asked.
func (s *Supervisor) sessionNow(ctx context.Context, b *state.Bottle) string {
	p, err := s.profileOf(b)
	if err != nil {
		return ""
	}
	session, err := s.liveSession(ctx, agentName(b.Identity()), p.Program)
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.Info("session", "identity", b.Identity(), "err", err)
	}
	return session
}

// askedIn is the session that a capability was asked for in, which the agent goes on with once it has it: session, which
// it was in when the request came, or where that is not known the one it is in now. One without a record is none. The
// caller holds the bottle's lock, and the agent runs.
func (s *Supervisor) askedIn(ctx context.Context, b *state.Bottle, session string) (string, error) {
	meta, err := b.Metadata()
	if err != nil {
		return "", err
	}
	p, err := s.profileOf(b)
	if err != nil {
		return "", err
	}
	if session == "" {
		session = s.sessionNow(ctx, b)
	}
	if session == "" || session == meta.SessionID {
		return meta.SessionID, nil
	}
	if err := s.snapshotTranscript(ctx, b, p.Program); err != nil {
		return "", err
	}
	if err := s.followSession(b, session); err != nil {
		return "", err
	}
	if _, spoken, err := hasSession(b, session); err == nil && spoken {
		return session, nil
	}
	switch _, err := s.cfg.Engine.Stat(ctx, agentName(b.Identity()), p.Program.transcript(session)); {
	case err == nil:
		return session, nil
	case errors.Is(err, ErrNotFound):
		return meta.SessionID, nil
	default:
		return "", err
	}
}
