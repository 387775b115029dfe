// Package dockerfile reads a proposed Dockerfile before the operator does.
package dockerfile

// Finding is one thing in a Dockerfile that the operator should know before approving it.
type Finding struct {
	Line       int
	Severity   Severity
	Rule, Text string
}

// Severity says how bad a finding is.
type Severity string
