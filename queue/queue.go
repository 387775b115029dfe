// Package queue keeps what agents ask and what the operator answers, as files in one directory for
// each bottle, and tells when there is something new. Both ends use it: the supervise sidecar inside
// its container and bottle-tui on the host. What lies in a queue directory is hostile until it was
// checked here. The package must not decide anything, and must not import an engine or a screen.
package queue

import "time"

// MaxFile is the largest request or answer file, in bytes.
const MaxFile = 256 << 10

// The tools whose calls become requests.
const (
	ToolCapability = "capability-block"
	ToolEgress     = "egress-block"
	ToolCredProxy  = "cred-proxy-block"
)

// Request is what an agent asks of the operator.
type Request struct {
	ID            string    `json:"id"`
	Tool          string    `json:"tool"`
	Identity      string    `json:"identity"`
	Justification string    `json:"justification"`
	Proposed      string    `json:"proposed"`
	CurrentHash   string    `json:"current_hash,omitempty"`
	ArrivedAt     time.Time `json:"arrived_at"`
	ToolUseID     string    `json:"tool_use_id,omitempty"`
}

// Decision is how a request was answered.
type Decision string

// The decisions.
const (
	Approved  Decision = "approved"
	Edited    Decision = "edited"
	Denied    Decision = "denied"
	Withdrawn Decision = "withdrawn"
	Expired   Decision = "expired"
)

// Answer is the operator's decision on one request.
type Answer struct {
	Request   string    `json:"request"`
	Decision  Decision  `json:"decision"`
	Note      string    `json:"note,omitempty"`
	Content   string    `json:"content,omitempty"`
	DecidedAt time.Time `json:"decided_at"`
	ShownHash string    `json:"shown_hash,omitempty"`
}
