package bottles

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"time"

	"bottle-tui/queue"
	"bottle-tui/sidecars"
)

// voice is what a sidecar says on its standard output, followed as long as it runs. It is how the
// Supervisor learns that a configuration is in force without a path into the bottle.
type voice struct {
	identity string
	role     Role
	changed  chan struct{} // closed and made anew with each line; guarded by Supervisor.mu
	ready    bool
	config   string         // hash of the configuration in force
	configs  int            // how often it named one
	refused  string         // the last config-error's reason
	left     map[string]int // requests whose call was cut, by the count of the cut
	cuts     int
	told     map[string]bool // requests whose answer the agent has got
	waits    map[string]bool // requests for whose answer a call of the agent waits
	fed      []string        // nonces of the tokens that it has, the latest last
	given    string          // hash of the configuration that this program delivered last; "": none
	held     held            // of git-gate
	received int64           // bytes through pipelock, of what was read of its log
	asked    map[string]bool // of supervise: requests in the queue from before the end of its log that is read; only hear touches it
	ended    bool
	again    bool      // what is heard was heard before; only hear touches it
	written  time.Time // until when the audit log had what it told, as the hearing began; only hear touches it
}

// keptNonces bounds how many a voice remembers.
const keptNonces = 16

// callAgain is how long a cut call may take to come again before its request is withdrawn.
const callAgain = 10 * time.Second

// readyWithin bounds how long a sidecar may take to serve after its start.
const readyWithin = 20 * time.Second

// follow hears a sidecar from its beginning. It is a no-op for one that is followed already.
func (s *Supervisor) follow(identity string, role Role, container string) *voice {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.voices[container]; v != nil && !v.ended {
		return v
	}
	v := &voice{identity: identity, role: role, changed: make(chan struct{}), left: map[string]int{}, told: map[string]bool{}, waits: map[string]bool{}}
	s.voices[container] = v
	s.spawn(func() { s.hear(v, container) })
	return v
}

func (s *Supervisor) hear(v *voice, container string) {
	defer func() {
		s.mu.Lock()
		v.ended = true
		close(v.changed)
		if s.voices[container] == v {
			delete(s.voices, container)
		}
		s.mu.Unlock()
		s.post(func() { delete(s.problems, "trouble "+container); s.changed() })
		s.post(s.observeLater) // its log may have ended, and not the sidecar
		if v.role == RoleGitGate {
			s.post(func() { s.takePushes(v) }) // whoever holds them is gone
		}
	}()
	if gate := v.role.Gate(); gate == RoleEgress || gate == RoleCredProxy || gate == RoleGitGate {
		// A log that is heard anew may hold more than there is room for until the next summary.
		last, _ := lastSummary(s.cfg.Root.Audit(v.identity))
		v.written = last.of(v.role)
	}
	s.mu.Lock()
	from := s.positions[container]
	s.mu.Unlock()
	r, err := s.cfg.Engine.Logs(s.ctx, container, tailLines, true)
	if err != nil {
		s.cfg.Log.Debug("follow", "container", container, "err", err)
		return
	}
	defer r.Close()
	v.again, v.received = from.set, from.received
	first := true
	err = EachLine(r, func(b []byte) bool {
		own := true // the lines have times of their own
		lines := v.role.lines(b, func() time.Time { own = false; return s.cfg.Now() })
		if first && len(lines) > 0 {
			first = false
			if lines[0].Event != sidecars.EventReady && s.earlierCounts(v, lines[0].At, from) {
				s.hearEarlier(v, container, maphash.Bytes(lineSeed, b), from)
			}
		}
		hash := maphash.Bytes(lineSeed, b)
		for _, line := range lines {
			v.again = v.again && !(own && line.At.After(from.at))
			s.heard(v, line)
			if own && line.At.After(from.at) {
				from.at = line.At
			}
		}
		if v.again {
			v.again = hash != from.line
		} else {
			from.set, from.line = true, hash
			s.mu.Lock()
			from.received = v.received
			s.positions[container] = from
			s.mu.Unlock()
		}
		return true
	})
	if err != nil {
		s.cfg.Log.Debug("follow", "container", container, "err", err)
	}
}

// position is up to where the log of a container was heard. What is heard again, because the connection to the engine was
// lost, is not told again.
type position struct {
	set  bool
	line uint64    // hash of the last line
	at   time.Time // of the latest

	received int64 // bytes through pipelock
}

// lineSeed is that of all hashes of lines.
var lineSeed = maphash.MakeSeed()

// EachLine gives each line of a log, with its end, to take, until that gives false. One of more than 64 KiB is passed over.
func EachLine(r io.Reader, take func(line []byte) bool) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	for cut := false; ; {
		b, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			cut = true // no sidecar says so much in a line; its end must not pass for one
			continue
		}
		if !cut && len(b) > 0 && !take(b) {
			return nil
		}
		cut = false
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// heard takes in one line.
func (s *Supervisor) heard(v *voice, line sidecars.Line) {
	s.mu.Lock()
	if v.role == RoleGitGate {
		waited := len(v.held.waiting) > 0
		if v.held.hear(line) {
			close(v.changed)
			v.changed = make(chan struct{})
			s.mu.Unlock()
			s.heardPush(v, line)
			return
		}
		if waited && len(v.held.waiting) == 0 {
			defer s.heardPush(v, line)
		}
	}
	switch line.Event {
	case sidecars.EventReady:
		v.ready, v.config = true, line.Config
		v.configs++
	case sidecars.EventConfig:
		v.config, v.refused = line.Config, ""
		v.configs++
	case sidecars.EventTokens:
		v.fed = append(v.fed, line.ID)
		v.fed = v.fed[max(0, len(v.fed)-keptNonces):]
	case sidecars.EventConfigError:
		v.refused = line.Reason
	case sidecars.EventRequest:
		v.ready = true // it told so, though the line may be before the end that was read
		delete(v.left, line.ID)
		v.waits[line.ID] = true
	case sidecars.EventDelivered:
		v.ready = true
		v.told[line.ID] = true
		delete(v.waits, line.ID)
	case sidecars.EventAbandoned:
		delete(v.waits, line.ID)
		v.cuts++
		v.left[line.ID] = v.cuts
	}
	if p, ok := PassageOf(v.role.Gate(), line); ok && !v.again {
		defer s.passed(v.identity, v.role, p, !p.Last.After(v.written))
	}
	if line.Event == sidecars.EventTraffic {
		defer s.counted(v.identity, line.Sent, line.Received)
	}
	if v.role == RolePipelock && line.Event == sidecars.EventReady && !v.again {
		v.received = 0
	}
	if v.role == RolePipelock && line.Event == sidecars.EventTunnelEnd && !v.again {
		v.received += line.Received // it counts both ways together
		defer s.counted(v.identity, 0, v.received)
	}
	cut := v.cuts
	close(v.changed)
	v.changed = make(chan struct{})
	s.mu.Unlock()
	if v.role == RoleSupervise {
		s.heardTrouble(v, line)
	}
	switch line.Event {
	case sidecars.EventRequest:
		s.post(func() { s.lookAtBox(v.identity) }) // where the file system tells nothing, the voice does
	case sidecars.EventAbandoned:
		s.after(callAgain, func() {
			s.mu.Lock()
			still := v.left[line.ID] == cut
			delete(v.left, line.ID)
			s.mu.Unlock()
			if still {
				s.abandoned(v.identity, line.ID)
			}
		})
	}
}

// heardTrouble shows what supervise could not do, such as write into its queue, until a request gets through again or the
// container is gone. The errors of the gates are in their feed.
func (s *Supervisor) heardTrouble(v *voice, line sidecars.Line) {
	if line.Event != sidecars.EventError && line.Event != sidecars.EventRequest {
		return
	}
	container := sidecarName(v.role, v.identity)
	s.post(func() {
		key := "trouble " + container
		if line.Event == sidecars.EventRequest {
			if len(s.problems[key]) > 0 {
				delete(s.problems, key)
				s.changed()
			}
			return
		}
		now := Problem{container, "what the agent asks may not reach you: " + queue.VisibleText(cut(line.Reason, 500), 1000)}
		if len(s.problems[key]) > 0 && s.problems[key][0] == now {
			return
		}
		s.problems[key] = []Problem{now}
		if s.cfg.Now().Sub(line.At) < time.Minute { // a log that is heard anew is no news
			s.alert(AlertFailed, v.identity, "", v.identity+": supervise: "+now.Err)
		}
		s.changed()
	})
}

// await waits until a sidecar's voice fulfils what; it ends with the sidecar or with ctx.
func (s *Supervisor) await(ctx context.Context, v *voice, what func(*voice) (bool, error)) error {
	for {
		s.mu.Lock()
		ok, err := what(v)
		changed, ended := v.changed, v.ended
		s.mu.Unlock()
		switch {
		case ok || err != nil:
			return err
		case ended:
			return errors.New("it ended")
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// awaitReady waits until a sidecar that was just started serves.
func (s *Supervisor) awaitReady(ctx context.Context, identity string, role Role, container string) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	v := s.follow(identity, role, container)
	if err := s.await(ctx, v, func(v *voice) (bool, error) { return v.ready, nil }); err != nil {
		err = fmt.Errorf("%s did not begin to serve: %w%s", container, err, s.lastWords(container))
		if role == RoleSupervise {
			err = s.aboutQueue(identity, err)
		}
		return err
	}
	return nil
}

// apply delivers a configuration to a running sidecar and waits until it is in force.
func (s *Supervisor) apply(ctx context.Context, identity string, role Role, container string, content []byte, owner int) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	v := s.follow(identity, role, container)
	hash := sidecars.Hash(content)
	archive, err := configArchive(role, content, owner)
	if err != nil {
		return fmt.Errorf("%s: %w", container, err)
	}
	s.mu.Lock()
	// A voice that is only being read again may name one that was in force long ago.
	there := v.given == hash && v.config == hash && v.refused == "" && !v.ended
	before := v.configs
	v.refused, v.given = "", hash
	s.mu.Unlock()
	if there {
		return nil
	}
	if err := s.cfg.Engine.CopyIn(ctx, container, sidecars.ConfigDir, bytes.NewReader(archive)); err != nil {
		return err
	}
	err = s.await(ctx, v, func(v *voice) (bool, error) {
		if v.refused != "" && v.config != hash {
			return false, fmt.Errorf("it refused the new configuration: %s", queue.Visible(v.refused))
		}
		return v.config == hash && v.configs > before, nil
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s did not say within %s that its new configuration is in force: %w", container, readyWithin, err)
	case err != nil:
		return fmt.Errorf("%s: %w", container, err)
	}
	return nil
}

// told waits until supervise has given the agent the answer to a request; false when it did not within the time, or
// when no call waits for it.
func (s *Supervisor) told(ctx context.Context, identity, request string, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	v := s.follow(identity, RoleSupervise, sidecarName(RoleSupervise, identity))
	told := false
	err := s.await(ctx, v, func(v *voice) (bool, error) {
		told = v.told[request]
		_, cut := v.left[request]                                // and may come again
		return told || v.ready && !v.waits[request] && !cut, nil // of calls it speaks after it was ready
	})
	return err == nil && told
}
