package sidecars

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"

	"github.com/muesli/cancelreader"
)

// Bounds on what comes by a sidecar's standard input.
const (
	maxInputLine = 1 << 20 // bytes of one line
	maxTokens    = 256     // distinct names
	maxNonce     = 128     // bytes
)

var tokenForm = regexp.MustCompile(`^(?:[A-Za-z_][A-Za-z0-9_]{0,127}|(?:file|cmd):[0-9a-f]{12})$`)

// CheckToken says what is wrong with a token's public name: it is an environment variable's name, or "file:" or
// "cmd:" and 12 hexadecimal digits. The error shows nothing of the name: a slip may have put a token there.
func CheckToken(name string) error {
	if !tokenForm.MatchString(name) {
		return errors.New(`the token's name is neither the name of an environment variable nor "file:" or "cmd:" with 12 hexadecimal digits`)
	}
	return nil
}

// TokenLine is one line in which tokens come.
type TokenLine struct {
	ID     string            `json:"id"`     // a nonce, said again when the tokens are in memory
	Tokens map[string]string `json:"tokens"` // by public name
}

// ParseTokens reads a line of tokens. No error shows anything of it.
func ParseTokens(line []byte) (TokenLine, error) {
	var l TokenLine
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil || d.More() { // err may quote what it read
		return TokenLine{}, errors.New(`a line is not one JSON object of the form {"id":…,"tokens":{…}}`)
	}
	if !plainNonce(l.ID) {
		return TokenLine{}, fmt.Errorf("a line has no id of 1 to %d plain characters", maxNonce)
	}
	return l, nil
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

// Vault holds tokens by public name. What was taken once stays until the sidecar ends: a later configuration may
// need it again. Its owner guards it against use by two at once.
type Vault struct {
	Check  func(value string) error // says why a value can't be used, without showing any of it
	byName map[string]string
}

// Have says whether a token has come.
func (v *Vault) Have(name string) bool {
	_, ok := v.byName[name]
	return ok
}

// All is a copy of what is held.
func (v *Vault) All() map[string]string { return maps.Clone(v.byName) }

// Merge takes all of l, or nothing and says why. No error shows a value.
func (v *Vault) Merge(l TokenLine) error {
	more := 0
	for name, value := range l.Tokens {
		if err := CheckToken(name); err != nil {
			return err
		}
		if err := v.Check(value); err != nil {
			return fmt.Errorf("the token %s %w", name, err)
		}
		if !v.Have(name) {
			more++
		}
	}
	if len(v.byName)+more > maxTokens {
		return fmt.Errorf("more than %d tokens have come", maxTokens)
	}
	if v.byName == nil {
		v.byName = map[string]string{}
	}
	maps.Copy(v.byName, l.Tokens)
	return nil
}

// Hear hands over the lines of r, one at a time and without their end, until r ends; one that is longer than
// 1 MiB is left out and told of by tooLong. Blank ones are skipped, and so is what comes after the last line
// end: it may be half of a token. take must not keep the line. wait ends the reading where r is an io.Closer,
// and returns after it.
func Hear(r io.Reader, take func(line []byte), tooLong func(err error)) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		readLines(r, take, tooLong)
	}()
	return func() {
		if c, ok := r.(io.Closer); ok {
			c.Close()
			<-done
		}
	}
}

func readLines(r io.Reader, take func([]byte), overlong func(error)) {
	lines := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	tooLong := false
	for {
		part, err := lines.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(part) > maxInputLine; tooLong {
			clear(line)
			line = nil
		} else {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		switch {
		case err != nil:
			return
		case tooLong:
			overlong(fmt.Errorf("a line is longer than %d bytes", maxInputLine))
		case len(bytes.TrimSpace(line)) > 0:
			take(line)
		}
		clear(line)
		line, tooLong = line[:0], false
	}
}

// StandardInput is os.Stdin, made so that its Close ends a reading.
func StandardInput() io.Reader {
	r, err := cancelreader.NewReader(os.Stdin)
	if err != nil { // a file, or nothing: its reading ends by itself
		return os.Stdin
	}
	return &cancelOnClose{r}
}

type cancelOnClose struct{ cancelreader.CancelReader }

func (c *cancelOnClose) Close() error {
	c.Cancel()
	return nil
}
