package gitgate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"bottle-tui/sidecars"

	"golang.org/x/crypto/ssh"
)

const maxSecret = 64 << 10 // bytes of a private key or a token

// checkSecret says why a value is neither a key nor a token, without showing any of it.
func checkSecret(value string) error {
	switch {
	case value == "":
		return errors.New("is empty")
	case len(value) > maxSecret:
		return fmt.Errorf("is longer than %d bytes", maxSecret)
	case !utf8.ValidString(value):
		return errors.New("is not text")
	}
	return nil
}

// checkToken says why a value can't be sent as a credential over https.
func checkToken(value string) error {
	for i := range len(value) {
		if value[i] < ' ' || value[i] == 0x7f {
			return errors.New("holds a control character, which no header may carry")
		}
	}
	return nil
}

// takeLine reads one line of standard input: secrets, or a decision on a push.
func (s *server) takeLine(line []byte) {
	var kind struct {
		Push *string `json:"push"`
	}
	if json.Unmarshal(line, &kind) == nil && kind.Push != nil {
		s.takeDecision(line)
		return
	}
	l, err := sidecars.ParseTokens(line)
	if err != nil {
		s.refuseSecrets("", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(l); err != nil {
		s.refuseSecrets(l.ID, err)
		return
	}
	if err := s.secrets.Merge(l); err != nil {
		s.refuseSecrets(l.ID, err)
		return
	}
	if t := s.traffic.table(); t != nil {
		if signers, err := signersOf(t, s.secrets.All()); err == nil {
			s.traffic.give(s.secrets.All(), signers)
		}
	}
	s.voice.voice.Say(sidecars.Line{Event: sidecars.EventTokens, ID: l.ID}) //nolint:errcheck // nobody may listen
	if s.waiting != nil && s.waiting.missing(s.secrets.Have) == nil {
		if err := s.force(s.waiting); err != nil {
			s.voice.say(sidecars.Line{Event: sidecars.EventError, Reason: err.Error()})
		}
	}
}

// usable says whether the remotes can use the secrets of l, for which they are.
func (s *server) usable(l sidecars.TokenLine) error {
	t := s.waiting
	if t == nil {
		t = s.traffic.table()
	}
	if t == nil {
		return nil
	}
	_, err := signersOf(t, l.Tokens)
	return err
}

func (s *server) refuseSecrets(id string, err error) {
	s.voice.voice.Say(sidecars.Line{ //nolint:errcheck // nobody may listen
		Event: sidecars.EventError, ID: id, Reason: "secrets were refused, all of their line: " + err.Error(),
	})
}

// signersOf reads the keys of t's ssh remotes among secrets, and looks at the tokens of the others. What secrets
// does not hold is left out. No error shows a value.
func signersOf(t *table, secrets map[string]string) (map[string]ssh.Signer, error) {
	signers := map[string]ssh.Signer{}
	for _, r := range t.remotes {
		value, ok := secrets[r.Secret]
		if !ok || signers[r.Secret] != nil {
			continue
		}
		if !r.to.ssh {
			if err := checkToken(value); err != nil {
				return nil, fmt.Errorf("the token %s of the remote %s %w", r.Secret, r.Name, err)
			}
			continue
		}
		signer, err := ssh.ParsePrivateKey(bytes.TrimSpace([]byte(value)))
		var locked *ssh.PassphraseMissingError
		switch {
		case errors.As(err, &locked):
			return nil, fmt.Errorf("the key %s of the remote %s has a passphrase: make one without, for this remote alone", r.Secret, r.Name)
		case err != nil:
			return nil, fmt.Errorf("the key %s of the remote %s is no private key that is understood: write a file as ssh-keygen makes it", r.Secret, r.Name)
		}
		signers[r.Secret] = signer
	}
	return signers, nil
}
