package state

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Metadata is what metadata.json says of a bottle. The first four fields are the predecessor's and are
// always written; the others are left out while they are zero.
type Metadata struct {
	AgentName string    `json:"agent_name"` // the agent in the manifest
	CWD       string    `json:"cwd"`        // the directory it was started on; "" for none
	CopyCWD   bool      `json:"copy_cwd"`   // the directory was copied into the bottle
	StartedAt time.Time `json:"started_at"`

	SessionID   string    `json:"session_id,omitempty"`            // the session that the agent was last seen in
	Sessions    []Session `json:"sessions,omitempty"`              // all that it was seen in, the latest last; at most MaxSessions
	Task        string    `json:"task,omitempty"`                  // the first message of its first session
	TaskGiven   bool      `json:"task_delivered,omitempty"`        // the agent has it: it is not given again
	Manifest    string    `json:"manifest,omitempty"`              // path of the manifest it was started from
	Profile     string    `json:"profile,omitempty"`               // the agent's entry of the manifest's bottles
	Filled      bool      `json:"workspace_filled,omitempty"`      // the copy of CWD is complete
	Unrestored  bool      `json:"transcript_unrestored,omitempty"` // the volume for it is new, and the kept transcript is not in it yet
	SkipIgnored bool      `json:"skip_ignored,omitempty"`          // the copy is without what git ignores
	Engine      string    `json:"engine,omitempty"`
	ImageDigest string    `json:"image_digest,omitempty"` // of the image it ran on last
	WholeHome   bool      `json:"whole_home,omitempty"`   // the agent ran with its whole home directory in a volume
	Part        string    `json:"cwd_part,omitempty"`     // the directory is this one of the git repository it is in, which was copied with it
	GitName     string    `json:"git_name,omitempty"`     // who the agent's commits are by, as git in it was told
	GitEmail    string    `json:"git_email,omitempty"`
	EndedAt     time.Time `json:"ended_at,omitzero"`
	EndReason   string    `json:"end_reason,omitempty"`
	Root        string    `json:"root,omitempty"` // id of the state root that it was taken over from, which its volumes carry
}

// MaxSessions is how many sessions the metadata name. Of more, those that were left the longest time ago are forgotten:
// their transcripts stay.
const MaxSessions = 100

// Session is one conversation of an agent: some commands of Claude Code, such as /clear, begin or choose another one.
type Session struct {
	ID    string    `json:"id"`
	First time.Time `json:"first"` // when the agent was first seen in it
	Last  time.Time `json:"last"`  // and last
}

func (s Session) same(other Session) bool {
	return s.ID == other.ID && s.First.Equal(other.First) && s.Last.Equal(other.Last)
}

// Follow notes that the agent is in a session at a time.
func (m *Metadata) Follow(session string, at time.Time) {
	at = at.UTC().Truncate(time.Second)
	seen := Session{ID: session, First: at, Last: at}
	sessions := slices.Clone(m.Sessions)
	if i := slices.IndexFunc(sessions, func(s Session) bool { return s.ID == session }); i >= 0 {
		seen.First = sessions[i].First
		sessions = slices.Delete(sessions, i, i+1)
	}
	sessions = append(sessions, seen)
	m.SessionID, m.Sessions = session, sessions[max(0, len(sessions)-MaxSessions):]
}

// A field of metadata.json, with its place in a Metadata.
type metadataField struct {
	name     string
	text     *string
	flag     *bool
	time     *time.Time
	sessions *[]Session
	optional bool // left out while it is zero
}

func (m *Metadata) fields() []metadataField {
	return []metadataField{
		{name: "agent_name", text: &m.AgentName},
		{name: "cwd", text: &m.CWD},
		{name: "copy_cwd", flag: &m.CopyCWD},
		{name: "started_at", time: &m.StartedAt},
		{name: "session_id", text: &m.SessionID, optional: true},
		{name: "sessions", sessions: &m.Sessions, optional: true},
		{name: "task", text: &m.Task, optional: true},
		{name: "task_delivered", flag: &m.TaskGiven, optional: true},
		{name: "manifest", text: &m.Manifest, optional: true},
		{name: "profile", text: &m.Profile, optional: true},
		{name: "workspace_filled", flag: &m.Filled, optional: true},
		{name: "transcript_unrestored", flag: &m.Unrestored, optional: true},
		{name: "skip_ignored", flag: &m.SkipIgnored, optional: true},
		{name: "engine", text: &m.Engine, optional: true},
		{name: "image_digest", text: &m.ImageDigest, optional: true},
		{name: "whole_home", flag: &m.WholeHome, optional: true},
		{name: "cwd_part", text: &m.Part, optional: true},
		{name: "git_name", text: &m.GitName, optional: true},
		{name: "git_email", text: &m.GitEmail, optional: true},
		{name: "ended_at", time: &m.EndedAt, optional: true},
		{name: "end_reason", text: &m.EndReason, optional: true},
		{name: "root", text: &m.Root, optional: true},
	}
}

func (f metadataField) same(other metadataField) bool {
	switch {
	case f.text != nil:
		return *f.text == *other.text
	case f.flag != nil:
		return *f.flag == *other.flag
	case f.sessions != nil:
		return slices.EqualFunc(*f.sessions, *other.sessions, Session.same)
	}
	return f.time.Equal(*other.time)
}

func (f metadataField) zero() bool {
	switch {
	case f.text != nil:
		return *f.text == ""
	case f.flag != nil:
		return !*f.flag
	case f.sessions != nil:
		return len(*f.sessions) == 0
	}
	return f.time.IsZero()
}

func (f metadataField) get(o *Object) error {
	switch {
	case f.text != nil:
		_, err := o.Get(f.name, f.text)
		return err
	case f.flag != nil:
		_, err := o.Get(f.name, f.flag)
		return err
	case f.sessions != nil:
		_, err := o.Get(f.name, f.sessions)
		return err
	}
	var text string
	if there, err := o.Get(f.name, &text); err != nil || !there || text == "" {
		return err
	}
	at, err := parseTime(text)
	if err != nil {
		return fmt.Errorf("the field %q: %w", f.name, err)
	}
	*f.time = at
	return nil
}

func (f metadataField) set(o *Object) error {
	switch {
	case f.optional && f.zero():
		o.Remove(f.name)
		return nil
	case f.text != nil:
		return o.Set(f.name, *f.text)
	case f.flag != nil:
		return o.Set(f.name, *f.flag)
	case f.sessions != nil:
		return o.Set(f.name, *f.sessions)
	}
	return o.Set(f.name, f.time.Format(time.RFC3339Nano))
}

// parseTime reads RFC 3339 and what Python's datetime.isoformat writes: the same with a blank for the T,
// without seconds, or without an offset. A time without an offset is one of this machine's time zone.
func parseTime(text string) (time.Time, error) {
	form := strings.Replace(text, " ", "T", 1)
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07:00:00"} {
		if at, err := time.Parse(layout, form); err == nil { // fractions of a second are read without asking
			return at, nil
		}
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if at, err := time.ParseInLocation(layout, form, time.Local); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time such as 2026-01-31T15:04:05Z", text)
}

func (b *Bottle) metadataPath() string { return filepath.Join(b.Dir(), "metadata.json") }

// Metadata reads metadata.json. When it can't be read the error says where, why and what to do; the
// file is left as it is.
func (b *Bottle) Metadata() (Metadata, error) {
	m, _, err := b.readMetadata()
	return m, err
}

func (b *Bottle) readMetadata() (Metadata, *Object, error) {
	content, err := ReadFile(b.metadataPath(), maxFile)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			if _, gone := b.root.Bottle(b.identity); gone != nil {
				return Metadata{}, nil, gone
			}
			return Metadata{}, nil, fmt.Errorf("%w: without it the bottle can't be resumed; put it back, or delete the bottle (D)", err)
		}
		return Metadata{}, nil, err
	}
	var m Metadata
	o, err := ParseObject(content)
	if err == nil {
		for _, f := range m.fields() {
			if err = f.get(o); err != nil {
				break
			}
		}
	}
	if err != nil {
		return Metadata{}, nil, fmt.Errorf("reading %s: %w: mend or replace the file, or delete the bottle (D); it was left as it is", b.metadataPath(), err)
	}
	return m, o, nil
}

// UpdateMetadata lets change alter the metadata and writes them. Fields that change leaves alone, known
// and unknown, keep their bytes. Updates of one bottle by several goroutines or programs follow one
// another; change must not call back into the bottle.
func (b *Bottle) UpdateMetadata(change func(*Metadata)) error {
	return b.briefly(func() error {
		m, o, err := b.readMetadata()
		if err != nil {
			return err
		}
		before := m
		change(&m)
		old, changed := before.fields(), false
		for i, f := range m.fields() {
			if f.same(old[i]) {
				continue
			}
			changed = true
			if err := f.set(o); err != nil {
				return fmt.Errorf("writing %s: %w", b.metadataPath(), err)
			}
		}
		if !changed {
			return nil
		}
		return b.writeMetadata(o)
	})
}

func (b *Bottle) createMetadata(m Metadata) error {
	o := &Object{}
	for _, f := range m.fields() {
		if err := f.set(o); err != nil {
			return fmt.Errorf("writing %s: %w", b.metadataPath(), err)
		}
	}
	return b.writeMetadata(o)
}

func (b *Bottle) writeMetadata(o *Object) error {
	content, err := o.Bytes()
	if err != nil {
		return fmt.Errorf("writing %s: %w", b.metadataPath(), err)
	}
	return WriteFile(b.metadataPath(), content, filePerm)
}
