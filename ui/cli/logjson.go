package cli

import (
	"bytes"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"bottle-tui/queue"
)

// plainJSON writes JSON on so that it does nothing to a terminal: whatever queue.Visible would not leave as it is, it
// writes as \uXXXX, which means the same to whoever reads JSON. Each Write has whole characters.
type plainJSON struct{ out io.Writer }

func (w plainJSON) Write(b []byte) (int, error) {
	var safe bytes.Buffer
	for rest := b; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch s := string(rest[:size]); {
		case r == '\n' || queue.Visible(s) == s: // no other control character is in JSON by itself
			safe.WriteString(s)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&safe, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&safe, `\u%04x`, r)
		}
		rest = rest[size:]
	}
	if _, err := w.out.Write(safe.Bytes()); err != nil {
		return 0, err
	}
	return len(b), nil
}
