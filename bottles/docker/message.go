package docker

import (
	"encoding/json"
	"errors"
	"io"
)

// message is one JSON record of the stream that the engine answers a build or a load with (API: POST
// /build, POST /images/load).
type message struct {
	Stream   string          `json:"stream"`
	Status   string          `json:"status"`
	Progress json.RawMessage `json:"progressDetail"`
	ID       string          `json:"id"`
	Error    string          `json:"error"`
	Detail   *struct {
		Message string `json:"message"`
	} `json:"errorDetail"`
	Aux json.RawMessage `json:"aux"`
}

// engineError is an error that the engine told in a stream, in its words.
type engineError struct{ words string }

func (e *engineError) Error() string { return e.words }

// failed is the error that the message tells of, or nil.
func (m message) failed() error {
	switch {
	case m.Detail != nil && m.Detail.Message != "":
		return &engineError{m.Detail.Message}
	case m.Error != "":
		return &engineError{m.Error}
	}
	return nil
}

// messages gives each record of r to f until the end, or until f fails.
func messages(r io.Reader, f func(message) error) error {
	d := json.NewDecoder(r)
	for {
		var m message
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := f(m); err != nil {
			return err
		}
	}
}
