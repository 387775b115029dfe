package bottles

import (
	"fmt"
	"io"
	"time"

	"bottle-tui/bottles/dockerfile"
	"bottle-tui/queue"
	"bottle-tui/sidecars"
)

// Status is what a bottle does, in one word.
type Status string

// The statuses of a bottle.
const (
	Preparing Status = "preparing"
	Building  Status = "building"
	Starting  Status = "starting"
	Live      Status = "live"
	Stopping  Status = "stopping"
	Down      Status = "down"
	Failed    Status = "failed"
	Orphan    Status = "orphan"
)

// Snapshot is the world at one moment. Nobody changes it after it was handed out.
type Snapshot struct {
	Version  uint64 // grows by one with each snapshot
	At       time.Time
	Engine   EngineView
	Bottles  []Bottle  // live first, then those on their way, down (latest first), orphans
	Problems []Problem // what on disk could not be read
	Agents   []string  // what Launch can be asked for, in the catalog's order
}

// EngineView is the engine as the operator sees it.
type EngineView struct {
	Reachable bool
	Info      EngineInfo
	Err       string // why not, whole, with what to do
}

// Bottle is one bottle at one moment.
type Bottle struct {
	Identity    string
	Agent       string
	CWD         string
	StartedAt   time.Time
	EndedAt     time.Time
	EndReason   string
	Status      Status
	Detail      string // what it is at: "build 3/7", "agent exited 137"; "" when there is nothing to say
	Image       string
	ImageDigest string
	Rebuilt     bool // it runs on a Dockerfile of its own
	SessionID   string
	Objects     []string  // of an orphan: the engine's objects that belong to it, as "container NAME"
	Allow       []string  // the allowlist in force
	Pipelock    bool      // pipelock keeps it, which knows no ports and ends no tunnel with its rule
	Routes      []Route   // in force; TokenRef is the public name
	Grants      []Grant   // what the operator granted beyond the profile, the oldest first
	Feed        []Passage // what its gates told, the latest last; alike ones are one
	Sent        int64     // bytes, from the agent through egress since that started
	Received    int64     // bytes, to the agent
	Usage       Usage     // of disks; zero: not measured yet
	Requests    []Request
	Operation   *Operation // in flight, or the last one if it failed; else nil
}

// Waiting counts the requests that wait for the operator; one that could not be applied waits again.
func (b Bottle) Waiting() int {
	n := 0
	for _, r := range b.Requests {
		if r.State != Applying {
			n++
		}
	}
	return n
}

// RequestState is where a request is in its life.
type RequestState string

// The states of a request that is still in the inbox. A request in force, denied, withdrawn or
// expired has left it.
const (
	Waiting  RequestState = "waiting"
	Applying RequestState = "applying"
	// Unapplied: it was approved and could not be applied. While the build is what failed, the agent
	// still waits, and the operator may approve again, edit or deny.
	Unapplied RequestState = "failed"
)

// Request is one request as it is shown. Raw fields hold what the agent wrote: pass them through
// queue.Visible before they reach a terminal.
type Request struct {
	queue.Request
	State    RequestState
	Hash     string // queue.Hash of the proposed content: goes back with the decision
	Current  []byte // what is in force now
	Stale    bool   // what is in force is not what the agent saw; approving is refused
	Findings []dockerfile.Finding
	Effect   string // what approving will do, in a sentence
	Session  string // that the agent asked in, and goes on with; "": not known
	Err      string // of a failed one: why, whole
	// Tokens are the public names that the proposed routes use and the bottle does not have: approving needs a
	// token_ref for each.
	Tokens []string
	// Remote and Push are what a push would do, of a request with the tool ToolPush; such a one is in no queue but
	// held by git-gate, has no Current, and can't be edited.
	Remote string
	Push   *sidecars.Push
}

// ToolPush is the Tool of a request that git-gate makes for a push that waits for the operator.
const ToolPush = "git-push"

// Scope is how long a grant of egress or of routes lasts. The zero Scope is this bottle, until it is deleted.
type Scope struct {
	For     time.Duration `json:"for,omitempty"`     // from the moment that it is in force
	Profile bool          `json:"profile,omitempty"` // written into the manifest
}

// Scopes are the scopes that the screen offers, the default first.
var Scopes = []Scope{{For: time.Hour}, {For: 8 * time.Hour}, {}, {Profile: true}, {For: 15 * time.Minute}}

// String says the scope in the operator's words.
func (s Scope) String() string {
	switch {
	case s.Profile:
		return "the profile, for good"
	case s.For == 0:
		return "this bottle"
	case s.For%time.Hour == 0:
		return fmt.Sprintf("%d h", s.For/time.Hour)
	}
	return fmt.Sprintf("%d min", s.For/time.Minute)
}

// Grant is what the operator granted to one bottle at run time.
type Grant struct {
	ID     string    `json:"id"`   // of the request
	Tool   string    `json:"tool"` // queue.ToolEgress or queue.ToolCredProxy
	Scope  Scope     `json:"scope"`
	At     time.Time `json:"at"`
	Until  time.Time `json:"until,omitzero"` // zero: no end
	Change Change    `json:"change"`         // what it added and took away; TokenRef is the public name
	Undo   Change    `json:"undo,omitzero"`  // of a grant by an earlier version: what took it back
	// Tokens are the references that the operator gave for it, by public name.
	Tokens map[string]string `json:"tokens,omitempty"`
}

// Operation is something that is being done to a bottle.
type Operation struct {
	Kind      string // "launch", "resume", "rebuild", "teardown", "delete", "recover"
	Step      string // what is being done now, in the operator's words
	N, Total  int    // step number and count, 1-based; 0 when not known
	StartedAt time.Time
	Request   string   // the request it serves, if any
	Log       []string // of the build; raw; at most MaxLogLines, the oldest dropped
	Err       string   // set when it failed: why and what to do
	Added     int64    // bytes that a new image has more than the one before; 0: none, or not known
}

// MaxLogLines bounds the log that an operation keeps.
const MaxLogLines = 5000

// Problem is a file that could not be read. It is left alone.
type Problem struct {
	Path string
	Err  string
}

// Alert is something that the operator must not miss.
type Alert struct {
	Kind      AlertKind
	Identity  string
	Request   string
	Operation string // of a done or failed one: Operation.Kind
	Text      string // one line, safe to print
}

// AlertKind says what an alert is about.
type AlertKind string

// The kinds of alert.
const (
	AlertRequest AlertKind = "request" // a new request waits
	AlertEnded   AlertKind = "ended"   // an agent ended by itself
	AlertDone    AlertKind = "done"    // an operation that the operator asked for is complete
	AlertFailed  AlertKind = "failed"  // an operation failed
)

// Update is what the Supervisor tells its one listener: at most 20 snapshots a second, but at once
// when there is an alert, and no alert is dropped.
type Update struct {
	Snapshot *Snapshot
	Alerts   []Alert
}

// Screen receives what an agent's terminal prints. Its methods are called from one goroutine for
// each bottle; a slow Write holds back that bottle's stream alone.
type Screen interface {
	io.Writer
	// Size is the size in cells that the agent's terminal shall have; zeros when not known yet.
	Size() (cols, rows int)
	// Restarted tells that what follows comes from a new agent container, or, with
	// replay, that the end of an earlier output is given again from its log.
	Restarted()
}

// Action is what the operator asks for. Each names what it was decided on, so that a stale one is
// refused instead of applied.
type Action interface {
	bottle() string // that it changes; "" for none or several
}

type (
	// Launch starts a new bottle of a catalog's agent.
	Launch struct {
		Agent    string
		CWD      string // "": none
		CopyCWD  bool   // fill the workspace from CWD
		Task     string // first message to the agent; "": none
		Identity string // the one that a Preflight named; "": a new one
		Shown    string // the Shown of the plan that was agreed to; "": none was
		// SkipIgnored says whether the copy of CWD is without what git ignores; nil: as the profile has it.
		SkipIgnored *bool
	}
	// Resume starts a bottle that is down, on its own image, with its session.
	Resume struct {
		Identity string
		// Profile is what the operator was shown as Preflight.Profile when the agent has another profile by now than
		// the bottle lived in; without it such a resume is refused.
		Profile string
		// Agreed is Preflight.Asks of the plan that the operator said yes to. A resume with a notice that needs a yes and
		// is not in it is refused.
		Agreed string
	}
	// TearDown ends a live bottle and keeps its state.
	TearDown struct{ Identity string }
	// Delete removes a bottle that is down, with its volumes and state; nothing brings it back.
	Delete struct{ Identity string }
	// Cleanup removes the engine's objects of orphans. Objects are those that were shown, as Bottle.Objects has them:
	// an orphan that has others by then is left alone.
	Cleanup struct {
		Identities []string
		Objects    []string
	}
	// Approve puts a request in force as the agent wrote it.
	Approve struct {
		Identity, Request, Shown string
		Terms                    Terms
	}
	// ApproveEdited puts the operator's version in force.
	ApproveEdited struct {
		Identity, Request, Shown string
		Content                  []byte
		Terms                    Terms
	}
	// Allow opens hosts without a request, such as one that egress has just refused: rules in its notation.
	Allow struct {
		Identity string
		Rules    []string
		Scope    Scope // not the profile
	}
	// Revoke takes a grant back, now.
	Revoke struct{ Identity, Grant string }
	// Deny answers no, with the reason.
	Deny struct{ Identity, Request, Shown, Reason string }
	// Cancel stops the operation in flight where that is still possible; a build that is
	// cancelled leaves its request waiting.
	Cancel struct{ Identity string }
)

// Terms are what the operator decides beside the content of egress and route requests.
type Terms struct {
	Scope  Scope
	Tokens map[string]string // public name as the request has it → token_ref
	Edit   string            // with Scope.Profile: queue.Hash of the manifest that was shown, as it would be
}

func (Launch) bottle() string          { return "" }
func (a Resume) bottle() string        { return a.Identity }
func (a TearDown) bottle() string      { return a.Identity }
func (a Delete) bottle() string        { return a.Identity }
func (Cleanup) bottle() string         { return "" }
func (a Approve) bottle() string       { return a.Identity }
func (a ApproveEdited) bottle() string { return a.Identity }
func (a Deny) bottle() string          { return a.Identity }
func (a Revoke) bottle() string        { return a.Identity }
func (a Allow) bottle() string         { return a.Identity }
func (a Cancel) bottle() string        { return a.Identity }
