package bottles

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"bottle-tui/queue"
	"bottle-tui/state"
)

// auditTranscript is the kind of the entry in the audit log that says what of a transcript was not kept.
const auditTranscript = "transcript"

func transcriptProblem(identity string) string { return "transcript " + identity }

// snapshotTranscript copies what the agent's container holds of its conversations. It is a copy for safety, and holds
// nothing up: what can't be kept is told, and the error is only that of an engine that went away, or of ctx.
func (s *Supervisor) snapshotTranscript(ctx context.Context, b *state.Bottle, p Program) error {
	if b == nil {
		return nil
	}
	err := s.copyTranscript(ctx, b, p.projects(), "")
	if meta, unread := b.Metadata(); err != nil && unread == nil && meta.SessionID != "" {
		// The conversation itself may be had where all of the directory can't be.
		live, _ := s.liveSession(ctx, agentName(b.Identity()), p) // that it is not known is told elsewhere
		for _, session := range slices.Compact([]string{meta.SessionID, orDefault(live, meta.SessionID)}) {
			if session := s.copySession(ctx, b, p, session); session != nil {
				err = errors.Join(err, session)
			}
		}
	}
	return s.keptTranscript(ctx, b, err)
}

// copySession copies the transcript of one session.
func (s *Supervisor) copySession(ctx context.Context, b *state.Bottle, p Program, session string) error {
	file := p.transcript(session)
	return s.copyTranscript(ctx, b, file, strings.TrimPrefix(file, p.projects()+"/"))
}

// copyTranscript copies a file or directory of the agent's container into the kept transcript, below which it has the
// path part; "": all of it.
func (s *Supervisor) copyTranscript(ctx context.Context, b *state.Bottle, from, part string) error {
	archive, err := s.cfg.Engine.CopyOut(ctx, agentName(b.Identity()), from)
	if errors.Is(err, ErrNotFound) {
		return nil // nothing was said yet
	}
	if err != nil {
		return err
	}
	defer archive.Close()
	if part == "" {
		return b.ReplaceTranscript(archive)
	}
	return b.ReplaceTranscriptPart(part, archive)
}

// keptTranscript tells what could not be kept, each reason once, and passes on only what ends an operation anyway.
func (s *Supervisor) keptTranscript(ctx context.Context, b *state.Bottle, err error) error {
	id := b.Identity()
	switch {
	case err == nil:
		s.post(func() {
			if _, told := s.problems[transcriptProblem(id)]; told {
				delete(s.problems, transcriptProblem(id))
				s.changed()
			}
		})
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrUnavailable):
		return err
	}
	text := queue.Visible(cut(firstLine(err.Error()), 1000))
	s.cfg.Log.Warn("transcript", "identity", id, "err", err)
	known := false
	s.ask(func() {
		now := []Problem{{b.Dir(), "the copy of its conversation is not complete: " + text}}
		known = len(s.problems[transcriptProblem(id)]) > 0 && s.problems[transcriptProblem(id)][0] == now[0]
		s.problems[transcriptProblem(id)] = now
		s.changed()
	})
	if !known {
		_ = s.audit(id, auditTranscript, map[string]any{"not_kept": text})
	}
	return nil
}

// keptAt is what the minute's copies of one bottle's transcript know of each other.
type keptAt struct {
	in    string    // the session that the agent was in
	size  int64     // of that session's transcript when it was copied
	next  time.Time // not before that: a copy takes the longer, the larger what it reads
	whole time.Time // the same of the whole directory
}

// Each copy reads the whole of what it copies, for an engine gives no part of a file. So the next waits for a multiple of
// the time that it took, and all of what lies beside the session is copied more rarely.
const (
	copyRest   = 60
	wholeEvery = 15 * time.Minute
)

// keepTranscripts snapshots the transcript of every live bottle that talked since the last time.
func (s *Supervisor) keepTranscripts(ctx context.Context) {
	kept := map[string]keptAt{}
	every(ctx, snapshotEvery, func() {
		live := map[string]onDisk{}
		s.ask(func() {
			for id, r := range s.bottles {
				if r.disk != nil && r.op == nil && r.unread == "" && r.have.containers[RoleAgent].State == StateRunning {
					live[id] = onDisk{bottle: r.disk, meta: r.meta}
				}
			}
		})
		for id := range kept {
			if _, ok := live[id]; !ok {
				delete(kept, id) // the step that ended it copied all
			}
		}
		for id, d := range live {
			at, err := s.keepTranscript(ctx, d, kept[id])
			if err != nil && ctx.Err() == nil {
				s.cfg.Log.Warn("snapshot", "identity", id, "err", err)
				continue
			}
			kept[id] = at
		}
	})
}

// keepTranscript copies the transcript of a live bottle if it changed since the last copy.
func (s *Supervisor) keepTranscript(ctx context.Context, d onDisk, last keptAt) (keptAt, error) {
	began := s.cfg.Now()
	if began.Before(last.next) {
		return last, nil
	}
	profile, err := s.profileOf(d.bottle)
	if err != nil {
		return last, err
	}
	id := d.bottle.Identity()
	session := orDefault(s.sessionNow(ctx, d.bottle), d.meta.SessionID)
	file, err := s.cfg.Engine.Stat(ctx, agentName(id), profile.Program.transcript(session))
	if errors.Is(err, ErrNotFound) || err == nil && file.Size == last.size && session == last.in {
		return last, nil
	}
	if err != nil {
		return last, s.keptTranscript(ctx, d.bottle, err)
	}
	if busy, err := isHeld(d.bottle); err != nil || busy {
		return last, err // an operation is under way, which keeps the transcript itself
	}
	ctx, over := s.copying(ctx, id)
	defer over()
	if began.Before(last.whole) && session == last.in {
		err = s.copySession(ctx, d.bottle, profile.Program, session)
		if busy, _ := isHeld(d.bottle); err == nil || !busy { // or its container may have gone under it
			err = s.keptTranscript(ctx, d.bottle, err)
		}
	} else {
		err = s.snapshotTranscript(ctx, d.bottle, profile.Program)
		last.whole = s.cfg.Now().Add(max(wholeEvery, copyRest*s.cfg.Now().Sub(began)))
	}
	if err == nil {
		err = s.followSession(d.bottle, session)
	}
	if err != nil {
		return last, err
	}
	last.in, last.size, last.next = session, file.Size, s.cfg.Now().Add(copyRest*s.cfg.Now().Sub(began))
	return last, nil
}

// isHeld says whether somebody holds a bottle's lock.
func isHeld(b *state.Bottle) (bool, error) {
	unlock, free, err := b.TryLock()
	if err != nil || !free {
		return true, err
	}
	return false, unlock()
}

// copying gives the context of a minute's copy of a bottle's transcript, which an operation on the bottle ends: the
// engine neither stops nor removes a container of which something is being copied.
func (s *Supervisor) copying(ctx context.Context, identity string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.copies[identity] = cancel
	return ctx, func() {
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.copies, identity)
	}
}

// endCopy ends a minute's copy of a bottle's transcript.
func (s *Supervisor) endCopy(identity string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.copies[identity]; cancel != nil {
		cancel()
	}
}
