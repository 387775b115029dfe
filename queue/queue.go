// Package queue keeps requests and answers as files.
package queue

import "time"

// Request is what an agent asks for.
type Request struct {
	ID, Tool, Identity, Justification, Proposed, CurrentHash string
	ArrivedAt                                                time.Time
	ToolUseID                                                string
}
