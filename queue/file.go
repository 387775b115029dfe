package queue

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"bottle-tui/state"
)

// A field of a request or answer file, with its place in memory.
type field struct {
	name     string
	to       any // *string, *Decision or *time.Time
	required bool
}

func (r *Request) fields() []field {
	return []field{
		{"id", &r.ID, true},
		{"tool", &r.Tool, true},
		{"identity", &r.Identity, true},
		{"justification", &r.Justification, false},
		{"proposed", &r.Proposed, true},
		{"current_hash", &r.CurrentHash, false},
		{"arrived_at", &r.ArrivedAt, true},
		{"tool_use_id", &r.ToolUseID, false},
	}
}

func (a *Answer) fields() []field {
	return []field{
		{"request", &a.Request, true},
		{"decision", &a.Decision, true},
		{"note", &a.Note, false},
		{"content", &a.Content, false},
		{"scope", &a.Scope, false},
		{"decided_at", &a.DecidedAt, true},
		{"shown_hash", &a.ShownHash, false},
	}
}

func (f field) empty() bool {
	switch to := f.to.(type) {
	case *string:
		return *to == ""
	case *Decision:
		return *to == ""
	case *time.Time:
		return to.IsZero()
	}
	return false
}

// parse reads the fields out of the text of a file.
func parse(text []byte, fields []field) (*state.Object, error) {
	if len(text) > MaxFile {
		return nil, fmt.Errorf("it has %d bytes; at most %d are allowed", len(text), MaxFile)
	}
	o, err := state.ParseObject(text)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		there, err := o.Get(f.name, f.to)
		if err != nil {
			return nil, err
		}
		if !there && f.required {
			return nil, fmt.Errorf("the field %q is missing", f.name)
		}
	}
	return o, nil
}

// text writes the fields over those of the file that they were read from, if there was one.
func text(o *state.Object, fields []field) ([]byte, error) {
	if o == nil {
		o = &state.Object{}
	} else {
		o = o.Clone()
	}
	for _, f := range fields {
		if !f.required && f.empty() {
			o.Remove(f.name)
			continue
		}
		// What is not UTF-8 would be written as something else than was meant.
		if words, ok := f.to.(*string); ok && !utf8.ValidString(*words) {
			return nil, fmt.Errorf("its %s is not UTF-8", f.name)
		}
		if err := o.Set(f.name, f.to); err != nil {
			return nil, err
		}
	}
	out, err := o.Bytes()
	if err != nil {
		return nil, err
	}
	if len(out) > MaxFile {
		return nil, fmt.Errorf("its file would have %d bytes; at most %d are allowed", len(out), MaxFile)
	}
	return out, nil
}

// parseRequest reads the text of the file of the request id, of the bottle identity if that is not "".
func parseRequest(text []byte, id, identity string) (Request, error) {
	var r Request
	o, err := parse(text, r.fields())
	if err != nil {
		return Request{}, err
	}
	r.unknown = o
	if r.ID != id {
		return Request{}, fmt.Errorf("it says that its id is %s, but its name says %s", quoted(r.ID), quoted(id))
	}
	return r, r.check(identity)
}

// check refuses a request whose fields can't be what they say. The agent's words may be anything.
func (r *Request) check(identity string) error {
	switch {
	case !ValidID(r.ID):
		return checkID(r.ID)
	case !toolForm.MatchString(r.Tool):
		return fmt.Errorf("%s can't be the name of a tool", quoted(r.Tool))
	case identity != "" && r.Identity != identity:
		return fmt.Errorf("it says that it comes from %s, but it lies in the queue of %s", quoted(r.Identity), identity)
	case !state.ValidIdentity(r.Identity):
		return fmt.Errorf("%s is not an identity", quoted(r.Identity))
	case r.CurrentHash != "" && !hashForm.MatchString(r.CurrentHash):
		return fmt.Errorf("its current_hash is %s, not sha256: and 64 hexadecimal digits", quoted(r.CurrentHash))
	case r.ArrivedAt.IsZero():
		return errors.New("it does not say when it arrived")
	}
	return nil
}

// parseAnswer reads the text of the file of the answer to the request id.
func parseAnswer(text []byte, id string) (Answer, error) {
	var a Answer
	o, err := parse(text, a.fields())
	if err != nil {
		return Answer{}, err
	}
	a.unknown = o
	if a.Request != id {
		return Answer{}, fmt.Errorf("it says that it answers %s, but its name says %s", quoted(a.Request), quoted(id))
	}
	return a, a.check()
}

func (a *Answer) check() error {
	if err := checkID(a.Request); err != nil {
		return err
	}
	switch a.Decision {
	case Approved, Edited, Denied, Withdrawn, Expired:
	default:
		return fmt.Errorf("%s is not a decision", quoted(string(a.Decision)))
	}
	if a.ShownHash != "" && !hashForm.MatchString(a.ShownHash) {
		return fmt.Errorf("its shown_hash is %s, not sha256: and 64 hexadecimal digits", quoted(a.ShownHash))
	}
	return nil
}
