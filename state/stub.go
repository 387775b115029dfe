package state

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"time"
)

var errLater = errors.New("state: not written yet")

var ErrUnknown = errors.New("no such bottle")

func DefaultDir() (string, error)                                    { return "", errLater }
func Open(dir string) (*Root, error)                                 { return nil, errLater }
func (r *Root) Dir() string                                          { return r.dir }
func (r *Root) ID() string                                           { return "" }
func (r *Root) QueueDir(identity string) string                      { return "" }
func (r *Root) Create(m Metadata) (*Bottle, error)                   { return nil, errLater }
func (r *Root) Bottle(identity string) (*Bottle, error)              { return nil, errLater }
func (r *Root) List() ([]*Bottle, []Problem)                         { return nil, nil }
func ValidIdentity(s string) bool                                    { return false }
func Slug(agent string) string                                       { return "" }
func (b *Bottle) Identity() string                                   { return b.identity }
func (b *Bottle) Dir() string                                        { return "" }
func (b *Bottle) Metadata() (Metadata, error)                        { return Metadata{}, errLater }
func (b *Bottle) UpdateMetadata(change func(*Metadata)) error        { return errLater }
func (b *Bottle) Dockerfile() ([]byte, error)                        { return nil, errLater }
func (b *Bottle) PutDockerfile(content []byte, request string) error { return errLater }
func (b *Bottle) RestoreDockerfile(previous []byte, request string) error {
	return errLater
}
func (b *Bottle) PutConfig(name string, content []byte) error { return errLater }
func (b *Bottle) Config(name string) ([]byte, error)          { return nil, errLater }
func (b *Bottle) Operation() (*Operation, error)              { return nil, errLater }
func (b *Bottle) PutOperation(op Operation) error             { return errLater }
func (b *Bottle) ClearOperation() error                       { return errLater }
func (b *Bottle) Lock(ctx context.Context) (unlock func() error, err error) {
	return nil, errLater
}
func (b *Bottle) TryLock() (unlock func() error, ok bool, err error) { return nil, false, errLater }
func (b *Bottle) ReplaceTranscript(archive io.Reader) error          { return errLater }
func (b *Bottle) TranscriptArchive(w io.Writer, uid, gid int) error  { return errLater }
func (b *Bottle) HasTranscript() (bool, error)                       { return false, errLater }
func (b *Bottle) Delete() error                                      { return errLater }
func (r *Root) Audit(identity string) *Audit                         { return nil }
func (r *Root) AuditIdentities() ([]string, error)                   { return nil, errLater }
func (a *Audit) Append(kind string, data any) error                  { return errLater }
func (a *Audit) Verify() (AuditReport, error)                        { return AuditReport{}, errLater }
func (a *Audit) Entries(limit int) ([]Entry, error)                  { return nil, errLater }
func WriteFile(path string, content []byte, perm fs.FileMode) error  { return errLater }

// Root is a state root directory.
type Root struct{ dir string }

// Bottle is the state directory of one bottle.
type Bottle struct {
	root     *Root
	identity string
}

// Problem is something on disk that could not be read; it is left alone.
type Problem struct {
	Path string
	Err  string
}

// Metadata is what metadata.json says.
type Metadata struct {
	AgentName   string    `json:"agent_name"`
	CWD         string    `json:"cwd"`
	CopyCWD     bool      `json:"copy_cwd"`
	StartedAt   time.Time `json:"started_at"`
	SessionID   string    `json:"session_id,omitempty"`
	Manifest    string    `json:"manifest,omitempty"`
	Profile     string    `json:"profile,omitempty"`
	Engine      string    `json:"engine,omitempty"`
	ImageDigest string    `json:"image_digest,omitempty"`
	EndedAt     time.Time `json:"ended_at,omitzero"`
	EndReason   string    `json:"end_reason,omitempty"`
}

// Operation is the operation in flight, as operation.json keeps it.
type Operation struct {
	Kind      string          `json:"kind"`
	Step      string          `json:"step"`
	StartedAt time.Time       `json:"started_at"`
	PID       int             `json:"pid"`
	Inputs    json.RawMessage `json:"inputs,omitempty"`
}

// Audit is the audit log of one bottle.
type Audit struct{ path, identity string }

// AuditReport says what Verify found.
type AuditReport struct {
	Lines int
	Last  string
	Torn  int
}

// Entry is one line of an audit log.
type Entry struct {
	Seq      int64           `json:"seq"`
	At       time.Time       `json:"at"`
	Identity string          `json:"identity"`
	Kind     string          `json:"kind"`
	Data     json.RawMessage `json:"data"`
	Prev     string          `json:"prev"`
	Hash     string          `json:"hash"`
}

// ChainError tells where an audit log is broken.
type ChainError struct {
	Path   string
	Line   int
	Reason string
}

func (e *ChainError) Error() string { return e.Reason }
