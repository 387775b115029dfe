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

// long is the number of minutes from which what is left is told in hours.
const long = 100

// up is how many whole units d fills when the last one counts as whole.
func up(d, unit time.Duration) int { return int((d + unit - 1) / unit) }

// Left is what is left of a time, in a sentence: "7 h 59 min left", "42 min left", "38 s left".
func Left(d time.Duration) string {
	m := up(d, time.Minute)
	switch {
	case d <= 0:
		return "ends now"
	case d <= time.Minute:
		return fmt.Sprintf("%d s left", up(d, time.Second))
	case m < long:
		return fmt.Sprintf("%d min left", m)
	case m%60 == 0:
		return fmt.Sprintf("%d h left", m/60)
	}
	return fmt.Sprintf("%d h %d min left", m/60, m%60)
}

// LeftShort is Left for a narrow column: "7h", "42m", "now".
func LeftShort(d time.Duration) string {
	m := up(d, time.Minute)
	switch {
	case d <= 0:
		return "now"
	case m < long:
		return fmt.Sprintf("%dm", m)
	}
	return fmt.Sprintf("%dh", m/60)
}

// NextLeft is how long after d is left the label changes: of Left with seconds, else of LeftShort. It is 0
// when d is over.
func NextLeft(d time.Duration, seconds bool) time.Duration {
	switch {
	case d <= 0:
		return 0
	case seconds && d <= time.Minute:
		return d - time.Duration(up(d, time.Second)-1)*time.Second
	}
	return d - time.Duration(up(d, time.Minute)-1)*time.Minute
}
