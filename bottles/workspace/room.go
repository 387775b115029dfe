package workspace

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// taker is what one entry directly under the directory takes of the room, with all that is in it.
type taker struct {
	name    string
	entries int
	bytes   int64
}

func byEntries(a, b taker) int { return cmp.Compare(b.entries, a.entries) }
func byBytes(a, b taker) int   { return cmp.Compare(b.bytes, a.bytes) }

// shown is how many entries are named when there is too much.
const shown = 3

// largest keeps, of room and one more, the few with the most entries and the few with the most bytes.
func largest(room []taker, one taker) []taker {
	room = append(room, one)
	if len(room) <= 2*shown {
		return room
	}
	slices.SortStableFunc(room, byEntries)
	rest := room[shown:]
	slices.SortStableFunc(rest, byBytes)
	return room[:2*shown]
}

// tooLarge is the refusal of a directory with more than can be copied.
func (s *scanner) tooLarge() error {
	t := s.tree
	many := s.seen > s.most.entries
	var what string
	if many {
		slices.SortStableFunc(s.room, byEntries)
		what = fmt.Sprintf("%s has %s files and directories to copy, and at most %s are copied", t.Dir, Count(s.seen), Count(s.most.entries))
	} else {
		slices.SortStableFunc(s.room, byBytes)
		what = fmt.Sprintf("%s has %s to copy, and at most %s are copied", t.Dir, Size(t.Bytes), Size(s.most.bytes))
	}
	var most []string
	for _, one := range s.room[:min(shown, len(s.room))] {
		if many {
			most = append(most, fmt.Sprintf("%q (%s)", one.name, Count(one.entries)))
		} else {
			most = append(most, fmt.Sprintf("%q (%s)", one.name, Size(one.bytes)))
		}
	}
	return &Refused{
		what + "; the most is in " + strings.Join(most, ", "),
		"list what the agent does not need in " + filepath.Join(t.Dir, ignoreFile) + ", a pattern a line",
	}
}

// Count is a number of things with its thousands apart: "1,200".
func Count(n int) string {
	digits := strconv.Itoa(n)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Size is a number of bytes for people: "512 bytes", "4.2 MiB".
func Size(n int64) string {
	if n < 1024 {
		if n == 1 {
			return "1 byte"
		}
		return fmt.Sprintf("%d bytes", n)
	}
	unit, value := 0, float64(n)
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	return strings.TrimSuffix(strconv.FormatFloat(value, 'f', 1, 64), ".0") + " " + units[unit]
}

var units = []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
