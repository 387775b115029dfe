package credproxy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"bottle-tui/sidecars"
)

// Bounds on what comes as tokens.
const (
	maxTokenLine = 1 << 20  // bytes of one line
	maxToken     = 16 << 10 // bytes of one token: servers take hardly more in a header
	maxTokens    = 256      // distinct names
	maxNonce     = 128      // bytes
)

// tokenLine is one line of the tokens' way in.
type tokenLine struct {
	ID     string            `json:"id"`     // a nonce, said again when the tokens are in memory
	Tokens map[string]string `json:"tokens"` // by public name
}

// vault holds the tokens by public name. What was taken once stays until cred-proxy ends: a later
// configuration may need it again. It is guarded by the server's mu; traffic has a copy.
type vault struct{ byName map[string]string }

func (v *vault) have(name string) bool {
	_, ok := v.byName[name]
	return ok
}

// merge takes all of l, or nothing and says why. No error shows a value.
func (v *vault) merge(l tokenLine) error {
	more := 0
	for name, value := range l.Tokens {
		if err := CheckToken(name); err != nil {
			return err
		}
		if err := checkValue(value); err != nil {
			return fmt.Errorf("the token %s %w", name, err)
		}
		if !v.have(name) {
			more++
		}
	}
	if len(v.byName)+more > maxTokens {
		return fmt.Errorf("more than %d tokens have come", maxTokens)
	}
	if v.byName == nil {
		v.byName = map[string]string{}
	}
	for name, value := range l.Tokens {
		v.byName[name] = value
	}
	return nil
}

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
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.readTokens(r)
	}()
	return func() {
		if c, ok := r.(io.Closer); ok {
			c.Close()
			<-done
		}
	}
}

func (s *server) readTokens(r io.Reader) {
	lines := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	tooLong := false
	for {
		part, err := lines.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(part) > maxTokenLine; tooLong {
			clear(line)
			line = nil
		} else {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		switch {
		case err != nil: // what has no line end may be half of a token
			return
		case tooLong:
			s.refuseTokens("", fmt.Errorf("a line is longer than %d bytes", maxTokenLine))
		case len(bytes.TrimSpace(line)) > 0:
			s.takeTokens(line)
		}
		clear(line)
		line, tooLong = line[:0], false
	}
}

// takeTokens reads one line. The decoder's own errors are not said: they quote what they read.
func (s *server) takeTokens(line []byte) {
	var l tokenLine
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil || d.More() {
		s.refuseTokens("", errors.New(`a line is not one JSON object of the form {"id":…,"tokens":{…}}`))
		return
	}
	if !plainNonce(l.ID) {
		s.refuseTokens("", fmt.Errorf("a line has no id of 1 to %d plain characters", maxNonce))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.tokens.merge(l); err != nil {
		s.refuseTokens(l.ID, err)
		return
	}
	s.traffic.give(s.tokens.byName)
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

func plainNonce(id string) bool {
	if id == "" || len(id) > maxNonce {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return true
}
