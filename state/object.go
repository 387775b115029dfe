package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Object is a JSON object whose members keep their order and, until they are set, their bytes: so a
// file that a newer version wrote loses nothing when an older one changes a field of it.
type Object struct {
	members []member
}

type member struct {
	name  string
	value json.RawMessage
}

// ParseObject reads exactly one JSON object in UTF-8, strictly: a member that is there twice, or
// anything after the object, is an error. Errors say at which line and column.
func ParseObject(text []byte) (*Object, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errors.New("it is empty, not a JSON object")
	}
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		return nil, badJSON(text, err)
	}
	if whole = bytes.TrimSpace(whole); whole[0] != '{' {
		return nil, fmt.Errorf("it holds %s, not a JSON object", kindOf(whole))
	}
	// From here on the text is known to be one valid object.
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	o := &Object{}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		if seen[name] {
			return nil, fmt.Errorf("%s: the field %q is there twice", position(text, dec.InputOffset()), name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		o.members = append(o.members, member{name, bytes.TrimSpace(value)})
	}
	return o, nil
}

// Clone is a copy that can be changed alone.
func (o *Object) Clone() *Object { return &Object{members: slices.Clone(o.members)} }

// Get decodes the member name into to. It says whether the member is there; one that is null is not.
// The error names the field, what it holds and what it should.
func (o *Object) Get(name string, to any) (bool, error) {
	for _, m := range o.members {
		if m.name != name {
			continue
		}
		if string(m.value) == "null" {
			return false, nil
		}
		if err := json.Unmarshal(m.value, to); err != nil {
			var wrong *json.UnmarshalTypeError
			if errors.As(err, &wrong) {
				return true, fmt.Errorf("the field %q holds %s where a %s belongs", name, kindOf(m.value), wrong.Type)
			}
			return true, fmt.Errorf("the field %q: %w", name, err)
		}
		return true, nil
	}
	return false, nil
}

// Set puts value under name, in the place where name was, or at the end.
func (o *Object) Set(name string, value any) error {
	text, err := marshal(value)
	if err != nil {
		return fmt.Errorf("the field %q: %w", name, err)
	}
	for i := range o.members {
		if o.members[i].name == name {
			o.members[i].value = text
			return nil
		}
	}
	o.members = append(o.members, member{name, text})
	return nil
}

// Remove takes the member name out.
func (o *Object) Remove(name string) {
	for i := range o.members {
		if o.members[i].name == name {
			o.members = slices.Delete(o.members, i, i+1)
			return
		}
	}
}

// Bytes is the object as text, indented, with a line end.
func (o *Object) Bytes() ([]byte, error) {
	var compact, out bytes.Buffer
	compact.WriteByte('{')
	for i, m := range o.members {
		if i > 0 {
			compact.WriteByte(',')
		}
		name, err := marshal(m.name)
		if err != nil {
			return nil, err
		}
		compact.Write(name)
		compact.WriteByte(':')
		compact.Write(m.value)
	}
	compact.WriteByte('}')
	if err := json.Indent(&out, compact.Bytes(), "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// marshal is json.Marshal without the escapes that are meant for HTML.
func marshal(value any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// badJSON says where text stops being JSON, and why.
func badJSON(text []byte, err error) error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	if syntax.Error() == "unexpected end of JSON input" {
		return fmt.Errorf("%s: it is cut off there", position(text, int64(len(text))))
	}
	return fmt.Errorf("%s: it is not JSON: %w", position(text, syntax.Offset-1), err) // Offset counts the wrong byte itself
}

// position is offset in text as an editor counts: lines and columns from 1.
func position(text []byte, offset int64) string {
	before := text[:min(max(offset, 0), int64(len(text)))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf("line %d, column %d", line, column)
}

// kindOf names the kind of a JSON value that is known to be valid.
func kindOf(value []byte) string {
	switch value[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}
