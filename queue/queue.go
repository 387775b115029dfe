// Package queue keeps what agents ask and what the operator answers, as files in one directory for
// each bottle, and tells when there is something new. Both ends use it: the supervise sidecar inside
// its container and bottle-tui on the host. What lies in a queue directory is hostile until it was
// checked here. The package must not decide anything, and must not import an engine or a screen.
package queue

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"bottle-tui/state"
)

// MaxFile is the largest request or answer file, in bytes.
const MaxFile = 256 << 10

// The tools whose calls become requests.
const (
	ToolCapability = "capability-block"
	ToolEgress     = "egress-block"
	ToolCredProxy  = "cred-proxy-block"
)

// The errors of answering. Test with errors.Is.
var (
	// ErrAnswered: the request has an answer; the first one counts.
	ErrAnswered = errors.New("the request is answered already")
	// ErrNoRequest: there is no request of that id.
	ErrNoRequest = errors.New("no such request")
)

// Request is what an agent asks of the operator. Everything in it but ID, Tool, Identity and ArrivedAt
// is the agent's own words: it goes through Visible or VisibleText before a person sees it.
type Request struct {
	ID            string    `json:"id"`
	Tool          string    `json:"tool"`
	Identity      string    `json:"identity"`
	Justification string    `json:"justification"`
	Proposed      string    `json:"proposed"`               // content of the file that it wants
	CurrentHash   string    `json:"current_hash,omitempty"` // Hash of the file that the agent saw
	ArrivedAt     time.Time `json:"arrived_at"`
	ToolUseID     string    `json:"tool_use_id,omitempty"` // of the agent's tool call

	unknown *state.Object // the file that it was read from, with the fields not known here
}

// Decision is how a request was answered.
type Decision string

// The decisions.
const (
	Approved  Decision = "approved"
	Edited    Decision = "edited"    // approved, with the operator's content
	Denied    Decision = "denied"    // Note says why
	Withdrawn Decision = "withdrawn" // the agent took it back, or is gone
	Expired   Decision = "expired"
)

// Answer is the decision on one request.
type Answer struct {
	Request   string    `json:"request"` // its id
	Decision  Decision  `json:"decision"`
	Note      string    `json:"note,omitempty"`    // the operator's words to the agent
	Content   string    `json:"content,omitempty"` // what comes into force, for the first two decisions
	Scope     string    `json:"scope,omitempty"`   // how long it is in force, in words; "" for a capability
	DecidedAt time.Time `json:"decided_at"`
	ShownHash string    `json:"shown_hash,omitempty"` // Hash of what the operator saw

	unknown *state.Object
}

// Pending is a request that was not archived yet, with its answer if it has one.
type Pending struct {
	Request
	Answer *Answer
}

// Problem is a file that was refused, with the reason. Both are safe to print.
type Problem = state.Problem

// Hash names content: "sha256:" and 64 hexadecimal digits.
func Hash(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

var (
	idForm   = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	toolForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	hashForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// NewID makes the id of a request that arrives now: its time in UTC to the microsecond, by which ids
// sort, and five random characters.
func NewID(now time.Time) string {
	stamp := now.UTC().Format("20060102-150405.000000")
	return strings.Replace(stamp, ".", "-", 1) + "-" + state.RandomBase36(5)
}

// ValidID says whether id has the form of a request's id: 1 to 64 lower-case letters, digits and dashes.
func ValidID(id string) bool { return idForm.MatchString(id) }

// RequestID is the id of the request that a path is the file of.
func RequestID(path string) (id string, ok bool) {
	id, ok = strings.CutSuffix(filepath.Base(path), requestSuffix)
	return id, ok && ValidID(id)
}

func checkID(id string) error {
	if !ValidID(id) {
		return fmt.Errorf("%s is not the id of a request", quoted(id))
	}
	return nil
}

// quoted is a hostile string inside a message: visible, and not long.
func quoted(s string) string {
	const most = 80
	if len(s) <= most {
		return `"` + Visible(s) + `"`
	}
	return fmt.Sprintf(`"%s…" (%d bytes)`, Visible(s[:most]), len(s))
}
