// Package ago says how long ago something was, coarsely enough that a label seldom changes, and when
// it will next.
package ago

import (
	"fmt"
	"time"
)

const day = 24 * time.Hour

// Short is an age for a narrow column: "now", "40s", "5m", "2h", "3d".
func Short(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d/(10*time.Second))*10)
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d/time.Minute))
	case d < day:
		return fmt.Sprintf("%dh", int(d/time.Hour))
	}
	return fmt.Sprintf("%dd", int(d/day))
}

// Long is an age in a sentence: "just now", "40 s ago", "5 min ago", "2 h ago", "3 days ago".
func Long(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d/(10*time.Second))*10)
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d/time.Minute))
	case d < day:
		return fmt.Sprintf("%d h ago", int(d/time.Hour))
	case d < 2*day:
		return "1 day ago"
	}
	return fmt.Sprintf("%d days ago", int(d/day))
}

// Next is how long after an age of d its labels change.
func Next(d time.Duration) time.Duration {
	step := day
	switch {
	case d < time.Minute:
		step = 10 * time.Second
	case d < time.Hour:
		step = time.Minute
	case d < day:
		step = time.Hour
	}
	if d < 0 {
		return step - d
	}
	return step - d%step
}
