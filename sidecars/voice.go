package sidecars

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Event names what a Line tells of.
type Event string

// The events a sidecar speaks of. The fields that each fills are named after it; At and Event are in all.
const (
	EventReady       Event = "ready"        // it listens: Config, Address, Resolver
	EventConfig      Event = "config"       // a delivered configuration is in force now: Config
	EventConfigError Event = "config-error" // a delivered configuration was refused, the old one stays: Config (the one in force), Reason
	EventTokens      Event = "tokens"       // tokens that came to cred-proxy or git-gate are in its memory: ID (the nonce they came with)
	EventAllow       Event = "allow"        // egress let one through: Host, Port, Via, Address (the one dialled); or cred-proxy did: Host, Via, Route, Status (the upstream's answer)
	EventRefuse      Event = "refuse"       // egress or cred-proxy refused one: Host, Port, Via, Route, Cause, Reason, Suppressed; or git-gate did: Remote, Via, Refs, Rule, Reason, Suppressed
	EventDenied      Event = "denied"       // cred-proxy's upstream answered 401 or 403, so that the token may be bad: Host, Via, Route, Status, Suppressed
	EventTunnelEnd   Event = "tunnel-end"   // what egress let through has ended: Host, Port, Via, Sent, Received, Millis, Reason (when egress ended it)
	EventTraffic     Event = "traffic"      // all that went through egress since it started: Sent, Received
	EventRequest     Event = "request"      // supervise put a request in the queue, or a call attached to one: ID, Attached
	EventDelivered   Event = "delivered"    // the answer was written to the agent's connection, or git-gate took the decision on a push: ID, Decision
	EventAbandoned   Event = "abandoned"    // nobody waits for the answer any more: ID, Reason
	EventFetch       Event = "fetch"        // git-gate passed a fetch on: Remote, Via, Received, Millis
	EventPush        Event = "push"         // git-gate passed a push on: Remote, Via, Refs, Sent, Millis, Reason (what the upstream refused, or that nobody knows whether it arrived)
	EventPushWaits   Event = "push-waits"   // a push waits for the operator's decision: ID, Remote, Push
	EventError       Event = "error"        // something went wrong that an operator should know: Reason, and whom it concerns (Host, Port, Via; ID)
)

// Cause is why egress refused something, for who acts on it; Reason says it to people.
type Cause string

// The causes that are told apart; all others are "".
const (
	CauseUnlisted Cause = "unlisted" // no rule names the target: one that does would let it through
	CauseInward   Cause = "inward"   // the host leads to no public address: no rule changes that
)

// Line is one thing that a sidecar said: one JSON object on one line of its standard output. Host, Reason and
// whatever else came from an agent is hostile text, bounded in length but to be made visible before it is shown.
type Line struct {
	At     time.Time `json:"at"`
	Event  Event     `json:"event"`
	Config string    `json:"config,omitempty"` // Hash of a configuration file
	Reason string    `json:"reason,omitempty"`
	Cause  Cause     `json:"cause,omitempty"`

	// Address is where a sidecar listens (ready), or what was dialled (allow): "ip:port".
	Address string `json:"address,omitempty"`
	// Resolver is where egress answers DNS (ready).
	Resolver string `json:"resolver,omitempty"`

	Host       string `json:"host,omitempty"`
	Port       int    `json:"port,omitempty"`
	Via        string `json:"via,omitempty"`        // "connect", "http" or "dns"; of cred-proxy "route"
	Route      string `json:"route,omitempty"`      // path of cred-proxy's route, as in its configuration
	Status     int    `json:"status,omitempty"`     // HTTP status of cred-proxy's answer, the upstream's or its own
	Sent       int64  `json:"sent,omitempty"`       // bytes, from the agent
	Received   int64  `json:"received,omitempty"`   // bytes, to the agent
	Millis     int64  `json:"ms,omitempty"`         // how long it was open
	Suppressed int    `json:"suppressed,omitempty"` // lines like this one that were left out since the last, under a flood

	ID       string `json:"id,omitempty"`       // a request of the queue, or the nonce of tokens
	Attached bool   `json:"attached,omitempty"` // the call joined a request that was there already
	Decision string `json:"decision,omitempty"`

	Remote string   `json:"remote,omitempty"` // of git-gate's configuration, or what the agent named instead
	Refs   []string `json:"refs,omitempty"`   // what a push would change, bounded
	Rule   string   `json:"rule,omitempty"`   // the rule of the scan for secrets that a push met
	Push   *Push    `json:"push,omitempty"`
}

// Push is what a push that waits for the operator would do, as far as one line has room. What is left out is said.
type Push struct {
	Refs        []PushRef    `json:"refs"`
	Options     []string     `json:"options,omitempty"` // for the upstream's own use: git push -o
	Commits     []PushCommit `json:"commits"`           // the newest first; those that are on a branch of the upstream are not among them
	Files       []PushFile   `json:"files"`             // by ref, and in order of their paths
	Diff        string       `json:"diff"`              // unified; where Files name refs, its paths end in " @ " and the ref
	MoreRefs    int          `json:"more_refs"`         // left out
	MoreOptions int          `json:"more_options,omitempty"`
	MoreCommits int          `json:"more_commits"`
	MoreFiles   int          `json:"more_files"`
	// CommitsCut: there may be commits that the upstream has on none of its branches, and they could not be read.
	CommitsCut bool  `json:"commits_cut,omitempty"`
	DiffCut    bool  `json:"diff_cut"` // there is more to the diff
	Bytes      int64 `json:"bytes"`    // of the pack
}

// PushRef is a change of a ref. Old and New are object names; of zeros where the ref is made or deleted.
type PushRef struct {
	Ref string `json:"ref"`
	Old string `json:"old"`
	New string `json:"new"`
	// Base is the commit of the upstream whose files those of New are compared with: what Old leads to or, for a ref
	// that is made, where it leaves the upstream's branches. "" when it comes from none, so that all its files are
	// new, and when it is not known, which Unseen says.
	Base string `json:"base,omitempty"`
	// BaseRef is the branch that Base is the tip of, where New comes from none and this one was taken in its stead.
	BaseRef string `json:"base_ref,omitempty"`
	// Rewrites: New does not build on Old, or that could not be shown. What Old leads to would be lost.
	Rewrites bool `json:"rewrites,omitempty"`
	// Unseen: what New or Base leads to could not be read whole. Of this ref only files of the pack are told,
	// compared with nothing.
	Unseen bool `json:"unseen,omitempty"`
}

// PushCommit is a commit that is new to the upstream's branches.
type PushCommit struct {
	Hash    string `json:"hash"`
	Author  string `json:"author"`
	Subject string `json:"subject"`
	// Stray: the push does not hold it; the upstream has it already, on none of its branches.
	Stray bool `json:"stray,omitempty"`
}

// PushFile is a file that a push changes. Added and Removed count lines; both are -1 for what is not compared.
type PushFile struct {
	Path    string `json:"path"`
	Ref     string `json:"ref,omitempty"` // on which it changes, where there are several with changes of their own
	Change  string `json:"change"`        // "added", "changed", "removed"
	Added   int    `json:"added"`
	Removed int    `json:"removed"`
	// Was and Is are the kinds before and after: "" (an ordinary file, or none), "executable", "link" (whose text is
	// where it leads), "submodule" (whose text is its commit).
	Was string `json:"was,omitempty"`
	Is  string `json:"is,omitempty"`
}

// maxLine bounds what ParseLine takes for a line, in bytes.
const maxLine = 64 << 10

// ParseLine reads one line of a sidecar's output. It is tolerant: ok is false for anything that is not a Line
// (a panic's trace, an engine's remark), and unknown fields are skipped.
func ParseLine(b []byte) (line Line, ok bool) {
	b = bytes.TrimSpace(b)
	if len(b) < 2 || len(b) > maxLine || b[0] != '{' {
		return Line{}, false
	}
	if err := json.Unmarshal(b, &line); err != nil || line.Event == "" {
		return Line{}, false
	}
	return line, true
}

// Voice writes Lines, one at a time, safe for many speakers.
type Voice struct {
	mu  sync.Mutex
	out io.Writer
	now func() time.Time
}

// NewVoice is a Voice that speaks on out. now is the clock; nil is time.Now.
func NewVoice(out io.Writer, now func() time.Time) *Voice {
	if now == nil {
		now = time.Now
	}
	return &Voice{out: out, now: now}
}

// Say writes l, with the time when At is zero. A voice that cannot be heard is not a reason to stop
// serving: the error is returned for those who care, and most callers don't.
func (v *Voice) Say(l Line) error {
	if l.At.IsZero() {
		l.At = v.now().UTC()
	}
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode the %s line: %w", l.Event, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, err := v.out.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("say %s: %w", l.Event, err)
	}
	return nil
}
