package bottles

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle-tui/queue"
	"bottle-tui/state"
)

const (
	sessionA = "0a6124fc-97e0-43ed-9516-cd4e61f0a622"
	sessionB = "e24f6e86-5274-400e-a8f4-2c6094ab0e36"
)

// keeper is an engine with one container, which holds files of an agent's home and nothing else.
type keeper struct {
	Engine
	files map[string]string // by path
	link  string            // a path that is a link
	reads []string          // the paths that were read
}

func (k *keeper) CopyOut(_ context.Context, _, name string) (io.ReadCloser, error) {
	k.reads = append(k.reads, name)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	found := false
	for file, content := range k.files {
		if file != name && !strings.HasPrefix(file, name+"/") {
			continue
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: path.Base(name) + strings.TrimPrefix(file, name), Mode: 0o600, Size: int64(len(content))}
		if file == k.link {
			h = &tar.Header{Typeflag: tar.TypeSymlink, Name: h.Name, Linkname: "/etc/passwd"}
			content = ""
		}
		found = true
		_ = w.WriteHeader(h)
		_, _ = w.Write([]byte(content))
	}
	_ = w.Close()
	if !found {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	return io.NopCloser(&b), nil
}

func (k *keeper) Stat(_ context.Context, _, name string) (FileStat, error) {
	if content, ok := k.files[name]; ok {
		return FileStat{Size: int64(len(content)), ModTime: time.Unix(int64(crc32.ChecksumIEEE([]byte(content))), 0)}, nil
	}
	return FileStat{}, fmt.Errorf("%w: %s", ErrNotFound, name)
}

type oneProfile struct{ Catalog }

func (oneProfile) Profile(state.Metadata) (Profile, error) {
	return Profile{Program: Program{Home: "/h"}}, nil
}

// kept is a Supervisor over a keeper, and a bottle that was begun in sessionA, in which something was said.
func kept(t *testing.T) (*Supervisor, *state.Bottle, *keeper) {
	t.Helper()
	k := &keeper{files: map[string]string{
		"/h/projects/-workspace/" + sessionA + ".jsonl": `{"type":"user","message":{"content":"ALPHA"}}` + "\n",
		"/h/" + SessionFileName:                         `{"session_id":"` + sessionA + `"}`,
	}}
	s, b := owned(t, k)
	s.cfg.Catalog = oneProfile{}
	if err := b.UpdateMetadata(func(m *state.Metadata) { m.Follow(sessionA, time.Unix(1_700_000_000, 0)) }); err != nil {
		t.Fatal(err)
	}
	return s, b, k
}

// The conversation that the agent is in is the one whose transcript is kept each minute, and that a resume goes on with.
func TestTheMinuteFollowsTheSession(t *testing.T) {
	s, b, k := kept(t)
	var last keptAt
	at := time.Now()
	s.cfg.Now = func() time.Time { return at }
	minute := func() state.Metadata {
		t.Helper()
		at = at.Add(time.Minute)
		meta, err := b.Metadata()
		if err == nil {
			last, err = s.keepTranscript(t.Context(), onDisk{bottle: b, meta: meta}, last)
		}
		if err != nil {
			t.Fatal(err)
		}
		meta, err = b.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		return meta
	}
	if m := minute(); m.SessionID != sessionA || len(m.Sessions) != 1 {
		t.Errorf("at first: %+v", m)
	}
	k.reads = nil
	if minute(); len(k.reads) > 0 {
		t.Errorf("nothing was written, and these were read again: %q", k.reads)
	}
	k.files["/h/"+SessionFileName] = `{"session_id":"` + sessionB + `","source":"clear"}`
	if m := minute(); m.SessionID != sessionA {
		t.Errorf("nothing was said in the new session, and it is followed: %+v", m)
	}
	k.files["/h/projects/-workspace/"+sessionB+".jsonl"] = `{"type":"user","message":{"content":"BETA"}}` + "\n"
	m := minute()
	if m.SessionID != sessionB || len(m.Sessions) != 2 || m.Sessions[0].ID != sessionA || !m.Sessions[0].First.Equal(time.Unix(1_700_000_000, 0)) || m.Sessions[1].ID != sessionB || m.Sessions[1].First.IsZero() {
		t.Errorf("after it: %+v", m)
	}
	for _, id := range []string{sessionA, sessionB} {
		if exists, spoken, _ := hasSession(b, id); !exists || !spoken {
			t.Errorf("of %s is kept: %v, %v", id, exists, spoken)
		}
	}
}

// A slow engine does not keep a request from the operator: the session that asked is found out while it is on the screen.
func TestARequestIsShownBeforeItsSessionIsKnown(t *testing.T) {
	s, b, k := kept(t)
	id, answer := b.Identity(), make(chan struct{})
	s.cfg.Engine = slowKeeper{k, answer}
	q := queue.Request{ID: queue.NewID(time.Now()), Tool: queue.ToolEgress, Identity: id, Proposed: "x.example.com\n", ArrivedAt: time.Now()}
	if err := s.box(id).Put(q); err != nil {
		t.Fatal(err)
	}
	r := s.record(id)
	s.lookAtBox(id)
	s.until(t, "the request is shown", func() bool { return len(r.requests) == 1 })
	shown := r.requests
	close(answer)
	s.until(t, "its session is known", func() bool { return r.requests[0].Session == sessionA })
	if shown[0].Session != "" {
		t.Error("what a snapshot holds was changed")
	}
	s.workers.Wait()
	entries, err := s.cfg.Root.Audit(id).Entries(0)
	if err != nil || len(entries) != 1 || !strings.Contains(string(entries[0].Data), sessionA) {
		t.Errorf("the audit log has %+v, %v", entries, err)
	}
}

// slowKeeper is a keeper that gives out no file until it may.
type slowKeeper struct {
	*keeper
	may chan struct{}
}

func (k slowKeeper) CopyOut(ctx context.Context, container, name string) (io.ReadCloser, error) {
	<-k.may
	return k.keeper.CopyOut(ctx, container, name)
}

// What an agent writes where its session belongs names no session unless it is one.
func TestAnAgentCannotNameAnySession(t *testing.T) {
	for name, content := range map[string]string{
		"nothing":      "",
		"no JSON":      "hello",
		"a list":       `["` + sessionB + `"]`,
		"a number":     `{"session_id":7}`,
		"a path":       `{"session_id":"../../../../etc/passwd-0000-000000000000"}`,
		"a flag":       `{"session_id":"--dangerously-do-what-nobody-asked-f"}`,
		"braces":       `{"session_id":"{` + sessionB + `}"}`,
		"a URN":        `{"session_id":"urn:uuid:` + sessionB + `"}`,
		"no hyphens":   `{"session_id":"` + strings.ReplaceAll(sessionB, "-", "") + `"}`,
		"no record":    `{"session_id":"` + sessionB + `"}`,
		"too much":     `{"session_id":"` + sessionB + `","x":"` + strings.Repeat("x", maxSessionFile) + `"}`,
		"a link":       `{"session_id":"` + sessionB + `"}`,
		"a glob":       `{"session_id":"????????-????-????-????-????????????"}`,
		"cut off":      `{"session_id":"` + sessionB,
		"wrong letter": `{"session_id":"z` + sessionB[1:] + `"}`,
	} {
		s, b, k := kept(t)
		if name != "no record" {
			k.files["/h/projects/-workspace/"+sessionB+".jsonl"] = `{"type":"user"}`
		}
		k.files["/h/"+SessionFileName] = content
		if name == "a link" {
			k.link = "/h/" + SessionFileName
		}
		if err := s.keepConversation(t.Context(), b, Program{Home: "/h"}, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if m, err := b.Metadata(); err != nil || m.SessionID != sessionA {
			t.Errorf("%s: it is in %s, %v", name, m.SessionID, err)
		}
	}
}

// That the kept transcript can't be looked at does not mean that nothing was said: the agent goes on with its session, as
// one that may have been busy, and follows none that nothing bears out.
func TestATranscriptThatCannotBeReadIsNotEmpty(t *testing.T) {
	for name, spoil := range map[string]string{"no directory": "transcript", "no file": "transcript/-workspace/" + sessionA + ".jsonl/x"} {
		s, b := owned(t, &scripted{inspect: func() (Container, error) { return Container{}, ErrNotFound }})
		if err := b.UpdateMetadata(func(m *state.Metadata) { m.Follow(sessionA, time.Now()) }); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(b.Dir(), spoil)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var j journal
		if err := s.takeUp(t.Context(), &execution{sup: s, bottle: b, layout: layout{identity: b.Identity()}}, &j); err != nil || j.Fresh || j.Session != sessionA {
			t.Errorf("%s: it goes on with %q, fresh %v, %v", name, j.Session, j.Fresh, err)
		}
		if !wasBusy(b, sessionA) {
			t.Errorf("%s: it is said to have been idle", name)
		}
		if err := s.followSession(b, sessionB); err != nil {
			t.Error(err)
		}
		if m, err := b.Metadata(); err != nil || m.SessionID != sessionA {
			t.Errorf("%s: it is in %s, %v", name, m.SessionID, err)
		}
	}
}

// A bottle names a bounded number of sessions, the latest last.
func TestSessionsAreBounded(t *testing.T) {
	var m state.Metadata
	at := time.Unix(1_700_000_000, 0)
	for i := range state.MaxSessions + 10 {
		m.Follow(fmt.Sprint(i), at.Add(time.Duration(i)*time.Second))
	}
	m.Follow("50", at.Add(time.Hour))
	last := m.Sessions[len(m.Sessions)-1]
	if len(m.Sessions) != state.MaxSessions || m.Sessions[0].ID != "10" || m.SessionID != "50" || last.ID != "50" || !last.First.Equal(at.Add(50*time.Second)) || !last.Last.Equal(at.Add(time.Hour)) {
		t.Errorf("%d sessions, first %+v, last %+v", len(m.Sessions), m.Sessions[0], last)
	}
	if slices.ContainsFunc(m.Sessions[:len(m.Sessions)-1], func(s state.Session) bool { return s.ID == "50" }) {
		t.Error("a session is there twice")
	}
}
