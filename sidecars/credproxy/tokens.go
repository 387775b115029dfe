package credproxy

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"bottle-tui/sidecars"
)

const maxToken = 16 << 10 // bytes of one token: servers take hardly more in a header

// checkValue says why a value can't be sent as a credential, without showing any of it.
func checkValue(value string) error {
	switch {
	case value == "":
		return errors.New("is empty")
	case len(value) > maxToken:
		return fmt.Errorf("is longer than %d bytes", maxToken)
	case strings.TrimSpace(value) != value:
		return errors.New("begins or ends with white space")
	case !utf8.ValidString(value):
		return errors.New("is not text")
	}
	for i := range len(value) {
		if value[i] < ' ' || value[i] == 0x7f {
			return errors.New("holds a control character, which no header may carry")
		}
	}
	return nil
}

// hear takes in tokens from r until it ends. wait ends the reading where that is possible, and returns after it.
func (s *server) hear(r io.Reader) (wait func()) {
	return sidecars.Hear(r, s.takeTokens, func(err error) { s.refuseTokens("", err) })
}

func (s *server) takeTokens(line []byte) {
	l, err := sidecars.ParseTokens(line)
	if err != nil {
		s.refuseTokens("", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.tokens.Merge(l); err != nil {
		s.refuseTokens(l.ID, err)
		return
	}
	s.traffic.give(s.tokens.All())
	s.voice.voice.Say(sidecars.Line{Event: sidecars.EventTokens, ID: l.ID}) //nolint:errcheck // nobody may listen
	if s.waiting != nil && s.missing(s.waiting) == nil {
		s.force(s.waiting)
	}
}

func (s *server) refuseTokens(id string, err error) {
	s.voice.voice.Say(sidecars.Line{ //nolint:errcheck // nobody may listen
		Event: sidecars.EventError, ID: id, Reason: "tokens were refused, all of their line: " + err.Error(),
	})
}
